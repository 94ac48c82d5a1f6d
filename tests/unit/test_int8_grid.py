from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from armopt.compress.backend import tf
from armopt.compress.constraints import LARGEST_CODE
from armopt.compress.int8_grid import kernels_for_the_converter, on_grid

KERNELS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=st.floats(-8, 8, width=16)
)


@settings(max_examples=50, deadline=None)
@given(KERNELS)
def test_each_group_gets_codes_of_its_own_scale_and_no_weight_moves_by_more_than_half_a_code(kernel: Any) -> None:
    axes = tuple(range(kernel.ndim - 1))
    rounded = on_grid(tf.constant(kernel), axes).numpy()
    scale = np.abs(kernel).max(axis=axes, keepdims=True) / LARGEST_CODE
    codes = np.divide(rounded, scale, out=np.zeros_like(rounded), where=scale > 0)
    np.testing.assert_allclose(codes, np.round(codes), atol=1e-3)
    assert np.abs(codes).max() <= LARGEST_CODE + 1e-3
    assert np.all(np.abs(rounded - kernel) <= scale * 0.5001)
    np.testing.assert_allclose(on_grid(tf.constant(rounded), axes).numpy(), rounded, atol=1e-5)


def test_zeros_stay_zeros_and_a_dead_channel_stays_dead() -> None:
    kernel = np.array([[0.0, 0.0, 1.0], [0.5, 0.0, 0.001]], np.float32)
    rounded = on_grid(tf.constant(kernel), (0,)).numpy()
    assert rounded[0, 0] == 0 and not rounded[:, 1].any() and rounded[1, 2] == 0


def test_gradients_pass_as_if_nothing_had_been_rounded() -> None:
    kernel = tf.Variable(np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(on_grid(kernel, (0,)) * 3.0)
    assert np.array_equal(tape.gradient(total, kernel).numpy(), np.full((4, 3), 3.0))


def test_the_converter_gets_the_kernel_as_it_is_and_nobody_else_does() -> None:
    kernel = tf.constant(np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32))
    with kernels_for_the_converter():
        assert np.array_equal(on_grid(kernel, (0,)).numpy(), kernel.numpy())
    assert not np.array_equal(on_grid(kernel, (0,)).numpy(), kernel.numpy())
