"""How much of a model's saliency lies inside the cell, on clean and on shifted images.

    python examples/proof/inside.py CELLS OUT.csv NAME=MODEL.keras ... [--figure FIGURE.png]

CELLS are images that no model was trained on. Masks are found in the clean images and move with
the cells when the images are shifted. Images are prepared as each model's were, by its recipe.
The figure shows one cell of each of four classes, corrupted heavily, with the maps of each model.
"""

import argparse

import numpy as np
import pandas as pd
import tomli_w

import cellmodels as cm
import cellprep as cp
from cellmodels.data.checks import PREPARATION

IMAGES = 256
SHIFTS = ("clean", "heavy", "microscopy")


def prepared(model, cells):
    """The cells with the Crop and KMeansMask of the model's recipe."""
    steps = [
        {k: v for k, v in step.items() if k != "seed"}
        for step in model.card.recipe
        if step["step"] in PREPARATION
    ]
    return cp.Recipe.from_toml(tomli_w.dumps({"steps": steps}))(cells)


def shifted_sets(path):
    """The same cells, clean and shifted, with their masks."""
    cells = cp.read(path)
    rows = cells.shuffled(0, 0)[:IMAGES]
    images, labels = cells.images[rows], cells.labels[rows]
    masks = cp.segment(images)
    clean = cp.Dataset.from_arrays(images, labels, cells.class_names, masks=masks)
    return {name: clean if name == "clean" else cm.shift(clean, name) for name in SHIFTS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells")
    parser.add_argument("out")
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL")
    parser.add_argument("--figure")
    given = parser.parse_args()
    models = {name: cm.load(path) for name, path in (each.split("=") for each in given.models)}
    lines, pictures = [], []
    sets = shifted_sets(given.cells)
    for shift, cells in sets.items():
        for name, model in models.items():
            ready = prepared(model, cells)
            images, masks = ready.images[:], ready.masks[:]
            maps = cm.saliency(model, images, ready.labels)
            share = cm.share_inside(maps, masks)
            line = {"shift": shift, "model": name, "share inside": np.nanmean(share)}
            lines.append({**line, "area of the masks": masks.mean(), "images": len(images)})
            if shift == "heavy":
                pictures.append((name, images, maps, masks))
    table = pd.DataFrame(lines)
    table.to_csv(given.out, index=False)
    print(table.round(3).to_string(index=False))
    if given.figure:
        draw(given.figure, sets["clean"].labels, pictures)


def draw(path, labels, pictures):
    """One cell of each of four classes, as every model is given it."""
    rows = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:4]]
    images, maps, masks = (np.concatenate([each[k][rows] for each in pictures]) for k in (1, 2, 3))
    titles = [each[0] for each in pictures for _ in rows]
    cm.overlay(path, images, maps, titles=titles, masks=masks)


if __name__ == "__main__":
    main()
