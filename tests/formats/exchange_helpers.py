"""A recipe and files to exchange with other libraries."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

import cellprep as cp

KINDS = ("webdataset", "parquet", "medmnist")
MANY = ("webdataset", "parquet")
NAMES = [f"class {n}" for n in range(9)]  # the last class has no images
RECIPE = cp.Recipe([cp.KMeansMask(), cp.RandAugment(copies=1)], seed=2)


def target(folder: Path, kind: str, name: str = "out") -> Path:
    return folder / (f"{name}.npz" if kind == "medmnist" else name)


def tree(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-600])


def garble(file: Path) -> None:
    size = file.stat().st_size
    file.write_bytes(np.random.default_rng(0).bytes(size))


def png(image: np.ndarray, kind: str = "PNG") -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, kind)
    return encoded.getvalue()


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path
