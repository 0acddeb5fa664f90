"""The amplitude of the primordial fluctuations, which scales spectra exactly before lensing.

Lensed and unlensed CMB spectra at high l go as A_s e^{-2 tau}; C_l^phiphi and P(k) go as A_s.
What is left after the division (lensing, reionisation at low l) is what a surrogate has to learn.
"""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.learning.storage import storable

A_S_PIVOT = 2.1e-9


@storable
class Amplitude(eqx.Module):
    """ln of the known scaling as a function of the parameters, a linear form plus ln A_s terms."""

    ln_A_s: int | None = eqx.field(static=True)  # index of ln10A_s among the parameters
    A_s: int | None = eqx.field(static=True)
    tau: int | None = eqx.field(static=True)

    def ln_scaling(self, x: Float[Array, " d"], optical_depth: bool) -> Float[Array, ""]:
        """ln(A_s/2.1e-9) - 2 tau (the second term where ``optical_depth``), of what is sampled."""
        value = jnp.zeros((), x.dtype)
        if self.ln_A_s is not None:
            value = value + x[self.ln_A_s] - jnp.log(1e10 * A_S_PIVOT)
        if self.A_s is not None:
            value = value + jnp.log(x[self.A_s] / A_S_PIVOT)
        if optical_depth and self.tau is not None:
            value = value - 2.0 * x[self.tau]
        return value


def amplitude_of(parameters: Sequence[str]) -> Amplitude:
    """The scaling that the sampled parameters allow to take out."""

    def index(name: str) -> int | None:
        return list(parameters).index(name) if name in parameters else None

    return Amplitude(index("ln10A_s"), index("A_s"), index("tau_reio"))
