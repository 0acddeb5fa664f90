"""DES Y1's 3x2pt by CosmoMC: two best fits and a chain that others have published.

The test chains of the package tensiometer (Raveri & Zacharegkas; CosmoMC of July 2018, HMcode of
Mead et al. 2016, a flat sky, neutrinos of 0.06 eV) are of the same data:

    git clone --depth 1 https://github.com/mraveri/tensiometer
    python validation/des_y1_cosmomc.py --chains tensiometer/test_chains

1. chi2 at the best fits, to DES and to DES with Planck, for several non-linear powers: that of
   CosmoMC's model by CAMB, this package's own, and CAMB's of the same names.
2. The chain, weighted from its priors (flat in omega_b, omega_cdm, theta and ln A_s) to those of
   the published analysis, beside a run of example 22 with this mass and the chain's priors of
   redshifts; and the run's samples with the chain's non-linear power, by the ratio of their
   likelihoods over some of them.

Without the chains there is nothing to compare with, and it ends. Writes
docs/validation/des_y1_cosmomc.md; the run and CAMB's powers are kept.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from common import (  # isort: skip
    ROOT,
    Check,
    arguments,
    at_most,
    check_table,
    finish,
    moments,
    run,
    summary_of,
    table,
)

import camb
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import yaml

from volvelle.compute import ProcessExecutor
from volvelle.cosmology import Cosmology, comoving_distance, to_camb
from volvelle.likelihood import TwoPoint, get_likelihood
from volvelle.power import Model, TabulatedPower
from volvelle.report import Chain, read_chain

LIMIT, APART = 0.5, 0.5
"""Of chi2, and of means in the chain's standard deviations."""
BEST_FITS = {"DES": "DES", "DES and Planck": "Planck18TTTEEE_DES"}
MASS, LAST_SCATTERING = 0.06, 1090.0
EV = 93.14  # [eV] of a mass over omega_nu
K = np.geomspace(1e-4, 12.0, 500)  # [1/Mpc]
Z = np.linspace(0.0, 4.0, 36)
CAMB_MODELS = {"mead2016": "HMcode of 2016 (CosmoMC's), CAMB", "takahashi": "halofit, CAMB",
               "mead2020": "HMcode of 2020, CAMB"}  # fmt: skip
OWN = {"halofit": "halofit", "hmcode": "HMcode of 2020"}
LENS_SHIFTS = ((0.001, 0.008), (0.002, 0.007), (0.001, 0.007), (0.003, 0.010), (0.0, 0.010))
"""The chain's priors of the lenses' redshifts; table I of arXiv:1708.01530 has others."""
BOX = {"Om": (0.1, 0.9), "Omega_b": (0.03, 0.07), "h": (0.55, 0.91), "n_s": (0.87, 1.07),
       "A_s": (5e-10, 5e-9)}  # fmt: skip
SOME = 200
"""Samples of the run that get the chain's non-linear power."""


def parameters(path: Path) -> dict[str, float]:
    """Of a file of a best fit, by CosmoMC's names."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return {row[2]: float(row[1]) for row in rows if len(row) > 2 and row[0].isdigit()}


def universe(**values: Any) -> Cosmology:
    """With the one mass."""
    return Cosmology(m_nu=MASS, tau_reio=0.06, **values)


def at_best_fit(found: dict[str, float]) -> tuple[Cosmology, dict[str, float]]:
    """The cosmology of a best fit and its nuisance parameters, by this package's names."""
    cosmology = universe(
        h=found["H0"] / 100.0, omega_b=found["omegabh2"], omega_cdm=found["omegach2"],
        n_s=found["ns"], A_s=1e-10 * np.exp(found["logA"]), Y_he=found["YpBBN"],
    )  # fmt: skip
    nuisance = {"A_IA": found["DES_AIA"], "eta_IA": found["DES_alphaIA"]}
    for ours, theirs, count in (
        ("bias_lens", "DES_b", 5), ("m_src", "DES_m", 4), ("dz_lens", "DES_DzL", 5),
        ("dz_src", "DES_DzS", 4),
    ):  # fmt: skip
        nuisance |= {f"{ours}{n}": found[f"{theirs}{n + 1}"] for n in range(count)}
    return cosmology, nuisance


def by_camb(cosmology: Cosmology, model: str) -> np.ndarray:
    """Non-linear P of all matter [z, k] at ``Z`` and ``K``."""
    settings = to_camb(cosmology)
    made = camb.set_params(
        H0=settings["H0"], ombh2=settings["ombh2"], omch2=settings["omch2"], mnu=MASS,
        num_massive_neutrinos=1, nnu=3.046, YHe=settings["YHe"], tau=0.06, As=settings["As"],
        ns=settings["ns"], NonLinear=camb.model.NonLinear_both, halofit_version=model,
    )  # fmt: skip
    made.set_matter_power(redshifts=Z[::-1].tolist(), kmax=1.05 * K[-1])
    power = camb.get_results(made).get_matter_power_interpolator(
        hubble_units=False, k_hunit=False, nonlinear=True
    )
    return np.asarray(power.P(Z, K))


def with_power(likelihood: TwoPoint, power: Model) -> TwoPoint:
    """The same with another spectrum of galaxies and matter."""
    return eqx.tree_at(
        lambda each: each.power, likelihood, power, is_leaf=lambda x: x is likelihood.power
    )


def chi2_rows(folder: Path, flat: dict[str, TwoPoint]) -> tuple[list[list[str]], list[Check]]:
    """chi2 of every non-linear power at both best fits, and CosmoMC's."""
    columns, checks = {name: [] for name in (*CAMB_MODELS, *OWN)}, []
    theirs = []
    for fitted, name in BEST_FITS.items():
        found = parameters(folder / f"{name}.minimum")
        cosmology, nuisance = at_best_fit(found)
        theory = {"cosmology": cosmology}
        made = {
            model: with_power(flat["halofit"], TabulatedPower(K, Z, by_camb(cosmology, model)))
            for model in CAMB_MODELS
        }
        for model, likelihood in (*made.items(), *flat.items()):
            columns[model].append(float(eqx.filter_jit(likelihood.chi2)(theory, nuisance)))
        theirs.append(found["chi2_DES"])
        off = abs(columns["mead2016"][-1] - theirs[-1])
        checks.append(at_most(f"chi2 off CosmoMC's, best fit to {fitted}", off, LIMIT))
    words = CAMB_MODELS | OWN
    rows = [[words[model], *(f"{value:.2f}" for value in columns[model])] for model in columns]
    return [["CosmoMC, as published", *(f"{value:.2f}" for value in theirs)], *rows], checks


def their_chain(folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The chain's columns by this package's names, and its weights with the priors of ``BOX``."""
    lines = (folder / "DES.paramnames").read_text().splitlines()
    names = [line.split()[0].rstrip("*") for line in lines]
    rows = np.concatenate([np.loadtxt(folder / f"DES_{n}.txt") for n in range(1, 9)])
    raw = dict(zip(names, rows[:, 2:].T, strict=True))
    h = raw["H0"] / 100.0
    columns = {
        "Om": raw["omegam"], "Omega_b": raw["omegabh2"] / h**2, "h": h, "n_s": raw["ns"],
        "A_s": 1e-10 * np.exp(raw["logA"]), "S8": raw["sigma8"] * np.sqrt(raw["omegam"] / 0.3),
    }  # fmt: skip

    def angle(value: jax.Array, omega_b: jax.Array, omega_cdm: jax.Array) -> jax.Array:
        made = universe(h=value, omega_b=omega_b, omega_cdm=omega_cdm, n_s=0.97, A_s=2e-9)
        return -jnp.log(comoving_distance(made, 1.0 / (1.0 + LAST_SCATTERING)))

    # d(omega_b, omega_cdm, theta, ln A) = h^4 dtheta/dh / A d(Om, Omega_b, h, A)
    slope = jax.jit(lambda x: jax.lax.map(lambda r: jax.grad(angle)(*r), x, batch_size=1000))
    change = np.asarray(slope(jnp.stack([h, raw["omegabh2"], raw["omegach2"]], axis=1)))
    weights = rows[:, 0] * columns["A_s"] / (h**4 * raw["theta"] * change)
    inside = [(columns[n] > low) & (columns[n] < high) for n, (low, high) in BOX.items()]
    return columns, weights * np.all(inside, axis=0)


def content_of() -> dict[str, Any]:
    """Example 22 with a flat sky, the chain's neutrinos and its priors of lenses' redshifts."""
    content = yaml.safe_load((ROOT / "examples" / "22_des_y1_own_priors.yaml").read_text())
    content["likelihood"]["des_y1_3x2pt"]["sky"] = "flat"
    params = content["params"]
    del params["omega_nu"]
    params |= {"m_nu": MASS, "omega_cdm": f"(Om - Omega_b) * h**2 - {MASS / EV}"}
    for n, (loc, scale) in enumerate(LENS_SHIFTS):
        params[f"dz_lens{n}"] = {"prior": {"dist": "norm", "loc": loc, "scale": scale}}
    return content


def of_sample(chain: Chain, n: int) -> tuple[Cosmology, dict[str, float]]:
    """The cosmology and the other parameters of a sample of the run."""
    row = {name: float(chain.column(name)[n]) for name in chain.names}
    h2 = row["h"] ** 2
    cosmology = universe(
        h=row["h"], omega_b=row["Omega_b"] * h2, n_s=row["n_s"], A_s=row["A_s"], Y_he=0.2454,
        omega_cdm=(row["Om"] - row["Omega_b"]) * h2 - MASS / EV,
    )  # fmt: skip
    return cosmology, row


def _of_model(cosmology: Cosmology) -> np.ndarray:
    return by_camb(cosmology, "mead2016")


def powers_of(universes: list[Cosmology], kept: Path) -> np.ndarray:
    """The chain's non-linear power of every cosmology, from a file where it is of the same ones."""
    points = np.array([[float(c.h), float(c.omega_b), float(c.omega_cdm), float(c.n_s),
                        float(c.A_s)] for c in universes])  # fmt: skip
    if kept.exists():
        with np.load(kept) as stored:
            if np.array_equal(stored["points"], points):
                return stored["powers"]
    kept.parent.mkdir(parents=True, exist_ok=True)
    with ProcessExecutor() as executor:
        found = dict(executor.map(_of_model, universes))
    failed = [each.error for each in found.values() if not each.ok]
    if failed:
        sys.exit(f"CAMB failed at {len(failed)} of {len(universes)}: {failed[0]}")
    powers = np.stack([found[n].value for n in range(len(universes))])
    draft = kept.with_suffix(".part.npz")
    np.savez(draft, points=points, powers=powers)
    draft.replace(kept)
    return powers


def with_their_power(
    chain: Chain, likelihood: TwoPoint, kept: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of some samples, and ln L with the chain's non-linear power less that with ours."""
    chosen = np.linspace(0, chain.weights.size - 1, SOME).astype(int)
    both = [of_sample(chain, n) for n in chosen]
    powers = powers_of([cosmology for cosmology, _ in both], kept)
    names = tuple(likelihood.nuisance)

    @eqx.filter_jit
    def ratio(cosmology: Cosmology, power: jax.Array, nuisance: dict[str, jax.Array]) -> jax.Array:
        theory = {"cosmology": cosmology}
        other = with_power(likelihood, TabulatedPower(K, Z, power))
        return other.log_prob(theory, nuisance) - likelihood.log_prob(theory, nuisance)

    traced = [
        (jax.tree.map(jnp.asarray, cosmology), {name: jnp.asarray(row[name]) for name in names})
        for cosmology, row in both
    ]
    found = [
        float(ratio(cosmology, jnp.asarray(power), nuisance))
        for (cosmology, nuisance), power in zip(traced, powers, strict=True)
    ]
    return chosen, np.array(found)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--chains", type=Path, help="folder of tensiometer's test chains")
    parser.add_argument("--from", dest="folder", type=Path, help="folder of the run")
    given = parser.parse_args()
    if given.chains is None:
        print("nothing to compare with: give the test chains of tensiometer with --chains")
        sys.exit(0)
    flat = {}
    for model in OWN:
        found = get_likelihood("des_y1_3x2pt", linear="extended", nonlinear=model, sky="flat")
        assert isinstance(found, TwoPoint)
        flat[model] = found
    rows, checks = chi2_rows(given.chains, flat)
    folder = given.folder or ROOT / "runs" / "validation" / "des-y1-cosmomc"
    summary = summary_of(folder) if given.folder else run(content_of(), folder, given.ledger)
    chain = read_chain(folder, "reweighted")
    theirs, weights = their_chain(given.chains)
    chosen, ratio = with_their_power(
        chain, flat["halofit"], ROOT / "runs" / "validation" / "des_y1_cosmomc_powers.npz"
    )
    extra = np.exp(ratio - ratio.max())
    left = np.sum(extra) ** 2 / np.sum(extra**2)
    compared = []
    for name, ours in (("S8", "S8"), ("Om", "Omega_m")):
        values = chain.column(ours)
        mean, sigma = moments(theirs[name], weights)
        plain, width = moments(values, chain.weights)
        some = values[chosen]
        shift = np.average(some, weights=extra * chain.weights[chosen])
        shift -= np.average(some, weights=chain.weights[chosen])
        error = width * np.sqrt(1.0 / left + 1.0 / SOME)
        off = (plain + shift - mean) / sigma
        checks.append(at_most(f"{ours} off the chain's [sigma]", abs(off), APART))
        compared.append(
            [ours, f"{mean:.4f} ± {sigma:.4f}", f"{plain:.4f} ± {width:.4f}",
             f"{(plain - mean) / sigma:+.2f}", f"{plain + shift:.4f} ± {error:.4f}",
             f"{off:+.2f} ± {error / sigma:.2f}"]
        )  # fmt: skip
    diagnostics = summary["diagnostics"]
    share = np.sum(weights) ** 2 / np.sum(weights**2)
    parts = [
        "# DES Y1 3x2pt: CosmoMC's best fits and chain",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        check_table(checks),
        "chi2 of the 457 data, on a flat sky:",
        table(["", *(f"best fit to {words}" for words in BEST_FITS)], rows),
        f"Posteriors with the priors of the published analysis, neutrinos of {MASS} eV. Weights "
        f"leave {share:.0f} of the chain's {weights.size} samples; the run has "
        f"{diagnostics['ess_min']:.0f} at least, R-hat {diagnostics['r_hat_max']:.3f}, status: "
        f"{summary['status']}. The last two columns have the chain's non-linear power, by {SOME} "
        f"of the run's samples, of which {left:.0f} are effective:",
        table(
            ["", "chain, mean and width", "here, halofit", "off [sigma]",
             "here, HMcode of 2016: mean and its error", "off [sigma]"],
            compared,
        ),
    ]  # fmt: skip
    finish("des_y1_cosmomc", parts, checks)


if __name__ == "__main__":
    main()
