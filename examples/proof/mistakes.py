"""How far a local score misleads after two common mistakes (docs/results.md).

    python examples/proof/mistakes.py TRAINING_SET.npz NEW_CELLS.npz OUT [--images N] [--seeds 0,1]

TRAINING_SET.npz is a course competition's data set, or one made like it: `images` and `labels` of
cells, among them 1,800 copies of two pictures under all labels. NEW_CELLS.npz has cells that are
not among them. The same model is trained on four data sets, each on N images:

- as is: split at random, with all copies;
- cleaned: Dedupe, then split;
- split after augmenting: cleaned, three RandAugment copies of each image, then split at random;
- split before augmenting: cleaned, split, three copies of each training image.

`local` is the accuracy on the test split that the experimenter sees, `new` that on new cells, and
`heavy` that on new cells after `Corrupt("heavy")`. The same command resumes.
"""

import json
from pathlib import Path

import click
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

import cellmodels as cm
import cellprep as cp

MISTAKES = ("as is", "cleaned", "split after augmenting", "split before augmenting")


def splits(kind, cells, seed):
    """The training, validation and test split."""
    if kind == "as is":
        return at_random(cells, seed)
    cells = cp.Recipe([cp.Dedupe()], seed)(cells)
    copies = cp.Recipe([cp.RandAugment(copies=3)], seed)
    if kind == "split after augmenting":
        return at_random(copies(cells), seed)
    parts = cp.split(cells, train=0.85, val=0.07, test=0.08, seed=seed)
    if kind == "split before augmenting":
        parts["train"] = copies(parts["train"])
    return parts


def at_random(cells, seed):
    """Rows split as most notebooks do, without regard to copies."""
    images, labels = cells.to_arrays()
    rows, test = train_test_split(
        np.arange(len(labels)), test_size=0.08, stratify=labels, random_state=seed
    )
    train, val = train_test_split(
        rows, test_size=0.07 / 0.92, stratify=labels[rows], random_state=seed
    )
    return {
        name: cp.Dataset.from_arrays(images[of], labels[of], class_names=cells.class_names)
        for name, of in {"train": train, "val": val, "test": test}.items()
    }


def measure(kind, cells, new, seed, out, images):
    """Train on one of the data sets, and score the model where its owner looks and elsewhere."""
    parts = splits(kind, cells, seed)
    model = cm.build("efficientnet_lite0", 8, (96, 96, 3), seed=seed)
    how = {"images": images, "learning_rate": 1e-3, "seed": seed, "allow_leaks": True}
    cm.fit(model, parts["train"], parts["val"], out=out, **how)
    local = cm.evaluate(model, parts["test"]).clean.accuracy
    report = cm.evaluate(model, new, shifted=["heavy"], seed=seed)
    return {
        "data": kind,
        "seed": seed,
        "images": len(parts["train"]),
        "local": local,
        "new": report.clean.accuracy,
        "heavy": report.shifted["heavy"].accuracy,
    }


@click.command()
@click.argument("training_set", type=click.Path(exists=True))
@click.argument("new_cells", type=click.Path(exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--images", default=61_440, show_default=True, help="Seen in each training.")
@click.option("--seeds", default="0,1,2", show_default=True)
def main(training_set, new_cells, out, images, seeds):
    """How far a local score misleads after two common mistakes."""
    cells, new, lines = cp.read(training_set), cp.read(new_cells), []
    for seed in map(int, seeds.split(",")):
        for kind in MISTAKES:
            folder = out / f"{kind.replace(' ', '-')}-{seed}"
            record = folder / "record.json"
            if not record.is_file():
                line = measure(kind, cells, new, seed, folder, images)
                record.write_text(json.dumps(line))
            lines.append(json.loads(record.read_text()))
            pd.DataFrame(lines).to_csv(out / "mistakes.csv", index=False)
    table = pd.DataFrame(lines)
    table["local - new"] = table["local"] - table["new"]
    print(table.groupby("data", sort=False).agg(["mean", "min", "max"]).round(3).to_string())


if __name__ == "__main__":
    main()
