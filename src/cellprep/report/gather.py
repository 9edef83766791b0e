"""What a report says of a data set, as plain data: nothing here knows of HTML."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
import tomli_w
from numpy.typing import NDArray

from .. import measures
from ..dataset import Dataset
from ..draws import Draw
from ..duplicates import find_duplicates, find_leaks
from ..examples import COLUMNS, sections
from ..formats.folder import FolderSource
from ..formats.images import EncodedSource
from ..formats.manifest import load_manifest, load_record
from ..formats.shards import ShardSource, shard_name
from ..inspect import WITH_SIZES
from ..kernels import OPERATIONS
from ..near import Search
from ..plan import Plan
from ..recipe import Recipe
from ..steps import RandAugment
from .pictures import Album
from .quality import FAULTS, Qualities, measure

if TYPE_CHECKING:
    import pandas as pd

MOST_LISTED = 15_000  # images of groups whose ids a page lists
MOST_TILES = 2_000  # pictures in cards of groups
TILES_A_GROUP = 24
GALLERY = 640  # pictures of all classes together, 8 a class at least


@dataclass(frozen=True)
class Tile:
    """A picture, the images that it stands for, and what is said below it."""

    picture: int
    rows: list[int]
    title: str
    facts: str = ""


@dataclass(frozen=True)
class Group:
    """Duplicates of one image."""

    number: int
    conflict: bool
    kinds: list[str]
    votes: str
    classes: list[str]
    distance: int
    difference: float
    rows: list[int]
    tiles: list[Tile]


@dataclass(frozen=True)
class Strip:
    name: str
    tiles: list[Tile]


@dataclass(frozen=True)
class Section:
    """What a step did, in pictures."""

    heading: str
    why: str
    strips: list[Strip]


@dataclass(frozen=True)
class Operation:
    """How often an operation was drawn, and with which values."""

    name: str
    count: int
    share: float
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Operations:
    """What one RandAugment drew."""

    step: str
    slots: int
    copies: int
    expected: float
    drawn: list[Operation]


@dataclass(frozen=True)
class Findings:
    """Everything that the page shows."""

    title: str
    place: str
    notes: list[str]
    images: int
    sources: int
    shape: tuple[int, int]
    class_names: list[str]
    series: list[tuple[str, list[int]]]
    sizes: dict[tuple[int, int], int]
    odd: list[int]
    bad: dict[str, str]
    groups: list[Group]
    leaks: list[Group] | None
    listed: int
    found: dict[str, int]
    qualities: Qualities
    faults: dict[str, list[int]]
    tiles: dict[str, list[Tile]]
    changes: list[tuple[str, int, int, str]]
    sections: list[Section]
    operations: list[Operations]
    galleries: list[Strip]
    recipe: str
    recipe_heading: str
    versions: list[tuple[str, str]]
    search: Search
    shown: Shown = field(repr=False)


FIELDS = (
    *("id", "copy", "class_name", "file", "group"),
    *("relation", "symmetry", "distance", "difference", "conflict", "part"),
)


class Shown:
    """The images that a page names and the pictures that it shows, each once."""

    def __init__(self) -> None:
        self.album = Album()
        self.rows: list[list[Any]] = []
        self._known: dict[tuple[int, int], int] = {}

    def name(self, dataset: Dataset, row: int, facts: Sequence[Any] = ()) -> int:
        """The number under which the page knows a row, with what is said of it in its group."""
        key = (id(dataset), row)
        if key not in self._known or facts:
            rows = dataset.plan.rows
            said = [
                rows.ids[row].item(),
                int(rows.copies[row]),
                dataset.class_names[rows.labels[row]],
                _file(dataset, row),
                *facts,
            ]
            self._known.setdefault(key, len(self.rows))
            self.rows.append(said)
            return len(self.rows) - 1
        return self._known[key]

    def tile(self, dataset: Dataset, row: int, digest: NDArray[Any], facts: str = "") -> Tile:
        """A picture of one row, shown once for all rows with equal pixels."""
        picture = self.album.row(dataset, row, digest)
        number = self.name(dataset, row)
        return Tile(picture, [number], self.rows[number][2], facts)


def _file(dataset: Dataset, row: int) -> str:
    """The file of a row, and where it lies there."""
    source = dataset.source
    place = int(dataset.plan.origin(np.array([row]))[0])
    if isinstance(source, FolderSource):
        return source.files[place]
    if isinstance(source, EncodedSource):
        return source.store.name(place)
    if source.path is None:
        return ""
    if isinstance(source, ShardSource):
        shard = int(source._starts.searchsorted(place, side="right")) - 1
        return f"{shard_name(shard)}: row {place - source._starts[shard]}"
    return f"{source.path.name}: row {place}"


def gather(
    dataset: Dataset,
    *,
    recipe: Recipe | None,
    test: Dataset | None,
    search: Search,
    title: str,
    notes: Iterable[str],
) -> Findings:
    """Look at everything once."""
    dataset = dataset.readable()
    said, shown = list(notes), Shown()
    looked = _first_copies(dataset)
    if len(looked) < len(dataset):
        said.append(
            f"{len(dataset):,} images are {len(looked):,} and copies that a step made of them; "
            "the first of each is looked at"
        )
    qualities = measure(looked.plan)
    table = find_duplicates(
        looked, near=search.near, symmetries=search.symmetries, hash=search.hash
    )
    groups = _groups(table, {"": looked}, shown)
    leaks, leaked = None, 0
    if test is not None:
        test = test.readable()
        over = find_leaks(
            looked, test, near=search.near, symmetries=search.symmetries, hash=search.hash
        )
        leaks = _groups(over, {"a": looked, "b": test}, shown)
        leaked = int((over["part"] == "b").sum())
    faults = {name: at.tolist() for name, at in qualities.faulty().items()}
    odd, sizes = _odd_sizes(looked)
    tiles = {
        name: [shown.tile(looked, row, qualities.digests[row]) for row in _different(rows, digests)]
        for digests in [qualities.digests]
        for name, rows in {**faults, "odd": odd}.items()
    }
    made = recipe(dataset) if recipe is not None else dataset
    past = looked.source.past
    written = load_manifest(past.path) if past.path is not None else {}
    steps = [_section(section, shown) for section in list(sections(made))[1:]]
    if len(looked) < len(dataset) and len(dataset.chain) == 1:
        steps.append(_families(dataset, shown))
    text, heading = _recipe(made.plan, recipe, bool(written))
    drawn = _operations(made, past.path)
    galleries = _galleries(looked, qualities, shown)
    group_of = table.groupby("group")
    counts = {
        "rows": len(table),
        "groups": int(group_of.ngroups),
        "conflicts": int(group_of["conflict"].first().sum()),
        "conflict_rows": int(table["conflict"].sum()),
        "near": int(sum((group_of["relation"].agg(set)).map(lambda kinds: "near" in kinds))),
        "turned": int(sum((group_of["relation"].agg(set)).map(lambda kinds: "symmetry" in kinds))),
        "leaked": leaked,
    }
    return Findings(
        title=title,
        place=str(dataset.source.path or "in memory"),
        notes=said,
        images=len(dataset),
        sources=len(looked),
        shape=looked.plan.shape[:2],
        class_names=list(dataset.class_names),
        series=_series(dataset, made, written),
        sizes=sizes,
        odd=[shown.name(looked, row) for row in odd],
        bad={**written.get("bad", {}), **dataset.bad},
        groups=groups,
        leaks=leaks,
        listed=sum(len(group.rows) for group in groups),
        found=counts,
        qualities=qualities,
        faults={
            name: [shown.name(looked, row) for row in rows] for name, rows in faults.items()
        },
        tiles=tiles,
        changes=[
            (str(c["step"]), int(c["rows_in"]), int(c["rows_out"]), str(c["why"]))
            for c in written.get("changes", [])
        ],
        sections=steps,
        operations=drawn,
        galleries=galleries,
        recipe=text,
        recipe_heading=heading,
        versions=_versions(written),
        search=search,
        shown=shown,
    )


def _first_copies(dataset: Dataset) -> Dataset:
    """Of images with copies that a step made, the first; the data set itself if there are none."""
    rows = dataset.plan.rows
    order = rows.order()
    first = np.sort(order[np.unique(rows.ids[order], return_index=True)[1]])
    return dataset if len(first) == len(rows) else dataset.then(lambda plan: plan.keep(first))


def _different(rows: Sequence[int], digests: NDArray[np.uint64]) -> list[int]:
    """Some of the rows, no two with the same pixels."""
    first = {digests[row].tobytes(): row for row in reversed(rows)}
    chosen = set(first.values())
    return [row for row in rows if row in chosen][:10]


# -- duplicates ---------------------------------------------------------------------------------


def _groups(table: pd.DataFrame, parts: Mapping[str, Dataset], shown: Shown) -> list[Group]:
    """The groups of a table of duplicates, as far as a page can list them."""
    place = {
        (part, str(id), copy): row
        for part, dataset in parts.items()
        for row, (id, copy) in enumerate(
            zip(dataset.ids.tolist(), dataset.copies.tolist(), strict=True)
        )
    }
    digests = {
        part: dataset.plan.measure("digest", measures.digest).rows.columns["digest"]
        for part, dataset in parts.items()
    }
    groups: list[Group] = []
    listed = pictured = 0
    for number, rows in table.groupby("group"):
        if listed and listed + len(rows) > MOST_LISTED:
            break
        listed += len(rows)
        names: list[int] = []
        tiles: dict[bytes, Tile] = {}
        for row in rows.itertuples(index=False):
            part = str(getattr(row, "part", ""))
            dataset, at = parts[part], place[part, str(row.id), int(row.copy)]
            apart = int(row.distance), round(float(row.difference), 2)
            facts = int(number), row.relation, row.symmetry, *apart, int(row.conflict), part
            names.append(shown.name(dataset, at, facts))
            digest = digests[part][at]
            key = part.encode() + digest.tobytes()
            if key in tiles:
                tiles[key].rows.append(names[-1])
            elif len(tiles) < TILES_A_GROUP and pictured < MOST_TILES:
                picture = shown.album.row(dataset, at, digest)
                words = {"a": ["this set"], "b": ["test set"]}.get(part, [])
                tiles[key] = Tile(picture, [names[-1]], "", " · ".join([*words, *_apart(row)]))
                pictured += 1
        groups.append(
            Group(
                int(number),
                bool(rows["conflict"].iloc[0]),
                [kind for kind in ("exact", "turned", "near") if _has(rows, kind, tiles)],
                str(rows["votes"].iloc[0]),
                list(dict.fromkeys(rows["class_name"])),
                int(rows["distance"].max()),
                float(rows["difference"].max()),
                names,
                [_titled(tile, shown) for tile in tiles.values()],
            )
        )
    return groups


def _has(rows: pd.DataFrame, kind: str, tiles: Mapping[bytes, Tile]) -> bool:
    """Whether images of a group are related so: "exact" where a picture stands more than once."""
    if kind != "exact":
        return bool((rows["relation"] == ("symmetry" if kind == "turned" else kind)).any())
    return bool((rows["relation"] == "exact").any()) or any(len(t.rows) > 1 for t in tiles.values())


def _apart(row: Any) -> list[str]:
    """What lies between an image and the first of its group, in words."""
    words = [] if row.symmetry == "identity" else [str(row.symmetry).replace("_", " ")]
    if row.distance or row.difference:
        bits = f"{row.distance} bit{'s' * (row.distance != 1)}"
        words.append(f"{bits}, {row.difference:.1f} levels apart")
    return words


def _titled(tile: Tile, shown: Shown) -> Tile:
    """The tile with the classes that its images stand under."""
    counts: dict[str, int] = {}
    for row in tile.rows:
        counts[shown.rows[row][2]] = counts.get(shown.rows[row][2], 0) + 1
    many = len(tile.rows) > 1
    words = [f"{name} {count}" if many else name for name, count in counts.items()]
    return Tile(tile.picture, tile.rows, ", ".join(words), tile.facts)


# -- sizes and classes --------------------------------------------------------------------------


def _odd_sizes(dataset: Dataset) -> tuple[list[int], dict[tuple[int, int], int]]:
    """The rows whose file is of a size far from the others', and all sizes by their number.

    Far is more than three times the distance between the quartiles outside of them, for the root of
    the area and for the logarithm of the width by the height.
    """
    source = dataset.source
    if not isinstance(source, WITH_SIZES) or source.trusted:
        return [], {dataset.plan.shape[:2]: len(dataset)}
    sides = source.sides()
    of_rows = [sides[place] for place in dataset.plan.origin(np.arange(len(dataset))).tolist()]
    sizes: dict[tuple[int, int], int] = {}
    for side in of_rows:
        if side is not None:
            sizes[side] = sizes.get(side, 0) + 1
    height, width = np.array([side or dataset.plan.shape[:2] for side in of_rows], float).T
    odd = np.zeros(len(of_rows), bool)
    for values in (np.sqrt(height * width), np.log(width / height)):
        low, high = np.quantile(values, (0.25, 0.75))
        slack = 3 * (high - low) + 1e-9
        odd |= (values < low - slack) | (values > high + slack)
    return np.flatnonzero(odd).tolist(), dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _series(
    dataset: Dataset, made: Dataset, written: Mapping[str, Any]
) -> list[tuple[str, list[int]]]:
    """Images by class at each stage that is known, the first one first."""
    names = dataset.class_names
    stages: list[tuple[str, Mapping[str, int]]] = []
    held = written.get("held")
    if isinstance(held, dict) and all(isinstance(held.get(name), int) for name in names):
        stages.append(("read by the recipe", held))
    if len(dataset.chain) > 1:
        stages.append(("read", dataset.chain[0].counts()))
    stages.append(("in this set", dataset.counts()))
    if made is not dataset:
        stages.append(("after the recipe", made.counts()))
    return [(name, [counts[label] for label in names]) for name, counts in stages]


# -- steps --------------------------------------------------------------------------------------


def _section(section: Any, shown: Shown) -> Section:
    strips = []
    for strip in section.strips:
        tiles = []
        for image, dataset, row, caption in strip.examples:
            picture = shown.album.image(image)
            tiles.append(Tile(picture, [shown.name(dataset, row)], caption))
        strips.append(Strip(strip.name, tiles))
    return Section(section.heading, section.why, strips)


def _families(dataset: Dataset, shown: Shown) -> Section:
    """Of a set that was written with its copies: some images and their copies."""
    order = dataset.plan.rows.order()
    ids, start, count = np.unique(dataset.ids[order], return_index=True, return_counts=True)
    several = np.flatnonzero(count > 1)
    chosen = several[np.linspace(0, len(several) - 1, min(COLUMNS, len(several))).astype(int)]
    strips = []
    for number in range(min(4, int(count[chosen].min()))):
        rows = [int(order[start[place] + number]) for place in chosen]
        images = dataset.images[rows]
        tiles = [
            Tile(shown.album.image(image), [name], shown.rows[name][2] * (number == 0))
            for image, row in zip(images, rows, strict=True)
            for name in [shown.name(dataset, row)]
        ]
        strips.append(Strip("first" if number == 0 else f"copy {number}", tiles))
    why = f"{len(ids):,} images, {count.max():,} rows of one at most"
    return Section("Images and their copies, as written", why, strips)


def _operations(made: Dataset, path: Any) -> list[Operations]:
    """What every RandAugment drew: of the steps to come, and in the record of a written set."""
    found = []
    for name, step in _recorded(made):
        record = load_record(path)
        if record is None or f"{name}.op_1" not in record.column_names:
            continue
        columns = {
            column.removeprefix(f"{name}."): record[column].drop_null().to_numpy()
            for column in record.column_names
            if column.startswith(f"{name}.")
        }
        found.append(_counted(name, step, columns))
    for before, after in zip(made.chain, made.chain[1:], strict=False):
        stages = after.plan.stages
        if len(stages) == len(before.plan.stages) or not isinstance(stages[-1][1], RandAugment):
            continue
        name, step = stages[-1]
        keys = after.plan.rows.keys[after.plan.touched]
        nothing = np.empty((0, *after.plan.shape), np.uint8)
        draw = Draw(after.plan.seed, name, keys)
        found.append(_counted(name, step, step.parameters(nothing, draw)))
    return found


def _recorded(made: Dataset) -> list[tuple[str, RandAugment]]:
    stages = made.source.past.stages
    return [
        (str(stage["name"]), RandAugment(**{k: stage[k] for k in ("copies", "num_ops", "rate")}))
        for stage in stages
        if stage.get("step") == "RandAugment"
    ]


def _counted(name: str, step: RandAugment, columns: Mapping[str, NDArray[Any]]) -> Operations:
    ops = np.concatenate([columns[f"op_{slot + 1}"] for slot in range(step.num_ops)])
    values = np.concatenate([columns[f"value_{slot + 1}"] for slot in range(step.num_ops)])
    drawn = []
    for operation in (*OPERATIONS, "none"):
        used = values[ops == operation]
        low, median, high = np.quantile(used, (0, 0.5, 1)).tolist() if len(used) else (0, 0, 0)
        share = len(used) / max(1, len(ops))
        drawn.append(Operation(operation, len(used), share, low, median, high))
    expected = step.rate / len(OPERATIONS)
    return Operations(name, step.num_ops, len(ops) // step.num_ops, expected, drawn)


def _recipe(plan: Plan, recipe: Recipe | None, written: bool) -> tuple[str, str]:
    """The recipe as TOML, and what it is to this set."""
    if recipe is not None:
        return recipe.to_toml(), "The recipe that this page tries out"
    saved = [dict(step) for step in plan.saved]
    if not saved:
        return "", ""
    seeds = {step.get("seed", 0) for step in saved}
    if len(seeds) > 1:
        text = tomli_w.dumps({"steps": saved})
    else:
        plain = [{k: v for k, v in step.items() if k != "seed"} for step in saved]
        text = tomli_w.dumps({"seed": seeds.pop(), "steps": plain})
    return text, "The recipe that made this set" if written else "The steps of this set"


def _versions(written: Mapping[str, Any]) -> list[tuple[str, str]]:
    from .. import __version__

    of_set = written.get("made_of", {}).get("versions", {})
    here = {"cellprep": __version__, "numpy": np.__version__, "pillow": PIL.__version__}
    found = [(f"{name}, which wrote the set", str(version)) for name, version in of_set.items()]
    found += [(f"{name}, which made this page", version) for name, version in here.items()]
    return [*found, ("Python", platform.python_version())]


# -- galleries ----------------------------------------------------------------------------------


def _galleries(dataset: Dataset, qualities: Qualities, shown: Shown) -> list[Strip]:
    """Some images of each class, evenly spread over their ids, no picture twice."""
    order = dataset.plan.rows.order()
    labels = dataset.labels[order]
    most = max(8, GALLERY // len(dataset.class_names))
    strips = []
    for label, name in enumerate(dataset.class_names):
        rows = order[labels == label]
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
        seen = {qualities.digests[row].tobytes(): row for row in chosen[::-1].tolist()}
        tiles = [
            shown.tile(dataset, row, qualities.digests[row]) for row in reversed(seen.values())
        ]
        strips.append(Strip(name, tiles))
    return strips


__all__ = ["FAULTS", "FIELDS", "Findings", "Group", "Operations", "Section", "Strip", "Tile", "gather"]
