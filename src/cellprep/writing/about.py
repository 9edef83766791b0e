"""What a writer states about a data set, such as its licence: no program can find that out."""

from __future__ import annotations

from collections.abc import Mapping

from ..arrays import check_texts
from ..errors import CellprepError, known_settings

KNOWN = ("name", "description", "license", "source", "citation", "url")


def check_about(about: Mapping[str, str] | None) -> dict[str, str]:
    """The statements, refused unless each is a text under a known name.

    >>> check_about({"license": "CC BY 4.0"})
    {'license': 'CC BY 4.0'}
    >>> check_about({"licence": "CC BY 4.0"})
    Traceback (most recent call last):
    ...
    cellprep.errors.CellprepError: `about` has no setting 'licence'; did you mean 'license'? ...
    """
    if about is None:
        return {}
    if not isinstance(about, Mapping):
        raise CellprepError(
            f'`about` must be a dict such as {{"license": "CC BY 4.0"}}, got {about!r}'
        )
    known_settings("`about`", map(str, about), KNOWN)
    for name, text in about.items():
        if not isinstance(text, str) or not text.strip():
            raise CellprepError(f"`about`: {name} must be a text, got {text!r}; or leave it out")
    check_texts([*about.values()], "`about`")
    return {name: text.strip() for name, text in about.items()}
