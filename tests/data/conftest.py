"""A registry of one small data set on a server of this machine."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest

from volvelle.data import DataSetRecord, FileRecord, catalogue, store

CONTENTS = {"mean.txt": b"1 2 3\n", "!notes.txt": b"read me\n"}


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    handler = partial(_Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def toy(server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSetRecord:
    """The data set ``toy``, the registry's only one; neither folder holds it yet."""
    files = {
        name: FileRecord(hashlib.sha256(c).hexdigest(), len(c), f"{server[1]}/{name}")
        for name, c in CONTENTS.items()
    }
    entry = DataSetRecord("toy", "a toy", "none", "nobody", "read it", MappingProxyType(files))
    for module in (catalogue, store):
        monkeypatch.setattr(module, "registry", lambda: {"toy": entry})
    monkeypatch.setenv("VOLVELLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VOLVELLE_DATA", str(tmp_path / "data"))
    for proxy in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return entry
