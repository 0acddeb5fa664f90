"""Tasks in a module that workers import, and a Dask cluster of two workers."""

import importlib
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def tasks(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("worker_tasks")


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    """A scheduler and two workers, which the tests of a module share."""
    from dask_cluster import dask_cluster

    folder = tmp_path_factory.mktemp("dask")
    with dask_cluster(folder, HERE, workers=2) as cluster:
        yield cluster


@pytest.fixture
def cluster(tmp_path):
    """A scheduler without workers, of one test alone."""
    from dask_cluster import dask_cluster

    with dask_cluster(tmp_path, HERE) as made:
        yield made
