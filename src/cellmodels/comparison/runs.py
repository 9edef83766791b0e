"""The runs of a table: one per row and seed, each with a folder and, once measured, a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cellprep import CellprepError, Dataset
from cellprep.errors import one_of

from ..atomic import atomic_write
from ..models.build import build
from .sets import place
from .table import Row, Table, folder_name

_RECORD = "row.json"


@dataclass(frozen=True)
class Run:
    """One row of a table with one seed, and one fold if the table has folds.

    Attributes
    ----------
    table : Table
    row : Row
    seed : int
    fold : int or None
    folder : Path
        Where the model, its report and the record are saved.
    """

    table: Table
    row: Row
    seed: int
    fold: int | None
    folder: Path

    def build(self, train: Dataset, **settings: Any) -> Any:
        """The untrained model of this run, for a training set."""
        chosen = {"seed": self.seed, **self.row.build, **settings}
        if chosen.get("weights") is False:
            chosen["weights"] = None
        try:
            return build(self.row.model, len(train.class_names), train.shape[1:], **chosen)
        except CellprepError as error:
            raise CellprepError(f"row {self.row.name!r}: {error}") from error

    def recorded(self) -> list[dict[str, Any]] | None:
        """The result of an earlier call, or None; that of another table is refused."""
        path = self.folder / _RECORD
        if not path.is_file():
            return None
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            made_of, lines = dict(saved["made_of"]), [dict(line) for line in saved["lines"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CellprepError(
                f"{str(path)!r} is not the result of a row ({type(error).__name__}); delete it to "
                "train again"
            ) from None
        for name, value in self._fingerprint().items():
            if made_of.get(name) != value:
                raise CellprepError(
                    f"{str(self.folder)!r} contains row {self.row.name!r} of another table ({name} "
                    "differs); rename the row, or choose another folder"
                )
        return lines

    def record(self, lines: Sequence[Mapping[str, Any]], reports: Mapping[str, Any]) -> None:
        """Save the result of this run: its lines, and the full reports."""
        record = {"made_of": self._fingerprint(), "lines": lines}
        for name, content in {"report.json": reports, _RECORD: record}.items():
            with atomic_write(self.folder / name) as temporary:
                temporary.write_text(json.dumps(content, indent=1), "utf-8", newline="\n")

    def _fingerprint(self) -> dict[str, Any]:
        """What the result depends on, except for the images themselves."""
        table = self.table
        found = {
            "size": table.size,
            "before": table.before,
            "parts": table.parts,
            "groups": table.groups,
            "shifted": table.shifted,
            "others": sorted(table.others),
            "ways": {name: table.ways[name] for name in self.row.ways or table.ways},
            "recipe": table.recipes[self.row.recipe],
            "row": {k: v for k, v in asdict(self.row).items() if k != "ways"},
            "seed": self.seed,
        }
        if self.fold is not None:
            found |= {"fold": self.fold, "folds": table.folds}
            del found["parts"]
        return dict(json.loads(json.dumps(found)))


def open_table(
    table: str | Path,
    folder: Path,
    data: str | Path | None,
    others: Mapping[str, str | Path] | None = None,
) -> tuple[Table, str, list[Run]]:
    """The table, the path of its data, and its runs, seed by seed and fold by fold."""
    read = Table.from_toml(table)
    for name in others or {}:
        one_of("others", name, read.others)
    read = replace(read, others={**read.others, **{k: str(v) for k, v in (others or {}).items()}})
    source = str(data or read.data)
    if not source:
        raise CellprepError(f"{str(Path(table))!r} has no `data`; add it, or pass `data`")
    runs = [
        Run(read, row, seed, fold, folder / "rows" / folder_name(row.name) / place(seed, fold))
        for seed in read.seeds
        for fold in (range(1, read.folds + 1) if read.folds else [None])
        for row in read.rows
    ]
    return read, source, runs
