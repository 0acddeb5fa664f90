"""A Dask cluster that loses workers and its scheduler, hangs, or has the wrong workers."""

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dask_cluster import kill, wait_until
from volvelle.compute import (
    DaskExecutor,
    ExecutorError,
    Tls,
    UnsendableError,
    call,
    cluster_worker,
    connection,
    differences,
    rolling,
)
from volvelle.compute.cluster_worker import surroundings
from volvelle.compute.plugin import load_plugin
from volvelle.compute.travel import dumps

OLD_VOLVELLE = "import volvelle\nvolvelle.__version__ = '0.0.9'\n"


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def workers_of(address: str, number: int) -> list[str]:
    """Names of the workers, once there are as many."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(number, timeout=60)
        return sorted(client.nthreads())


def shim(folder: Path, name: str, content: str) -> Path:
    """A folder with one module that comes first on a worker's path."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)
    return folder


def calls(folder: Path) -> list[str]:
    return sorted(path.name.split("-")[0] for path in folder.iterdir())


def test_the_dashboard_is_printed_once(dask, tasks, capsys):
    with DaskExecutor(dask.address) as executor:
        list(executor.map(tasks.square, [1.0]))
        list(executor.map(tasks.square, [1.0]))
        dashboard = executor.dashboard
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "dashboard" in line] == [
        f"Dask scheduler {dask.address}: dashboard {dashboard}"
    ]
    assert dashboard.startswith("http://127.0.0.1:") and dashboard.endswith("/status")


def test_a_worker_killed_at_work_costs_nothing_but_its_task(cluster, tasks, tmp_path):
    first, second = cluster.worker(), cluster.worker()
    workers_of(cluster.address, 2)
    log, said = tmp_path / "calls", []
    log.mkdir()
    with DaskExecutor(cluster.address, say=said.append) as executor:
        outcomes = {}
        work = [(str(log), n, 0.4) for n in range(10)]
        for index, outcome in executor.map(tasks.count_and_sleep, work):
            outcomes[index] = outcome
            if len(outcomes) == 2:
                kill(first)
    assert {index: outcome.value for index, outcome in outcomes.items()} == {
        n: n for n in range(10)
    }
    assert any("is gone; its tasks are done elsewhere" in line for line in said)
    # one task ran at the time of the kill, or lay finished at the dead worker
    assert len(calls(log)) <= 12 and set(calls(log)) == {str(n) for n in range(10)}
    assert second.poll() is None


def test_children_die_with_their_worker(cluster, tasks, tmp_path):
    worker, path, caught = cluster.worker(), tmp_path / "pid", []
    workers_of(cluster.address, 1)

    def work():
        with DaskExecutor(cluster.address, waiting=1.0, say=lambda _: None) as executor:
            try:
                list(executor.map(tasks.announce_and_sleep, [str(path)]))
            except ExecutorError as error:
                caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: path.exists() and path.read_text())
    kill(worker)
    wait_until(lambda: not alive(int(path.read_text())))
    thread.join(60)
    assert "had no worker for 1 s" in caught[0] and "what is finished is kept" in caught[0]


def test_closing_the_iterator_ends_what_is_in_flight(dask, tasks, tmp_path):
    path = tmp_path / "pid"
    with DaskExecutor(dask.address) as executor:
        running = executor.map(tasks.announce_and_sleep, [str(path), None])
        assert next(running)[0] == 1
        pid = int(path.read_text())
        assert alive(pid)
        running.close()
        wait_until(lambda: not alive(pid))
        assert dict(executor.map(tasks.square, [3.0]))[0].value == 9.0


def test_a_task_does_not_wait_behind_a_long_one_while_a_worker_is_idle(cluster, tasks):
    cluster.worker()
    with DaskExecutor(cluster.address, say=lambda _: None) as executor:
        wait_until(lambda: executor.workers == 1 and workers_of(cluster.address, 1))
        running = executor.map(tasks.sleep, [300.0, 0.01, 0.02])
        threading.Timer(1.0, cluster.worker).start()
        assert [next(running)[0] for _ in range(2)] == [1, 2]
        running.close()


def test_a_child_killed_from_outside_is_tried_again_and_then_given_up(dask, tasks, tmp_path):
    said = []
    with DaskExecutor(dask.address, retries=2, say=said.append) as executor:
        (outcome,) = dict(executor.map(tasks.die_from_outside, [str(tmp_path)])).values()
    assert outcome.signal == "SIGKILL" and "killed by SIGKILL" in outcome.error
    assert calls(tmp_path) == ["died"] * 3
    assert sum("a task was killed by SIGKILL" in line for line in said) == 2


def test_a_task_that_kills_every_worker_is_given_up(cluster, tasks, tmp_path):
    for _ in range(3):
        cluster.worker()
    workers_of(cluster.address, 3)
    with DaskExecutor(cluster.address, retries=1, say=lambda _: None) as executor:
        outcomes = dict(executor.map(tasks.kill_parent, [str(tmp_path)]))
        assert outcomes[0].error == "WorkerDied: 2 Dask workers died while they ran this task"
        assert dict(executor.map(tasks.square, [2.0]))[0].value == 4.0
    assert len([name for name in calls(tmp_path) if name == "killed"]) == 2


@pytest.mark.parametrize("at_once", [False, True])
def test_the_scheduler_lost_and_started_again(cluster, tasks, tmp_path, at_once):
    scheduler = cluster.running[0]
    cluster.worker()
    log, said = tmp_path / "calls", []
    log.mkdir()
    outcomes = {}

    def say(line):
        """Start what is missed, when it is missed: nothing is left to who is faster."""
        said.append(line)
        if not at_once and line.endswith("lost, trying to find it again for 60 s"):
            cluster.scheduler()
        if not at_once and line.endswith("waiting for workers") and len(outcomes) > 0:
            cluster.worker()

    with DaskExecutor(cluster.address, say=say) as executor:
        work = [(str(log), n, 0.3) for n in range(8)]
        for index, outcome in executor.map(tasks.count_and_sleep, work):
            assert index not in outcomes
            outcomes[index] = outcome
            if len(outcomes) == 3:
                finished = set(outcomes)
                kill(scheduler)
                cluster.running[1].wait(60)  # a worker leaves when its scheduler is gone
                before = len(calls(log))
                if at_once:
                    cluster.scheduler()
                    cluster.worker()
    assert {outcome.value for outcome in outcomes.values()} == set(range(8))
    endings = ["lost, trying to find it again for 60 s", "found again", "waiting for workers"]
    lost, found, waited = (any(line.endswith(end) for line in said) for end in endings)
    # started at once, Dask's client may connect again by itself before we look
    assert lost == found and (at_once or (lost and waited))
    done = calls(log)
    assert all(done.count(str(index)) == 1 for index in finished)
    assert len(done) - before == 8 - len(finished)


def test_a_scheduler_that_stays_away_ends_the_map(cluster, tasks):
    cluster.worker()
    with DaskExecutor(cluster.address, reconnect=1.0, say=lambda _: None) as executor:
        outcomes = executor.map(tasks.sleep, [0.1] * 50)
        next(outcomes)
        kill(cluster.running[0])
        with pytest.raises(ExecutorError, match=r"has been away for 1 s; .*what is finished is"):
            list(outcomes)


def test_a_busy_scheduler_is_waited_for(cluster, tasks, tmp_path, monkeypatch):
    scheduler = cluster.running[0]
    cluster.worker()
    workers_of(cluster.address, 1)
    log, said = tmp_path / "calls", []
    log.mkdir()
    with DaskExecutor(cluster.address, say=said.append) as executor:
        monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.3)
        work = executor.map(tasks.count_and_sleep, [(str(log), n, 0.3) for n in range(4)])
        outcomes = dict([next(work)])
        scheduler.send_signal(signal.SIGSTOP)
        threading.Timer(2.0, scheduler.send_signal, [signal.SIGCONT]).start()
        outcomes |= dict(work)
    assert sorted(outcome.value for outcome in outcomes.values()) == [0, 1, 2, 3]
    assert any("slow to answer" in line for line in said)
    assert not any("lost" in line for line in said) and calls(log) == ["0", "1", "2", "3"]


def test_a_scheduler_that_never_answers_is_lost(cluster, tasks, monkeypatch):
    cluster.worker()
    workers_of(cluster.address, 1)
    with DaskExecutor(cluster.address, reconnect=1.0, say=lambda _: None) as executor:
        work = executor.map(tasks.sleep, [0.1] * 50)
        next(work)
        monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.3)
        cluster.running[0].send_signal(signal.SIGSTOP)
        with pytest.raises(ExecutorError, match="has been away for 1 s"):
            list(work)


def test_what_ran_before_the_connection_broke_is_ended(cluster, tasks, tmp_path):
    cluster.worker()
    workers_of(cluster.address, 1)
    path, broken = tmp_path / "pid", []

    def interrupt():
        wait_until(lambda: path.exists() and path.read_text())
        broken.append(time.monotonic())
        client = executor._connection.client
        client.loop.add_callback(client.scheduler_comm.comm.abort)

    with DaskExecutor(cluster.address, time_limit=50.0, say=lambda _: None) as executor:
        thread = threading.Thread(target=interrupt)
        thread.start()
        (outcome,) = dict(executor.map(tasks.hang_once, [str(path)])).values()
        thread.join()
    assert time.monotonic() - broken[0] < 40.0, "the only thread waited for the time limit"
    first = int(path.read_text())
    assert outcome.value not in (None, first), outcome.error
    wait_until(lambda: not alive(first))


def test_a_task_stopped_before_it_began_returns_at_once():
    cluster_worker.stop(["early"])
    given = surroundings(), b"nothing", b"nothing", None, True
    assert cluster_worker.run_task("early", *given).error.startswith("Stopped: ")
    assert cluster_worker.run_task("early", *given).error.startswith("UnpicklingError: ")


def test_a_task_stopped_while_its_child_starts_is_ended(tasks):
    with cluster_worker._Child(1) as child:
        child.abort()
        with pytest.raises(ExecutorError, match="killed by SIGKILL"):
            list(child.map(tasks.sleep, [300.0]))


def test_chains_whose_worker_dies_say_what_to_do(dask, tasks, tmp_path):
    words = r"killed by SIGKILL; .*more memory or a longer walltime, .*compute: local"
    with (
        DaskExecutor(dask.address, retries=0, say=lambda _: None) as executor,
        pytest.raises(ExecutorError, match=words),
    ):
        call(executor, tasks.die_from_outside, str(tmp_path))


def test_a_worker_of_another_volvelle_is_refused(cluster, tasks, tmp_path):
    cluster.worker(shim=shim(tmp_path / "old", "sitecustomize.py", OLD_VOLVELLE))
    cluster.worker(shim=shim(tmp_path / "none", "volvelle/__init__.py", ""))
    wrong = workers_of(cluster.address, 2)
    cluster.worker()
    (right,) = set(workers_of(cluster.address, 3)) - set(wrong)
    said = []
    with DaskExecutor(cluster.address, say=said.append) as executor:
        task = (str(tmp_path / "pid"), 0.05)
        outcomes = dict(executor.map(tasks.parent_and_sleep, [task] * 8))
        assert executor.workers == 1
    assert {outcome.value for outcome in outcomes.values()} == {cluster.running[3].pid}
    refused = [line for line in said if "is refused, its results are not used" in line]
    assert len(refused) == 2 and all(any(at in line for at in wrong) for line in refused)
    assert not any(right in line for line in refused)
    assert any("volvelle 0.0.9 there, " in line for line in refused)
    assert any("No module named 'volvelle.compute'" in line for line in refused)


def test_no_worker_is_fit(dask, tasks):
    with (
        DaskExecutor(dask.address, say=lambda _: None) as executor,
        pytest.raises(ExecutorError, match=r"no worker of .* is fit .*not at anywhere.*same p"),
    ):
        list(executor.map(tasks.unfit, ["anywhere"] * 9))


def test_differences_in_words():
    assert (
        differences({"a": "1"}, {"a": "2", "b": "3"})
        == "a 1 there, 2 here; b nothing there, 3 here"
    )


def test_no_scheduler(monkeypatch):
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.3)
    with pytest.raises(
        ExecutorError, match=r"no Dask scheduler answers at .*tcp://127\.0\.0\.1:9 "
    ):
        DaskExecutor("tcp://127.0.0.1:9")
    with pytest.raises(ExecutorError, match=r"no Dask scheduler answers at .*carrier-pigeon"):
        DaskExecutor("carrier-pigeon://127.0.0.1:9")


def test_something_listens_and_never_answers(monkeypatch):
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ExecutorError, match=rf"no Dask scheduler answers at .*{address} "):
            DaskExecutor(address)


def test_dask_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ExecutorError, match=r"Dask is missing .*pip install 'volvelle\[cluster\]'"):
        DaskExecutor("tcp://127.0.0.1:9")


@pytest.mark.parametrize(
    "settings", [{}, {"retries": -1}, {"retries": 1.5}, {"time_limit": 0.0}, {"reconnect": -1.0}]
)
def test_impossible_settings(settings):
    address = {"address": "tcp://127.0.0.1:9"} if settings else {}
    with pytest.raises(ExecutorError, match="give a"):
        DaskExecutor(**address, **settings)


def test_certificates_that_are_not_there(tmp_path):
    files = Tls(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    with pytest.raises(ExecutorError, match=r"certificate file ca = .*ca\.pem"):
        DaskExecutor("tls://127.0.0.1:9", tls=files)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates")
def test_certificates(cluster, tasks, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=volvelle", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    files = ("--tls-ca-file", str(certificate), "--tls-cert", str(certificate))
    kill(cluster.running[0])
    cluster.address = cluster.address.replace("tcp://", "tls://")
    cluster.scheduler("--protocol", "tls", *files, "--tls-key", str(key))
    cluster.worker(*files, "--tls-key", str(key))
    tls = Tls(certificate, certificate, key)
    with DaskExecutor(cluster.address, tls=tls, say=lambda _: None) as executor:
        assert dict(executor.map(tasks.square, [3.0]))[0].value == 9.0


def test_what_a_script_defines_travels_along(dask):
    def double(number):
        return 2 * number

    with DaskExecutor(dask.address) as executor:
        assert dict(executor.map(double, [4]))[0].value == 8


def test_large_tasks_are_not_kept_by_the_scheduler(dask, monkeypatch):
    with DaskExecutor(dask.address) as executor:
        with monkeypatch.context() as patch, pytest.raises(UserWarning, match="large graph"):
            patch.setattr(rolling, "LARGE", 1 << 30)
            list(executor.map(len, [bytes(20_000_000)]))
        (outcome,) = dict(executor.map(len, [bytes(20_000_000)])).values()
    assert outcome.value == 20_000_000


def test_what_cannot_travel_is_said(dask, tasks):
    with DaskExecutor(dask.address) as executor:
        with pytest.raises(UnsendableError, match=r"cannot be sent to another machine \(TypeError"):
            next(executor.map((i for i in ()).send, [1]))
        sent = dict(executor.map(tasks.square, [(i for i in ()), 2.0]))
        assert "cannot be sent" in sent[0].error and sent[1].value == 4.0
        returned = dict(executor.map(tasks.lambda_of, [0]))[0]
        assert "lambda" in returned.error


def test_a_file_that_was_named_is_loaded_there_and_must_be_the_same(dask, tasks, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def triple(x):\n    return 3 * x\n")
    triple = load_plugin(f"{file}:triple", "function")
    with DaskExecutor(dask.address) as executor:
        assert dict(executor.map(triple, [2]))[0].value == 6
        packed = dumps(triple)
        file.write_text("def triple(x):\n    return 4 * x\n")
        (outcome,) = dict(executor.map(tasks.unpickle, [packed])).values()
    assert "mine.py differs between two machines" in outcome.error


def test_a_worker_with_another_file_is_refused(cluster, tasks, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def triple(x):\n    return 3 * x\n")
    other = "import volvelle.compute.travel as t\nt._sha256 = lambda path: 'of another file'\n"
    cluster.worker(shim=shim(tmp_path / "other", "sitecustomize.py", other))
    (wrong,) = workers_of(cluster.address, 1)
    cluster.worker()
    workers_of(cluster.address, 2)
    said = []
    with DaskExecutor(cluster.address, say=said.append) as executor:
        outcomes = dict(executor.map(load_plugin(f"{file}:triple", "function"), range(4)))
    assert [outcomes[n].value for n in range(4)] == [0, 3, 6, 9]
    (refused,) = (line for line in said if "is refused, its results are not used" in line)
    assert wrong in refused and "mine.py differs between two machines" in refused
