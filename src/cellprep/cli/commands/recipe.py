"""`cellprep recipe new` and `cellprep recipe check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ...errors import CellprepError, check_seed, counted, nearest
from ...steps.recipe import Recipe
from ...system.paths import make_folder
from ..recipe_template import step_kinds, template
from ..shared import PATH, Commands, one_line_errors, options, print_json, print_text


class _Steps(click.ParamType):  # type: ignore[type-arg]
    """Names of steps, separated by commas."""

    name = "steps"

    def convert(self, value: Any, param: Any, ctx: Any) -> list[str]:
        if isinstance(value, list):
            return value
        names = [name.strip() for name in value.split(",")]
        for name in names:
            if name not in step_kinds():
                hint = nearest(name, step_kinds())
                raise click.UsageError(f"there is no step {name!r}; {hint}", ctx)
        return names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        before, comma, begun = incomplete.rpartition(",")
        return [
            CompletionItem(before + comma + name)
            for name in step_kinds()
            if name.startswith(begun) and name not in before.split(",")
        ]


@click.group(cls=Commands)
def recipe() -> None:
    """Create a recipe file, or check one.

    Example: cellprep recipe new
    """


@recipe.command()
@click.argument("file", type=PATH, default=Path("recipe.toml"))
@click.option(
    "--steps",
    type=_Steps(),
    metavar="NAMES",
    default="Dedupe,Balance,KMeansMask,RandAugment",
    help="[default: Dedupe,Balance,KMeansMask,RandAugment]",
)
@options("seed", "json")
@one_line_errors
def new(file: Path, steps: list[str], seed: int, as_json: bool) -> None:
    """Write a recipe with every setting, its default and its meaning.

    FILE defaults to recipe.toml; - prints the recipe.

    Example: cellprep recipe new mine.toml --steps Dedupe,Crop,RandAugment
    """
    shown = str(file) == "-"
    kinds = [step_kinds()[name] for name in steps]
    text = template(kinds, check_seed(seed), "recipe.toml" if shown else file.name)
    if shown:
        click.echo(text, nl=False)
        return
    if file.exists():
        raise CellprepError(f"{str(file)!r} exists already; choose another name")
    make_folder(file.parent)
    file.write_text(text, "utf-8", newline="\n")
    if as_json:
        print_json({"path": str(file), "steps": steps})
    else:
        click.echo(f"{file}: {counted(len(steps), 'step')}: {', '.join(steps)}")


@recipe.command()
@click.argument("file", type=PATH)
@options("json")
@one_line_errors
def check(file: Path, as_json: bool) -> None:
    """Read a recipe and show its steps with all their settings.

    Example: cellprep recipe check out/demo/recipe.toml
    """
    found = Recipe.from_toml(file)
    if as_json:
        steps = [step.to_dict() for step in found.steps]
        print_json({"path": str(file), "seed": found.seed, "steps": steps})
    else:
        lines = [f"{file}: {counted(len(found.steps), 'step')}, seed {found.seed}"]
        print_text("\n".join([*lines, *(f"  {step}" for step in found.steps)]))
