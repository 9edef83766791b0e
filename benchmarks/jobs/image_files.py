"""A folder of JPEG files to shards, `inspect` and `report`: each may decode every file once.

The files are written beforehand: 96x96 as they are, and 320x240, read with `size=96`. They stay in
the page cache.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import cellprep as cp

from ..measure.job import Call, Images, Job, Peer
from ..measure.timing import undoable

SIDE = 96
_WORKERS = 2

Make = Callable[[Images, Path], Call]


def _files(large: bool, images: Images, folder: Path) -> Path:
    """The images as JPEG files in eight class folders."""
    path = folder / "files"
    for number, image in enumerate(images):
        file = path / str(number % 8) / f"{number:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(image)
        if large:
            picture = picture.resize((320, 240), Image.Resampling.BICUBIC)
        picture.save(file, quality=95, subsampling=0)
    return path


def _read(path: Path) -> cp.Dataset:
    return cp.read(path, size=SIDE)


def shards(large: bool, images: Images, folder: Path) -> Call:
    path, out = _files(large, images, folder), folder / "out"
    return undoable(lambda: cp.write(_read(path), out, progress=False), partial(shutil.rmtree, out))


def inspect(large: bool, images: Images, folder: Path) -> Call:
    from cellprep.report.inspect import inspect

    return partial(inspect, _files(large, images, folder), SIDE)


def report(large: bool, images: Images, folder: Path) -> Call:
    path = _files(large, images, folder)
    return lambda: cp.report(_read(path), folder / "report.html")


def _decoded(file: Path) -> np.ndarray[Any, Any]:
    with Image.open(file) as image:
        rgb = image.convert("RGB")
        if rgb.size != (SIDE, SIDE):
            rgb = rgb.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return np.asarray(rgb)


def pillow(large: bool, images: Images, folder: Path) -> Call:
    files = sorted(_files(large, images, folder).rglob("*.jpg"))

    def call() -> Images:
        out = np.empty((len(files), SIDE, SIDE, 3), np.uint8)

        def put(number: int) -> None:
            out[number] = _decoded(files[number])

        with ThreadPoolExecutor(_WORKERS) as pool:
            list(pool.map(put, range(len(files))))
        return out

    return call


def torchvision(large: bool, images: Images, folder: Path) -> Call:
    from . import torchvision_cpu

    torchvision_cpu.load()
    import torch
    from torchvision.datasets import ImageFolder

    data = ImageFolder(str(_files(large, images, folder)), transform=_tensor)
    how: Any = {"batch_size": 256, "num_workers": _WORKERS, "persistent_workers": True}
    how["multiprocessing_context"] = "fork"  # a new process would lack the declared operators
    loader = torch.utils.data.DataLoader(data, **how)

    def call() -> Images:
        out, start = np.empty((len(data), SIDE, SIDE, 3), np.uint8), 0
        for batch, _ in loader:
            out[start : start + len(batch)] = batch.numpy()
            start += len(batch)
        return out

    return call


def _tensor(image: Image.Image) -> Any:
    import torch

    if image.size != (SIDE, SIDE):
        image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image))


def datasets_map(large: bool, images: Images, folder: Path) -> Call:
    import datasets

    path = _files(large, images, folder)
    datasets.disable_progress_bars()

    def pixels(row: dict[str, Any]) -> dict[str, Any]:
        image = row["image"].convert("RGB")
        if image.size != (SIDE, SIDE):
            image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return {"pixels": image.tobytes(), "label": row["label"]}

    def call() -> Any:
        with_files = datasets.load_dataset(
            "imagefolder", data_dir=str(path), split="train", cache_dir=str(folder / "cache")
        )
        return with_files.map(
            pixels, remove_columns=["image"], num_proc=_WORKERS, load_from_cache_file=False
        )

    return undoable(call, partial(shutil.rmtree, folder / "cache"))


def _jobs(name: str, title: str, ours: Callable[..., Call], peers: dict[str, Any]) -> list[Job]:
    kinds = {"96x96": False, "320x240, size=96": True}
    return [
        Job(
            f"{name}-{'large' if large else 'small'}",
            f"{title}, JPEG of {kind}",
            partial(ours, large),
            tuple(
                Peer(peer, partial(make, large), target) for peer, (make, target) in peers.items()
            ),
            images=2_487 if large else None,
            rounds=3,
        )
        for kind, large in kinds.items()
    ]


_BARE = "a bare Pillow loop, two threads"
JOBS = [
    *_jobs(
        "files-shards",
        "image folder to shards",
        shards,
        {
            _BARE: (pillow, 1 / 1.15),
            "torchvision ImageFolder, DataLoader of two workers": (torchvision, 1.0),
            "datasets, map with two processes": (datasets_map, 1.0),
        },
    ),
    *_jobs("files-inspect", "`inspect` of an image folder", inspect, {_BARE: (pillow, 1 / 1.3)}),
    *_jobs("files-report", "`report` of an image folder", report, {_BARE: (pillow, 1 / 1.3)}),
]
