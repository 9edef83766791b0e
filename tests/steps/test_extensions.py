"""Steps and operations of an installed package work like cellprep's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "examples" / "a_step_of_your_own"
RECIPE = """\
[[steps]]
step = "Sharpen"
most = 300.0

[[steps]]
step = "RandAugment"
copies = 1
operations = ["sharpen", "contrast"]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run Python with the package installed."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", site, PACKAGE], check=True)
    path = os.pathsep.join([str(site), str(ROOT / "src")])

    def call(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=site,
            env=os.environ | {"PYTHONPATH": path},
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    (site / "recipe.toml").write_text(RECIPE)
    call(
        "-c",
        "import numpy as np; from cellprep.synthetic import draw_cells;"
        "images, labels = draw_cells([3] * 8, side=32);"
        "np.savez('cells.npz', images=images, labels=labels)",
    )
    return call


CLI = ("-c", "from cellprep.cli import main; main()")


def test_the_package_is_short() -> None:
    files = [file for file in PACKAGE.iterdir() if file.is_file()]
    assert sum(len(file.read_text().splitlines()) for file in files) < 60


def test_recipes_find_the_step_and_the_operation(run) -> None:
    printed = run(
        "-c",
        "import cellprep as cp; from pathlib import Path;"
        "made = cp.Recipe.from_toml(Path('recipe.toml'))(cp.read('cells.npz'));"
        "table = made.to_pandas();"
        "print(table['sharpen.percent'].max() > 200, set(table['rand_augment.op_1'].dropna()));"
        "cp.write(made, 'out', progress=False);"
        "print((cp.replay('out', cp.read('cells.npz')) == made.images[:]).all())",
    )
    assert "True {" in printed
    assert "'sharpen'" in printed
    assert printed.strip().endswith("True")


def test_the_command_line_runs_the_step(run) -> None:
    assert "48 images" in run(*CLI, "run", "recipe.toml", "cells.npz", "by_command")


def test_recipe_new_offers_the_step(run) -> None:
    text = run(*CLI, "recipe", "new", "-", "--steps", "Sharpen")
    assert 'step = "Sharpen"' in text
    assert "most = 150.0" in text
    assert "Largest strength in percent" in text
    assert "Sharpen" in run(*CLI, "recipe", "new", "-", "--steps", "Dedupe")


def test_the_checks_of_steps_accept_it(run) -> None:
    code = "from cellprep.steps import STEPS, checks; checks.check_step(STEPS['Sharpen']())"
    run("-c", code)


def test_a_name_that_exists_already_is_refused(run, tmp_path) -> None:
    info = tmp_path / "clash-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: clash\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cellprep.steps]\nJitter = os:PathLike\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import cellprep as cp;"
    code += "cp.Recipe.from_toml('[[steps]]\\nstep = \"None\"')"
    assert "'Jitter', which exists already; rename or uninstall it" in run("-c", code, code=1)
