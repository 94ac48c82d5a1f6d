from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import channel_twins
from armopt.compress.backend import keras
from armopt.compress.channels.groups import ChannelGraph

applications = keras.applications

# Without a softmax, which would hide what the random weights do.
_BARE: dict[str, Any] = {"weights": None, "classes": 10, "classifier_activation": None}

MODELS: dict[str, tuple[Callable[[], Any], int]] = {
    "resnet8": (channel_twins.resnet8, 6),
    "mobilenet_v1": (lambda: applications.MobileNet((32, 32, 3), alpha=0.25, **_BARE), 14),
    "mobilenet_v2": (lambda: applications.MobileNetV2((32, 32, 3), alpha=0.35, **_BARE), 25),
    "mobilenet_v3": (lambda: applications.MobileNetV3Small((32, 32, 3), alpha=0.75, **_BARE), 27),
    "efficientnet_b0": (lambda: applications.EfficientNetB0(input_shape=(32, 32, 3), **_BARE), 40),
    "densenet121": (lambda: applications.DenseNet121(input_shape=(32, 32, 3), weights=None, classes=10), 120),
}


@pytest.mark.parametrize("name", MODELS)
def test_published_models_shrink_exactly(name: str) -> None:
    make, groups = MODELS[name]
    model = make()
    graph = ChannelGraph(model)
    assert len(graph.groups) == groups
    assert all(one.at_the_end for one in graph.frozen), "nothing but the outputs has to stay"
    counted = ChannelGraph(channel_twins.assert_exact(model))
    kept = graph.keep(channel_twins.random_kept(graph))
    assert graph.macs.total(kept) == counted.macs.total(counted.keep({}))


def test_a_model_with_grouped_convolutions_shrinks_where_it_can_and_says_where_it_cannot() -> None:
    model = applications.RegNetX002(input_shape=(32, 32, 3), **_BARE)
    held = [one for one in ChannelGraph(model).frozen if not one.at_the_end]
    assert held and all("grouped convolution" in one.reason for one in held)
    channel_twins.assert_exact(model)
