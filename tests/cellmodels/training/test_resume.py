"""Checkpoints: an interrupted training resumes with the same result."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellmodels.models.model_card import MODEL_CARD
from cellmodels.training.checkpoint import CHECKPOINT, Checkpoint
from cellmodels.training.fit import MODEL
from cellprep import CellprepError
from cellprep.synthetic import CLASS_NAMES

from ..helpers import fit, splits, synthetic_cells, tiny

keras = pytest.importorskip("keras")
ROOT = Path(__file__).resolve().parents[3]


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def uninterrupted():
    model = tiny()
    return fit(model), model.get_weights()


# within transfer, within fine-tuning
@pytest.mark.parametrize("epochs", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_an_interrupted_training_resumes_with_the_same_history(
    tmp_path, monkeypatch, epochs, uninterrupted
):
    write, written = Checkpoint.write, []

    def stopping(self, state, model):
        write(self, state, model)
        written.append(state.epoch)
        if state.epoch == epochs:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", stopping)
        with pytest.raises(StoppedError):
            fit(out=tmp_path)
    model = tiny(seed=9)  # other initial weights do not matter: the checkpoint has all state
    done = fit(model, out=tmp_path)
    assert written[-1] == done.resumed_at == epochs
    assert done.history == uninterrupted[0].history
    for a, b in zip(model.get_weights(), uninterrupted[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert done.path is not None
    assert done.path.is_file()
    stamp = done.path.stat().st_mtime_ns
    again = fit(out=tmp_path)
    assert (again.history, again.resumed_at) == (done.history, 5)
    assert done.path.stat().st_mtime_ns == stamp


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from tests.cellmodels.helpers import fit
replace, count = os.replace, []
def killing(source, target):
    if str(target).startswith({out!r}):  # not the cache of compiled kernels
        count.append(target)
    if len(count) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(source, target)
os.replace = killing
fit(out={out!r})
"""


@pytest.mark.slow
@pytest.mark.unix("no SIGKILL")
def test_a_training_killed_while_writing_a_checkpoint_resumes(tmp_path, uninterrupted):
    code = KILLED.format(root=str(ROOT), out=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-800:]
    assert not (tmp_path / "model.keras").exists()
    done = fit(out=tmp_path)
    assert done.resumed_at == 2  # between the phases
    assert done.history == uninterrupted[0].history


def test_a_folder_of_another_training_is_refused(tmp_path):
    fit(out=tmp_path, epochs=1, transfer_epochs=0)
    short = {"out": tmp_path, "epochs": 1, "transfer_epochs": 0}
    for model, settings, message in [
        (tiny(), {"epochs": 2}, "settings epochs is 1 there, 2 here"),
        (
            cm.build("baseline_cnn", 3, (16, 16, 3)),
            {},
            "model name is tiny there, baseline_cnn here",
        ),
        (tiny(frozen=3), {}, "layers of the model differ"),
    ]:
        with pytest.raises(CellprepError, match=message):
            fit(model, **{**short, **settings})
    images, labels = synthetic_cells().to_arrays()
    fewer = cp.Dataset.from_arrays(images[:-1], labels[:-1], CLASS_NAMES[:3])
    with pytest.raises(CellprepError, match="rows of the data differ"):
        fit(data={**splits(), "train": cp.split(fewer, train=0.7, val=0.3)["train"]}, **short)
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(CellprepError, match="cannot be read as a checkpoint"):
        fit(**short)
    (tmp_path / "checkpoint.npz").unlink()
    with pytest.raises(CellprepError, match="without its checkpoint"):
        fit(**short)


@pytest.mark.unix("no limit for the size of files")
@pytest.mark.parametrize("full_at", ["checkpoint", pytest.param("model", marks=pytest.mark.slow)])
def test_a_full_disk_is_reported_and_the_same_call_continues(full_at, tmp_path, uninterrupted):
    import resource

    fit(out=tmp_path / "reference")
    sizes = [(tmp_path / "reference" / name).stat().st_size for name in (CHECKPOINT, MODEL)]
    most = 2000 if full_at == "checkpoint" else sum(sizes) // 2
    if full_at == "model" and sizes[0] >= sizes[1]:
        pytest.skip("the checkpoint is larger than the model")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        with pytest.raises(CellprepError, match=r"cannot write .*free some space") as caught:
            fit(out=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).endswith("the same call continues the training")
    assert "\n" not in str(caught.value)
    assert {file.name for file in (tmp_path / "out").rglob("*")} <= {CHECKPOINT, MODEL_CARD}
    assert fit(out=tmp_path / "out").history == uninterrupted[0].history
