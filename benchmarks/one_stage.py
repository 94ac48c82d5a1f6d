"""One stage of one side in a process of its own, which `against_tfmot.py` starts: `python one_stage.py JOB.json`.

Of its own, because TFMOT changes the model that it is given, and so that the peak memory is the stage's. Writes
`model.h5` (inner nodes) or `model.tflite` (leaves) and `report.json` into the job's folder.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np


@dataclass(frozen=True)
class Job:
    """What the stage is to do.

    Attributes:
        side: `tfmot` or `armopt`.
        node: path in the tree; its last name is the stage.
        parent: folder of the parent node, with `model.h5` (and armopt's `constraints.npz`).
        data: .npz with the three splits, prepared.
        calibration: .npy of the samples that calibrate.
        out: folder to write.
        strengths: fields of `tfmot_chain.Strengths`; its rate and scope of clustering are TFMOT's own.
    """

    side: str
    node: str
    parent: str
    data: str
    calibration: str
    out: str
    strengths: dict[str, Any]

    @property
    def stage(self) -> str:
        """The last name of the path."""
        return self.node.rsplit("/", 1)[-1]

    @property
    def preserving(self) -> frozenset[str]:
        """Stages before this one."""
        return frozenset(self.node.split("/")[:-1])


@dataclass(frozen=True)
class Report:
    """What the stage cost and reached.

    Attributes:
        seconds: of the stage itself, without loading, conversion and scoring.
        train_mib: peak resident memory up to the stage's end.
        total_mib: the same with conversion; of armopt the sum with its converter's process, which lives beside it.
        accuracy: of the .tflite on the test split; None for inner nodes.
    """

    seconds: float
    train_mib: float
    total_mib: float
    accuracy: float | None


def main() -> None:
    """Do the job."""
    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    out = Path(job.out)
    out.mkdir(parents=True, exist_ok=True)
    report = _tfmot(job, out) if job.side == "tfmot" else _armopt(job, out)
    (out / "report.json").write_text(json.dumps(asdict(report)))


def _tfmot(job: Job, out: Path) -> Report:
    import tfmot_chain as tfm

    strengths = tfm.Strengths(**job.strengths)
    with np.load(job.data) as file:
        x, y = file["x_train"], file["y_train"]
    model = tfm.keras.models.load_model(Path(job.parent, "model.h5"), compile=False)
    started = time.monotonic()
    if job.stage == "prune":
        model = tfm.prune(model, x, y, strengths)
    elif job.stage == "cluster":
        model = tfm.cluster(model, x, y, strengths, preserve_sparsity="prune" in job.preserving)
    elif job.stage != "ptq":
        model = tfm.quantize(model, x, y, strengths, job.preserving)
    seconds, peak = time.monotonic() - started, _peak_mib()
    if job.stage in ("prune", "cluster"):
        model.save(out / "model.h5")
        return Report(seconds, peak, peak, None)
    tfm.convert(model, np.load(job.calibration), out / "model.tflite")
    return Report(seconds, peak, _peak_mib(), _accuracy(out / "model.tflite", job.data))


def _armopt(job: Job, out: Path) -> Report:
    import armopt
    from armopt.compress.backend import keras
    from armopt.compress.projection import constraints_of

    given = job.strengths
    settings = {"min_steps": 0, **{name: given[name] for name in ("epochs", "batch_size", "learning_rate", "seed")}}
    model = keras.models.load_model(Path(job.parent, "model.h5"), compile=False)
    promises = Path(job.parent, "constraints.npz")
    if promises.exists():
        model.armopt_constraints = armopt.Constraints.load(promises)
    started = time.monotonic()
    if job.stage == "prune":
        model = armopt.prune(model, job.data, sparsity=given["sparsity"], **settings)
    elif job.stage == "cluster":
        model = armopt.cluster(model, job.data, clusters=given["clusters"], **settings)
    elif job.stage != "ptq":
        model = armopt.quantize(model, job.data, **settings)
    seconds, peak = time.monotonic() - started, _peak_mib()
    if job.stage in ("prune", "cluster"):
        model.save(out / "model.h5")
        constraints_of(model).save(out / "constraints.npz")
        return Report(seconds, peak, peak, None)
    armopt.export(model, job.data, out / "model.tflite", samples=len(np.load(job.calibration)))
    return Report(seconds, peak, _peak_mib() + _children_mib(), _accuracy(out / "model.tflite", job.data))


def _accuracy(tflite: Path, data: str) -> float:
    """Share of the test split that the INT8 file classifies rightly; the same code for both sides."""
    from ai_edge_litert.interpreter import Interpreter

    with np.load(data) as file:
        x, y = file["x_test"], file["y_test"]
    interpreter = Interpreter(str(tflite), num_threads=1)
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]
    codes = np.clip(np.round(x / scale) + zero_point, -128, 127).astype(np.int8)
    right = 0
    for sample, label in zip(codes, y, strict=True):
        interpreter.set_tensor(source["index"], sample[None].reshape(source["shape"]))
        interpreter.invoke()
        right += int(interpreter.get_tensor(sink["index"]).argmax() == label)
    return right / len(y)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _children_mib() -> float:
    """Peaks of the child processes that still live, added up; getrusage knows only those that have ended."""
    total = 0.0
    for listing in Path("/proc/self/task").glob("*/children"):
        for child in listing.read_text().split():
            for line in Path(f"/proc/{child}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1]) / 1024
    return total


if __name__ == "__main__":
    main()
