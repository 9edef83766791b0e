"""`cellprep recipe new` writes a recipe with the defaults of every step, and explains them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import cellprep as cp
from cellprep.cli.recipe_template import RECOMMENDED, step_kinds, template
from cellprep.cli.step_docs import setting_prose
from cellprep.synthetic import draw_cells

from .helpers import run


@pytest.mark.parametrize("kind", step_kinds().values(), ids=step_kinds())
def test_a_new_recipe_has_the_defaults_or_what_is_recommended(kind, here):
    needed = {
        cp.Adapt: {"profile": "out/train"},
        cp.Crop: {"size": 80},
        cp.Decide: {"decisions": "decisions.csv"},
    }.get(kind, {}) | RECOMMENDED.get(kind.__name__, {})
    Path("decisions.csv").write_text(f"id,decision,digest\na.png,drop,{'0' * 32}\n")
    if kind is cp.Adapt:
        cp.write(cp.Dataset.from_arrays(*draw_cells([1] * 8)), "out/train")
    text = template([kind, cp.Dedupe], seed=4)
    assert cp.Recipe.from_toml(text) == cp.Recipe([kind(**needed), cp.Dedupe()], seed=4)
    assert max(map(len, text.splitlines())) <= 84
    assert not {"None", "True", "optional", "``"} & set(text.replace(".", " ").split())


def test_a_new_recipe_explains_each_setting(here):
    assert run("recipe", "new", "my recipe.toml") == (
        "my recipe.toml: 4 steps: Dedupe, Balance, KMeansMask, RandAugment\n"
    )
    text = Path("my recipe.toml").read_text()
    assert '# "drop", "majority" or "keep". What to do with a group' in text
    assert "# whole number of at least 1 or false. A larger group is" in text
    assert "[steps.jitter]\n\n# number from 0 to 180. Maximum angle in degrees" in text
    assert {"Corrupt", "Crop", "Jitter"} <= set(
        re.findall(r"\w+", text.partition("# Other steps: ")[2])
    )
    steps = [cp.Dedupe(), cp.Balance(), cp.KMeansMask(), cp.RandAugment(operations="wide")]
    assert cp.Recipe.from_toml(Path("my recipe.toml")) == cp.Recipe(steps)
    assert "exists already" in run("recipe", "new", "my recipe.toml", code=2)
    assert Path("my recipe.toml").read_text() == text
    found = run("recipe", "check", "my recipe.toml", "--json")
    assert [step["step"] for step in found["steps"]] == [type(step).__name__ for step in steps]
    assert "  Dedupe(on_conflict='drop'" in run("recipe", "check", "my recipe.toml")
    assert run("recipe", "new", "-", "--steps", "Jitter") == template([cp.Jitter])
    assert "did you mean 'Jitter'" in run("recipe", "new", "-", "--steps", "Jiter", code=2)


def test_every_setting_is_described():
    """New recipes know all steps, and the docstring of each has an entry for every setting."""
    own = {name: getattr(cp, name) for name in cp.__all__ if name in step_kinds()}
    assert len(own) >= 7
    for name, kind in own.items():
        assert setting_prose(kind).keys() == {field.name for field in fields(kind)}, name
    assert template([*step_kinds().values()]).count("step = ") == len(step_kinds())
