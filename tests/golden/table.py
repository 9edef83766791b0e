"""Digests of everything cellprep computes on synthetic cells.

`python -m tests.golden.table` rewrites `digests.json`. Do so only when bytes change on purpose, in
a commit of its own that says why.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import cellprep as cp
from cellprep.formats.manifest import CARDS, DIGEST, INDEX
from cellprep.synthetic import draw_cells, draw_messy_set

TABLE = Path(__file__).with_name("digests.json")

PROFILE = cp.Profile(256, 250, (96, 96), (190, 160, 170.5), (40, 52, 28), 0.2, (230,) * 3, (9,) * 3)
STEPS = [
    cp.Adapt(PROFILE),
    cp.Adapt(PROFILE, color="channels"),
    cp.Adapt(PROFILE, scale=False, color="background"),
    cp.Dedupe(),
    cp.Dedupe(on_conflict="majority", on_duplicate="drop", max_copies=None),
    cp.Dedupe(near=4, symmetries=True),
    cp.Dedupe(near=6, hash="whash"),
    cp.Balance(),
    cp.Balance(target="median", jitter=cp.Jitter(rotation=20, fill="edge")),
    cp.Balance(target={"0": 9, "3": 2}, jitter=None),
    cp.Jitter(),
    cp.Jitter(rotation=90, shift=0.3, zoom=0.5, flip="horizontal", fill=127),
    cp.Jitter(rotation=10, shift=0.9, zoom=0.9, flip="none", fill="edge"),
    cp.MatchColors(),
    cp.MatchColors(strength=1, color_space="lab", rate=0.5),
    cp.StainJitter(),
    cp.StainJitter(strength=0.6, offset=0.2, matrix="macenko", rate=0.5),
    cp.Crop(32),
    cp.Crop(21, center="image", resize_to=40),
    cp.Crop(45, resize_to=24),
    cp.Crop(70, fill="reflect"),
    cp.Crop(33, resize_to=32, fill=9),
    cp.Crop(1.3, resize_to=40, relative=True),
    cp.Crop(2, resize_to=32, fill="reflect", relative=True),
    cp.KMeansMask(),
    cp.KMeansMask(n_clusters=2, color_space="lab", foreground="darkest", background=255),
    cp.KMeansMask(n_clusters=5, color_space="rgb", foreground="two-darkest"),
    cp.KMeansMask(n_clusters=3, color_space="chroma"),
    cp.KMeansMask(color_space="stain", foreground="not-brightest"),
    cp.KMeansMask(target="nucleus"),
    cp.RandAugment(copies=2),
    cp.RandAugment(copies=1, num_ops=5, magnitude=0.9, rate=1.0, keep_originals=False),
    cp.RandAugment(copies=2, num_ops=6, rate=1.0, operations="wide"),
    cp.Corrupt(),
    cp.Corrupt("heavy"),
]
NEW_SETTINGS = (
    ", operations='keras-cv'",
    ", copies=None, keep_originals=True",
    ", relative=False",
)
"""Defaults of settings that version 0.1 did not have."""
OPERATIONS = (
    *("auto_contrast", "equalization", "solarization", "color_degeneration", "contrast"),
    *("brightness", "shear_x", "shear_y", "translation_x", "translation_y"),
)
CORRUPTIONS = {
    "microscopy": (
        *("pixelate", "jpeg", "defocus_blur", "motion_blur", "brightness_up", "brightness_down"),
        *("contrast_up", "contrast_down", "saturate", "stain_deposit", "bubble"),
    ),
    "heavy": (
        *("rotation", "flip", "translation", "shear_x", "shear_y", "zoom", "brightness"),
        *("contrast", "saturation", "color_degeneration", "hue", "channel_shuffle"),
        *("channel_shift", "solarization", "posterize", "auto_contrast", "equalization"),
        *("cutout", "grid_mask", "gaussian_noise", "gaussian_blur", "motion_blur", "augmix"),
    ),
}
FORMATS = ("shards", "npz", "folder", "webdataset", "parquet", "medmnist", "zarr", "tfrecord")
# Libraries whose version decides the bytes of an encoded file, but not the pixels in it.
ENCODERS = ("numpy", "pillow", "pyarrow", "zarr")


def digest(*values: Any) -> str:
    """One digest of arrays, tables, bytes and JSON."""
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, pd.DataFrame):
            for name in value.columns:
                found.update(digest(name, value[name].to_numpy()).encode())
        elif isinstance(value, np.ndarray) and value.dtype == object:
            found.update(repr([None if item is np.nan else item for item in value]).encode())
        elif isinstance(value, np.ndarray):
            found.update(f"{value.dtype.str}{value.shape}".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, bytes):
            found.update(value)
        else:
            found.update(json.dumps(value, sort_keys=True, default=str).encode())
    return found.hexdigest()[:24]


def messy(side: int = 48) -> cp.Dataset:
    """Synthetic cells with duplicates, flipped and shifted copies, uneven classes and text ids."""
    images, labels = draw_cells([5] * 8, side=side, seed=3)
    at = np.r_[np.arange(40), 0, 0, 7, 7, 7, 12]
    labels = np.r_[labels, 0, 3, labels[7], labels[7], 2, labels[12]]
    images = np.concatenate([images[at], images[20:23, ::-1], np.roll(images[30:33], 1, axis=2)])
    labels = np.r_[labels, labels[20:23], labels[30:33]]
    uneven = np.r_[np.arange(3), np.arange(5, len(labels))]
    ids = np.array([f"smear {i:02d}.png" for i in range(len(labels))])
    return cp.Dataset.from_arrays(
        images[uneven], labels[uneven], [str(n) for n in range(8)], ids[uneven]
    )


def content(dataset: cp.Dataset) -> str:
    """Pixels, labels, ids, copies."""
    images, labels = dataset.to_arrays()
    return digest(images, labels, dataset.ids, dataset.copies)


def steps() -> Iterator[tuple[str, str]]:
    for step in STEPS:
        made = cp.Recipe([step], seed=5)(messy())
        name = repr(step)
        for setting in NEW_SETTINGS:
            name = name.replace(setting, "")
        yield name, content(made)
        yield f"{name}, record", digest(made.to_pandas())
        yield f"{name}, changes", digest([row[:3] for row in made.changes().to_numpy().tolist()])
    several = [cp.Dedupe(), cp.Balance(), cp.Jitter(), cp.Crop(40), cp.KMeansMask()]
    several += [cp.RandAugment(copies=2), cp.Jitter(rotation=5), cp.Corrupt("heavy")]
    made = cp.Recipe(several, seed=2**62)(messy())
    yield "a chain of steps", content(made)
    yield "a chain of steps, masks", digest(made.masks[:])
    known = cp.segment(messy().images[:])[:, ::-1]
    images, labels = messy().to_arrays()
    carried = cp.Dataset.from_arrays(images, labels, [str(n) for n in range(8)], masks=known)
    made = cp.Recipe(several[1:], seed=1)(carried)
    yield "given masks", content(made)
    yield "given masks, masks", digest(made.masks[:])


def operations() -> Iterator[tuple[str, str]]:
    # 300 pixels are wider, and 21 narrower, than what the vector paths take at a time.
    for height, width, copies in ((48, 48, 4), (30, 21, 8), (40, 300, 2), (64, 130, 2)):
        images = _noisy(24, height, width)
        step = cp.RandAugment(copies=copies, num_ops=1, rate=1.0, keep_originals=False)
        made = cp.Recipe([step], seed=9)(cp.Dataset.from_arrays(images, np.arange(24) % 2))
        pixels = made.to_arrays()[0]
        drawn = made.to_pandas()["rand_augment.op_1"].to_numpy(str)
        for name in OPERATIONS:
            yield f"{name} at {height}x{width}", digest(pixels[drawn == name])


def _noisy(n: int, height: int, width: int) -> np.ndarray:
    """Smooth cells with noise: every level occurs."""
    cells = draw_cells([n // 8] * 8, side=max(height, width), seed=7)[0][:, :height, :width]
    noise = np.random.Generator(np.random.PCG64(1)).integers(-20, 21, cells.shape)
    return np.clip(cells.astype(int) + noise, 0, 255).astype(np.uint8)


def suites() -> Iterator[tuple[str, str]]:
    cells = cp.Dataset.from_arrays(_noisy(16, 40, 52), np.arange(16) % 2)
    for suite, names in CORRUPTIONS.items():
        for name in names:
            for severity in (1, 2, 3, 4, 5) if suite == "microscopy" else (None,):
                step = cp.Corrupt(suite, severity=severity, corruption=name)
                made = cp.Recipe([step], seed=4)(cells)
                yield f"{suite} {name} {severity or ''}".strip(), content(made)


def hashes() -> Iterator[tuple[str, str]]:
    for kind in ("phash", "dhash", "ahash", "whash"):
        for side in (48, 96, 33):
            index = cp.DuplicateIndex.of(messy(side), near=4, hash=kind)
            with tempfile.TemporaryDirectory() as folder:
                index.save(f"{folder}/index.npz")
                with np.load(f"{folder}/index.npz") as saved:
                    for name in ("digests", "invariants", "hashes", "windows", "plain", "pictures"):
                        yield f"{kind} at {side}: {name}", digest(saved[name])
            yield f"{kind} at {side}: query", digest(index.query(messy(side)))
        table = cp.find_duplicates(messy(), near=8, symmetries=True, hash=kind)
        yield f"find_duplicates by {kind}", digest(table)
    yield "find_duplicates, exact", digest(cp.find_duplicates(messy()))
    yield "find_leaks", digest(cp.find_leaks(messy(), messy(), near=4, symmetries=True))


def masks() -> Iterator[tuple[str, str]]:
    for side in (16, 33, 96, 150):
        images = draw_cells([2] * 8, side=side, seed=11)[0]
        for target in ("cell", "nucleus"):
            yield f"segment {target} at {side}", digest(cp.segment(images, target=target))
        for space in ("rgb", "lab", "chroma", "stain", "purple", "dark"):
            for foreground in ("auto", "darkest", "two-darkest", "not-brightest"):
                found = cp.segment(images, n_clusters=3, color_space=space, foreground=foreground)
                yield f"segment {space} {foreground} at {side}", digest(found)


def splits() -> Iterator[tuple[str, str]]:
    images, labels = draw_messy_set(400, seed=1)
    cells = cp.Dataset.from_arrays(images, labels, groups=np.arange(len(labels)) // 2 % 90)
    clean = cp.Recipe([cp.Dedupe()])(cells)
    for name, part in cp.split(clean, seed=3, train=0.7, val=0.15, test=0.15).items():
        yield f"split {name}", digest(part.ids, part.labels)


def files() -> Iterator[tuple[str, str]]:
    """Of every format: the pixels read back, and the bytes of each file."""
    steps = [cp.Dedupe(), cp.KMeansMask(), cp.RandAugment(copies=2), cp.Corrupt()]
    made = cp.Recipe(steps, seed=6)(messy(32))
    for kind in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "set.npz" if kind in ("npz", "medmnist") else "set")
            cp.write(made, path, format=kind, rows_per_shard=50, masks=True, progress=False)
            read = cp.read(path)
            yield f"{kind}: content", content(read)
            yield f"{kind}: masks", digest(read.masks[:])
            yield f"{kind}: replayed", digest(cp.replay(path, messy(32)))
            if path.is_file():
                continue  # a zip archive holds the time of day
            for file in sorted(path.rglob("*")):
                if file.is_file() and file.name not in CARDS:  # these state versions
                    name = file.relative_to(path)
                    yield f"{kind}: bytes of {name}", _file_digest(file)


def _file_digest(file: Path) -> str:
    if file.name == "index.parquet":
        return digest(pd.read_parquet(file))
    if file.name == "dataset.json":
        manifest = json.loads(file.read_text())
        for name in ("sha256", DIGEST):  # of the index, which pyarrow encodes, and of all this
            del manifest[name]
        for name in (INDEX, *CARDS):
            del manifest["files"][name]
        del manifest["made_of"]["versions"]
        return digest(manifest)
    return digest(file.read_bytes())


SECTIONS: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "steps": steps,
    "operations": operations,
    "suites": suites,
    "hashes": hashes,
    "masks": masks,
    "splits": splits,
    "files": files,
}


def versions() -> dict[str, str]:
    return {name: version(name) for name in ENCODERS}


if __name__ == "__main__":
    table: dict[str, Any] = {"encoded by": versions()}
    table |= {name: dict(section()) for name, section in SECTIONS.items()}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")
