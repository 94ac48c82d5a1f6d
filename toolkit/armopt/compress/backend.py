"""TensorFlow and the one Keras that armopt trains with: tf-keras (Keras 2). Import both from here."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

# The C++ side logs its start-up to stderr at level 0; errors (3) still come through.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
warnings.filterwarnings("ignore", message=".*HDF5 file via `model.save.*")


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep the C++ libraries' start-up chatter off stderr: TensorFlow 2.21 prints before its log level applies.

    If the import fails the chatter is printed after all, since it may say why.
    """
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(real, 2)
            chatter.seek(0)
            os.write(2, chatter.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


with _quiet_start():
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
