"""Six classifiers from one table, each taking images of 0-255."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellprep.errors import CellprepError, in_range, one_of

from .devices import mixed_policy

HEAD = "head_"
"""What the names of the layers behind the backbone begin with."""

_APPLICATIONS = "https://storage.googleapis.com/tensorflow/keras-applications/"


@dataclass(frozen=True)
class Backbone:
    """One row of the table.

    Attributes
    ----------
    constructor : str
        Its name in `keras.applications`; empty for the baseline.
    smallest : int
        Side of the smallest image that it takes.
    weights : str
        Where its ImageNet weights come from.
    rescale : bool
        Whether the constructor leaves it to us to bring 0-255 to -1..1.
    """

    constructor: str
    smallest: int
    weights: str = ""
    rescale: bool = False


BACKBONES = {
    "baseline_cnn": Backbone("", 8),
    "mobilenet_v3": Backbone(
        "MobileNetV3Large",
        32,
        _APPLICATIONS + "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    ),
    "inception_v3": Backbone(
        "InceptionV3",
        75,
        _APPLICATIONS + "inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        rescale=True,
    ),
    "efficientnet_b0": Backbone(
        "EfficientNetB0",
        32,
        "https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5",
    ),
    "efficientnet_b2": Backbone(
        "EfficientNetB2",
        32,
        "https://storage.googleapis.com/keras-applications/efficientnetb2_notop.h5",
    ),
    "efficientnet_v2s": Backbone(
        "EfficientNetV2S",
        32,
        _APPLICATIONS + "efficientnet_v2/efficientnetv2-s_notop.h5",
    ),
}


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
    """A classifier of RGB images in 0-255; what its backbone does to them first is inside.

    The head is dropout, a dense layer, dropout and a dense softmax; that of `baseline_cnn` is the
    dense softmax alone.

    Parameters
    ----------
    name : str
        `baseline_cnn`, `mobilenet_v3` (Large), `inception_v3`, `efficientnet_b0`,
        `efficientnet_b2` or `efficientnet_v2s`.
    n_classes : int
        2 or more.
    input_shape : (height, width, 3)
        From 32 a side on; from 75 for `inception_v3`, from 8 for `baseline_cnn`.
    weights : "imagenet", None, or path
        What the backbone starts from: ImageNet weights, which Keras fetches once; random numbers;
        or a file of weights of this backbone without its top, such as the one that Keras fetches.
        There are no ImageNet weights for `baseline_cnn`, which then starts from random numbers.
    units : int
        Of the first dense layer.
    dropout : float
        Share of values dropped before each dense layer, in [0, 0.95].
    l2 : float
        Factor of the squared convolution kernels in the loss; frozen kernels, which cannot change,
        are not counted.
    frozen : int or float
        Layers of the backbone, counted from the input, that keep their weights: a number of them,
        or a share in [0, 1] if it is a float. Batch normalisation in them keeps its statistics too.
    precision : "auto", "float32" or "mixed"
        Mixed precision computes in 16 bits, on GPUs of compute capability 7 and up; "auto" does so
        where there is one.
    seed : int
        Of the random weights.

    Returns
    -------
    keras.Model
        From (n, height, width, 3) to (n, n_classes) probabilities.

    Raises
    ------
    CellprepError
        For settings that cannot be, an input too small for the backbone, weights that cannot be had
        or are of another backbone, and "mixed" without such a GPU.

    References
    ----------
    .. [1] A. Howard et al. Searching for MobileNetV3. ICCV 2019.
    .. [2] C. Szegedy et al. Rethinking the Inception Architecture for Computer Vision. CVPR 2016.
    .. [3] M. Tan, Q. Le. EfficientNet. ICML 2019; EfficientNetV2. ICML 2021.

    Examples
    --------
    >>> model = build("baseline_cnn", 8, (96, 96, 3))  # doctest: +SKIP
    >>> model.output_shape  # doctest: +SKIP
    (None, 8)
    """
    one_of("name", name, BACKBONES)
    backbone = BACKBONES[name]
    in_range("n_classes", n_classes, 2, 2**20, whole=True)
    in_range("units", units, 1, 2**20, whole=True)
    in_range("dropout", dropout, 0, 0.95)
    in_range("l2", l2, 0, 1e6)
    one_of("precision", precision, ("auto", "float32", "mixed"))
    shape = _check_shape(name, input_shape)
    file = _check_weights(name, weights)
    _check_frozen(frozen)

    import keras

    with _policy(precision), _seeded(seed):
        inputs = keras.Input(shape, dtype="float32", name="images")
        features = _baseline(inputs) if not backbone.constructor else _features(name, inputs, file)
        outputs = _head(features, n_classes, 0 if name == "baseline_cnn" else units, dropout)
        model = keras.Model(inputs, outputs, name=name)
    if file and not backbone.constructor:
        _load(model, name, file)
    layers = backbone_layers(model)
    for layer in layers:
        _penalise(layer, l2)
    for layer in layers[: _first(frozen, len(layers))]:
        layer.trainable = False
    return model


def backbone_layers(model: Any) -> list[Any]:
    """The layers of a model before its head, from the input on."""
    names = [layer.name.startswith(HEAD) for layer in model.layers]
    return list(model.layers[: names.index(True)] if True in names else model.layers)


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


def _check_weights(name: str, weights: Any) -> str | None:
    """What is to be loaded: a file, "imagenet" or nothing."""
    if weights is None or (weights == "imagenet" and not BACKBONES[name].constructor):
        return None
    if weights != "imagenet" and not Path(weights).is_file():
        raise CellprepError(
            f"`weights` must be 'imagenet', None or a file of weights; there is no file "
            f"{str(weights)!r}"
        )
    return str(weights)


def _check_frozen(frozen: Any) -> None:
    if isinstance(frozen, float):
        in_range("frozen", frozen, 0, 1)
    else:
        in_range("frozen", frozen, 0, 2**20, whole=True)


def _first(frozen: int | float, count: int) -> int:
    return round(frozen * count) if isinstance(frozen, float) else frozen


def _baseline(inputs: Any) -> Any:
    from keras import layers

    x = layers.Rescaling(1 / 255)(inputs)
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    return layers.Flatten()(x)


def _features(name: str, inputs: Any, weights: str | None) -> Any:
    """The pooled features of an application, its weights loaded."""
    import keras

    backbone = BACKBONES[name]
    constructor: Callable[..., Any] = getattr(keras.applications, backbone.constructor)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs) if backbone.rescale else inputs
    settings = {"include_top": False, "input_tensor": x, "pooling": "avg"}
    if weights != "imagenet":
        model = constructor(weights=None, **settings)
        if weights:
            _load(model, name, weights)
            _widen(model)
        return model.output
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*`input_shape` is undefined.*")
            return constructor(weights="imagenet", **settings).output
    except Exception as error:  # Keras raises a plain Exception where a download fails
        raise CellprepError(
            f"the ImageNet weights of {name} cannot be had ({error}); fetch {backbone.weights} "
            "elsewhere and pass its path as `weights`, or weights=None to start from random numbers"
        ) from error


def _load(model: Any, name: str, file: str) -> None:
    try:
        model.load_weights(file)
    except Exception as error:  # h5py and Keras raise many kinds
        raise CellprepError(
            f"{file!r} does not hold weights of {name} without its top: {error}"
        ) from error


def _widen(model: Any) -> None:
    """Make up for a layer that Keras puts into an EfficientNet only where weights="imagenet".

    The published files hold standard deviations in place of variances, and that layer divides by
    their root once more: (x - mean) / sqrt(s) / sqrt(s). Here the variance is mended instead.
    """
    from keras import layers

    for layer in model.layers:
        if isinstance(layer, layers.Normalization) and hasattr(layer, "adapt_variance"):
            layer.adapt_variance.assign(layer.adapt_variance**2)
            layer.finalize_state()


def _head(x: Any, n_classes: int, units: int, dropout: float) -> Any:
    from keras import layers

    if units:
        x = layers.Dropout(dropout, name=f"{HEAD}dropout_1")(x)
        x = layers.Dense(units, activation="relu", name=f"{HEAD}dense")(x)
        x = layers.Dropout(dropout, name=f"{HEAD}dropout_2")(x)
    x = layers.Dense(n_classes, name=f"{HEAD}scores")(x)
    return layers.Activation("softmax", dtype="float32", name=f"{HEAD}probabilities")(x)


def _penalise(layer: Any, l2: float) -> None:
    """Put L2 on a convolution's kernel: on the setting, which is saved, and on the variable.

    Keras reads the setting when a layer is built and never again; the loss is made of what the
    variables hold.
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
def _policy(precision: str) -> Iterator[None]:
    """Layers made inside compute in this precision."""
    import keras

    mixed = None if precision == "float32" else mixed_policy()
    if precision == "mixed" and mixed is None:
        raise CellprepError(
            "`precision` 'mixed' needs a GPU of compute capability 7 or newer, and there is none "
            "here; use 'auto' or 'float32'"
        )
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(mixed or "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Keras takes the seeds of initialisers from Python's generator, which is left as it was."""
    in_range("seed", seed, 0, 2**63 - 1, whole=True)
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
