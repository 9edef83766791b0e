# %% [markdown]
# # A competition, from its messy file to a table of models x data sets
#
#     python examples/competition.py                          drawn cells, two minutes on two cores
#     python examples/competition.py train_data.npz --table examples/table1.toml           on a GPU
#
# The file is that of a competition of 192 teams: `images` (n, height, width, 3) uint8 and `labels`
# (n, 1), with one picture under every label, another one far too often under a single one, and
# repeats beside them. Without a file a small stand-in is drawn. Everything goes below `--out`.

# %%
import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import cellmodels
import cellprep as cp
from cellprep.report.contact_sheet import contact_sheet
from cellprep.synthetic import CLASS_NAMES, draw_messy_set

parser = argparse.ArgumentParser(description="A competition, from its messy file to a table.")
parser.add_argument("data", nargs="?", type=Path, help="an npz file, or a folder of class folders")
parser.add_argument("--out", type=Path, default=Path("out/competition"))
parser.add_argument("--table", type=Path, default=Path(__file__).with_name("competition.toml"))
parser.add_argument("--images", type=int, default=800, help="how many are drawn")
parser.add_argument("--side", type=int, default=48, help="how large they are drawn")
asked = parser.parse_args()

out, data = asked.out, asked.data
out.mkdir(parents=True, exist_ok=True)
if data is None:
    data = out / "drawn.npz"
    images, labels = draw_messy_set(asked.images, side=asked.side)
    np.savez(data, images=images, labels=labels[:, None], class_names=np.array(CLASS_NAMES))

# %% [markdown]
# ## What is in it
#
# Conflicts first. No image is removed yet.

# %%
cells = cp.read(data)
print(cells)
groups = cp.find_duplicates(cells).groupby("group")
print(f"\n{groups.ngroups} pictures stand more than once; the worst:")
worst = groups.agg(images=("id", "size"), labels=("label", "nunique"), conflict=("conflict", "any"))
print(worst.head(4).to_string())

# %% [markdown]
# ## What goes
#
# Both outliers, and all but one of each repeat. In the competition they stood 1,600 and 200 times;
# `max_copies` is what catches the one whose labels agree.

# %%
clean = cp.Recipe([cp.Dedupe(max_copies=5)])(cells)
print(f"\n{len(clean)} of {len(cells)} images stay:")
print(clean.removed().groupby("reason").size().to_string())

# %% [markdown]
# ## Parts, copies on disk, shifted tests
#
# Split first: nothing that is repeated lies on two sides, and copies are made of the training part
# alone. The tests are spoilt as another microscope would, and as the hidden test was.

# %%
parts = cp.split(clean, train=0.6, val=0.2, test=0.2, seed=0)
print("\nparts:", {name: len(part) for name, part in parts.items()})
recipe = cp.Recipe([cp.Balance(), cp.RandAugment(copies=3)], seed=0)
train = recipe(parts["train"])
cp.write(train, out / "train", progress=False)
for suite in ("heavy", "microscopy"):
    shifted = cp.Recipe([cp.Corrupt(suite)], seed=0)(parts["test"])
    cp.write(shifted, out / suite, progress=False)
    contact_sheet(shifted, out / f"{suite}.png", f"the test part, {suite}")
contact_sheet(train, out / "train.png", "what each step did to the training part")
print(train.changes()[["step", "rows_in", "rows_out"]].to_string(index=False))
print("pictures:", ", ".join(sorted(path.name for path in out.glob("*.png"))))

# %% [markdown]
# What was done to each copy stands beside the images. `cp.replay` makes the same bytes from it.

# %%
index = pd.read_parquet(out / "train" / "index.parquet")
operations = index.filter(regex=r"rand_augment\.op_").stack()
print("\noperations of the copies:")
print(operations.value_counts().to_string())

# %% [markdown]
# ## The table
#
# Each row of the TOML file is a model and a recipe: written once, trained, measured on the clean
# test part and on both shifted ones. The same command goes on where a killed one stopped.

# %%
table = cellmodels.compare(asked.table, out / "table", data=data, progress=False)
shown = table.drop(columns=["seed", "precision", "recall", "F1"])
print("\n" + shown.to_string(index=False, float_format="{:.4f}".format))
