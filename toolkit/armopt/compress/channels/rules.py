"""How channels pass through each layer of Keras. A layer without a rule keeps all channels that touch it."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import numpy as np

from armopt.compress.backend import keras, tf
from armopt.compress.channels.operations import operation
from armopt.compress.channels.parts import Ids, Part, Refused, Rule, Site, Work

layers = keras.layers

# Functions that compute each element from itself alone. Softmax is none: it would divide by another sum.
_NAMES = (
    *("linear", "relu", "elu", "selu", "gelu", "sigmoid", "hard_sigmoid", "tanh", "swish", "mish"),
    *("softplus", "softsign", "exponential"),
)
_ELEMENTWISE = (
    *(keras.activations.get(name) for name in _NAMES),
    *(tf.nn.relu, tf.nn.relu6, tf.nn.elu, tf.nn.selu, tf.nn.gelu, tf.nn.silu, tf.nn.leaky_relu, tf.sigmoid, tf.tanh),
)
_ACTIVATION_LAYERS = (layers.ReLU, layers.LeakyReLU, layers.ELU, layers.ThresholdedReLU)


def rule_of(layer: Any) -> Rule | None:
    """The layer's rule. Classes derived from Keras' own have none: they may compute anything."""
    if type(layer).__name__ == "TFOpLambda" and type(layer).__module__.startswith("tf_keras."):
        return operation
    return _RULES.get(type(layer))


def _convolution(site: Site) -> Part:
    layer = site.layer
    if layer.groups != 1:
        raise Refused("is a grouped convolution")
    inputs, outputs = site.only_input(), site.identities.new(layer.filters)
    factor = site.positions() * math.prod(layer.kernel_size)
    return _maker(site, inputs, outputs, "filters", factor)


def _dense(site: Site) -> Part:
    return _maker(site, site.only_input(), site.identities.new(site.layer.units), "units", site.positions())


def _maker(site: Site, inputs: Ids, outputs: Ids, size: str, factor: int) -> Part:
    return Part(
        outputs,
        axes={"kernel": {-2: inputs, -1: outputs}, "bias": {-1: outputs}},
        sizes={size: outputs},
        consumes=("kernel", -2),
        produces=True,
        work=(Work(factor, inputs, outputs),),
        mixes=_mixing(site.layer),
    )


def _depthwise(site: Site) -> Part:
    layer = site.layer
    inputs = site.only_input()
    outputs = np.repeat(inputs, layer.depth_multiplier)
    return Part(
        outputs,
        axes={"depthwise_kernel": {-2: inputs}, "bias": {-1: outputs}},
        work=(Work(site.positions() * math.prod(layer.kernel_size), None, outputs),),
        mixes=_mixing(layer),
    )


def _separable(site: Site) -> Part:
    layer = site.layer
    inputs, outputs = site.only_input(), site.identities.new(layer.filters)
    between = np.repeat(inputs, layer.depth_multiplier)
    return Part(
        outputs,
        axes={
            "depthwise_kernel": {-2: inputs},
            "pointwise_kernel": {-2: between, -1: outputs},
            "bias": {-1: outputs},
        },
        sizes={"filters": outputs},
        consumes=("pointwise_kernel", -2),
        produces=True,
        work=(
            Work(site.positions() * math.prod(layer.kernel_size), None, between),
            Work(site.positions(), between, outputs),
        ),
        mixes=_mixing(layer),
    )


def _batch_normalization(site: Site) -> Part:
    layer = site.layer
    if list(layer.axis) != [len(site.output_shape) - 1] or layer.renorm or getattr(layer, "virtual_batch_size", None):
        raise Refused("normalizes in another way than over its last axis")
    channels = site.only_input()
    return Part(
        channels,
        axes={name: {-1: channels} for name in ("gamma", "beta", "moving_mean", "moving_variance")},
    )


def _parametric_relu(site: Site) -> Part:
    channels, layer = site.only_input(), site.layer
    shared = len(site.output_shape) - 1 in (layer.shared_axes or ())
    return Part(channels, axes={} if shared else {"alpha": {-1: channels}})


def _through(site: Site) -> Part:
    return Part(site.only_input())


def _activation(site: Site) -> Part:
    return Part(site.only_input(), mixes=_mixing(site.layer))


def _dropout(site: Site) -> Part:
    noise = getattr(site.layer, "noise_shape", None)
    if noise is not None and noise[-1] not in (1, None):
        raise Refused("drops in a shape that counts the channels")
    return Part(site.only_input())


def _rescaling(site: Site) -> Part:
    if np.ndim(site.layer.scale) or np.ndim(site.layer.offset):
        raise Refused("scales each channel by a number of its own")
    return Part(site.only_input())


def _permute(site: Site) -> Part:
    if site.layer.dims[-1] != len(site.layer.dims):
        raise Refused("moves the channels to another axis")
    return Part(site.only_input())


def _reshape(site: Site) -> Part:
    """Rows of C channels laid out in rows of another length: the same order, so a place's channel is known.

    That takes one length to be a multiple of the other, as flattening does, and its undoing.
    """
    inputs, wide = site.only_input(), site.output_shape[-1]
    assert wide is not None
    if wide % len(inputs) == 0:
        outputs = np.tile(inputs, wide // len(inputs))
    elif len(inputs) % wide == 0:
        outputs, *others = inputs.reshape(-1, wide)
        for other in others:
            site.identities.join(outputs, other)
    else:
        raise Refused("mixes channels with places")
    return Part(outputs, sizes={"target_shape": outputs} if type(site.layer) is layers.Reshape else {})


def _merge(site: Site) -> Part:
    wide = site.output_shape[-1]
    full = [channels for channels in site.inputs if len(channels) == wide]
    if len(full) < len(site.inputs):
        raise Refused("spreads one channel over many")
    for other in full[1:]:
        site.identities.join(full[0], other)
    return Part(full[0])


def _concatenate(site: Site) -> Part:
    if site.layer.axis in (-1, len(site.output_shape) - 1):
        return Part(np.concatenate(site.inputs))
    for other in site.inputs[1:]:
        site.identities.join(site.inputs[0], other)
    return Part(site.inputs[0])


def _mixing(layer: Any) -> str:
    """Why a channel behind the layer's activation depends on the others; empty where it does not."""
    function = layer.activation
    if function is None or function in _ELEMENTWISE or type(function) in _ACTIVATION_LAYERS:
        return ""
    return f"has an activation, {getattr(function, '__name__', type(function).__name__)}, that may mix channels"


_RULES: MappingProxyType[type, Rule] = MappingProxyType(
    {
        **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), _convolution),
        layers.Dense: _dense,
        **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _depthwise),
        **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
        layers.BatchNormalization: _batch_normalization,
        layers.PReLU: _parametric_relu,
        layers.Activation: _activation,
        layers.Rescaling: _rescaling,
        layers.Permute: _permute,
        layers.Concatenate: _concatenate,
        **dict.fromkeys((layers.Reshape, layers.Flatten), _reshape),
        **dict.fromkeys(
            (layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum), _merge
        ),
        **dict.fromkeys(
            (
                *(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D),
                *(layers.AlphaDropout, layers.GaussianDropout, layers.GaussianNoise),
            ),
            _dropout,
        ),
        **dict.fromkeys(
            (
                *_ACTIVATION_LAYERS,
                *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
                *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
                *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
                *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
                *(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D),
                *(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D),
                *(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D),
                *(layers.RepeatVector, layers.Resizing, layers.ActivityRegularization),
            ),
            _through,
        ),
    }
)
