"""`Step`, the one base of all steps: settings that can be saved, and one method."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

import numpy as np

from ..errors import CellprepError, check_seed, nearest
from ..plan.plan import Plan


@dataclass(frozen=True)
class Step(ABC):
    """A frozen dataclass whose fields are its settings.

    A step is either this class or final. What it does to a data set is said in `extend` with the
    verbs of `Plan`; a step that changes pixels also has the methods of `PixelStep`.
    """

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        for name in settings:
            _check_setting(cls, name)
        return super().__new__(cls)

    @abstractmethod
    def extend(self, plan: Plan) -> Plan:
        """The plan with this step at its end."""

    @classmethod
    def key(cls) -> str:
        """The name of the step's lower-case function, records and random numbers."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    def to_dict(self) -> dict[str, Any]:
        """The saved form: `step` and the settings; an unset one is left out, a None is False."""
        saved: dict[str, Any] = {"step": type(self).__name__}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Step):
                value = {k: v for k, v in value.to_dict().items() if k != "step"}
            if value is None:
                if field.default is None:
                    continue
                value = False
            saved[field.name] = dict(value) if isinstance(value, Mapping) else value
        return saved

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> Step:
        """The step of a saved form; an unknown name or setting is refused with the nearest one.

        Examples
        --------
        >>> Step.from_dict({"step": "Dedupe", "on_duplicates": "one"})
        Traceback (most recent call last):
        ...
        cellprep.errors.CellprepError: step Dedupe has no setting 'on_duplicates'; did you mean
        'on_duplicate'? Allowed: on_conflict, on_duplicate, max_copies, near, symmetries, hash
        """
        kinds = {kind.__name__: kind for kind in Step.__subclasses__()}
        name = saved.get("step")
        if name is None:
            raise CellprepError('a step of a recipe needs its name: step = "Dedupe"')
        if not isinstance(name, str) or name not in kinds:
            raise CellprepError(f"there is no step {name!r}; {nearest(str(name), sorted(kinds))}")
        return _build(kinds[name], {k: v for k, v in saved.items() if k != "step"})


def plain_settings(step: Step) -> None:
    """Settings from NumPy as Python's own, and a copy of a mapping: what a recipe file can hold."""
    for field in fields(step):
        value = getattr(step, field.name)
        if isinstance(value, np.generic):
            object.__setattr__(step, field.name, value.item())
        if isinstance(value, Mapping):
            plain = {str(k): v.item() if isinstance(v, np.generic) else v for k, v in value.items()}
            object.__setattr__(step, field.name, plain)


def _check_setting(kind: type[Step], name: str) -> None:
    known = [field.name for field in fields(kind)]
    if name not in known:
        raise CellprepError(f"step {kind.__name__} has no setting {name!r}; {nearest(name, known)}")


def _build(kind: type[Step], settings: Mapping[str, Any]) -> Step:
    known = {field.name: field for field in fields(kind)}
    ready: dict[str, Any] = {}
    for name, value in settings.items():
        _check_setting(kind, name)
        field = known[name]
        factory = field.default_factory
        default = field.default if factory is MISSING else factory()
        if isinstance(default, Step) and isinstance(value, Mapping):
            value = _build(type(default), value)
        elif value is False and "None" in str(field.type):  # TOML has no null
            value = None
        ready[name] = value
    missing = [
        name
        for name, field in known.items()
        if name not in ready and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise CellprepError(f"step {kind.__name__} needs `{missing[0]}`")
    try:
        return kind(**ready)
    except CellprepError as error:
        raise CellprepError(f"step {kind.__name__}: {error}") from None


@dataclass(frozen=True)
class Applied:
    """A step with the seed that it was applied with: a move of a `Dataset`."""

    step: Step
    seed: int

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def __call__(self, plan: Plan) -> Plan:
        return self.step.extend(plan.begin(self.step.key(), self.step.to_dict(), int(self.seed)))

    def __str__(self) -> str:
        return repr(self.step)
