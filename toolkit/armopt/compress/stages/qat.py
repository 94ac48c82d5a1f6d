"""Quantization-aware training on TFMOT's fake-quant wrappers, under all promises of the ancestors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from armopt.compress.backend import tf
from armopt.compress.constraints import Constraints
from armopt.compress.data import Array
from armopt.compress.flatten import is_graph
from armopt.compress.int8_grid import kernels_for_the_converter
from armopt.compress.kernels import RenamedKernels, kernels_of
from armopt.compress.models import copy_model, fixed_batch
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.stages.base import Context, Workpiece
from armopt.compress.training import TRAINING_SETTINGS, describe_training, fine_tune
from armopt.core.errors import ModelError
from armopt.core.profile import StageSettings

USES = TRAINING_SETTINGS

# Samples on which activation ranges start.
_OBSERVED = 64


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    return f"quantization-aware training, {describe_training(settings)}"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """Train with fake quantization. Layers that TFMOT does not know stay float here and are quantized after training.

    Raises:
        ModelError: training diverged, or a copy of the model computes something else.
    """
    if context.settings.epochs == context.settings.min_steps == 0:
        return Workpiece(copy_model(piece.model), piece.constraints, ("no training was asked for: only quantized",))
    samples = context.data.train.sample(_OBSERVED).x
    model, notes = with_fake_quant(piece.model, samples, piece.constraints)
    keeping = ConstraintsCallback(piece.constraints)
    fine_tune(
        model, context.data.train, context.task, context.settings, keeping, context.on_step, teacher=context.teacher
    )
    return Workpiece(model, keeping.constraints, notes)


def with_fake_quant(
    source: Any, samples: tuple[Array, ...], constraints: Constraints | None = None
) -> tuple[Any, tuple[str, ...]]:
    """A fake-quantized twin of the model, whose `armopt_kernels` has the source's keys, and what was left out in words.

    Args:
        source: the model; not changed.
        samples: of its inputs: activation ranges start from them, and the twin has to compute what the source does.
        constraints: on kernels, each of which must have its counterpart.

    Raises:
        ModelError: a constrained kernel has no counterpart, or a copy of the model computes something else.
    """
    from armopt.compress.fake_quant import observe_ranges
    from armopt.compress.quantized_graph import quantized_graph

    if not is_graph(source):
        return copy_model(source), ("a subclassed model can't be fake-quantized: fine-tuned, then quantized",)
    batches = list(_batches(samples, fixed_batch(source)))
    try:
        made = quantized_graph(source)
        with kernels_for_the_converter():
            computed = tf.nest.flatten(observe_ranges(made.model, batches))
    except (ValueError, RuntimeError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError) as error:
        # Keras and TFMOT fail on some graphs in their own code; the leaf is still worth having.
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        return _only_copied(source, reason)
    expected = _outputs(source, batches)
    if not _agree(computed, expected):
        copy, notes = _only_copied(source, "its layers put in a row compute something else")
        if not _agree(_outputs(copy, batches), expected):
            raise ModelError(
                f"a copy of model '{source.name}' computes something else",
                "let every custom layer's get_config return all that it computes with",
            )
        return copy, notes
    made.model.armopt_kernels = counterparts(source, made.variables, constraints or Constraints())
    left = ", ".join(made.left)
    return made.model, (f"quantized after training only, unknown to TFMOT: {left}",) if left else ()


def counterparts(source: Any, variables: dict[int, Any], constraints: Constraints) -> RenamedKernels:
    """Kernels of the fake-quant model under the keys of its source.

    Args:
        source: the model as it was.
        variables: by `id` of a source's variable the one that stands for it.
        constraints: on its kernels.

    Raises:
        ModelError: a constrained kernel has no counterpart.
    """
    found = []
    for kernel in kernels_of(source):
        variable = variables.get(id(kernel.variable))
        if variable is not None:
            found.append(replace(kernel, variable=variable))
        elif kernel.key in constraints:
            raise ModelError(f"kernel '{kernel.key}' is not to be found in the fake-quant model", "spare this layer")
    return RenamedKernels(tuple(found))


def _batches(samples: tuple[Array, ...], fixed: int | None) -> Iterator[Any]:
    """The samples as the model takes them: all at once, or in whole batches where it fixes their size."""
    size = fixed or len(samples[0])
    for start in range(0, len(samples[0]) // size * size, size):
        batch = [array[start : start + size] for array in samples]
        yield batch if len(batch) > 1 else batch[0]


def _only_copied(source: Any, reason: str) -> tuple[Any, tuple[str, ...]]:
    return copy_model(source), (f"this model can't be fake-quantized ({reason}): fine-tuned, then quantized",)


def _outputs(model: Any, batches: list[Any]) -> list[Any]:
    found: list[Any] = tf.nest.flatten([model(batch, training=False) for batch in batches])
    return found


def _agree(computed: list[Any], expected: list[Any]) -> bool:
    return all(
        np.allclose(a, b, rtol=1e-3, atol=1e-4 * max(1e-6, float(np.abs(b).max())))
        for a, b in zip(computed, expected, strict=True)
    )
