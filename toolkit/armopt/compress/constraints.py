"""What a stage promises about each kernel: which weights are zero, and which weights share a value or an INT8 code.

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

# Largest code of an INT8 weight: LiteRT quantizes weights symmetrically to -127 .. 127.
LARGEST_CODE = 127

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class KernelConstraint:
    """The promise about one kernel.

    Attributes:
        keep: bool, of the kernel's shape; False where the weight is zero for good. None: no zeros are promised.
        codes: unsigned, of the kernel's shape; weights of equal code share one value. None: not clustered. Where zeros
            are promised code 0 is theirs alone, or, with `levels`, that of the level zero.
        clusters: number of values the kernel may hold, zero included; a channel, if codes differ between channels.
        levels: int16, shared codes: weight = scale * levels[code] / 127 with a scale per group, so that the codes of
            the whole INT8 tensor are levels. 0 first, then v, -v by rising v up to 127. None: a code is a float value.
        groups: int32, which weights share a scale; broadcasts to the kernel's shape. None without `levels`.
    """

    keep: npt.NDArray[np.bool_] | None = None
    codes: npt.NDArray[np.unsignedinteger] | None = None
    clusters: int | None = None
    levels: npt.NDArray[np.int16] | None = None
    groups: npt.NDArray[np.int32] | None = None

    @property
    def zero_is_pinned(self) -> bool:
        """True where code 0 stands for the promised zeros and never trains."""
        return self.keep is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """The kernel's shape; empty where nothing is promised."""
        promised = self.keep if self.keep is not None else self.codes
        return () if promised is None else promised.shape

    @property
    def values(self) -> Floats:
        """What each code of shared codes is worth, in units of the group's scale: float32, -1 to 1."""
        assert self.levels is not None
        return (self.levels / np.float32(LARGEST_CODE)).astype(np.float32)

    @property
    def across(self) -> tuple[int, ...]:
        """Axes of the kernel along which a group of shared codes extends."""
        assert self.groups is not None
        return tuple(axis for axis, size in enumerate(self.groups.shape) if size == 1)


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

    def with_codes(self, codes: Mapping[str, npt.NDArray[np.unsignedinteger]], clusters: int) -> Constraints:
        """Add the promise that weights of equal code share a value; code 0 is the zeros' where zeros are promised."""
        merged = dict(self._by_key)
        for key, code in codes.items():
            merged[key] = replace(merged.get(key, KernelConstraint()), codes=code, clusters=clusters)
        return Constraints(merged)

    def with_kernel(self, key: str, constraint: KernelConstraint) -> Constraints:
        """Replace all that is promised about one kernel."""
        return Constraints({**self._by_key, key: constraint})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all promises into one .npz (never pickled)."""
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        for key, constraint in self._by_key.items():
            if constraint.keep is not None:
                arrays[f"keep|{key}"] = constraint.keep
            if constraint.codes is not None:
                arrays[f"codes|{key}"] = constraint.codes
                arrays[f"clusters|{key}"] = np.array(constraint.clusters)
            if constraint.levels is not None and constraint.groups is not None:
                arrays[f"levels|{key}"], arrays[f"groups|{key}"] = constraint.levels, constraint.groups
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

    Masked weights become 0; each code group becomes its mean, the group of promised zeros stays 0. With shared codes
    each scale group becomes its levels at the scale that fits best. The compiled twins in `projection` do the same
    inside a train step. A kernel that keeps the promise is returned as it is.
    """
    if is_kept(kernel, constraint):
        return kernel
    if constraint.codes is None:
        return kernel if constraint.keep is None else np.where(constraint.keep, kernel, kernel.dtype.type(0))
    if constraint.levels is not None:
        scales = fitting_scales(kernel, constraint).astype(kernel.dtype)
        return np.asarray(scales * constraint.values.astype(kernel.dtype)[constraint.codes])
    codes = constraint.codes.ravel()
    count = np.bincount(codes, minlength=int(codes.max(initial=0)) + 1)
    means = np.bincount(codes, weights=kernel.ravel()) / np.maximum(count, 1)
    if constraint.zero_is_pinned:
        means[0] = 0.0
    projected: Floats = means[codes].reshape(kernel.shape).astype(kernel.dtype)
    return projected


def fitting_scales(kernel: Floats, constraint: KernelConstraint) -> Floats:
    """Scale of each group of shared codes that brings the levels nearest to a kernel; float64, of the groups' shape."""
    assert constraint.codes is not None
    values = constraint.values.astype(np.float64)[constraint.codes]
    product = (kernel * values).sum(axis=constraint.across, keepdims=True)
    square = np.square(values).sum(axis=constraint.across, keepdims=True)
    return np.asarray(product / np.where(square > 0, square, 1.0))


def is_kept(kernel: Floats, constraint: KernelConstraint) -> bool:
    """True where the kernel holds exactly what was promised."""
    if constraint.keep is not None and np.any(kernel[~constraint.keep] != 0):
        return False
    if constraint.codes is None:
        return True
    if constraint.levels is not None:
        values = constraint.values.astype(kernel.dtype)[constraint.codes]
        # The weights at the ends are the scale itself, with its sign.
        ends = np.where(np.abs(values) == 1, kernel * values, 0)
        high, low = (pick(ends, axis=constraint.across, keepdims=True) for pick in (np.max, np.min))
        scales = np.where(high >= -low, high, low)
        return bool(np.array_equal(kernel, scales * values))
    order = np.argsort(constraint.codes, axis=None, kind="stable")
    codes, values = constraint.codes.ravel()[order], kernel.ravel()[order]
    return not np.any((np.diff(codes) == 0) & (np.diff(values) != 0))
