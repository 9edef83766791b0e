"""RandAugment samples operations and parameters as keras-cv 0.9.0 does, and independently."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellprep import RandAugment
from cellprep.operations import KERAS_CV
from cellprep.plan.draws import Draw, id_keys, row_keys

from .rand_augment import FULL, same_distribution

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
why = "the parity tests need keras-cv 0.9.0 and TensorFlow: pip install 'cellprep[keras-cv]'"
tf = pytest.importorskip("tensorflow", reason=why, exc_type=ImportError)
keras_cv = pytest.importorskip("keras_cv", reason=why, exc_type=ImportError)
stats = pytest.importorskip("scipy.stats")

N = 30_000
SETTINGS = [(0.5, 0.15), (0.85, 0.3)]
WITH_PARAMETER = KERAS_CV[2:]
"""The operations that have a parameter."""


@cache
def sampled(magnitude: float = 0.5, stddev: float = 0.15, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Three slots as columns: op, value and threshold, each (N, 3)."""
    draw = Draw(seed, "rand_augment", row_keys(id_keys(np.arange(N)), np.ones(N, np.int64)))
    step = RandAugment(magnitude=magnitude, magnitude_stddev=stddev)
    found = step.sample(draw)
    return {
        name: np.stack([found[f"{name}_{slot}"] for slot in (1, 2, 3)], axis=1)
        for name in ("op", "value", "threshold")
    }


def values_of(name: str, column: str = "value", **settings: float) -> NDArray[np.float32]:
    found = sampled(**settings)
    return found[column][found["op"] == name]


@cache
def by_policy(magnitude: float, stddev: float) -> dict[str, NDArray[np.float32]]:
    """N samples of each operation by the layers of keras-cv's RandAugment, in cellprep's units."""
    tf.random.set_seed(1)
    layers = keras_cv.layers.RandAugment.get_standard_policy(FULL, magnitude, stddev, seed=2)
    batches = {
        name: layer.get_random_transformation_batch(N)
        for name, layer in zip(KERAS_CV, layers, strict=True)
    }
    solarization = batches["solarization"]
    samples = {
        "solarization": solarization["additions"],
        "threshold": solarization["thresholds"],
        "color_degeneration": batches["color_degeneration"],
        "contrast": batches["contrast"],
        "brightness": batches["brightness"] / 255,
        "shear_x": batches["shear_x"]["shear_x"],
        "shear_y": batches["shear_y"]["shear_y"],
        "translation_x": batches["translation_x"]["width_translations"],
        "translation_y": batches["translation_y"]["height_translations"],
    }
    return {name: np.asarray(sample).ravel() for name, sample in samples.items()}


@cache
def by_theory(magnitude: float, stddev: float) -> dict[str, NDArray[np.float64]]:
    """N quantiles of each distribution."""
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


def independent(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return bool(stats.chi2_contingency(stats.contingency.crosstab(one, other).count).pvalue > 1e-3)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("reference", [by_policy, by_theory])
@pytest.mark.parametrize("name", [*WITH_PARAMETER, "threshold"])
def test_parameters_have_the_distribution_of_keras_cv(
    name: str, reference: Any, setting: tuple[float, float]
) -> None:
    expected = reference(*setting)[name]
    found, wrong = (
        values_of("solarization", "threshold", magnitude=magnitude, stddev=setting[1])
        if name == "threshold"
        else values_of(name, magnitude=magnitude, stddev=setting[1])
        for magnitude in (setting[0], setting[0] - 0.05)
    )
    assert len(found) > 7000
    assert same_distribution(found, expected)
    assert found.min() >= expected.min() - 1e-2 * np.ptp(expected)
    assert found.max() <= expected.max() + 1e-2 * np.ptp(expected)
    assert not same_distribution(wrong, expected), (
        "an error of 0.05 in the magnitude must be detected"
    )


def test_operations_are_sampled_uniformly() -> None:
    def uniform(op: NDArray[Any]) -> bool:
        return bool(stats.chisquare([(op == name).sum() for name in KERAS_CV]).pvalue > 1e-3)

    for op in sampled()["op"].T:
        assert set(op) == {*KERAS_CV, "none"}
        assert uniform(op)
        assert not uniform(op[(op != "contrast") | (np.arange(N) % 8 > 0)]), (
            "one eighth less of one operation must be detected"
        )


def test_the_number_of_used_slots_is_binomial() -> None:
    def binomial(used: NDArray[np.int64], rate: float) -> bool:
        expected = N * stats.binom(3, rate).pmf(np.arange(4))
        return bool(stats.chisquare(np.bincount(used, minlength=4), expected).pvalue > 1e-3)

    used = (sampled()["op"] != "none").sum(axis=1)
    assert binomial(used, 10 / 11)
    assert not binomial(used, 9 / 10)


def test_slots_rows_and_seeds_are_independent() -> None:
    one, two, three = sampled()["op"].T
    pairs = [
        (one, two),
        (one, three),
        (two, three),
        (one[1:], one[:-1]),
        (one, sampled(seed=1)["op"][:, 0]),
    ]
    for left, right in pairs:
        assert independent(left, right)
        assert not independent(left, np.where(np.arange(len(left)) % 20, right, left)), (
            "5 % of copied values must be detected"
        )


def test_parameters_are_independent() -> None:
    """Between two slots; magnitude and sign; addition and threshold of solarization."""
    found = sampled()
    uniform = np.isin(found["op"], ["brightness", "translation_x", "translation_y"])
    both = uniform[:, 0] & uniform[:, 1]
    shear = np.concatenate([values_of("shear_x"), values_of("shear_y")])
    for one, other in [
        (found["value"][both, 0], found["value"][both, 1]),
        (np.sign(shear), np.abs(shear)),
        (values_of("solarization"), values_of("solarization", "threshold")),
    ]:
        assert stats.spearmanr(one, other).pvalue > 1e-3
        assert (
            stats.spearmanr(one, 0.9 * stats.rankdata(other) + 0.1 * stats.rankdata(one)).pvalue
            < 1e-3
        )
