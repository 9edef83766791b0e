"""Write the data sets of the tables beside this file (docs/results.md).

    python examples/proof/prepare.py DATA OUT

DATA has folders `pbc96` (class folders of 96x96 images: Acevedo et al., Data in Brief 30, 2020,
105474, the middle 200x200 of each photograph), `bcisc` (github.com/fpklipic/BCISC) and `bccd`
(github.com/apple2373/BCCD). OUT gets

- `cells`: nine tenths of pbc96, from which every table trains, validates and tests;
- `elsewhere`: the rest, each image changed by code that is not cellprep's (other_shifts.py);
- `bcisc` and `bccd`: other laboratories, with the class names of pbc96, resized to 96x96.
"""

import sys
from pathlib import Path

import numpy as np
from other_shifts import shifted

import cellprep as cp

PREFIXES = {
    "baso": "basophil",
    "eosi": "eosinophil",
    "lymp": "lymphocyte",
    "mono": "monocyte",
    "neut": "neutrophil",
}


def main(data, out):
    cells = cp.Recipe([cp.Dedupe()])(cp.read(data / "pbc96"))
    parts = cp.split(cells, train=0.9, elsewhere=0.1, seed=0)
    cp.write(parts["train"], out / "cells")
    held = parts["elsewhere"]
    images = np.stack(
        [
            shifted(image, np.random.default_rng(k))
            for k, image in enumerate(held.images[: len(held)])
        ]
    )
    write(images, held.labels, held.class_names, held.ids, out / "elsewhere")
    bcisc = cp.read(data / "bcisc" / "images", labels=None, size=96)
    names = [PREFIXES[Path(str(each)).name[:4]] for each in bcisc.ids]
    write(bcisc.images[:], *numbered(names), bcisc.ids, out / "bcisc")
    bccd = cp.read(data / "bccd", size=96)
    names = [bccd.class_names[label].lower() for label in bccd.labels]
    write(bccd.images[:], *numbered(names), bccd.ids, out / "bccd")


def numbered(names):
    """Class names as labels, and the names that these are indices of."""
    class_names, labels = np.unique(names, return_inverse=True)
    return labels, class_names.tolist()


def write(images, labels, class_names, ids, path):
    cells = cp.Dataset.from_arrays(images, labels, class_names=class_names, ids=ids)
    cp.write(cells, path)
    print(f"{path}: {cells.counts()}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
