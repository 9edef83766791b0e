"""`cellmodels saliency`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import cellprep
from cellprep import Dataset
from cellprep.cli.shared import PATH, one_line_errors, options, print_json
from cellprep.errors import in_range

from ..evaluation.saliency import overlay, share_inside
from ..evaluation.saliency import saliency as saliency_maps
from .common import LOCAL, open_data, open_model


@click.command(short_help="Save saliency maps of a model as a figure.")
@click.argument("model", type=LOCAL)
@click.argument("input", type=PATH)
@click.argument("out", type=LOCAL)
@click.option(
    "--images",
    type=int,
    metavar="N",
    default=8,
    show_default=True,
    help="Number of images, classes in turn.",
)
@options("size", "json")
@one_line_errors
def saliency(
    model: Path, input: Path, out: Path, images: int, size: int | None, as_json: bool
) -> None:
    """Save a figure of which pixels MODEL depends on in images of INPUT.

    Also prints the fraction of saliency inside the cell masks, and the fraction
    of the area that they cover. Masks come from INPUT or cellprep.segment.

    Example: cellmodels saliency out/m1/model.keras out/demo/test map.png
    """
    in_range("images", images, 1, 64, whole=True)
    cells, trained = open_data(input, size), open_model(model)
    rows = _classes_in_turn(cells, images)
    shown = cells.images[rows]
    maps = saliency_maps(trained, shown, cells.labels[rows])
    masks = cells.masks[rows] if cells.provenance()["masks"] else cellprep.segment(shown)
    titles = [cells.class_names[label] for label in cells.labels[rows]]
    overlay(out, shown, maps, titles=titles, masks=masks)
    share, area = float(np.nanmean(share_inside(maps, masks))), float(masks.mean())
    if as_json:
        found = {"path": str(out), "images": len(rows), "share_inside": share, "mask_area": area}
        print_json(found)
    else:
        click.echo(
            f"{out}: {share:.1%} of saliency lies inside the cell masks ({area:.1%} of the area)"
        )


def _classes_in_turn(cells: Dataset, n: int) -> list[int]:
    """The first `n` rows when classes alternate."""
    labels = cells.labels
    rank = np.zeros(len(labels), np.int64)
    for label in range(len(cells.class_names)):
        rank[labels == label] = np.arange((labels == label).sum())
    rows: list[int] = np.lexsort((labels, rank))[:n].tolist()
    return rows
