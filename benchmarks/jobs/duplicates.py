"""Exact duplicates in an array, including the table of groups."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np

import cellprep as cp

from ..measure.job import Call, Images, Job, Peer
from ..measure.parallel import quiet


def ours(images: Images, folder: Path) -> Call:
    return lambda: cp.find_duplicates(images)


def _groups(digest: Callable[[Any], Hashable], images: Images) -> list[list[int]]:
    found = defaultdict(list)
    for position, image in enumerate(images):
        found[digest(image)].append(position)
    return [group for group in found.values() if len(group) > 1]


def md5(images: Images, folder: Path) -> Call:
    return lambda: _groups(lambda image: hashlib.md5(image.data).digest(), images)


def xxh3(images: Images, folder: Path) -> Call:
    from xxhash import xxh3_128_digest

    return lambda: _groups(lambda image: xxh3_128_digest(image.data), images)


def unique(images: Images, folder: Path) -> Call:
    return lambda: np.unique(images, axis=0, return_inverse=True)


def cleanvision(images: Images, folder: Path) -> Call:
    from cleanvision import Imagelab
    from PIL import Image

    class InMemory:
        """The interface of a Hugging Face data set that Imagelab uses."""

        features = {"image": None}  # noqa: RUF012

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int) -> dict[str, Image.Image]:
            return {"image": Image.fromarray(images[index])}

    def call() -> Any:
        with quiet():
            lab = Imagelab(hf_dataset=InMemory(), image_key="image")
            lab.find_issues({"exact_duplicates": {}}, n_jobs=1, verbose=False)
        return lab.info["exact_duplicates"]

    return call


def read_once(images: Images, folder: Path) -> Call:
    words = images.reshape(-1).view(np.uint64)
    return lambda: words.max()


def check(images: Images, folder: Path) -> None:
    """The groups equal those of a dictionary keyed by all bytes."""
    table = cp.find_duplicates(images)
    ours = {tuple(sorted(group["id"])) for _, group in table.groupby("group")}
    assert ours == {tuple(group) for group in _groups(lambda image: image.tobytes(), images)}


JOBS = (
    Job(
        "duplicates",
        "`find_duplicates`, exact, array in memory",
        ours,
        (
            Peer("hashlib.md5 loop", md5, target=12),
            Peer("cleanvision", cleanvision, target=20),
            Peer("xxh3_128 loop", xxh3),
            Peer("np.unique(axis=0)", unique, images=512),
            Peer("reading all bytes once", read_once),
        ),
        check,
        messy=True,
    ),
)
