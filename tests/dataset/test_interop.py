"""Other people's tools, each with the real library: what they get is what `images` gives."""

from __future__ import annotations

import pickle
import re
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cellprep as cp
from cellprep import Dataset
from cellprep.errors import CellprepError
from cellprep.formats import FORMATS
from cellprep.formats.codec import encode
from cellprep.plan.source import ArraySource

RECIPE = cp.Recipe([cp.Balance(target=6), cp.RandAugment(copies=1)], seed=5)
HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto" / "other-tools.md"


@pytest.fixture
def drawn(cells) -> Dataset:
    """40 drawn cells in groups of two, an empty class."""
    names = [*"abcdefgh", "none of these"]
    ids = [f"cell {n}" for n in range(40)]
    return Dataset.from_arrays(
        *cells, names, ids=ids, groups=[f"slide {n // 2}" for n in range(40)]
    )


@pytest.fixture
def made(drawn) -> Dataset:
    """96 images that a recipe makes of them, when they are asked for."""
    whole = Dataset.from_arrays(drawn.images[:], drawn.labels, ids=drawn.ids)
    return RECIPE(whole)


@pytest.fixture
def nothing(drawn) -> Dataset:
    """What is left when every image is a repeat."""
    same = Dataset.from_arrays(np.repeat(drawn.images[:2], 2, axis=0), [0, 0, 1, 1])
    return cp.Recipe([cp.Dedupe(on_duplicate="drop")])(same)


@pytest.fixture
def read_rows(monkeypatch) -> list[int]:
    """The rows of arrays that were read since."""
    rows: list[int] = []
    images = ArraySource.images

    def noted(self, at):
        rows.extend(at.tolist())
        return images(self, at)

    monkeypatch.setattr(ArraySource, "images", noted)
    return rows


def many(n: int = 20_000) -> Dataset:
    return Dataset.from_arrays(np.zeros((n, 4, 4, 3), np.uint8), np.arange(n) % 2)


# -- tf.data ----------------------------------------------------------------------------------


def taken(batches: Any) -> tuple[np.ndarray, np.ndarray]:
    pairs = list(batches.as_numpy_iterator())
    images, labels = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return images, labels


def test_tf_gets_the_images_in_order_twice(made):
    tf = pytest.importorskip("tensorflow")
    batches = made.to_tf(batch=7)
    assert batches.element_spec == (
        tf.TensorSpec((None, 48, 48, 3), tf.uint8),
        tf.TensorSpec((None,), tf.int64),
    )
    assert len(batches) == 14
    for _ in range(2):
        images, labels = taken(batches)
        np.testing.assert_array_equal(images, made.images[:])
        np.testing.assert_array_equal(labels, made.labels)
    assert [len(labels) for _, labels in batches][-1] == 96 - 13 * 7


def test_tf_shuffles_all_rows_by_the_seed_and_the_pass():
    pytest.importorskip("tensorflow")
    values = np.arange(100, dtype=np.uint8)
    data = Dataset.from_arrays(np.tile(values[:, None, None, None], (1, 2, 2, 3)), values % 2)

    def passes(seed: int) -> list[list[int]]:
        batches = data.to_tf(batch=8, shuffle=True, seed=seed)
        orders = []
        for _ in range(3):
            images, labels = taken(batches)
            np.testing.assert_array_equal(images[:, 0, 0, 0] % 2, labels)
            orders.append(images[:, 0, 0, 0].tolist())
        return orders

    one, again, other = passes(0), passes(0), passes(1)
    assert one == again
    assert all(sorted(order) == values.tolist() for order in one)
    assert len({tuple(order) for order in [*one, *other, values.tolist()]}) == 7


def test_tf_reads_some_batches_ahead_and_no_more(read_rows):
    pytest.importorskip("tensorflow")
    batches = many().to_tf(batch=10)
    assert not read_rows
    walk = iter(batches)
    next(walk)
    time.sleep(0.3)
    assert 10 < len(read_rows) < 1000


def test_keras_trains_on_it(made):
    keras = pytest.importorskip("keras")
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(8)]
    model = keras.Sequential([keras.Input((48, 48, 3)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    before = [weight.copy() for weight in model.get_weights()]
    history = model.fit(made.to_tf(48, shuffle=True), shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert int(model.optimizer.iterations) == 2
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_data_from_tf_is_read_whole(drawn):
    tf = pytest.importorskip("tensorflow")
    images, labels = drawn.images[:], drawn.labels
    batches = drawn.to_tf(batch=7)
    singles = tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})
    weighted = tf.data.Dataset.from_tensor_slices((images, labels, labels * 0.5))
    for data in (batches, singles, weighted):
        back = Dataset.from_tf(data, class_names=drawn.class_names, ids=drawn.ids, groups=drawn.ids)
        np.testing.assert_array_equal(back.images[:], images)
        pd.testing.assert_frame_equal(back.table().drop(columns="group"), drawn.table().iloc[:, :4])
        assert back.table()["group"].tolist() == drawn.ids.tolist()


def test_data_that_tf_cannot_give_is_refused(drawn):
    tf = pytest.importorskip("tensorflow")
    refused = [
        (np.zeros(3), "must be a tf.data.Dataset, got ndarray"),
        (drawn.to_tf(4).repeat(), "has no end"),
        (drawn.to_tf(4).map(lambda image, label: image), "must give (images, labels)"),
        (drawn.to_tf(4).take(0), "holds no images"),
        (drawn.to_tf(4).map(lambda x, y: (tf.cast(x, tf.float32) / 255, y)), "if 0-1 is meant"),
    ]
    for data, said in refused:
        with pytest.raises(CellprepError, match=re.escape(said)):
            Dataset.from_tf(data)


# -- PyTorch ----------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [None, "fork", "spawn"])
def test_torch_gets_the_images_in_order(made, start):
    torch = pytest.importorskip("torch")
    if start == "fork" and sys.platform != "linux":
        pytest.skip("no fork")
    loader = torch.utils.data.DataLoader(
        *(made.to_torch(), 7),
        num_workers=0 if start is None else 2,
        multiprocessing_context=start,
    )
    for _ in range(2 if start is None else 1):
        images, labels = zip(*loader, strict=True)
        assert [len(batch) for batch in images] == [7] * 13 + [5]
        whole = torch.cat(images)
        assert (whole.dtype, labels[0].dtype) == (torch.uint8, torch.int64)
        np.testing.assert_array_equal(whole.numpy(), np.moveaxis(made.images[:], -1, 1))
        np.testing.assert_array_equal(torch.cat(labels).numpy(), made.labels)


@pytest.mark.parametrize("format", FORMATS)
def test_workers_read_every_format(drawn, format, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / ("out.npz" if FORMATS[format].is_file else "out")
    cp.write(drawn, path, format=format, progress=False)
    cells = cp.Recipe([cp.Jitter()])(cp.read(path))
    images = np.moveaxis(cells.images[:], -1, 1)  # this process has its files open, too
    copied = pickle.loads(pickle.dumps(cells.to_torch()))
    np.testing.assert_array_equal(copied[3][0], images[3])
    loader = torch.utils.data.DataLoader(cells.to_torch(), 8, num_workers=2, timeout=60)
    np.testing.assert_array_equal(torch.cat([batch for batch, _ in loader]), images)


def test_a_torch_data_set_is_one_to_torch(made):
    torch = pytest.importorskip("torch")
    data = made.to_torch(transform=lambda image: image.float() / 255)
    assert isinstance(data, torch.utils.data.Dataset)
    assert data.classes == list(made.class_names)
    assert data.targets.tolist() == made.labels.tolist()
    image, label = data[-1]
    assert (image.dtype, image.shape, label) == (torch.float32, (3, 48, 48), made.labels[-1])
    assert round(float(image.max()) * 255) == made.images[-1].max()
    with pytest.raises(IndexError):
        data[96]
    assert len([label for _, label in data]) == 96  # iteration ends
    first, _ = torch.utils.data.random_split(data, [10, 86])
    ((_, labels),) = torch.utils.data.DataLoader(first, batch_size=10)
    np.testing.assert_array_equal(labels, made.labels[first.indices])
    sampler = torch.utils.data.WeightedRandomSampler((data.targets == 3).double(), 5)
    ((_, labels),) = torch.utils.data.DataLoader(data, batch_size=5, sampler=sampler)
    assert labels.tolist() == [3] * 5


def test_torch_reads_what_is_asked_for(read_rows):
    pytest.importorskip("torch")
    data = many().to_torch()
    data.__getitems__([5, 3])
    data[7]
    assert sorted(read_rows) == [3, 5, 7]


def test_workers_do_not_get_the_rows_that_went(tmp_path):
    pytest.importorskip("torch")
    cp.write(many(20_001), tmp_path / "out", progress=False)
    cells = cp.read(tmp_path / "out")
    few = cp.Recipe([cp.Balance(target=5)])(cells)
    assert len(few) == 10
    assert len(pickle.dumps(few.to_torch())) < 0.8 * len(pickle.dumps(few.plan))


def test_torch_trains_on_it(made):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48 * 48 * 3, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = model[1].weight.detach().clone()
    data = made.to_torch(transform=lambda image: image.float() / 255)
    for images, labels in torch.utils.data.DataLoader(data, batch_size=48, shuffle=True):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    assert (model[1].weight != before).any()


class Items:
    """A torch data set as people write them."""

    classes = (*"abcdefgh", "none of these")

    def __init__(self, images: np.ndarray, labels: np.ndarray, kind: str) -> None:
        self.images, self.labels, self.kind = images, labels, kind
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, at: int) -> Any:
        import torch

        self.asked.append(at)
        image, label = self.images[at], self.labels[at]
        if self.kind == "tensors":
            return torch.from_numpy(np.moveaxis(image, -1, 0)), torch.eye(9)[label]
        if self.kind == "medmnist":
            return Image.fromarray(image), np.array([label])
        return image, int(label), "more"


@pytest.mark.parametrize("kind", ["tensors", "medmnist", "arrays"])
def test_data_from_torch_is_read_when_asked_for(drawn, kind, tmp_path):
    pytest.importorskip("torch")
    items = Items(drawn.images[:], drawn.labels, kind)
    back = Dataset.from_torch(items, ids=drawn.ids, groups=drawn.table()["group"])
    pd.testing.assert_frame_equal(back.table(), drawn.table())
    items.asked.clear()
    np.testing.assert_array_equal(back.images[[3, 9]], drawn.images[[3, 9]])
    assert items.asked == [3, 9]
    recipe = cp.Recipe([cp.RandAugment(copies=1)])
    cp.write(recipe(back), tmp_path / "out", progress=False, executor="processes", workers=2)
    np.testing.assert_array_equal(cp.read(tmp_path / "out").images[:], recipe(drawn).images[:])
    assert cp.write(recipe(back), tmp_path / "out", progress=False).resumed == 80


def test_a_random_torch_data_set_is_refused(drawn):
    pytest.importorskip("torch")

    class Flips(Items):
        def __getitem__(self, at):
            image, *rest = super().__getitem__(at)
            return image[:, at:] if self.asked.count(at) > 2 else image, *rest

    back = Dataset.from_torch(Flips(drawn.images[:], drawn.labels, "arrays"))
    assert back.images[2:5].shape == (3, 48, 48, 3)
    with pytest.raises(CellprepError, match="item 3 of the torch data set is not"):
        back.images[3:6]


def test_what_torch_cannot_give_is_refused(drawn):
    torch = pytest.importorskip("torch")
    images, labels = drawn.images[:], drawn.labels

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(zip(images, labels, strict=True))

    floats = torch.utils.data.TensorDataset(torch.rand(4, 3, 8, 8), torch.arange(4))
    refused = [
        (Stream(), "must be a map-style torch data set"),
        (floats, "if 0-1 is meant"),
        ([], "holds no images"),
        ([images[0]], "must give (image, label), item 0 is a ndarray"),
        ([(images[0], 0), (images[1, :40], 1)], "item 1 is 40x48 pixels, the first one 48x48"),
        ([(Image.fromarray(images[0]).convert("L"), 0)], "for grey images repeat the channel"),
    ]
    for data, said in refused:
        with pytest.raises(CellprepError, match=re.escape(said)):
            Dataset.from_torch(data)


# -- Hugging Face datasets ----------------------------------------------------------------------


def test_hf_gets_images_labels_ids_and_copies(made, drawn, tmp_path):
    datasets = pytest.importorskip("datasets")
    data = made.to_hf(cache_dir=tmp_path)
    assert isinstance(data.features["image"], datasets.Image)
    assert data.features["label"].names == list(made.class_names)
    assert (data["id"][:], data["copy"][:]) == (made.ids.tolist(), made.copies.tolist())
    assert data["label"][:] == made.labels.tolist()
    for row in range(0, len(made), 5):
        np.testing.assert_array_equal(np.asarray(data[row]["image"]), made.images[row])
    assert "group" not in data.features
    assert drawn.to_hf(cache_dir=tmp_path)["group"][:3] == ["slide 0", "slide 0", "slide 1"]


def test_hf_makes_a_data_set_once(drawn, tmp_path, read_rows):
    pytest.importorskip("datasets")
    recipe = cp.Recipe([cp.Jitter()], seed=1)
    one = recipe(drawn).to_hf(cache_dir=tmp_path)
    read_rows.clear()
    again = recipe(drawn).to_hf(cache_dir=tmp_path)
    assert not read_rows
    other = cp.Recipe([cp.Jitter()], seed=2)(drawn).to_hf(cache_dir=tmp_path)
    half = Dataset.from_arrays(drawn.images[:20], drawn.labels[:20], drawn.class_names)
    pixels = [np.asarray(data[0]["image"]) for data in (one, again, other)]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert (pixels[0] != pixels[2]).any()
    assert len(half.to_hf(cache_dir=tmp_path)) == 20


def test_hf_holds_little_in_memory(tmp_path):
    pytest.importorskip("datasets")
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 24, 24, 3), np.uint8)
    few = Dataset.from_arrays(pixels, np.arange(1000) % 2)
    few.to_hf(cache_dir=tmp_path)  # imports
    many = cp.Recipe([cp.RandAugment(copies=5)])(few)
    assert many.images[:2].shape == (2, 24, 24, 3)  # compiles
    tracemalloc.start()
    made = many.to_hf(cache_dir=tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made["id"][:] == many.ids.tolist()
    assert peak < len(many) * pixels[0].nbytes / 2


def test_data_from_hf_is_read_when_asked_for(made, drawn, tmp_path, read_rows):
    pytest.importorskip("datasets")
    for data in (made, drawn):
        back = Dataset.from_hf(data.to_hf(cache_dir=tmp_path))
        pd.testing.assert_frame_equal(back.table(), data.table())
        np.testing.assert_array_equal(back.images[:], data.images[:])
        assert back.class_names == data.class_names
    with pytest.raises(CellprepError, match="would put copies of one image into two parts"):
        cp.split(Dataset.from_hf(made.to_hf(cache_dir=tmp_path)), train=0.5, test=0.5)


def test_data_from_hf_may_be_chosen_and_turned(drawn, tmp_path):
    pytest.importorskip("datasets")
    data = drawn.to_hf(cache_dir=tmp_path).shuffle(seed=3).select(range(20))
    chosen = data.rename_column("id", "name").with_transform(lambda rows: 1 / 0)
    back = Dataset.from_hf(chosen, id="name", group="label")
    place = {id: row for row, id in enumerate(drawn.ids)}
    rows = [place[id] for id in back.ids]
    assert len(rows) == 20
    assert rows != sorted(rows)
    np.testing.assert_array_equal(back.images[:], drawn.images[rows])
    np.testing.assert_array_equal(back.labels, drawn.labels[rows])
    assert back.table()["group"].tolist() == back.labels.tolist()
    recipe = cp.Recipe([cp.Jitter()])
    cp.write(recipe(back), tmp_path / "out", progress=False, executor="processes", workers=2)
    np.testing.assert_array_equal(cp.read(tmp_path / "out").images[:], recipe(back).images[:])


def test_files_that_hf_names_are_read_and_bad_ones_told(drawn, tmp_path):
    datasets = pytest.importorskip("datasets")
    paths = []
    for row in range(6):
        paths.append(str(tmp_path / f"{row}.png"))
        Path(paths[-1]).write_bytes(encode(drawn.images[row]) if row != 2 else b"no image")
    table = {"img": [*paths, str(tmp_path / "gone.png")], "kind": [*"ababab", "a"]}
    data = datasets.Dataset.from_dict(table).cast_column("img", datasets.Image())
    cells = Dataset.from_hf(data, label="kind")
    good = cells.readable()
    np.testing.assert_array_equal(good.images[:], drawn.images[[0, 1, 3, 4, 5]])
    assert good.bad == {"row 2": "is not an image file", "row 6": "No such file or directory"}
    written = cp.write(cells, tmp_path / "out", on_error="skip", progress=False)
    assert (written.rows, len(written.bad)) == (5, 2)
    with pytest.raises(CellprepError, match="2 images cannot be used: row 2: is not an image"):
        cells.to_hf(cache_dir=tmp_path / "cache")


def test_masks_come_from_hf(drawn, tmp_path):
    datasets = pytest.importorskip("datasets")
    masked = cp.Recipe([cp.KMeansMask()])(drawn)
    cp.write(masked, tmp_path / "out", format="parquet", masks=True, progress=False)
    files = [str(file) for file in (tmp_path / "out" / "data").iterdir()]
    data = datasets.Dataset.from_parquet(files, cache_dir=str(tmp_path / "cache"))
    back = Dataset.from_hf(data)
    np.testing.assert_array_equal(back.masks[:], masked.masks[:])
    pd.testing.assert_frame_equal(back.table(), drawn.table())


def test_what_hf_cannot_give_is_refused(drawn, tmp_path):
    datasets = pytest.importorskip("datasets")
    data = drawn.to_hf(cache_dir=tmp_path)
    refused: list[tuple[Any, dict[str, Any], str]] = [
        (
            datasets.DatasetDict(train=data),
            {},
            'choose one part, as in load_dataset(..., split="tr',
        ),
        (data.to_iterable_dataset(), {}, "without streaming"),
        (data.select([]), {}, "holds no images"),
        (data.remove_columns("image"), {}, "no column holds images"),
        (data, {"label": "labl"}, "has no column 'labl'; did you mean 'label'?"),
        (data, {"id": "name"}, "has no column 'name'"),
    ]
    for given, settings, said in refused:
        with pytest.raises(CellprepError, match=re.escape(said)):
            Dataset.from_hf(given, **settings)


# -- pandas -----------------------------------------------------------------------------------


def test_pandas_gets_the_record(drawn, tmp_path):
    recipe = cp.Recipe([cp.Crop(40), cp.RandAugment(copies=2)], seed=3)
    made = recipe(drawn)
    cp.write(made, tmp_path / "out", progress=False, rows_per_shard=50)
    index = pd.read_parquet(tmp_path / "out" / "index.parquet").drop(columns=["shard", "row"])
    pd.testing.assert_frame_equal(made.to_pandas(), index)
    assert {"crop.left", "rand_augment.op_1"} <= {*index}, list(index)
    written = cp.read(tmp_path / "out")
    pd.testing.assert_frame_equal(written.to_pandas(), index)
    more = cp.Recipe([cp.Jitter()])(written).to_pandas()
    assert {*index} < {*more}
    assert "jitter.zoom" in more


def test_the_record_of_what_was_written_costs_no_image(drawn, tmp_path, monkeypatch):
    cp.write(drawn, tmp_path / "out", progress=False)
    from cellprep.formats.shards import ShardSource

    monkeypatch.setattr(ShardSource, "images", None)
    table = cp.read(tmp_path / "out").to_pandas()
    pd.testing.assert_frame_equal(table.astype({"class_name": object}), drawn.table(), **LOOSE)


LOOSE: dict[str, Any] = {"check_dtype": False}


def test_an_empty_data_set_has_an_empty_table(nothing):
    assert list(nothing.to_pandas()) == ["id", "copy", "label", "class_name"]
    assert not len(nothing.to_pandas())


@pytest.fixture
def photos(drawn, tmp_path) -> pd.DataFrame:
    """A table of files in two folders, as people have them."""
    names = []
    for row in range(12):
        file = tmp_path / "scans" / f"day {row % 2}" / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(drawn.images[row]))
        names.append(str(file))
    kinds = ["mono", "baso", "neut"] * 4
    return pd.DataFrame({"path": names, "cell": kinds, "patient": [n // 3 for n in range(12)]})


def test_data_from_pandas_is_read_when_asked_for(drawn, photos, tmp_path, monkeypatch):
    columns = {"file": "path", "label": "cell", "group": "patient"}
    cells = Dataset.from_pandas(photos, **columns)
    assert cells.class_names == ("baso", "mono", "neut")
    assert cells.ids.tolist() == photos["path"].tolist()
    assert cells.table()["group"].tolist() == photos["patient"].tolist()
    np.testing.assert_array_equal(cells.images[:], drawn.images[:12])
    parts = cp.split(cells, train=0.5, test=0.5)
    assert not {*parts["train"].table()["group"]} & {*parts["test"].table()["group"]}
    monkeypatch.chdir(tmp_path)
    given = photos.assign(path=[Path(p).relative_to(tmp_path) for p in photos["path"]])
    below = photos.assign(path=[str(Path(p).relative_to("scans")) for p in given["path"]])
    named = photos.assign(id=range(12), cell=photos["cell"].astype("category"))
    for table, root in ((given, None), (below, "scans"), (named, None)):
        same = Dataset.from_pandas(table, **columns, root=root)
        np.testing.assert_array_equal(same.images[:], drawn.images[:12])
        np.testing.assert_array_equal(same.labels, cells.labels)
    assert same.ids.tolist() == [*range(12)]
    alike = Dataset.from_pandas(photos.assign(id="the same"), **columns)
    assert alike.ids.tolist() == cells.ids.tolist()


def test_a_table_of_what_was_written_gives_it_back(made, tmp_path):
    cp.write(made, tmp_path / "out", format="folder", progress=False)
    index = pd.read_parquet(tmp_path / "out" / "index.parquet")
    back = Dataset.from_pandas(index, root=tmp_path / "out", class_names=made.class_names)
    pd.testing.assert_frame_equal(back.table(), made.table())
    np.testing.assert_array_equal(back.images[:], made.images[:])
    with pytest.raises(CellprepError, match="would put copies of one image into two parts"):
        cp.split(back, train=0.5, test=0.5)


def test_a_table_names_files_of_a_bucket(drawn):
    pytest.importorskip("upath")
    place = "memory://interop/out"
    cp.write(drawn, place, format="folder", progress=False)
    index = drawn.table().assign(file=[f"{id}.png" for id in drawn.ids])
    index["file"] = index["class_name"] + "/" + index["file"]
    back = Dataset.from_pandas(index, root=place, class_names=drawn.class_names)
    np.testing.assert_array_equal(back.images[5:9], drawn.images[5:9])
    gone = Dataset.from_pandas(index.assign(file=index["file"] + "x"), root=place, size=48)
    with pytest.raises(CellprepError, match="No such file"):
        gone.images[0]


def test_bad_files_of_a_table_are_told(photos, tmp_path):
    bad = tmp_path / "scans" / "day 1" / "3.png"
    bad.write_bytes(b"no image")
    cells = Dataset.from_pandas(photos, file="path", label="cell")
    with pytest.raises(cp.BadImagesError, match=r"1 image cannot be used: day 1/3\.png"):
        cp.write(cells, tmp_path / "out", progress=False)
    done = cp.write(cells, tmp_path / "out", on_error="quarantine", progress=False)
    assert (done.rows, done.quarantined) == (11, 1)
    assert (tmp_path / "out" / "quarantine" / "day 1" / "3.png").read_bytes() == b"no image"
    assert bad.exists()


def test_tables_that_cannot_be_used_are_refused(photos, tmp_path):
    columns = {"file": "path", "label": "cell"}
    refused: list[tuple[pd.DataFrame, dict[str, Any], str]] = [
        (photos, {"label": "cell"}, "the table has no column 'file'; "),
        (photos, {**columns, "label": "cel"}, "did you mean 'cell'?"),
        (photos.iloc[:0], columns, "the table holds no rows"),
        (photos.assign(cell=[None, *"abcdefghijk"]), columns, "column 'cell' is empty in row 0"),
        (photos, {**columns, "file": "patient"}, "column 'patient' must hold paths as text"),
        (
            photos.assign(path="a.png"),
            columns,
            "`ids` must differ from image to image, but 'a.png'",
        ),
        (photos, {**columns, "root": tmp_path / "scans"}, "does not lie below"),
        (
            photos.assign(path=[*photos["path"][1:], "/etc"]),
            {**columns, "root": "."},
            "give absolu",
        ),
        (
            photos.assign(path=[f"../{n}.png" for n in range(12)]),
            {**columns, "root": "."},
            "'../0.p",
        ),
        (photos.assign(path=[f"s3://b/{n}.png" for n in range(12)]), columns, "name the bucket or"),
        (photos.assign(path=[f"{'/' * (n % 2)}{n}.png" for n in range(12)]), columns, "pass root="),
        (photos.assign(copy="a"), columns, "column 'copy' must hold the copy number"),
    ]
    for table, settings, said in refused:
        with pytest.raises(CellprepError, match=re.escape(said)):
            Dataset.from_pandas(table, **settings)


def test_photographs_come_from_a_table_and_from_hf(data):
    """JPEG files of all sizes, as `read` gives them."""
    datasets = pytest.importorskip("datasets")
    folder = cp.read(data / "bccd", size=64)
    rows = np.arange(0, len(folder), 25)
    table = pd.DataFrame({"file": folder.ids[rows], "label": folder.labels[rows]})
    settings = {"class_names": folder.class_names, "root": data / "bccd"}
    photos = Dataset.from_pandas(table, **settings, size=64)
    pd.testing.assert_frame_equal(photos.table(), folder.table().iloc[rows].reset_index(drop=True))
    paths = [str(data / "bccd" / name) for name in table["file"]]
    given = datasets.Dataset.from_dict({"image": paths, "label": table["label"]})
    kinds = datasets.ClassLabel(names=list(folder.class_names))
    given = given.cast_column("image", datasets.Image()).cast_column("label", kinds)
    for back in (photos, Dataset.from_hf(given, size=64)):
        np.testing.assert_array_equal(back.images[:], folder.images[rows])
        np.testing.assert_array_equal(back.labels, folder.labels[rows])


# -- scikit-learn and imbalanced-learn ----------------------------------------------------------


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255


@pytest.fixture
def pipeline() -> Any:
    """Rows are changed while it is fitted alone; pixels whenever it looks at images."""
    imblearn = pytest.importorskip("imblearn")
    pytest.importorskip("sklearn")
    from imblearn.pipeline import Pipeline
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import FunctionTransformer

    def rows(step: Any, **settings: Any) -> Any:
        return imblearn.FunctionSampler(func=step, validate=False, kw_args=settings)

    return Pipeline(
        [
            ("dedupe", rows(cp.dedupe)),
            ("balance", rows(cp.balance, seed=0)),
            ("augment", rows(cp.rand_augment, copies=1)),
            ("mask", FunctionTransformer(cp.kmeans_mask)),
            ("crop", FunctionTransformer(cp.crop, kw_args={"size": 32})),
            ("flat", FunctionTransformer(flat)),
            ("classify", KNeighborsClassifier(1)),
        ]
    )


def test_the_functions_are_steps_of_a_pipeline(cells, pipeline):
    from sklearn.base import clone

    images, labels = cells
    names = np.array([*"abcdefgh"])[labels]
    for values in (labels, names, pd.Series(names)):
        copied = pickle.loads(pickle.dumps(clone(pipeline).fit(images, values)))
        assert {*copied.predict(images)} <= {*values}
    by_hand = cp.rand_augment(*cp.balance(*cp.dedupe(images, labels), seed=0), copies=1)
    seen, of = pipeline[:3].fit_resample(images, labels)
    np.testing.assert_array_equal(seen, by_hand[0])
    np.testing.assert_array_equal(of, by_hand[1])


def test_a_grid_is_searched_over_the_settings_of_steps(cells, pipeline):
    from sklearn.model_selection import GridSearchCV

    grid = {
        "crop__kw_args": [{"size": 24}, {"size": 40}],
        "augment__kw_args": [{"copies": 1, "magnitude": 0.2}, {"copies": 2}],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(*cells)
    assert len(search.cv_results_["params"]) == 4
    crop = search.best_estimator_.named_steps["crop"]
    assert crop.kw_args == search.best_params_["crop__kw_args"]


def test_no_copies_are_validated_on(cells, pipeline):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import cross_validate

    seen: list[tuple[str, np.ndarray]] = []

    class Spy(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):  # noqa: N803 - theirs
            self.classes_ = np.unique(y)
            seen.append(("fit", X))
            return self

        def predict(self, X):  # noqa: N803
            seen.append(("predict", X))
            return np.full(len(X), self.classes_[0])

    pipeline.set_params(classify=Spy(), mask="passthrough", crop="passthrough")
    cross_validate(pipeline, *cells, cv=5, error_score="raise")
    assert [(what, len(rows)) for what, rows in seen] == [("fit", 64), ("predict", 8)] * 5
    for (_, trained), (_, tested) in zip(seen[::2], seen[1::2], strict=True):
        originals = {row.tobytes() for row in flat(cells[0])}
        assert {row.tobytes() for row in tested} <= originals
        assert not {row.tobytes() for row in tested} & {row.tobytes() for row in trained}


# -- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["to_tf", "to_torch", "to_hf"])
def test_no_images_are_refused(nothing, name):
    needs = {"to_tf": "tensorflow", "to_torch": "torch", "to_hf": "datasets"}
    pytest.importorskip(needs[name])
    with pytest.raises(CellprepError, match="no image is left to hand on; look at"):
        getattr(nothing, name)()


@pytest.mark.parametrize(
    ("settings", "said"), [({"batch": 0}, "`batch`"), ({"seed": -1}, "`seed`")]
)
def test_settings_of_batches_are_checked(drawn, settings, said):
    pytest.importorskip("tensorflow")
    with pytest.raises(CellprepError, match=said):
        drawn.to_tf(**settings)


@pytest.mark.parametrize(
    ("method", "library", "package"),
    [
        ("to_tf", "tensorflow", "cellprep[models]"),
        ("from_tf", "tensorflow", "cellprep[models]"),
        ("to_torch", "torch", "torch"),
        ("from_torch", "torch", "torch"),
        ("to_hf", "datasets", "cellprep[hf]"),
        ("from_hf", "datasets", "cellprep[hf]"),
    ],
)
def test_what_is_not_installed_is_named(drawn, monkeypatch, method, library, package):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "cellprep.dataset.exchange.pytorch", raising=False)
    said = f"this needs {library}: pip install '{package}'"
    with pytest.raises(CellprepError, match=re.escape(said)):
        getattr(drawn, method)(*([[]] if method.startswith("from") else []))


def test_the_page_on_other_tools_runs(tmp_path, monkeypatch):
    for library in ("tensorflow", "keras", "torch", "datasets", "sklearn", "imblearn"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", HOWTO.read_text("utf-8"), re.DOTALL)
    for block in blocks:
        exec(block, names)
    assert len(blocks) >= 6
