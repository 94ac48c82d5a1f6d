"""Networks that `benchmarks/published_models.py` writes without a converter: LiteRT takes them, XNNPACK runs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from published_models import MODELS, activations, build, macs, operators, write
from tflite_parts import DTYPES

FAMILIES = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "efficientnet_lite", "resnet")


def _smallest(family: str) -> str:
    return min((name for name, model in MODELS.items() if model.family == family), key=macs)


def _ran(content: bytes) -> tuple[Any, Any]:
    """The interpreter after one inference of random pixels, and the probabilities."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    given, found = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    random = np.random.default_rng(1)
    if given["dtype"] == np.float32:
        pixels = random.uniform(-1, 1, given["shape"]).astype(np.float32)
    else:
        span = np.iinfo(given["dtype"])
        pixels = random.integers(span.min, span.max, given["shape"], given["dtype"], endpoint=True)
    interpreter.set_tensor(given["index"], pixels)
    interpreter.invoke()
    scale, zero = found["quantization"]
    output = interpreter.get_tensor(found["index"])
    return interpreter, (output.astype(np.float64) - zero) * scale if scale else output


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_each_family_runs_in_each_type(family: str, dtype: Any) -> None:
    graph, output = build(_smallest(family), dtype)
    interpreter, found = _ran(graph.content(output))
    assert found.shape == (1, 1000 if family == "efficientnet_lite" else 1001)
    assert len(np.unique(found)) > 1
    assert 0 < found.max() < 0.5  # neither nothing nor one class: nothing saturates on the way
    parts = [op for op in interpreter._get_ops_details() if op["op_name"] == "DELEGATE"]
    if dtype == "fp32":
        assert found.sum() == pytest.approx(1, abs=1e-3)
        assert len(parts) == 1
    elif family != "mobilenet_v3":  # XNNPACK has no HARD_SWISH in 8 bits
        assert len(parts) == 2  # nor AVERAGE_POOL_2D: one part before it and one after


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_have_as_many_scales_as_their_type_says(dtype: Any) -> None:
    graph, output = build(_smallest("mobilenet_v1"), dtype)
    model = schema.ModelT.InitFromPackedBuf(graph.content(output))
    tensors = model.subgraphs[0].tensors
    kernels = [tensors[operator.inputs[1]] for operator in model.subgraphs[0].operators if len(operator.inputs) == 3]
    assert len(kernels) == 28
    for kernel in kernels:
        found = kernel.quantization
        if dtype == "fp32":
            assert found is None
            continue
        assert found.scale.size == (kernel.shape[found.quantizedDimension] if dtype == "int8" else 1)
        data = model.buffers[kernel.buffer].data
        codes = data.view(np.int8) if dtype == "int8" else data
        reach = np.abs(codes.astype(int) - found.zeroPoint[0]).max()
        assert 100 < reach <= 127


def test_multiply_accumulates_are_the_published_ones() -> None:
    published = {  # in millions: the papers' tables; ResNet50 v1.5 by MLPerf
        "mobilenet_v1_1.0_224": 569,
        "mobilenet_v1_0.5_160": 76,
        "mobilenet_v2_1.0_224": 300,
        "mobilenet_v2_1.4_224": 582,
        "mobilenet_v3_large_1.0_224": 217,
        "mobilenet_v3_small_1.0_224": 56,
        "resnet50_v1.5": 4100,
    }
    assert {name: macs(name) / 1e6 for name in published} == pytest.approx(published, rel=0.01)


def test_operators_and_activations_are_those_of_the_graph() -> None:
    name = "mobilenet_v1_0.25_128"
    assert operators(name) == {
        "CONV_2D": 15,
        "DEPTHWISE_CONV_2D": 13,
        "AVERAGE_POOL_2D": 1,
        "RESHAPE": 1,
        "SOFTMAX": 1,
    }
    graph, output = build(name, "int8")
    subgraph = schema.ModelT.InitFromPackedBuf(graph.content(output)).subgraphs[0]
    shapes = [subgraph.tensors[operator.outputs[0]].shape for operator in subgraph.operators]
    assert activations(name) == sum(int(np.prod(shape)) for shape in shapes)


def test_a_file_is_the_same_each_time_and_named_by_the_type_of_a_published_row(tmp_path: Path) -> None:
    paths = [tmp_path / "new" / name for name in ("one.tflite", "two.tflite")]
    for path, dtype in zip(paths, ("int8 per-channel", "int8/uint8"), strict=True):
        write("mobilenet_v1_0.25_128", dtype, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["one.tflite", "two.tflite"]
