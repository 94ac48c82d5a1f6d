"""What a stage promises about each kernel: which weights are zero, and which weights share a value.

The promises are recorded when they are made and travel with the node's weights; they are never guessed from equal
values, since trained networks have accidental ties.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from armopt.core.errors import UsageError

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class KernelConstraint:
    """The promise about one kernel; both arrays have the kernel's shape.

    Attributes:
        keep: bool; False where the weight is zero for good. None: no zeros are promised.
        codes: uint16; weights of equal code share one value. None: not clustered. Where zeros are promised code 0 is
            theirs alone.
        clusters: number of values the kernel may hold, zero included.
    """

    keep: npt.NDArray[np.bool_] | None = None
    codes: npt.NDArray[np.uint16] | None = None
    clusters: int | None = None

    @property
    def zero_is_pinned(self) -> bool:
        """True where code 0 stands for the promised zeros and never trains."""
        return self.keep is not None


class Constraints(Mapping[str, KernelConstraint]):
    """Promises by kernel key. Immutable: stages return new ones."""

    def __init__(self, by_key: Mapping[str, KernelConstraint] | None = None) -> None:
        self._by_key = dict(by_key or {})

    def __getitem__(self, key: str) -> KernelConstraint:
        return self._by_key[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def with_zeros(self, keep: Mapping[str, npt.NDArray[np.bool_]]) -> Constraints:
        """Add the promise that weights are zero where `keep` is False. Earlier zeros stay zero."""
        merged = dict(self._by_key)
        for key, mask in keep.items():
            old = merged.get(key, KernelConstraint())
            if old.codes is not None:
                raise UsageError(f"'{key}' is clustered already", "prune before clustering")
            merged[key] = replace(old, keep=mask if old.keep is None else old.keep & mask)
        return Constraints(merged)

    def with_codes(self, codes: Mapping[str, npt.NDArray[np.uint16]], clusters: int) -> Constraints:
        """Add the promise that weights of equal code share a value; code 0 is the zeros' where zeros are promised."""
        merged = dict(self._by_key)
        for key, code in codes.items():
            merged[key] = replace(merged.get(key, KernelConstraint()), codes=code, clusters=clusters)
        return Constraints(merged)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all promises into one .npz (never pickled)."""
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        for key, constraint in self._by_key.items():
            if constraint.keep is not None:
                arrays[f"keep|{key}"] = constraint.keep
            if constraint.codes is not None:
                arrays[f"codes|{key}"] = constraint.codes
                arrays[f"clusters|{key}"] = np.array(constraint.clusters)
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Constraints:
        """Read what `save` wrote."""
        merged: dict[str, KernelConstraint] = {}
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                what, key = name.split("|", 1)
                value: object = int(file[name]) if what == "clusters" else file[name]
                merged[key] = replace(merged.get(key, KernelConstraint()), **{what: value})  # type: ignore[arg-type]
        return cls(merged)


def project(kernel: Floats, constraint: KernelConstraint) -> Floats:
    """The nearest kernel (in least squares) that keeps the promise, same shape and dtype as `kernel`.

    Masked weights become 0; each code group becomes its mean, the group of promised zeros stays 0. The compiled twin
    in `projection` does the same inside a train step.
    """
    if constraint.codes is None:
        return kernel if constraint.keep is None else np.where(constraint.keep, kernel, kernel.dtype.type(0))
    codes = constraint.codes.ravel()
    count = np.bincount(codes, minlength=int(codes.max(initial=0)) + 1)
    means = np.bincount(codes, weights=kernel.ravel()) / np.maximum(count, 1)
    if constraint.zero_is_pinned:
        means[0] = 0.0
    projected: Floats = means[codes].reshape(kernel.shape).astype(kernel.dtype)
    return projected


def is_kept(kernel: Floats, constraint: KernelConstraint) -> bool:
    """True where the kernel holds exactly what was promised."""
    if constraint.keep is not None and np.any(kernel[~constraint.keep] != 0):
        return False
    if constraint.codes is not None:
        order = np.argsort(constraint.codes, axis=None, kind="stable")
        codes, values = constraint.codes.ravel()[order], kernel.ravel()[order]
        return not np.any((np.diff(codes) == 0) & (np.diff(values) != 0))
    return True
