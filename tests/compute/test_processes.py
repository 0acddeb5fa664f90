"""Worker processes: crashes, limits, endings, and every kind of parent."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import volvelle
from volvelle.compute import ExecutorError, ProcessExecutor

HERE = Path(__file__).parent
SOURCE = Path(volvelle.__file__).parents[1]
ONE_CORE = 1.3  # processor time per wall-clock time of one busy thread, with idle helpers' wake-ups
PATIENCE = 10.0  # [s] how long a loaded machine may take to do what takes milliseconds


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def pid_in(path: Path) -> int:
    assert wait_until(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def run_python(*arguments: str, source: str | None = None) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{HERE}"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, input=source, env=environment, capture_output=True, text=True, timeout=60
    )


def test_segmentation_fault_costs_its_task_only(tasks):
    with ProcessExecutor(2) as executor:
        outcomes = dict(executor.map(tasks.unless_crash, range(6)))
        again = dict(executor.map(tasks.unless_crash, [0]))
    assert outcomes[2].signal == "SIGSEGV"
    assert outcomes[2].error == "WorkerDied: the worker process was killed by SIGSEGV"
    assert all(outcomes[n].ok for n in (0, 1, 3, 4, 5))
    assert again[0].ok and os.getpid() != again[0].value


def test_exit_behind_pythons_back_is_reported(tasks):
    with ProcessExecutor(1) as executor:
        outcomes = dict(executor.map(tasks.vanish, [7, 8]))
    assert outcomes[0].error == "WorkerDied: the worker process left with exit code 7"
    assert outcomes[1].signal is None and "exit code 8" in outcomes[1].error


def test_workers_stay_for_the_next_map_and_leave_at_close(tasks):
    with ProcessExecutor(1) as executor:
        first = dict(executor.map(tasks.unless_crash, [0]))[0].value
        assert dict(executor.map(tasks.unless_crash, [0]))[0].value == first
    assert not alive(first)


def test_idle_worker_that_died_is_replaced(tasks):
    with ProcessExecutor(1) as executor:
        first = dict(executor.map(tasks.unless_crash, [0]))[0].value
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: not alive(first))
        assert dict(executor.map(tasks.unless_crash, [0]))[0].value != first


def test_closing_the_iterator_ends_what_is_in_flight(tasks, tmp_path):
    with ProcessExecutor(2) as executor:
        outcomes = executor.map(tasks.announce_and_sleep, [str(tmp_path / "pid"), None])
        assert next(outcomes)[0] == 1
        pid = pid_in(tmp_path / "pid")
        outcomes.close()
        assert wait_until(lambda: not alive(pid))


def test_what_cannot_travel_is_said(tasks):
    with ProcessExecutor(1) as executor:
        with pytest.raises(ExecutorError, match="top of a module"):
            next(executor.map(lambda task: task, [1]))
        sent = dict(executor.map(tasks.square, [lambda: 0, 2.0]))
        assert "lambda" in sent[0].error and sent[1].value == 4.0
        returned = dict(executor.map(tasks.lambda_of, [0]))[0]
        assert "lambda" in returned.error


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_thread_per_worker(tasks):
    with ProcessExecutor(1) as executor:
        outcome = dict(executor.map(tasks.threads_of_jax, [0]))[0]
    assert outcome.ok, outcome.traceback
    omp, pool, load = outcome.value
    assert omp == "1" and pool <= 1
    assert load < ONE_CORE


@pytest.mark.parametrize("settings", [{"workers": 0}, {"workers": 1.5}, {"time_limit": 0.0}])
def test_impossible_settings(settings):
    with pytest.raises(ExecutorError, match="give a"):
        ProcessExecutor(**settings)


def test_broken_interpreter_is_an_error_of_the_executor(tasks, monkeypatch):
    with ProcessExecutor(1) as executor:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(ExecutorError, match="before its first task"):
            next(executor.map(tasks.square, [1.0]))


def test_in_a_thread(tasks):
    found = []

    def work():
        with ProcessExecutor(1) as executor:
            found.extend(executor.map(tasks.square, [3.0]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0][1].value == 9.0


CALL = """
from volvelle.compute import ProcessExecutor
with ProcessExecutor(1) as executor:
    print([outcome.value or outcome.error for _, outcome in executor.map({function}, [3.0])])
"""


def test_parent_on_standard_input():
    source = "import worker_tasks" + CALL.format(function="worker_tasks.square")
    done = run_python("-", source=source)
    assert done.stdout == "[9.0]\n", done.stderr


def test_parent_on_standard_input_with_a_function_of_its_own():
    source = "def cube(x):\n    return x**3\n" + CALL.format(function="cube")
    done = run_python("-", source=source)
    assert "'cube' is defined in a notebook or on standard input" in done.stdout, done.stderr


def test_parent_is_a_script_with_its_own_function(tmp_path):
    body = textwrap.indent(CALL.format(function="cube"), "    ")
    script = tmp_path / "script.py"
    script.write_text(f"def cube(x):\n    return x**3\nif __name__ == '__main__':\n{body}")
    assert run_python(str(script)).stdout == "[27.0]\n"


def test_parent_is_a_script_without_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import worker_tasks" + CALL.format(function="worker_tasks.square"))
    assert run_python(str(script)).stdout == "[9.0]\n"
    script.write_text("def cube(x):\n    return x**3\n" + CALL.format(function="cube"))
    assert "__main__" in run_python(str(script)).stdout


def test_output_of_workers_stays_out_of_standard_output():
    done = run_python("-c", "import worker_tasks" + CALL.format(function="worker_tasks.chatter"))
    assert done.stdout == "[None]\n"
    assert "from C" in done.stderr and "from Python" in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_die_with_the_parent(ending, tmp_path):
    path = tmp_path / "pid"
    code = (
        # a background job of a shell ignores SIGINT, and its children inherit that
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import worker_tasks\nfrom volvelle.compute import ProcessExecutor\n"
        f"list(ProcessExecutor(1).map(worker_tasks.announce_and_sleep, [{str(path)!r}]))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{HERE}"}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True
    ) as parent:
        pid = pid_in(path)
        parent.send_signal(ending)
        _, errors = parent.communicate(timeout=PATIENCE)
    assert parent.returncode == -ending
    assert ("KeyboardInterrupt" in errors) == (ending == signal.SIGINT)
    assert wait_until(lambda: not alive(pid))
