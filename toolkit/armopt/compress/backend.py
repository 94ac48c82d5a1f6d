"""TensorFlow and the one Keras that armopt trains with: tf-keras (Keras 2). Import both from here."""

from __future__ import annotations

import os
import warnings

from armopt.compress.quiet import quiet_stderr

# The C++ side logs its start-up to stderr at level 0; errors (3) still come through.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
warnings.filterwarnings("ignore", message=".*HDF5 file via `model.save.*")


with quiet_stderr():
    import tensorflow as tf
    import tf_keras as keras

    tf.config.list_physical_devices()
    # The first operation starts the CUDA probe, whose complaint about a missing card is no news to anyone.
    tf.zeros(())

from armopt.core.errors import UsageError  # noqa: E402

if os.environ.get("TF_USE_LEGACY_KERAS") != "1" or tf.keras.Model is not keras.Model:
    raise UsageError(
        "TensorFlow runs with Keras 3 here, and TFMOT needs Keras 2",
        "import armopt before tensorflow, or set TF_USE_LEGACY_KERAS=1",
    )

tf.get_logger().setLevel("ERROR")

__all__ = ["keras", "tf"]
