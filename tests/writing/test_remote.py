"""URLs instead of paths: fsspec's memory file system, and S3 with a local server."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
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
from cellprep.system import paths
from cellprep.system.locks import lease as leases
from cellprep.system.paths import atomic

from .helpers import MOVE, below, breaking, dataset, tree, write

upath = pytest.importorskip("upath")

FORMATS = tuple(cp.formats.FORMATS)
OF_EACH_KIND = ("npz", "shards", "zarr")
ALL = cp.Recipe([cp.Balance(target=3), cp.KMeansMask(), cp.RandAugment(copies=1)], seed=5)


@pytest.fixture(params=["memory", "s3"])
def root(request: Any, tmp_path: Path) -> Iterator[str]:
    """A URL below which there are no files."""
    if request.param == "s3":
        request.getfixturevalue("server")
    yield f"{request.param}://cells/{tmp_path.name} [1]"
    assert not [name for name in below("memory://") if name.endswith(".tmp")]


def few() -> cp.Dataset:
    return dataset(n=9, class_names=CLASS_NAMES[:2])


def fill(url: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        with paths.atomic_write(paths.as_path(url) / name) as temporary:
            temporary.write_bytes(data)


def failing_at(monkeypatch: pytest.MonkeyPatch, moment: int, error: BaseException) -> None:
    """Let the nth upload fail."""
    put, left = atomic._upload, iter(range(moment, -1, -1))

    def broken(local: Path, path: Any) -> None:
        if next(left, 1) == 0:
            raise error
        put(local, path)

    monkeypatch.setattr(atomic, "_upload", broken)


# -- the same as on disk -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "root"),
    [
        *((format, "memory") for format in FORMATS),
        *((format, "s3") for format in OF_EACH_KIND),
        *(pytest.param(f, "s3", marks=pytest.mark.slow) for f in FORMATS if f not in OF_EACH_KIND),
    ],
    indirect=["root"],
)
def test_a_write_to_a_url_has_the_bytes_of_a_local_write(format, root, tmp_path):
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
    # Continue from there: the source, its record and the output are URLs.
    for source, target in ((url, f"{root}/next"), (local, tmp_path / "next")):
        write(cp.Recipe([cp.Jitter()], seed=2)(cp.read(source)), target)
    images = {name: data for name, data in below(f"{root}/next").items() if "json" not in name}
    assert images == {n: d for n, d in tree(tmp_path / "next").items() if "json" not in n}


@pytest.mark.parametrize("format", ["medmnist", "parquet", "tfrecord", "webdataset", "zarr"])
def test_files_of_other_programs_are_read_from_urls(format, root, tmp_path):
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
    if shards:  # replace one file by another
        fill(url, {shards[0]: files[shards[1]]})
        assert cp.read(url).source.identity() != before


def test_image_folders_with_masks_and_bad_files_are_read_from_urls(root, tmp_path):
    images = dataset(n=6).to_arrays()[0]
    files = {}
    for number, image in enumerate(images):
        path = tmp_path / "x.png"
        Image.fromarray(image).save(path)
        files[f"{'ab'[number % 2]}/deep/{number}.png"] = path.read_bytes()
    ignored = {"a/broken.png": b"not an image", "b/.hidden/1.png": b"", "a/n.txt": b""}
    fill(f"{root}/in", files | ignored)
    masks = {}
    for name in list(files)[:3]:
        Image.fromarray(np.eye(24, dtype=np.uint8) * 255).save(path)
        masks[name] = path.read_bytes()
    fill(f"{root}/masks", masks)
    found = cp.read(f"{root}/in", masks=f"{root}/masks")
    assert found.class_names == ("a", "b")
    with pytest.raises(cp.BadImagesError, match=r"broken.png: is not an image file"):
        write(found, f"{root}/out")
    done = write(found, f"{root}/out", on_error="quarantine")
    assert list(done.bad) == ["a/broken.png"]
    assert below(f"{root}/out/quarantine") == {"a/broken.png": b"not an image"}
    assert set(below(f"{root}/in")) >= set(files)
    good = found.readable()
    assert {
        name: image.tobytes() for name, image in zip(good.ids, good.images[:], strict=True)
    } == {name: images[int(Path(name).stem)].tobytes() for name in files}
    masked = [name for name, mask in zip(good.ids, good.masks[:], strict=True) if mask.any()]
    assert sorted(masked) == sorted(masks)
    before = found.source.identity()
    fill(f"{root}/in", {"a/deep/0.png": files["a/deep/2.png"]})
    assert cp.read(f"{root}/in", masks=f"{root}/masks").source.identity() != before


def test_a_missing_bucket_is_reported_before_any_computation(s3, monkeypatch):
    measured = []
    monkeypatch.setattr(cp.Dataset, "plan", property(measured.append))
    with pytest.raises(CellprepError, match=r"cannot write 's3://nobody/out': .*bucket") as error:
        write(cp.Recipe([cp.Dedupe()])(few()), "s3://nobody/out")
    assert "\n" not in str(error.value)
    assert not measured


def test_a_connection_error_is_not_reported_as_a_bad_file(root, monkeypatch):
    fill(f"{root}/in", {"a/0.png": b"1", "b/1.png": b"2"})
    found = cp.read(f"{root}/in")
    fs = paths.as_path(root).fs
    late = [TimeoutError("too late")] * 2
    monkeypatch.setattr(fs, "cat_ranges", lambda *given, **options: late)
    with pytest.raises(CellprepError, match=r"cannot read .*too late") as caught:
        write(found, f"{root}/out", on_error="skip")
    assert not isinstance(caught.value, cp.BadImagesError)


def test_the_command_line_accepts_urls(root, tmp_path):
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


def test_storage_options_and_upaths_are_accepted(server, s3, monkeypatch):
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
def test_processes_write_to_s3_but_not_to_memory_urls(s3, tmp_path):
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


def test_listings_are_as_many_for_any_number_of_shards(s3, monkeypatch):
    s3fs, listings = pytest.importorskip("s3fs"), {2: 0, 6: 0}
    call = s3fs.S3FileSystem._call_s3
    for shards in listings:

        async def counted(self: Any, method: str, *given: Any, of: int = shards, **named: Any):
            listings[of] += method == "list_objects_v2"
            return await call(self, method, *given, **named)

        monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
        url = f"{s3}/{shards}"
        write(dataset(n=12), url, rows_per_shard=12 // shards, masks=False)
        cp.read(url)
        cp.verify(url)
        write(MOVE(dataset(n=12)), url, rows_per_shard=12 // shards, overwrite=True)
    assert listings[2] == listings[6] > 0


# -- interruption ------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["shards", "folder"])
def test_an_interrupted_write_to_a_url_resumes(format, root, tmp_path):
    options = {"format": format, "rows_per_shard": 5, "workers": 1}
    with pytest.raises(KeyboardInterrupt):
        write(MOVE(breaking(dataset(), KeyboardInterrupt())), f"{root}/out", **options)
    with pytest.raises(CellprepError, match="not written to the end; run the same write again"):
        cp.read(f"{root}/out")
    with pytest.raises(CellprepError, match="contains another data set"):
        write(cp.Recipe([cp.Jitter()], seed=9)(dataset()), f"{root}/out", **options)
    assert 0 < write(MOVE(dataset()), f"{root}/out", **options).resumed < 35
    write(MOVE(dataset()), tmp_path / "out", **options)
    assert below(f"{root}/out") == tree(tmp_path / "out")


def test_a_write_resumes_after_a_failed_upload(s3, tmp_path, monkeypatch):
    from botocore.exceptions import ConnectionClosedError

    options = {"rows_per_shard": 5, "workers": 1}
    write(MOVE(dataset()), tmp_path / "out", **options)
    with monkeypatch.context() as patch:
        failing_at(patch, 7, ConnectionClosedError(endpoint_url="http://there"))
        with pytest.raises(CellprepError, match=r"cannot write .* Connection was closed"):
            write(MOVE(dataset()), f"{s3}/out", **options)
    assert write(MOVE(dataset()), f"{s3}/out", **options).resumed in (5, 10, 15)
    assert below(f"{s3}/out") == tree(tmp_path / "out")


def write_and_die(url: str, moment: str) -> None:
    """Write, but be killed before the nth upload."""
    put, left = atomic._upload, iter(range(int(moment) - 1, -1, -1))

    def deadly(local: Path, path: Any) -> None:
        if not next(left):
            os.kill(os.getpid(), signal.SIGKILL)
        put(local, path)

    atomic._upload = deadly
    write(MOVE(dataset()), url, rows_per_shard=12, workers=1)


@pytest.mark.slow
@pytest.mark.unix("no SIGKILL")
@pytest.mark.parametrize(("moment", "rows"), [(3, 0), (6, 24), (8, 35)])
def test_a_write_to_a_url_resumes_after_a_kill(moment, rows, s3, tmp_path):
    code = "from tests.writing.test_remote import write_and_die as f; import sys; f(*sys.argv[1:])"
    roots = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    killed = subprocess.run(
        [sys.executable, "-c", code, f"{s3}/out", str(moment)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots))},
        timeout=600,
    )
    assert killed.returncode == -signal.SIGKILL
    assert write(MOVE(dataset()), f"{s3}/out", rows_per_shard=12).resumed == rows
    write(MOVE(dataset()), tmp_path / "out", rows_per_shard=12)
    assert below(f"{s3}/out") == tree(tmp_path / "out")


@pytest.mark.parametrize(("old", "new"), [("folder", "shards"), ("shards", "npz")])
def test_overwriting_deletes_only_files_of_the_old_set(old, new, root, monkeypatch):
    monkeypatch.setattr(leases, "_ASKED_AGAIN", 0)  # the lease outlives what is deleted
    write(dataset(n=9), f"{root}/out", format=old, rows_per_shard=4)
    beside = root.replace("[1]", "1")  # would match if the name were used as a pattern
    fill(f"{beside}/out", {".cellprep/part-00000.arrow": b"", "shard-00000.npy": b""})
    with pytest.raises(CellprepError, match="contains another data set"):
        write(MOVE(dataset(n=9)), f"{root}/out", format=new)
    write(MOVE(dataset(n=9)), f"{root}/out", format=new, overwrite=True)
    about = {"README.md", "croissant.json"}
    of_shards = {"dataset.json", "index.parquet", "shard-00000.npy", *about}
    files = {"shards": of_shards, "npz": {"."}}[new]
    assert set(below(f"{root}/out")) == files
    assert len(below(f"{beside}/out")) == 2
    fill(f"{root}/mine", {"thesis.doc": b"mine"})
    with pytest.raises(CellprepError, match="cellprep did not write"):
        write(dataset(n=9), f"{root}/mine", overwrite=True)


@pytest.mark.parametrize("format", ["shards", "npz"])
def test_a_store_that_shows_new_files_late_gets_the_same_bytes(format, tmp_path, monkeypatch):
    url, timers = f"memory://cells/{tmp_path.name}/out", []
    fs = paths.as_path(url).fs
    put = fs.pipe_file

    def late(path: str, data: bytes, **options: Any) -> None:
        timers.append(threading.Timer(0.3, put, [path, data]))
        timers[-1].start()

    with monkeypatch.context() as patch:
        patch.setattr(fs, "pipe_file", late)
        write(MOVE(dataset(n=9)), url, format=format, rows_per_shard=4)
        for timer in timers:
            timer.join()
    write(MOVE(dataset(n=9)), tmp_path / "out", format=format, rows_per_shard=4)
    assert cp.read(url, format=format).images[:].tobytes()
    write(MOVE(dataset(n=9)), url, format=format, rows_per_shard=4)  # deletes what came late
    assert below(url) == tree(tmp_path / "out")


# -- errors ------------------------------------------------------------------------------------


def test_unreachable_urls_are_refused_in_one_line(server, monkeypatch):
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


def test_missing_permission_is_reported(s3, monkeypatch):
    fs = paths.as_path(s3).fs

    def refuse(*given: Any, **options: Any) -> None:
        raise PermissionError("Access Denied")

    write(dataset(n=2), f"{s3}/out")
    monkeypatch.setattr(fs, "put_file", refuse)
    monkeypatch.setattr(fs, "cat_file", refuse)
    with pytest.raises(CellprepError, match=r"cannot write .*Access Denied"):
        write(dataset(n=2), f"{s3}/new")
    with pytest.raises(CellprepError, match=r"Access Denied|has finished"):
        cp.read(f"{s3}/out")


def test_truncated_shards_are_reported_as_damaged(root):
    write(dataset(n=9), f"{root}/out")
    found = cp.read(f"{root}/out")
    fill(f"{root}/out", {"shard-00000.npy": b"short"})
    with pytest.raises(CellprepError, match=r"cannot be read: it ends before|cannot read"):
        found.images[:]
    with pytest.raises(CellprepError, match="missing or truncated"):
        cp.read(f"{root}/out")
