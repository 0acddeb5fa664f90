"""Getting a data set from its public address, verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .catalogue import FileRecord, record
from .errors import DamagedDataError, DownloadError
from .store import DataSet, cache_dir, locate, problems, search_path, sha256

Progress = Callable[[str, int, int], None]
"""Called as progress(file, bytes had so far, bytes in all)."""

TIMEOUT = 30  # [s] without an answer before an address counts as unreachable


class _Bar:
    """Pooch's progress-bar protocol, forwarded to a plain function."""

    def __init__(self, file: str, progress: Progress, total: int) -> None:
        self.file, self.progress, self.total, self.done = file, progress, total, 0

    def update(self, size: int) -> None:
        self.done += size
        self.progress(self.file, min(self.done, self.total), self.total)  # pooch counts chunks

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        self.progress(self.file, self.total, self.total)


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Pooch reports to its logger; here the caller's progress function does."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _fetch(file: str, expected: FileRecord, folder: Path, progress: Progress | None) -> None:
    import pooch
    import requests

    downloader: Any = pooch.HTTPDownloader(
        timeout=TIMEOUT
    )  # pooch's own annotations are too narrow
    if progress:
        downloader.progressbar = _Bar(file, progress, expected.bytes)
    try:
        with _quiet_pooch():
            pooch.retrieve(
                expected.url, f"sha256:{expected.sha256}", file, folder, downloader=downloader
            )
    except requests.exceptions.RequestException as error:
        raise DownloadError(
            f"could not get {expected.url} ({type(error).__name__}); with a network, repeat; "
            f"without, put the file by hand at {folder / file}"
        ) from error
    except OSError as error:
        raise DownloadError(f"could not write {folder / file}: {error}") from error
    except ValueError as error:  # pooch's word for a wrong hash
        raise DamagedDataError(
            f"what {expected.url} sent is not the file of the registry "
            f"(expected sha256 {expected.sha256}); nothing was kept"
        ) from error


def download(name: str, progress: Progress | None = None) -> DataSet:
    """Get a data set into the user's cache, unless it is already there and undamaged.

    Files are verified before they take their place; those that are already right are not fetched
    again.

    Args:
        name: name of the data set in the registry.
        progress: called as progress(file, bytes so far, bytes in all).

    Raises UnknownDataSetError, DownloadError (naming the address and where to put the file by
    hand) or DamagedDataError.
    """
    entry = record(name)
    for root in search_path():
        if not problems(entry, root / name):
            return locate(name)
    folder = cache_dir() / name
    for file, expected in entry.files.items():
        path = folder / file
        if not (path.is_file() and sha256(path) == expected.sha256):
            _fetch(file, expected, folder, progress)
    return locate(name)
