"""64-bit perceptual hashes (DCT), equal to those of imagehash bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..measure.job import Call, Images, Job, Peer
from ..measure.parallel import in_processes, in_threads


def hashes(images: Images) -> NDArray[np.uint64]:
    from cellprep.kernels.hashing.perceptual import perceptual_hashes
    from cellprep.system import executors

    def chunk(span: executors.Span) -> NDArray[np.uint64]:
        return perceptual_hashes(images[slice(*span)], "phash")

    return np.concatenate(list(executors.run(chunk, executors.cut(len(images), 256))))


def ours(images: Images, folder: Path) -> Call:
    return lambda: hashes(images)


def imagehash_batch(images: Images) -> NDArray[np.uint64]:
    import imagehash
    from PIL import Image

    bits = [imagehash.phash(Image.fromarray(image)).hash for image in images]
    return np.packbits(np.stack(bits).reshape(-1, 64), axis=1).view(">u8")[:, 0]


def imagehash(images: Images, folder: Path) -> Call:
    return lambda: imagehash_batch(images)


def imagehash_threads(images: Images, folder: Path) -> Call:
    """two threads"""
    return in_threads(imagehash_batch, images)


def imagehash_processes(images: Images, folder: Path) -> Call:
    """two processes"""
    imagehash_batch(images[:1])
    return in_processes(_hashed, images, folder)


def _hashed(images: Images) -> Images:
    made = np.empty_like(images)
    made[:, 0, 0, 0] = imagehash_batch(images).astype(np.uint8)
    return made


def imagededup(images: Images, folder: Path) -> Call:
    from . import torchvision_cpu

    torchvision_cpu.load()  # imagededup imports torchvision for its other methods
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)
    return lambda: [hasher.encode_image(image_array=image) for image in images]


def check(images: Images, folder: Path) -> str | None:
    few = images[:1024]
    try:
        theirs = imagehash_batch(few)
    except ModuleNotFoundError:
        return "hashes not compared: imagehash is not installed"
    assert np.array_equal(hashes(few), theirs)
    return f"equal to imagehash's on {len(few):,} images"


JOBS = (
    Job(
        "phash",
        "perceptual hashes (phash)",
        ours,
        (
            Peer("imagehash.phash loop", imagehash, target=4, images=2048),
            Peer(
                "imagehash.phash on 2 cores", (imagehash_threads, imagehash_processes), images=2048
            ),
            Peer("imagededup PHash loop", imagededup, images=1024),
        ),
        check,
    ),
)
