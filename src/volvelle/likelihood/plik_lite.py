"""Planck 2018 high-l likelihood, foregrounds marginalised: plik-lite.

Planck 2018 V (arXiv:1907.12875), section 3.6; the form and the data files are those of Prince &
Dunkley 2019 (arXiv:1909.05869).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import equinox as eqx
import numpy as np
from jaxtyping import Array

from .. import data
from ..compute import require_float64
from .bandpowers import L_MIN, N_BINS, Bandpowers, Binning, CmbBandpowers
from .base import (
    Nuisance,
    Theory,
)
from .errors import DataFormatError, LikelihoodOptionError

NAME = "planck_2018_plik_lite"
DATA_SET = "planck-2018-plik-lite"
SELECTIONS: dict[str, tuple[str, ...]] = {"TTTEEE": ("TT", "TE", "EE"), "TT": ("TT",)}


class PlikLite(CmbBandpowers):
    """Gaussian bandpowers of TT, TE and EE with one calibration parameter.

    chi2 = |W (d - B C_l / A_planck^2)|^2 over 613 bins (215 TT, 199 TE, 199 EE), l = 30..2508 in
    TT and 30..1996 in TE and EE.
    """

    bandpowers: Bandpowers
    name: str = eqx.field(static=True)
    hashes: tuple[tuple[str, str], ...] = eqx.field(static=True)
    cites: tuple[str, ...] = eqx.field(static=True)
    simulated: bool = eqx.field(static=True)

    @classmethod
    def from_files(cls, spectra: Literal["TTTEEE", "TT"] = "TTTEEE") -> PlikLite:
        """Read the public files of the data set ``planck-2018-plik-lite``.

        Raises LikelihoodOptionError, PrecisionError, and the errors of `volvelle.data.locate`.
        """
        if spectra not in SELECTIONS:
            raise LikelihoodOptionError(
                f"{NAME} has no spectra {spectra!r}; choose {' or '.join(SELECTIONS)}"
            )
        require_float64(NAME)
        files = data.locate(DATA_SET)
        return cls(
            bandpowers=_read(files, SELECTIONS[spectra]),
            name=NAME,
            hashes=tuple((f"{DATA_SET}/{f}", h) for f, h in files.file_sha256.items()),
            cites=data.record(DATA_SET).cite_keys,
            simulated=False,
        )

    def simulate(self, theory: Theory, nuisance: Nuisance, key: Array | None = None) -> PlikLite:
        """The same likelihood with data made from a theory, with noise when a key is given."""
        drawn = self.bandpowers.with_data(self.model(theory, nuisance), key)
        return replace(self, bandpowers=drawn, simulated=True)


def _read(files: data.DataSet, spectra: tuple[str, ...]) -> Bandpowers:
    total = sum(N_BINS.values())
    values = np.loadtxt(files.files["cl_cmb_plik_v22.dat"])[:, 1]
    covariance = _read_fortran_square(files.files["c_matrix_plik_v22.dat"].read_bytes(), total)
    covariance = np.tril(covariance) + np.tril(covariance, -1).T
    first = np.loadtxt(files.files["blmin.dat"]).astype(int) + L_MIN
    last = np.loadtxt(files.files["blmax.dat"]).astype(int) + L_MIN
    weights = np.concatenate([np.zeros(L_MIN), np.loadtxt(files.files["bweight.dat"])])
    binnings = {
        name: Binning.from_edges(first[: N_BINS[name]], last[: N_BINS[name]], weights)
        for name in spectra
    }
    n = sum(N_BINS[name] for name in spectra)  # TT comes first in the files
    return Bandpowers.create(values[:n], covariance[:n, :n], binnings, NAME)


def _read_fortran_square(record: bytes, n: int) -> np.ndarray:
    """One Fortran record (4-byte length before and after) of an n x n float64 matrix."""
    length = 8 * n * n
    markers = np.frombuffer(record[:4] + record[-4:], dtype="<i4")
    if len(record) != length + 8 or np.any(markers != length):
        raise DataFormatError(
            f"{NAME}: the covariance is not one Fortran record of {n}x{n} float64 values"
        )
    return np.frombuffer(record[4:-4], dtype="<f8").reshape(n, n)
