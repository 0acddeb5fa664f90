"""The learned linear power for wide priors: beyond the training's box with what is known there.

    ln P(k, z) = ln P_known(k, z) + the rests of the nearest point of the box

``P_known`` (``analytic``) is that of the universe itself, to some per cent; the rests are those of
``learned`` at the nearest omega_b, omega_cdm, h and N_eff that it knows, linear in masses beyond.
Inside of the box this is the learned spectrum. Outside, errors grow to per cents
(docs/validation/power.md): exact solutions of a run's certificate correct its posterior, and say
how far it was off.
"""

from __future__ import annotations

from volvelle.compute import require_float64
from volvelle.cosmology import Cosmology

from .base import Model
from .learned import LearnedPower, LearnedSpectrum, normalised
from .learned_features import PARAMETERS

HELD = tuple(name for name in PARAMETERS if name[0] == "w" or name == "Omega_k")
"""Parameters beyond whose edges there is nothing to go by."""


class ExtendedPower(Model):
    """``learned`` within its domain, and an extrapolation in omega_b, omega_cdm, h, m_nu, N_eff.

    Dark energy, curvature and the temperature of the CMB keep the domain's edges. Helium may be
    given, as solvers want it at large omega_b; here it has no effect.
    """

    learned: LearnedPower

    def spectrum(self, cosmology: Cosmology) -> LearnedSpectrum:
        """All that depends on the cosmology.

        Raises DomainError for dark energy or curvature outside of the training's domain; traced
        ones give NaN. Raises PrecisionError without float64.
        """
        require_float64("the learned linear power spectrum")
        self.check(cosmology)
        return normalised(cosmology, lambda given: self.learned.made(given, HELD))

    def check(self, cosmology: Cosmology) -> None:
        """Raise DomainError for known dark energy or curvature outside of the domain."""
        self.learned.refuse(cosmology, HELD)
