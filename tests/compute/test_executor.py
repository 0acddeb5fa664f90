"""Contract of every executor."""

import importlib
from pathlib import Path

import pytest

from volvelle.compute import ProcessExecutor, SerialExecutor


@pytest.fixture
def tasks(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("worker_tasks")


@pytest.fixture(params=["serial", "processes"])
def executor(request):
    if request.param == "serial":
        yield SerialExecutor()
    else:
        with ProcessExecutor(2) as made:
            yield made


def test_every_task_comes_back_once_with_its_index(executor, tasks):
    outcomes = dict(executor.map(tasks.square, (float(n) for n in range(7))))
    assert {index: outcome.value for index, outcome in outcomes.items()} == {
        n: float(n * n) for n in range(7)
    }
    assert all(outcome.ok and outcome.seconds >= 0 for outcome in outcomes.values())


def test_exception_is_words_and_traceback(executor, tasks):
    outcomes = dict(executor.map(tasks.square, [2.0, -1.0, 3.0]))
    assert outcomes[0].value == 4.0 and outcomes[2].value == 9.0
    assert outcomes[1].error == "ValueError: -1.0 is negative\nsecond line"
    assert "worker_tasks.py" in outcomes[1].traceback
    assert not outcomes[1].ok and outcomes[1].signal is None


def test_exit_in_a_task_is_an_error_of_the_task(executor, tasks):
    (outcome,) = dict(executor.map(tasks.leave, [3])).values()
    assert outcome.error == "SystemExit: 3"


def test_no_tasks(executor, tasks):
    assert list(executor.map(tasks.square, [])) == []
