"""The words of CLASS that MontePython speaks: inputs, methods, and what each method takes."""

from __future__ import annotations

BACKGROUND = "background"
THERMODYNAMICS = "thermodynamics"
PRIMORDIAL = "primordial"
FULL = "full"
"""How far CLASS must compute for a method; ``full`` with the user's own outputs."""

VARIABLE, ALWAYS_EXACT = "VOLVELLE_EMULATOR", "VOLVELLE_ALWAYS_EXACT"
"""Of the environment: the emulator of all runs, and whether to solve every point (yes)."""
STAND_IN, LEARN = "volvelle_emulator", "volvelle_learn"
OWN_WORDS = (
    STAND_IN,
    LEARN,
    "volvelle_accuracy",
    "volvelle_max_training",
    "volvelle_points",
    "volvelle_draws",
    "volvelle_outside",
    "volvelle_class",
    "volvelle_class_path",
    "volvelle_always_exact",
    "volvelle_trust_settings",
)
"""Inputs of the stand-in's own: see ``plugins.montepython``."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


OUTPUT_WORDS = frozenset(
    _words("""
    output lensing l_max_scalars l_max_tensors l_max_lss P_k_max_h/Mpc P_k_max_1/Mpc z_max_pk z_pk
    format headers root write_parameters write_background write_thermodynamics write_warnings
    overwrite_root want_lcmb_full_limber selection selection_mean selection_width
    number_count_contributions background_verbose thermodynamics_verbose perturbations_verbose
    transfer_verbose primordial_verbose harmonic_verbose spectra_verbose fourier_verbose
    nonlinear_verbose lensing_verbose output_verbose distortions_verbose input_verbose
    """)
)
"""What is computed, not of which universe: for CLASS only."""

CHOICES: dict[str, tuple[str, ...]] = {
    "modes": ("s",),
    "ic": ("ad",),
    "gauge": ("synchronous", "newtonian"),
    "recombination": ("hyrec",),
    "reio_parametrization": ("reio_camb",),
    "use_ppf": ("yes", "y"),
    "YHe": ("bbn",),
    "P_k_ini type": ("analytic_pk",),
}
"""Words of the physics, with the values that stand for what emulators are trained on."""

NON_LINEAR = ("non_linear", "non linear")
NON_LINEAR_METHODS = {"none": 0, "halofit": 1, "hmcode": 2}

_BACKGROUND_NUMBERS = _words("""
    Neff Omega_Lambda Omega_b Omega_cdm Omega_fld Omega_g Omega_k Omega_m Omega_nu Omega_r age
    z_eq k_eq Mpc_to_m c density_factor kg_to_Msol kg_to_eV kgm3_to_MsolMpc3 kgm3_to_eVMpc3
    """)
_BACKGROUND_METHODS = _words("""
    Hubble Om_b Om_cdm Om_m Om_ncdm Omega0_cdm Omega0_k Omega0_m angular_distance
    angular_distance_from_to comoving_distance luminosity_distance z_of_r z_of_tau get_background
    scale_independent_growth_factor scale_independent_growth_factor_f growth_factor_at_z
    """)
_FULL_METHODS = _words("""
    density_cl effective_f_sigma8_spline get_Weyl_pk_and_k_and_z get_perturbations get_pk_all
    get_sources get_transfer get_transfer_and_k_and_z nonlinear_scale nonlinear_scale_cb
    pk_analytic_nw pk_numerical_nw pk_tilt scale_dependent_growth_factor_D
    scale_dependent_growth_factor_D_cb scale_dependent_growth_factor_f
    scale_dependent_growth_factor_f_cb scale_independent_f_sigma8 sigma_cb spectral_distortion
    spectral_distortion_amplitudes
    """)

NUMBERS: dict[str, str] = {
    **dict.fromkeys(_BACKGROUND_NUMBERS, BACKGROUND),
    **dict.fromkeys(("rs_drag", "theta_s_100", "theta_star_100", "z_reio"), THERMODYNAMICS),
    "sigma8_cb": FULL,
}
"""Properties of ``classy.Class`` that CLASS answers, and how far it computes for it."""

METHODS: dict[str, str] = {
    **dict.fromkeys(_BACKGROUND_METHODS, BACKGROUND),
    **dict.fromkeys(("baryon_temperature", "ionization_fraction"), THERMODYNAMICS),
    "get_thermodynamics": THERMODYNAMICS,
    "get_primordial": PRIMORDIAL,
    **dict.fromkeys(_FULL_METHODS, FULL),
}
"""Methods of ``classy.Class`` that CLASS answers."""

PERTURBED = ("sigma8", "S8", "sigma8_cb")
"""Derived numbers that a network gives and CLASS's background does not."""
