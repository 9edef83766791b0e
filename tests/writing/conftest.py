"""An S3 server, and settings for sets in pieces."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from cellprep.formats import pieces
from cellprep.plan import choice


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server in this process, with the bucket `cells`."""
    upath = pytest.importorskip("upath")
    s3fs = pytest.importorskip("s3fs")
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
        # Neither connections to the server of an earlier module nor that server's buckets.
        s3fs.S3FileSystem.clear_instance_cache()
        urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
        upath.UPath("s3://cells").fs.mkdir("cells")
        yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(server: str, tmp_path: Path) -> str:
    return f"s3://cells/{tmp_path.name} [1]"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of two shards, so that five shards have three."""
    monkeypatch.setattr(pieces, "SHARDS_PER_PIECE", 2)


@pytest.fixture
def large(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of two shards, and so few rows that a table computes at once."""
    monkeypatch.setattr(choice, "SMALL", 3)
