"""A Dask cluster as an executor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .connection import INSTALL, Connection, LostError, Say
from .errors import ExecutorError
from .executor import Outcome, Task, Value
from .rolling import Rolling
from .travel import dumps

RETRIES = 2
RECONNECT_SECONDS = 60.0


@dataclass(frozen=True)
class Tls:
    """Files of the certificates that scheduler, workers and this program show each other."""

    ca: Path
    cert: Path
    key: Path


class DaskExecutor:
    """Runs tasks on the workers of a Dask scheduler, each in a child process of its worker.

    A rolling window of tasks is with the workers; outcomes come back as they are finished. A task
    whose worker dies is run again elsewhere, at most `retries` times; a task that runs past
    `time_limit` [s] is ended. A worker that differs from this program, or on which a task raises
    UnfitWorkerError, is refused. A scheduler that is lost is looked for during `reconnect` [s];
    then what was in flight is sent again.

    Args:
        address: of the scheduler, such as ``tcp://host:8786``; or
        cluster: a Dask cluster object, which is not closed here;
        waiting: how long to wait while there is no worker at all [s]; None for ever;
        tls: certificates, for an address that begins with ``tls://``;
        say: told in one line what happens: dashboard, workers refused or lost, waiting;
        upkeep: called before every look at the workers: once a second while tasks are with them,
            five times a second while none is there.

    Whoever can talk to the scheduler can run code as its user: see docs/clusters.md.
    Raises ExecutorError for impossible settings, a missing package or no scheduler; later if no
    worker is fit or comes, or if the scheduler stays away.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        cluster: Any = None,
        time_limit: float | None = None,
        retries: int = RETRIES,
        reconnect: float = RECONNECT_SECONDS,
        waiting: float | None = RECONNECT_SECONDS,
        tls: Tls | None = None,
        say: Say = print,
        upkeep: Callable[[], None] = lambda: None,
    ) -> None:
        if (address is None) == (cluster is None):
            raise ExecutorError(
                "give a DaskExecutor either the address of a scheduler or a cluster"
            )
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ExecutorError(f"retries = {retries!r}: give a whole number of at least 0")
        times = {"time_limit": time_limit, "reconnect": reconnect, "waiting": waiting}
        for name, value in times.items():
            if value is not None and not value > 0:
                raise ExecutorError(f"{name} = {value!r}: give a time in seconds above 0")
        connect = _connector(cluster if address is None else address, tls)
        self.address: str = address or cluster.scheduler_address
        self._time_limit, self._retries, self._say = time_limit, retries, say
        self._connection = Connection(
            connect, f"Dask scheduler {self.address}", reconnect, waiting, say, upkeep
        )
        self._mapping = False

    @property
    def workers(self) -> int:
        """Number of tasks that run at the same time: of the workers that are there, or 1."""
        try:
            self._connection.look()
        except LostError:
            self._connection.restore()
        return max(1, sum(self._connection.fit.values()))

    @property
    def remote(self) -> bool:
        """True."""
        return True

    @property
    def dashboard(self) -> str | None:
        """Address of the page that shows what the cluster does; None if it has none."""
        return self._connection.dashboard

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the scheduler; its workers stay."""
        self._connection.close()

    def map(
        self,
        function: Callable[[Task], Value],
        tasks: Iterable[Task],
        *,
        limited: bool = True,
    ) -> Generator[tuple[int, Outcome[Value]], None, None]:
        """Yield (index, outcome) as tasks finish; closing the iterator ends the tasks in flight."""
        if self._mapping:
            raise ExecutorError("this executor is busy with another map: finish or close that one")
        limits = self._time_limit, limited
        rolling = Rolling(self._connection, dumps(function), *limits, self._retries, self._say)
        self._mapping = True
        try:
            yield from rolling.run(enumerate(tasks))
        finally:
            self._mapping = False


def _connector(to: Any, tls: Tls | None) -> Callable[[float], Any]:
    """Makes clients of a scheduler, given by its address or by its cluster."""
    try:
        from distributed import Client, Security
    except ImportError as error:
        raise ExecutorError(INSTALL.format(error=error)) from error
    options: dict[str, Any] = {"set_as_default": False}
    if tls is not None:
        for name, path in vars(tls).items():
            if not path.is_file():
                raise ExecutorError(
                    f"the certificate file {name} = {path} is not there; correct it"
                )
        files = {name: str(path) for name, path in vars(tls).items()}
        options["security"] = Security(
            tls_ca_file=files["ca"],
            tls_client_cert=files["cert"],
            tls_client_key=files["key"],
            require_encryption=True,
        )

    class Punctual(Client):
        """Gives up in time also where something listens and never says a word.

        Dask's own time does not hold for the first words of a connection.
        """

        async def _start(self, timeout: float, **rest: Any) -> Any:
            try:
                return await asyncio.wait_for(super()._start(timeout=timeout, **rest), timeout)
            except TimeoutError:
                await self._close(fast=True)
                raise

    return lambda timeout: Punctual(to, timeout=timeout, **options)
