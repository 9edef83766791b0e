"""What goes wrong because of an input, said in one line: asked, received, allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class CellprepError(ValueError):
    """An input, setting or path that cannot be used; the message says what to do."""


class MissingExtraError(CellprepError):
    """A library that an extra installs is not there."""


class BadImagesError(CellprepError):
    """Images that cannot be read or do not fit.

    Attributes
    ----------
    causes : dict
        File of every bad image, and why it is bad.
    places : tuple of int
        Their places in the source, where they are known.
    """

    def __init__(
        self, causes: Mapping[str, str], advice: str = "", places: Iterable[int] = ()
    ) -> None:
        self.causes = dict(causes)
        self.places = tuple(places)
        shown = "; ".join(f"{name}: {cause}" for name, cause in list(self.causes.items())[:3])
        more = f"; and {len(self.causes) - 3} more" if len(self.causes) > 3 else ""
        count = f"{len(self.causes)} image{'s' * (len(self.causes) > 1)} cannot be used"
        super().__init__(f"{count}: {shown}{more}{'. ' + advice if advice else ''}")

    def __reduce__(self) -> tuple[type[BadImagesError], tuple[object, ...]]:
        # The default would pass the message as causes.
        return BadImagesError, (self.causes, "", self.places)


def counted(n: int, one: str, many: str = "") -> str:
    """A number and what it counts.

    >>> counted(1, "image"), counted(2000, "class", "classes")
    ('1 image', '2,000 classes')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The hint that ends an unknown-name error.

    >>> nearest("copeis", ["copies", "num_ops"])
    "did you mean 'copies'? Allowed: copies, num_ops"
    """
    names = list(allowed)
    by_folded = {candidate.casefold(): candidate for candidate in names}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    guess = f"did you mean '{by_folded[found[0]]}'? " if found else ""
    return f"{guess}Allowed: {', '.join(names)}"


def one_of(setting: str, value: object, allowed: Iterable[str]) -> None:
    """Refuse a value that is not among the named ones."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        raise CellprepError(f"`{setting}` got {value!r}; {nearest(str(value), names)}")


def in_range(setting: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Refuse a number outside [low, high]; `whole` asks for an int."""
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        raise CellprepError(f"`{setting}` must be {what} in [{low}, {high}], got {value!r}")
