"""Tar headers and tables of files that no program would write: read, or refused in one line."""

from __future__ import annotations

import io
import tarfile
from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp

from .fuzz_helpers import (
    CHANGES,
    IMAGES,
    damaged,
    fuzzed,
    put_files,
    reads_or_refuses,
    succeeds_or_prints_one_line,
)

FIELDS = {
    **{"name": (0, 100), "mode": (100, 8), "uid": (108, 8), "size": (124, 12), "mtime": (136, 12)},
    **{"sum": (148, 8), "type": (156, 1), "link": (157, 100), "magic": (257, 8)},
    **{"owner": (265, 32), "device": (329, 16), "prefix": (345, 155)},
}
"""Offset and length of the fields of a tar header."""
# fmt: off
VALUES = [
    b"", b"\0", b"0", b"7", b"\xff", b"\x80" + bytes(10) + b"\x09", b"77777777777", b"-1",
    b"00000000010", b"../../secret.png", b"/etc/passwd", b"a\0b", b"x" * 200, b"\xff\xfe.png",
    b"ustar\x0000", b"ustar  \0", b"1", b"2", b"5", b"x", b"g", b"L", b"K", b"S", b"V", b"A",
    b"\x01", b"1.cls", b"c.png",
]
# fmt: on


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(IMAGES[number]).save(file, "PNG")
    return file.getvalue()


@cache
def archive(kind: int) -> bytes:
    """A tar file of four samples, and a name so long that it needs a header of its own."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as tar:
        for number in range(4):
            long = "deep/" * 25 * (number == 3)
            for suffix, data in (("png", png(number)), ("cls", b"%d" % (number % 2))):
                member = tarfile.TarInfo(f"{long}{number}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


def with_sums(data: bytearray, at: int) -> None:
    """Correct the checksum of the header at an offset."""
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])


@fuzzed(200)
@given(
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.lists(
        st.tuples(st.integers(0, 11), st.sampled_from(sorted(FIELDS)), st.sampled_from(VALUES)),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
    st.booleans(),
)
def test_tar_files_with_any_headers_are_read_or_refused(
    tmp_path_factory, kind, changes, valid, command
):
    """The fields of headers have other values; their checksums are mostly right."""
    root, data = tmp_path_factory.getbasetemp() / "archives", bytearray(archive(kind))
    headers = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    for number, field, value in changes:
        at, (offset, length) = headers[number % len(headers)], FIELDS[field]
        data[at + offset : at + offset + length] = value[:length].ljust(length, b"\0")
        if valid and field != "sum":
            with_sums(data, at)
    path = put_files({"archives/cells.tar": bytes(data)}, root)
    reads_or_refuses(path)
    if command:
        succeeds_or_prints_one_line("inspect", path)
    assert [file.name for file in root.rglob("*")] == ["archives", "cells.tar"]


TABLE = "path,label,id,slide\n" + "".join(
    f"cells/{number}.png,{'ab'[number % 2]},{number:03},s{number // 2}\n" for number in range(6)
)
CELLS = st.sampled_from(
    [
        *(
            "",
            " ",
            "NA",
            "nan",
            "007",
            "1e400",
            "-1",
            "a" * 5000,
            "=1+1",
            "\0",
            "a\tb",
            "ü",
            "u\u0308",
        ),
        *("cells/0.png", "cells", "../cells/0.png", "/etc/passwd", "file:///etc/passwd", "~", "."),
        *('"', '"a', 'a"b', '"a\nb"', "a,b", "a;b", "'", "\u2028", "\ufeff", "None", "True"),
    ]
)


@fuzzed(150)
@given(st.data(), CHANGES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
def test_csv_tables_of_any_content_are_read_or_refused(tmp_path_factory, data, changes, encoding):
    """Cells, separators, header and encoding vary; half of the tables are damaged besides."""
    lines = [line.split(",") for line in TABLE.splitlines()]
    for _ in range(data.draw(st.integers(0, 3))):
        line = lines[data.draw(st.integers(0, len(lines) - 1))]
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(CELLS)
    if data.draw(st.booleans()):
        lines[data.draw(st.integers(0, 6))] = data.draw(st.lists(CELLS, max_size=6))
    separator, end = (
        data.draw(st.sampled_from(",;\t|")),
        data.draw(st.sampled_from(["\n", "\r\n", "\r"])),
    )
    text = end.join(separator.join(line) for line in lines).encode(encoding, "replace")
    text = damaged(text, changes) if data.draw(st.booleans()) else text
    files = {"tables/cells.csv": text, "tables/good.csv": TABLE.encode()}
    files |= {f"tables/cells/{number}.png": png(number) for number in range(6)}
    path = put_files(files, tmp_path_factory.getbasetemp() / "tables") / "cells.csv"
    options = data.draw(
        st.sampled_from([{}, {"label": "label", "image": "path"}, {"id": "id", "group": "slide"}])
    )
    reads_or_refuses(path, **options)
    if data.draw(st.integers(0, 4)) == 0:
        succeeds_or_prints_one_line("inspect", path)
        good, out = path.with_name("good.csv"), path.with_name("out")
        succeeds_or_prints_one_line("split", good, out, "--groups", f"{path}:slide")


def test_the_unchanged_inputs_are_read(tmp_path):
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        (tmp_path / "cells.tar").write_bytes(archive(kind))
        np.testing.assert_array_equal(cp.read(tmp_path / "cells.tar").images[:], IMAGES[:4])
    (tmp_path / "cells").mkdir()
    for number in range(6):
        (tmp_path / "cells" / f"{number}.png").write_bytes(png(number))
    (tmp_path / "cells.csv").write_text(TABLE)
    assert cp.read(tmp_path / "cells.csv").counts() == {"a": 3, "b": 3}
