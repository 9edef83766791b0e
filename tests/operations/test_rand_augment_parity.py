"""RandAugment against keras-cv 0.9.0 itself: each operation, each draw, the whole and both engines.

Where keras-cv is not matched, and why:

- Levels. keras-cv returns floats; the kernels round each slot to 8 bits, halves up. This is all
  that tells one operation from the other here. Over several slots it adds up, most of all before
  equalization, which cuts keras-cv's floats off to whole levels.
- Contrast at magnitude 0. There keras-cv's policy still takes a factor within 0.001 of 1.

Where keras-cv is not what its own documentation says, cellprep does as keras-cv does:

- `RandAugment` says that every magnitude is drawn from N(magnitude, magnitude_stddev). Contrast,
  brightness and translation are uniform within the magnitude, whatever the deviation.
- `RandAugment` says that rate=10/11 leaves an image alone "10/11th of the time"; it is 1/11.
- `Solarization` says "above this threshold"; a value at the threshold is inverted too.
- `RandomShear` says that 0.3 shears "30% of the way across the image". It moves row y by 0.3 y
  pixels, so up to 30 % of the *height*, and the top row stays; the sign is drawn, although "all
  provided values should be positive".
- `Equalization` is modelled on PIL's `ImageOps.equalize` but takes the count of the rarest level
  off the total, where PIL takes that of the brightest.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cellprep import Dataset, RandAugment, Recipe
from cellprep.arrays import Images
from cellprep.operations import KERAS_CV, NONE, Slots, engines
from cellprep.operations import keras_cv as keras_cv_engine
from cellprep.plan.draws import Draw, id_keys, row_keys
from cellprep.synthetic import draw_cells

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
why = "the parity tests need keras-cv 0.9.0 and TensorFlow: pip install 'cellprep[keras-cv]'"
tf = pytest.importorskip("tensorflow", reason=why, exc_type=ImportError)
keras_cv = pytest.importorskip("keras_cv", reason=why, exc_type=ImportError)
stats = pytest.importorskip("scipy.stats")

BCCD = Path(__file__).resolve().parents[3] / "shared" / "data" / "bccd"
FULL = (0, 255)


@cache
def pictures(height: int, width: int) -> Images:
    """Cells (photographs where there are any), noise, and images of one and of two values."""
    cells = [Image.open(path).convert("RGB") for path in sorted(BCCD.glob("*/*.jpg"))[::60]]
    cells = cells or [Image.fromarray(cell) for cell in draw_cells([1] * 8)[0]]
    shape = (height, width, 3)
    rng = np.random.default_rng(0)
    return np.stack(
        [
            *(np.asarray(cell.resize((width, height)), np.uint8) for cell in cells),
            rng.integers(0, 256, shape, np.uint8),
            *(np.full(shape, value, np.uint8) for value in (0, 90, 255)),
            np.where(rng.random(shape) < (0.5, 0.05, 0.999), np.uint8(7), np.uint8(250)),
        ]
    )


SIZES = [(96, 96), (64, 97)]


def filled(operation: str, shape: tuple[int, int], value: float, threshold: float) -> Slots:
    """One operation in all slots of all images."""
    values = np.zeros((*shape, 3), np.float32)
    values[..., :2] = value, threshold
    return Slots(np.full(shape, operation), values)


def sent(images: Images, slots: Slots) -> Images:
    """All images after their operations; the arrays stay."""
    out = images.copy()
    every = np.arange(len(out))
    engines.run("native", out, every, out, every, slots)
    return out


def by_kernel(name: str, images: Images, value: float = 0.0, threshold: float = 0.0) -> Images:
    return sent(images, filled(name, (len(images), 1), value, threshold))


def by_keras_cv(
    name: str, images: Images, value: float = 0.0, threshold: float = 0.0
) -> NDArray[np.float32]:
    """keras-cv's own layer, called as its users call it, with factors that leave no choice."""
    layers, fixed = keras_cv.layers, keras_cv.core.ConstantFactorSampler
    if name.startswith("shear"):  # a call would draw the sign; `test_shear_call` sees to that
        sizes = {"shear_x": None, "shear_y": None, name: tf.fill((len(images), 1), value)}
        return np.asarray(
            layers.RandomShear(1.0, 1.0).augment_images(
                tf.constant(images, tf.float32), transformations=sizes
            )
        )
    make = {
        "auto_contrast": lambda: layers.AutoContrast(FULL),
        "equalization": lambda: layers.Equalization(FULL),
        "solarization": lambda: layers.Solarization(FULL, fixed(value), fixed(threshold)),
        "color_degeneration": lambda: layers.RandomColorDegeneration(fixed(value)),
        "contrast": lambda: layers.RandomContrast(FULL, (1 - value, value - 1)),
        "brightness": lambda: layers.RandomBrightness((value, value), FULL),
        "translation_x": lambda: layers.RandomTranslation(0.0, (value, value)),
        "translation_y": lambda: layers.RandomTranslation((value, value), 0.0),
    }
    return np.asarray(make[name]()(images))


# -- each operation ----------------------------------------------------------------------------

CASES = [
    ("auto_contrast", 0.0, 0.0),
    ("equalization", 0.0, 0.0),
    *(
        ("solarization", *case)
        for case in [
            (0.0, 0.0),
            (0.0, 255.0),
            (0.0, 256.0),
            (110.0, 0.0),
            (110.0, 255.0),
            (33.3, 77.7),
        ]
    ),
    *(("color_degeneration", value, 0.0) for value in (0.0, 0.37, 0.5, 1.0)),
    *(("contrast", value, 0.0) for value in (0.0, 0.3, 1.0, 1.7, 2.0)),
    *(("brightness", value, 0.0) for value in (-1.0, -0.3, 0.0, 0.44, 1.0)),
    *((f"shear_{axis}", value, 0.0) for axis in "xy" for value in (-1.0, -0.27, 0.0, 0.5, 1.0)),
    *(
        (f"translation_{axis}", value, 0.0)
        for axis in "xy"
        for value in (-1.0, -0.31, 0.0, 0.313, 1.0)
    ),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("name", "value", "threshold"), CASES)
def test_operation(name: str, value: float, threshold: float, size: tuple[int, int]) -> None:
    images = pictures(*size)
    theirs = by_keras_cv(name, images, value, threshold)
    difference = np.abs(by_kernel(name, images, value, threshold) - theirs)
    assert difference.mean() <= 0.6
    assert (difference <= 2).mean() >= 0.99
    assert difference.max() <= 0.51, "more than the rounding"


@pytest.mark.parametrize("name", ["shear_x", "shear_y"])
def test_shear_call(name: str) -> None:
    """The call of a shear is the explicit route of `by_keras_cv`, with either sign."""
    images = np.repeat(pictures(64, 97)[:1], 16, axis=0)
    factors = {
        "x_factor": 0,
        "y_factor": 0,
        name[-1] + "_factor": keras_cv.core.ConstantFactorSampler(0.27),
    }
    called = np.asarray(keras_cv.layers.RandomShear(**factors, seed=1)(images))
    plus, minus = (
        np.abs(called - by_keras_cv(name, images, value)).max((1, 2, 3)) < 1e-3
        for value in (0.27, -0.27)
    )
    assert (plus ^ minus).all()
    assert plus.any()
    assert minus.any()


# -- the draws ---------------------------------------------------------------------------------

N = 30_000
SETTINGS = [(0.5, 0.15), (0.85, 0.3)]
SAMPLED = KERAS_CV[2:]
"""The operations that take a value."""


@cache
def ours(magnitude: float = 0.5, stddev: float = 0.15, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Three slots as columns: op, value and threshold, each (N, 3)."""
    draw = Draw(seed, "rand_augment", row_keys(id_keys(np.arange(N)), np.ones(N, np.int64)))
    step = RandAugment(magnitude=magnitude, magnitude_stddev=stddev)
    drawn = step.sample(draw)
    return {
        name: np.stack([drawn[f"{name}_{slot}"] for slot in (1, 2, 3)], axis=1)
        for name in ("op", "value", "threshold")
    }


def values_of(name: str, column: str = "value", **settings: float) -> NDArray[np.float32]:
    drawn = ours(**settings)
    return drawn[column][drawn["op"] == name]


@cache
def by_policy(magnitude: float, stddev: float) -> dict[str, NDArray[np.float32]]:
    """N draws of each operation by the layers of keras-cv's RandAugment, in our units."""
    tf.random.set_seed(1)
    layers = keras_cv.layers.RandAugment.get_standard_policy(FULL, magnitude, stddev, seed=2)
    drawn = {
        name: layer.get_random_transformation_batch(N)
        for name, layer in zip(KERAS_CV, layers, strict=True)
    }
    solarization = drawn["solarization"]
    samples = {
        "solarization": solarization["additions"],
        "threshold": solarization["thresholds"],
        "color_degeneration": drawn["color_degeneration"],
        "contrast": drawn["contrast"],
        "brightness": drawn["brightness"] / 255,
        "shear_x": drawn["shear_x"]["shear_x"],
        "shear_y": drawn["shear_y"]["shear_y"],
        "translation_x": drawn["translation_x"]["width_translations"],
        "translation_y": drawn["translation_y"]["height_translations"],
    }
    return {name: np.asarray(sample).ravel() for name, sample in samples.items()}


@cache
def by_theory(magnitude: float, stddev: float) -> dict[str, NDArray[np.float64]]:
    """As many quantiles of each distribution."""
    at = (np.arange(N) + 0.5) / N
    normal = stats.norm(magnitude, stddev).ppf(at).clip(0, 1)
    uniform = magnitude * (2 * at - 1)
    either = np.concatenate([-normal[::2], normal[::2]])
    return {
        "solarization": 110 * normal,
        "threshold": 255 * (1 - stats.norm(magnitude, stddev).ppf(at)).clip(0, 1),
        "color_degeneration": normal,
        "contrast": 1 + uniform,
        "brightness": uniform,
        "shear_x": either,
        "shear_y": either,
        "translation_x": uniform,
        "translation_y": uniform,
    }


def alike(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return bool(stats.ks_2samp(one, other).pvalue > 1e-3)


def unrelated(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return bool(stats.chi2_contingency(stats.contingency.crosstab(one, other).count).pvalue > 1e-3)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("reference", [by_policy, by_theory])
@pytest.mark.parametrize("name", [*SAMPLED, "threshold"])
def test_values(name: str, reference: Any, setting: tuple[float, float]) -> None:
    theirs = reference(*setting)[name]
    mine, wrong = (
        values_of("solarization", "threshold", magnitude=magnitude, stddev=setting[1])
        if name == "threshold"
        else values_of(name, magnitude=magnitude, stddev=setting[1])
        for magnitude in (setting[0], setting[0] - 0.05)
    )
    assert len(mine) > 7000
    assert alike(mine, theirs)
    assert mine.min() >= theirs.min() - 1e-2 * np.ptp(theirs)
    assert mine.max() <= theirs.max() + 1e-2 * np.ptp(theirs)
    assert not alike(wrong, theirs), "a magnitude that is off by 0.05 must show"


def test_operations_are_uniform() -> None:
    def uniform(op: NDArray[Any]) -> bool:
        return bool(stats.chisquare([(op == name).sum() for name in KERAS_CV]).pvalue > 1e-3)

    for op in ours()["op"].T:
        assert set(op) == {*KERAS_CV, "none"}
        assert uniform(op)
        assert not uniform(op[(op != "contrast") | (np.arange(N) % 8 > 0)]), "an eighth less"


def test_used_slots_are_binomial() -> None:
    def binomial(used: NDArray[np.int64], rate: float) -> bool:
        expected = N * stats.binom(3, rate).pmf(np.arange(4))
        return bool(stats.chisquare(np.bincount(used, minlength=4), expected).pvalue > 1e-3)

    used = (ours()["op"] != "none").sum(axis=1)
    assert binomial(used, 10 / 11)
    assert not binomial(used, 9 / 10)


def test_slots_rows_and_seeds_are_independent() -> None:
    one, two, three = ours()["op"].T
    pairs = [
        (one, two),
        (one, three),
        (two, three),
        (one[1:], one[:-1]),
        (one, ours(seed=1)["op"][:, 0]),
    ]
    for left, right in pairs:
        assert unrelated(left, right)
        assert not unrelated(left, np.where(np.arange(len(left)) % 20, right, left)), "5 % copied"


def test_values_are_independent() -> None:
    """Of each other in two slots, of the sign, and an addition of its threshold."""
    drawn = ours()
    flat = np.isin(drawn["op"], ["brightness", "translation_x", "translation_y"])
    both = flat[:, 0] & flat[:, 1]
    shear = np.concatenate([values_of("shear_x"), values_of("shear_y")])
    for one, other in [
        (drawn["value"][both, 0], drawn["value"][both, 1]),
        (np.sign(shear), np.abs(shear)),
        (values_of("solarization"), values_of("solarization", "threshold")),
    ]:
        assert stats.spearmanr(one, other).pvalue > 1e-3
        assert (
            stats.spearmanr(one, 0.9 * stats.rankdata(other) + 0.1 * stats.rankdata(one)).pvalue
            < 1e-3
        )


# -- the whole ---------------------------------------------------------------------------------


def test_whole() -> None:
    """Many copies of one image scatter as those of keras-cv's RandAugment do."""
    image = pictures(96, 96)[0][::3, ::3]

    def described(images: NDArray[Any]) -> list[NDArray[np.float64]]:
        images = images.astype(np.float64)
        return [
            images.mean((1, 2, 3)),
            images.std((1, 2, 3)),
            np.abs(images - image).mean((1, 2, 3)),
            images[:, 0, 0, 0],
        ]

    tf.random.set_seed(3)
    # One by one: over a batch keras-cv's draws come in an order that depends on the threads.
    one = tf.function(keras_cv.layers.RandAugment(FULL, rate=10 / 11, seed=4))
    theirs = described(np.stack([one(image) for _ in range(1500)]))
    source = Dataset.from_arrays(image[None], [0])

    def alikes(magnitude: float) -> list[bool]:
        step = RandAugment(copies=4000, magnitude=magnitude, keep_originals=False)
        mine = described(Recipe([step])(source).to_arrays()[0])
        return [alike(*pair) for pair in zip(mine, theirs, strict=True)]

    assert all(alikes(0.5))
    assert not any(alikes(0.7)[:3])


# -- both engines ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_ops", "mean", "within_2"), [(1, 1e-4, 1.0), (3, 0.6, 0.95)], ids=["one", "three"]
)
def test_engines_agree(num_ops: int, mean: float, within_2: float) -> None:
    """To a level in one slot; in three, rounding in between moves some values over a threshold."""
    images = pictures(64, 97)
    made, records = {}, {}
    for engine in ("native", "keras_cv"):
        recipe = Recipe([RandAugment(copies=20, num_ops=num_ops, engine=engine)], seed=5)
        plan = recipe(Dataset.from_arrays(images, np.zeros(len(images), np.int64))).plan
        made[engine], records[engine] = plan.evaluate(np.arange(len(plan)))
    native, theirs = records.values()
    assert list(native) == list(theirs)
    for name, column in native.items():
        assert all(map(np.array_equal, column, theirs[name]))
    ops = native["rand_augment.op_1"]
    assert set(ops.values[ops.present]) == {*KERAS_CV, "none"}
    difference = np.abs(made["native"].astype(int) - made["keras_cv"])
    assert difference.mean() <= mean
    assert (difference <= 2).mean() >= within_2


@pytest.mark.parametrize(("name", "value", "threshold"), CASES)
def test_engines_round_alike(name: str, value: float, threshold: float) -> None:
    """Halves too: 0.3 of the range is 76.5 levels."""
    images = pictures(64, 97)
    theirs = keras_cv_engine.run(images, filled(name, (len(images), 1), value, threshold))
    assert (by_kernel(name, images, value, threshold) == theirs).mean() > 0.99


@pytest.mark.parametrize("engine", ["native", "keras_cv"])
def test_order_is_free(engine: str) -> None:
    images = pictures(64, 97)
    ids = np.arange(len(images)) + 100
    order = np.random.default_rng(1).permutation(len(images))

    def made(at: NDArray[np.intp]) -> dict[tuple[int, int], Any]:
        source = Dataset.from_arrays(images[at], np.zeros(len(at), np.int64), ids=ids[at])
        copies = Recipe([RandAugment(copies=4, engine=engine)], seed=6)(source)
        return dict(
            zip(
                zip(copies.ids.tolist(), copies.copies.tolist(), strict=True),
                copies.to_arrays()[0],
                strict=True,
            )
        )

    plain, permuted = made(np.arange(len(images))), made(order)
    assert plain.keys() == permuted.keys()
    assert all(np.array_equal(plain[key], permuted[key]) for key in plain)


# -- what must hold for any image --------------------------------------------------------------

few = settings(max_examples=25, deadline=None, derandomize=True)
IDENTITIES = [
    ("solarization", 0.0, 256.0),
    ("color_degeneration", 0.0, 0.0),
    ("contrast", 1.0, 0.0),
    *((name, 0.0, 0.0) for name in KERAS_CV[5:]),
]


@st.composite
def batches(draw: Any) -> tuple[Images, Any]:
    """A few small images of one size, of many values or few."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 20)), draw(st.integers(1, 20)), 3)
    levels = draw(st.sampled_from([1, 2, 256]))
    images = rng.choice(rng.integers(0, 256, levels, np.uint8), shape)
    return images, rng


@few
@given(batches())
def test_identities(batch: tuple[Images, Any]) -> None:
    images, _ = batch
    assert np.array_equal(sent(images, filled(NONE, (len(images), 3), 0.7, 0.7)), images)
    for identity in IDENTITIES:
        assert np.array_equal(by_kernel(identity[0], images, *identity[1:]), images), identity


def random_slots(rng: Any, n: int) -> Slots:
    values = np.zeros((n, 3, 3), np.float32)
    values[..., 0] = rng.random((n, 3))
    values[..., 1] = 255 * rng.random((n, 3))
    return Slots(rng.choice(np.array([*KERAS_CV, NONE]), (n, 3)), values)


@few
@given(batches())
def test_other_rows_stay(batch: tuple[Images, Any]) -> None:
    images, rng = batch
    rows = rng.permutation(len(images))[: len(images) // 2]
    slots = random_slots(rng, len(rows))
    some = images.copy()
    engines.run("native", some, rows, some, rows, slots)
    expected = images.copy()
    expected[rows] = sent(images[rows], slots)
    assert np.array_equal(some, expected)


@few
@given(batches())
def test_batch_equals_singles(batch: tuple[Images, Any]) -> None:
    images, rng = batch
    before, slots = images.copy(), random_slots(rng, len(images))
    together = sent(images, slots)
    assert np.array_equal(images, before)
    for i, image in enumerate(together):
        row = slice(i, i + 1)
        alone = Slots(slots.operations[row], slots.values[row])
        assert np.array_equal(sent(images[row], alone)[0], image)
