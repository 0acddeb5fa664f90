"""How the outputs of a network are scaled: the ways of CONNECT, by name, each with its inverse.

Nygaard et al. 2022 (arXiv:2205.15726), section 2.4. Values at multipoles are
D_l = l (l + 1) C_l / 2 pi without dimension, those that the paper scales:

- ``standardise``: every coefficient to mean 0 and variance 1;
- ``min_max``: every coefficient to the interval [0, 1];
- ``log``: ln(D_l + shift), the shift one number per spectrum: 0 where it is positive, otherwise
  1.01 times its most negative value in the training set, so that spectra that change sign (TE) have
  a logarithm too. The text of the paper says nothing of these; its published code does this;
- ``double_log``: the logarithm of that, shifted to positive values in the same way;
- ``constant``: 10^10 D_l.

Standardisation and min-max do not depend on the unit. Outputs that are no spectra in l come as
principal components, which have both signs and no natural unit: the logarithms standardise them,
``constant`` divides all of them by one number.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.emulator.basis import Basis
from volvelle.emulator.errors import EmulatorError
from volvelle.learning.checking import require
from volvelle.learning.storage import storable

SCALINGS = ("standardise", "min_max", "log", "double_log", "constant")
FACTOR = 1e10  # of ``constant``
MARGIN = 1.01  # of a shift, times the most negative value
LOGARITHMS = {"log": 1, "double_log": 2}


@storable
class Logarithm(Basis):
    """Another basis, of values D, whose coefficients are s = ln(D + shift)."""

    shift: Float[Array, " m"]
    basis: Basis

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        return self.basis.decode(jnp.exp(s) - self.shift)

    @property
    def shape(self) -> tuple[int, int]:
        return self.basis.shape

    def validate(self) -> None:
        require(self.shift.shape == (self.basis.shape[0],), "a shift for each coefficient is due")


def check_scaling(scaling: str) -> None:
    """Raise EmulatorError for an unknown name."""
    if scaling not in SCALINGS:
        raise EmulatorError(f"unknown scaling {scaling!r}; choose {', '.join(SCALINGS)}")


def affine(values: np.ndarray, scaling: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """s = (values - offset) / scale column by column; returns s [n, m], offset [m], scale [m].

    A column without spread has s = 0 and scale 0: whatever is learned, its value comes back.
    """
    if scaling == "min_max":
        offset, scale = values.min(axis=0), np.ptp(values, axis=0)
    elif scaling == "constant":
        offset, scale = np.zeros(values.shape[1]), np.full(values.shape[1], np.max(np.abs(values)))
    else:
        offset, scale = values.mean(axis=0), values.std(axis=0)
    return without_spread(values, offset, scale)


def without_spread(
    values: np.ndarray, offset: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As ``affine``, for a given offset and scale of the columns that do vary."""
    varies = np.ptp(values, axis=0) > 0.0
    offset, scale = np.where(varies, offset, values[0]), np.where(varies, scale, 0.0)
    return (values - offset) / np.where(varies, scale, 1.0), offset, scale


def logarithms(
    basis: Basis, values: np.ndarray, copies: int, scaling: str
) -> tuple[Basis, np.ndarray]:
    """The basis of the single or double logarithm of ``basis``'s coefficients, and these [n, m].

    Args:
        values: coefficients of ``basis`` [n, m], ``copies`` spectra side by side.

    Raises:
        EmulatorError: the smallest value of a spectrum is zero, which no shift follows from.
    """
    for _ in range(LOGARITHMS[scaling]):
        smallest = values.reshape(len(values), copies, -1).min(axis=(0, 2))
        if np.any(smallest == 0.0):
            raise EmulatorError(
                f"scaling {scaling} was asked for, but spectrum {int(np.argmin(smallest != 0.0))} "
                "of the network holds zeros, which have no logarithm; choose another scaling"
            )
        shift = np.repeat(np.where(smallest < 0, -MARGIN * smallest, 0.0),
                          values.shape[1] // copies)  # fmt: skip
        values = np.log(values + shift)
        basis = Logarithm(jnp.asarray(shift), basis)
    return basis, values
