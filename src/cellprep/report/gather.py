"""What a report says of a data set, as plain data: nothing here knows of HTML."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
import tomli_w
from numpy.typing import NDArray

from ..arrays import Positions
from ..dataset.dataset import Dataset
from ..duplicates.near import Search
from ..duplicates.search import find_duplicates, find_leaks
from ..errors import CellprepError
from ..formats.encoded import EncodedSource, frequencies
from ..formats.folder import FolderSource
from ..formats.manifest import load_manifest, load_record, to_json
from ..formats.shards import ShardSource
from ..operations import KERAS_CV as OPERATIONS
from ..plan.digests import digest
from ..plan.draws import Draw
from ..plan.plan import Plan
from ..steps import RandAugment
from ..steps.recipe import Recipe
from . import examples
from .examples import COLUMNS, sections
from .inspect import WITH_SIZES
from .pictures import Album
from .quality import Qualities, measure

if TYPE_CHECKING:
    import pandas as pd

MOST_LISTED = 15_000  # images of groups whose ids a page lists
MOST_TILES = 2_000  # pictures in cards of groups
_TILES_A_GROUP = 24
TILES_AN_ALERT = 10
_GALLERY = 640  # pictures of all classes together, 8 a class at least
_COPIES = 4  # of an image in a set that was written with them

FIELDS = (
    *("id", "copy", "class_name", "file", "group"),
    *("relation", "symmetry", "distance", "difference", "conflict", "part"),
)
"""Of an image that the page names; one that is in no group has the first four."""


@dataclass(frozen=True)
class Tile:
    """A picture, the images that it stands for, and what is said below it."""

    picture: int
    rows: list[int]
    title: str
    facts: str = ""


@dataclass(frozen=True)
class Strip:
    """Pictures that belong together."""

    name: str
    tiles: list[Tile]


@dataclass(frozen=True)
class Group:
    """Duplicates of one image; without tiles where the page has no room for them."""

    number: int
    conflict: bool
    kinds: list[str]
    votes: str
    distance: int
    difference: float
    rows: list[int]
    tiles: list[Tile]


@dataclass(frozen=True)
class Duplicates:
    """The groups that the page lists, and how many images, groups and conflicts there are."""

    groups: list[Group]
    images: int
    count: int
    conflicts: int
    in_conflict: int

    @property
    def listed(self) -> int:
        return sum(len(group.rows) for group in self.groups)


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
    """What one RandAugment drew; `expected` is the probability of each operation in a slot."""

    step: str
    slots: int
    copies: int
    expected: float
    drawn: list[Operation]


@dataclass(frozen=True)
class Marked:
    """Images with one fault, the worst first, and pictures of some."""

    rows: list[int]
    tiles: list[Tile]


@dataclass(frozen=True)
class Findings:
    """Everything that the page shows.

    Attributes
    ----------
    images, sources : int
        All of them, and those that are no copies of others that a step made.
    series : list of (str, list of int)
        Images of each class at the stages that are known, from first to last.
    here : list of int
        Those of the set itself.
    sizes : dict
        Files by their (height, width).
    marked : dict of str to Marked
        By fault, and "odd".
    """

    title: str
    place: str
    notes: list[str]
    images: int
    sources: int
    shape: tuple[int, int]
    class_names: list[str]
    series: list[tuple[str, list[int]]]
    here: list[int]
    sizes: dict[tuple[int, int], int]
    bad: dict[str, str]
    duplicates: Duplicates
    leaks: Duplicates | None
    qualities: Qualities
    marked: dict[str, Marked]
    changes: list[tuple[str, int, int, str]]
    sections: list[Section]
    operations: list[Operations]
    galleries: list[Strip]
    recipe_heading: str
    recipe: str
    versions: list[tuple[str, str]]
    search: Search
    shown: Shown = field(repr=False)


class Shown:
    """The images that a page names and the pictures that it shows, each once."""

    def __init__(self) -> None:
        self.album = Album()
        self.rows: list[list[Any]] = []
        self._known: dict[tuple[int, int], int] = {}

    def name(self, dataset: Dataset, row: int, facts: Sequence[Any] = ()) -> int:
        """The number under which the page knows a row, with what is said of it in its group."""
        number = self._known.get((id(dataset), row))
        if number is None or facts:
            rows = dataset.plan.rows
            name = dataset.class_names[rows.labels[row]]
            said = rows.ids[row].item(), int(rows.copies[row]), name, _file(dataset, row)
            number = len(self.rows)
            self.rows.append([*said, *facts])
            self._known.setdefault((id(dataset), row), number)
        return number

    def tile(self, dataset: Dataset, row: int, digest: NDArray[np.uint64]) -> Tile:
        """A picture of one row."""
        number = self.name(dataset, row)
        return Tile(self.album.row(dataset, row, digest), [number], self.rows[number][2])


def _file(dataset: Dataset, row: int) -> str:
    """The file of a row, and where it lies there."""
    source, place = dataset.source, int(dataset.plan.origin(np.array([row]))[0])
    if isinstance(source, FolderSource):
        return source.files[place]
    if isinstance(source, EncodedSource):
        return source.store.name(place)
    if isinstance(source, ShardSource):
        return source.name(place)
    return f"{source.path.name}: row {place}" if source.path is not None else ""


def gather(
    dataset: Dataset,
    *,
    recipe: Recipe | None,
    test: Dataset | None,
    search: Search,
    title: str,
    notes: Iterable[str],
) -> Findings:
    """Look at everything; what is named first gets its pictures first."""
    dataset = dataset.readable()
    if not len(dataset):
        raise CellprepError(f"{dataset!r} has no images left to show; look at an earlier step")
    made = recipe(dataset) if recipe is not None else dataset
    looked, shown, said = _first_copies(dataset), Shown(), list(notes)
    if looked is not dataset:
        said.append(
            f"{len(dataset):,} images are {len(looked):,} and copies that a step made of them; the "
            "first of each is looked at."
        )
    past = looked.source.history.path
    written = _Written.of(past)
    qualities = measure(looked.plan)
    likeness: Any = {"near": search.near, "symmetries": search.symmetries, "hash": search.hash}
    duplicates = _duplicates(find_duplicates(looked, **likeness), {"": looked}, shown)
    leaks = None
    if test is not None:
        test = _first_copies(test.readable())
        table = find_leaks(looked, test, **likeness)
        leaks = _duplicates(table, {"a": looked, "b": test}, shown)
    odd, sizes = _odd_sizes(looked)
    marked = {
        name: _marked(looked, rows, qualities, shown)
        for name, rows in {**qualities.faulty(), "odd": odd}.items()
    }
    steps = [_section(section, shown) for section in sections(made) if section.step != "read"]
    if looked is not dataset and len(dataset.chain) == 1:
        steps.append(_families(dataset, shown))
    heading, text = _recipe(made.plan, recipe, past is not None)
    return Findings(
        title=title,
        place=str(dataset.source.path or "in memory"),
        notes=said,
        images=len(dataset),
        sources=len(looked),
        shape=looked.plan.shape[:2],
        class_names=list(dataset.class_names),
        series=_series(dataset, made, written),
        here=list(dataset.counts().values()),
        sizes=sizes,
        bad={**written.bad, **dataset.bad},
        duplicates=duplicates,
        leaks=leaks,
        qualities=qualities,
        marked=marked,
        changes=written.changes,
        sections=steps,
        operations=[*_recorded(past, looked), *_to_be_drawn(made)],
        galleries=_galleries(looked, qualities, shown),
        recipe_heading=heading,
        recipe=text,
        versions=_versions(written),
        search=search,
        shown=shown,
    )


@dataclass(frozen=True)
class _Written:
    """What the manifest of a written set says that no reading of images needs.

    So it was not checked: what is of another type is left out.
    """

    held: dict[str, int] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    changes: list[tuple[str, int, int, str]] = field(default_factory=list)
    versions: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path | None) -> _Written:
        if path is None:
            return cls()
        said = load_manifest(path)
        held, bad, changes = (said.get(name) for name in ("held", "bad", "changes"))
        versions = said["made_of"].get("versions")
        columns = {"step": str, "rows_in": int, "rows_out": int, "why": str}
        return cls(
            {k: v for k, v in held.items() if type(v) is int and 0 <= v < 2**53}
            if isinstance(held, dict)
            else {},
            {k: str(v) for k, v in bad.items()} if isinstance(bad, dict) else {},
            [
                (change["step"], change["rows_in"], change["rows_out"], change["why"])
                for change in (changes if isinstance(changes, list) else [])
                if isinstance(change, dict)
                and all(type(change.get(name)) is kind for name, kind in columns.items())
            ],
            [(k, str(v)) for k, v in versions.items()] if isinstance(versions, dict) else [],
        )


def _first_copies(dataset: Dataset) -> Dataset:
    """Of images with copies that a step made, the first; the data set itself if there are none."""
    rows = dataset.plan.rows
    order = rows.order()
    first = np.sort(order[np.unique(rows.ids[order], return_index=True)[1]])
    return dataset if len(first) == len(rows) else dataset.then(lambda plan: plan.keep(first))


def _marked(dataset: Dataset, rows: Positions, qualities: Qualities, shown: Shown) -> Marked:
    """These rows, and some of their pictures, no two equal."""
    digests = qualities.digests
    first = np.sort(np.unique(digests[rows], axis=0, return_index=True)[1])[:TILES_AN_ALERT]
    tiles = [shown.tile(dataset, row, digests[row]) for row in rows[first].tolist()]
    return Marked([shown.name(dataset, row) for row in rows.tolist()], tiles)


# -- duplicates ---------------------------------------------------------------------------------


def _duplicates(table: pd.DataFrame, parts: Mapping[str, Dataset], shown: Shown) -> Duplicates:
    """A table of duplicates, its groups as far as a page can list them."""
    place = {
        (part, str(id), copy): row
        for part, dataset in parts.items()
        for row, (id, copy) in enumerate(
            zip(dataset.ids.tolist(), dataset.copies.tolist(), strict=True)
        )
    }
    digests = {
        part: dataset.plan.measure("digest", digest).rows.columns["digest"]
        for part, dataset in parts.items()
    }
    groups: list[Group] = []
    listed, room = 0, MOST_TILES
    for _, rows in table.groupby("group"):
        listed += len(rows)
        if groups and listed > MOST_LISTED:
            break
        row: Any
        parts_of = rows["part"] if "part" in rows else [""] * len(rows)
        names: list[int] = []
        alike: dict[bytes, tuple[int, list[int], str]] = {}
        for row, part in zip(rows.itertuples(index=False), parts_of, strict=True):
            dataset, at = parts[part], place[part, str(row.id), int(row.copy)]
            names.append(shown.name(dataset, at, _facts(row, part)))
            its_digest = digests[part][at]
            picture = part.encode() + its_digest.tobytes()
            if picture in alike:
                alike[picture][1].append(names[-1])
            elif len(alike) < min(_TILES_A_GROUP, room):
                number = shown.album.row(dataset, at, its_digest)
                alike[picture] = number, [names[-1]], _apart(row, part)
        room -= len(alike)
        tiles = [
            Tile(number, same, _titled(same, shown), said) for number, same, said in alike.values()
        ]
        groups.append(_group(rows, names, tiles))
    numbers, conflict = table["group"], table["conflict"].astype(bool)
    return Duplicates(
        groups,
        len(table) if "part" not in table else int((table["part"] == "b").sum()),
        numbers.nunique(),
        numbers[conflict].nunique(),
        int(conflict.sum()),
    )


def _group(rows: pd.DataFrame, names: list[int], tiles: list[Tile]) -> Group:
    relations = set(rows["relation"])
    kinds = {
        "exact": "exact" in relations or any(len(tile.rows) > 1 for tile in tiles),
        "turned": "symmetry" in relations,
        "near": "near" in relations,
    }
    return Group(
        int(rows["group"].to_numpy()[0]),
        bool(rows["conflict"].iloc[0]),
        [kind for kind, there in kinds.items() if there],
        str(rows["votes"].iloc[0]),
        int(rows["distance"].to_numpy().max()),
        float(rows["difference"].to_numpy().max()),
        names,
        tiles,
    )


def _facts(row: Any, part: str) -> list[Any]:
    """What `FIELDS` holds of an image in a group."""
    apart = int(row.distance), round(float(row.difference), 2)
    return [int(row.group), row.relation, row.symmetry, *apart, int(row.conflict), part]


def _apart(row: Any, part: str) -> str:
    """What lies between an image and the first of its group, in words."""
    words = [{"a": "this set", "b": "test set"}[part]] if part else []
    if row.symmetry != "identity":
        words.append(str(row.symmetry).replace("_", " "))
    if row.relation == "near" and (row.distance or row.difference):
        bits = f"{row.distance} bit{'s' * (row.distance != 1)}"
        words.append(f"{bits}, {row.difference:.1f} levels apart")
    return " · ".join(words)


def _titled(rows: Sequence[int], shown: Shown) -> str:
    """The classes that equal images stand under."""
    counts = Counter(shown.rows[row][2] for row in rows)
    return ", ".join(f"{name} {count}" if len(rows) > 1 else name for name, count in counts.items())


# -- sizes and classes --------------------------------------------------------------------------


def _odd_sizes(dataset: Dataset) -> tuple[Positions, dict[tuple[int, int], int]]:
    """The rows whose file is of a size far from the others', and all sizes by their number.

    Far is more than three times the distance between the quartiles outside of them, for the root of
    the area and for the logarithm of the width by the height.
    """
    source = dataset.source
    if not isinstance(source, WITH_SIZES) or source.trusted:
        return np.empty(0, np.int64), {dataset.plan.shape[:2]: len(dataset)}
    sides = source.sides()
    places = dataset.plan.origin(np.arange(len(dataset))).tolist()
    of_rows = [sides[place] or dataset.plan.shape[:2] for place in places]
    height, width = np.array(of_rows, float).T
    odd = np.zeros(len(of_rows), bool)
    for values in (np.sqrt(height * width), np.log(width / height)):
        low, high = np.quantile(values, (0.25, 0.75))
        slack = 3 * (high - low) + 1e-9
        odd |= (values < low - slack) | (values > high + slack)
    return np.flatnonzero(odd), frequencies(of_rows)


def _series(dataset: Dataset, made: Dataset, written: _Written) -> list[tuple[str, list[int]]]:
    """Images by class at each stage that is known, the first one first."""
    names = dataset.class_names
    stages: list[tuple[str, Mapping[str, int]]] = []
    if written.held.keys() == {*names}:
        stages.append(("read by the recipe", written.held))
    if len(dataset.chain) > 1:
        stages.append(("read", dataset.chain[0].counts()))
    stages.append(("in this set", dataset.counts()))
    if made is not dataset:
        stages.append(("after the recipe", made.counts()))
    return [(name, [counts[label] for label in names]) for name, counts in stages]


# -- steps --------------------------------------------------------------------------------------


def _section(section: examples.Section, shown: Shown) -> Section:
    strips = [
        Strip(
            strip.name,
            [
                Tile(shown.album.image(image), [shown.name(dataset, row)], caption)
                for image, dataset, row, caption in strip.examples
            ],
        )
        for strip in section.strips
    ]
    return Section(section.heading, section.why, strips)


def _families(dataset: Dataset, shown: Shown) -> Section:
    """Of a set that was written with its copies: some images and their copies."""
    order = dataset.plan.rows.order()
    ids, start, count = np.unique(dataset.ids[order], return_index=True, return_counts=True)
    several = np.flatnonzero(count > 1)
    chosen = several[np.linspace(0, len(several) - 1, min(COLUMNS, len(several))).astype(int)]
    strips = []
    for number in range(min(_COPIES, int(count[chosen].min()))):
        tiles = []
        for row in order[start[chosen] + number].tolist():
            name = shown.name(dataset, row)
            caption = "" if number else shown.rows[name][2]
            tiles.append(Tile(shown.album.image(dataset.images[row]), [name], caption))
        strips.append(Strip(f"copy {number}" if number else "first", tiles))
    why = f"{len(ids):,} images, at most {count.max():,} rows of one"
    return Section("Images and their copies, as written", why, strips)


def _recorded(path: Path | None, dataset: Dataset) -> list[Operations]:
    """What every RandAugment drew whose record lies beside a written set."""
    record = load_record(path) if path is not None else None
    if record is None:
        return []
    found = []
    for stage in dataset.source.history.stages:
        name = str(stage["name"])
        if stage["step"] != "RandAugment" or f"{name}.op_1" not in record.column_names:
            continue
        columns = {
            column.removeprefix(f"{name}."): record[column].drop_null().to_numpy()
            for column in record.column_names
            if column.startswith((f"{name}.op_", f"{name}.value_"))
        }
        try:
            found.append(_counted(name, float(stage["rate"]), columns))
        except (KeyError, TypeError, ValueError) as error:
            raise CellprepError(
                f"the record of {name!r} in {str(path)!r} is damaged ({error!r}); write it again"
            ) from error
    return found


def _to_be_drawn(made: Dataset) -> list[Operations]:
    """What every RandAugment among the steps to come draws: no pixel is needed to know."""
    found = []
    for before, after in zip(made.chain, made.chain[1:], strict=False):
        name, step = after.plan.stages[-1] if after.plan.stages else ("", None)
        if len(after.plan.stages) == len(before.plan.stages) or not isinstance(step, RandAugment):
            continue
        draw = Draw(after.plan.seed, name, after.plan.rows.keys[after.plan.touched])
        columns = step.sample(draw)
        found.append(_counted(name, step.rate, columns))
    return found


def _counted(name: str, rate: float, columns: Mapping[str, NDArray[Any]]) -> Operations:
    slots = sum(column.startswith("op_") for column in columns)
    ops, values = (
        np.concatenate([columns[f"{stem}_{slot + 1}"] for slot in range(slots)])
        for stem in ("op", "value")
    )
    drawn = []
    for operation in (*OPERATIONS, "none"):
        used = values[ops == operation]
        low, median, high = np.quantile(used, (0, 0.5, 1)).tolist() if len(used) else (0, 0, 0)
        share = len(used) / max(1, len(ops))
        drawn.append(Operation(operation, len(used), share, low, median, high))
    return Operations(name, slots, len(ops) // slots, rate / len(OPERATIONS), drawn)


def _recipe(plan: Plan, recipe: Recipe | None, written: bool) -> tuple[str, str]:
    """What a recipe is to this set, and the recipe as TOML."""
    if recipe is not None:
        return "The recipe that this page tries out", recipe.to_toml()
    saved = [{"step": step["step"], **step} for step in plan.saved]
    if not saved:
        return "", ""
    seed = saved[0].get("seed", 0)
    table: dict[str, Any] = {"steps": saved}
    if all(step.get("seed", 0) == seed for step in saved):
        plain = [{k: v for k, v in step.items() if k != "seed"} for step in saved]
        table = {"seed": seed, "steps": plain}
    try:
        text = tomli_w.dumps(table)
    except TypeError:  # the settings that a damaged manifest holds
        text = to_json(table)
    return "The recipe that made this set" if written else "The steps of this set", text


def _versions(written: _Written) -> list[tuple[str, str]]:
    from .._version import __version__

    here = {"cellprep": __version__, "numpy": np.__version__, "pillow": PIL.__version__}
    found = [(f"{name}, which wrote the set", version) for name, version in written.versions]
    found += [(f"{name}, which made this page", version) for name, version in here.items()]
    return [*found, ("Python", platform.python_version())]


# -- galleries ----------------------------------------------------------------------------------


def _galleries(dataset: Dataset, qualities: Qualities, shown: Shown) -> list[Strip]:
    """Some images of each class, evenly spread over their ids, no picture twice."""
    order = dataset.plan.rows.order()
    labels = dataset.labels[order]
    most = max(8, _GALLERY // len(dataset.class_names))
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
