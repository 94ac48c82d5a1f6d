"""Counts of the networks that published Arm latencies name, on emulated boards; kept in the cache, so made once.

    python benchmarks/published_counts.py pi4 xnnpack     # counts what is missing, many models in one emulated process

Kernels: 'xnnpack' and 'builtin' (ruy) of the locked LiteRT, or 'xnnpack-2023' of tflite-runtime 2.14, which published
XNNPACK figures of 2023 are nearest to (fp32 only: its wheel leaves INT8 to kernels that nobody published figures of).
"""

from __future__ import annotations

import gzip
import pickle
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from published_models import MODELS, write

from armopt.catalog.devices import find_device
from armopt.catalog.search_path import cache_dir
from armopt.core.counts import Counts
from armopt.core.device import BoardKind
from armopt.measuring import REVISION
from armopt.runners.base import Job, make_runner
from armopt.runners.local import LocalRunner
from armopt.runners.samples import random_inputs

_AT_ONCE = 6
File = tuple[str, str]  # name in MODELS, dtype


def counts_of(board: BoardKind, kernels: str, files: Iterable[File]) -> dict[File, Counts]:
    """Counts of one inference of each file, single thread."""
    wanted = list(dict.fromkeys(files))
    missing = [file for file in wanted if not _kept(board, kernels, file).exists()]
    for start in range(0, len(missing), _AT_ONCE):
        some = missing[start : start + _AT_ONCE]
        for file, counts in zip(some, _count(board, kernels, some), strict=True):
            path = _kept(board, kernels, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_bytes(gzip.compress(pickle.dumps(counts), 1))
            part.replace(path)
        print(f"{board.name} {kernels}: {start + len(some)} of {len(missing)}", file=sys.stderr, flush=True)
    return {file: _read(_kept(board, kernels, file)) for file in wanted}


def model_file(file: File) -> Path:
    """The .tflite, written on first use."""
    path = cache_dir() / "benchmark" / "published" / f"{file[0]}-{file[1].replace(' ', '-')}.tflite"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        write(file[0], file[1], part)  # type: ignore[arg-type]
        part.replace(path)
    return path


def _count(board: BoardKind, kernels: str, files: list[File]) -> Iterator[Counts]:
    paths = [model_file(file) for file in files]
    with closing(LocalRunner(_tell)) as host:
        inputs = [random_inputs(host.describe(path), count=1) for path in paths]
    if kernels == "xnnpack-2023":
        board = board.running("tflite-runtime")
    with closing(make_runner("qemu", board, say=_tell)) as runner:
        runner.prepare()
        jobs = [
            Job(path, samples, count=True, delegate=kernels != "builtin")
            for path, samples in zip(paths, inputs, strict=True)
        ]
        for result in runner.run(jobs):
            assert result.counts is not None
            yield result.counts


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _kept(board: BoardKind, kernels: str, file: File) -> Path:
    name = f"{file[0]}-{file[1].replace(' ', '-')}.counts"
    return cache_dir() / "benchmark" / f"counts-{REVISION}" / f"{board.name}-{kernels}" / name


def _read(path: Path) -> Counts:
    counts: Counts = pickle.loads(gzip.decompress(path.read_bytes()))
    return counts


if __name__ == "__main__":
    dtypes = {"xnnpack": ("fp32", "int8"), "builtin": ("fp32", "int8", "uint8 per-tensor"), "xnnpack-2023": ("fp32",)}[
        sys.argv[2]
    ]
    counts_of(find_device(sys.argv[1]), sys.argv[2], [(name, dtype) for name in MODELS for dtype in dtypes])
