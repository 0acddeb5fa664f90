"""Cosmologies with a name: published values, as the tables print them."""

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


def planck18_lensing() -> Cosmology:
    """Planck 2018 TT,TE,EE+lowE+lensing means, arXiv:1807.06209 table 2; a neutrino of 0.06 eV."""
    return Cosmology.from_parameters(
        {
            "omega_b": 0.02237,
            "omega_cdm": 0.1200,
            "H0": 67.36,
            "ln10A_s": 3.044,
            "n_s": 0.9649,
            "tau_reio": 0.0544,
        }
    )


def planck18_lensing_bao() -> Cosmology:
    """Planck 2018 TT,TE,EE+lowE+lensing+BAO means, arXiv:1807.06209 table 2.

    One neutrino of 0.06 eV. astropy's Planck18 is of the same column.
    """
    return Cosmology.from_parameters(
        {
            "omega_b": 0.02242,
            "omega_cdm": 0.11933,
            "H0": 67.66,
            "ln10A_s": 3.047,
            "n_s": 0.9665,
            "tau_reio": 0.0561,
        }
    )


def planck15() -> Cosmology:
    """Planck 2015 TT,TE,EE+lowP+lensing+ext means, arXiv:1502.01589 table 4, with its sigma8.

    One neutrino of 0.06 eV, N_eff = 3.046. astropy's Planck15 is of the same column.
    """
    return Cosmology.from_parameters(
        {
            "omega_b": 0.02230,
            "omega_cdm": 0.1188,
            "H0": 67.74,
            "sigma8": 0.8159,
            "n_s": 0.9667,
            "tau_reio": 0.066,
            "N_eff": 3.046,
        }
    )


def planck13() -> Cosmology:
    """Planck 2013 Planck+WP+highL+BAO best fit, arXiv:1303.5076 table 5, with its sigma8.

    In the densities of astropy's Planck13, of the same column; one neutrino of 0.06 eV,
    N_eff = 3.046.
    """
    return Cosmology.from_parameters(
        {
            "Omega_b": 0.048252,
            "Omega_cdm": 0.25886,
            "h": 0.6777,
            "sigma8": 0.8288,
            "n_s": 0.9611,
            "tau_reio": 0.0952,
            "N_eff": 3.046,
        }
    )


def wmap9() -> Cosmology:
    """WMAP 9 years + eCMB + BAO + H0 means, arXiv:1212.5226 table 4, with its sigma8.

    In the densities of astropy's WMAP9, of the same column; massless neutrinos, N_eff = 3.04,
    2.725 K.
    """
    return Cosmology.from_parameters(
        {
            "Omega_b": 0.04628,
            "Omega_cdm": 0.2402,
            "h": 0.6932,
            "sigma8": 0.820,
            "n_s": 0.9608,
            "tau_reio": 0.081,
            "m_nu": 0.0,
            "N_eff": 3.04,
            "T_cmb": 2.725,
        }
    )


def abacus_summit() -> Cosmology:
    """The base of AbacusSummit, c000 (Maksimova et al. 2021, arXiv:2110.11398); DESI's fiducial.

    Planck 2018 TT,TE,EE+lowE+lensing; one neutrino of 0.06 eV (omega_nu = 0.00064420) and 2.0328
    massless ones.
    """
    return Cosmology.from_parameters(
        {
            "omega_b": 0.02237,
            "omega_cdm": 0.1200,
            "h": 0.6736,
            "A_s": 2.0830e-9,
            "n_s": 0.9649,
            "tau_reio": 0.0544,
            "m_nu": 0.06,
            "N_eff": 3.046,
        }
    )
