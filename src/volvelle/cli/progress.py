"""What a long run says while it works: bars with the time left in a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from ..inference import Diagnostics

LINE_EVERY = 30.0  # [s] between two lines where there is no terminal


class Reporter:
    """Progress of one run. ``silent`` says nothing at all."""

    def __init__(self, console: Console, silent: bool = False) -> None:
        self.console = console
        self.silent = silent
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._said = 0.0
        self._mixing = ""

    def say(self, text: str) -> None:
        """One line that stays."""
        if not self.silent:
            self.console.print(text, highlight=False, markup=False)

    @contextmanager
    def bar(self, title: str) -> Iterator[None]:
        """A bar that the calls of ``solving`` and ``sampling`` inside move."""
        if self.silent or not self.console.is_terminal:
            self._said = time.monotonic()
            self._mixing = ""
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            self._progress, self._task = progress, progress.add_task(title, total=1, note="")
            self._mixing = ""
            try:
                yield
            finally:
                self._progress = self._task = None

    def solving(
        self, done: int, total: int, failed: int, cached: int, seconds_left: float | None
    ) -> None:
        """Called by ``solve_many``."""
        note = f"{cached} known" if cached else ""
        if failed:
            note += f"{', ' if note else ''}{failed} failed"
        if seconds_left is not None and done < total:
            note += f"{', ' if note else ''}{seconds_left:.0f} s left"
        self._move(done, total, note, "exact solutions")

    def sampling(self, done: int, total: int) -> None:
        """Called by ``run_chains``."""
        self._move(done, total, f"draws per chain{self._mixing}", "sampling")

    def searching(self, done: int, total: int) -> None:
        """Called by ``best_fit``."""
        self._move(done, total, "starts", "best fit")

    def stepping(self, done: int, total: int, seconds_left: float | None) -> None:
        """Called by simulations: steps of one, or how many there are of an ensemble."""
        left = "" if seconds_left is None or done >= total else f"{seconds_left:.0f} s left"
        self._move(done, total, left, "simulation")

    def mixing(self, done: int, found: Diagnostics) -> None:
        """Called by ``run_chains`` about ten times: how far the chains agree."""
        numbers = f"worst R-hat {found.r_hat_max:.3f}, smallest ESS {found.ess_min:.0f}"
        self._mixing = f", {numbers}"
        self.say(f"  after {done} draws per chain: {numbers}")

    def epochs(self, epoch: int, total: int, loss: float) -> None:
        """Called by ``fit_network``."""
        self._move(epoch, total, f"held-out loss {loss:.2e}", "epochs of the network")

    def files(self, done: int, total: int, seconds_left: float | None) -> None:
        """Called between two files that are measured."""
        note = "" if seconds_left is None or done == total else f"{seconds_left:.0f} s left"
        self._move(done, total, note, "files")

    def _move(self, done: int, total: int, note: str, what: str) -> None:
        if self.silent or total == 0:
            return
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, note=note)
        elif not self.console.is_terminal and time.monotonic() - self._said > LINE_EVERY:
            self._said = time.monotonic()
            self.say(f"  {what}: {done}/{total} {note}")
