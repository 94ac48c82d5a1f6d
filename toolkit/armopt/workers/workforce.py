"""Workers as the user wants them; checked before anything is loaded."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from armopt.core.errors import UsageError


@dataclass(frozen=True)
class Workforce:
    """Who builds the nodes of a run.

    Attributes:
        count: worker processes on this machine; 0 for none, so that this process does everything itself.
        threads: of each worker.
        cluster: address of a Dask scheduler whose workers are used instead.
    """

    count: int = 0
    threads: int = 1
    cluster: str | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be had.

        Raises:
            UsageError: workers here and on a cluster, threads of no workers, numbers too small, or Dask is missing.
        """
        if self.count < 0 or self.threads < 1:
            raise UsageError(f"{self.count} workers of {self.threads} threads were asked for", "give 1 or more")
        if self.count and self.cluster:
            raise UsageError("workers here and on a cluster were asked for", "give --workers or --cluster")
        if self.is_empty and self.threads != 1:
            raise UsageError("threads of workers were given and no workers", "add --workers or --cluster")
        if self.cluster and importlib.util.find_spec("distributed") is None:
            raise UsageError("--cluster needs Dask, which is not installed", "pip install armopt[cluster]")

    @property
    def is_empty(self) -> bool:
        """True where this process does everything itself."""
        return not self.count and not self.cluster
