"""Temperatures: the best one is found, and predictions do not change."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellmodels as cm
from cellmodels.models.temperature import fit_temperature, soften


@given(st.integers(2, 5), st.floats(0.3, 4), st.integers(0, 10**6))
def test_a_temperature_changes_no_prediction_and_no_other_temperature_fits_better(n, t, seed):
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.full(n, 0.5), 300)
    labels = np.array([rng.choice(n, p=p) for p in true])
    given = soften(true, t)  # off by 1 / t
    found = fit_temperature(given, labels)
    np.testing.assert_array_equal(soften(given, found).argmax(axis=1), given.argmax(axis=1))
    np.testing.assert_allclose(soften(given, found).sum(axis=1), 1)

    def likelihood(temperature):
        p = soften(given, temperature)
        targets = np.eye(n)[labels] * (1 - 1 / 302) + 1 / 302 / n
        return (targets * np.log(p)).sum()

    assert likelihood(found) >= max(likelihood(found * 1.02), likelihood(found / 1.02))


def test_a_model_that_is_too_sure_gets_a_temperature_above_one():
    rng = np.random.default_rng(0)
    true = rng.dirichlet(np.ones(4), 4000)
    labels = np.array([rng.choice(4, p=p) for p in true])
    assert fit_temperature(soften(true, 0.5), labels) == pytest.approx(2, rel=0.05)
    assert fit_temperature(soften(true, 2), labels) == pytest.approx(0.5, rel=0.05)
    np.testing.assert_allclose(soften(soften(true, 0.5), 2), true, atol=1e-9)


def test_predictions_that_are_all_correct_have_a_finite_temperature():
    labels = np.arange(40) % 2
    given = np.where(labels[:, None] == [0, 1], 0.8, 0.2)
    assert 0.05 < fit_temperature(given, labels) < 1
    sure = np.where(labels[:, None] == [0, 1], 1.0, 0.0)
    assert np.isfinite(soften(sure, fit_temperature(sure, labels))).all()


def test_fit_saves_the_temperature_of_the_validation_set(trained):
    pytest.importorskip("keras")
    model, path, _ = trained
    assert cm.load(path).card.temperature == model.card.temperature
    assert 0.05 <= model.card.temperature <= 20


def test_a_card_saved_before_temperatures_is_read(trained, tmp_path):
    _, path, _ = trained
    card = json.loads(zipfile.ZipFile(path).read("cellmodels.json"))
    del card["temperature"]
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as archive:
        archive.writestr("cellmodels.json", json.dumps(card))
    assert cm.load_card(tmp_path / "old.keras").temperature is None
