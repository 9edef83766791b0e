"""`saliency`: which pixels move a class score; the only code that knows the Keras backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellprep import CellprepError, Dataset
from cellprep.arrays import Images, Masks, check_images, check_masks
from cellprep.errors import in_range

from .data import check_fits


def saliency(
    model: Any, images: ArrayLike, labels: ArrayLike | None = None, *, batch_size: int = 32
) -> NDArray[np.float32]:
    """Saliency maps: the absolute gradient of a class score by the image, maximum over channels.

    The score is that before the softmax, as in [1]_, where the model ends with one: the probability
    of a class that the model is sure of hardly changes with any pixel.

    Parameters
    ----------
    model : keras.Model
    images : (n, height, width, 3) uint8
        Prepared as the training images were.
    labels : (n,) int, optional
        The class of each image whose score is looked at. Default: the predicted one.
    batch_size : int

    Returns
    -------
    (n, height, width) float32
        0 or more, in score per grey level.

    Raises
    ------
    CellprepError
        For images that the model does not take, labels outside its classes, and on the backends
        other than TensorFlow and JAX.

    References
    ----------
    .. [1] K. Simonyan, A. Vedaldi, A. Zisserman. Deep Inside Convolutional Networks: Visualising
       Image Classification Models and Saliency Maps. 2013. arXiv:1312.6034.

    Examples
    --------
    >>> maps = saliency(model, cells.images[:8])  # doctest: +SKIP
    """
    import keras

    batch = check_images(images)
    in_range("batch_size", batch_size, 1, 2**20, whole=True)
    n = len(batch)
    check_fits(model, Dataset.from_arrays(batch, np.zeros(n, int), ["?"]), "images", classes=False)
    gradient = {"tensorflow": _by_tensorflow, "jax": _by_jax}.get(keras.backend.backend())
    if gradient is None:
        raise CellprepError(
            f"saliency runs on the TensorFlow and JAX backends, not on {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow"
        )
    chosen = None if labels is None else _check_labels(labels, n, model.output_shape[-1])
    scores = _scores(model)
    maps = []
    for start in range(0, n, batch_size):
        x = np.asarray(batch[start : start + batch_size], np.float32)
        if chosen is None:
            at = keras.ops.convert_to_numpy(scores(x, training=False)).argmax(axis=1)
        else:
            at = chosen[start : start + batch_size]
        maps.append(np.abs(gradient(scores, x, at)).max(axis=-1))
    return np.concatenate(maps).astype(np.float32)


def share_inside(maps: ArrayLike, masks: ArrayLike) -> NDArray[np.float64]:
    """The share of each map that lies within its mask: how much a model looks at the cell.

    A model that looks nowhere in particular has the share of the image that the mask covers.

    Parameters
    ----------
    maps : (n, height, width) float
        From `saliency`.
    masks : (n, height, width) bool
        From `cellprep.segment`, or drawn.

    Returns
    -------
    (n,) float64
        In [0, 1]; NaN for a map of zeros.

    Raises
    ------
    CellprepError
        For shapes that differ, and maps with values below 0.

    Examples
    --------
    >>> share_inside([[[1.0, 3.0]]], [[[False, True]]])
    array([0.75])
    """
    values = np.asarray(maps, np.float64)
    if values.ndim != 3 or not (values >= 0).all():
        raise CellprepError(
            f"`maps` must be (n, height, width), 0 or more, got shape {values.shape}"
        )
    inside = check_masks(masks, np.broadcast_to(np.uint8(0), (*values.shape, 3)))
    total = values.sum(axis=(1, 2))
    found = (values * inside).sum(axis=(1, 2))
    share: NDArray[np.float64] = np.full(len(values), np.nan)
    np.divide(found, total, out=share, where=total > 0)
    return share


def overlay(
    path: str | Path,
    images: Images,
    maps: NDArray[np.float32],
    *,
    titles: list[str] | None = None,
    masks: Masks | None = None,
) -> None:
    """Draw images, their maps, and the maps laid over them, into a picture file.

    Parameters
    ----------
    path : str or Path
        Its ending names the format.
    images : (n, height, width, 3) uint8
    maps : (n, height, width) float
        From `saliency`.
    titles : list of str, optional
        One an image.
    masks : (n, height, width) bool, optional
        Adds to each title the share of saliency inside.

    Examples
    --------
    >>> overlay("saliency.png", images, saliency(model, images))  # doctest: +SKIP
    """
    from .figures import draw_saliency

    lines = list(titles or [""] * len(images))
    if masks is not None:
        shares = share_inside(maps, masks)
        lines = [f"{line}\n{share:.0%} inside" for line, share in zip(lines, shares, strict=True)]
    draw_saliency(Path(path), images, maps, lines)


def _check_labels(labels: ArrayLike, n: int, classes: int) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise CellprepError(
            f"`labels` must be one whole number for each of the {n} images, got shape "
            f"{array.shape}, dtype {array.dtype}"
        )
    if array.min() < 0 or array.max() >= classes:
        wrong = array.min() if array.min() < 0 else array.max()
        raise CellprepError(f"`labels` must be in 0 to {classes - 1}, got {wrong}")
    return array.astype(np.int64)


def _scores(model: Any) -> Any:
    """The model up to its softmax, where that is a layer of its own."""
    import keras

    last = model.layers[-1]
    if isinstance(last, keras.layers.Activation | keras.layers.Softmax):
        return keras.Model(model.input, last.input)
    return model


def _by_tensorflow(scores: Any, x: NDArray[np.float32], at: NDArray[np.int64]) -> NDArray[Any]:
    import tensorflow as tf

    images = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        chosen = tf.gather(scores(images, training=False), at, axis=1, batch_dims=1)
    return np.asarray(tape.gradient(chosen, images))


def _by_jax(scores: Any, x: NDArray[np.float32], at: NDArray[np.int64]) -> NDArray[Any]:
    import jax
    import jax.numpy as jnp

    fixed = [v.value for v in scores.trainable_variables]
    state = [v.value for v in scores.non_trainable_variables]

    def total(images: Any) -> Any:
        # Images do not meet in a model that is not training: the gradient of the sum is theirs.
        out, _ = scores.stateless_call(fixed, state, images, training=False)
        return jnp.take_along_axis(out, at[:, None], axis=1).sum()

    return np.asarray(jax.grad(total)(jnp.asarray(x)))
