from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.compress.interpreter import HostInterpreter, dequantize, quantize
from armopt.core.errors import ModelError


def _detail(dtype: Any, scale: float = 0.0, zero_point: int = 0) -> dict[str, Any]:
    return {"dtype": dtype, "quantization": (scale, zero_point)}


@given(st.floats(1e-3, 1.0), st.integers(-128, 127), st.integers(-128, 127))
def test_every_code_comes_back_as_itself(scale: float, zero_point: int, code: int) -> None:
    detail = _detail(np.int8, scale, zero_point)
    values = dequantize(np.array([code], np.int8), detail)
    assert values.dtype == np.float32
    assert quantize(values, detail).tolist() == [code]


@given(st.floats(-1e6, 1e6))
def test_values_beyond_the_range_are_cut_not_wrapped(value: float) -> None:
    code = int(quantize(np.array([value]), _detail(np.int8, 0.5, 3))[0])
    assert code == min(max(round(value / 0.5) + 3, -128), 127)


def test_float_and_plain_integer_tensors_pass_through() -> None:
    assert quantize(np.array([1.5], np.float64), _detail(np.float32)).dtype == np.float32
    assert quantize(np.array([3], np.int64), _detail(np.int32)).tolist() == [3]
    assert dequantize(np.array([3], np.int32), _detail(np.int32)).tolist() == [3]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1c\x00\x00\x00TFL3" + b"\x00" * 64])
def test_what_is_no_tflite_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"can't be run") as caught:
        HostInterpreter(path)
    assert "\n" not in str(caught.value)
