"""The networks that published Arm latencies name, as graphs of `tflite_graphs.py` with random weights.

    python benchmarks/published_models.py            # MACs, activations and operators of all models

All models of the rows with XNNPACK or ruy kernels are here, except ssd_mobilenet_v1: its detection post-processing is a
custom operator whose time depends on the boxes found. Rows with other or unnamed kernels are left out (Inceptions,
NASNets, MnasNets, DenseNet, SqueezeNet, VGG and more): that is not the runtime that is predicted. MobileNet v3,
EfficientNet-lite1 and 3, and ResNet50 have no rows yet.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from tflite_graphs import Activation, Graph, Tensor
from tflite_parts import Dtype

# dtype of a published row -> of the file. EfficientNet-lite's 'int8/uint8' means int8 kernels with a scale per channel;
# that its hosted files turn uint8 pictures into int8 first, and probabilities back, is left out here.
DTYPE_OF_ROW: dict[str, Dtype] = {
    "fp32": "fp32",
    "int8": "int8",
    "int8 per-channel": "int8",
    "int8/uint8": "int8",
    "uint8 per-tensor": "uint8 per-tensor",
}
_CLASSES = 1001  # ImageNet's and "background", in all hosted files but EfficientNet-lite's


@dataclass(frozen=True)
class Model:
    """A published network: its family, height and width of its pictures, and what leads from them to probabilities."""

    family: str
    size: int
    body: Callable[[Graph, Tensor], Tensor]


def _rounded(filters: float) -> int:
    """To a multiple of 8, by at most 10% downwards (`_make_divisible` in tensorflow/models, slim/nets/mobilenet)."""
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * filters else nearest


def _classified(graph: Graph, x: Tensor) -> Tensor:
    """The end of the MobileNets from average pooling on, by a convolution for the classes.

    Only here do the hosted files differ from what today's converter makes of Keras' MobileNets: for AVERAGE_POOL_2D it
    has MEAN (which XNNPACK takes in 8 bits too, and AVERAGE_POOL_2D only in fp32); for v2's CONV_2D and RESHAPE it has
    FULLY_CONNECTED; before v1's RESHAPE it has SHAPE, STRIDED_SLICE and PACK, as Keras leaves the batch open. Keras'
    explicit padding becomes SAME. All before is the same in operators, versions, options and shapes.
    """
    return graph.softmax(graph.flatten(graph.convolution(graph.average(x), _CLASSES)))


def _mobilenet_v1(graph: Graph, x: Tensor, width: float) -> Tensor:
    """Howard et al., arXiv 1704.04861, table 1."""
    x = graph.convolution(x, int(32 * width), 3, 2, "relu6")
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for filters, stride in blocks:
        x = graph.depthwise(x, 3, stride, "relu6")
        x = graph.convolution(x, int(filters * width), activation="relu6")
    return _classified(graph, x)


def _inverted(graph: Graph, x: Tensor, expanded: int, kernel: int, stride: int, filters: int) -> Tensor:
    """Inverted residual block with ReLU6: Sandler et al., arXiv 1801.04381, figure 4d."""
    source = x
    if expanded != x.shape[3]:
        x = graph.convolution(x, expanded, activation="relu6")
    x = graph.depthwise(x, kernel, stride, "relu6")
    x = graph.convolution(x, filters)
    return graph.add(x, source) if source.shape == x.shape else x


def _mobilenet_v2(graph: Graph, x: Tensor, width: float) -> Tensor:
    """Table 2 of arXiv 1801.04381; the last convolution is widened but never narrowed, as in the hosted checkpoints."""
    x = graph.convolution(x, _rounded(32 * width), 3, 2, "relu6")
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, filters, repeats, stride in stages:
        for index in range(repeats):
            step = stride if index == 0 else 1
            x = _inverted(graph, x, expansion * x.shape[3], 3, step, _rounded(filters * width))
    x = graph.convolution(x, _rounded(1280 * max(width, 1.0)), activation="relu6")
    return _classified(graph, x)


# (width, depth, size) of lite0 to lite4, then (repeats, kernel, stride, expansion, filters) of each stage:
# tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py
_LITE = [(1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280), (1.4, 1.8, 300)]
_LITE_STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]


def _efficientnet_lite(graph: Graph, x: Tensor, width: float, depth: float) -> Tensor:
    """EfficientNet without squeeze-excite; stem, head and the repeats of the first and last stage are not scaled."""
    x = graph.convolution(x, 32, 3, 2, "relu6")
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(_LITE_STAGES):
        fixed = stage in (0, len(_LITE_STAGES) - 1)
        for index in range(repeats if fixed else math.ceil(repeats * depth)):
            step = stride if index == 0 else 1
            x = _inverted(graph, x, expansion * x.shape[3], kernel, step, _rounded(filters * width))
    x = graph.convolution(x, 1280, activation="relu6")
    return graph.softmax(graph.fully_connected(graph.flatten(graph.average(x)), 1000))


# (kernel, expanded, filters, squeeze-excite, hard-swish, stride): Howard et al., arXiv 1905.02244, tables 1 and 2
_V3_LARGE = [
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
]
_V3_SMALL = [
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
]


def _activated(graph: Graph, x: Tensor, hard_swish: bool, filters: int, kernel: int = 1, stride: int = 1) -> Tensor:
    """A convolution and its activation; hard-swish is an operator of its own."""
    activation: Activation = "none" if hard_swish else "relu"
    x = graph.convolution(x, filters, kernel, stride, activation)
    return graph.hard_swish(x) if hard_swish else x


def _squeeze_excited(graph: Graph, x: Tensor) -> Tensor:
    """Channels weighed by what their averages say: arXiv 1905.02244, section 5.3."""
    gate = graph.convolution(graph.average(x), _rounded(x.shape[3] / 4), activation="relu")
    gate = graph.hard_sigmoid(graph.convolution(gate, x.shape[3]))
    return graph.multiply(x, gate)


def _mobilenet_v3(
    graph: Graph, x: Tensor, blocks: list[tuple[int, int, int, bool, bool, int]], last: int, minimalistic: bool
) -> Tensor:
    """MobileNet v3; 'minimalistic' has ReLU for hard-swish, 3x3 kernels only and no squeeze-excite (slim's README)."""
    x = _activated(graph, x, not minimalistic, 16, 3, 2)
    for kernel, expanded, filters, squeeze, swish, stride in blocks:
        source, swish = x, swish and not minimalistic
        if expanded != x.shape[3]:
            x = _activated(graph, x, swish, expanded)
        x = graph.depthwise(x, 3 if minimalistic else kernel, stride, "none" if swish else "relu")
        x = graph.hard_swish(x) if swish else x
        if squeeze and not minimalistic:
            x = _squeeze_excited(graph, x)
        x = graph.convolution(x, filters)
        x = graph.add(x, source) if source.shape == x.shape else x
    x = _activated(graph, x, not minimalistic, 6 * x.shape[3])
    x = _activated(graph, graph.average(x), not minimalistic, last)
    return graph.softmax(graph.flatten(graph.convolution(x, _CLASSES)))


def _resnet50(graph: Graph, x: Tensor) -> Tensor:
    """He et al., arXiv 1512.03385, table 1, as v1.5: a block's stride is in its 3x3 convolution."""
    x = graph.max_pool(graph.convolution(x, 64, 7, 2, "relu"), 3, 2)
    for filters, repeats, stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        for index in range(repeats):
            step, source = stride if index == 0 else 1, x
            x = graph.convolution(x, filters, activation="relu")
            x = graph.convolution(graph.convolution(x, filters, 3, step, "relu"), 4 * filters)
            shortcut = graph.convolution(source, 4 * filters, 1, step) if index == 0 else source
            x = graph.add(x, shortcut, "relu")
    return graph.softmax(graph.fully_connected(graph.flatten(graph.average(x)), _CLASSES))


def _all_models() -> dict[str, Model]:
    models = {}
    for width in (0.25, 0.5, 1.0):
        for size in (128, 160, 192, 224):
            models[f"mobilenet_v1_{width}_{size}"] = Model("mobilenet_v1", size, partial(_mobilenet_v1, width=width))
    for width, sizes in {
        0.5: (96, 128, 160, 192, 224),
        1.0: (96, 128, 160, 192, 224),
        1.3: (224,),
        1.4: (224,),
    }.items():
        for size in sizes:
            models[f"mobilenet_v2_{width}_{size}"] = Model("mobilenet_v2", size, partial(_mobilenet_v2, width=width))
    for level, (width, depth, size) in enumerate(_LITE):
        body = partial(_efficientnet_lite, width=width, depth=depth)
        models[f"efficientnet-lite{level}"] = Model("efficientnet_lite", size, body)
    for kind, blocks, last in (("large", _V3_LARGE, 1280), ("small", _V3_SMALL, 1024)):
        for minimalistic in (False, True):
            body = partial(_mobilenet_v3, blocks=blocks, last=last, minimalistic=minimalistic)
            name = f"mobilenet_v3_{kind}{'-minimalistic' if minimalistic else ''}_1.0_224"
            models[name] = Model("mobilenet_v3", 224, body)
    models["resnet50_v1.5"] = Model("resnet", 224, _resnet50)
    return models


MODELS: dict[str, Model] = _all_models()


def build(name: str, dtype: Dtype) -> tuple[Graph, Tensor]:
    """The model as a graph, and its output."""
    model = MODELS[name]
    graph = Graph(dtype, (1, model.size, model.size, 3))
    return graph, model.body(graph, graph.input)


@cache
def _graph(name: str) -> Graph:
    return build(name, "fp32")[0]  # the operators are the same in all types


def macs(name: str) -> int:
    """Multiply-accumulates of one inference.

    For EfficientNet-lite some 5% less than is published (lite0: 385 M for 407 M, lite4: 2.55 G for 2.64 G). The
    difference is three per element of an activation in all five, so it seems that normalization counts there.
    """
    return _graph(name).macs


def activations(name: str) -> int:
    """Elements of all operators' outputs."""
    return _graph(name).activations


def operators(name: str) -> Counter[str]:
    """How many of each builtin operator the file has."""
    return _graph(name).operators


def write(name: str, dtype: str, path: Path) -> None:
    """Write the model as a .tflite.

    Args:
        name: one of `MODELS`.
        dtype: one of `DTYPE_OF_ROW`.
        path: of the file; its folder is made.

    Raises:
        KeyError: no such model or dtype.
    """
    graph, output = build(name, DTYPE_OF_ROW[dtype])
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_bytes(graph.content(output))
    fresh.replace(path)


def main() -> None:
    """Print one table of all models, in Markdown."""
    print("| model | family | MACs (M) | activations (M) | operators |\n|---|---|---|---|---|")
    for name, model in MODELS.items():
        counts = ", ".join(f"{count} {operator}" for operator, count in operators(name).items())
        print(f"| {name} | {model.family} | {macs(name) / 1e6:.1f} | {activations(name) / 1e6:.2f} | {counts} |")


if __name__ == "__main__":
    main()
