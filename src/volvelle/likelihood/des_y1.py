"""The 3x2pt data vector of the Dark Energy Survey, Year 1, with the collaboration's priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import data
from .two_point import TwoPoint, made_power
from .two_point_data import read_sacc
from .two_point_nuisance import Prior

NAME, DATA_SET, FILE = "des_y1_3x2pt", "des-y1-3x2pt", "sacc_data.hdf5"
EDGES = tuple(2.5 * 100.0 ** (n / 20.0) for n in range(21))
"""Of the bins of angle [arcmin], of which scale cuts leave some."""


def _normal(loc: float, scale: float) -> tuple[Prior, float]:
    return {"dist": "norm", "loc": loc, "scale": scale}, loc


_BIASES = (1.4, 1.6, 1.6, 1.9, 2.0)
_LENS_SHIFTS = ((0.008, 0.007), (-0.005, 0.007), (0.006, 0.006), (0.0, 0.010), (0.0, 0.010))
_SOURCE_SHIFTS = ((-0.001, 0.016), (-0.019, 0.013), (0.009, 0.011), (-0.018, 0.022))
PRIORS: Mapping[str, tuple[Prior, float]] = {
    **{f"bias_lens{n}": ({"min": 0.8, "max": 3.0}, bias) for n, bias in enumerate(_BIASES)},
    **{f"dz_lens{n}": _normal(*each) for n, each in enumerate(_LENS_SHIFTS)},
    **{f"dz_src{n}": _normal(*each) for n, each in enumerate(_SOURCE_SHIFTS)},
    **{f"m_src{n}": _normal(0.012, 0.023) for n in range(4)},
}
"""DES Collaboration 2018 (arXiv:1708.01530), table I; alignments as `two_point` has them."""


def des_y1_3x2pt(
    *,
    linear: str = "learned",
    nonlinear: str = "halofit",
    statistics: Sequence[str] | None = None,
    averaged: bool = False,
    sky: str = "curved",
    **settings: Any,
) -> TwoPoint:
    """The 457 numbers of w, gamma_t, xi_+ and xi_-, with their covariance and n(z).

    Args:
        linear, nonlinear, statistics, settings: as of `TwoPoint.from_sacc`.
        sky: ``curved``, or ``flat`` as in the published analysis.
        averaged: over the bins of angle; else at their mean angles, as published.

    Raises as `TwoPoint.from_sacc` and `volvelle.data.locate`.
    """
    files = data.locate(DATA_SET)
    return TwoPoint.from_data(
        read_sacc(files.files[FILE], NAME),
        made_power(NAME, linear, nonlinear),
        statistics=statistics,
        edges=EDGES if averaged else None,
        sky=sky,
        priors=PRIORS,
        hashes=[(f"{DATA_SET}/{FILE}", files.file_sha256[FILE])],
        cites=data.record(DATA_SET).cite_keys,
        **settings,
    )
