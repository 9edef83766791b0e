"""`evaluate`, `predict` and `shift`: scores on clean and shifted images, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellprep import CellprepError

from ..helpers import NAMES, pictures

keras = pytest.importorskip("keras")


def test_a_report_of_clean_and_shifted_images(trained, tmp_path, monkeypatch):
    model, path, data = trained
    calls = []

    def corrupt(**settings):
        calls.append(settings)
        return cp.Jitter(zoom=0.5)

    monkeypatch.setattr(cp, "Corrupt", corrupt)
    test = pictures(9, seed=2)
    for each in (model, cm.load(path)):
        report = cm.evaluate(
            each, test, shifted=("heavy", "microscopy"), severity=2, train=data, progress=False
        )
        assert report.clean.accuracy == 1
        assert set(report.shifted) == {"heavy", "microscopy"}
    assert calls[:2] == [{"suite": "heavy"}, {"suite": "microscopy", "severity": 2}]
    report.to_json(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["clean"]["confusion"] == [[3, 0, 0], [0, 3, 0], [0, 0, 3]]
    assert saved["class_names"] == list(NAMES)
    assert "microscopy" in report.table()
    assert "no mistakes on the clean set" in report.table()
    pytest.importorskip("matplotlib")
    report.figure(tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(CellprepError, match="figure cannot be saved"):
        report.figure(tmp_path / "report.xyz")


def test_shifted_sets_can_be_passed_by_name(trained):
    model, path, _ = trained
    test = pictures(9, seed=2)
    corrupted = cm.shift(cp.Dataset.from_arrays(*test, NAMES), "heavy", seed=3)
    by_suite = cm.evaluate(model, test, shifted=("heavy",), seed=3, progress=False)
    by_name = cm.evaluate(model, test, shifted={"theirs": corrupted}, progress=False)
    assert by_name.shifted["theirs"] == by_suite.shifted["heavy"]
    wrong = cp.Dataset.from_arrays(*test, NAMES[::-1])
    with pytest.raises(CellprepError, match="theirs has the classes red, light, dark, not"):
        cm.evaluate(model, test, shifted={"theirs": wrong}, progress=False)
    with pytest.raises(CellprepError, match="cannot be called 'clean'"):
        cm.evaluate(model, test, shifted={"clean": corrupted}, progress=False)
    masked = cp.Recipe([cp.KMeansMask()])(corrupted)
    with pytest.raises(CellprepError, match="those of theirs with KMeansMask"):
        cm.evaluate(cm.load(path), test, shifted={"theirs": masked}, progress=False)


def test_shift_applies_cellprep_corrupt():
    images, labels = pictures(6, side=32)
    cells = cp.Dataset.from_arrays(images, labels, NAMES)
    for suite in ("heavy", "microscopy"):
        expected = cp.Recipe([cp.Corrupt(suite=suite)], 7)(cells).to_arrays()[0]
        np.testing.assert_array_equal(cm.shift(cells, suite, seed=7).to_arrays()[0], expected)
        assert (expected != images).any()


def test_other_classes_or_another_order_of_them_are_refused(trained):
    model, _, _ = trained
    images, labels = pictures(6)
    renamed = cp.Dataset.from_arrays(images, labels, NAMES[::-1])
    with pytest.raises(CellprepError, match="has the classes red, light, dark, not dark, light"):
        cm.evaluate(model, renamed, progress=False)
    with pytest.raises(CellprepError, match="did you mean 'heavy'"):
        cm.evaluate(model, (images, labels), shifted=["heavi"])


def test_a_class_without_images_is_measured_with_none(trained):
    model, _, _ = trained
    images, labels = pictures(6)
    some = labels < 2
    two = cp.Dataset.from_arrays(images[some], labels[some], NAMES[:2])
    for test in ((images[some], labels[some]), two):
        found = cm.evaluate(model, test, progress=False).clean
        assert [(each.name, each.images > 0) for each in found.classes] == [
            *((name, True) for name in NAMES[:2]),
            (NAMES[2], False),
        ]


def test_predict_gives_probabilities_in_class_order(trained, tmp_path):
    model, _, data = trained
    images, labels = pictures(7, seed=3)
    given = cm.predict(model, images, batch_size=3)
    np.testing.assert_array_equal(given.argmax(axis=1), labels)
    np.testing.assert_allclose(given, cm.predict(model, images), atol=1e-6)
    assert given.dtype == np.float32
    cp.write(data, tmp_path / "d", progress=False)
    assert cm.predict(model, tmp_path / "d").shape == (48, 3)
    for wrong, message in [
        (images / 255, "must be uint8"),
        (images[0], r"for one image pass images\[None\]"),
        (pictures(3, side=20)[0], "20x20, but the model takes 16x16"),
    ]:
        with pytest.raises(CellprepError, match=message):
            cm.predict(model, wrong)
