"""Collect everything that a report shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from ..arrays import Positions
from ..dataset.dataset import Dataset
from ..dataset.decisions import Decision, decisions_on, hex_digests
from ..duplicates import signatures
from ..duplicates.search import find_duplicates, find_leaks
from ..duplicates.settings import Search
from ..errors import CellprepError, counted
from ..plan.readable import Measures
from ..steps.recipe import Recipe
from . import classes, operations, step_pictures
from . import given as given_tables
from .catalog import Catalog
from .duplicate_groups import duplicate_groups, suspected_labels
from .findings import TILES_PER_ALERT, Duplicates, Findings, Flagged, Review
from .inspect import folders_note
from .quality import Qualities, measure
from .quality import qualities as qualities_of
from .recorded import Recorded, recipe_text, versions
from .sizes import odd_sizes

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Given:
    """What was found and decided elsewhere."""

    lookalikes: pd.DataFrame | str | Path | None
    label_issues: pd.DataFrame | str | Path | None
    decisions: Sequence[Decision]


def gather(
    dataset: Dataset,
    *,
    recipe: Recipe | None,
    test: Dataset | None,
    search: Search,
    title: str,
    notes: Iterable[str],
    given: Given,
) -> Findings:
    """The findings on a data set; long because it fills every field of `Findings`.

    The order matters: when the page runs out of space, pictures registered first are kept.
    """
    dataset = dataset.measured(measures(dataset, search))
    if not len(dataset):
        raise CellprepError(f"{dataset!r} has no images left to show; report on an earlier step")
    processed = recipe(dataset) if recipe is not None else dataset
    originals, catalog, notes = _first_copies(dataset), Catalog(), list(notes)
    if originals is not dataset:
        notes.append(
            f"{len(dataset):,} images: {len(originals):,} originals and their augmented copies. "
            "Only the first row of each is examined."
        )
    if folders := folders_note(originals):
        notes.append(f"{folders[0].upper()}{folders[1:]}.")
    written_at = originals.source.history.path
    recorded = Recorded.of(written_at)
    if recorded.blank:
        notes.append(
            f"{counted(recorded.blank, 'augmented copy', 'augmented copies')} of one colour: "
            "`blank` in dataset.json."
        )
    qualities = measure(originals.plan)
    duplicates, leaks = _duplicates(originals, test, search, catalog)
    review = _review(originals, given, duplicates, qualities, catalog)
    odd, sizes = odd_sizes(originals)
    flagged = {
        name: _flagged(originals, rows, qualities, catalog)
        for name, rows in {**qualities.faulty(), "odd": odd}.items()
    }
    sections = step_pictures.before_and_after(processed, catalog)
    if originals is not dataset and len(dataset.chain) == 1:
        sections.append(step_pictures.copies_of_images(dataset, catalog))
    heading, text = recipe_text(processed.plan, recipe, written_at is not None)
    return Findings(
        title=title,
        location=str(dataset.source.path or "in memory"),
        notes=notes,
        images=len(dataset),
        sources=len(originals),
        shape=originals.plan.shape[:2],
        class_names=list(dataset.class_names),
        series=classes.counts_by_stage(dataset, processed, recorded.source_counts),
        counts=list(dataset.counts().values()),
        sizes=sizes,
        bad={**recorded.bad, **dataset.bad},
        unread=dataset.unread,
        duplicates=duplicates,
        leaks=leaks,
        review=review,
        qualities=qualities,
        flagged=flagged,
        changes=recorded.changes,
        sections=sections,
        operations=[*operations.recorded(written_at, originals), *operations.planned(processed)],
        galleries=classes.galleries(originals, qualities, catalog),
        recipe_heading=heading,
        recipe=text,
        versions=versions(recorded),
        search=search,
        catalog=catalog,
    )


def measures(dataset: Dataset, search: Search) -> Measures:
    """What a report measures in its one pass over the images."""
    return {"qualities": qualities_of, **signatures.measures(dataset, search)}


def _first_copies(dataset: Dataset) -> Dataset:
    """The first row of each source image; the data set itself if it has no copies."""
    rows = dataset.plan.rows
    order = rows.order()
    first = np.sort(order[np.unique(rows.ids[order], return_index=True)[1]])
    return dataset if len(first) == len(rows) else dataset.then(lambda plan: plan.keep(first))


def _duplicates(
    dataset: Dataset, test: Dataset | None, search: Search, catalog: Catalog
) -> tuple[Duplicates, Duplicates | None]:
    """Duplicates within the set, and leaks into the test set."""
    settings: Any = {"near": search.near, "symmetries": search.symmetries, "hash": search.hash}
    table = find_duplicates(dataset, **settings)
    duplicates = duplicate_groups(table, {"": dataset}, catalog)
    if test is None:
        return duplicates, None
    test = _first_copies(test.readable())
    table = find_leaks(dataset, test, **settings)
    return duplicates, duplicate_groups(table, {"a": dataset, "b": test}, catalog)


def _review(
    dataset: Dataset,
    given: Given,
    duplicates: Duplicates,
    qualities: Qualities,
    catalog: Catalog,
) -> Review:
    """Look-alikes, suspected labels and earlier decisions, checked against the set."""
    decisions_on(dataset.plan, given.decisions)
    lookalikes = suspected = None
    if given.lookalikes is not None:
        table = given_tables.lookalikes(given.lookalikes, dataset)
        lookalikes = duplicate_groups(table, {"": dataset}, catalog)
    if given.label_issues is not None:
        table = given_tables.suspected(given.label_issues, dataset)
        suspected = suspected_labels(table, dataset, qualities.digests, catalog)
    plan, digests = dataset.plan, hex_digests(qualities.digests)
    names = np.array(dataset.class_names)[plan.rows.labels]
    identity = xxhash.xxh3_128()
    for row in plan.rows.order().tolist():
        identity.update(
            f"{plan.rows.ids[row]}\0{names[row]}\0{digests[row]}\0".encode(errors="surrogatepass")
        )
    groups = [*duplicates.groups, *(lookalikes.groups if lookalikes else ()), *(suspected or ())]
    shown = {str(catalog.rows[row][0]) for group in groups if group.tiles for row in group.rows}
    of_ids = zip(map(str, dataset.ids.tolist()), digests, strict=True)
    return Review(
        lookalikes,
        suspected,
        given.decisions,
        identity.hexdigest(),
        {id: text for id, text in of_ids if id in shown},
    )


def _flagged(dataset: Dataset, rows: Positions, qualities: Qualities, catalog: Catalog) -> Flagged:
    """These rows, and pictures of some of them, no two equal."""
    digests = qualities.digests
    first = np.sort(np.unique(digests[rows], axis=0, return_index=True)[1])[:TILES_PER_ALERT]
    tiles = [catalog.tile(dataset, row, digests[row]) for row in rows[first].tolist()]
    return Flagged([catalog.name(dataset, row) for row in rows.tolist()], tiles)
