"""Registries of what other packages may add: steps, operations, formats.

A package adds one by an entry point of the registry's group [1]_. In its `pyproject.toml`:

    [project.entry-points."cellprep.steps"]
    Sharpen = "my_package:Sharpen"

References
----------
.. [1] https://packaging.python.org/specifications/entry-points
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from ..errors import CellprepError

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Built-in things by name, and those that installed packages add.

    Entry points are looked up once, when they are first needed, and each is imported when somebody
    asks for it by name.

    Parameters
    ----------
    group : str
        Of the entry points, such as "cellprep.steps".
    built_in : mapping of str
        An entry point of the same name is refused.

    Examples
    --------
    >>> kinds = Registry("cellprep.no_such_group", {"first": 1})
    >>> kinds["first"], "second" in kinds, list(kinds)
    (1, False, ['first'])
    """

    def __init__(self, group: str, built_in: Mapping[str, T]) -> None:
        self.group = group
        self._loaded = dict(built_in)
        self._found: dict[str, EntryPoint] | None = None

    def add(self, name: str, thing: T) -> None:
        """Add one, or replace the one of this name."""
        self._loaded[name] = thing

    def __getitem__(self, name: str) -> T:
        if name not in self._loaded:
            self._loaded[name] = self._load(self._entry_points()[name])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._loaded or name in self._entry_points()

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._loaded), **self._entry_points()})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._found is None:
            found = entry_points(group=self.group)
            for entry in found:
                loaded = self._loaded.get(entry.name)
                if loaded is not None and getattr(loaded, "__module__", "") != entry.module:
                    raise CellprepError(
                        f"entry point {entry.value!r} of group {self.group!r} is called "
                        f"{entry.name!r}, which exists already; rename or uninstall it"
                    )
            self._found = {entry.name: entry for entry in found}
        return self._found

    def _load(self, entry: EntryPoint) -> T:
        try:
            loaded: T = entry.load()
        except Exception as error:  # another package's code may raise anything
            raise CellprepError(
                f"{entry.name!r} of group {self.group!r} cannot be imported from {entry.value!r}: "
                f"{error}; update or uninstall that package"
            ) from error
        return loaded
