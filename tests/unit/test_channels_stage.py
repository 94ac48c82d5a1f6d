from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import channel_twins
import tiny_models
from armopt.compress.audit import audit
from armopt.compress.backend import keras
from armopt.compress.channels.groups import Frozen
from armopt.compress.channels.slim import Report, slim
from armopt.compress.constraints import Constraints
from armopt.compress.export import export_tflite
from armopt.compress.interpreter import HostInterpreter
from armopt.compress.promises import promises_of
from armopt.compress.stages import STAGES, Workpiece, channels
from armopt.core.errors import ModelError, UsageError
from armopt.core.profile import StageSettings
from armopt.core.stages import FACTS

layers = keras.layers


def test_a_narrower_model_is_made_and_trained_and_the_source_is_untouched() -> None:
    source = channel_twins.randomised(tiny_models.conv2d())
    weights = source.get_weights()
    context = tiny_models.context_for(source, width=0.5, width_step=2)
    made = channels.apply(Workpiece(source, Constraints()), context)
    assert [made.model.get_layer(name).filters for name in ("conv", "second")] == [4, 4]
    assert made.notes[0].startswith("channels 8 -> 4 in each of 2 groups, ")
    untrained = slim(source, context.settings, context.data, context.task).model
    assert not np.array_equal(made.model.get_weights()[0], untrained.get_weights()[0])
    assert all(np.array_equal(a, b) for a, b in zip(weights, source.get_weights(), strict=True))
    assert not made.constraints and made.kept is not None and FACTS["channels"].trains


def test_without_steps_nothing_is_trained() -> None:
    source = channel_twins.randomised(tiny_models.conv2d())
    context = tiny_models.context_for(source, width_step=2, epochs=0, min_steps=0)
    made = channels.apply(Workpiece(source, Constraints()), context).model
    untrained = slim(source, context.settings, context.data, context.task).model
    assert all(np.array_equal(a, b) for a, b in zip(made.get_weights(), untrained.get_weights(), strict=True))


def test_the_model_is_built_again_from_its_source_and_what_was_saved(tmp_path: Path) -> None:
    source = channel_twins.randomised(tiny_models.nested())
    made = channels.apply(Workpiece(source, Constraints()), tiny_models.context_for(source, width_step=1))
    channels.save(made, tmp_path)
    again = channels.rebuild(source, tmp_path)
    again.set_weights(made.model.get_weights())
    assert channel_twins.worst_difference(again, made.model, channel_twins.inputs_of(source)) == 0
    channels.save(Workpiece(source, Constraints()), tmp_path / "nothing")  # a piece with all its channels has no file
    with pytest.raises(ModelError, match="does not fit model 'conv2d'"):
        channels.rebuild(tiny_models.conv2d(), tmp_path)


def test_promises_of_an_ancestor_are_refused() -> None:
    source = tiny_models.dense()
    piece = Workpiece(source, Constraints().with_zeros({"out/kernel": np.ones((16, 3), bool)}))
    with pytest.raises(UsageError, match="make channels the first stage"):
        channels.apply(piece, tiny_models.context_for(source))


def test_later_stages_keep_their_promises_on_the_narrower_model(tmp_path: Path) -> None:
    source = channel_twins.randomised(tiny_models.nested())
    context = tiny_models.context_for(source, width_step=1, min_steps=2, epochs=0, clusters=32)
    piece = Workpiece(source, Constraints())
    for stage in ("channels", "prune", "cluster", "ptq"):
        piece = STAGES[stage].apply(piece, context)
    assert set(piece.constraints) == {"inner/conv/kernel", "out/kernel"}
    export_tflite(piece.model, context.data.train, tmp_path / "model.tflite")
    x = channel_twins.inputs_of(source, 32)
    guess = HostInterpreter(tmp_path / "model.tflite").run(x)[0]
    assert np.corrcoef(guess.ravel(), channel_twins.outputs(piece.model, x)[0].ravel())[0, 1] > 0.98
    found = audit(tmp_path / "model.tflite", promises_of(piece.model, piece.constraints))
    assert not found.unproven


@pytest.mark.parametrize("pattern", ["conv", "inner/conv", "inner/*", "inner/conv/kernel"])
def test_a_layer_is_spared_by_the_name_it_has_in_the_source_ahead_of_the_stage_and_behind_it(pattern: str) -> None:
    source = channel_twins.randomised(tiny_models.nested())
    steps = {"epochs": 0, "min_steps": 0, "width_step": 1, "importance": "l1"}
    with pytest.raises(ModelError, match="all layers that could be are spared"):
        channels.apply(Workpiece(source, Constraints()), tiny_models.context_for(source, **steps, spare=(pattern,)))
    narrow = channels.apply(Workpiece(source, Constraints()), tiny_models.context_for(source, **steps))
    pruned = STAGES["prune"].apply(narrow, tiny_models.context_for(source, **steps, spare=(pattern,)))
    assert set(pruned.constraints) == {"out/kernel"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0.25}, "keep 25% of the channels by taylor, 2 epochs, at least 300 steps"),
        ({"scope": "global", "importance": "l1", "min_steps": 0}, "keep 50% of the channels by l1 over all groups"),
    ],
)
def test_the_work_is_told(options: dict[str, Any], words: str) -> None:
    assert channels.describe(StageSettings.model_validate(options)).startswith(words)


def test_every_setting_that_decides_the_widths_tells_nodes_apart() -> None:
    wanted = {"width", "widths", "width_step", "importance", "scope", "spare", "first_layer", "last_layer", "seed"}
    assert wanted <= channels.USES


def test_frozen_layers_are_named_up_to_three_and_then_counted() -> None:
    frozen = tuple(Frozen(f"layer{number}", "'norm' (X) mixes") for number in range(5))
    end = Frozen("out", "they are outputs of the model", at_the_end=True)
    notes = Report({"a": (8, 16), "b": (8, 32)}, (end, *frozen), (25, 100)).notes()
    assert notes == (
        "channels 48 -> 16 in 2 groups, 25% of the multiply-accumulates",
        "all channels stay in 'layer0', 'layer1', 'layer2' and 2 more: 'norm' (X) mixes",
    )
    assert Report({"a": (8, 16)}, (end,), (1, 2)).notes() == (
        "channels 16 -> 8 in one group, 50% of the multiply-accumulates",
    )
