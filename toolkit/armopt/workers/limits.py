"""How many threads a worker computes on. Equal numbers give equal sums, and so equal nodes: docs/adr/017-workers.md."""

from __future__ import annotations

import os
import sys

from armopt.core.errors import WorkerError

# Every library that computes here with threads of its own reads one of these before its first use.
_THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)


def thread_limits(threads: int) -> dict[str, str]:
    """Environment of a process that computes on so many threads."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


def limit_threads(threads: int) -> None:
    """Limit this process, which may not have imported TensorFlow yet, unless under the same limit.

    Raises:
        WorkerError: it computes on another number already.
    """
    wanted = thread_limits(threads)
    if "tensorflow" not in sys.modules:
        os.environ.update(wanted)
    elif any(os.environ.get(name) != value for name, value in wanted.items()):
        raise WorkerError(
            f"a worker of the cluster already runs TensorFlow on another number of threads than {threads}",
            "start the cluster's workers again, or give --worker-threads the number that they have",
        )
