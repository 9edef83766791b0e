"""Pictures of what each step did, and of the copies in a written set."""

from __future__ import annotations

import numpy as np

from ..dataset.dataset import Dataset
from . import examples
from .catalog import Catalog, Tile
from .findings import Section, Strip

_COPIES = 4  # rows shown of one image in a set written with copies


def before_and_after(dataset: Dataset, catalog: Catalog) -> list[Section]:
    """A section for each step of the chain."""
    return [
        _section(section, catalog)
        for section in examples.sections(dataset)
        if section.step != "read"
    ]


def _section(section: examples.Section, catalog: Catalog) -> Section:
    strips = [
        Strip(
            strip.name,
            [
                Tile(catalog.album.image(image), [catalog.name(dataset, row)], caption)
                for image, dataset, row, caption in strip.examples
            ],
        )
        for strip in section.strips
    ]
    return Section(section.heading, section.why, strips)


def copies_of_images(dataset: Dataset, catalog: Catalog) -> Section:
    """Some images of a set that was written with copies, each with its copies."""
    order = dataset.plan.rows.order()
    ids, start, count = np.unique(dataset.ids[order], return_index=True, return_counts=True)
    several = np.flatnonzero(count > 1)
    spread = np.linspace(0, len(several) - 1, min(examples.COLUMNS, len(several)))
    chosen = several[spread.astype(int)]
    strips = []
    for number in range(min(_COPIES, int(count[chosen].min()))):
        tiles = []
        for row in order[start[chosen] + number].tolist():
            name = catalog.name(dataset, row)
            caption = "" if number else catalog.rows[name][2]
            tiles.append(Tile(catalog.album.image(dataset.images[row]), [name], caption))
        strips.append(Strip(f"copy {number}" if number else "first", tiles))
    why = f"{len(ids):,} images, at most {count.max():,} rows of each"
    return Section("Images and their copies, as written", why, strips)
