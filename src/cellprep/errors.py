"""Errors about inputs, and checks that raise them: one line with what to do.

The names in `__all__` are public: steps of other packages may use them.
"""

from __future__ import annotations

import difflib
import importlib
import tomllib
from collections.abc import Iterable, Mapping
from numbers import Integral
from types import ModuleType
from typing import Any

__all__ = [
    "BadImagesError",
    "CellprepError",
    "CellprepWarning",
    "MissingExtraError",
    "check_seed",
    "counted",
    "in_range",
    "known_settings",
    "nearest",
    "one_of",
    "parse_toml",
    "require",
]


class CellprepError(ValueError):
    """An input, setting or path that cannot be used; the message says what to do."""


class CellprepWarning(UserWarning):
    """Something that works, but not as well as it could; the message says what to do."""


class MissingExtraError(CellprepError):
    """A library of an extra is not installed."""


class BadImagesError(CellprepError):
    """Images that cannot be read or do not fit.

    Attributes
    ----------
    causes : dict
        The file and cause of every bad image.
    places : tuple of int
        Their positions in the source, if known.
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
        # By default, unpickling would pass the message as `causes`.
        return BadImagesError, (self.causes, "", self.places)


def counted(n: int, one: str, many: str = "") -> str:
    """A number and its noun.

    >>> counted(1, "image"), counted(2000, "class", "classes")
    ('1 image', '2,000 classes')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The hint at the end of an unknown-name error.

    >>> nearest("copeis", ["copies", "num_ops"])
    "did you mean 'copies'? Allowed: copies, num_ops"
    """
    names = list(allowed)
    by_folded = {candidate.casefold(): candidate for candidate in names}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    hint = f"did you mean '{by_folded[found[0]]}'? " if found else ""
    return f"{hint}Allowed: {', '.join(names)}"


def known_settings(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse the name of a setting that does not exist.

    Raises
    ------
    CellprepError

    Examples
    --------
    >>> known_settings("training", ["epochs"], ["epochs", "seed"])
    >>> known_settings("training", ["epoch"], ["epochs"])
    Traceback (most recent call last):
    cellprep.errors.CellprepError: training has no setting 'epoch'; did you mean 'epochs'? ...
    """
    allowed = list(known)
    for name in names:
        if name not in allowed:
            raise CellprepError(f"{what} has no setting {name!r}; {nearest(name, allowed)}")


def one_of(setting: str, value: object, allowed: Iterable[str]) -> None:
    """Refuse a value that is not one of the allowed names.

    Raises
    ------
    CellprepError

    Examples
    --------
    >>> one_of("center", "cell", ["cell", "image"])
    >>> one_of("center", "cel", ["cell", "image"])
    Traceback (most recent call last):
    cellprep.errors.CellprepError: `center` got 'cel'; did you mean 'cell'? Allowed: cell, image
    """
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        raise CellprepError(f"`{setting}` got {value!r}; {nearest(str(value), names)}")


def in_range(setting: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Refuse a number outside [low, high]; with `whole`, anything but an int.

    Raises
    ------
    CellprepError

    Examples
    --------
    >>> in_range("copies", 3, 0, 100, whole=True)
    >>> in_range("magnitude", 1.5, 0, 1)
    Traceback (most recent call last):
    cellprep.errors.CellprepError: `magnitude` must be a number in [0, 1], got 1.5
    """
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        raise CellprepError(f"`{setting}` must be {what} in [{low}, {high}], got {value!r}")


def check_seed(seed: object) -> int:
    """The seed as an int; refused unless it is a whole number in [0, 2**63).

    >>> check_seed(7)
    7
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) < 2**63:
        raise CellprepError(f"`seed` must be a whole number in [0, 2**63), got {seed!r}")
    return int(seed)


def require(module: str, package: str) -> ModuleType:
    """An optional module, or an error with the command that installs it.

    >>> require("json", "cellprep[json]").dumps([1])
    '[1]'

    Raises
    ------
    MissingExtraError
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"this needs {module}: pip install '{package}' ({error})"
        ) from error


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """The values of a text in TOML, without numbers so long that Python does not print them.

    Raises
    ------
    CellprepError
        For any other text; `what` was expected is named.

    Examples
    --------
    >>> parse_toml("seed = 3", "a recipe")
    {'seed': 3}
    """
    try:
        saved = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # Python refuses to parse very long numbers
        raise CellprepError(f"this is not {what} in TOML: {error}") from None
    waiting: list[Any] = [saved]
    while waiting:
        value = waiting.pop()
        if isinstance(value, int) and value.bit_length() > 1024:
            raise CellprepError(f"this is not {what}: a whole number has more than 300 digits")
        waiting += value.values() if isinstance(value, dict) else ()
        waiting += value if isinstance(value, list) else ()
    return saved
