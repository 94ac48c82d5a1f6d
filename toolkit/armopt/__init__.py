"""armopt takes a trained Keras model to an Arm device and says whether it meets its target.

The public names are loaded on first use, so that `import armopt` costs nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# TFMOT and the converter work with Keras 2 (tf-keras). TensorFlow reads this once, when it is imported, so it is
# set in the one place that runs before any of ours can import it.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from armopt.core.version import VERSION as __version__

_PUBLIC = {
    "deploy": "armopt.flow",
    "Target": "armopt.core.target",
    "Effort": "armopt.core.search_record",
    "Result": "armopt.core.records",
    "prune": "armopt.compress.notebook",
    "cluster": "armopt.compress.notebook",
    "quantize": "armopt.compress.notebook",
    "export": "armopt.compress.notebook",
    "audit": "armopt.compress.audit",
    "measure": "armopt.measuring",
    "density_plot": "armopt.picturing",
    "Constraints": "armopt.compress.constraints",
    "ConstraintsCallback": "armopt.compress.projection",
}

__all__ = [*_PUBLIC, "__version__"]

if TYPE_CHECKING:
    from armopt.compress.audit import audit as audit
    from armopt.compress.constraints import Constraints as Constraints
    from armopt.compress.notebook import cluster as cluster
    from armopt.compress.notebook import export as export
    from armopt.compress.notebook import prune as prune
    from armopt.compress.notebook import quantize as quantize
    from armopt.compress.projection import ConstraintsCallback as ConstraintsCallback
    from armopt.core.records import Result as Result
    from armopt.core.search_record import Effort as Effort
    from armopt.core.target import Target as Target
    from armopt.flow import deploy as deploy
    from armopt.measuring import measure as measure
    from armopt.picturing import density_plot as density_plot


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'armopt' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
