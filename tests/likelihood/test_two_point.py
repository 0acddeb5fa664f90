"""3x2pt likelihoods: SACC files in, predictions as CCL's, and what is refused."""

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sacc
import yaml
from typer.testing import CliRunner

import ccl_two_point as by_ccl
import volvelle.likelihood
from volvelle.cli import Configuration, ConfigurationError
from volvelle.cli.app import app
from volvelle.cosmology import Cosmology
from volvelle.likelihood import (
    DataFormatError,
    LikelihoodOptionError,
    NuisanceError,
    PrecisionError,
    TheoryError,
    TwoPoint,
    catalogue,
    get_likelihood,
    read_sacc,
)
from volvelle.likelihood.des_y1 import FILE
from volvelle.power import EisensteinHu, Halofit
from volvelle.probes import NumberCounts, Shifted, Table, WeakLensing, angular_cl

COSMOLOGY = Cosmology(
    h=0.70, Omega_b=0.048, Omega_cdm=0.23, n_s=0.97, A_s=2.1e-9, tau_reio=0.06, m_nu=0.06
)
THEORY = {"cosmology": COSMOLOGY}
POWER = Halofit(EisensteinHu())
CHI2 = 2.0
"""Difference from CCL's (measured: 1.7 at chi2 = 598)."""
ELL = (30.0, 100.0, 300.0, 1000.0)
Z = np.linspace(0.0, 2.0, 101)
LENS, SOURCE = (np.exp(-0.5 * ((Z - z) / width) ** 2) for z, width in ((0.4, 0.1), (0.9, 0.2)))


def nuisance(likelihood: TwoPoint) -> dict[str, float]:
    return {name: parameter.ref for name, parameter in likelihood.nuisance.items()}


@pytest.mark.real_data
def test_des_y1_against_ccl(real_data: Path) -> None:
    """At CCL's own power of CLASS and halofit, and at ours."""
    likelihood = get_likelihood("des_y1_3x2pt")
    data = read_sacc(real_data / "des-y1-3x2pt" / FILE, "des")
    assert len(data.mean) == 457
    counts = {kind: sum(k.name == kind for k in data.kinds) for kind in by_ccl.TYPES}
    assert counts == {"w_theta": 54, "gamma_t": 176, "xi_plus": 167, "xi_minus": 60}
    values = nuisance(likelihood) | {"eta_IA": -0.7, "A_IA": 0.44}
    model = jax.jit(lambda: likelihood.model(THEORY, values))()
    ours = float(likelihood.chi2(THEORY, values))
    whiten = likelihood.whiten
    own = {"transfer_function": "boltzmann_class", "matter_power_spectrum": "halofit"}
    for universe in (
        by_ccl.same_power(COSMOLOGY, likelihood.power),
        by_ccl.own_power(COSMOLOGY, **own),
    ):
        theirs = by_ccl.prediction(universe, data, values)
        assert abs(np.sum(whiten(data.mean - theirs) ** 2) - ours) < CHI2
        assert np.sum(whiten(theirs - np.asarray(model)) ** 2) < 0.05
    averaged = get_likelihood("des_y1_3x2pt", averaged=True)
    moved = averaged.model(THEORY, values) - model
    assert 0.0 < float(jnp.sum(averaged.whiten(moved) ** 2)) < 1.0
    flat = get_likelihood("des_y1_3x2pt", sky="flat")
    moved = flat.model(THEORY, values) - model
    assert 1e-3 < float(jnp.sum(flat.whiten(moved) ** 2)) < 1.0


def entries() -> sacc.Sacc:
    """Two samples with all angular spectra, in bandpowers of three multipoles."""
    made = sacc.Sacc()
    made.add_tracer("NZ", "near", Z, LENS, quantity="galaxy_density")
    made.add_tracer("NZ", "far", Z, SOURCE, quantity="galaxy_shear")
    for kind, pair in (
        ("galaxy_density_cl", ("near", "near")),
        ("galaxy_shearDensity_cl_e", ("far", "near")),
        ("galaxy_shear_cl_ee", ("far", "far")),
    ):
        for n, ell in enumerate(ELL):
            window = sacc.BandpowerWindow(ell + np.arange(-1.0, 2.0), np.full((3, 4), 1 / 3))
            made.add_data_point(kind, pair, 1e-6, ell=ell, window=window, window_ind=n)
    made.add_covariance(np.full(12, 1e-14))
    return made


def saved(made: sacc.Sacc, folder: Path) -> Path:
    path = folder / "made.fits"
    made.save_fits(str(path))
    return path


def test_bandpowers_are_means_of_the_spectra(tmp_path: Path) -> None:
    likelihood = TwoPoint.from_data(read_sacc(saved(entries(), tmp_path), "made"), POWER)
    values = nuisance(likelihood) | {"A_IA": 0.0, "dz_far": 0.01, "m_far": 0.03, "bias_near": 1.3}
    tracers = [
        NumberCounts(Shifted(Table(Z, LENS), 0.0, 0.1), 1.3),
        WeakLensing(Shifted(Table(Z, SOURCE), 0.01, 0.1), None, 0.03),
    ]
    ell = (np.array(ELL)[:, None] + np.arange(-1.0, 2.0)).ravel()
    spectra = angular_cl(COSMOLOGY, ell, tracers, POWER, limber="always")
    expected = [spectra[pair].reshape(4, 3).mean(axis=1) for pair in ((0, 0), (0, 1), (1, 1))]
    found = np.asarray(likelihood.model(THEORY, values))
    assert np.allclose(found, np.concatenate(expected), rtol=2e-3)  # alignments bring nodes
    assert likelihood.pairs == (("near", "near"), ("near", "far"), ("far", "far"))


@pytest.mark.parametrize("last", [120.0, 600.0])
def test_windows_from_the_monopole_on(last: float, tmp_path: Path) -> None:
    """As masks make them: counts have a monopole and a dipole, shear has none."""
    every = np.arange(last)
    weight = np.exp(-0.5 * ((every[:, None] - np.array([10.0, 60.0])) / 8.0) ** 2)
    made = sacc.Sacc()
    made.add_tracer("NZ", "near", Z, LENS, quantity="galaxy_density")
    made.add_tracer("NZ", "far", Z, SOURCE, quantity="galaxy_shear")
    kinds = {
        "galaxy_density_cl": ("near", "near"),
        "galaxy_shearDensity_cl_e": ("near", "far"),
        "galaxy_shear_cl_ee": ("far", "far"),
    }
    for kind, pair in kinds.items():
        for n in range(2):
            window = sacc.BandpowerWindow(every, weight)
            made.add_data_point(kind, pair, 1e-6, ell=10.0, window=window, window_ind=n)
    made.add_covariance(np.full(6, 1e-14))
    data = read_sacc(saved(made, tmp_path), "made")
    likelihood = TwoPoint.from_data(data, POWER)
    values = nuisance(likelihood)
    sky = likelihood.sky(values)
    settings: dict[str, Any] = {"limber": "always"}
    counts = angular_cl(COSMOLOGY, every, [sky["near"]], POWER, **settings)[0, 0]
    both = angular_cl(COSMOLOGY, every[2:], [sky["near"], sky["far"]], POWER, **settings)
    expected = [counts @ weight, both[0, 1] @ weight[2:], both[1, 1] @ weight[2:]]
    found = likelihood.model(THEORY, values)
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-3)
    alone = TwoPoint.from_data(data, POWER, statistics=["cl_counts"])
    np.testing.assert_allclose(alone.model(THEORY, values), expected[0], rtol=1e-3)


def test_a_pair_may_be_named_either_way(tmp_path: Path) -> None:
    made = sacc.Sacc()
    for name, values in (("one", LENS), ("two", SOURCE)):
        made.add_tracer("NZ", name, Z, values, quantity="galaxy_shear")
    for pair in (("one", "two"), ("two", "one")):
        for ell in ELL:
            made.add_data_point("galaxy_shear_cl_ee", pair, 1e-6, ell=ell)
    made.add_covariance(np.full(8, 1e-14))
    likelihood = TwoPoint.from_data(read_sacc(saved(made, tmp_path), "made"), POWER)
    assert likelihood.pairs == (("one", "two"),)
    found = likelihood.model(THEORY, nuisance(likelihood))
    np.testing.assert_array_equal(found[:4], found[4:])


def test_simulated_data_are_recovered_and_derivatives_are_those_of_differences(
    tmp_path: Path,
) -> None:
    made = TwoPoint.from_data(read_sacc(saved(entries(), tmp_path), "made"), POWER)
    values = nuisance(made)
    likelihood = made.simulate(THEORY, values)
    assert likelihood.simulated and float(likelihood.chi2(THEORY, values)) == pytest.approx(0.0)
    names = list(values)

    def log_prob(x: jax.Array) -> jax.Array:
        universe = COSMOLOGY.replace(h=x[0])
        return likelihood.log_prob({"cosmology": universe}, dict(zip(names, x[1:], strict=True)))

    at = np.array([0.71, *values.values()]) + 0.003
    function, slope = jax.jit(log_prob), jax.jit(jax.grad(log_prob))(at)
    for i, step in enumerate(np.diag(np.full(len(at), 1e-5))):
        numeric = (function(at + step) - function(at - step)) / 2e-5
        assert slope[i] == pytest.approx(
            float(numeric), rel=1e-4, abs=1e-4 * float(abs(slope).max())
        )


def test_the_contract(tmp_path: Path) -> None:
    """What holds for likelihoods of a solver's outputs (``test_contract``) holds here."""
    made = TwoPoint.from_data(read_sacc(saved(entries(), tmp_path), "made"), POWER)
    values = nuisance(made)
    value = made.log_prob(THEORY, values)
    assert value.shape == () and value.dtype == jnp.float64
    assert float(made.chi2(THEORY, values)) == -2.0 * float(value)
    copy = pickle.loads(pickle.dumps(made))
    assert copy.log_prob(THEORY, values) == value
    biases = jnp.array([1.2, 1.4])
    batch = jax.vmap(lambda b: made.log_prob(THEORY, values | {"bias_near": b}))(biases)
    single = [float(made.log_prob(THEORY, values | {"bias_near": b})) for b in biases]
    np.testing.assert_allclose(batch, single, rtol=1e-10)
    assert made.noise() == {} and made.data_sha256.keys() == {"made/sacc"}
    for name in values:
        rest = {other: v for other, v in values.items() if other != name}
        with pytest.raises(NuisanceError, match=f"needs the nuisance parameter '{name}'"):
            made.log_prob(THEORY, rest)
    with jax.enable_x64(False), pytest.raises(PrecisionError, match="jax_enable_x64"):
        made.log_prob(THEORY, values)


def without(attribute: str) -> Callable[[sacc.Sacc], None]:
    return lambda made: setattr(made, attribute, None)


def foreign(made: sacc.Sacc) -> None:
    made.covariance = None
    made.add_tracer("Map", "cmb", quantity="cmb_temperature", spin=0, ell=[1, 2], beam=[1, 1])
    made.add_data_point("cmbGalaxy_temperatureDensity_cl", ("cmb", "near"), 1.0, ell=10.0)
    made.add_covariance(np.full(13, 1e-14), overwrite=True)


def undirected(made: sacc.Sacc) -> None:
    made.keep_selection(data_type="galaxy_shearDensity_cl_e")
    for tracer in made.tracers.values():
        tracer.quantity = "generic"


def angles(made: sacc.Sacc) -> None:
    made.covariance = None
    made.add_data_point("galaxy_density_xi", ("near", "near"), 1.0, theta=10.0)
    made.add_covariance(np.full(13, 1e-14), overwrite=True)


def negative(made: sacc.Sacc) -> None:
    covariance = np.diag(np.full(12, 1e-14))
    covariance[0, 1] = covariance[1, 0] = 2e-14
    made.add_covariance(covariance, overwrite=True)


def lopsided(made: sacc.Sacc) -> None:
    covariance = np.diag(np.full(12, 1e-14))
    covariance[0, 1], covariance[1, 0] = 0.9e-14, 0.1e-14
    made.add_covariance(covariance, overwrite=True)


def hollow(made: sacc.Sacc) -> None:
    made.data[1].value = np.nan


def too_low(made: sacc.Sacc) -> None:
    made.data[-1].tags["window"] = sacc.BandpowerWindow(np.arange(2.0), np.full((2, 4), 0.5))


def nowhere(made: sacc.Sacc) -> None:
    del made.data[0].tags["ell"]


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (without("covariance"), DataFormatError, "has no covariance; add one"),
        (foreign, DataFormatError, "holds cmbGalaxy_temperatureDensity_cl; understood are"),
        (undirected, DataFormatError, "nothing says whether far is counts, shear or kappa"),
        (angles, LikelihoodOptionError, "correlation functions and angular spectra in one data"),
        (negative, DataFormatError, "covariance of made is not positive definite"),
        (lopsided, DataFormatError, "made is not symmetric: .* is 0.9 above the diagonal, 0.1"),
        (hollow, DataFormatError, "the data vector is not finite in 1 of 12 numbers"),
        (nowhere, DataFormatError, "has ell = None; expected a positive number"),
        (
            lambda m: m.data[0].tags.update(window_ind=4),
            DataFormatError,
            "is of window 4 of 4, .* expected a window_ind from 0 to 3",
        ),
        (lambda m: m.data[0].tags.pop("window_ind"), DataFormatError, "is of window None of 4"),
        (too_low, DataFormatError, "has no weight at multipoles that there are; .* from 2 on"),
        (lambda m: m.tracers.pop("far"), DataFormatError, "the tracer far, which the file does"),
        (
            lambda m: setattr(m.tracers["far"], "nz", 0.0 * Z),
            DataFormatError,
            "n.z. of far: Table: the integral",
        ),
        (
            lambda m: setattr(m.data[0], "tracers", ("near", "far")),
            DataFormatError,
            "far is both counts and shear",
        ),
    ],
)
def test_wrong_files(
    spoil: Callable[[sacc.Sacc], Any],
    error: type,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    made, path = entries(), saved(entries(), tmp_path)
    spoil(made)
    monkeypatch.setattr(sacc.Sacc, "load_fits", lambda _: made)
    with pytest.raises(error, match=words):
        TwoPoint.from_data(read_sacc(path, "made"), POWER)


def test_wrong_options(tmp_path: Path) -> None:
    path = saved(entries(), tmp_path)
    for options, words in (
        ({"linear": "camb"}, "linear is 'camb'; expected one of learned, extended, eisenstein_hu"),
        ({"nonlinear": "none"}, "nonlinear is 'none', but galaxies are seen"),
        ({"statistics": ["xi_plus"]}, "there is no 'xi_plus' in the data; there are cl_counts"),
        ({"rds": True}, "unknown option 'rds'; there are linear, .*, smoothed, margin, .*, rsd"),
        ({"sky": "flat"}, "sky is 'flat'; expected curved or flat, and flat for correlation"),
        ({"sky": "round"}, "sky is 'round'; expected curved or flat"),
    ):
        with pytest.raises(LikelihoodOptionError, match=words):
            get_likelihood("two_point", file=path, **options)
    with pytest.raises(LikelihoodOptionError, match="there is no file"):
        get_likelihood("two_point", file=tmp_path / "none.fits")
    (tmp_path / "text.fits").write_text("no FITS")
    with pytest.raises(DataFormatError, match="cannot be read as a SACC file"):
        get_likelihood("two_point", file=tmp_path / "text.fits")
    likelihood = TwoPoint.from_data(read_sacc(path, "made"), POWER)
    with pytest.raises(TheoryError, match="needs the theory's 'cosmology' and got lensed_tt"):
        likelihood.log_prob({"lensed_tt": np.ones(3)}, nuisance(likelihood))


@pytest.mark.real_data
def test_bins_that_are_not_those_of_the_file(real_data: Path) -> None:
    data = read_sacc(real_data / "des-y1-3x2pt" / FILE, "des")
    with pytest.raises(LikelihoodOptionError, match="arcmin lies outside of the edges, 10 to 100"):
        TwoPoint.from_data(data, POWER, edges=[10.0, 50.0, 100.0])


CONFIGURATION = """
output: out
theory: {{volvelle: }}
params:
  omega_b: 0.0224
  omega_cdm: {{prior: {{min: 0.08, max: 0.18}}, ref: {{loc: 0.12, scale: 0.01}}}}
  {expansion}
  n_s: 0.97
  ln10A_s: 3.0
  tau_reio: 0.06
likelihood: {{two_point: {{file: {file}}}}}
{more}
"""


@pytest.mark.parametrize(
    ("expansion", "more", "words"),
    [
        ("theta_star_100: 1.04", "", r"params.theta_star_100: only a solver knows h of it"),
        ("h: 0.7", "emulator: {kind: network}", r"emulator: theory: .* trains nothing; leave"),
        ("h: 0.7\n  N_ur: 2.0", "", r"params.N_ur: is a solver's own input"),
    ],
)
def test_files_that_the_own_theory_cannot_serve(
    expansion: str, more: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.yaml"
    file = saved(entries(), tmp_path)
    path.write_text(CONFIGURATION.format(expansion=expansion, more=more, file=file))
    with pytest.raises(ConfigurationError, match=words):
        Configuration.load(path, files=False)
    path.write_text(CONFIGURATION.format(expansion="h: 0.7", more="", file=file))
    found = Configuration.load(path, files=False)
    assert found.direct and found.solver_name == "class"


def test_power_of_what_counts_trace_is_learned_with_that_of_matter(tmp_path: Path) -> None:
    """Said before anything is solved."""
    file, path = saved(entries(), tmp_path), tmp_path / "run.yaml"
    text = CONFIGURATION.replace("{{volvelle: }}", "{{camb: }}").format(
        expansion="h: 0.7", more="", file=file
    )
    content = yaml.safe_load(text)
    content["likelihood"]["two_point"]["tracing"] = "cb"
    for outputs, words in (
        (["matter_power"], r"emulator\.outputs: two_point also needs cb_power"),
        (["matter_power", "cb_power"], None),
        ([], None),
    ):
        content["emulator"] = {"outputs": outputs}
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        if words is None:
            assert Configuration.load(path, files=False).emulator.outputs == outputs
            continue
        with pytest.raises(ConfigurationError, match=words):
            Configuration.load(path, files=False)


CALLBACK = Path(__file__).parents[1] / "cli" / "callback_likelihood.py"


def beside_callback(file: Path, folder: Path, params: str = "", **options: Any) -> Path:
    """A configuration of a file and a likelihood that has a parameter of the same name."""
    text = CONFIGURATION.replace("{{volvelle: }}", "{{camb: }}").format(
        expansion=f"h: 0.7{params}", more="", file=file
    )
    content = yaml.safe_load(text)
    content["likelihood"]["external"] = {"python": f"{CALLBACK}:Callback", **options}
    path = folder / "both.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_one_name_for_two_numbers_is_refused(tmp_path: Path) -> None:
    file = saved(entries(), tmp_path)
    path = beside_callback(file, tmp_path, parameter="A_IA")
    words = "external: has a parameter A_IA, as two_point has, of different samples, and one number"
    with pytest.raises(ConfigurationError, match=words):
        Configuration.load(path, files=False)
    path = beside_callback(file, tmp_path, parameter="bias_near")
    with pytest.raises(ConfigurationError, match=r"bias_near, .*'min': 0\.8.* and .*'min': -5\.0"):
        Configuration.load(path, files=False)
    mine = "\n  bias_near: {prior: {min: 0.5, max: 2.0}, ref: {loc: 1.0, scale: 0.1}}"
    path = beside_callback(file, tmp_path, mine, parameter="bias_near")
    found = Configuration.load(path, files=False)
    assert found.shared == {"bias_near": ("two_point", "external")}
    (bias,) = (p for p in found.sampled if p.name == "bias_near")
    assert bias.prior == {"min": 0.5, "max": 2.0}
    told = CliRunner().invoke(app, ["run", str(path), "--dry-run"], env={"COLUMNS": "200"})
    assert "bias_near of two_point and external" in told.output, told.output
    assert Configuration.load(beside_callback(file, tmp_path), files=False).shared == {}


def twice(file: Path, params: str = "", **options: Any) -> Path:
    """A configuration of two surveys of the same samples, the second with options of its own."""
    content = yaml.safe_load(CONFIGURATION.format(expansion=f"h: 0.7{params}", more="", file=file))
    content["likelihood"]["second"] = {"file": str(file), **options}
    path = file.parent / "twice.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"pivot": 0.3}, r"a parameter A_IA at pivot: 0\.3, which two_point has at pivot: 0\.62"),
        ({"tracing": "cb"}, r"bias_near with tracing: cb, which two_point has with tracing: mat"),
    ],
)
def test_one_name_for_two_conventions_is_refused(
    option: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the file gives the parameter: no number is the amplitude at two redshifts."""
    known = {**catalogue.LIKELIHOODS, "second": partial(TwoPoint.from_sacc, name="second")}
    for module in (catalogue, volvelle.likelihood):
        monkeypatch.setattr(module, "LIKELIHOODS", known)
    file = saved(entries(), tmp_path)
    assert Configuration.load(twice(file), files=False).shared["A_IA"]
    mine = "\n  A_IA: {prior: {min: -2, max: 2}}\n  bias_near: {prior: {min: 0.5, max: 2.0}}"
    for params in ("", mine):
        with pytest.raises(ConfigurationError, match=words):
            Configuration.load(twice(file, params, **option), files=False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{prior: {dist: norm, loc: 0.0, scale: 0.05}}", "reaches -0.2, and beyond -0.1 to 0.1"),
        ("{prior: {min: -0.05, max: 0.15}, ref: {loc: 0.0, scale: 0.01}}", "reaches 0.15"),
        ("0.2", "reaches 0.2, and beyond -0.1 to 0.1 the likelihood two_point knows no"),
        ("{prior: {dist: norm, loc: 0.0, scale: 0.025}}", ""),
        ("0.1", ""),
    ],
)
def test_shifts_beyond_the_margin_are_refused(given: str, words: str, tmp_path: Path) -> None:
    """They had no probability, and cut the prior without a word."""
    path = tmp_path / "run.yaml"
    file = saved(entries(), tmp_path)
    text = CONFIGURATION.format(expansion=f"h: 0.7\n  dz_far: {given}", more="", file=file)
    path.write_text(text)
    if not words:
        Configuration.load(path, files=False)
        return
    with pytest.raises(ConfigurationError, match=f"params.dz_far: {words}"):
        Configuration.load(path, files=False)
    path.write_text(text.replace("two_point: {", "two_point: {margin: 0.3, "))
    Configuration.load(path, files=False)


@pytest.mark.real_data
def test_the_same_samples_twice_share_what_has_one_prior(real_data: Path, tmp_path: Path) -> None:
    """Both names of DES Y1 mean the same alignments, but not the same priors of the shifts."""
    first = get_likelihood("des_y1_3x2pt").nuisance
    second = get_likelihood("two_point", file=real_data / "des-y1-3x2pt" / FILE).nuisance
    assert first["A_IA"].same(second["A_IA"]) and first["eta_IA"].same(second["eta_IA"])
    assert first["dz_src0"].of == second["dz_src0"].of != first["dz_src1"].of
    assert not first["dz_src0"].same(second["dz_src0"])
