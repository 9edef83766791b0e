"""Command-line options, the images, and the report at the end of a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from . import images
from .jobs import JOBS
from .measure.job import Images
from .report import PAGE, Report

WHOLE = 13_759
SECTIONS = 6
REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchmarks")
    group.addoption("--images", type=int, default=WHOLE, help="images per job (default 13,759)")
    group.addoption(
        "--rounds",
        type=int,
        help="turns of each contender (default: set by the job; 1 if fewer images)",
    )


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    if report.when != "call" or report.outcome != "passed":
        return None
    return "passed", ".", f"done in {report.duration:.0f} s"


def pytest_configure(config: pytest.Config) -> None:
    config.option.verbose = max(config.option.verbose, 1)  # names the job that runs
    count, rounds = config.getoption("--images"), config.getoption("--rounds")
    if count < WHOLE:  # a smoke run shows that everything works; its figures mean little
        rounds = rounds or 1
    config.stash[REPORT] = Report(count, rounds, images.source())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    report = terminalreporter.config.stash[REPORT]
    if report.results or report.sections:
        terminalreporter.write_line("\n" + report.tables())
    whole = len(report.results) == len(JOBS) and len(report.sections) == SECTIONS
    if exitstatus == 0 and whole and report.images >= WHOLE and (report.rounds or 3) >= 3:
        report.write_page()
        terminalreporter.write_line(f"written: {PAGE}")


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    return request.config.stash[REPORT]


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """A folder that is kept between runs."""
    return Path(request.config.cache.mkdir("images"))


@pytest.fixture(scope="session")
def pool(cache: Path) -> Images:
    """Images that all differ."""
    return images.pool(cache)
