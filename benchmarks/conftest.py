"""Options, the images, and what becomes of the figures at the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import pictures
from report import Report

WHOLE = 13_759
ROUNDS = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchmarks")
    group.addoption("--images", type=int, default=WHOLE, help="images a job (default 13,759)")
    group.addoption("--rounds", type=int, default=None, help="turns of each contender")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report(
        images=config.getoption("--images"),
        # A smoke run shows that all of it works; its figures say nothing.
        rounds=config.getoption("--rounds") or (ROUNDS if _whole(config) else 1),
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    report = terminalreporter.config.stash[REPORT]
    if report.results:
        terminalreporter.write_line("")
        terminalreporter.write_line(report.table())


REPORT = pytest.StashKey[Report]()


def _whole(config: pytest.Config) -> bool:
    return config.getoption("--images") >= WHOLE


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    return request.config.stash[REPORT]


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """A folder that outlives the run."""
    return Path(request.config.cache.mkdir("pictures"))


@pytest.fixture(scope="session")
def pool(cache: Path) -> pictures.Images:
    return pictures.pool(cache)
