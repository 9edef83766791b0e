"""`Step`, the base class of all steps: settings that can be saved, and an effect on a plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar, NoReturn, Self, cast

from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from ..errors import CellprepError, check_seed, known_settings, nearest
from ..plan.draws import Draw
from ..plan.nodes import Parameters
from ..plan.plan import Plan
from ..plan.profile import Profile
from ..plan.source import Shape, Source
from ..system.plugins import Registry
from . import settings

STEPS: Registry[type[Step]] = Registry("cellprep.steps", {})
"""Steps that a recipe may name: all subclasses of `Step`, including those of entry points."""


@dataclass(frozen=True)
class Step:
    """A frozen dataclass whose fields are its settings.

    A step that changes pixels implements `apply`, and `sample` if it is random:

        @dataclass(frozen=True)
        class Brighten(Step):
            most: Annotated[float, Range(0, 1)] = 0.2

            def sample(self, draw):
                return {"factor": draw.uniform("factor", 1, 1 + self.most)}

            def apply(self, images, factor):
                return np.clip(images * factor[:, None, None, None], 0, 255).astype(np.uint8)

    A step that drops or repeats images, or changes only some of them, implements `extend` instead,
    with the verbs of `Plan`. Field types may have constraints (`Annotated[int, Range(1, 9)]`,
    `Literal["a", "b"]`), which are checked on construction.
    """

    finds_parameters: ClassVar[bool] = False
    """Whether the step implements `find`."""
    finds_masks: ClassVar[bool] = False
    """Whether the step has `masks`; `apply` gets these, or those read with the images."""

    def __init_subclass__(cls) -> None:
        STEPS.add(cls.__name__, cls)

    def __new__(cls, *args: Any, **given: Any) -> Self:
        known_settings(f"step {cls.__name__}", given, [field.name for field in fields(cls)])
        return super().__new__(cls)

    def __post_init__(self) -> None:
        settings.check(self)

    # -- effect ----------------------------------------------------------------------------------

    def read_from(self, source: Source) -> Source:
        """The source as it is read if this is the first step. Default: as it is."""
        return source

    def extend(self, plan: Plan) -> Plan:
        """The plan with this step appended. Default: it is applied to every image."""
        return plan.map(self).note(len(plan), self.summary())

    def summary(self) -> str:
        """A few words for `Dataset.changes`."""
        return f"{type(self).__name__} applied to every image"

    def out_shape(self, shape: Shape) -> Shape:
        """The shape of an image after the step, or a CellprepError if the shape is not allowed."""
        return shape

    def sample(self, draw: Draw) -> Parameters:
        """Random parameters of each row of `draw`: (m,) arrays by name. They are recorded."""
        return {}

    def sample_from(self, draw: Draw, table: Parameters) -> Parameters:
        """As `sample`, for a step whose `extend` passes a table of other images to `Plan.map`."""
        raise NotImplementedError

    def find(self, images: Images, masks: Masks | None) -> Parameters:
        """Parameters found in the images or their known masks. They are recorded too."""
        return {}

    def masks(self, images: Images) -> Masks:
        """(m, height, width) bool, for a step that `finds_masks`."""
        raise NotImplementedError

    def apply(self, images: Images, **parameters: Any) -> Images:
        """The images (m, height, width, 3) after the step; may work in place."""
        raise NotImplementedError

    def apply_to(
        self, images: Images, at: Positions, out: Images, to: Positions, **parameters: Any
    ) -> None:
        """Write the result for ``images[at]`` to ``out[to]``; indices in `to` are unique.

        `out` may be `images` if `to` equals `at`. Default: call `apply`. A step whose kernel works
        on rows of a batch avoids a copy by overriding this.
        """
        out[to] = self.apply(images[at], **parameters)

    def move_masks(self, masks: Masks, rows: Positions, **parameters: NDArray[Any]) -> Masks:
        """The masks; those at `rows` are moved as the step moves images, to the nearest pixel."""
        return masks

    def __call__(self, *given: Any, **options: Any) -> NoReturn:
        """Refused: steps are applied by a recipe, and functions of their names take arrays."""
        name, key = type(self).__name__, self.key()
        raise CellprepError(
            f"{name} is a step, not a function; apply it to a data set by Recipe([{name}(...)])"
            f"(cells), or call cellprep.{key}(images, ...) for arrays"
        )

    def short(self) -> str:
        """The step with those settings that differ from their defaults.

        Examples
        --------
        >>> from cellprep import RandAugment
        >>> RandAugment(copies=2).short()
        'RandAugment(copies=2)'
        """
        changed = []
        for field in fields(self):
            value = getattr(self, field.name)
            made = field.default_factory
            if value != (field.default if made is MISSING else made()):
                changed.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(changed)})"

    # -- saved form ------------------------------------------------------------------------------

    @classmethod
    def key(cls) -> str:
        """The name of the step's function and prefix of its records and random numbers."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    def to_dict(self) -> dict[str, Any]:
        """The saved form: `step` and its settings; None is omitted if the default, else False."""
        saved: dict[str, Any] = {"step": type(self).__name__}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.metadata.get("omit_default") and value == field.default:
                continue
            if isinstance(value, Step | Profile):
                value = {k: v for k, v in value.to_dict().items() if k != "step"}
            if value is None:
                if field.default is None:
                    continue
                value = False
            if isinstance(value, Mapping):
                value = dict(value)
            saved[field.name] = list(value) if isinstance(value, tuple) else value
        return saved

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> Step:
        """The step from its saved form; the error for an unknown name suggests the nearest one.

        Examples
        --------
        >>> Step.from_dict({"step": "Dedupe", "on_duplicates": "one"})
        Traceback (most recent call last):
        ...
        cellprep.errors.CellprepError: step Dedupe has no setting 'on_duplicates'; did you mean
        'on_duplicate'? Allowed: on_conflict, on_duplicate, max_copies, near, symmetries, hash
        """
        name = saved.get("step")
        if name is None:
            raise CellprepError('a step of a recipe needs its name: step = "Dedupe"')
        if not isinstance(name, str) or name not in STEPS:
            raise CellprepError(f"there is no step {name!r}; {nearest(str(name), sorted(STEPS))}")
        return _build(STEPS[name], {k: v for k, v in saved.items() if k != "step"})


def _build(kind: type[Step], given: Mapping[str, Any]) -> Step:
    known = {field.name: field for field in fields(kind)}
    known_settings(f"step {kind.__name__}", given, known)
    ready = {name: _loaded(kind, known[name], value) for name, value in given.items()}
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


def _loaded(kind: type[Step], field: Field[Any], value: Any) -> Any:
    """A setting from a recipe file: a step is a table, and None is False (TOML has no null)."""
    allowed = [option for option, _ in settings.options(cast(Any, kind))[field.name]]
    step = next((one for one in allowed if isinstance(one, type) and issubclass(one, Step)), None)
    if step is not None and isinstance(value, Mapping):
        return _build(step, value)
    return None if value is False and type(None) in allowed else value


@dataclass(frozen=True)
class Applied:
    """A step and its seed: a change that `Dataset.then` applies."""

    step: Step
    seed: int

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def read_from(self, source: Source) -> Source:
        return self.step.read_from(source)

    def __call__(self, plan: Plan) -> Plan:
        return self.step.extend(plan.begin(self.step.key(), self.step.to_dict(), int(self.seed)))

    def __str__(self) -> str:
        return self.step.short()
