"""The circle closes: what was simulated is inferred from the mock survey of its lightcone.

    python validation/mock_survey.py [--quick]

Simulates skies from a file, as `volvelle simulate` does, and fits the amplitude of fluctuations and
the galaxies' bias to the data vector of each by the likelihood `two_point`. Writes
docs/validation/mock_survey.md and a figure. Simulations are kept in runs/mock-survey-validation and
not made again. Some fifteen minutes on one core.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from common import PAGES, ROOT, at_least, at_most, arguments, check_table, finish, table  # isort: skip

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import yaml
from scipy.stats import chi2

from volvelle.cli.simulate_configuration import SimulateConfiguration
from volvelle.cli.simulate_job import simulate_box
from volvelle.likelihood import get_likelihood

FOLDER = ROOT / "runs" / "mock-survey-validation"
BIAS, POWER = 1.4, {"linear": "learned", "nonlinear": "halofit"}
PULL = 3.0
"""Of the skies' mean, in errors by their scatter, and of a parameter in one sky."""
UNLIKELY = 1e-3
"""Of chi2 as large, by chance."""
ITERATIONS = 5
"""Of Gauss and Newton's method, from the truth."""


def settings(quick: bool) -> dict[str, Any]:
    """The file."""
    particles, box, redshift = (48, 192.0, 0.12) if quick else (192, 512.0, 0.25)
    lens = [0.04, 0.08] if quick else [0.08, 0.16]
    return {
        "output": str(FOLDER / ("quick" if quick else "skies")),
        "cosmology": "planck18",
        "box": {"size": box, "particles": particles},
        "steps": {"start": 19, "number": 8 if quick else 16},
        "power": POWER,
        "snapshots": [],
        "lightcone": {
            "redshifts": [0.0, redshift],
            "footprint": {"ra": 45, "dec": 35, "radius": 30 if quick else 35},
            "maps": {
                "sources": {
                    "shapes": {
                        "n_z": {
                            "smail": {"alpha": 4.0, "beta": 4.0, "z0": 0.8 * redshift},
                            "between": [0.4 * redshift, redshift],
                        },
                        "density": 30.0,
                        "sigma_e": 0.25,
                    }
                }
            },
            "galaxies": {"lens": {"n_z": {"comoving": 3e-3, "between": lens}, "bias": BIAS}},
            "survey": {"bands": [10, 16, 24, 34, 46] if quick else [10, 16, 24, 34, 46, 62]},
        },
        "realisations": 2 if quick else 4,
        "compute": {"in_process": {}},
    }


def fitted(universe: Any, file: Path) -> dict[str, Any]:
    """Best fit of ln10A_s and the bias, all else at the truth, and its inverse covariance there."""
    likelihood = get_likelihood("two_point", file=str(file), **POWER)
    truth = jnp.array([jnp.log(1e10 * universe.A_s), BIAS])

    @jax.jit
    def residual(values: jax.Array) -> jax.Array:
        nuisance = {name: jnp.asarray(0.0) for name in likelihood.nuisance}
        nuisance["bias_lens"] = values[1]
        moved = universe.replace(A_s=jnp.exp(values[0]) / 1e10)
        return likelihood.whitened_residual({"cosmology": moved}, nuisance)

    slope, at = jax.jit(jax.jacfwd(residual)), truth
    for _ in range(ITERATIONS):
        jacobian = slope(at)
        at = at - jnp.linalg.lstsq(jacobian, residual(at))[0]
    inverse = np.asarray(slope(truth).T @ slope(truth))
    return {
        "values": np.asarray(at),
        "truth": np.asarray(truth),
        "error": np.sqrt(np.diag(np.linalg.inv(inverse))),
        "inverse": inverse,
        "chi2": float(jnp.sum(residual(truth) ** 2)),
        "numbers": len(likelihood.data),
    }


def drawn(fits: list[dict[str, Any]]) -> None:
    """The best fits with their ellipses of one standard deviation, and the truth."""
    figure, axes = plt.subplots(figsize=(5, 4))
    angle = np.linspace(0.0, 2.0 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for number, fit in enumerate(fits):
        root = np.linalg.cholesky(np.linalg.inv(fit["inverse"]))
        x, y = fit["values"][:, None] + np.sqrt(2.30) * root @ circle
        axes.plot(x, y, color=f"C{number}", label=f"sky {number + 1}")
        axes.plot(*fit["values"], "o", ms=4, color=f"C{number}")
    axes.plot(*fits[0]["truth"], "k*", ms=12, label="truth")
    axes.set_xlabel(r"$\ln 10^{10}A_\mathrm{s}$")
    axes.set_ylabel("bias of the galaxies")
    axes.legend()
    figure.tight_layout()
    figure.savefig(PAGES / "mock_survey.png", dpi=130)


def main() -> None:
    """Simulate, look, infer."""
    given = settings(arguments(__doc__).parse_args().quick)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{Path(given['output']).name}.yaml"
    path.write_text(yaml.safe_dump(given, sort_keys=False), encoding="utf-8")
    configuration = SimulateConfiguration.load(path)
    simulate_box(configuration)
    names = [one.name for one in configuration.realisations]
    folders = [configuration.output / name for name in names]
    fits = [fitted(configuration.cosmology, folder / "mock.sacc.fits") for folder in folders]
    drawn(fits)
    pulls = np.array([(fit["values"] - fit["truth"]) / fit["error"] for fit in fits])
    values, truth = np.array([fit["values"] for fit in fits]), fits[0]["truth"]
    off, scatter = values.mean(axis=0) - truth, values.std(axis=0, ddof=1)
    of_mean = scatter / np.sqrt(len(fits))
    total, numbers = (sum(fit[key] for fit in fits) for key in ("chi2", "numbers"))
    checks = [
        at_most(
            f"{name}: mean of {len(fits)} skies less the truth, {off[n]:+.3f} ± {of_mean[n]:.3f} "
            "by their scatter [errors]",
            abs(off[n]) / of_mean[n],
            PULL,
            2,
        )
        for n, name in enumerate(("ln10A_s", "bias"))
    ]
    checks += [
        at_most("worst pull of a parameter in one sky", float(np.abs(pulls).max()), PULL, 2),
        at_least(
            f"probability of chi2 at the truth, {total:.1f} for {numbers}",
            float(chi2.sf(total, numbers)),
            UNLIKELY,
        ),
    ]
    apart = sum(
        float((fit["values"] - truth) @ fit["inverse"] @ (fit["values"] - truth)) for fit in fits
    )
    checks.append(
        at_least(
            f"probability of the best fits' distance from the truth, {apart:.1f} for {values.size}",
            float(chi2.sf(apart, values.size)),
            UNLIKELY,
        )
    )
    rows = [
        [
            str(number + 1),
            *(f"{v:.3f} ± {e:.3f}" for v, e in zip(fit["values"], fit["error"], strict=True)),
            *(f"{pull:+.2f}" for pull in pulls[number]),
            f"{fit['chi2']:.1f}",
        ]
        for number, fit in enumerate(fits)
    ]
    titles = ["sky", "ln10A_s", "bias", "pull of ln10A_s", "pull of bias", "chi2 at the truth"]
    cone, file = configuration.lightcone, configuration.file
    assert cone is not None, "the file has one"
    bands = given["lightcone"]["survey"]["bands"]
    ranges = ", ".join(f"{low} to {high - 1}" for low, high in pairwise(bands))
    text = (
        f"{len(fits)} simulations of {file.box.particles}^3 particles in {file.box.size:g} Mpc/h, "
        f"forces on twice as many cells per side, {file.steps.number} steps of BullFrog from "
        f"redshift {file.steps.start:g}; of each the lightcone to redshift {cone.redshifts[1]:g}, "
        f"{cone.sky_fraction:.3g} of the sky and {cone.volume / cone.box_size**3:.2f} boxes in "
        "volume. Galaxies with linear bias and sources with noise of their shapes make a 3x2pt "
        f"data vector at l = {ranges}, {fits[0]['numbers']} numbers, in SACC; the likelihood "
        "`two_point` reads it. ln10A_s and the bias are fitted (Gauss and Newton, errors by the "
        "Jacobian at the truth), all else is at the truth, "
        f"ln10A_s = {fits[0]['truth'][0]:.4f} and bias = {BIAS:g}; theory: the learned linear "
        "power with halofit. The fits scatter by "
        f"{scatter[0] / fits[0]['error'][0]:.2f} (ln10A_s) and "
        f"{scatter[1] / fits[0]['error'][1]:.2f} (bias) of the errors that the covariance gives "
        "them, Gaussian and super-sample: so near, in so small a volume, waves longer than the "
        "footprint move all bands of the shear together. What is in the pulls besides: halofit's "
        "own error, what the mesh smooths away of the nearest "
        "matter, the bias that is not linear, and Limber's approximation."
    )
    parts = ["# A mock survey, and what is inferred from it", check_table(checks), text]
    finish("mock_survey", [*parts, table(titles, rows), "![fits](mock_survey.png)"], checks)


if __name__ == "__main__":
    main()
