"""The commands of `cellprep`, a file each or a file for two that share code.

They turn arguments into calls of the library.
"""

from . import demo, duplicates, inspect, profile, recipe, report, split, verify, write

COMMANDS = (
    *(demo.demo, inspect.inspect, profile.profile, report.report),
    *(duplicates.duplicates, duplicates.leaks),
    *(recipe.recipe, write.run, write.convert, split.split, verify.verify),
)
"""In the order of a job; `--help` sorts them by name."""
