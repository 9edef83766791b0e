"""Near duplicates of a million images, from the files to the groups, and other libraries on a part.

    python benchmarks/million_images.py --images 1000000 --folder out/million

Writes the images first, 48x48 pixels, 6.9 GB: random blocks of colour with noise. One in ten is a
copy of another with other noise. imagededup gets the same images as arrays. It computes the hashes
of 10,000 of them, and compares 10,000 and 20,000; what a million would take follows from these.
With `--fastdup PYTHON`, the Python of an environment with fastdup, it gets 5,000 as PNG files.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, ROOT)

import cellprep as cp  # noqa: E402
from benchmarks.computed import Computed  # noqa: E402
from benchmarks.jobs import torchvision_cpu  # noqa: E402
from benchmarks.measure import memory  # noqa: E402
from cellprep.arrays import Images, Positions  # noqa: E402
from cellprep.kernels.splitmix import mix  # noqa: E402
from cellprep.plan.source import Shape  # noqa: E402

BLOCKS, SIDE, WORDS = 6, 48, 14
COPIES = 10  # one image in so many is a copy of the one before it
NEAR = 4


@dataclass(frozen=True, eq=False)
class Blocks(Computed):
    """Images of 6x6 blocks of colour, with noise of up to 3 levels."""

    shape: Shape = (SIDE, SIDE, 3)

    def images(self, at: Positions) -> Images:
        pictures = np.where(at % COPIES == COPIES - 1, at - 1, at).astype(np.uint64)
        bits = mix(pictures[:, None] * np.uint64(WORDS) + np.arange(WORDS, dtype=np.uint64))
        colors = bits.view(np.uint8)[:, : BLOCKS * BLOCKS * 3] // 2 + 60
        blocks = colors.reshape(-1, BLOCKS, BLOCKS, 3)
        images = blocks.repeat(SIDE // BLOCKS, axis=1).repeat(SIDE // BLOCKS, axis=2)
        n = images[0].size // 8
        noise = mix(~at.astype(np.uint64)[:, None] * np.uint64(n) + np.arange(n, dtype=np.uint64))
        return images + (noise.view(np.uint8) & 3).reshape(images.shape)


def ours(folder: Path) -> dict[str, Any]:
    """All near duplicates of a written set."""
    cp.find_duplicates(Blocks(2000).images(np.arange(2000)), near=NEAR)  # compiles
    cells, own = cp.read(folder), own_memory()
    began, used = time.perf_counter(), time.process_time()
    table = cp.find_duplicates(cells, near=NEAR)
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "processor": round(time.process_time() - used, 1),
        "megabytes": memory.peak() >> 20,
        "without mapped files": max(own) >> 10,
        "groups": int(table["group"].nunique()),
        "images": len(cells),
    }


def own_memory() -> list[int]:
    """Resident memory in KB, without that of mapped files, from now on every 50 ms."""
    found = [0]

    def look() -> None:
        while True:
            (line,) = re.findall(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
            found.append(int(line))
            time.sleep(0.05)

    threading.Thread(target=look, daemon=True).start()
    return found


def imagededup(images: int, compared: int) -> dict[str, Any]:
    """Hashes of some images, and the pairs among others, by imagededup."""
    torchvision_cpu.load()  # imagededup imports torchvision for its other methods
    from imagededup.methods import PHash

    method = PHash(verbose=False)
    arrays = Blocks(images).images(np.arange(images))
    method.encode_image(image_array=arrays[0])
    used = time.process_time()
    for image in arrays:
        method.encode_image(image_array=image)
    hashing = time.process_time() - used
    hashes = np.random.default_rng(0).integers(0, 2**64, compared, np.uint64, endpoint=False)
    encoded = {str(number): f"{value:016x}" for number, value in enumerate(hashes.tolist())}
    began = time.perf_counter()
    method.find_duplicates(encoding_map=encoded, max_distance_threshold=NEAR, num_dist_workers=0)
    return {
        "hashing": round(hashing, 2),
        "of": images,
        "comparing": round(time.perf_counter() - began, 2),
        "compared": compared,
        "megabytes": memory.peak() >> 20,
    }


FASTDUP = """
import resource, sys, time, fastdup
run = fastdup.create(sys.argv[2], sys.argv[1])
began, used = time.perf_counter(), time.process_time()
run.run(overwrite=True, print_summary=False, verbose=False)
seconds, processor = time.perf_counter() - began, time.process_time() - used
found = run.similarity()
names = found[["filename_from", "filename_to"]].map(lambda name: int(name.split("/")[-1][:-4]))
first, second = names.min(axis=1), names.max(axis=1)
wrong = (second - first != 1) | (second % 10 != 9)
above = found["distance"] > 0.99
print({"seconds": round(seconds, 1), "processor": round(processor, 1),
       "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
       "neighbours above .99": int(above.sum()), "of different images": int((above & wrong).sum())})
"""
"""fastdup needs an older NumPy than cellprep, so it runs in an environment of its own."""


def fastdup(python: Path, folder: Path, images: int) -> str:
    """Embeddings and nearest neighbours of some images, as PNG files, by fastdup."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(Blocks(images).images(np.arange(images))):
        Image.fromarray(image).save(files / f"{number:07d}.png")
    command = [str(python), "-c", FASTDUP, str(files), str(folder / "work")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--fastdup", type=Path, metavar="PYTHON")
    parser.add_argument("--run", help="a call to measure in this process")
    given = parser.parse_args()
    if given.run:
        print(json.dumps(eval(given.run)))
        return
    cp.write(cp.Dataset(Blocks(given.images)), given.folder, progress=False)
    calls = [f"ours(Path({str(given.folder)!r}))"]
    calls += [f"imagededup(10_000, {compared})" for compared in (10_000, 20_000)]
    for call in calls:
        command = [sys.executable, __file__, "--folder", str(given.folder), "--run", call]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="")
    if given.fastdup:
        print(fastdup(given.fastdup, given.folder.with_name("fastdup"), 5_000))


if __name__ == "__main__":
    main()
