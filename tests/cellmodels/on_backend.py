"""Everything that cellmodels does, on the backend of KERAS_BACKEND; `test_backends` runs it.

Arguments: images and labels, a model saved on another backend, the folder to write to, and
whether to train too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import keras
import numpy as np

import cellmodels as cm
from cellmodels.models import precision

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.cellmodels.helpers import tiny


def main(data: str, saved: str, out: str) -> None:
    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
    arrays = np.load(data)
    images, labels = arrays["images"], arrays["labels"]
    model = cm.load(saved)
    np.savez(
        Path(out) / "out.npz",
        maps=cm.saliency(model, images, labels),
        predicted=cm.predict(model, images),
    )
    _train(images, labels, Path(out))
    _mixed_precision(images, labels)


def _train(images: np.ndarray, labels: np.ndarray, out: Path) -> None:
    """Both phases, soft labels, a balanced head, and the same again from the checkpoint."""
    model, again = tiny(), tiny(seed=1)
    before = model.get_weights()
    how = {"epochs": 1, "transfer_epochs": 1, "batch_size": 16, "progress": False, "mixup": 0.2}
    how |= {"class_weight": "balanced", "head": "balanced", "out": out / "m", "allow_leaks": True}
    done = cm.fit(model, (images, labels), (images, labels), **how)
    assert np.isfinite(done.history["loss"]).all()
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert cm.fit(again, (images, labels), (images, labels), **how).history == done.history
    report = cm.evaluate(model, (images, labels), adapt_norm=0.5, tta="flips", progress=False)
    assert report.clean.images == len(images)
    same = [cm.predict(each, images) for each in (model, again, cm.load(done.path))]
    np.testing.assert_allclose(same[1:], [same[0]] * 2, atol=1e-5)
    assert cm.saliency(again, images[:2]).max() > 0


def _mixed_precision(images: np.ndarray, labels: np.ndarray) -> None:
    precision.mixed_policy = lambda: "mixed_bfloat16"  # as on a GPU
    model = cm.build("baseline_cnn", 3, images.shape[1:])
    assert model.layers[2].compute_dtype == "bfloat16"
    cm.fit(model, (images, labels), epochs=1, progress=False)
    assert np.isfinite(cm.predict(model, images)).all()
    assert np.isfinite(cm.saliency(model, images[:2])).all()


if __name__ == "__main__":
    main(*sys.argv[1:])
