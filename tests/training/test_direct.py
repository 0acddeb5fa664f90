"""Likelihoods of the package's own theory: no training, the cosmology handed to them, CLASS's power
in the exact theory."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.boltzmann import POWER_K, POWER_Z, get_solver
from volvelle.compute import SerialExecutor
from volvelle.cosmology import Cosmology, Parametrisation, sound_horizon
from volvelle.inference import CompressedLikelihood, Posterior, Uniform
from volvelle.inference.laplace import by_differences
from volvelle.likelihood import Gaussian, TheoryError, TwoPoint, TwoPointData
from volvelle.likelihood.estimated_covariance import HartlapLikelihood
from volvelle.likelihood.two_point_data import Kind
from volvelle.power import EisensteinHu, Halofit, linear_power, sigma8
from volvelle.probes import Table
from volvelle.training import (
    DIRECT_SCALARS,
    DirectTheory,
    Exact,
    Problem,
    SurrogateSettings,
    TrainingError,
    Untrained,
    certifying,
)

Z = np.linspace(0.2, 1.4, 40)
FIXED = {"omega_b": 0.0224, "n_s": 0.97, "tau_reio": 0.06, "m_nu": 0.06, "h": 0.7}
X = jnp.array([0.12, 3.05])
NUISANCE = {"A_IA": 0.3, "eta_IA": 0.0, "m_far": 0.0, "dz_far": 0.0}


def shear(**settings: Any) -> TwoPoint:
    ell = np.array([50.0, 200.0, 800.0])
    data = TwoPointData(
        name="shear",
        mean=np.array([1e-8, 1e-9, 1e-10]),
        covariance=np.diag([1e-9, 1e-10, 1e-11]) ** 2,
        kinds=(Kind("cl_shear", ("shear", "shear"), "ell"),) * 3,
        pairs=(("far", "far"),) * 3,
        at=ell,
        windows=(None,) * 3,
        tracers={"far": Table(Z, np.exp(-0.5 * ((Z - 0.8) / 0.2) ** 2))},
        fields={"far": "shear"},
    )
    return TwoPoint.from_data(data, Halofit(EisensteinHu()), **settings)


def problem(*likelihoods: Any, **changes: Any) -> Problem:
    likelihoods = likelihoods or (shear(),)
    given: dict[str, Any] = {
        "names": ("omega_cdm", "ln10A_s"),
        "n_theory": 2,
        "priors": (Uniform(0.05, 0.25), Uniform(2.0, 4.0)),
        "ref_loc": np.asarray(X),
        "ref_scale": np.array([0.01, 0.1]),
        "fixed": FIXED,
        "neutrino_hierarchy": "single",
        "likelihoods": likelihoods,
        "solver": get_solver("class"),
        "request": certifying(likelihoods),
        "fixed_nuisance": NUISANCE,
        "parametrisation": Parametrisation(),
    }
    return Problem(**(given | changes))


def cosmology(x: Any = X, **changes: Any) -> Cosmology:
    values = {**FIXED, "omega_cdm": x[0], "ln10A_s": x[1], **changes}
    return Cosmology.from_parameters(values)


def test_the_likelihood_gets_the_cosmology() -> None:
    made = problem()
    posterior = made.posterior(DirectTheory.of(made))
    expected = made.likelihoods[0].log_prob({"cosmology": cosmology()}, NUISANCE)
    found = eqx.filter_jit(lambda x: posterior.log_likelihood(x))(X)
    assert float(found) == pytest.approx(float(expected), rel=1e-9)
    assert float(posterior.chi2(X)["shear"]) == pytest.approx(-2.0 * float(expected), rel=1e-9)


def test_a_solvers_power_takes_the_place_of_the_packages_own() -> None:
    """As in a certificate, or where an emulator learned it."""
    made = problem()
    own = made.log_likelihood(np.asarray(X), {})
    k, a = np.asarray(POWER_K)[None, :], 1.0 / (1.0 + np.asarray(POWER_Z)[:, None])
    table = np.asarray(linear_power(cosmology(), k, a, EisensteinHu()))
    same = made.log_likelihood(np.asarray(X), {"matter_power": table})
    other = made.log_likelihood(np.asarray(X), {"matter_power": 1.1 * table})
    assert same == pytest.approx(own, rel=3e-3) and abs(other - own) > 0.01 * abs(own)


def test_what_follows_cold_matter_gets_its_power_too() -> None:
    """Where neutrinos have mass, that of all matter would certify something else."""
    made, table = problem(shear(tracing="cb")), np.ones((len(POWER_Z), len(POWER_K)))
    assert {"matter_power", "cb_power"} <= set(certifying([shear()]).names())
    with pytest.raises(
        TheoryError, match=r"matter_power without cb_power, .*outputs: \[matter_power, cb_power\]"
    ):
        made.log_likelihood(np.asarray(X), {"matter_power": table})
    both = {"matter_power": table, "cb_power": table}
    assert np.isfinite(made.log_likelihood(np.asarray(X), both))


def test_likelihoods_around_others_get_the_cosmology_too() -> None:
    base = shear()
    around = HartlapLikelihood(base, 100)
    made = problem(around)
    posterior = made.posterior(DirectTheory.of(made))
    expected = around.log_prob({"cosmology": cosmology()}, NUISANCE)
    assert float(posterior.log_likelihood(X)) == pytest.approx(float(expected), rel=1e-9)
    compressed = CompressedLikelihood.of(posterior_of(base), X)
    whole = compressed.log_prob({"cosmology": cosmology()}, NUISANCE)
    found = posterior_of(compressed).log_likelihood(X)
    assert float(found) == pytest.approx(float(whole), rel=1e-9)
    # where ln L itself is learned, the exact ones are computed outside of any program
    learned = problem(base, learns_likelihood=True).log_likelihoods(np.asarray(X), {})
    assert learned[0] == pytest.approx(float(base.log_prob({"cosmology": cosmology()}, NUISANCE)))


def posterior_of(likelihood: Any) -> Posterior:
    made = problem(likelihood)
    return made.posterior(DirectTheory.of(made))


def test_h_is_the_solvers_where_only_a_solver_knows_it() -> None:
    fixed = {name: value for name, value in FIXED.items() if name != "h"}
    made = problem(fixed=fixed | {"theta_star_100": 1.041})
    found = made.universe(X, {"h": jnp.asarray(0.68)})
    assert float(found.hubble_parameter) == 0.68 and found.theta_star_100 is None
    np.testing.assert_allclose(
        sound_horizon(found, 1e-3), sound_horizon(cosmology(h=0.68), 1e-3), rtol=1e-12
    )


def test_what_is_reported_is_the_packages_own() -> None:
    theory = DirectTheory.of(problem())
    x = np.array([[0.12, 3.05], [0.13, 3.0]])
    found = theory.batch(x, DIRECT_SCALARS)
    for row, n in zip(x, range(2), strict=True):
        universe = cosmology(row)
        amplitude = float(sigma8(universe, 1.0, EisensteinHu()))
        matter = float(universe.Omega_m)
        assert found["H0"][n] == pytest.approx(70.0) and found["Omega_m"][n] == pytest.approx(
            matter
        )
        assert found["sigma8"][n] == pytest.approx(amplitude)
        assert found["S8"][n] == pytest.approx(amplitude * np.sqrt(matter / 0.3))


def test_what_does_not_vary_is_not_reported() -> None:
    free = problem(
        names=("omega_cdm", "h"),
        fixed={name: value for name, value in FIXED.items() if name != "h"} | {"sigma8": 0.8},
        ref_loc=np.array([0.12, 0.7]),
        ref_scale=np.array([0.01, 0.05]),
    )
    assert DirectTheory.of(free).varying(free) == ("H0", "Omega_m", "S8")
    assert DirectTheory.of(problem()).varying(problem()) == ("Omega_m", "sigma8", "S8")


def test_nothing_is_trained(tmp_path: Path) -> None:
    exact = Exact(problem(), None, SerialExecutor(), "run")  # pyright: ignore[reportArgumentType]
    trainer = Untrained(exact, SurrogateSettings(kind="none"), tmp_path)
    assert trainer.run() and not trainer.asked and not trainer.takes(100)
    assert trainer.record()["surrogates"] == {} and trainer.design == "none"
    with pytest.raises(TrainingError, match="only the adaptive design starts from points"):
        trainer.run(np.ones((3, 2)))
    theory: Any = trainer.emulator
    theory.save(tmp_path / "emulator", trainer.record())
    assert (tmp_path / "emulator" / "theory.json").exists()


def test_likelihoods_that_need_a_solver_are_refused() -> None:
    read = Gaussian.from_values([0.8], [0.01], ["sigma8"], name="mine")
    with pytest.raises(TrainingError, match="mine read what only a solver computes; write theory"):
        DirectTheory.of(problem(shear(), read))


def test_the_curvature_by_differences_is_the_second_derivative() -> None:
    made = problem()
    posterior = made.posterior(DirectTheory.of(made))
    u, factor = np.asarray(posterior.to_real(X)), np.array([[1.0, 0.0], [0.4, 1.0]])
    found = by_differences(posterior, u, factor, jnp.ones(()))
    exact = jax.hessian(lambda v: -posterior.log_prob_real(v))(jnp.asarray(u))
    np.testing.assert_allclose(found, factor.T @ exact @ factor, rtol=1e-3)
