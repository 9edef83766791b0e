"""`profile`: the appearance of a data set in a few numbers."""

from __future__ import annotations

import json
from pathlib import Path

from numpy.typing import ArrayLike

from ..errors import CellprepError
from ..plan.nodes import Origin
from ..plan.profile import Profile, profile_of
from ..system.paths import as_path, read_bytes
from .dataset import Dataset, as_dataset
from .read import read


def profile(dataset: Dataset | ArrayLike | str | Path) -> Profile:
    """The appearance of a data set: how large its cells are, and its colours.

    Of more than 256 images, 256 are measured, chosen by their ids. Added copies are left out, so
    that the profile is that of images before augmentation, unless there are only copies. Cells are
    those of masks that came with the images, or that KMeansMask left; otherwise they are found as
    by `segment`.

    Parameters
    ----------
    dataset : Dataset, (n, height, width, 3) uint8, or path
        A path is read as by `read`, without labels; that of a JSON file must contain a profile, as
        printed by `cellprep profile --json`.

    Returns
    -------
    Profile

    Raises
    ------
    BadImagesError
        For images that cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.full((1, 16, 16, 3), 230, np.uint8)
    >>> images[0, 4:12, 4:12] = 90, 40, 130
    >>> found = profile(images)
    >>> found.share, found.background_mean
    (0.25, (230.0, 230.0, 230.0))
    """
    if isinstance(dataset, str | Path):
        path = as_path(dataset)
        if path.suffix.lower() == ".json":
            return _load(path)
        dataset = read(path, labels=None)
    plan = as_dataset(dataset)[0].plan
    written = plan.source.history.profile
    if written is not None and isinstance(plan.pixels, Origin):
        found = Profile.from_dict(written)
        if found.share is not None:
            return found
    return profile_of(plan)


def _load(path: Path) -> Profile:
    try:
        return Profile.from_dict(json.loads(read_bytes(path)))
    except OSError as error:
        raise CellprepError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except ValueError as error:
        raise CellprepError(
            f"{str(path)!r} is not a profile as printed by `cellprep profile --json`: {error}"
        ) from None
