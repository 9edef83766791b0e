"""URLs in the place of paths: memory, and S3 as a server on this machine speaks it."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cellprep as cp
from cellprep.cli import main
from cellprep.errors import CellprepError
from cellprep.synthetic import CLASS_NAMES
from cellprep.system import paths as place

from .test_write import MOVE, breaking, dataset, tree, write

upath = pytest.importorskip("upath")

FORMATS = tuple(cp.formats.FORMATS)
ALL = cp.Recipe([cp.Balance(target=3), cp.KMeansMask(), cp.RandAugment(copies=1)], seed=5)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server of this process, with the bucket `cells`."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "any")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        upath.UPath("s3://cells").fs.mkdir("cells")
        yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(params=["memory", "s3"])
def root(request: Any, tmp_path: Path) -> Iterator[str]:
    """A URL under which nothing lies."""
    if request.param == "s3":
        request.getfixturevalue("server")
    yield f"{request.param}://cells/{tmp_path.name} [1]"
    assert not [name for name in below("memory://") if name.endswith(".tmp")]


@pytest.fixture
def s3(server: str, tmp_path: Path) -> str:
    return f"s3://cells/{tmp_path.name} [1]"


def few() -> cp.Dataset:
    return dataset(n=9, class_names=CLASS_NAMES[:2])


def below(url: str) -> dict[str, bytes]:
    """Every file under a URL, hidden ones too; a file itself under the name '.'."""
    path = place.as_path(url)
    if path.is_file():
        return {".": place.read_bytes(path)}
    return {name: place.read_bytes(path / name) for name in place.listed(path)}


def fill(url: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        with place.replacing(place.as_path(url) / name) as temporary:
            temporary.write_bytes(data)


def failing_at(monkeypatch: pytest.MonkeyPatch, moment: int, error: BaseException) -> None:
    """Let the nth upload fail."""
    put, left = place._put, iter(range(moment, -1, -1))

    def broken(local: Path, path: Any) -> None:
        if next(left, 1) == 0:
            raise error
        put(local, path)

    monkeypatch.setattr(place, "_put", broken)


# -- the same as on a disk ---------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_to_a_url_is_what_is_written_to_a_disk(format, root, tmp_path):
    one_file = cp.formats.FORMATS[format].is_file
    ending = ".npz" if one_file else ""
    url, local = f"{root}/out{ending}", tmp_path / f"out{ending}"
    options = {"format": format, "rows_per_shard": 8, "masks": True}
    made = ALL(few())
    assert str(write(made, url, **options).path) == url
    write(made, local, **options)
    assert below(url) == tree(local)
    there, here = cp.read(url), cp.read(local)
    for at in (slice(None), [5, 1, 11, 3, 5], 7, slice(6, 9), []):
        np.testing.assert_array_equal(there.images[at], here.images[at])
        np.testing.assert_array_equal(there.masks[at], here.masks[at])
    assert there.ids.tolist() == here.ids.tolist()
    np.testing.assert_array_equal(cp.replay(url, few()), here.images[:])
    again = write(made, url, **options)
    assert one_file or again.resumed == again.rows
    # and on from there: the source, its record and the output are URLs
    for source, target in ((url, f"{root}/next"), (local, tmp_path / "next")):
        write(cp.Recipe([cp.Jitter()], seed=2)(cp.read(source)), target)
    images = {name: data for name, data in below(f"{root}/next").items() if "json" not in name}
    assert images == {n: d for n, d in tree(tmp_path / "next").items() if "json" not in n}


@pytest.mark.parametrize("format", ["medmnist", "parquet", "tfrecord", "webdataset", "zarr"])
def test_files_of_others_are_read_from_urls(format, root, tmp_path):
    local, url, chosen = tmp_path / "set", f"{root}/set", {}
    if format == "medmnist":
        local, url, chosen = tmp_path / "set.npz", f"{root}/set.npz", {"part": "val"}
        images, labels = few().to_arrays()
        arrays = {"train_images": images[:4], "train_labels": labels[:4, None]}
        np.savez(local, val_images=images, val_labels=labels[:, None], **arrays)
        files = {local.name: local.read_bytes()}
        fill(root, files)
    else:
        made = cp.Recipe([cp.KMeansMask()])(few())
        write(made, local, format=format, rows_per_shard=4, masks=True)
        (local / "dataset.json").unlink()
        files = tree(local)
        fill(url, files)
    here, there = cp.read(local, **chosen), cp.read(url, **chosen)
    np.testing.assert_array_equal(there.images[:], here.images[:])
    np.testing.assert_array_equal(there.images[[7, 1, 7, 4]], here.images[[7, 1, 7, 4]])
    assert there.labels.tolist() == here.labels.tolist()
    assert there.ids.tolist() == here.ids.tolist()
    assert there.class_names == here.class_names
    before = there.source.identity()
    assert before == cp.read(url, **chosen).source.identity()
    write(MOVE(there), f"{root}/moved")
    write(MOVE(here), tmp_path / "moved")
    assert below(f"{root}/moved")["shard-00000.npy"] == tree(tmp_path / "moved")["shard-00000.npy"]
    shards = [name for name in sorted(files) if "shard" in name]
    if shards:  # another file in the place of one
        fill(url, {shards[0]: files[shards[1]]})
        assert cp.read(url).source.identity() != before


def test_image_folders_with_masks_and_bad_files(root, tmp_path):
    images = dataset(n=6).to_arrays()[0]
    files = {}
    for number, image in enumerate(images):
        path = tmp_path / "x.png"
        Image.fromarray(image).save(path)
        files[f"{'ab'[number % 2]}/deep/{number}.png"] = path.read_bytes()
    others = {"a/broken.png": b"no image", "b/.hidden/1.png": b"", "a/n.txt": b""}
    fill(f"{root}/in", files | others)
    drawn = {name: files[name] for name in list(files)[:3]}
    fill(f"{root}/drawn", drawn)
    found = cp.read(f"{root}/in", masks=f"{root}/drawn")
    assert found.class_names == ("a", "b")
    with pytest.raises(cp.BadImagesError, match=r"broken.png: is not an image file"):
        write(found, f"{root}/out")
    done = write(found, f"{root}/out", on_error="quarantine")
    assert list(done.bad) == ["a/broken.png"]
    assert below(f"{root}/out/quarantine") == {"a/broken.png": b"no image"}
    assert set(below(f"{root}/in")) >= set(files)
    good = found.readable()
    assert {
        name: image.tobytes() for name, image in zip(good.ids, good.images[:], strict=True)
    } == {name: images[int(Path(name).stem)].tobytes() for name in files}
    masked = [name for name, mask in zip(good.ids, good.masks[:], strict=True) if mask.any()]
    assert sorted(masked) == sorted(drawn)
    before = found.source.identity()
    fill(f"{root}/in", {"a/deep/0.png": files["a/deep/2.png"]})
    assert cp.read(f"{root}/in", masks=f"{root}/drawn").source.identity() != before


def test_a_bucket_that_is_not_there_is_told_before_long_work(s3, monkeypatch):
    measured = []
    monkeypatch.setattr(cp.Dataset, "plan", property(measured.append))
    with pytest.raises(CellprepError, match=r"cannot write 's3://nobody/out': .*bucket") as error:
        write(cp.Recipe([cp.Dedupe()])(few()), "s3://nobody/out")
    assert "\n" not in str(error.value)
    assert not measured


def test_an_outage_is_not_a_bad_file(root, monkeypatch):
    fill(f"{root}/in", {"a/0.png": b"1", "b/1.png": b"2"})
    found = cp.read(f"{root}/in")
    fs = place.as_path(root).fs
    late = [TimeoutError("too late")] * 2
    monkeypatch.setattr(fs, "cat_ranges", lambda *given, **options: late)
    with pytest.raises(CellprepError, match=r"cannot read .*too late") as caught:
        write(found, f"{root}/out", on_error="skip")
    assert not isinstance(caught.value, cp.BadImagesError)


def test_the_command_line_takes_urls(root, tmp_path):
    write(few(), tmp_path / "in", format="folder")
    dry = CliRunner().invoke(main, ["convert", str(tmp_path / "in"), f"{root}/dry", "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert not below(root)
    for arguments in (
        ["convert", tmp_path / "in", f"{root}/set"],
        ["convert", f"{root}/set", f"{root}/set.npz"],
        ["split", f"{root}/set.npz", f"{root}/parts", "--parts", "train=0.5,test=0.5"],
        ["inspect", f"{root}/parts/train"],
    ):
        done = CliRunner().invoke(main, list(map(str, arguments)))
        assert done.exit_code == 0, done.output
    assert {name.split("/")[0] for name in below(f"{root}/parts")} == {"train", "test"}


def test_storage_options_and_upaths(server, s3, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    options = {"endpoint_url": server, "key": "any", "secret": "any"}
    write(dataset(n=5), f"{s3}/out", storage_options=options)
    assert len(cp.read(f"{s3}/out", storage_options=options).to_arrays()[0]) == 5
    assert len(cp.read(upath.UPath(f"{s3}/out", **options))) == 5
    with pytest.raises(CellprepError, match="the input itself"):
        cp.write(
            cp.read(f"{s3}/out", storage_options=options), upath.UPath(f"{s3}/out/", **options)
        )


@pytest.mark.slow
def test_processes_write_to_a_server_and_share_no_memory(s3, tmp_path):
    write(MOVE(dataset()), f"{s3}/out", executor="processes", rows_per_shard=20)
    write(MOVE(dataset()), tmp_path / "out", rows_per_shard=20)
    assert below(f"{s3}/out") == tree(tmp_path / "out")
    source = pickle.loads(pickle.dumps(cp.read(f"{s3}/out").source))
    assert source.images(np.arange(2)).shape == (2, 24, 24, 3)
    with pytest.raises(CellprepError, match="memory of this process"):
        write(dataset(), "memory://cells/out", executor="processes")
    write(dataset(n=3), "memory://cells/shared")
    with pytest.raises(CellprepError, match="memory of this process"):
        cp.read("memory://cells/shared").to_arrays(executor="processes")


# -- nothing half-written ----------------------------------------------------------------------


@pytest.mark.parametrize("format", ["shards", "folder"])
def test_an_interrupted_write_goes_on(format, root, tmp_path):
    options = {"format": format, "rows_per_shard": 5, "workers": 1}
    with pytest.raises(KeyboardInterrupt):
        write(MOVE(breaking(dataset(), KeyboardInterrupt())), f"{root}/out", **options)
    with pytest.raises(CellprepError, match="not written to the end; run the same write again"):
        cp.read(f"{root}/out")
    with pytest.raises(CellprepError, match="holds another data set"):
        write(cp.Recipe([cp.Jitter()], seed=9)(dataset()), f"{root}/out", **options)
    assert 0 < write(MOVE(dataset()), f"{root}/out", **options).resumed < 35
    write(MOVE(dataset()), tmp_path / "out", **options)
    assert below(f"{root}/out") == tree(tmp_path / "out")


def test_an_upload_that_fails_leaves_a_set_to_go_on_with(s3, tmp_path, monkeypatch):
    from botocore.exceptions import ConnectionClosedError

    options = {"rows_per_shard": 5, "workers": 1}
    write(MOVE(dataset()), tmp_path / "out", **options)
    with monkeypatch.context() as patch:
        failing_at(patch, 7, ConnectionClosedError(endpoint_url="http://there"))
        with pytest.raises(CellprepError, match=r"cannot write .* Connection was closed"):
            write(MOVE(dataset()), f"{s3}/out", **options)
    assert write(MOVE(dataset()), f"{s3}/out", **options).resumed == 10
    assert below(f"{s3}/out") == tree(tmp_path / "out")


def write_and_die(url: str, moment: str) -> None:
    """Killed before the nth upload."""
    put, left = place._put, iter(range(int(moment) - 1, -1, -1))

    def deadly(local: Path, path: Any) -> None:
        if not next(left):
            os.kill(os.getpid(), signal.SIGKILL)
        put(local, path)

    place._put = deadly
    write(MOVE(dataset()), url, rows_per_shard=12, workers=1)


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "rows"), [(5, 0), (8, 24), (11, 35)])
def test_killed_it_goes_on(moment, rows, s3, tmp_path):
    code = "import sys; from test_remote import write_and_die; write_and_die(*sys.argv[1:])"
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    killed = subprocess.run(
        [sys.executable, "-c", code, f"{s3}/out", str(moment)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        timeout=600,
    )
    assert killed.returncode == -signal.SIGKILL
    assert write(MOVE(dataset()), f"{s3}/out", rows_per_shard=12).resumed == rows
    write(MOVE(dataset()), tmp_path / "out", rows_per_shard=12)
    assert below(f"{s3}/out") == tree(tmp_path / "out")


@pytest.mark.parametrize(("old", "new"), [("folder", "shards"), ("shards", "npz")])
def test_overwriting_leaves_nothing_behind_but_what_is_the_users(old, new, root):
    write(dataset(n=9), f"{root}/out", format=old, rows_per_shard=4)
    beside = root.replace("[1]", "1")  # what a pattern made of the name would find
    fill(f"{beside}/out", {".cellprep/part-00000.arrow": b"", "shard-00000.npy": b""})
    with pytest.raises(CellprepError, match="holds another data set"):
        write(MOVE(dataset(n=9)), f"{root}/out", format=new)
    write(MOVE(dataset(n=9)), f"{root}/out", format=new, overwrite=True)
    files = {"shards": {"dataset.json", "index.parquet", "shard-00000.npy"}, "npz": {"."}}[new]
    assert set(below(f"{root}/out")) == files
    assert len(below(f"{beside}/out")) == 2
    fill(f"{root}/mine", {"thesis.doc": b"mine"})
    with pytest.raises(CellprepError, match="cellprep did not write"):
        write(dataset(n=9), f"{root}/mine", overwrite=True)


# -- refused in one line -----------------------------------------------------------------------


def test_what_cannot_be_reached_is_said_in_one_line(server, monkeypatch):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    off = {"endpoint_url": nobody, "config_kwargs": {"retries": {"max_attempts": 0}}}
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("s3://missing/set", {}, "no file or folder|bucket does not exist"),
        ("s3://", {}, "names no bucket"),
        ("nowhere://cells/set", {}, "nowhere"),
        ("s3://cells/set", off, "Could not connect"),
        ("s3:/cells/set", {}, "looks like a URL that pathlib has changed"),
        ("local/set", {"key": "any"}, "`storage_options` are for URLs"),
    ]
    for url, options, message in cases:
        with pytest.raises(CellprepError, match=message) as caught:
            cp.read(url, storage_options=options)
        assert "\n" not in str(caught.value)
        with pytest.raises(CellprepError, match=message) as caught:
            write(dataset(n=2), url, storage_options=options)
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(CellprepError, match=r"pip install 'cellprep\[remote\]'"):
        cp.read("s3://cells/set")


def test_without_permission_it_is_refused(s3, monkeypatch):
    fs = place.as_path(s3).fs

    def refuse(*given: Any, **options: Any) -> None:
        raise PermissionError("Access Denied")

    write(dataset(n=2), f"{s3}/out")
    monkeypatch.setattr(fs, "put_file", refuse)
    monkeypatch.setattr(fs, "cat_file", refuse)
    with pytest.raises(CellprepError, match=r"cannot write .*Access Denied"):
        write(dataset(n=2), f"{s3}/new")
    with pytest.raises(CellprepError, match=r"Access Denied|has finished"):
        cp.read(f"{s3}/out")


def test_shards_that_end_too_early_are_damaged(root):
    write(dataset(n=9), f"{root}/out")
    found = cp.read(f"{root}/out")
    fill(f"{root}/out", {"shard-00000.npy": b"short"})
    with pytest.raises(CellprepError, match=r"cannot be read: it ends before|cannot read"):
        found.images[:]
    with pytest.raises(CellprepError, match="missing or cut short"):
        cp.read(f"{root}/out")
