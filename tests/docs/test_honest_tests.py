"""The table of docs/corruptions.md: which changes of a suite a model has met in training."""

from __future__ import annotations

import re

import pytest

from cellprep.operations import KERAS_CV, WIDE
from cellprep.operations.suites import SUITES

from .test_docs import DOCS

# Operations that change the same property in different ways, as the page lists them.
RELATED = (
    {"brightness", "gain", "gamma"},
    {"contrast", "grey_contrast"},
    {"saturation", "saturate"},
    {"saturation", "color_degeneration"},
    {"channel_shift", "color_cast"},
    {"solarization", "invert"},
    {"gaussian_blur", "defocus_blur", "motion_blur"},
    {"translation", "translation_x", "translation_y"},
    {"cutout", "grid_mask", "stain_deposit"},
)
TRAINING = {
    "Jitter()": {"rotation", "flip", "translation", "zoom"},
    "RandAugment()": {*KERAS_CV},
    'RandAugment(operations="wide")': {*WIDE},
    "StainJitter()": {"stain"},
    "Corrupt(copies=3)": {*SUITES["microscopy"].operations.tolist()} - {"none"},
    'Corrupt("heavy", copies=3)': {*SUITES["heavy"].operations.tolist()} - {"none"},
}


def changes(suite: str) -> list[tuple[str, set[str]]]:
    """The name of each change of a suite, and its operations."""
    table = SUITES[suite]
    spans = zip(table.first.tolist(), table.count.tolist(), strict=True)
    operations = [set(table.operations[first : first + count].tolist()) for first, count in spans]
    names = table.names if suite == "microscopy" else ["/".join(sorted(one)) for one in operations]
    return list(zip(names, operations, strict=True))


def claim(trained: set[str], suite: str) -> str:
    """What the page must say about training with these operations and testing on a suite."""
    if trained == {*SUITES[suite].operations.tolist()} - {"none"}:
        return "the same"
    met = trained.union(*(group for group in RELATED if group & trained))
    new = [name for name, operations in changes(suite) if not operations & met]
    total = len(changes(suite))
    if len(new) == total:
        return "independent"
    shared = f"shares {total - len(new)} of {total}"
    return shared if len(new) > 4 else f"{shared}; new: {', '.join(f'`{name}`' for name in new)}"


@pytest.mark.parametrize("training", TRAINING)
def test_the_table_of_honest_tests_follows_from_the_operations(training) -> None:
    page = (DOCS / "corruptions.md").read_text("utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{training}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    assert cells == [claim(TRAINING[training], suite) for suite in ("microscopy", "heavy")]


def test_related_operations_are_listed_on_the_page() -> None:
    text = (DOCS / "corruptions.md").read_text("utf-8")
    listed = [set(re.findall(r"`(\w+)`", line)) for line in text.splitlines() if line[:2] == "- "]
    assert all(group in listed for group in RELATED)
