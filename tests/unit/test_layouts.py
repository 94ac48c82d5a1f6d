from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armopt.compress.kinds import Kind
from armopt.compress.layouts import layouts


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        ("conv", (3, 2, 4, 5), [[(5, 3, 2, 4)]]),
        ("conv", (3, 4, 5), [[(5, 1, 3, 4)], [(5, 3, 1, 4)]]),
        ("conv_transpose", (3, 2, 5, 4), [[(5, 3, 2, 4)]]),
        ("conv_transpose", (3, 5, 4), [[(5, 1, 3, 4)]]),
        ("depthwise", (3, 2, 4, 2), [[(1, 3, 2, 8)]]),
        ("depthwise", (3, 2, 1, 4), [[(1, 3, 2, 4)], [(4, 3, 2, 1)]]),
        ("depthwise", (3, 4, 2), [[(1, 1, 3, 8)]]),
        ("dense", (4, 5), [[(5, 4)], [(4, 5)]]),
        ("recurrent", (4, 12), [[(12, 4)], [(3, 4)] * 4, [(4, 4)] * 3, [(4, 12)]]),
        ("embedding", (9, 4), [[(9, 4)]]),
        ("other", (3, 3, 3, 2, 4), [[(3, 3, 3, 2, 4)]]),
        ("einsum", (4, 5), [[(4, 5)], [(5, 4)]]),
        ("einsum", (2, 1, 1, 1, 3), []),
    ],
)
def test_a_kernel_may_stand_in_the_file_in_these_shapes(kind: Kind, shape: Any, expected: Any) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    found = list(layouts(kind, array))
    assert [[part.shape for part in parts] for parts in found] == expected
    for parts in found:
        every = np.sort(np.concatenate([part.ravel() for part in parts]))
        assert np.array_equal(every, np.arange(array.size))


def test_a_convolution_puts_its_output_channel_first() -> None:
    array = np.arange(3 * 2 * 4 * 5).reshape(3, 2, 4, 5)
    [[part]] = layouts("conv", array)
    assert part[4, 2, 1, 3] == array[2, 1, 3, 4]


def test_a_depthwise_kernel_counts_multipliers_within_a_channel() -> None:
    array = np.arange(3 * 2 * 4 * 2).reshape(3, 2, 4, 2)
    [[part]] = layouts("depthwise", array)
    assert part[0, 2, 1, 3 * 2 + 1] == array[2, 1, 3, 1]


def test_a_recurrent_kernel_is_cut_into_its_gates() -> None:
    array = np.arange(4 * 12).reshape(4, 12)
    gates = list(layouts("recurrent", array))[1]
    assert all(np.array_equal(gate, array[:, 3 * i : 3 * i + 3].T) for i, gate in enumerate(gates))


@pytest.mark.parametrize(
    ("equation", "shape"),
    [
        ("abc,cde->abde", (8, 2, 4)),
        ("abcd,cde->abe", (2, 4, 8)),
        ("abc,dce->abde", (3, 8, 4)),
        ("abcd,dec->abe", (4, 7, 3)),
        ("abc,cde->abed", (8, 2, 4)),
        ("abc,cdef->abdef", (8, 2, 3, 4)),
    ],
)
def test_the_matrix_that_an_equation_multiplies_with_is_among_those_of_its_kernel(equation: str, shape: Any) -> None:
    data, kernel = equation.split("->")[0].split(",")
    result = equation.split("->")[1]
    array = np.random.default_rng(1).normal(size=shape)
    sizes = dict(zip(kernel, shape, strict=True)) | {"a": 2, "b": 3}
    x = np.random.default_rng(2).normal(size=[sizes[letter] for letter in data])
    flat = x.reshape(2 * 3, -1)
    wanted = np.einsum(equation, x, array).reshape(2 * 3, -1)
    assert result.startswith("ab")
    products = [
        flat @ part.T for [part] in layouts("einsum", array) if part.ndim == 2 and part.shape[1] == flat.shape[1]
    ]
    assert sum(product.shape == wanted.shape and np.allclose(product, wanted) for product in products) == 1


def test_a_kernel_of_an_einsum_keeps_all_its_weights_in_every_layout() -> None:
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    found = list(layouts("einsum", array))
    assert len(found) == 6 * 2
    assert all(np.array_equal(np.sort(part.ravel()), np.arange(24)) for [part] in found)
