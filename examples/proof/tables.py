"""The tables and the figure of docs/results.md, from the measured rows beside this file.

    python examples/proof/tables.py FIGURE

Prints Markdown: the accuracies of every row and their differences to the row without augmentation,
the same for the ingredients, with and without augmentation, the accuracies on other laboratories
by way of predicting, and all of those of the best model.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from cellmodels.comparison.display import draw

RESULTS = Path(__file__).parent / "results"
SETS = {
    "heavy": "heavy accuracy",
    "microscopy": "microscopy accuracy",
    "clean": "accuracy",
    "elsewhere": "elsewhere accuracy",
}
LABORATORIES = ["bcisc", "bccd"]
ADAPTED = "scale, norm 0.3, views"


def main(figure):
    ladder = measured("ladder")
    print_table(ladder)
    print_differences(ladder, "no augmentation")
    print_ways(ladder)
    ingredients = measured("ingredients")
    alone = ingredients["row"].str.endswith("not augmented")
    print_table(ingredients[~alone])
    print_differences(ingredients[~alone], "wide")
    first = ladder[(ladder["row"] == "no augmentation") & (ladder["seed"] == 0)]
    print_table(pd.concat([first, ingredients[alone]]))
    print_differences(pd.concat([first, ingredients[alone]]), "no augmentation")
    print_by_way(measured("longer"))
    draw(with_adapted(ladder), Path(figure))


def measured(table):
    """All lines of a table's rows: one per row, seed and way of predicting."""
    lines = []
    for file in sorted((RESULTS / table / "rows").glob("*/seed-*/row.json")):
        lines += json.loads(file.read_text())["lines"]
    found = pd.DataFrame(lines)
    order = found[found["way"] == "as is"].groupby("row")["heavy accuracy"].mean()
    return found.sort_values(["row", "seed"], key=lambda c: c.map(order) if c.name == "row" else c)


def by_way(lines, way):
    return lines[lines["way"] == way].set_index(["row", "seed"])


def number(value):
    """.853 for .8532, with a real minus sign."""
    text = f"{abs(value):.3f}"
    return ("−" if value < 0 else "") + (text[1:] if abs(value) < 1 else text)


def spread(values):
    """Mean ± standard deviation."""
    mean = number(values.mean())
    return mean if len(values) == 1 else f"{mean} ± {number(values.std())}"


def print_row(cells):
    print("| " + " | ".join(cells) + " |")


def print_head(cells):
    print()
    print_row(cells)
    print("|" + "---|" * len(cells))


def print_table(lines):
    """Accuracies, of the other laboratories after adapting."""
    plain, adapted = by_way(lines, "as is"), by_way(lines, ADAPTED)
    print_head(["trained with", "seeds", *SETS, *(f"{lab}, adapted" for lab in LABORATORIES)])
    for row, values in plain.groupby("row", sort=False):
        cells = [row, str(len(values)), *(spread(values[column]) for column in SETS.values())]
        cells += [spread(adapted.loc[row][f"{lab} accuracy"]) for lab in LABORATORIES]
        print_row(cells)


def print_differences(lines, base):
    """Differences within a seed: mean, and range."""
    plain = by_way(lines, "as is")
    print_head([f"difference to {base}", "seeds", *SETS])
    for row, values in plain.groupby("row", sort=False):
        if row == base:
            continue
        both = values.loc[row].index.intersection(plain.loc[base].index)
        cells = [row, str(len(both))]
        for column in SETS.values():
            scores = plain[column]
            apart = scores[row][both] - scores[base][both]
            mean = signed(apart.mean())
            ends = f" ({signed(apart.min())} to {signed(apart.max())})" if len(apart) > 1 else ""
            cells.append(mean + ends)
        print_row(cells)


def signed(value):
    text = number(round(value, 3))
    return text if text.startswith("−") else f"+{text}"


def print_ways(lines):
    """Accuracy / balanced accuracy on the other laboratories, by how test images are adapted."""
    ways = list(dict.fromkeys(lines["way"]))
    print_head(["trained with", "set", *ways])
    for row, of_row in lines.groupby("row", sort=False):
        for lab in LABORATORIES:
            cells = [row, lab]
            for way in ways:
                values = of_row[of_row["way"] == way]
                means = (values[f"{lab} {kind}"].mean() for kind in ("accuracy", "balanced"))
                cells.append(" / ".join(number(round(mean, 2))[:-1] for mean in means))
            print_row(cells)


def print_by_way(lines):
    """All accuracies of one row, by how test images are adapted."""
    columns = {**SETS, **{lab: f"{lab} accuracy" for lab in LABORATORIES}}
    print_head(["test images", "seeds", *columns])
    for way, values in lines.groupby("way", sort=False):
        found = (values[column].dropna() for column in columns.values())
        print_row([way, str(len(values)), *(spread(one) if len(one) else "" for one in found)])


def with_adapted(lines):
    """The lines for the figure: other laboratories adapted, the rest as they are."""
    plain = by_way(lines, "as is")
    keep = plain[list(SETS.values())].copy()
    for lab in LABORATORIES:
        keep[f"{lab}, adapted accuracy"] = by_way(lines, ADAPTED)[f"{lab} accuracy"]
    return keep.reset_index()


if __name__ == "__main__":
    main(sys.argv[1])
