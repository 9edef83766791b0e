"""`embed`: the features that a network computes of images, kept for the next time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

import cellprep
from cellprep import CellprepError, Dataset
from cellprep.errors import in_range, one_of

from ..atomic import atomic_write, local
from ..data.checks import check_fits
from ..data.inputs import Data, as_dataset, readable
from ..evaluation.views import VIEWS, views
from ..models.backbones import BACKBONES
from ..models.build import backbone_layers, build
from ..models.files import load
from ..models.outputs import batch_outputs

Features = NDArray[np.float32]


def embed(
    model: Any,
    data: Data,
    *,
    size: int | None = None,
    tta: str = "none",
    batch_size: int = 64,
    cache: bool | str | Path = True,
    progress: bool = False,
) -> Features:
    """Features of images: the output of a network's layer before its head.

    Parameters
    ----------
    model : keras.Model, path, or str
        A model from `build` and `fit`, the file of one, or the name of a classifier, such as
        "efficientnet_lite0": its ImageNet weights, without any training.
    data : path, Dataset, or (images, labels)
        Labels are not used; a path may be a folder without class folders.
    size : int, optional
        For a classifier by name: the side in pixels to which images are resized for it. Default:
        160, or that of the images if they are larger.
    tta : "none", "flips" or "dihedral"
        Features are means over this many views of each image: 1, 4, or 8, for which images must be
        square.
    batch_size : int
    cache : bool or path
        A folder of features that were computed before. They are found by a digest of the model, its
        weights, the settings and all pixels. True: beside a data set that `write` wrote, in
        ``NAME.features``; other data are not cached. False: none.
    progress : bool

    Returns
    -------
    (n, d) float32
        One row per image, in the order of `data`.

    Raises
    ------
    CellprepError
        For images that do not fit the model, and unknown names.

    Examples
    --------
    >>> features = embed("efficientnet_lite0", "out/train")  # doctest: +SKIP
    >>> features.shape  # doctest: +SKIP
    (10936, 1280)
    """
    one_of("tta", tta, VIEWS)
    in_range("batch_size", batch_size, 1, 2**20, whole=True)
    cells = _cells(data)
    if tta == "dihedral" and cells.shape[1] != cells.shape[2]:
        raise CellprepError(
            f"`tta` 'dihedral' turns images, so they must be square, but these are "
            f"{cells.shape[1]}x{cells.shape[2]}; use 'flips'"
        )
    network = _network(model, cells, size)
    folder = _cache_of(cells, cache)
    if folder is None:
        return _compute(network, cells, tta, batch_size, progress)
    path = folder / f"{_digest(network, cells, tta)}.npy"
    try:
        kept: Features = np.load(path, allow_pickle=False)
        return kept
    except (OSError, ValueError, EOFError):  # there is none, or it is damaged
        pass
    found = _compute(network, cells, tta, batch_size, progress)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, found)
    return found


def _cells(data: Data) -> Dataset:
    if isinstance(data, str | Path):
        return readable(cellprep.read(data, labels=None))
    return readable(as_dataset(data, "data"))


def _network(model: Any, cells: Dataset, size: int | None) -> Any:
    """A Keras model from images to features."""
    import keras

    if isinstance(model, str) and model in BACKBONES:
        side = size or max(160, *cells.shape[1:3])
        built = build(model, 2, (side, side, 3))
        inputs = keras.Input(cells.shape[1:])
        resized = keras.layers.Resizing(side, side, interpolation="bicubic")(inputs)
        features = keras.Model(built.input, backbone_layers(built)[-1].output)
        return keras.Model(inputs, features(resized), name=f"{model}_{side}")
    if size is not None:
        raise CellprepError("`size` is for a classifier by name; a model has its own image size")
    is_file = isinstance(model, str | Path) and local(model).is_file()
    if not is_file and not hasattr(model, "input_shape"):
        raise CellprepError(
            f"`model` must be a model, the file of one, or one of {', '.join(BACKBONES)}, got "
            f"{str(model)!r}"
        )
    trained = load(model) if is_file else model
    check_fits(trained, cells, "data", classes=False)
    return keras.Model(trained.input, backbone_layers(trained)[-1].output, name=trained.name)


def _cache_of(cells: Dataset, cache: bool | str | Path) -> Path | None:
    """The folder of cached features, or None."""
    if not isinstance(cache, bool):
        folder = local(cache)
        if folder.exists() and not folder.is_dir():
            raise CellprepError(f"`cache` must be a folder, and {str(cache)!r} is a file")
        return folder
    path = cells.provenance()["path"]
    if not cache or path is None or not Path(path, "dataset.json").is_file():
        return None
    return Path(path).with_name(f"{Path(path).name}.features")


def _digest(network: Any, cells: Dataset, tta: str) -> str:
    """What features depend on: the network, its weights, the views and all pixels."""
    digest = xxhash.xxh3_128(f"{network.name} {tta} {cells.shape}".encode())
    for weights in network.get_weights():
        digest.update(np.ascontiguousarray(weights).data)
    for images, _ in cells.batches(512):
        digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()


def _compute(network: Any, cells: Dataset, tta: str, batch_size: int, progress: bool) -> Features:
    from tqdm import tqdm

    size = min(batch_size, len(cells))
    found = np.empty((len(cells), network.output_shape[-1]), np.float32)
    hidden = None if progress else True
    with tqdm(total=len(cells), desc="features", unit="image", disable=hidden) as bar:
        start = 0
        for images, _ in cells.batches(size):
            each = [batch_outputs(network, view, size) for view in views(images, tta)]
            found[start : start + len(images)] = np.mean(each, axis=0)
            start += len(images)
            bar.update(len(images))
    return found
