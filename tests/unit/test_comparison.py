from __future__ import annotations

import numpy as np

from armopt.runners.comparison import compare


def test_equal_bits_are_equal() -> None:
    output = np.arange(6, dtype=np.int8).reshape(2, 3)
    assert compare([output], [output.copy()], [0.1]) == (True, None)


def test_a_difference_of_codes_is_told_in_steps() -> None:
    got, expected = np.array([[1, 2, 3]], np.int8), np.array([[1, 4, 3]], np.int8)
    equal, text = compare([got], [expected], [0.5])
    assert not equal
    assert text is not None and "1 of 3 values differ, by at most 2 steps of 0.5" in text


def test_codes_at_both_ends_do_not_wrap_around() -> None:
    _, text = compare([np.array([[-128]], np.int8)], [np.array([[127]], np.int8)], [1.0])
    assert text is not None and "255 steps" in text


def test_a_difference_of_floats_is_told_beside_the_largest_value() -> None:
    equal, text = compare([np.array([[1.0, 2.0]], np.float32)], [np.array([[1.0, 2.5]], np.float32)], [0.0])
    assert not equal
    assert text is not None and "1 of 2 values differ, by at most 0.5 (largest value 2.5)" in text


def test_outputs_of_other_shapes_are_no_crash() -> None:
    equal, text = compare([np.zeros((2, 3))], [np.zeros((2, 4))], [0.0])
    assert not equal
    assert text is not None and "[2, 4]" in text
