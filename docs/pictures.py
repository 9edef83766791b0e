"""The pictures of docs/steps: what each step does to synthetic cells.

    python docs/pictures.py                 redraws docs/steps/*.webp
    python docs/pictures.py jitter crop     redraws these two

The caption of an image is its record, or what the step decided. Each picture is a light card with
round corners, 1,600 pixels wide, to be shown at half its size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cards import (
    AMBER,
    BLUE,
    GREEN,
    HUES,
    INK,
    MARGIN,
    PAPER,
    QUIET,
    RED,
    SMALL,
    WIDTH,
    Tile,
    bars,
    card,
    outlined,
    save,
    strip,
)
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import cellprep as cp
from cellprep.arrays import Images
from cellprep.kernels.augment import affine
from cellprep.kernels.augment.color import channel_gain
from cellprep.kernels.augment.stain import hed
from cellprep.kernels.segment import kmeans, spaces
from cellprep.operations import KERAS_CV, OPERATIONS, WIDE, Slots, Strength
from cellprep.operations.suites import SUITES
from cellprep.steps import STEPS
from cellprep.synthetic import CLASS_NAMES, draw_cells, draw_messy_set

FOLDER = Path(__file__).parent / "steps"


def cells_of(*names: str, each: int = 1, seed: int = 2) -> tuple[Images, NDArray[np.int64]]:
    return draw_cells([each * (name in names) for name in CLASS_NAMES], seed=seed)


def applied(step: cp.Step, images: Images, seed: int = 0) -> tuple[Images, list[dict[str, Any]]]:
    """Images after a step, and the record of each."""
    cells = cp.Dataset.from_arrays(images, np.zeros(len(images), int), class_names=["cell"])
    out = cp.Recipe([step], seed)(cells)
    pictures, record = out.plan.evaluate(np.arange(len(out)))
    columns = {name.split(".")[-1]: column.values.tolist() for name, column in record.items()}
    return pictures, [
        {name: values[n] for name, values in columns.items()} for n in range(len(pictures))
    ]


# -- one picture per step --------------------------------------------------------------------------


def dedupe() -> Image.Image:
    """Groups of duplicates with their labels, and which images are kept."""
    images, labels = draw_messy_set(800)
    names = np.array(CLASS_NAMES)[labels]
    twin, rotated, resized = np.flatnonzero(names == "neutrophil")[:3]
    smaller = Image.fromarray(images[resized]).resize((86, 86))
    added = [images[twin], np.rot90(images[rotated]), np.asarray(smaller.resize((96, 96)))]
    images = np.concatenate([images, added])
    cells = cp.Dataset.from_arrays(images, [*names, "eosinophil", "neutrophil", "neutrophil"])
    table = cp.find_duplicates(cells, near=4, symmetries=True)
    removed = cp.Recipe([cp.Dedupe(near=4, symmetries=True)])(cells).removed()
    table = table.merge(removed[["id", "reason"]], "left", "id")
    groups = [group for _, group in table.groupby("group")]
    pairs = [group for group in groups if len(group) == 2]

    def tiles(group: Any) -> list[Tile]:
        kept = group["reason"].isna()
        verdict = np.where(kept, "kept", "removed")
        frames = [GREEN if keep else RED for keep in kept]
        captions = group["class_name"] + "\n" + verdict
        return [*map(Tile, images[group["id"]], captions, frames)]

    strips = [
        strip(f"{len(group)} images: {group['reason'].iloc[0]}", tiles(some.head(8)))
        for group in groups
        if len(group) > 2
        for some in [group.drop_duplicates("class_name") if group["conflict"].all() else group]
    ]
    shown = [
        next(pair for pair in pairs if pair["conflict"].all()),
        *(
            next(p for p in pairs if (p["relation"] == kind).any() and not p["conflict"].any())
            for kind in ("exact", "symmetry", "near")
        ),
    ]
    title = "pairs: conflicting labels; equal; quarter turn; downscaled and upscaled"
    return card([*strips, strip(title, [tile for pair in shown for tile in tiles(pair)])])


def decide() -> Image.Image:
    """Decisions on equal images, on look-alikes and on a suspected label."""
    images, _ = cells_of("eosinophil", "monocyte", "neutrophil", each=2, seed=3)
    turned = cp.jitter(images[:1], rotation=40, shift=0, zoom=0, flip=False, seed=2)[0]
    decisions = [
        (images[2], "monocyte", "keep", GREEN),
        (images[2], "neutrophil", "drop", RED),
        (images[0], "eosinophil", "keep", GREEN),
        (turned, "eosinophil", "drop", RED),
        (images[4], "eosinophil", "relabel to neutrophil", AMBER),
    ]
    title = "two equal images under two labels; two look-alikes; a suspected label"
    tiles = [Tile(image, f"{name}\n{what}", frame) for image, name, what, frame in decisions]
    return card([strip(title, tiles)])


def split() -> Image.Image:
    """Splits that share no patient."""
    images, labels = cells_of("eosinophil", "neutrophil", each=10)
    patient = np.random.default_rng(1).permutation(np.arange(20) // 2)
    names = np.array(CLASS_NAMES)[labels]
    splits = cp.split(
        cp.Dataset.from_arrays(images, names, groups=patient), train=0.5, val=0.25, test=0.25
    )
    strips = []
    for name, subset in splits.items():
        tiles = [
            Tile(images[row], f"{names[row]} patient {patient[row] + 1}", HUES[patient[row]])
            for row in subset.ids[np.argsort(patient[subset.ids], kind="stable")]
        ]
        counts = ", ".join(f"{count} {label}s" for label, count in subset.counts().items())
        strips.append(strip(f"{name}: {counts}", tiles, 10))
    return card(strips)


def balance() -> Image.Image:
    """Class counts before and after, and some of the added copies."""
    images, labels = draw_messy_set(400)
    cells = cp.Dataset.from_arrays(images, labels, class_names=CLASS_NAMES)
    clean = cp.Recipe([cp.Dedupe(max_copies=4)])(cells)
    more = cp.Recipe([cp.Balance()])(clean)
    strips = [bars("images of each class, and added copies", clean.counts(), more.counts())]
    for name in ("lymphocyte", "basophil"):
        often = more.ids[(more.labels == CLASS_NAMES.index(name)) & (more.copies == 2)][:3]
        tiles = [
            Tile(more.images[row], "original", BLUE)
            if more.copies[row] == 0
            else Tile(more.images[row], f"copy {more.copies[row]}", AMBER)
            for row in np.flatnonzero(np.isin(more.ids, often))
        ]
        strips.append(strip(f"{name}s, each with its jittered copies", tiles, 9))
    return card(strips)


def jitter() -> Image.Image:
    """Each setting on its own, then all together."""
    image = cells_of("neutrophil", seed=5)[0]
    still: dict[str, Any] = {"rotation": 0, "shift": 0, "zoom": 0, "flip": "none"}
    captions: dict[str, Callable[[dict[str, Any]], str]] = {
        "rotation": lambda r: f"{r['rotation']:+.0f}°",
        "shift": lambda r: f"{r['shift_x']:+.2f}, {r['shift_y']:+.2f}",
        "zoom": lambda r: f"x {r['zoom']:.2f}",
        "flip": lambda r: {(0, 0): "none", (1, 0): "left-right", (0, 1): "top-bottom",
                           (1, 1): "both"}[int(r["flip_x"]), int(r["flip_y"])],
    }  # fmt: skip
    strips = []
    for name, value in {"rotation": 180, "shift": 0.25, "zoom": 0.4, "flip": "both"}.items():
        pictures, record = applied(cp.Jitter(**still | {name: value}), np.repeat(image, 7, axis=0))
        tiles = [Tile(image[0], "original", BLUE)]
        tiles += [Tile(p, captions[name](r)) for p, r in zip(pictures, record, strict=True)]
        strips.append(strip(f"only {name} = {value!r}", tiles))
    pictures, _ = applied(cp.Jitter(), np.repeat(image, 8, axis=0))
    strips.append(strip("Jitter(): all together, in one resampling", [Tile(p) for p in pictures]))
    tiles = []
    for fill in ("reflect", "edge", 0, 230):
        pictures, _ = applied(cp.Jitter(shift=0.3, fill=fill), np.repeat(image, 2, axis=0), seed=3)
        tiles += [Tile(picture, f"fill={fill!r}") for picture in pictures]
    strips.append(strip("what fills the area beyond the border", tiles))
    return card(strips)


def stain_jitter() -> Image.Image:
    """Each stain weaker and stronger, then random strengths with either matrix."""
    image, strips = cells_of("eosinophil", seed=5)[0], []
    changes = np.array([-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6], np.float32)
    for stain, name in enumerate(("haematoxylin", "eosin", "DAB")):
        pictures = np.repeat(image, len(changes), axis=0)
        each = [changes if s == stain else np.zeros_like(changes) for s in range(3)]
        hed(pictures, np.arange(len(changes)), *each)
        captions = [f"{name} {1 + change:.1f}" for change in changes]
        tiles = [Tile(*pair) for pair in zip(pictures, captions, strict=True)]
        strips.append(strip(f"the strength of {name} alone", tiles, len(changes)))
    images, _ = cells_of(*CLASS_NAMES, seed=2)
    strips.append(strip("eight cells", [Tile(picture) for picture in images]))
    for step in (cp.StainJitter(), cp.StainJitter(strength=0.6), cp.StainJitter(matrix="macenko")):
        pictures, _ = applied(step, images)
        strips.append(strip(repr(step), [Tile(picture) for picture in pictures]))
    return card(strips)


def match_colors() -> Image.Image:
    """Cells of three smears, the images that they take colours from, and the results."""
    images, _ = cells_of(*CLASS_NAMES, seed=2)
    tint = [(1, 1, 1), (0.75, 0.9, 0.85), (0.85, 0.78, 0.95)]
    images = (images * np.resize(tint, (len(images), 1, 1, 3))).astype(np.uint8)
    strips = []
    for color_space in ("rgb", "lab"):
        pictures, record = applied(cp.MatchColors(1, color_space), images, seed=32)
        if not strips:
            others = images[[row["other"] for row in record]]
            strips.append(strip("eight cells of smears in three colours", [*map(Tile, images)]))
            strips.append(strip("the images that they take colours from", [*map(Tile, others)]))
        captions = [f"strength {row['strength']:.2f}" for row in record]
        tiles = [Tile(*pair) for pair in zip(pictures, captions, strict=True)]
        strips.append(strip(f'MatchColors(strength=1, color_space="{color_space}")', tiles))
    return card(strips)


def crop() -> Image.Image:
    """The window around the cell, compared with the one around the image centre."""
    shift = cp.Jitter(rotation=0, shift=0.2, zoom=0, flip=False)
    cells, _ = draw_cells([int(name != "platelet") for name in CLASS_NAMES], seed=4)
    images, _ = applied(shift, cells)
    size = 64
    results = {center: applied(cp.Crop(size, center), images) for center in ("cell", "image")}
    windows = []
    for n, image in enumerate(images):
        page = Image.fromarray(image).resize((768, 768), Image.Resampling.BICUBIC)
        pen = ImageDraw.Draw(page)
        for center, color in (("image", BLUE), ("cell", RED)):
            top, left = (8 * results[center][1][n][name] for name in ("top", "left"))
            pen.rectangle((left, top, left + 8 * size - 1, top + 8 * size - 1), None, color, 20)
        windows.append(np.asarray(page))
    title = "96x96: the window around the cell (red) and around the image centre (blue)"
    strips = [strip(title, [Tile(window) for window in windows], 7)]
    for center, color in (("cell", RED), ("image", BLUE)):
        tiles = [Tile(picture, "", color) for picture in results[center][0]]
        strips.append(strip(f'Crop({size}, center="{center}")', tiles, 7))
    alike, record = applied(cp.Crop(1.3, resize_to=96, relative=True), images)
    sides = [f"{row['side']} pixels" for row in record]
    tiles = [Tile(*pair) for pair in zip(alike, sides, strict=True)]
    return card(
        [*strips, strip("Crop(1.3, relative=True, resize_to=96): side of each window", tiles, 7)]
    )


def adapt() -> Image.Image:
    """Two laboratories of different zoom and colour, before and after."""
    images, _ = draw_cells([4] * 8, seed=2)
    trained_on, elsewhere = cp.profile(images), draw_cells([4] * 8, seed=7)[0]
    every = np.arange(len(elsewhere))
    affine.zoom(elsewhere, every, np.full(len(every), 0.65, np.float32))
    tint = np.array([[0.62, 0.72, 0.58], [18, 22, 30]], np.float32)[:, None].repeat(32, axis=1)
    channel_gain(elsewhere, every, *tint)
    rows = {"training images": images, "another laboratory's images": elsewhere}
    for color in (False, "background", "channels"):
        made, record = applied(cp.Adapt(trained_on, color=color), elsewhere)
        words = f", color={color!r}" * bool(color)
        rows[f"Adapt(profile{words}): zoom {record[0]['zoom']:.2f}"] = made
    return card(
        [strip(title, [Tile(image) for image in some[::4]]) for title, some in rows.items()]
    )


def kmeans_mask() -> Image.Image:
    """From clusters to the mask and the masked image."""
    images, labels = draw_cells([int(name != "platelet") for name in CLASS_NAMES], seed=2)
    purple = spaces.to_space(images, "purple").reshape(len(images), -1, 1)
    clusters, _ = kmeans.kmeans(purple, 4)
    palette = np.array([(236, 236, 240), (240, 190, 176), (150, 132, 214), (70, 34, 120)], np.uint8)
    cells, nuclei = cp.segment(images), cp.segment(images, target="nucleus")
    rows = {
        "the image": images,
        "four clusters of purple: two of background and red cells, cytoplasm, nucleus": palette[
            clusters.reshape(images.shape[:3])
        ],
        "the mask: the region of the more purple half that contains the nucleus": outlined(
            images, cells
        ),
        "KMeansMask()": cp.kmeans_mask(images),
        'KMeansMask(target="nucleus")': images * nuclei[..., None],
    }
    return card(
        [
            strip(title, [Tile(image, name if title == "the image" else "") for image, name in
                          zip(pictures, np.array(CLASS_NAMES)[labels], strict=True)], 7)
            for title, pictures in rows.items()
        ]
    )  # fmt: skip


def changed(image: Images, name: str, magnitude: float) -> Images:
    """An image (1, height, width, 3) after one operation at its strongest."""
    most, threshold = np.float32([[magnitude], [255 * (1 - magnitude)]])
    one = np.ones(1, np.float32)
    uniform = -most if name == "brightness" else most  # brighter cells would be white
    strength = Strength(uniform, most, one, threshold, -one / 2, one / 2, magnitude)
    values = np.stack(OPERATIONS[name].sampled(strength), axis=1)[:, None]
    pictures, seeds = image.copy(), np.array([[7]], np.uint64)
    Slots(np.array([[name]]), values, seeds).run(OPERATIONS, pictures, np.arange(1))
    return pictures[0]


def rand_augment() -> Image.Image:
    """The ten operations, weak and strong, and random copies."""
    image, strips = cells_of("eosinophil", seed=5)[0], []
    for magnitude in (0.2, 0.5, 0.9):
        pictures = [changed(image, name, magnitude) for name in KERAS_CV]
        names = [name.replace("_", " ") if magnitude == 0.9 else "" for name in KERAS_CV]
        tiles = [Tile(*pair) for pair in zip(pictures, names, strict=True)]
        strips.append(
            strip(f"the ten operations at their strongest, magnitude {magnitude}", tiles, 10)
        )
    cells, _ = cells_of("basophil", "neutrophil", seed=2)
    pictures, record = applied(cp.RandAugment(copies=7), cells)
    tiles = []
    for picture, row in zip(pictures, record, strict=True):
        ops = [row[f"op_{slot}"] for slot in (1, 2, 3)]
        some = [op.replace("_", " ") for op in ops if op and op != "none"]
        tiles.append(Tile(picture, ", ".join(some) or "original"))
    strips.append(
        strip("RandAugment(copies=7): three slots per copy, each used 10 times in 11", tiles)
    )
    return card(strips)


def operations() -> Image.Image:
    """Every operation of the wide list, at three magnitudes."""
    image = cells_of("eosinophil", seed=5)[0]
    magnitudes, side, columns = (0.2, 0.5, 0.9), 112, 3
    width, lines = (WIDTH - MARGIN) // columns, -(-len(WIDE) // columns)
    page = Image.new("RGB", (WIDTH, 40 + lines * (side + 4)), PAPER)
    pen = ImageDraw.Draw(page)
    for n, name in enumerate(WIDE):
        left, top = MARGIN + n // lines * width, 40 + n % lines * (side + 4)
        pen.multiline_text((left, top + 24), name.replace("_", "\n"), INK, font=SMALL)
        for k, magnitude in enumerate(magnitudes):
            x = left + 160 + k * (side + 4)
            picture = Image.fromarray(changed(image, name, magnitude))
            page.paste(picture.resize((side, side), Image.Resampling.BICUBIC), (x, top))
            if n % lines == 0:
                pen.text((x, 4), f"{magnitude}", QUIET, font=SMALL)
    return card([page])


def epochs() -> Image.Image:
    """The same copies in six epochs: of an image, and of one that is jittered and masked first."""
    images, labels = cells_of("basophil", "eosinophil", seed=5)
    cells = cp.Dataset.from_arrays(images, labels, CLASS_NAMES)
    augment, strips = cp.RandAugment(copies=1, keep_originals=False), []
    for steps in ([augment], [cp.Jitter(), cp.KMeansMask(), augment]):
        made, tiles = cp.Recipe(steps)(cells), []
        for row, image in enumerate(images):
            tiles.append(Tile(image, "source"))
            for epoch in range(6):
                pictures, record = made.epoch(epoch).plan.evaluate(np.array([row]))
                ops = [str(record[f"rand_augment.op_{slot}"].values[0]) for slot in (1, 2, 3)]
                some = ", ".join(op.replace("_", " ") for op in ops if op != "none")
                tiles.append(Tile(pictures[0], f"epoch {epoch}: {some}"))
        strips.append(strip(", then ".join(type(step).__name__ for step in steps), tiles, 7))
    return card(strips)


def corrupt() -> Image.Image:
    """Clean test images, and each suite's version of them."""
    images, labels = draw_cells([1] * 8, seed=2)
    names = [CLASS_NAMES[label] for label in labels]
    strips = [strip("the test images", [Tile(*pair) for pair in zip(images, names, strict=True)])]
    for suite in SUITES:
        pictures, record = applied(cp.Corrupt(suite), images, seed=1)
        tiles = []
        for picture, row in zip(pictures, record, strict=True):
            ops = [row[name] for name in sorted(row) if name.startswith("op_")]
            words = ", ".join(op.replace("_", " ") for op in ops if op and op != "none")
            if suite == "microscopy":
                words = f"{row['corruption'].replace('_', ' ')} {row['severity']}"
            tiles.append(Tile(picture, words or "unchanged"))
        strips.append(strip(f'Corrupt("{suite}")', tiles))
    return card(strips)


def before_and_after(kind: type[cp.Step]) -> Image.Image:
    """The picture of a step without one of its own: cells before and after, with its defaults."""
    cells, _ = cells_of(*CLASS_NAMES, seed=2)
    images, _ = applied(kind(), cells)
    before, after = ([Tile(image) for image in some] for some in (cells, images))
    return card([strip("before", before), strip(f"after {kind()!r}", after)])


PICTURES: dict[str, Callable[[], Image.Image]] = {
    kind.key(): partial(before_and_after, kind)
    for kind in STEPS.values()
    if kind.__module__.startswith("cellprep.")
} | {
    draw.__name__: draw
    for draw in (
        *(decide, dedupe, split, balance, jitter, stain_jitter, match_colors, crop, kmeans_mask),
        *(rand_augment, operations, epochs, corrupt, adapt),
    )
}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or PICTURES:
        save(PICTURES[name](), FOLDER / f"{name}.webp")
