"""The figures of a run as one table, and as a page."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness import Result, Speed


@dataclass
class Report:
    images: int
    rounds: int
    results: list[Result] = field(default_factory=list)

    def table(self) -> str:
        """Every job, ours first, as Markdown."""
        lines = [
            "| job | who | images/s | ours is | target | reached | |",
            "|---|---|---:|---:|---:|---|---|",
        ]
        for result in self.results:
            name = result.job.title
            for speed in result.speeds:
                lines.append(_row(name, speed, result))
                name = ""
        return "\n".join(lines)


def _row(name: str, speed: Speed, result: Result) -> str:
    if speed.missing:
        return f"| {name} | {speed.name} | | | {_times(speed.target)} | | {speed.missing} |"
    cells = [name, speed.name, f"{speed.rate:,.0f}"]
    if speed is result.ours:
        goal = result.job.at_least
        cells += [
            "",
            f"{goal:,.0f} a second" if goal else "",
            _verdict(speed.rate, goal),
            result.note or "",
        ]
    else:
        ratio = speed.ratio(result.ours)
        notes = [speed.way] if speed.way else []
        if speed.images < speed.whole:
            notes.append(f"timed on {speed.images:,} images")
        cells += [_times(ratio), _times(speed.target), _verdict(ratio, speed.target)]
        cells.append("; ".join(notes))
    return "| " + " | ".join(cells) + " |"


def _times(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.3g}x"


def _verdict(got: float, target: float | None) -> str:
    if target is None:
        return ""
    return "yes" if got >= target else "no"
