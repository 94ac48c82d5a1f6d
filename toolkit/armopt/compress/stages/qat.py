"""Quantization-aware training on TFMOT's fake-quant transform, under all promises of the ancestors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from armopt.compress.backend import keras
from armopt.compress.constraints import Constraints
from armopt.compress.kernels import RenamedKernels, kernels_of
from armopt.compress.models import copy_model
from armopt.compress.projection import ConstraintsCallback
from armopt.compress.stages.base import Context, Workpiece
from armopt.compress.training import TRAINING_SETTINGS, describe_training, fine_tune
from armopt.core.errors import ModelError
from armopt.core.profile import StageSettings

TRAINS = True
LEAF = True
USES = TRAINING_SETTINGS

# TFMOT folds batch normalization only behind these; elsewhere it refuses the layer.
_BEFORE_BATCH_NORM = ("Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense", "SeparableConv2D")
# Layers that TFMOT replaces by others in its transforms, without knowing them in its registry.
_TRANSFORMED = ("SeparableConv2D",)


def describe(settings: StageSettings) -> str:
    """The work in a few words."""
    return f"quantization-aware training, {describe_training(settings)}"


def apply(piece: Workpiece, context: Context) -> Workpiece:
    """Train with fake quantization. Layers that TFMOT does not know stay float here and are quantized after training.

    Raises:
        ModelError: training diverged.
    """
    if context.settings.epochs == context.settings.min_steps == 0:
        # Untrained, the fake-quantizers' ranges are TFMOT's start values, which the converter would believe.
        return Workpiece(copy_model(piece.model), piece.constraints, ("no training was asked for: only quantized",))
    model, notes = with_fake_quant(piece.model)
    model.armopt_kernels = counterparts(piece.model, model, piece.constraints)
    keeping = ConstraintsCallback(piece.constraints)
    fine_tune(model, context.data.train, context.task, context.settings, keeping, context.on_step)
    return Workpiece(model, piece.constraints, notes)


def with_fake_quant(source: Any) -> tuple[Any, tuple[str, ...]]:
    """A copy of the model, fake-quantized where TFMOT knows the layer, and what was left out, in words."""
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_registry,
    )
    from tensorflow_model_optimization.quantization.keras import quantize_annotate_layer, quantize_apply, quantize_scope

    model = copy_model(source)
    if not (isinstance(model, keras.Sequential) or getattr(model, "_is_graph_network", False)):
        return model, ("a subclassed model can't be annotated for fake quantization: fine-tuned, then quantized",)
    nested = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    if nested:
        return model, (f"nested models ({', '.join(nested)}) can't be annotated: fine-tuned, then quantized",)
    registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry()
    unknown = [layer.name for layer in model.layers if not _is_known(layer, registry)]

    def annotate(layer: Any) -> Any:
        known = layer.name not in unknown and not isinstance(layer, keras.layers.InputLayer)
        return quantize_annotate_layer(layer) if known else layer

    try:
        with quantize_scope():
            annotated = keras.models.clone_model(model, clone_function=annotate)
            annotated.set_weights(model.get_weights())
            quantized = quantize_apply(annotated)
    except (ValueError, RuntimeError, TypeError, KeyError, AttributeError, IndexError) as error:
        # TFMOT's transform fails on some graphs in its own code; the leaf is still worth having.
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        return copy_model(source), (
            f"TFMOT can't make this model fake-quantized ({reason}): fine-tuned, then quantized",
        )
    left = [name for name in unknown if model.get_layer(name).weights]
    notes = (f"quantized after training, unknown to TFMOT: {', '.join(left)}",) if left else ()
    return quantized, notes


def _is_known(layer: Any, registry: Any) -> bool:
    name = type(layer).__name__
    if isinstance(layer, keras.layers.InputLayer):
        return True
    if len(layer._inbound_nodes) > 1:
        # A shared layer has one set of activation ranges in TFMOT and gets wrapped once per call: left out.
        return False
    if name == "BatchNormalization":
        before = layer._inbound_nodes[0].inbound_layers
        return not isinstance(before, list) and type(before).__name__ in _BEFORE_BATCH_NORM
    return name in _TRANSFORMED or bool(registry.supports(layer))


def counterparts(source: Any, quantized: Any, constraints: Constraints) -> RenamedKernels:
    """Kernels of the fake-quant model under the keys of its source.

    TFMOT renames and splits layers; right after its transform the weights are equal bit for bit, so a kernel that is
    not found by name is found by value.

    Raises:
        ModelError: a constrained kernel has no counterpart.
    """
    made = {kernel.key: kernel.variable for kernel in kernels_of(quantized)}
    found = []
    for kernel in kernels_of(source):
        value = kernel.variable.numpy()
        candidates = [made[kernel.key]] if kernel.key in made else list(made.values())
        equal = [variable for variable in candidates if np.array_equal(variable.numpy(), value)]
        if equal:
            found.append(replace(kernel, variable=equal[0]))
        elif kernel.key in constraints:
            raise ModelError(f"kernel '{kernel.key}' is not to be found in the fake-quant model", "spare this layer")
    return RenamedKernels(tuple(found))
