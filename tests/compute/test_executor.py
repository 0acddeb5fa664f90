"""Contract of every executor."""

import pytest

from volvelle.compute import (
    DaskExecutor,
    ExecutorError,
    ProcessExecutor,
    SerialExecutor,
    call,
)


@pytest.fixture(params=["serial", "processes", "dask"])
def executor(request):
    if request.param == "serial":
        yield SerialExecutor()
    elif request.param == "processes":
        with ProcessExecutor(2) as made:
            yield made
    else:
        address = request.getfixturevalue("dask").address
        with DaskExecutor(address) as made:
            yield made


@pytest.fixture(params=["processes", "dask"])
def limited(request):
    """An executor with a time limit of a second, which in-process work cannot have."""
    if request.param == "processes":
        with ProcessExecutor(2, time_limit=1.0) as made:
            yield made
    else:
        with DaskExecutor(request.getfixturevalue("dask").address, time_limit=1.0) as made:
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


def test_a_task_may_raise_that_the_place_is_unfit(tasks):
    (outcome,) = dict(SerialExecutor().map(tasks.unfit, ["anywhere"])).values()
    assert outcome.unfit and outcome.error == "UnfitWorkerError: not at anywhere"


def test_one_call(executor, tasks):
    assert call(executor, tasks.square, 3.0) == 9.0
    with pytest.raises(ExecutorError, match=r"(?s)^ValueError: -1.0 is neg.*worker_tasks.py") as e:
        call(executor, tasks.square, -1.0)
    assert str(e.value).count("-1.0 is negative") == 1


def test_more_tasks_than_are_sent_ahead(executor, tasks):
    outcomes = dict(executor.map(tasks.square, [float(n) for n in range(60)]))
    assert [outcomes[n].value for n in range(60)] == [float(n * n) for n in range(60)]


def test_two_maps_at_once_are_refused_where_they_share_workers(limited, tasks):
    first = limited.map(tasks.square, [1.0, 2.0])
    next(first)
    with pytest.raises(ExecutorError, match="busy with another map"):
        next(limited.map(tasks.square, [1.0]))
    assert len(list(first)) == 1


def test_the_time_limit_ends_a_task_that_hangs_and_no_other(limited, tasks):
    outcomes = dict(limited.map(tasks.sleep, [0.01, 50.0, 0.02]))
    assert outcomes[1].timed_out and "past its limit of 1 s" in outcomes[1].error
    assert outcomes[0].ok and outcomes[2].ok


def test_the_time_limit_is_not_for_all(limited, tasks):
    assert call(limited, tasks.sleep, 1.5) == 1.5


def test_a_segmentation_fault_costs_its_task_only(limited, tasks):
    outcomes = dict(limited.map(tasks.unless_crash, range(6)))
    assert outcomes[2].signal == "SIGSEGV"
    assert outcomes[2].error == "WorkerDied: the worker process was killed by SIGSEGV"
    assert all(outcomes[n].ok for n in (0, 1, 3, 4, 5))


def test_where_the_work_runs(executor, tasks):
    assert executor.remote == isinstance(executor, DaskExecutor)
    assert executor.workers >= 1
