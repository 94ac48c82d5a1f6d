from __future__ import annotations

import contextlib
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given
from hypothesis import strategies as st

import sparse_models
import tiny_models
from armopt.compress.audit import audit
from armopt.compress.backend import keras, tf
from armopt.compress.constraints import Constraints
from armopt.compress.graph_file import read_operators
from armopt.compress.packing import packed
from armopt.compress.promises import promises_of
from armopt.compress.sparse_file import dense_values
from armopt.compress.stages import STAGES, Workpiece
from armopt.compress.tflite_file import read_weights
from armopt.core.errors import StructureLost, UsageError

Array = np.ndarray[Any, Any]


def _encoded(array: Array, block: tuple[int, ...]) -> tuple[Array, SimpleNamespace]:
    """Straight from the format's definition: outer axes in order, the last compressed, then the axes of a block."""
    outer = tuple(size // width for size, width in zip(array.shape, block, strict=True))
    blocked = [axis for axis, width in enumerate(block) if width > 1]
    values, segments, indices = [], [0], []
    for place in product(*map(range, outer[:-1])):
        for last in range(outer[-1]):
            corner = [p * w for p, w in zip((*place, last), block, strict=True)]
            part = array[tuple(slice(c, c + w) for c, w in zip(corner, block, strict=True))]
            if part.any():
                indices.append(last)
                values += part.ravel().tolist()
        segments.append(len(indices))
    dense = [SimpleNamespace(format=0, denseSize=size, arraySegments=None, arrayIndices=None) for size in outer[:-1]]
    last = SimpleNamespace(
        format=1,
        denseSize=0,
        arraySegments=SimpleNamespace(values=segments),
        arrayIndices=SimpleNamespace(values=indices),
    )
    inner = [SimpleNamespace(format=0, denseSize=block[axis]) for axis in blocked]
    order = list(range(array.ndim + len(blocked)))
    sparsity = SimpleNamespace(traversalOrder=order, blockMap=blocked, dimMetadata=[*dense, last, *inner])
    return np.array(values, array.dtype), sparsity


@given(
    outer=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    widths=st.lists(st.sampled_from([1, 1, 2, 4]), min_size=4, max_size=4),
    seed=st.integers(0, 2**16),
    share=st.floats(0, 1),
)
def test_what_was_left_out_comes_back_as_zeros(outer: list[int], widths: list[int], seed: int, share: float) -> None:
    block = tuple(widths[: len(outer)])
    shape = tuple(size * width for size, width in zip(outer, block, strict=True))
    generator = np.random.default_rng(seed)
    array = (generator.normal(size=shape) * (generator.random(shape) > share)).astype(np.float32)
    assert np.array_equal(dense_values(shape, *_encoded(array, block)), array)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda s: s.dimMetadata[1].arrayIndices.values.__setitem__(0, 99),
        lambda s: s.dimMetadata[1].arraySegments.values.__setitem__(1, 99),
        lambda s: s.dimMetadata[1].arraySegments.values.pop(),
        lambda s: s.dimMetadata.pop(),
        lambda s: s.traversalOrder.reverse() or s.traversalOrder.append(7),
        lambda s: setattr(s.dimMetadata[1], "format", 5),
        lambda s: setattr(s.dimMetadata[1], "arrayIndices", None),
    ],
)
def test_positions_that_do_not_fit_are_refused(break_it: Any) -> None:
    values, sparsity = _encoded(np.eye(4, dtype=np.float32), (1, 1))
    break_it(sparsity)
    with pytest.raises(ValueError, match=r"do not fit|unknown kind"):
        dense_values((4, 4), values, sparsity)


def test_a_shape_that_would_fill_the_memory_is_refused() -> None:
    values, sparsity = _encoded(np.eye(4, dtype=np.float32), (1, 1))
    with pytest.raises(ValueError, match="no kernel has"):
        dense_values((1 << 30, 1 << 30), values, sparsity)


@pytest.fixture(scope="module")
def leaf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Workpiece]:
    """A pruned network's sparse file, and what was promised of it."""
    model = sparse_models.mobile()
    context = tiny_models.context_for(model, sparsity=0.8)
    piece = STAGES["sparse"].apply(STAGES["prune"].apply(Workpiece(model, Constraints()), context), context)
    return sparse_models.exported(piece.model, tmp_path_factory.mktemp("sparse") / "model.tflite"), piece


def test_the_runtime_makes_the_same_dense_kernels(leaf: tuple[Path, Workpiece]) -> None:
    interpreter = Interpreter(
        str(leaf[0]),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    made = {op["inputs"][0]: op["outputs"][0] for op in interpreter._get_ops_details() if op["op_name"] == "DENSIFY"}
    weights = {tensor.index[1]: tensor.codes for tensor in read_weights(leaf[0])}
    assert len(made) == 4 and made.keys() <= weights.keys()
    for stored, dense in made.items():
        assert np.array_equal(interpreter.get_tensor(dense), weights[stored])


def test_every_promised_zero_is_proved_from_the_files_own_positions(leaf: tuple[Path, Workpiece]) -> None:
    path, piece = leaf
    found = audit(path, promises_of(piece.model, piece.constraints))
    assert found.unproven == () and {layer.dtype for layer in found.layers} == {"float32"}
    promised = [layer for layer in found.layers if layer.zeros_promised is not None]
    assert len(promised) == 4
    assert all(layer.zeros_promised == round(0.8 * np.prod(layer.shape)) for layer in promised)


def test_one_position_moved_onto_a_promised_zero_fails_the_audit(leaf: tuple[Path, Workpiece], tmp_path: Path) -> None:
    path, piece = leaf
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    sparse = max((t for t in model.subgraphs[0].tensors if t.sparsity), key=lambda t: np.prod(t.shape))
    level = sparse.sparsity.dimMetadata[-1]
    indices = level.arrayIndices.values = np.array(level.arrayIndices.values)
    free = sorted(set(range(int(sparse.shape[-1]))) - set(indices[: level.arraySegments.values[1]].tolist()))
    indices[0] = free[0]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "moved.tflite").write_bytes(builder.Output())
    with pytest.raises(StructureLost, match=r"1 of .* pruned weights"):
        audit(tmp_path / "moved.tflite", promises_of(piece.model, piece.constraints))


def test_a_sparse_file_with_any_byte_changed_never_ends_in_a_traceback(
    leaf: tuple[Path, Workpiece], tmp_path: Path
) -> None:
    content = bytearray(leaf[0].read_bytes())
    path = tmp_path / "changed.tflite"
    for place in np.random.default_rng(1).integers(8, len(content), 60):
        changed = content.copy()
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        with contextlib.suppress(UsageError):
            audit(path)


def test_sparse_kernels_are_operators_like_others_in_the_graph(leaf: tuple[Path, Workpiece]) -> None:
    operators = read_operators(leaf[0])
    assert "DENSIFY" not in {operator.kind for operator in operators}
    convolution = [operator for operator in operators if operator.kind == "CONV_2D"][-1]
    assert len(convolution.inputs) == 1 and 0 < convolution.weight_bytes < 4 * 16 * 32
    assert convolution.macs == 8 * 8 * 16 * 32


def test_16_bit_positions_stay_aligned_to_4_bytes_as_the_schema_asks() -> None:
    layers = keras.layers
    model = keras.Sequential([layers.Input((64,)), *(layers.Dense(size) for size in (64, 66, 67, 69, 3))])
    converter = tf.lite.TFLiteConverter.from_keras_model(sparse_models.pruned(model, 0.7))
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    made = packed(converter.convert())
    graph, found = schema.Model.GetRootAs(made, 0).Subgraphs(0), []
    for number in range(graph.TensorsLength()):
        sparsity = graph.Tensors(number).Sparsity()
        for level in range(sparsity.DimMetadataLength() if sparsity else 0):
            metadata = sparsity.DimMetadata(level)
            for kind, table in (
                (metadata.ArraySegmentsType(), metadata.ArraySegments()),
                (metadata.ArrayIndicesType(), metadata.ArrayIndices()),
            ):
                if kind == schema.SparseIndexVector.Uint16Vector:
                    vector = schema.Uint16Vector()
                    vector.Init(table.Bytes, table.Pos)
                    found.append(vector._tab.Vector(vector._tab.Offset(4)))
    assert len(found) >= 4 and all(place % 4 == 0 for place in found)
