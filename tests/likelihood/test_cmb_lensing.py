"""6x2pt: the lensing of the cosmic microwave background beside galaxies, in files of SACC."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyccl as ccl
import pytest
import sacc

from volvelle.boltzmann import EARLY_Z, POWER_K, POWER_Z
from volvelle.cosmology import Cosmology, to_ccl
from volvelle.likelihood import (
    DataFormatError,
    LikelihoodOptionError,
    TheoryError,
    TwoPoint,
    get_likelihood,
    read_sacc,
)
from volvelle.power import Halofit, TabulatedPower, learned_power, power_model
from volvelle.probes import SKIES, CMBLensing, angular_cl, angular_transform
from volvelle.training import certifying

COSMOLOGY = Cosmology(
    h=0.68, omega_b=0.0224, omega_cdm=0.12, n_s=0.965, A_s=2.1e-9, tau_reio=0.06, m_nu=0.06
)
THEORY = {"cosmology": COSMOLOGY}
POWER = Halofit(learned_power())
Z = np.linspace(0.0, 2.0, 101)
LENS, SOURCE = (np.exp(-0.5 * ((Z - z) / width) ** 2) for z, width in ((0.5, 0.1), (1.0, 0.2)))
NUISANCE = {"bias_near": 1.7, "dz_near": 0.0, "A_IA": 0.4, "eta_IA": 0.3, "m_far": 0.02}
NUISANCE["dz_far"] = 0.0
SPECTRA = {
    "cmbGalaxy_convergenceDensity_cl": ("cmb", "near"),
    "cmbGalaxy_convergenceShear_cl_e": ("cmb", "far"),
    "cmb_convergence_cl": ("cmb", "cmb"),
}
FUNCTIONS = {
    "cmbGalaxy_convergenceDensity_xi": ("cmb", "near"),
    "cmbGalaxy_convergenceShear_xi_t": ("far", "cmb"),
}
ELL = np.array([40.0, 100.0, 300.0, 900.0])
THETA = np.array([10.0, 30.0, 100.0])
MULTIPOLES = np.arange(2.0, 3001.0)
BEAM = np.exp(-0.5 * (MULTIPOLES * np.radians(5.4 / 60.0)) ** 2 / (8.0 * np.log(2.0)))


def survey(kinds: dict[str, tuple[str, str]], beam: Any = None, quantity: str = "") -> sacc.Sacc:
    made = sacc.Sacc()
    made.add_tracer("NZ", "near", Z, LENS, quantity="galaxy_density")
    made.add_tracer("NZ", "far", Z, SOURCE, quantity="galaxy_shear")
    ell, factors = (MULTIPOLES, beam) if beam is not None else (np.arange(2.0), np.ones(2))
    quantity = quantity or "cmb_convergence"
    made.add_tracer("Map", "cmb", quantity=quantity, spin=0, ell=ell, beam=factors)
    for kind, pair in kinds.items():
        axis, at = ("theta", THETA) if "_xi" in kind else ("ell", ELL)
        for each in at:
            made.add_data_point(kind, pair, 1e-7, **{axis: each})
    made.add_covariance(np.full(len(made.mean), 1e-16))
    return made


def read(made: sacc.Sacc, folder: Path, **options: Any) -> TwoPoint:
    path = folder / "made.fits"
    made.save_fits(str(path), overwrite=True)
    return TwoPoint.from_data(read_sacc(path, "made"), POWER, **options)


@pytest.fixture(scope="module")
def theirs() -> dict[tuple[str, str], np.ndarray]:
    """C_l at ``MULTIPOLES`` by CCL with the same P(k, z), to last scattering."""
    spectrum = POWER.spectrum(COSMOLOGY)
    a = np.exp(np.linspace(-np.log(1200.0), 0.0, 160))
    k = np.geomspace(1.0001e-4, 9.999, 500)
    values = np.stack([np.asarray(spectrum(k, np.full(k.shape, each))) for each in a])
    table = {"a": a, "k": k, "delta_matter:delta_matter": values}
    universe: Any = ccl.CosmologyCalculator(**to_ccl(COSMOLOGY), pk_linear=table, pk_nonlin=table)
    aligned = NUISANCE["A_IA"] * ((1.0 + Z) / 1.62) ** NUISANCE["eta_IA"]
    bias = np.full_like(Z, NUISANCE["bias_near"])
    tracers = {
        "near": ccl.NumberCountsTracer(universe, has_rsd=False, dndz=(Z, LENS), bias=(Z, bias)),
        "far": ccl.WeakLensingTracer(universe, dndz=(Z, SOURCE), ia_bias=(Z, aligned)),
        "cmb": ccl.CMBLensingTracer(universe, z_source=1089.92),
    }
    pairs = {("near", "cmb"): 1.0, ("cmb", "far"): 1.0 + NUISANCE["m_far"], ("cmb", "cmb"): 1.0}
    return {
        (one, two): factor * ccl.angular_cl(universe, tracers[one], tracers[two], MULTIPOLES)
        for (one, two), factor in pairs.items()
    }


def test_spectra_are_those_of_ccl(
    theirs: dict[tuple[str, str], np.ndarray], tmp_path: Path
) -> None:
    plain = read(survey(SPECTRA), tmp_path)
    expected = [np.interp(ELL, MULTIPOLES, cl) for cl in theirs.values()]
    assert plain.pairs == tuple(theirs)
    found = jax.jit(lambda: plain.model(THEORY, NUISANCE))()
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-3)
    smooth = read(survey(SPECTRA, BEAM), tmp_path, smoothed=True)
    factor = np.interp(ELL, MULTIPOLES, BEAM)
    powers = np.concatenate([factor, factor, factor**2])
    np.testing.assert_allclose(smooth.model(THEORY, NUISANCE), found * powers, rtol=1e-9)
    removed = read(survey(SPECTRA, BEAM), tmp_path, smoothed=False)
    np.testing.assert_array_equal(removed.matrix, plain.matrix)


def test_correlation_functions_are_sums_of_ccls_spectra(
    theirs: dict[tuple[str, str], np.ndarray], tmp_path: Path
) -> None:
    """Of a map that is smoothed and ends at l = 3000, and has nothing below 8."""
    beam = np.where(MULTIPOLES < 8.0, 0.0, BEAM)
    made = read(survey(FUNCTIONS, beam), tmp_path, smoothed=True)
    assert [kind.name for kind in made.kinds] == ["w_theta_kappa"] * 3 + ["gamma_t_kappa"] * 3
    expected = [
        angular_transform(kind, MULTIPOLES, theta=THETA)(jnp.asarray(theirs[pair] * beam))
        for kind, pair in (("w_theta", ("near", "cmb")), ("gamma_t", ("cmb", "far")))
    ]
    found = made.model(THEORY, NUISANCE)
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=2e-3)
    for sky in SKIES:
        edges = [5.0, 20.0, 60.0, 200.0]
        binned = read(survey(FUNCTIONS, beam), tmp_path, smoothed=True, edges=edges, sky=sky)
        assert np.all(np.isfinite(binned.model(THEORY, NUISANCE)))


def test_windows_from_the_monopole_on(tmp_path: Path) -> None:
    """Kappa has a monopole and a dipole in the projection, its spectra with shear do not."""
    made = survey(SPECTRA)
    made.covariance, made.data = None, []
    every, weight = np.arange(40.0), np.exp(-np.arange(40.0) / 5.0)[:, None]
    for kind, pair in SPECTRA.items():
        window = sacc.BandpowerWindow(every, weight)
        made.add_data_point(kind, pair, 1e-7, ell=10.0, window=window, window_ind=0)
    made.add_covariance(np.full(3, 1e-16), overwrite=True)
    likelihood = read(made, tmp_path)
    assert likelihood.ell[:3] == (0.0, 1.0, 2.0)
    spectra = likelihood.spectra(THEORY, NUISANCE).values
    assert np.all(np.asarray(spectra)[1, :2] == 0.0) and np.all(np.asarray(spectra)[2, 1:] > 0.0)
    found = np.asarray(likelihood.model(THEORY, NUISANCE))
    np.testing.assert_allclose(found, np.asarray(spectra) @ weight[:, 0], rtol=1e-12)


def table(species: str, z: np.ndarray) -> np.ndarray:
    spectrum = POWER.linear.spectrum(COSMOLOGY)
    at = (np.full(POWER_K.shape, 1.0 / (1.0 + each)) for each in z)
    return np.stack([np.asarray(getattr(spectrum, species)(POWER_K, a)) for a in at])


def test_a_solvers_power_goes_on_to_last_scattering(tmp_path: Path) -> None:
    """From z = 100 on by the package's own growth: 0.2 to 0.3% of kappa's spectrum comes from there
    at l >= 300."""
    likelihood = read(survey(SPECTRA), tmp_path)
    request = certifying([likelihood])
    names = ("matter_power", "cb_power", "matter_power_early", "cb_power_early")
    assert set(names) <= set(request.names())
    theory = {
        "matter_power": table("matter", POWER_Z),
        "cb_power": table("cb", POWER_Z),
        "matter_power_early": table("matter", EARLY_Z),
        "cb_power_early": table("cb", EARLY_Z),
    }
    own = likelihood.model(THEORY, NUISANCE)
    found = likelihood.model(THEORY | theory, NUISANCE)
    np.testing.assert_allclose(found, own, rtol=2e-5)
    ended = eqx.tree_at(lambda m: m.linear, POWER, TabulatedPower.of_theory(theory))
    kappa = angular_cl(COSMOLOGY, ELL, [CMBLensing(1089.92)], ended, limber="always")[0, 0]
    lost = 1.0 - np.asarray(kappa / own[-4:])
    assert np.all(lost > 0.0) and np.all((lost[2:] > 0.0015) & (lost[2:] < 0.0035))
    more = theory | {"matter_power_early": 1.1 * theory["matter_power_early"]}
    moved = np.asarray(likelihood.model(THEORY | more, NUISANCE) / found - 1.0)
    assert np.all(moved[-4:] > 0.01) and np.all(moved[-4:] < 0.1)
    assert likelihood.lacks(["matter_power"]) == ("matter_power_early",)
    with pytest.raises(TheoryError, match=r"matter_power without cb_power_early, .* ask for them"):
        likelihood.model(THEORY | {n: theory[n] for n in names if n != "cb_power_early"}, NUISANCE)


def test_derivatives_are_those_of_differences(tmp_path: Path) -> None:
    likelihood = read(survey(SPECTRA), tmp_path)

    def function(x: jax.Array) -> jax.Array:
        universe = COSMOLOGY.replace(h=x[0], omega_cdm=x[1])
        return likelihood.model({"cosmology": universe}, NUISANCE | {"bias_near": x[2]})

    at, run = np.array([0.68, 0.12, 1.7]), jax.jit(function)
    slope = np.asarray(jax.jit(jax.jacfwd(function))(at))
    for i, step in enumerate(np.diag([1e-4, 1e-5, 1e-4])):
        numeric = np.asarray(run(at + step) - run(at - step)) / (2.0 * step[i])
        scale = 1e-4 * np.abs(np.asarray(run(at))) / at[i]
        assert np.all(np.abs(slope[:, i] - numeric) < scale)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LikelihoodOptionError, match=r"has a beam of cmb .*; give smoothed: true"):
        read(survey(SPECTRA, BEAM), tmp_path)
    with pytest.raises(LikelihoodOptionError, match=r"smoothed is true, but .* no beam of cmb "):
        read(survey(SPECTRA), tmp_path, smoothed=True)
    with pytest.raises(LikelihoodOptionError, match=r"z_source is 11; expected .* 1000 to 1200"):
        read(survey(SPECTRA), tmp_path, z_source=11)
    counts = survey({"galaxy_density_cl": ("near", "near")})
    for options in ({"smoothed": False}, {"z_source": 1100.0}):
        with pytest.raises(LikelihoodOptionError, match="is of a map of kappa, which the data do"):
            read(counts, tmp_path, **options)
    with pytest.raises(DataFormatError, match=r"factors of shape .*; expected increasing multip"):
        read(survey(SPECTRA, np.full(MULTIPOLES.shape, np.nan)), tmp_path, smoothed=True)
    unclear = survey({"cmbGalaxy_convergenceDensity_cl": ("cmb", "near")}, quantity="generic")
    assert dict(read(unclear, tmp_path).fields)["cmb"] == "kappa"
    unclear.tracers["near"].quantity = "generic"
    with pytest.raises(DataFormatError, match="nothing says whether cmb is counts, shear or kappa"):
        read(unclear, tmp_path)


def test_by_name_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "made.fits"
    survey(SPECTRA, BEAM).save_fits(str(path))
    found = get_likelihood(
        "two_point", file=path, smoothed=True, statistics=["cl_kappa"], z_source=1100.0
    )
    assert isinstance(found, TwoPoint) and not found.nuisance and found.z_source == 1100.0
    assert found.power == power_model("learned", "halofit")
