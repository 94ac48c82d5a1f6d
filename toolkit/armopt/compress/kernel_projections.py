"""The compiled projections of one kernel: zeros, plain clusters, shared codes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from armopt.compress.backend import tf
from armopt.compress.constraints import LARGEST_CODE, Floats, KernelConstraint, fitting_scales, is_kept, project

# Steps of the table that takes a weight to its level, per code: a quarter of a code is finer than any gap of levels.
_STEPS = 4


class KernelProjection(Protocol):
    """Keeps one kernel variable on its constraint."""

    def start(self) -> None:
        """Bring the kernel onto the constraint, before the first step."""
        ...

    def apply(self) -> None:
        """Bring it back after an optimizer step; traced into the compiled train step."""
        ...

    def settled(self) -> KernelConstraint:
        """The constraint as the kernel now keeps it."""
        ...


def projection_of(variable: Any, constraint: KernelConstraint) -> KernelProjection:
    """The projection that keeps a kernel variable on a constraint."""
    if constraint.codes is None:
        return ZerosProjection(variable, constraint)
    return (
        ClustersProjection(variable, constraint)
        if constraint.levels is None
        else LevelsProjection(variable, constraint)
    )


class ZerosProjection:
    """Puts masked weights back to zero. The mask is a variable: a pruning schedule changes it while the step stays."""

    def __init__(self, variable: Any, constraint: KernelConstraint) -> None:
        self.variable, self.constraint = variable, constraint
        keep = constraint.keep if constraint.keep is not None else np.ones(tuple(variable.shape), bool)
        self._mask = tf.Variable(keep, trainable=False, dtype=tf.bool)

    def assign_mask(self, keep: npt.NDArray[np.bool_]) -> None:
        """Put another mask in force from the next step on."""
        self._mask.assign(keep)

    def start(self) -> None:
        """Bring the kernel onto the constraint."""
        self.variable.assign(project(self.variable.numpy(), self.constraint))

    def apply(self) -> None:
        """Bring it back after an optimizer step."""
        self.variable.assign(tf.where(self._mask, self.variable, tf.zeros_like(self.variable)))

    def settled(self) -> KernelConstraint:
        """The constraint with the mask in force."""
        return (
            replace(self.constraint, keep=self._mask.numpy()) if self.constraint.keep is not None else self.constraint
        )


class ClustersProjection:
    """Puts each cluster's weights to their mean, so that its value trains by the sum of its weights' gradients."""

    def __init__(self, variable: Any, constraint: KernelConstraint) -> None:
        assert constraint.codes is not None
        self.variable, self.constraint = variable, constraint
        codes = constraint.codes.ravel().astype(np.int32)
        self._codes = tf.constant(codes)
        self._groups = int(codes.max()) + 1
        # Dividing by the count makes sums means; a zero in place of 1/count pins the zeros' group to zero.
        share = 1.0 / np.maximum(np.bincount(codes, minlength=self._groups), 1)
        if constraint.zero_is_pinned:
            share[0] = 0.0
        self._share = tf.constant(share, variable.dtype.base_dtype)

    def start(self) -> None:
        """Bring the kernel onto the constraint."""
        self.variable.assign(project(self.variable.numpy(), self.constraint))

    def apply(self) -> None:
        """Bring it back after an optimizer step."""
        means = tf.math.unsorted_segment_sum(tf.reshape(self.variable, [-1]), self._codes, self._groups) * self._share
        self.variable.assign(tf.reshape(tf.gather(means, self._codes), self.variable.shape))

    def settled(self) -> KernelConstraint:
        """The constraint; codes do not change."""
        return self.constraint


class LevelsProjection:
    """Puts each weight to the nearest level of its kernel, at a scale of its group's largest weight.

    Steps of an optimizer are far smaller than the gaps between levels, so they are summed in a hidden copy of the
    kernel, and the kernel is what that copy rounds to: the straight-through estimator (Bengio et al. 2013), without a
    wrapper around any layer. A weight may thus move to another level; masked weights stay zero.
    """

    def __init__(self, variable: Any, constraint: KernelConstraint) -> None:
        assert constraint.levels is not None and constraint.groups is not None
        self.variable, self.constraint = variable, constraint
        dtype = variable.dtype.base_dtype
        zeros = np.zeros(tuple(variable.shape), dtype.as_numpy_dtype)
        self._hidden = tf.Variable(zeros, trainable=False)
        self._held = tf.Variable(zeros, trainable=False)
        self._share = tf.Variable(np.ones(constraint.groups.shape), trainable=False, dtype=dtype)
        self._mask = None if constraint.keep is None else tf.constant(constraint.keep)
        self._table = tf.constant(_level_table(constraint), dtype)

    def start(self) -> None:
        """Begin at the kernel as it is, with the share of each group's largest weight that the codes' scale has."""
        kernel = self.variable.numpy()
        if self.constraint.keep is not None:
            kernel = np.where(self.constraint.keep, kernel, 0).astype(kernel.dtype)
        self._share.assign(_shares(kernel, self.constraint))
        self._hidden.assign(kernel)
        if is_kept(kernel, self.constraint):
            self.variable.assign(kernel)
        else:
            tf.function(self._round)()
        self._held.assign(self.variable)

    def apply(self) -> None:
        """Add the optimizer's step to the hidden kernel, and round that."""
        moved = self._hidden + (self.variable - self._held)
        self._hidden.assign(moved if self._mask is None else tf.where(self._mask, moved, tf.zeros_like(moved)))
        self._round()
        self._held.assign(self.variable)

    def _round(self) -> None:
        largest = tf.reduce_max(tf.abs(self._hidden), axis=self.constraint.across, keepdims=True)
        scales = largest * self._share
        middle = LARGEST_CODE * _STEPS
        places = tf.cast(tf.round(tf.math.divide_no_nan(self._hidden, scales) * middle), tf.int32) + middle
        # Cut off as integers: where training diverges, a NaN must reach the loss and not the table.
        values = tf.gather(self._table, tf.clip_by_value(places, 0, 2 * middle))
        self.variable.assign(values * scales)

    def settled(self) -> KernelConstraint:
        """The constraint with the codes that the weights have now."""
        return replace(self.constraint, codes=codes_of(self.variable.numpy(), self.constraint))


def codes_of(kernel: Floats, constraint: KernelConstraint) -> npt.NDArray[np.uint16]:
    """Code of the nearest level of each weight, at the scale of its group's largest; of the kernel's shape."""
    assert constraint.levels is not None
    largest = np.abs(kernel).max(axis=constraint.across, keepdims=True)
    normal = kernel / np.where(largest > 0, largest, 1)
    order = np.argsort(constraint.values)
    rising = constraint.values[order]
    return order[np.searchsorted((rising[1:] + rising[:-1]) / 2, normal)].astype(np.uint16)


def _level_table(constraint: KernelConstraint) -> Floats:
    places = np.arange(-LARGEST_CODE * _STEPS, LARGEST_CODE * _STEPS + 1) / (LARGEST_CODE * _STEPS)
    rising = np.sort(constraint.values)
    return rising[np.searchsorted((rising[1:] + rising[:-1]) / 2, places)]


def _shares(kernel: Floats, constraint: KernelConstraint) -> Floats:
    """Scale of each group over its largest weight, at most 1, so that the largest weight always reaches the end."""
    largest = np.abs(kernel).max(axis=constraint.across, keepdims=True)
    fitted = np.abs(fitting_scales(kernel, constraint))
    # Codes that say nothing of this kernel would cut it to nothing: half of the largest weight is the least scale.
    return np.asarray(np.clip(fitted / np.where(largest > 0, largest, 1), 0.5, 1.0))
