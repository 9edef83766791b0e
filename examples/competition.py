# %% [markdown]
# # A course competition, from its messy file to a table of models x data sets
#
#     python examples/competition.py                      synthetic cells, two minutes on two cores
#     python examples/competition.py train_data.npz --table examples/table1.toml           on a GPU
#
# In 2024, 192 teams of a deep learning course classified blood cells; docs/results.md describes the
# competition. Its file has `images` (n, height, width, 3) uint8 and `labels` (n, 1). Among them are
# one picture with every label, another repeated far too often with a single label, and a few
# duplicates. Without a file, a small synthetic set with the same faults is made. All output is
# written below `--out`.

# %%
import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import cellmodels
import cellprep as cp
from cellprep.report.contact_sheet import contact_sheet
from cellprep.synthetic import CLASS_NAMES, draw_messy_set

parser = argparse.ArgumentParser(description="From a messy file to a table of models x data sets.")
parser.add_argument("data", nargs="?", type=Path, help="an npz file, or a folder of class folders")
parser.add_argument("--out", type=Path, default=Path("out/competition"))
parser.add_argument("--table", type=Path, default=Path(__file__).with_name("competition.toml"))
parser.add_argument("--images", type=int, default=800, help="number of synthetic images")
parser.add_argument("--side", type=int, default=48, help="their side in pixels")
arguments = parser.parse_args()

out, data = arguments.out, arguments.data
out.mkdir(parents=True, exist_ok=True)
if data is None:
    data = out / "synthetic.npz"
    images, labels = draw_messy_set(arguments.images, side=arguments.side)
    np.savez(data, images=images, labels=labels[:, None], class_names=np.array(CLASS_NAMES))

# %% [markdown]
# ## Inspect
#
# Groups of duplicates, conflicting labels first. Nothing is removed yet.

# %%
cells = cp.read(data)
print(cells)
groups = cp.find_duplicates(cells).groupby("group")
print(f"\n{groups.ngroups} pictures occur more than once; the largest groups:")
worst = groups.agg(images=("id", "size"), labels=("label", "nunique"), conflict=("conflict", "any"))
print(worst.head(4).to_string())

# %% [markdown]
# ## Remove duplicates
#
# Both outliers, and all but one image of each group of duplicates. In the competition the outliers
# occurred 1,600 and 200 times; `max_copies` removes the second, whose labels agree.

# %%
clean = cp.Recipe([cp.Dedupe(max_copies=5)])(cells)
print(f"\n{len(clean)} of {len(cells)} images remain:")
print(clean.removed().groupby("reason").size().to_string())

# %% [markdown]
# ## Splits, augmented copies, shifted test sets
#
# Split first, so that no duplicate ends up in two splits and only training images are augmented.
# The test images are corrupted in two ways: as by another microscope ("microscopy"), and strongly,
# like the hidden test set of the competition ("heavy").

# %%
parts = cp.split(clean, train=0.6, val=0.2, test=0.2, seed=0)
print("\nsplits:", {name: len(part) for name, part in parts.items()})
recipe = cp.Recipe([cp.Balance(), cp.RandAugment(copies=3)], seed=0)
train = recipe(parts["train"])
cp.write(train, out / "train", progress=False)
for suite in ("heavy", "microscopy"):
    shifted = cp.Recipe([cp.Corrupt(suite)], seed=0)(parts["test"])
    cp.write(shifted, out / suite, progress=False)
    contact_sheet(shifted, out / f"{suite}.png", f"test split, {suite}")
contact_sheet(train, out / "train.png", "what each step did to the training split")
print(train.changes()[["step", "rows_in", "rows_out"]].to_string(index=False))
print("contact sheets:", ", ".join(sorted(path.name for path in out.glob("*.png"))))

# %% [markdown]
# The index records what was done to each copy; `cp.replay` recreates the same bytes from it.

# %%
index = pd.read_parquet(out / "train" / "index.parquet")
operations = index.filter(regex=r"rand_augment\.op_").stack()
print("\noperations of the copies:")
print(operations.value_counts().to_string())

# %% [markdown]
# ## The table
#
# Each row of the TOML file is a model and a recipe. Its data set is written once; then the model is
# trained, and evaluated on the clean test set and on both shifted ones. After an interruption the
# same command continues.

# %%
table = cellmodels.compare(arguments.table, out / "table", data=data, progress=False)
of_the_test_sets = ["heavy accuracy", "microscopy accuracy", "accuracy"]
shown = table[["row", "model", "data set", *of_the_test_sets, "minutes"]]
print("\n" + shown.to_string(index=False, float_format="{:.4f}".format))
