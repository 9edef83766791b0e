"""The examples run and print what `docs/examples.md` shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "examples.md").read_text("utf-8")
SHOWN = dict(re.findall(r"```text\n\$ python (\S+)\n(.*?)```", PAGE, re.DOTALL))
INSIDE = "examples/inside_another_project"


def run(script: str, here: Path) -> str:
    """The output of a script; one thread, so that a busy machine does not stall it."""
    quiet = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, ROOT / script],
        capture_output=True,
        text=True,
        cwd=here,
        env=os.environ | quiet,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def scores(printed: str) -> list[float]:
    """Numbers with a decimal point, which differ slightly between machines."""
    return [float(number) for number in re.findall(r"\d+\.\d+", printed)]


def words(printed: str) -> list[str]:
    """The words, without such numbers."""
    return re.sub(r"\d+\.\d+", "#", printed).split()


def test_every_example_is_on_the_page() -> None:
    scripts = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("examples/**/*.py")]
    helpers = {f"{INSIDE}/prepare.py"}
    packages = [path.parent.relative_to(ROOT) for path in ROOT.glob("examples/*/pyproject.toml")]
    # Those of the proof need photographs, which are not kept here.
    elsewhere = {*packages, Path("examples/proof")}
    scripts = [path for path in scripts if Path(path).parent not in elsewhere]
    assert sorted(SHOWN) == sorted({*scripts} - helpers)
    for path in ROOT.glob("examples/*.toml"):
        assert f"`examples/{path.name}`" in PAGE
    for folder in elsewhere:
        assert f"`{folder.as_posix()}/`" in PAGE


@pytest.mark.slow
def test_competition_prints_what_the_page_shows(tmp_path) -> None:
    pytest.importorskip("keras")
    script = "examples/competition.py"
    printed = run(script, tmp_path)
    assert words(printed) == words(SHOWN[script])
    rows = tomllib.loads((ROOT / "examples/competition.toml").read_text("utf-8"))["rows"]
    table = [scores(line)[:3] for line in printed.splitlines()[-len(rows) :]]
    assert all(0.2 < heavy < clean for heavy, _, clean in table)  # chance is 1/8
    out = tmp_path / "out/competition"
    for made in ("train", "heavy", "microscopy"):
        assert (out / made / "dataset.json").exists()
        assert (out / f"{made}.png").exists()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> tuple[Path, str]:
    """The folder into which the deliveries were ingested, and the output."""
    here = tmp_path_factory.mktemp("project")
    return here, run(f"{INSIDE}/ingest.py", here)


def test_ingestion_refuses_known_and_conflicting_images(store) -> None:
    assert words(store[1]) == words(SHOWN[f"{INSIDE}/ingest.py"])


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_training_on_fresh_copies_learns(tmp_path, framework) -> None:
    pytest.importorskip(framework)
    script = f"examples/fresh_{framework}.py"
    printed = run(script, tmp_path)
    assert words(printed) == words(SHOWN[script])
    assert scores(printed)[-1] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_training_loops_of_the_project_learn(store, framework) -> None:
    pytest.importorskip(framework)
    script = f"{INSIDE}/train_{framework}.py"
    printed = run(script, store[0])
    assert words(printed) == words(SHOWN[script])
    test, shifted = scores(printed)[-2:]
    assert test > 0.5
    assert shifted > 0.3
