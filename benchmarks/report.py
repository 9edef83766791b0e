"""The results of a run: tables for the terminal, and the page docs/benchmarks.md for a full run."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .measure.parallel import cores
from .measure.race import Result, Speed

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
PACKAGES = [
    "cellprep",
    "numpy",
    "numba",
    "xxhash",
    "pillow",
    "imagehash",
    "imagededup",
    "cleanvision",
    "scikit-learn",
    "opencv-python-headless",
    "keras",
    "keras-cv",
    "tensorflow-cpu",
    "torch",
    "torchvision",
    "albumentations",
    "augrs-py",
    "medmnistc",
    "zarr",
    "array_record",
]


@dataclass
class Report:
    """The results of a run.

    Attributes
    ----------
    images : int
        Images per job.
    rounds : int or None
        Turns of each contender; None: set by the job.
    source : str
        Origin of the images.
    """

    images: int
    rounds: int | None
    source: str
    results: list[Result] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)

    def add(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], last: str = "slope"
    ) -> None:
        """Add a table, whose first column names the row; a longer row gets a column `last`."""
        head = ["", *columns, *[last] * (len(rows[0]) - 1 - len(columns))]
        lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)])]
        self.sections[title] = "\n".join([*lines, *map(_line, rows)])

    def speeds(self) -> str:
        """Every job, cellprep first, as a Markdown table."""
        lines = [
            _line(["job", "library", "images/s", "speed-up", "target", "reached", "peak MiB", ""]),
            _line(["---", "---", "---:", "---:", "---:", "---", "---:", "---"]),
        ]
        for result in self.results:
            for speed in result.speeds:
                title = result.job.title if speed is result.ours else ""
                lines.append(_line([title, *_cells(speed, result)]))
        return "\n".join(lines)

    def tables(self) -> str:
        """All tables as Markdown."""
        sections = [f"## {title}\n\n{table}\n" for title, table in self.sections.items()]
        if self.results:
            sections.insert(0, f"## cellprep and other libraries\n\n{self.speeds()}\n")
        return "\n".join(sections)

    def write_page(self) -> None:
        """Write the page of the documentation: the tables of this run, then limits.md."""
        limits = (HERE / "limits.md").read_text(encoding="utf-8")
        PAGE.write_text(f"{self._head()}\n{self.tables()}\n{limits}", encoding="utf-8")

    def _head(self) -> str:
        gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        return f"""# Benchmarks

How fast cellprep is, job by job, beside other libraries, including where it is slower, and what
limits it: to estimate how long your images take, or to choose a library.

Written by `pytest benchmarks/` (`make bench`) on {date.today().isoformat()}; do not edit. The
method, and the best case of each library: [benchmarks/README.md](../benchmarks/README.md).

- machine: {_processor()}, {cores()} cores, {gigabytes:.0f} GiB, {platform.system()}, Python \
{platform.python_version()}
- images: {self.images:,} of 96x96x3 uint8, {self.source}
- versions: {", ".join(_versions())}
- "speed-up": time per image of the other library divided by that of cellprep, measured in turns;
  median over rounds
- "images/s": in the quickest turn. Between machines only speed-ups are comparable
- "peak MiB": memory of the process during a turn, minus that before it (input images, libraries)
"""


def _cells(speed: Speed, result: Result) -> list[str]:
    """The cells of a contender, except for the job's title."""
    if speed.missing:
        return [speed.name, "", "", _times(speed.target), "", "", speed.missing]
    notes = [f"{speed.whole / speed.rate:,.1f} s for {speed.whole:,}"] * result.job.seconds
    if speed is result.ours:
        goal = result.job.at_least
        middle = ["", f"{goal:,.0f}/s" if goal else "", _verdict(speed.rate, goal)]
        notes += [result.note] if result.note else []
    else:
        ratio = speed.ratio(result.ours)
        middle = [_times(ratio), _times(speed.target), _verdict(ratio, speed.target)]
        notes += [speed.way] if speed.way else []
        if speed.images < speed.whole:
            notes.append(f"scaled from {speed.images:,} images")
    peak = f"{speed.memory / 2**20:,.0f}"
    return [speed.name, f"{speed.rate:,.0f}", *middle, peak, "; ".join(notes)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _times(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.3g}x"


def _verdict(got: float, target: float | None) -> str:
    if target is None:
        return ""
    return "yes" if got >= target else "**no**"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return found
