"""Spectra with the signatures of ``classy.Class``, from what an emulator learned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from .class_behind import CosmoSevereError, severe
from .solution import Solution
from .theory import LearnedTheory


class Spectra(dict[str, np.ndarray]):
    """Spectra by name; one that was not learned is named in an error of its own."""

    def __missing__(self, name: str) -> np.ndarray:
        raise CosmoSevereError(f"{name} was not learned; this emulator gives {', '.join(self)}")


class SpectraMethods(ABC):
    """The methods of ``classy.Class`` on C_l."""

    @property
    @abstractmethod
    def _solution(self) -> Solution: ...

    @property
    @abstractmethod
    def _learned(self) -> LearnedTheory: ...

    def lensed_cl(self, lmax: int = -1, nofail: bool = False) -> Spectra:
        """Lensed C_l without unit from l = 0, ``pp`` and ``ell``; those that were learned."""
        names = {pair: f"lensed_{pair}" for pair in ("tt", "ee", "te", "bb")}
        return self._spectra({**names, "pp": "phiphi"}, lmax)

    def raw_cl(self, lmax: int = -1, nofail: bool = False) -> Spectra:
        """Unlensed C_l without unit from l = 0, ``pp`` and ``ell``; those that were learned."""
        names = {pair: f"unlensed_{pair}" for pair in ("tt", "ee", "te", "bb")}
        return self._spectra({**names, "pp": "phiphi"}, lmax)

    def _spectra(self, names: Mapping[str, str], lmax: int) -> Spectra:
        solution = self._solution
        lmax = self._learned.lmax if lmax < 0 else int(lmax)
        unit = (solution.parameters["T_cmb"] * 1e6) ** 2
        result = Spectra()
        for pair, name in names.items():
            if name in solution.theory:
                spectrum = severe(solution.spectrum, name, lmax)
                result[pair] = spectrum / (1.0 if pair == "pp" else unit)
        if set(result) <= {"pp"}:
            raise CosmoSevereError(
                f"{names['tt']} was not learned; this emulator has "
                f"{', '.join(self._learned.outputs)}"
            )
        result["ell"] = np.arange(lmax + 1)
        return result
