"""npz files with any members: read, or refused in one line; nothing is executed."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellprep as cp
from cellprep.formats import npz

from .fuzz_helpers import (
    IMAGES,
    Malicious,
    fuzzed,
    header,
    reads_or_refuses,
    succeeds_or_prints_one_line,
    written,
)

SHAPES = st.one_of(
    st.just((6, 9, 8, 3)),
    st.lists(st.sampled_from([0, 1, 3, 6, 8, 9, 2**31, 2**62, 10**30, -1, -6]), max_size=6).map(
        tuple
    ),
)
# fmt: off
KINDS = st.sampled_from([
    "|u1", "<i8", "<f8", ">u2", "|O", "<U0", "<U4", "|S0", "|S5", "<U99999999", "|V0", "|V8", "|b1",
    "<M8[D]", "<c16", "[('a', '<i4')]", "[('a', 'O')]", "no", "(3,)u1", "<i8, <i8", "",
])


@fuzzed(150)
@given(
    st.sampled_from(["images", "labels", "ids", "groups", "class_names", "copies", "masks"]),
    SHAPES,
    KINDS,
    st.booleans(),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]),
    st.one_of(st.none(), st.binary(max_size=300)),
)
def test_npz_members_with_any_header_are_read_or_refused(
    tmp_path_factory, name, shape, kind, order, version, compression, body
):
    path = tmp_path_factory.getbasetemp() / "members.npz"
    ran = tmp_path_factory.getbasetemp() / "ran"
    members = {
        key: array
        for key, array in np.load(io.BytesIO(written("npz")["set.npz"])).items()
        if not isinstance(array, bytes)
    }
    with zipfile.ZipFile(path, "w", compression) as archive:
        for key, array in members.items():
            if key == name:
                continue
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{key}.npy", file.getvalue())
        if body is None:
            body = pickle.dumps(Malicious(str(ran)))
        archive.writestr(f"{name}.npy", header(shape, kind, order, version) + body)
    reads_or_refuses(path)
    reads_or_refuses(path, masks="masks")
    succeeds_or_prints_one_line("inspect", path)
    assert not ran.exists()


@pytest.mark.parametrize("body", [b"", b"cos\nmkdir\n(S'ran'\ntR.", pickle.dumps([1])])
def test_a_pickle_is_not_read_as_an_array(body, tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("images.npy", body)
        archive.writestr("labels.npy", body)
    with pytest.raises(cp.CellprepError, match="is not a NumPy array"):
        cp.read(tmp_path / "bad.npz")


def test_a_zip_bomb_is_refused(tmp_path):
    """1 GB of zeros in a few MB; never more than the declared size is unpacked."""
    n = (1 << 30) // (96 * 96 * 3) + 1
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("images.npy", "w", force_zip64=True) as member:
            member.write(header((n, 96, 96, 3)))
            for _ in range(n):
                member.write(bytes(96 * 96 * 3))
        with file.open("labels.npy", "w") as member:
            np.save(member, np.arange(n) % 2)
    with pytest.raises(cp.CellprepError, match="more than 1 GB and 200-fold"):
        cp.read(tmp_path / "bomb.npz")


def test_no_more_is_unpacked_than_a_member_declares(tmp_path, monkeypatch):
    """The sizes in an archive may be false."""
    np.savez_compressed(tmp_path / "good.npz", images=IMAGES, labels=np.arange(6) % 2)
    data = (tmp_path / "good.npz").read_bytes()
    size = struct.pack("<I", len(IMAGES.tobytes()) + 128)
    for false in (0, 100, 2**31, 2**32 - 2):
        path = tmp_path / f"{false}.npz"
        path.write_bytes(data.replace(size, struct.pack("<I", false)))
        assert path.read_bytes() != data
        with pytest.raises(cp.CellprepError):
            cp.read(path).to_arrays()


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_compressed_arrays_are_the_same_in_memory_and_on_disk(limit, tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_MOST_IN_MEMORY", limit)
    labels = np.arange(6) % 2
    for order in "CF":
        np.savez_compressed(
            tmp_path / "set.npz", images=np.asarray(IMAGES, order=order), labels=labels
        )
        cells = cp.read(tmp_path / "set.npz")
        np.testing.assert_array_equal(cells.to_arrays()[0], IMAGES)
        np.testing.assert_array_equal(cells.images[[5, 0, 3]], IMAGES[[5, 0, 3]])
