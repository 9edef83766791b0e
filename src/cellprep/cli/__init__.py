"""`cellprep` on the command line: arguments to calls.

Exit codes: 0 done, 1 a bug (or conflicts, leaks, damage: what was looked for is there), 2 refused,
130 stopped.
"""

from __future__ import annotations

import warnings

import click

from .._version import __version__
from . import look, make, recipes
from .commands import SETTINGS, Commands, completion


@click.group(cls=Commands, context_settings=SETTINGS)
@click.version_option(__version__, prog_name="cellprep")
def main() -> None:
    """Turn a messy labelled image set into a training set that makes a classifier
    generalise.

    Example: cellprep demo
    """
    warnings.filterwarnings("ignore", module="PIL")  # an image that is bad is named as such


for _command in (
    *(make.demo, look.inspect, look.report, look.duplicates, look.leaks, recipes.recipe),
    *(make.run, make.convert, make.split, look.verify, completion("cellprep")),
):
    main.add_command(_command)
