"""Checks that every step must pass. A new step is tested once it is added to the list."""

from __future__ import annotations

import typing
from dataclasses import MISSING, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellprep as cp
from cellprep.dataset.decisions import hex_digests
from cellprep.plan import plan as plan_module
from cellprep.plan.digests import digest
from cellprep.steps import checks, settings
from cellprep.steps.checks import applied, by_row
from cellprep.steps.step import STEPS as STEPS_BY_NAME
from cellprep.steps.step import Step

PROFILE = cp.Profile(256, 250, (96, 96), (190, 160, 170.5), (40, 52, 28), 0.2, (230,) * 3, (9,) * 3)
MESSY = checks.messy_cells()
DECISIONS = [
    {"id": str(MESSY[2][row]), "digest": hex_digests(digest(MESSY[0][[row]]))[0], **more}
    for row, more in enumerate(
        ({"decision": "keep"}, {"decision": "drop"}, {"decision": "relabel", "label": "3"})
    )
]
STEPS = [
    cp.Adapt(PROFILE),
    cp.Adapt(PROFILE, scale=False, color="background"),
    cp.Adapt(PROFILE, color="channels"),
    cp.Decide(DECISIONS),
    cp.Dedupe(),
    cp.Dedupe(on_conflict="majority", on_duplicate="keep", max_copies=None),
    cp.Balance(),
    cp.Balance(target="median", jitter=cp.Jitter(rotation=20, fill="edge")),
    cp.Balance(target={"0": 9, "3": 2}, jitter=None),
    cp.Jitter(),
    cp.Jitter(rotation=90, shift=0.3, zoom=0.5, flip="horizontal", fill=127),
    cp.MatchColors(),
    cp.MatchColors(strength=1, color_space="lab", rate=0.5),
    cp.StainJitter(),
    cp.StainJitter(strength=0.6, offset=0.2, matrix="macenko", rate=0.5),
    cp.Crop(32),
    cp.Crop(21, center="image", resize_to=40),
    cp.Crop(70, fill="reflect"),
    cp.Crop(33, resize_to=32, fill=9),
    cp.Crop(1.3, resize_to=40, relative=True),
    cp.Crop(2, resize_to=32, fill="edge", relative=True),
    cp.KMeansMask(),
    cp.KMeansMask(n_clusters=2, color_space="lab", foreground="darkest", background=255),
    cp.KMeansMask(target="nucleus"),
    cp.RandAugment(copies=2),
    cp.RandAugment(copies=1, num_ops=5, magnitude=0.9, rate=1.0, keep_originals=False),
    cp.RandAugment(copies=1, num_ops=4, operations="wide"),
    cp.Corrupt(),
    cp.Corrupt(severity=4, corruption="bubble"),
    cp.Corrupt("heavy"),
    cp.Corrupt("heavy", corruption="augmix"),
    cp.Corrupt("heavy", copies=2),
    cp.Corrupt(copies=1, keep_originals=False),
]
every_step = pytest.mark.parametrize("step", STEPS, ids=repr)
# Adapt, Balance, Dedupe and MatchColors depend on other rows by design; Decide names some.
ON_OTHER_ROWS = cp.Adapt | cp.Balance | cp.Decide | cp.Dedupe | cp.MatchColors
every_pixel_step = pytest.mark.parametrize(
    "step",
    [step for step in STEPS if not isinstance(step, ON_OTHER_ROWS)],
    ids=repr,
)
KINDS = sorted({type(step) for step in STEPS}, key=lambda kind: kind.__name__)


@pytest.fixture(scope="module")
def messy() -> checks.Cells:
    """Synthetic cells with duplicates, unequal classes and text ids."""
    return MESSY


def test_every_step_is_in_the_list() -> None:
    own = {kind for kind in STEPS_BY_NAME.values() if kind.__module__.startswith("cellprep.")}
    assert own == set(KINDS)


@every_step
def test_shape_and_dtype_are_as_declared(step, messy) -> None:
    checks.check_shape_and_dtype(step, messy)


@every_step
def test_input_arrays_are_not_changed(step, messy) -> None:
    checks.check_input_is_unchanged(step, messy)


@every_step
def test_row_order_is_irrelevant(step, messy) -> None:
    checks.check_row_order_is_irrelevant(step, messy)


@every_step
def test_workers_executor_and_block_size_are_irrelevant(step, messy, monkeypatch) -> None:
    checks.check_workers_are_irrelevant(step, messy)
    expected = applied(step, messy).to_arrays(workers=1)[0]
    monkeypatch.setattr(plan_module, "_BLOCK_BYTES", 48 * 48 * 3 * 5)
    assert (applied(step, messy).to_arrays(workers=2)[0] == expected).all()


@every_step
def test_batches_equal_single_images_and_slices(step, messy) -> None:
    checks.check_a_batch_equals_single_images(step, messy)


@every_pixel_step
def test_other_images_are_irrelevant_to_a_pixel_step(step, messy) -> None:
    some = np.arange(0, len(messy[0]), 4)
    alone, among = by_row(applied(step, messy, at=some)), by_row(applied(step, messy))
    assert alone.items() <= among.items()


@every_step
def test_moved_masks_have_the_shape_of_images(step, messy) -> None:
    checks.check_masks_keep_the_shape_of_images(step, messy)


@every_step
def test_the_seed_changes_only_random_steps(step, messy) -> None:
    first, again, other = (by_row(applied(step, messy, seed=seed)) for seed in (5, 5, 6))
    assert first == again
    is_random = type(step).sample is not Step.sample or isinstance(
        step, cp.Balance | cp.MatchColors
    )
    assert (first != other) == is_random


@every_step
def test_epochs_have_the_same_rows_and_epoch_0_is_the_data_set_itself(step, messy) -> None:
    checks.check_epochs(step, messy)


@every_step
def test_steps_survive_toml_pickle_and_repr(step, messy) -> None:
    checks.check_saved_forms(step, messy)
    recipe = cp.Recipe([step, step], seed=2**62)
    assert eval(repr(recipe), {**vars(cp), **STEPS_BY_NAME}) == recipe


@every_step
def test_a_step_is_frozen_and_documents_its_settings(step, messy) -> None:
    checks.check_it_is_frozen_and_documented(step, messy)


def test_a_repeated_step_has_its_own_random_numbers(messy) -> None:
    images, step = messy[0], cp.Jitter()
    names = [f"{name}.rotation" for name in ("jitter", "jitter-2")]
    twice = cp.Recipe([step, step])(cp.Dataset.from_arrays(images, np.zeros(len(images), int)))
    record = twice.plan.evaluate(np.arange(len(images)))[1]
    assert not np.intersect1d(*(record[name].values for name in names)).size


IDENTITIES = [
    cp.Jitter(rotation=0, shift=0, zoom=0, flip=False),
    cp.MatchColors(strength=0),
    cp.StainJitter(strength=0, offset=0),
    cp.StainJitter(strength=0, offset=0, matrix="macenko"),
    cp.RandAugment(copies=1, rate=0.0, keep_originals=False),
    cp.RandAugment(copies=1, keep_originals=True),
    cp.Crop(48, center="image"),
    cp.Crop(48, resize_to=48),
    cp.Dedupe(on_conflict="keep", on_duplicate="keep", max_copies=None),
    cp.Balance(target={"0": 4}),
]


@pytest.mark.parametrize("step", IDENTITIES, ids=repr)
def test_identity_settings_do_not_change_images(step, messy) -> None:
    dataset = applied(step, messy)
    kept = (
        dataset.copies == 0
        if isinstance(step, cp.RandAugment) and step.keep_originals
        else (np.ones(len(dataset), bool))
    )
    before = messy[0]
    if isinstance(step, cp.Balance):
        kept = dataset.copies == 0
    assert (dataset.to_arrays()[0][kept] == before).all()


FUNCTIONS = {
    cp.adapt: cp.Adapt,
    cp.decide: cp.Decide,
    cp.dedupe: cp.Dedupe,
    cp.balance: cp.Balance,
    cp.jitter: cp.Jitter,
    cp.stain_jitter: cp.StainJitter,
    cp.match_colors: cp.MatchColors,
    cp.corrupt: cp.Corrupt,
    cp.crop: cp.Crop,
    cp.kmeans_mask: cp.KMeansMask,
    cp.rand_augment: cp.RandAugment,
}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_functions_have_the_settings_and_results_of_their_steps(function, messy) -> None:
    import inspect

    kind = FUNCTIONS[function]
    assert function.__name__ == kind.key()
    parameters = inspect.signature(function).parameters
    for field in fields(kind):
        default = parameters[field.name].default
        expected = field.default_factory() if callable(field.default_factory) else field.default
        if expected is not MISSING:
            assert default == expected
    images, labels, ids = messy
    required = {
        cp.Adapt: {"profile": PROFILE},
        cp.Crop: {"size": 30},
        cp.Decide: {"decisions": DECISIONS},
    }.get(kind, {})
    given_labels = (labels,) if "labels" in parameters else ()
    extra = {"seed": 9} if "seed" in parameters else {}
    extra |= {"ids": ids} if "ids" in parameters else {}
    result = function(images, *given_labels, **required, **extra)
    expected = applied(kind(**required), messy, seed=extra.get("seed", 0)).to_arrays()
    if given_labels:
        assert (result[1] == expected[1]).all()
        result = result[0]
    assert (result == expected[0]).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_settings_out_of_range_are_refused(kind) -> None:
    step = next(step for step in STEPS if isinstance(step, kind))
    for field in fields(kind):
        for wrong in (-1, "sideways", float("nan"), 10**10, [1]):
            with pytest.raises(cp.CellprepError, match=field.name):
                replace(step, **{field.name: wrong})


@given(st.lists(st.sampled_from(STEPS), max_size=4), st.integers(0, 2**63 - 1))
def test_recipes_survive_toml_and_repr(steps, seed) -> None:
    recipe = cp.Recipe(steps, seed)
    if steps:
        assert cp.Recipe.from_toml(recipe.to_toml()) == recipe
    assert eval(repr(recipe), {**vars(cp), **STEPS_BY_NAME}) == recipe


def test_numpy_scalars_are_accepted_as_settings() -> None:
    step = cp.RandAugment(copies=np.int64(2), magnitude=np.float32(0.25))
    balance = cp.Balance(target={3: np.int64(7)})
    recipe = cp.Recipe([step, balance], np.int64(3))
    assert recipe == cp.Recipe(
        [cp.RandAugment(copies=2, magnitude=0.25), cp.Balance(target={"3": 7})], 3
    )
    assert cp.Recipe.from_toml(recipe.to_toml()) == recipe


def test_the_error_for_a_mistyped_setting_suggests_the_nearest() -> None:
    with pytest.raises(cp.CellprepError, match="RandAugment has no setting 'copeis'; did you mean"):
        cp.RandAugment(copeis=3)
    with pytest.raises(cp.CellprepError, match="did you mean 'rotation'"):
        replace(cp.Jitter(), rotations=3)


def test_the_error_for_a_mistyped_recipe_suggests_the_nearest() -> None:
    for text, hint in {
        '[[steps]]\nstep = "RandAugmnt"': "RandAugment",
        '[[steps]]\nstep = "RandAugment"\ncopy = 3': "copies",
        'seeds = 3\n[[steps]]\nstep = "Dedupe"': "seed",
        '[[steps]]\nstep = "Dedupe"\non_conflict = "dorp"': "drop",
        '[[step]]\nstep = "Dedupe"': "steps",
        '[[steps]]\nstep = "Balance"\n[steps.jitter]\nrotations = 3': "rotation",
    }.items():
        with pytest.raises(cp.CellprepError, match=f"did you mean '{hint}'"):
            cp.Recipe.from_toml(text)


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_the_mask_of_a_one_coloured_image_is_empty(value) -> None:
    images = np.full((2, 20, 24, 3), value, np.uint8)
    assert not cp.segment(images).any()
    assert (cp.kmeans_mask(images, background=9) == 9).all()


def test_kmeans_mask_multiplies_images_by_the_masks_of_segment(cells) -> None:
    images, _ = cells
    masks = cp.segment(images)
    assert masks.shape == images.shape[:3]
    assert masks.dtype == bool
    assert (cp.kmeans_mask(images) == images * masks[..., None]).all()
    assert 0.02 < masks.mean() < 0.6


@pytest.mark.parametrize("step", [cp.Jitter(), cp.RandAugment(copies=2)], ids=str)
def test_reading_source_images_in_place_equals_apply_to_on_copies(step, cells) -> None:
    """Steps that read images in place, without copying them first, give the same results."""
    images, labels = cells
    dataset = cp.Recipe([step], seed=3)(cp.Dataset.from_arrays(images, labels))
    plan = dataset.plan
    at = np.arange(len(plan))[::-1]
    made, record = plan.evaluate(at)
    rows = np.flatnonzero(next(iter(record.values())).present)
    parameters = {name.split(".")[1]: column.values[rows] for name, column in record.items()}
    copies = images[plan.origin(at)].copy()
    step.apply_to(copies, rows, copies, rows, **parameters)
    assert np.array_equal(made, copies)


def test_a_printed_data_set_lists_settings_that_are_not_the_default() -> None:
    cells = cp.Dataset.from_arrays(np.zeros((2, 8, 8, 3), np.uint8), [0, 1])
    steps = [cp.Dedupe(), cp.Balance(jitter=None), cp.Crop(6, center="image"), cp.Balance()]
    assert repr(cp.Recipe(steps)(cells)).endswith(
        "then Dedupe(), Balance(jitter=None), Crop(size=6, center='image'), Balance())"
    )


@every_step
def test_a_step_called_like_a_function_names_the_function(step) -> None:
    with pytest.raises(cp.CellprepError, match=rf"cellprep\.{step.key()}\(images"):
        step(np.zeros((2, 8, 8, 3), np.uint8))


def test_choices_are_literals_that_editors_can_offer() -> None:
    """A constraint that only cellprep knows would be typed as any text."""
    for kind in KINDS:
        for name, allowed in settings.options(kind).items():
            if any(isinstance(constraint, settings.OneOf) for _, constraint in allowed):
                hint = str(typing.get_type_hints(kind)[name])
                assert "Literal[" in hint, f"{kind.__name__}.{name}: {hint}"
