"""The contents of a report as plain data, independent of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..duplicates.settings import Search
from .catalog import Catalog, Tile
from .quality import Qualities

TILES_PER_ALERT = 10


@dataclass(frozen=True)
class Strip:
    """Pictures that belong together."""

    name: str
    tiles: list[Tile]


@dataclass(frozen=True)
class Group:
    """Images to compare, or one to check; without tiles once the page is full.

    `suggested` is the class that somebody else suggests, if any.
    """

    number: int
    conflict: bool
    kinds: list[str]
    votes: str
    distance: int
    difference: float
    rows: list[int]
    tiles: list[Tile]
    suggested: str = ""


@dataclass(frozen=True)
class Duplicates:
    """The groups that the page lists, and the totals of the whole set."""

    groups: list[Group]
    images: int
    count: int
    conflicts: int
    in_conflict: int

    @property
    def listed(self) -> int:
        return sum(len(group.rows) for group in self.groups)


@dataclass(frozen=True)
class Review:
    """What a person can decide on in the page, besides duplicates.

    Attributes
    ----------
    lookalikes : Duplicates or None
    suspected : list of Group or None
        Each of one image.
    decisions : sequence of dict
        Earlier decisions.
    identity : str
        Digest of the ids, labels and pixels of the set, by which a browser keeps decisions.
    digests : dict of str to str
        Of each image that can be decided on, by its id.
    """

    lookalikes: Duplicates | None
    suspected: list[Group] | None
    decisions: Sequence[Mapping[str, str]]
    identity: str
    digests: Mapping[str, str]


@dataclass(frozen=True)
class Section:
    """What a step did, in pictures."""

    heading: str
    why: str
    strips: list[Strip]


@dataclass(frozen=True)
class Operation:
    """How often an operation was sampled, and the range of its values."""

    name: str
    count: int
    share: float
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Operations:
    """What one step sampled; `expected` is the probability of each operation in a slot."""

    step: str
    slots: int
    copies: int
    expected: float
    sampled: list[Operation]


@dataclass(frozen=True)
class Flagged:
    """Images with one fault, worst first, and pictures of some of them."""

    rows: list[int]
    tiles: list[Tile]


@dataclass(frozen=True)
class Findings:
    """Everything that the page shows.

    Attributes
    ----------
    images, sources : int
        All images, and those that are not augmented copies of others.
    series : list of (str, list of int)
        Images per class at each known stage, first to last.
    counts : list of int
        Images per class in the set itself.
    sizes : dict
        Number of files by (height, width).
    flagged : dict of str to Flagged
        By fault, and "odd" for odd sizes.
    changes : list of (str, int, int, str)
        Steps of an earlier write: name, images in, images out, reason.
    """

    title: str
    location: str
    notes: list[str]
    images: int
    sources: int
    shape: tuple[int, int]
    class_names: list[str]
    series: list[tuple[str, list[int]]]
    counts: list[int]
    sizes: dict[tuple[int, int], int]
    bad: dict[str, str]
    unread: dict[str, str]
    duplicates: Duplicates
    leaks: Duplicates | None
    review: Review
    qualities: Qualities
    flagged: dict[str, Flagged]
    changes: list[tuple[str, int, int, str]]
    sections: list[Section]
    operations: list[Operations]
    galleries: list[Strip]
    recipe_heading: str
    recipe: str
    versions: list[tuple[str, str]]
    search: Search
    catalog: Catalog = field(repr=False)
