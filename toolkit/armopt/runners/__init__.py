"""Where a .tflite runs. Each backend is a module with a `make_runner`; `RUNNERS` names the module, imported on use."""

from __future__ import annotations

# name -> module. Add a backend here; the module's contract is `base.MakeRunner`.
RUNNERS: dict[str, str] = {
    "qemu": "armopt.runners.qemu.runner",
    "local": "armopt.runners.local",
}
