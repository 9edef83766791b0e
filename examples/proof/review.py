"""How well look-alikes and wrong labels are found, and what it costs (docs/pbc.md).

    python examples/proof/review.py labels PBC96 --cache out    # planted wrong labels
    python examples/proof/review.py lookalikes PBC96            # planted copies
    python examples/proof/review.py search PBC96 --cache out    # among a million vectors
    python examples/proof/review.py page PBC96                  # the report, in Chromium

PBC96 is a folder with one folder of photographs for each class. Times are processor times of the
process, all threads together, so that other work on the machine changes them little.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

import cellprep as cp

Result = TypeVar("Result")
FOLDER = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
CACHE = click.option("--cache", type=click.Path(path_type=Path), help="Folder of kept features.")
TTA = click.option("--tta", default="dihedral", show_default=True, help="Views of each image.")
LOOKALIKES = ("shifted", "zoomed", "other colours", "turned")


@click.group()
def main() -> None:
    """How well look-alikes and wrong labels are found, and what it costs."""


def timed(what: str, call: Callable[[], Result]) -> Result:
    """The result of a call, whose processor time is printed."""
    began = time.process_time()
    made = call()
    print(f"{what}: {time.process_time() - began:,.1f} s of processor time", flush=True)
    return made


def sample(folder: Path, images: int | None) -> cp.Dataset:
    """Some of the images, at random, or all in their order."""
    cells = cp.read(folder)
    if images is None:
        return cells
    return cells.take(np.random.default_rng(0).permutation(len(cells))[:images])


# -- wrong labels -----------------------------------------------------------------------------


@main.command()
@FOLDER
@click.option("--images", type=int, help="A sample of this many. Default: all.")
@click.option("--seeds", default="10,11,12", show_default=True)
@CACHE
@TTA
def labels(folder: Path, images: int | None, seeds: str, cache: Path | None, tta: str) -> None:
    """Precision at the number of labels that were changed, at random or as classes are confused."""
    import cellmodels as cm

    cells = sample(folder, images)
    how: dict[str, Any] = {"cache": cache or False, "tta": tta, "progress": False}
    timed(
        f"features of {len(cells):,} images", lambda: cm.embed("efficientnet_lite0", cells, **how)
    )
    plain = timed("five folds", lambda: cm.find_label_issues(cells, **how))
    confused = pd.crosstab(plain["label"], plain["suggested"])
    confused = confused.reindex(index=cells.class_names, columns=cells.class_names, fill_value=0)
    rows = []
    for kind in ("random", "likely"):
        for share in (0.05, 0.15):
            for seed in map(int, seeds.split(",")):
                chances = confused.to_numpy() if kind == "likely" else np.ones(confused.shape)
                wrong = with_wrong_labels(cells.labels, share, chances, seed)
                changed = cells.ids[wrong != cells.labels]
                planted = cells.relabel(
                    {
                        key: cells.class_names[label]
                        for key, label in zip(cells.ids, wrong, strict=True)
                    }
                )
                first = cm.find_label_issues(planted, seed=seed, **how)["id"][: len(changed)]
                precision = np.isin(first, changed).mean()
                rows.append({"changed": kind, "share": share, "seed": seed, "precision": precision})
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows).groupby(["changed", "share"])["precision"]
    print(table.agg(["mean", "min", "max"]).round(3).to_string())


def with_wrong_labels(
    labels: NDArray[np.int64], share: float, chances: NDArray[Any], seed: int
) -> NDArray[np.int64]:
    """Labels of which a share was changed, to each other class in proportion to its chance."""
    random = np.random.default_rng(seed)
    wrong = labels.copy()
    for row in random.permutation(len(labels))[: round(share * len(labels))]:
        weights = chances[labels[row]].astype(float)
        weights[labels[row]] = 0
        wrong[row] = random.choice(len(weights), p=weights / weights.sum())
    return wrong


# -- look-alikes ------------------------------------------------------------------------------


@main.command()
@FOLDER
@click.option("--cells", "count", default=1000, show_default=True)
@click.option("--copies", default=50, show_default=True, help="Of each kind.")
@click.option("--neighbours", default="5,10", show_default=True)
@TTA
def lookalikes(folder: Path, count: int, copies: int, neighbours: str, tta: str) -> None:
    """Average precision of planted copies, beside what perceptual hashes find."""
    import cellmodels as cm
    from cellprep.duplicates.lookalikes import compared_pairs

    cells = cp.Recipe([cp.Dedupe()])(cp.read(folder))
    rows = np.random.default_rng(0).permutation(len(cells))[:count]
    images, labels = cells.take(rows).to_arrays()
    planted, sources = copies_of(images, copies)
    cells = cp.Dataset.from_arrays(
        np.concatenate([images, planted]), np.concatenate([labels, labels[sources]])
    )
    pairs = {(int(row), len(images) + at) for at, row in enumerate(sources)}
    table = cp.find_duplicates(cells, near=10, symmetries=True)
    group = dict(zip(table["id"], table["group"], strict=True))
    found = [row in group and group[row] == group.get(copy) for row, copy in sorted(pairs, key=max)]
    for at, kind in enumerate(LOOKALIKES):
        print(f"find_duplicates, {kind}: {sum(found[at * copies :][:copies])} of {copies}")
    features = timed(
        f"features of {len(cells):,} images",
        lambda: cm.embed("efficientnet_lite0", cells, tta=tta),
    )
    for k in map(int, neighbours.split(",")):
        _, a, b, similarity, shared = timed(
            f"{k} neighbours, compared",
            lambda k=k: compared_pairs(cells.plan, features, None, k, "exact"),
        )
        right = np.array(
            [(min(p), max(p)) in pairs for p in zip(a.tolist(), b.tolist(), strict=True)]
        )
        for name, scores in (("similarity", similarity), ("matches", shared + similarity / 2)):
            precision = average_precision(right, scores, len(pairs))
            print(f"{k} neighbours, ranked by {name}: average precision {precision:.3f}")
        print(f"least matches of planted pairs {shared[right].min()}, most of others "
              f"{shared[~right].max()}", flush=True)  # fmt: skip


def copies_of(images: NDArray[np.uint8], count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`count` copies of each kind of `LOOKALIKES`, and the rows of their images."""
    import cv2

    random = np.random.default_rng(1)
    sources = random.permutation(len(images))[: len(LOOKALIKES) * count]
    made = []
    for at, row in enumerate(sources.tolist()):
        kind, image, side = LOOKALIKES[at // count], images[row], images.shape[1]
        angle, zoom, shift = 0.0, 1.0, np.zeros(2)
        if kind == "shifted":
            length, way = random.uniform(8, 20), random.uniform(0, 2 * np.pi)
            shift = length * np.array([np.cos(way), np.sin(way)])
        elif kind == "zoomed":
            zoom = random.uniform(*((0.8, 0.9) if random.random() < 0.5 else (1.1, 1.25)))
        elif kind == "turned":
            angle = random.uniform(0, 360)
        else:
            other = images[random.integers(len(images))].astype(np.float64)
            ours, theirs = ((x.mean((0, 1)), x.std((0, 1))) for x in (image.astype(float), other))
            moved = (image - ours[0]) / ours[1] * theirs[1] + theirs[0]
            image = np.clip(np.rint(moved), 0, 255).astype(np.uint8)
        matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, zoom)
        matrix[:, 2] += shift
        made.append(
            cv2.warpAffine(
                image,
                matrix,
                (side, side),
                flags=cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_REFLECT_101,
            )
        )
    return np.stack(made), sources


def average_precision(right: NDArray[np.bool_], scores: NDArray[Any], planted: int) -> float:
    """The mean over planted pairs of the precision where each is found; 0 for one that is not."""
    ranked = right[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].sum() / planted)


# -- the cost of a search ---------------------------------------------------------------------


@main.command()
@FOLDER
@click.option("--vectors", default=1_000_000, show_default=True)
@click.option("--queries", default=1_000, show_default=True, help="Compared with all vectors.")
@click.option("--index", "kinds", default="exact,faiss", show_default=True)
@CACHE
@TTA
def search(
    folder: Path, vectors: int, queries: int, kinds: str, cache: Path | None, tta: str
) -> None:
    """Time, memory and recall of the 10 nearest neighbours, among blends of real features."""
    import cellmodels as cm
    from cellprep.duplicates.neighbours import nearest, whitened

    how: dict[str, Any] = {"cache": cache or False, "tta": tta}
    real = cm.embed("efficientnet_lite0", sample(folder, None), **how)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        many = blends(real, vectors, Path(scratch) / "vectors.npy")
        began = peak()
        units = timed(f"whitening {vectors:,} vectors", lambda: whitened(many))
        print(f"peak memory: {peak() - began:,.0f} MB more than before")
        asked = units[np.random.default_rng(2).permutation(vectors)[:queries]]
        found = {}
        for kind in kinds.split(","):
            found[kind], _ = timed(
                f"{kind}: {queries:,} queries" + " and the index" * (kind == "faiss"),
                lambda kind=kind: nearest(asked, units, 10, kind),
            )
            print(f"peak memory: {peak() - began:,.0f} MB more than before")
    if len(found) == 2:
        exact, other = found.values()
        hits = [len(np.intersect1d(*rows)) for rows in zip(exact, other, strict=True)]
        print(f"recall: {sum(hits) / exact.size:.3f}")


def blends(real: NDArray[np.float32], count: int, path: Path) -> NDArray[np.float32]:
    """Random blends of two feature vectors each, in a memory-mapped file."""
    random = np.random.default_rng(3)
    made = np.lib.format.open_memmap(path, "w+", np.float32, (count, real.shape[1]))
    for start in range(0, count, 10_000):
        block = made[start : start + 10_000]
        one, other = random.integers(len(real), size=(2, len(block)))
        share = random.uniform(0, 1, (len(block), 1)).astype(np.float32)
        block[:] = share * real[one] + (1 - share) * real[other]
    return made


def peak() -> float:
    """The most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- the page ---------------------------------------------------------------------------------


@main.command()
@FOLDER
@click.option("--lookalikes", "alike", type=click.Path(exists=True, path_type=Path))
@click.option("--label-issues", "issues", type=click.Path(exists=True, path_type=Path))
@click.option("--keys", default=60, show_default=True, help="Pressed of each kind.")
@click.option("--browser", help="Path of Chromium. Default: that of Playwright.")
def page(
    folder: Path, alike: Path | None, issues: Path | None, keys: int, browser: str | None
) -> None:
    """Size of the report, and time of the page's main thread from a key until it is painted.

    Without tables, 600 pairs of look-alikes and 1,000 suspected labels are chosen at random.
    """
    from playwright.sync_api import sync_playwright

    cells = cp.read(folder)
    given = {"lookalikes": alike or random_pairs(cells), "label_issues": issues or doubts(cells)}
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        path = Path(scratch) / "report.html"
        print(timed("report", lambda: cp.report(cells, path, **given)))
        opened = playwright.chromium.launch(executable_path=browser).new_page()
        opened.goto(path.as_uri())
        client = opened.context.new_cdp_session(opened)
        client.send("Performance.enable", {"timeDomain": "threadTicks"})
        opened.keyboard.press("j")
        for name, key in (("decide and undo", "1u"), ("move", "j"), ("move and decide", "j1")):
            took = sorted(milliseconds(opened, client, key) for _ in range(keys))
            print(
                f"{name}: median {took[len(took) // 2]:.0f} ms, 95 % within "
                f"{took[int(0.95 * len(took))]:.0f} ms, at most {took[-1]:.0f} ms"
            )


def random_pairs(cells: cp.Dataset) -> pd.DataFrame:
    rows = np.random.default_rng(0).permutation(len(cells))[:1200]
    return pd.DataFrame({"id": cells.ids[rows], "group": np.arange(1200) // 2, "matches": 30})


def doubts(cells: cp.Dataset) -> pd.DataFrame:
    rows = np.random.default_rng(1).permutation(len(cells))[:1000]
    names, other = cells.class_names, (cells.labels[rows] + 1) % len(cells.class_names)
    suggested = [names[label] for label in other]
    return pd.DataFrame({"id": cells.ids[rows], "suggested": suggested, "score": 0.1})


def milliseconds(opened: Any, client: Any, keys: str) -> float:
    """What the main thread works from the first of these keys until the page is painted."""

    def worked() -> float:
        metrics = client.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))

    began = worked()
    for key in keys:
        opened.keyboard.press(key)
    twice = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    opened.evaluate(twice)
    return 1000 * (worked() - began)


if __name__ == "__main__":
    main()
