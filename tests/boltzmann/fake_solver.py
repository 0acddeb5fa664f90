"""A solver of milliseconds, in a module of its own because worker processes import it."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from volvelle.boltzmann.errors import SolverError, SolverNotInstalledError
from volvelle.boltzmann.ledger import Ledger
from volvelle.boltzmann.request import SPECTRA, Request

BAD, CRASHING, NOT_FINITE, KILLED, BROKEN, ABSENT = -1.0, -2.0, -3.0, -4.0, -5.0, -6.0


@dataclass(frozen=True)
class FakeCosmology:
    h: float

    def canonical(self) -> dict[str, float | str]:
        return {"h": self.h, "neutrino_hierarchy": "single"}


def theory(h: float, request: Request) -> dict:
    length = request.lmax + 1
    outputs: dict = dict.fromkeys(request.names(), h)
    for name in request.names():
        if name in SPECTRA:
            outputs[name] = h * np.arange(length, dtype=float)
        elif name in ("hubble", "transverse_comoving_distance"):
            outputs[name] = h * np.linspace(0.0, 1.0, 160)
        elif name.startswith("matter_power"):
            outputs[name] = h * np.ones((3, 4))
    return outputs


def write_rows(task: tuple[str, str, int]) -> None:
    """Store solutions of models of its own, saying so after each."""
    path, run, count = task
    ledger, request = Ledger(path), Request(spectra=("lensed_tt",), lmax=2000)
    identity = {"solver": "fake", "version": "1.0"}
    for n in range(count):
        model = {"h": n, "run": run}
        ledger.store(identity, model, request, theory(float(n), request), 0.0, run)
        os.write(2, b".")


@dataclass(frozen=True)
class FakeSolver:
    """Sleeps, then answers; writes one file per call into `log`, so that calls can be counted."""

    log: str
    seconds: float = 0.0
    version: str = "1.0"
    name: str = "fake"

    def identity(self) -> dict[str, str]:
        return {"solver": self.name, "version": self.version, "settings": "{}"}

    def solve(self, cosmology: FakeCosmology, request: Request) -> dict:
        (Path(self.log) / f"{cosmology.h!r}-{time.monotonic_ns()}").touch()
        time.sleep(self.seconds)
        if cosmology.h == BAD:
            raise SolverError("fake: shooting failed\nat line 12")
        if cosmology.h == CRASHING:
            os.kill(os.getpid(), signal.SIGSEGV)
        if cosmology.h == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        if cosmology.h == BROKEN:
            raise ZeroDivisionError("a mistake in the program")
        if cosmology.h == ABSENT:
            raise SolverNotInstalledError("no library called fake")
        result = theory(cosmology.h, request)
        if cosmology.h == NOT_FINITE:
            result["lensed_tt"][7] = np.nan
        return result
