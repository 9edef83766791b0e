"""The table of backbones: one row for each classifier that `build` knows."""

from __future__ import annotations

from dataclasses import dataclass

_APPLICATIONS = "https://storage.googleapis.com/tensorflow/keras-applications/"


@dataclass(frozen=True)
class Backbone:
    """One row of the table.

    Attributes
    ----------
    constructor : str
        Its name in `keras.applications`; empty for our own.
    smallest : int
        Smallest side of an image that it accepts.
    weights : str
        Where its ImageNet weights are downloaded from.
    packaged : bool
        True if its layers are our own, and its ImageNet weights a package.
    rescale : bool
        True if the constructor does not scale 0-255 to -1..1 itself, so that `build` has to.
    """

    constructor: str
    smallest: int
    weights: str = ""
    packaged: bool = False
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
    "efficientnet_lite0": Backbone("", 32, packaged=True),
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
