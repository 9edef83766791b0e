"""What command-line programs built on cellprep share: `cellprep`, `cellmodels`, yours.

- `Commands`, `SETTINGS`: a click group that reports every error in one line on standard error and
  suggests the nearest command or option.
- `one_line_errors`, `resumable`: decorators that do the same for what a command raises.
- `options`, `PATH`, `OneOf`: options with one name and one meaning in all programs.
- `completion`: the command that prints a shell's completion script.
- `print_text`, `print_json`, `csv_text`, `in_bytes`, `in_time`: output, coloured and wrapped in a
  terminal.

Exit codes: 0 done, 1 internal error (or a check that found something), 2 refused, 130 interrupted.
"""

from .completion import completion
from .errors import one_line_errors, resumable
from .group import SETTINGS, Commands
from .options import PATH, OneOf, options
from .output import csv_text, in_bytes, in_time, print_json, print_text

__all__ = [
    "PATH",
    "SETTINGS",
    "Commands",
    "OneOf",
    "completion",
    "csv_text",
    "in_bytes",
    "in_time",
    "one_line_errors",
    "options",
    "print_json",
    "print_text",
    "resumable",
]
