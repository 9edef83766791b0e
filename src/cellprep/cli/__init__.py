"""The program `cellprep`: `commands` turns arguments into calls of the library.

Exit codes: 0 done, 1 internal error (or conflicts, leaks or damage found), 2 refused,
130 interrupted.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import click

from .._version import __version__
from .commands import COMMANDS
from .shared import SETTINGS, Commands, completion

__all__ = ["main"]


@click.group(cls=Commands, context_settings=SETTINGS, invoke_without_command=True)
@click.version_option(__version__, prog_name="cellprep")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Turn a messy labelled image set into a training set that makes a classifier
    generalise.

    Example: cellprep demo
    """
    warnings.filterwarnings("ignore", module="PIL")  # bad images are reported by name instead
    if ctx.invoked_subcommand is None:
        from .next_step import next_step

        click.echo(ctx.get_help())
        command, reason = next_step(Path.cwd())
        click.echo(f"\nNext step, as {reason}:\n  {command}")


for _command in (*COMMANDS, completion("cellprep")):
    main.add_command(_command)
