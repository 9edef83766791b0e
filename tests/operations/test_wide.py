"""RandAugment with other operations than KerasCV's: strengths, records, masks, replay."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellprep as cp
from cellprep.arrays import Images
from cellprep.operations import KERAS_CV, OPERATIONS, WIDE, Slots, Strength
from cellprep.plan.draws import Draw, id_keys, row_keys
from cellprep.synthetic import draw_cells

from .images import noisy

ALL_OR_NOTHING = ("auto_contrast", "equalization", "flip", "channel_shuffle", "invert")
few = settings(max_examples=10, deadline=None, derandomize=True)


def step(names: Any, magnitude: float = 0.5, stddev: float = 0.0, slots: int = 1) -> cp.RandAugment:
    """Every slot of a single copy is used."""
    return cp.RandAugment(1, slots, magnitude, stddev, 1.0, False, operations=names)


def sampled(made: cp.RandAugment, n: int = 400) -> dict[str, np.ndarray]:
    return made.sample(Draw(3, "rand_augment", row_keys(id_keys(np.arange(n)), np.ones(n, int))))


def augmented(images: Images, made: cp.RandAugment) -> Images:
    cells = cp.Dataset.from_arrays(images, np.zeros(len(images), int))
    return cp.Recipe([made], 1)(cells).images[:]


def by_operation(images: Images, name: str, a=0.0, b=0.0, c=0.0) -> Images:
    """All images after one operation."""
    values = np.broadcast_to(np.array([a, b, c], np.float32), (len(images), 1, 3))
    out = images.copy()
    Slots(np.full((len(images), 1), name), values).run(OPERATIONS, out, np.arange(len(images)))
    return out


@pytest.fixture(scope="module")
def small() -> Images:
    """Without 255, which solarization inverts at any magnitude, as in keras-cv."""
    return draw_cells([2] * 8, side=64, seed=5)[0].clip(max=254)


# -- strength --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WIDE)
def test_operations_change_nothing_at_magnitude_0_and_more_at_higher_ones(name, small) -> None:
    changes = [
        np.abs(augmented(small, step([name], magnitude)).astype(int) - small).mean()
        for magnitude in (0, 0.2, 0.5, 1)
    ]
    if name in ALL_OR_NOTHING:
        assert len(set(changes)) == 1
    else:
        assert changes[0] <= {"jpeg": 2, "cutout": 0.1}.get(name, 0)
        assert all(weaker < stronger for weaker, stronger in pairwise(changes))


@pytest.mark.parametrize("name", ["rotation", "hue", "saturation", "color_cast", "stain"])
def test_differences_are_as_likely_in_both_directions(name) -> None:
    found = sampled(step([name]))
    middle = {"saturation": 1, "color_cast": 1}.get(name, 0)
    for column in ("value_1", "threshold_1", "third_1") if "third_1" in found else ("value_1",):
        offsets = np.sort(found[column] - middle)
        assert np.abs(offsets + offsets[::-1]).max() < 0.15 * np.ptp(offsets)


@pytest.mark.parametrize("name", ["zoom", "gamma"])
def test_factors_are_as_likely_as_their_reciprocals(name) -> None:
    logarithms = np.sort(np.log(sampled(step([name]))["value_1"]))
    assert np.abs(logarithms + logarithms[::-1]).max() < 0.15 * np.ptp(logarithms)


def test_all_flips_and_orders_of_channels_occur() -> None:
    for name, most in {"flip": 3, "channel_shuffle": 5}.items():
        values, counts = np.unique(sampled(step([name]))["value_1"], return_counts=True)
        assert values.tolist() == [*range(most)]
        assert counts.min() > 400 / most / 2


def test_operations_are_sampled_uniformly() -> None:
    made = sampled(cp.RandAugment(operations="wide"), 4000)
    names, counts = np.unique([made[f"op_{slot}"] for slot in (1, 2, 3)], return_counts=True)
    assert {*names} == {*WIDE, "none"}
    expected = np.where(names == "none", 12000 / 11, 12000 * 10 / 11 / len(WIDE))
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max())


# -- formulas --------------------------------------------------------------------------------------


@few
@given(st.floats(0.5, 2, width=32))
def test_gamma_equals_scikit_image(exponent) -> None:
    exposure = pytest.importorskip("skimage.exposure")
    images = noisy(9, 30)
    expected = exposure.adjust_gamma(images.astype(float) / 255, exponent) * 255
    assert np.abs(by_operation(images, "gamma", exponent) - expected).max() <= 0.5


@few
@given(st.lists(st.floats(0.5, 1.5, width=32), min_size=3, max_size=3))
def test_a_color_cast_scales_each_channel(factors) -> None:
    images = noisy(9, 31)
    expected = np.clip(images * np.array(factors), 0, 255)
    assert np.abs(by_operation(images, "color_cast", *factors) - expected).max() <= 0.5001


@few
@given(st.integers(1, 30), st.integers(1, 30))
def test_invert_and_flips_equal_numpy(height, width) -> None:
    images = noisy(height, width)
    assert (by_operation(images, "invert") == 255 - images).all()
    for direction, expected in enumerate(
        (images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1])
    ):
        assert (by_operation(images, "flip", direction) == expected).all()
        moved = Slots(np.full((3, 1), "flip"), np.full((3, 1, 3), direction, np.float32))
        masks = moved.move_masks(OPERATIONS, images[..., 0] > 99, np.arange(3))
        assert (masks == (expected[..., 0] > 99)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (3, 2), (8, 260)], ids=str)
def test_images_of_any_size_are_augmented_as_if_alone(size) -> None:
    images = np.concatenate([noisy(*size)] * 10)
    cells = cp.Dataset.from_arrays(images, np.zeros(30, int))
    made = cp.Recipe([cp.RandAugment(1, 4, 0.9, 0.3, 1, False, operations="wide")])(cells)
    assert made.images[:].shape == images.shape
    assert (made.images[17] == made.images[:][17]).all()
    assert (made.images[:] != images).any(axis=(1, 2, 3)).sum() > 20


# -- records ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "further"),
    [
        ("keras-cv", set()),
        (["rotation", "posterize"], set()),
        (["gaussian_noise"], {"seed"}),
        (["color_cast", "invert"], {"third_1"}),
        ("wide", {"third_1", "seed"}),
    ],
)
def test_the_third_parameter_and_seeds_are_recorded_where_needed(names, further) -> None:
    assert set(sampled(step(names), 3)) == {"op_1", "value_1", "threshold_1"} | further


def test_parameters_of_kerascv_do_not_depend_on_the_other_operations() -> None:
    alone, among = (sampled(step(names)) for names in (["contrast"], ["contrast", "stain"]))
    both = among["op_1"] == "contrast"
    assert 150 < both.sum() < 250
    assert (alone["value_1"] == among["value_1"])[both].all()


def test_a_written_set_is_replayed(small, tmp_path) -> None:
    cells = cp.Dataset.from_arrays(small, np.zeros(len(small), int))
    made = cp.Recipe([cp.RandAugment(copies=2, operations="wide")], seed=4)(cells)
    cp.write(made, tmp_path / "out", progress=False)
    assert (cp.replay(tmp_path / "out", cells) == made.images[:]).all()


def test_noise_differs_between_slots_copies_and_images() -> None:
    images = np.full((2, 16, 16, 3), 128, np.uint8)
    out = augmented(images, cp.RandAugment(2, 1, 0.3, 0, 1, False, operations=["gaussian_noise"]))
    once = augmented(images, step(["gaussian_noise"], 0.3))
    twice = augmented(images, step(["gaussian_noise"], 0.3, slots=2))
    noise = [*out.astype(int) - 128, *twice.astype(int) - once]
    correlations = np.corrcoef([one.ravel() for one in noise])
    assert np.abs(correlations[~np.eye(len(noise), dtype=bool)]).max() < 0.15


# -- masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WIDE)
def test_masks_follow_the_operations_that_move_pixels(name) -> None:
    """The image of a mask is moved to where its mask is, but for pixels halfway between."""
    masks = np.zeros((12, 32, 32), bool)
    masks[:, 6:20, 9:27] = True
    images = np.repeat(masks[..., None].astype(np.uint8) * 255, 3, axis=-1)
    cells = cp.Dataset.from_arrays(images, np.zeros(12, int), ["cell"], masks=masks)
    made = cp.Recipe([step([name])], 2)(cells)
    if OPERATIONS[name].moves:
        levels = made.images[:][..., 0].astype(int)
        sure = np.abs(levels - 127.5) > 90
        assert (made.masks[:] == (levels > 127))[sure].all()
        assert (made.masks[:] != masks).any()
    else:
        assert (made.masks[:] == masks).all()


# -- refusals --------------------------------------------------------------------------------------


def test_unknown_operations_are_refused_with_the_nearest_name() -> None:
    for names, hint in {("rotate",): "rotation", ("hue", "gama"): "gamma", "wyde": "wide"}.items():
        with pytest.raises(cp.CellprepError, match=f"did you mean '{hint}'"):
            cp.RandAugment(operations=names)
    with pytest.raises(cp.CellprepError, match="'stain_deposit'"):
        cp.RandAugment(operations=["stain_deposit"])  # only Corrupt has a strength for it
    with pytest.raises(cp.CellprepError, match=r"'rotation'; .*Allowed: auto_contrast"):
        cp.RandAugment(operations="wide", engine="keras_cv")


def test_recipes_name_the_list() -> None:
    made = cp.Recipe.from_toml('[[steps]]\nstep = "RandAugment"\noperations = "wide"')
    assert made.steps == (cp.RandAugment(operations="wide"),)
    assert cp.Recipe.from_toml(made.to_toml()) == made


def test_more_operations_than_numpy_has_dimensions_are_sampled() -> None:
    found = sampled(step([*KERAS_CV, *WIDE] * 3), 50)
    assert {*found["op_1"]} <= {*WIDE}


def test_a_strength_may_be_used_directly() -> None:
    """As pictures and other packages do."""
    one = np.ones(2, np.float32)
    strength = Strength(one / 2, one / 2, one, 128 * one, -one, one, 0.5)
    assert [x.tolist() for x in OPERATIONS["grid_mask"].sampled(strength)] == [
        pytest.approx([0.3, 0.3]),
        pytest.approx([0.2, 0.2]),
        [45, 45],
    ]
