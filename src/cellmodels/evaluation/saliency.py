"""`saliency`: which pixels change a class score; its gradients depend on the Keras backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellprep import CellprepError, Dataset
from cellprep.arrays import Images, Masks, check_images, check_masks
from cellprep.errors import in_range

from ..atomic import local
from ..data.checks import check_fits


def saliency(
    model: Any, images: ArrayLike, labels: ArrayLike | None = None, *, batch_size: int = 32
) -> NDArray[np.float32]:
    """Saliency maps: the absolute gradient of a class score by the image, maximum over channels.

    If the model ends with a softmax, the score is taken before it, as in [1]_: the probability of a
    class that the model is sure of hardly changes with any pixel.

    Parameters
    ----------
    model : keras.Model
    images : (n, height, width, 3) uint8
        Prepared as the training images were.
    labels : (n,) int, optional
        The class of each image whose score is differentiated. Default: the predicted class.
    batch_size : int

    Returns
    -------
    (n, height, width) float32
        Not negative, in score per grey level.

    Raises
    ------
    CellprepError
        For images that do not fit the model, and labels out of range.

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
    by_backend = {"tensorflow": _by_tensorflow, "jax": _by_jax, "torch": _by_torch}
    gradient = by_backend[keras.backend.backend()]
    chosen = None if labels is None else _check_labels(labels, n, model.output_shape[-1])
    scores = _scores(model)
    maps = []
    for start in range(0, n, batch_size):
        x = np.asarray(batch[start : start + batch_size], np.float32)
        if chosen is None:
            classes = keras.ops.convert_to_numpy(scores(x, training=False)).argmax(axis=1)
        else:
            classes = chosen[start : start + batch_size]
        maps.append(np.abs(gradient(scores, x, classes)).max(axis=-1))
    return np.concatenate(maps).astype(np.float32)


def share_inside(maps: ArrayLike, masks: ArrayLike) -> NDArray[np.float64]:
    """The fraction of each map that lies inside its mask.

    A map that is the same everywhere has as its fraction that of the image which the mask covers.

    Parameters
    ----------
    maps : (n, height, width) float
        From `saliency`.
    masks : (n, height, width) bool
        From `cellprep.segment`, or annotated.

    Returns
    -------
    (n,) float64
        In [0, 1]; NaN if the map is 0 everywhere.

    Raises
    ------
    CellprepError
        For shapes that differ, and maps with negative values.

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
    """Save a figure of images, their maps, and the maps overlaid on the images.

    Parameters
    ----------
    path : str or Path
        The suffix chooses the file format.
    images : (n, height, width, 3) uint8
    maps : (n, height, width) float
        From `saliency`.
    titles : list of str, optional
        One per image.
    masks : (n, height, width) bool, optional
        Adds to each title the fraction of saliency inside the mask.

    Examples
    --------
    >>> overlay("saliency.png", images, saliency(model, images))  # doctest: +SKIP
    """
    from .figures import draw_saliency

    captions = list(titles or [""] * len(images))
    if masks is not None:
        shares = share_inside(maps, masks)
        captions = [
            f"{caption}\n{share:.0%} inside"
            for caption, share in zip(captions, shares, strict=True)
        ]
    draw_saliency(local(path), images, maps, captions)


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
    """The model without its softmax, if that is a separate layer."""
    import keras

    last = model.layers[-1]
    if isinstance(last, keras.layers.Activation | keras.layers.Softmax):
        return keras.Model(model.input, last.input)
    return model


def _by_tensorflow(scores: Any, x: NDArray[np.float32], classes: NDArray[np.int64]) -> NDArray[Any]:
    import tensorflow as tf

    images = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        chosen = tf.gather(scores(images, training=False), classes, axis=1, batch_dims=1)
    return np.asarray(tape.gradient(chosen, images))


def _by_jax(scores: Any, x: NDArray[np.float32], classes: NDArray[np.int64]) -> NDArray[Any]:
    import jax
    import jax.numpy as jnp

    fixed = [v.value for v in scores.trainable_variables]
    state = [v.value for v in scores.non_trainable_variables]

    def total(images: Any) -> Any:
        # Outside training images do not interact, so the gradient of the sum is that of each.
        out, _ = scores.stateless_call(fixed, state, images, training=False)
        return jnp.take_along_axis(out, classes[:, None], axis=1).sum()

    return np.asarray(jax.grad(total)(jnp.asarray(x)))


def _by_torch(scores: Any, x: NDArray[np.float32], classes: NDArray[np.int64]) -> NDArray[Any]:
    import keras
    import torch

    images = keras.ops.convert_to_tensor(x).requires_grad_()
    out = scores(images, training=False)
    chosen = out[torch.arange(len(x)), torch.as_tensor(classes)]
    return np.asarray(torch.autograd.grad(chosen.sum(), images)[0].cpu())
