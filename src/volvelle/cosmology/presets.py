"""Cosmologies with a name."""

from .cosmology import Cosmology


def planck18() -> Cosmology:
    """Planck 2018 TT,TE,EE+lowE means, arXiv:1807.06209 table 2; one neutrino of 0.06 eV."""
    return Cosmology.from_parameters(
        {
            "omega_b": 0.02236,
            "omega_cdm": 0.1202,
            "H0": 67.27,
            "ln10A_s": 3.045,
            "n_s": 0.9649,
            "tau_reio": 0.0544,
        }
    )
