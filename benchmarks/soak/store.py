"""Object storage for a soak: moto's S3 server in a process of its own."""

from __future__ import annotations

import io
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

from cellprep.system import platform
from cellprep.system.locks import lease as leases

from .child import Child

LEASE = 3.0  # seconds for which a lease is valid, instead of 60


def serve(listening: int) -> None:
    """Answer requests on a socket; each is atomic, as those of S3 are."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def atomic(request: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        # The body of a client that is suspended may come late: nobody else waits for it.
        ends_by_itself = request.get("wsgi.input_terminated")
        length = -1 if ends_by_itself else int(request.get("CONTENT_LENGTH") or 0)
        body = request["wsgi.input"].read(length)
        with turn:
            return [*app({**request, "wsgi.input": io.BytesIO(body)}, start)]

    make_server("127.0.0.1", 0, atomic, threaded=True, fd=listening).serve_forever()


def _end_with(parent: int) -> None:
    platform.wait_for_end_of_parent(parent)
    os._exit(0)


@dataclass(frozen=True)
class Store:
    """A store with the bucket `cells`, which everything that is started later uses for s3://."""

    server: Child
    endpoint: str

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Store]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = Child.start(serve, listening.fileno())
            endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        os.environ["AWS_ENDPOINT_URL"] = endpoint
        os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
        os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "any"
        leases._EXPIRED, leases._RENEWED = LEASE, LEASE / 8
        store = cls(server, endpoint)
        store.clear()
        yield store
        server.send(signal.SIGKILL)
        server.result()

    def clear(self) -> None:
        """Delete everything but the bucket."""
        for method, what in ("POST", "moto-api/reset"), ("PUT", "cells"):
            urlopen(Request(f"{self.endpoint}/{what}", method=method)).close()
