"""Damaged cards of models, checkpoints and recorded rows are read, or refused in one line."""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cellprep as cp
from cellmodels.comparison.runs import Run
from cellmodels.models.files import Card, load_card
from cellmodels.training.checkpoint import Checkpoint

VALUES = [None, True, -1, 10**30, 0.5, "", "a", [], {}, [None], [[1]], {"a": 1}, ["a", 3]]
TEXTS = ["", "null", "[]", '"a"', "{", "[" * 10_000 + "]" * 10_000, "9" * 5000, "\ud800"]
MADE_OF = {"model": {"name": "tiny"}, "settings": {"epochs": 3}}


def changed(value: Any) -> Iterator[Any]:
    """The value with each entry, at any depth, removed or replaced by each of VALUES."""
    for other in VALUES:
        yield other
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        for other in changed(value[key]):
            whole = copy.copy(value)
            whole[key] = other
            yield whole
        whole = copy.copy(value)
        del whole[key]
        yield whole


def save_card(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cellmodels.json", text.encode("utf-8", "surrogatepass"))


def save_checkpoint(path: Path, text: str) -> None:
    arrays = {f"{name}/0": np.zeros(2) for name in ("model", "optimizer", "best")}
    np.savez(path, about=np.array(text), **arrays)


def load_checkpoint(path: Path) -> None:
    Checkpoint(path, MADE_OF).load()


def save_text(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def load_row(path: Path) -> None:
    run: Any = SimpleNamespace(folder=path.parent, row=SimpleNamespace(name="r"))
    run._fingerprint = lambda: {"seed": 1}
    Run.recorded(run)


CARD = vars(Card("tiny", ("a", "b"), ({"step": "Crop"},), {"epochs": 1}, {"loss": [1.0]}))
STATE = {"epoch": 1, "history": {"loss": [1.0]}, "best": 0.5, "best_epoch": 0, "seconds": 1.0}
ABOUT = {
    "made_of": MADE_OF,
    "state": STATE,
    "arrays": dict.fromkeys(("model", "optimizer", "best"), 1),
}
PROFILE = {"images": 3, "cells": 3, "size": [8, 8], "mean": [1.0] * 3, "spread": [1.0] * 3}
KINDS: dict[str, tuple[Any, ...]] = {
    "card": ({**CARD, "profile": PROFILE}, "m.keras", save_card, load_card),
    "checkpoint": (ABOUT, "checkpoint.npz", save_checkpoint, load_checkpoint),
    "row": ({"made_of": {"seed": 1}, "lines": [{"a": 1}]}, "row.json", save_text, load_row),
}


def load_or_refuse(load: Callable[[Path], object], path: Path, why: object) -> None:
    refused = ""
    try:
        load(path)
    except cp.CellprepError as error:
        refused = str(error)
    assert "\n" not in refused, why


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_entries_at_any_depth_are_refused_in_one_line(kind, tmp_path) -> None:
    intact, name, save, load = KINDS[kind]
    path = tmp_path / name
    intact = json.loads(json.dumps(intact))
    save(path, json.dumps(intact))
    load(path)
    for value in changed(intact):
        save(path, json.dumps(value))
        load_or_refuse(load, path, value)
    for text in TEXTS:
        save(path, text)
        load_or_refuse(load, path, text[:20])
    data = path.read_bytes()
    for end in range(0, len(data), 7):
        path.write_bytes(data[:end])
        load_or_refuse(load, path, end)


def test_a_card_has_the_types_that_its_fields_state(tmp_path) -> None:
    """Otherwise the error would come later, as a traceback."""
    for entry, value in {
        "class_names": "ab",
        "recipe": "ab",
        "temperature": "1",
        "best_epoch": None,
        "history": {"loss": ["a"]},
        "versions": {"keras": 3},
        "model": 3,
    }.items():
        save_card(tmp_path / "m.keras", json.dumps({**CARD, entry: value}))
        with pytest.raises(cp.CellprepError, match="not a model that cellmodels saved"):
            load_card(tmp_path / "m.keras")
