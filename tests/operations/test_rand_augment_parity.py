"""RandAugment computes what keras-cv 0.9.0 computes: each operation, whole copies, both engines.

Known differences from keras-cv, and why:

- Levels. keras-cv returns floats; the kernels round to 8 bits after each slot, halves up. For a
  single operation this is the only difference. Over several slots it accumulates, especially
  before equalization, which truncates keras-cv's floats to whole levels.
- Contrast at magnitude 0. keras-cv's policy still uses a factor within 0.001 of 1.

Where keras-cv differs from its own documentation, cellprep follows the code of keras-cv:

- `RandAugment` states that every magnitude is sampled from N(magnitude, magnitude_stddev).
  Contrast, brightness and translation are uniform up to the magnitude, whatever the deviation.
- `RandAugment` states that rate=10/11 leaves an image unchanged "10/11th of the time"; it is 1/11.
- `Solarization` states "above this threshold"; a value equal to the threshold is inverted too.
- `RandomShear` states that 0.3 shears "30% of the way across the image". It moves row y by 0.3 y
  pixels, so up to 30 % of the *height*, and the top row does not move; the sign is random,
  although "all provided values should be positive".
- `Equalization` is modelled on PIL's `ImageOps.equalize`, but subtracts the count of the rarest
  level from the total, where PIL subtracts that of the brightest.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellprep import Dataset, RandAugment, Recipe
from cellprep.arrays import Images
from cellprep.operations import KERAS_CV
from cellprep.operations import keras_cv as keras_cv_engine

from .rand_augment import FULL, by_kernel, filled, pictures, same_distribution

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
why = "the parity tests need keras-cv 0.9.0 and TensorFlow: pip install 'cellprep[keras-cv]'"
tf = pytest.importorskip("tensorflow", reason=why, exc_type=ImportError)
keras_cv = pytest.importorskip("keras_cv", reason=why, exc_type=ImportError)

SIZES = [(96, 96), (64, 97)]


def by_keras_cv(
    name: str, images: Images, value: float = 0.0, threshold: float = 0.0
) -> NDArray[np.float32]:
    """keras-cv's layer, called as its users call it, with constant factors."""
    layers, fixed = keras_cv.layers, keras_cv.core.ConstantFactorSampler
    if name.startswith("shear"):  # a call samples the sign; see the test of shears called as layers
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
def test_each_operation_equals_keras_cv_but_for_rounding(
    name: str, value: float, threshold: float, size: tuple[int, int]
) -> None:
    images = pictures(*size)
    expected = by_keras_cv(name, images, value, threshold)
    difference = np.abs(by_kernel(name, images, value, threshold) - expected)
    assert difference.mean() <= 0.6
    assert (difference <= 2).mean() >= 0.99
    assert difference.max() <= 0.51, "more than rounding"


@pytest.mark.parametrize("name", ["shear_x", "shear_y"])
def test_shears_called_as_layers_equal_explicit_transformations(name: str) -> None:
    """`by_keras_cv` passes transformations; a call gives the same, with either sign."""
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


# -- whole copies ------------------------------------------------------------------------------


def test_copies_are_distributed_as_those_of_keras_cv() -> None:
    """Statistics of many copies of one image have the same distribution."""
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
    # One by one: in a batch, the order of keras-cv's random numbers depends on its threads.
    one = tf.function(keras_cv.layers.RandAugment(FULL, rate=10 / 11, seed=4))
    reference = described(np.stack([one(image) for _ in range(1500)]))
    source = Dataset.from_arrays(image[None], [0])

    def same(magnitude: float) -> list[bool]:
        step = RandAugment(copies=4000, magnitude=magnitude, keep_originals=False)
        own = described(Recipe([step])(source).to_arrays()[0])
        return [same_distribution(*pair) for pair in zip(own, reference, strict=True)]

    assert all(same(0.5))
    assert not any(same(0.7)[:3])


# -- both engines ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_ops", "mean", "within_2"), [(1, 1e-4, 1.0), (3, 0.6, 0.95)], ids=["one", "three"]
)
def test_both_engines_give_almost_the_same_images_and_equal_records(
    num_ops: int, mean: float, within_2: float
) -> None:
    """Within a level in one slot; in three, rounding moves some values over a threshold."""
    images = pictures(64, 97)
    made, records = {}, {}
    for engine in ("native", "keras_cv"):
        recipe = Recipe([RandAugment(copies=20, num_ops=num_ops, engine=engine)], seed=5)
        plan = recipe(Dataset.from_arrays(images, np.zeros(len(images), np.int64))).plan
        made[engine], records[engine] = plan.evaluate(np.arange(len(plan)))
    native, reference = records.values()
    assert list(native) == list(reference)
    for name, column in native.items():
        assert all(map(np.array_equal, column, reference[name]))
    ops = native["rand_augment.op_1"]
    assert set(ops.values[ops.present]) == {*KERAS_CV, "none"}
    difference = np.abs(made["native"].astype(int) - made["keras_cv"])
    assert difference.mean() <= mean
    assert (difference <= 2).mean() >= within_2


@pytest.mark.parametrize(("name", "value", "threshold"), CASES)
def test_both_engines_round_in_the_same_way(name: str, value: float, threshold: float) -> None:
    """Including halves: 0.3 of the range is 76.5 levels."""
    images = pictures(64, 97)
    expected = keras_cv_engine.run(images, filled(name, (len(images), 1), value, threshold))
    assert (by_kernel(name, images, value, threshold) == expected).mean() > 0.99


@pytest.mark.parametrize("engine", ["native", "keras_cv"])
def test_row_order_is_irrelevant_with_either_engine(engine: str) -> None:
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
