"""The pictures of docs/corruptions.md, and its comparison with medmnistc.

    python docs/corruptions.py                        docs/corruptions-*.png, of synthetic cells
    python docs/corruptions.py PHOTOGRAPHS OUT        the same pictures of photographs
    python docs/corruptions.py compare PHOTOGRAPHS    the table that compares with medmnistc
    python docs/corruptions.py speed                  images per second of processor time

PHOTOGRAPHS is a folder, searched recursively. Comparisons need medmnistc, and ImageMagick for its
motion blur (the system's libmagickwand).
"""

from __future__ import annotations

import random
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import cellprep as cp
from cellprep.arrays import Images
from cellprep.operations.suites import SUITES
from cellprep.plan.draws import Draw, id_keys, row_keys
from cellprep.synthetic import draw_cells

HERE = Path(__file__).parent
GAP, TITLE, HEAD = 2, 118, 14
THEIRS = {"jpeg": "jpeg_compression"}


def sheet(rows: list[tuple[str, Images]], heads: list[str]) -> Image.Image:
    """One row per title, with its pictures, under column heads."""
    side = rows[0][1].shape[1] + GAP
    size = (TITLE + len(heads) * side, HEAD + len(rows) * side)
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for column, head in enumerate(heads):
        pen.text((TITLE + column * side, 1), head, "black")
    for line, (title, images) in enumerate(rows):
        pen.text((2, HEAD + line * side + side // 2 - 6), title.replace("_", " "), "black")
        for column, image in enumerate(images):
            page.paste(Image.fromarray(image), (TITLE + column * side, HEAD + line * side))
    return page


def microscopy(image: NDArray[np.uint8]) -> Image.Image:
    """Every corruption at every severity."""
    rows = []
    for name in SUITES["microscopy"].names:
        versions = [
            cp.corrupt(image[None], corruption=name, severity=severity, seed=4)[0]
            for severity in range(1, 6)
        ]
        rows.append((name, np.stack([image, *versions])))
    return sheet(rows, ["original", *(f"severity {severity}" for severity in range(1, 6))])


def heavy(image: NDArray[np.uint8]) -> Image.Image:
    """Every change, sampled five times."""
    five = np.repeat(image[None], 5, axis=0)
    rows = [
        (name, cp.corrupt(five, suite="heavy", corruption=name)) for name in SUITES["heavy"].names
    ]
    return sheet(rows, ["sampled five times", "", "", "", ""])


def examples(images: Images) -> Image.Image:
    """Both suites: originals, and corrupted versions of each."""
    rows = [("original", images)]
    rows += [
        (f"{suite}, seed {seed}", cp.corrupt(images, suite=suite, seed=seed))
        for suite in SUITES
        for seed in range(3)
    ]
    return sheet(rows, [""] * len(images))


def load(folder: Path, n: int, side: int) -> Images:
    """n photographs spread over the folder, resized."""
    files = sorted(file for file in folder.rglob("*.jp*g") if "mask" not in str(file))
    some = [files[index] for index in np.linspace(0, len(files) - 1, n).astype(int)]
    return np.stack(
        [
            np.asarray(
                Image.open(file).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
            )
            for file in some
        ]
    )


def pictures(images: Images, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, page in {
        "microscopy": microscopy(images[-2]),
        "heavy": heavy(np.asarray(Image.fromarray(images[-2]).resize((80, 80)))),
        "examples": examples(images),
    }.items():
        page.save(out / f"corruptions-{name}.png", optimize=True)


def compare(images: Images) -> None:
    """Mean change by cellprep and by medmnistc, their difference, and the correlation."""
    import wand.version
    from medmnistc.corruptions.registry import CORRUPTIONS_DS

    names = ("medmnistc", "pillow", "scikit-image", "opencv-python")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"{len(images)} photographs at 224x224; {versions}, {wand.version.MAGICK_VERSION}")
    print("| corruption | severity | change | theirs | mean difference | maximum | correlation |")
    print("|---|---|---|---|---|---|---|")
    for name in SUITES["microscopy"].names:
        theirs = CORRUPTIONS_DS["bloodmnist"][THEIRS.get(name, name)]
        at_random = name in ("stain_deposit", "bubble")  # other positions: only the amount compares
        before = np.concatenate([images] * 10) if at_random else images
        for severity in range(5):
            random.seed(severity)
            np.random.seed(severity)
            angles: list[float] = []
            reference = np.stack([_their(theirs, image, severity, angles) for image in before])
            ours = _ours(name, severity, before, angles).astype(np.int16) - before
            change = reference.astype(np.int16) - before
            cells = [f"{abs(ours).mean():.2f}", f"{abs(change).mean():.2f}", "", "", ""]
            if not at_random:
                difference = abs(ours - change)
                correlation = np.corrcoef(ours.ravel(), change.ravel())[0, 1]
                cells[2:] = [
                    f"{difference.mean():.2f}",
                    f"{difference.max()}",
                    f"{correlation:.4f}",
                ]
            print("|", " | ".join([name, str(severity + 1), *cells]), "|", flush=True)


def _their(theirs: Any, image: NDArray[np.uint8], severity: int, angles: list[float]) -> Any:
    """medmnistc's version; the angles that motion blur samples are appended to `angles`."""
    uniform = np.random.uniform

    def recorded(*ends: float) -> float:
        angles.append(uniform(*ends))
        return angles[-1]

    np.random.uniform = recorded  # type: ignore[assignment]
    np.fromstring = np.frombuffer  # type: ignore[assignment] - removed in NumPy 2
    try:
        return theirs.apply(Image.fromarray(image), severity)
    finally:
        np.random.uniform = uniform


def _ours(name: str, severity: int, images: Images, angles: list[float]) -> Images:
    if name != "motion_blur":
        return cp.corrupt(images, corruption=name, severity=severity + 1)
    step = cp.Corrupt(corruption=name, severity=severity + 1)
    dataset = cp.Recipe([step])(cp.Dataset.from_arrays(images, np.zeros(len(images), int)))
    record = dataset.plan.evaluate(np.arange(len(images)))[1]
    parameters = {key.removeprefix("corrupt."): column.values for key, column in record.items()}
    parameters["c_1"] = np.array(angles, np.float32)
    return _corrupted(step, images, parameters)


def _corrupted(step: cp.Corrupt, images: Images, parameters: dict[str, Any]) -> Images:
    rows, out = np.arange(len(images)), np.empty_like(images)
    step.apply_to(images, rows, out, rows, **parameters)
    return out


def speed(images: Images) -> None:
    """Images per second of processor time, the best of seven rounds, alternating with medmnistc."""
    try:
        from medmnistc.corruptions.registry import CORRUPTIONS_DS

        reference = CORRUPTIONS_DS["bloodmnist"]
    except ImportError:
        reference = {}
    ids = np.arange(len(images))
    draw = Draw(0, "corrupt", row_keys(id_keys(ids), 0 * ids))
    print(f"{len(images)} images of {images.shape[1]}x{images.shape[2]}, severity 3")
    print("| suite | corruption | images per second | medmnistc |")
    print("|---|---|---|---|")
    for suite, names in ((name, table.names) for name, table in SUITES.items()):
        for name in (None, *names):
            severity = 3 if suite == "microscopy" else None
            step = cp.Corrupt(suite, severity, name)

            def ours(step: cp.Corrupt = step) -> None:
                _corrupted(step, images, dict(step.sample(draw)))

            peers = [
                reference[THEIRS.get(n, n)]
                for n in (names if name is None else [name])
                if THEIRS.get(n, n) in reference and suite == "microscopy"
            ]

            def theirs(peers: list[Any] = peers) -> None:
                for n, image in enumerate(images):
                    _their(peers[n % len(peers)], image, 2, [])

            calls = [ours, theirs] if peers else [ours]
            measured: list[list[float]] = [[] for _ in calls]
            for _ in range(8):
                for call, times in zip(calls, measured, strict=True):
                    began = time.process_time()
                    call()
                    times.append(time.process_time() - began)
            rates = [f"{len(images) / min(times[1:]):,.0f}" for times in measured]
            print("|", " | ".join([suite, name or "all", *rates, ""][:4]), "|", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["speed"]:
        speed(draw_cells([16] * 8, side=96, seed=1)[0])
    elif len(sys.argv) == 3 and sys.argv[1] == "compare":
        compare(load(Path(sys.argv[2]), 48, 224))
    elif len(sys.argv) == 3:
        pictures(load(Path(sys.argv[1]), 8, 96), Path(sys.argv[2]))
    else:
        pictures(draw_cells([1] * 8, side=96, seed=2)[0], HERE)
