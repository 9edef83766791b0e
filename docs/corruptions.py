"""The pictures of docs/corruptions.md, and its comparison with medmnistc.

    python docs/corruptions.py                        draws docs/corruptions-*.png, of drawn cells
    python docs/corruptions.py PHOTOGRAPHS OUT        the same pictures of the first photographs
    python docs/corruptions.py compare PHOTOGRAPHS    the table beside medmnistc's own corruptions
    python docs/corruptions.py speed                  images a second on one core

PHOTOGRAPHS is a folder, searched through. What compares needs medmnistc, and ImageMagick for its
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
    """A title and its pictures a row, under the heads."""
    side = rows[0][1].shape[1] + GAP
    size = (TITLE + len(heads) * side, HEAD + len(rows) * side)
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for place, head in enumerate(heads):
        pen.text((TITLE + place * side, 1), head, "black")
    for line, (title, images) in enumerate(rows):
        pen.text((2, HEAD + line * side + side // 2 - 6), title.replace("_", " "), "black")
        for place, image in enumerate(images):
            page.paste(Image.fromarray(image), (TITLE + place * side, HEAD + line * side))
    return page


def microscopy(image: NDArray[np.uint8]) -> Image.Image:
    """Every corruption at every severity."""
    rows = []
    for name in SUITES["microscopy"].names:
        made = [
            cp.corrupt(image[None], corruption=name, severity=severity, seed=4)[0]
            for severity in range(1, 6)
        ]
        rows.append((name, np.stack([image, *made])))
    return sheet(rows, ["as it is", *(f"severity {severity}" for severity in range(1, 6))])


def heavy(image: NDArray[np.uint8]) -> Image.Image:
    """Every change five times, as it is drawn."""
    five = np.repeat(image[None], 5, axis=0)
    rows = [
        (name, cp.corrupt(five, suite="heavy", corruption=name)) for name in SUITES["heavy"].names
    ]
    return sheet(rows, ["drawn five times", "", "", "", ""])


def examples(images: Images) -> Image.Image:
    """The suites as wholes: originals, and a corrupted version under each."""
    rows = [("as they are", images)]
    rows += [
        (f"{suite}, seed {seed}", cp.corrupt(images, suite=suite, seed=seed))
        for suite in SUITES
        for seed in range(3)
    ]
    return sheet(rows, [""] * len(images))


def load(folder: Path, n: int, side: int) -> Images:
    """Photographs spread over the folder, brought to one size."""
    files = sorted(file for file in folder.rglob("*.jp*g") if "mask" not in str(file))
    some = [files[place] for place in np.linspace(0, len(files) - 1, n).astype(int)]
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
    """Mean change of ours and theirs, how far apart they are, and how alike the changes."""
    import wand.version
    from medmnistc.corruptions.registry import CORRUPTIONS_DS

    names = ("medmnistc", "pillow", "scikit-image", "opencv-python")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"{len(images)} photographs at 224x224; {versions}, {wand.version.MAGICK_VERSION}")
    print("| corruption | severity | change | theirs | mean apart | most apart | correlation |")
    print("|---|---|---|---|---|---|---|")
    for name in SUITES["microscopy"].names:
        theirs = CORRUPTIONS_DS["bloodmnist"][THEIRS.get(name, name)]
        at_random = name in ("stain_deposit", "bubble")  # other places: only the sizes compare
        before = np.concatenate([images] * 10) if at_random else images
        for severity in range(5):
            random.seed(severity)
            np.random.seed(severity)
            angles: list[float] = []
            reference = np.stack([_their(theirs, image, severity, angles) for image in before])
            mine = _ours(name, severity, before, angles).astype(np.int16) - before
            yours = reference.astype(np.int16) - before
            cells = [f"{abs(mine).mean():.2f}", f"{abs(yours).mean():.2f}", "", "", ""]
            if not at_random:
                off = abs(mine - yours)
                alike = np.corrcoef(mine.ravel(), yours.ravel())[0, 1]
                cells[2:] = [f"{off.mean():.2f}", f"{off.max()}", f"{alike:.4f}"]
            print("|", " | ".join([name, str(severity + 1), *cells]), "|", flush=True)


def _their(theirs: Any, image: NDArray[np.uint8], severity: int, angles: list[float]) -> Any:
    """medmnistc's version; the angle that a motion blur drew is noted."""
    draw = np.random.uniform

    def noted(*ends: float) -> float:
        angles.append(draw(*ends))
        return angles[-1]

    np.random.uniform = noted  # type: ignore[assignment]
    np.fromstring = np.frombuffer  # type: ignore[assignment] - NumPy 2 has it no more
    try:
        return theirs.apply(Image.fromarray(image), severity)
    finally:
        np.random.uniform = draw


def _ours(name: str, severity: int, images: Images, angles: list[float]) -> Images:
    if name != "motion_blur":
        return cp.corrupt(images, corruption=name, severity=severity + 1)
    step = cp.Corrupt(corruption=name, severity=severity + 1)
    dataset = cp.Recipe([step])(cp.Dataset.from_arrays(images, np.zeros(len(images), int)))
    record = dataset.plan.evaluate(np.arange(len(images)))[1]
    parameters = {key.removeprefix("corrupt."): column.values for key, column in record.items()}
    parameters["c_1"] = np.array(angles, np.float32)
    return step.apply(images.copy(), np.arange(len(images)), **parameters)


def speed(images: Images) -> None:
    """Images a second on one core, the best of seven turns; ours and theirs take turns."""
    try:
        from medmnistc.corruptions.registry import CORRUPTIONS_DS

        reference = CORRUPTIONS_DS["bloodmnist"]
    except ImportError:
        reference = {}
    rows = np.arange(len(images))
    draw = Draw(0, "corrupt", row_keys(id_keys(rows), 0 * rows))
    print(f"{len(images)} images of {images.shape[1]}x{images.shape[2]}, severity 3")
    print("| suite | corruption | images a second | medmnistc |")
    print("|---|---|---|---|")
    for suite, names in ((name, table.names) for name, table in SUITES.items()):
        for name in (None, *names):
            severity = 3 if suite == "microscopy" else None
            step = cp.Corrupt(suite, severity, name)

            def ours(step: cp.Corrupt = step) -> None:
                step.apply(images.copy(), rows, **step.parameters(images, draw))

            peers = [
                reference[THEIRS.get(n, n)]
                for n in (names if name is None else [name])
                if THEIRS.get(n, n) in reference and suite == "microscopy"
            ]

            def theirs(peers: list[Any] = peers) -> None:
                for place, image in enumerate(images):
                    _their(peers[place % len(peers)], image, 2, [])

            calls = [ours, theirs] if peers else [ours]
            taken: list[list[float]] = [[] for _ in calls]
            for _ in range(8):
                for call, times in zip(calls, taken, strict=True):
                    began = time.perf_counter()
                    call()
                    times.append(time.perf_counter() - began)
            rates = [f"{len(images) / min(times[1:]):,.0f}" for times in taken]
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
