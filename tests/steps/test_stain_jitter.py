"""StainJitter: what it records, how much it changes, and images without stains."""

from __future__ import annotations

import numpy as np
import pytest

import cellprep as cp

ROWS = np.arange(400)


def recorded(step, images) -> dict[str, np.ndarray]:
    cells = cp.Dataset.from_arrays(images, np.zeros(len(images), int))
    record = cp.Recipe([step], seed=1)(cells).plan.evaluate(np.arange(len(images)))[1]
    return {name.removeprefix("stain_jitter."): column.values for name, column in record.items()}


@pytest.mark.parametrize(("matrix", "stains"), [("hed", 3), ("macenko", 2)])
def test_factors_and_offsets_are_uniform_for_each_stain(matrix, stains) -> None:
    images = np.full((len(ROWS), 2, 2, 3), 200, np.uint8)
    record = recorded(cp.StainJitter(strength=0.4, offset=0.2, matrix=matrix), images)
    for stem, middle, most in (("factor", 1, 0.4), ("offset", 0, 0.2)):
        columns = np.array([record[f"{stem}_{stain}"] for stain in range(1, stains + 1)])
        assert f"{stem}_{stains + 1}" not in record
        assert np.abs(columns - middle).max() <= most + 1e-6
        assert columns.std(axis=1) == pytest.approx(2 * most / 12**0.5, rel=0.1)
        assert np.abs(np.corrcoef(columns) - np.eye(stains)).max() < 0.2


def test_rate_is_the_share_of_changed_images(cells) -> None:
    images = np.tile(cells[0][:1, :8, :8], (len(ROWS), 1, 1, 1))
    changed = (cp.stain_jitter(images, rate=0.25) != images).any(axis=(1, 2, 3))
    assert 0.17 < changed.mean() < 0.33
    record = recorded(cp.StainJitter(rate=0.25), images)
    still = record["factor_1"] == 1
    assert (still == (record["offset_1"] == 0)).all()
    assert 0.67 < still.mean() < 0.83


def test_images_without_stains_get_those_of_hed_and_the_record_says_so(cells) -> None:
    images = np.concatenate([np.full_like(cells[0][:1], 255), cells[0][5:7]])
    record = recorded(cp.StainJitter(matrix="macenko"), images)
    assert record["found"].tolist() == [False, True, True]
    first = [record[f"{channel}_{stain}"][0] for stain in (1, 2) for channel in ("red", "blue")]
    assert first == pytest.approx([0.65, 0.29, 0.07, 0.11])


def test_white_stays_white_without_an_offset() -> None:
    white = np.full((8, 4, 4, 3), 255, np.uint8)
    assert (cp.stain_jitter(white, strength=1, offset=0) == 255).all()


@pytest.mark.parametrize(
    "settings",
    [{"strength": 1.2}, {"strength": -0.1}, {"offset": 2}, {"rate": 1.5}, {"matrix": "vahadane"}],
)
def test_bad_settings_get_an_error_of_one_line(settings) -> None:
    with pytest.raises(cp.CellprepError, match=next(iter(settings))) as error:
        cp.StainJitter(**settings)
    assert "\n" not in str(error.value)
