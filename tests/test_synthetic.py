"""Synthetic cells: reproducible from the seed; the messy set has exactly the documented faults."""

from collections import Counter

import numpy as np
import pytest

from cellprep import synthetic
from cellprep.synthetic import CLASS_NAMES, draw_cells, draw_messy_set, mess_counts

ONE_OF_EACH = [1] * 8


@pytest.fixture(scope="module")
def messy():
    """The default number of images, but small ones: the faults do not depend on `side`."""
    return draw_messy_set(2400, side=32, seed=3)


def groups(images, labels):
    """The labels of each group of equal images, largest group first."""
    found = {}
    for image, label in zip(images, labels.tolist(), strict=True):
        found.setdefault(image.tobytes(), []).append(label)
    return sorted(found.values(), key=len, reverse=True)


def test_images_and_labels_have_the_requested_counts_shapes_and_dtypes():
    counts = [2, 0, 1, 0, 3, 0, 0, 1]
    images, labels = draw_cells(counts, side=40, seed=1)
    assert images.shape == (7, 40, 40, 3)
    assert images.dtype == np.uint8
    assert labels.shape == (7,)
    assert labels.dtype == np.int64
    assert np.bincount(labels, minlength=8).tolist() == counts


def test_default_side_is_96_and_zero_counts_give_no_images():
    assert draw_cells(ONE_OF_EACH)[0].shape == (8, 96, 96, 3)
    assert draw_cells([0] * 8)[0].shape == (0, 96, 96, 3)


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_images():
    first, again, other = (draw_cells(ONE_OF_EACH, seed=seed)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert all((a != b).any() for a, b in zip(first, other, strict=True))


def test_an_image_does_not_depend_on_the_counts():
    few, few_labels = draw_cells([0, 2, 0, 1, 0, 0, 0, 2], side=48, seed=2)
    many, many_labels = draw_cells([3, 4, 1, 2, 0, 1, 2, 3], side=48, seed=2)
    for label in (1, 3, 7):
        kept = few[few_labels == label]
        np.testing.assert_array_equal(kept, many[many_labels == label][: len(kept)])


def test_all_cells_differ_and_none_is_blank():
    images, _ = draw_cells([20] * 8, side=32)
    assert len(np.unique(images, axis=0)) == len(images)
    assert images.std(axis=(1, 2, 3)).min() > 10


def test_classes_differ_in_their_amount_of_dark_stain():
    """Platelets have the least, dense lymphocytes more, large basophils the most."""
    images, labels = draw_cells([12] * 8, seed=4)
    dark = (images[..., 1] < 110).mean(axis=(1, 2))
    platelet, lymphocyte, basophil = (
        dark[labels == CLASS_NAMES.index(name)].mean()
        for name in ("platelet", "lymphocyte", "basophil")
    )
    assert platelet < lymphocyte < basophil


def test_mess_counts_of_13759_images_are_those_of_the_competition():
    good, cartoons, cards = mess_counts(13_759)
    assert good == [852, 2181, 1085, 2026, 849, 993, 2330, 1643]
    assert (sum(good), cartoons, cards) == (11_959, 200, 200)


@pytest.mark.parametrize("n", [400, 401, 777, 2400, 5003, 40_000])
def test_mess_counts_are_proportional_and_add_up(n):
    good, cartoons, cards = mess_counts(n)
    assert sum(good) + 8 * cartoons + cards == n
    assert cartoons >= 2
    assert cards >= 5
    share = np.array(synthetic.GOOD_COUNTS) / 11_959
    np.testing.assert_allclose(good, share * sum(good), atol=1)
    assert cartoons == cards == pytest.approx(n * 200 / 13_759, abs=0.5)


def test_messy_set_has_exactly_the_documented_repeats(messy):
    images, labels = messy
    found = groups(images, labels)
    assert images.shape == (2400, 32, 32, 3)
    assert (labels.shape, labels.dtype) == ((2400,), np.int64)
    assert Counter(found[0]) == dict.fromkeys(range(8), 35)
    assert Counter(found[1]) == {CLASS_NAMES.index("monocyte"): 35}
    pairs = [group for group in found[2:] if len(group) > 1]
    assert sorted(pairs) == [[label, label] for label in range(8)]
    good = np.array(mess_counts(2400)[0])
    planted = np.full(8, 35) + 35 * (np.arange(8) == CLASS_NAMES.index("monocyte"))
    assert np.bincount(labels).tolist() == (good + planted).tolist()


def test_messy_set_is_shuffled_by_the_seed(messy):
    small = [draw_messy_set(400, side=16, seed=seed) for seed in (3, 3, 4)]
    for first, again in zip(small[0], small[1], strict=True):
        np.testing.assert_array_equal(first, again)
    assert (small[0][1] != small[2][1]).any()
    assert (np.diff(messy[1]) != 0).mean() > 0.5  # sorted rows would change class 7 times


@pytest.mark.parametrize("n", [399, 0, -1])
def test_a_messy_set_of_fewer_than_400_images_is_refused(n):
    with pytest.raises(ValueError, match=rf"at least 400 images, got {n}"):
        draw_messy_set(n)


def test_wrong_counts_and_sides_are_refused():
    with pytest.raises(ValueError, match=r"8 numbers >= 0, got \[1, 2\]"):
        draw_cells([1, 2])
    with pytest.raises(ValueError, match=r"8 numbers >= 0, got .*-1"):
        draw_cells([0] * 7 + [-1])
    with pytest.raises(ValueError, match=r"at least 16 pixels, got 8"):
        draw_cells(ONE_OF_EACH, side=8)
