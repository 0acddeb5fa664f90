"""Fisher matrices and compression in numbers, with figures 4 to 6 of Campagne et al. 2023.

Hessian against Jacobian; finite differences of CCL beside exact derivatives; what MOPED keeps of
the Fisher matrix and of the posterior, and that it is unbiased whatever it was made with; how long
`volvelle forecast` takes. Writes docs/validation/forecast.md; ten minutes of a core.
"""

from __future__ import annotations

import importlib.util
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import yaml
from common import PAGES, ROOT, Check, arguments, at_most, check_table, finish, table

from volvelle.inference import Fisher, Moped
from volvelle.inference.covariances import DenseCovariance
from volvelle.probes import BlockCovariance

AGREE = 1e-6
WIDTHS = 0.03
"""What is asked for: methods at the fiducial, widths of posteriors."""
BIAS = 4.0
"""Largest mean shift of many fits, in its own error."""
SIMULATIONS, QUIET = 400, 0.2
"""Simulated data vectors, and their noise over the survey's: a best fit of a model that is not
linear is off in second order of the noise, which is no matter of compression; a bias of compression
would be there at any noise."""
Both = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Parameters to the data and their derivatives."""


def example() -> ModuleType:
    """Example 12, as a module."""
    path = ROOT / "examples" / "12_fisher_and_moped.py"
    spec = importlib.util.spec_from_file_location("fisher_and_moped", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def apart(one: Fisher, two: Fisher) -> float:
    """Largest difference of two Fisher matrices, in conditional errors."""
    size = np.sqrt(np.diag(one.matrix))
    return float(np.max(np.abs(one.matrix - two.matrix) / np.outer(size, size)))


def value_and_slope(of: ModuleType) -> Both:
    """The data [pairs, l] and their derivatives [2, pairs, l], in one program."""
    program = jax.jit(lambda x: (of.mean(x), jax.jacfwd(of.mean)(x)))

    def both(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, slope = program(jnp.asarray(x))
        return np.asarray(value), np.moveaxis(np.asarray(slope), -1, 0)

    return both


def moments(axes: list[np.ndarray], chi2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations [2] of a posterior on a grid, flat prior."""
    weight = np.exp(-0.5 * (chi2 - chi2.min()))
    weight /= weight.sum()
    means, widths = [], []
    for n, axis in enumerate(axes):
        marginal = weight.sum(axis=1 - n)
        mean = float(marginal @ axis)
        means.append(mean)
        widths.append(float(np.sqrt(marginal @ (axis - mean) ** 2)))
    return np.array(means), np.array(widths)


def written(means: np.ndarray, widths: np.ndarray) -> list[str]:
    """Means with their widths."""
    return [f"{m:.5f} ± {w:.5f}" for m, w in zip(means, widths, strict=True)]


def fits(of: ModuleType, both: Both, made: Moped | None, covariance: DenseCovariance) -> np.ndarray:
    """[simulations, 2] best fits of data that scatter about the fiducial universe.

    Compressed, or, without ``made``, all of them: then the weights are those of every step.
    """
    vectors = None if made is None else np.asarray(made.vectors).reshape(2, -1)
    centre = both(of.FIDUCIAL)[0]
    rng = np.random.default_rng(11)
    root = QUIET * np.asarray(covariance.factor) * np.asarray(covariance.sigma)[:, None]
    found = []
    for _ in range(SIMULATIONS):
        drawn = centre + (root @ rng.normal(size=centre.size)).reshape(centre.shape)
        x = of.FIDUCIAL.copy()
        for _ in range(8):  # Gauss and Newton's method
            now, slope = both(x)
            flat = slope.reshape(2, -1)
            weights = np.asarray(covariance.solve(flat)) if vectors is None else vectors
            step = np.linalg.solve(weights @ flat.T, weights @ (drawn - now).ravel())
            x = x + step
            if np.max(np.abs(step)) < 1e-8:
                break
        found.append(x)
    return np.array(found)


def unbiased(
    of: ModuleType, both: Both, block: BlockCovariance, best: np.ndarray
) -> tuple[list[list[str]], float]:
    """Rows of the table: mean shift and scatter of fits, compressed with wrong ingredients."""
    truth = DenseCovariance.of(block.dense())
    data, slope = both(of.FIDUCIAL)
    _, elsewhere = both(of.FIDUCIAL * np.array([1.15, 0.93]))
    shape = slope.shape[1:]
    variances = DenseCovariance.of(jnp.diagonal(truth.matrix))
    relative = DenseCovariance.of(data.ravel() ** 2)

    def by(derivatives: np.ndarray, covariance: DenseCovariance) -> Moped:
        flat = jnp.asarray(derivatives.reshape(2, -1))
        made = Moped.from_derivatives(flat, covariance, of.NAMES)
        return Moped(made.vectors.reshape(2, *shape), made.names)

    cases = {
        "nothing: all data": None,
        "the right ones": by(slope, truth),
        "variances without correlations": by(slope, variances),
        "errors proportional to the data": by(slope, relative),
        "a fiducial 15% and 7% off": by(elsewhere, truth),
    }
    rows, worst = [], 0.0
    for name, made in cases.items():
        found = fits(of, both, made, truth)
        scatter = found.std(axis=0)
        shift = (found.mean(axis=0) - of.FIDUCIAL) / scatter
        worst = max(worst, float(np.max(np.abs(shift)) * np.sqrt(SIMULATIONS)))
        rows.append(
            [name, *(f"{s:+.3f}" for s in shift), *(f"{s:.3f}" for s in scatter / (QUIET * best))]
        )
    return rows, worst


def seconds() -> tuple[float, float]:
    """Of a clock and of a core, of the forecast of example 11 without its design, as a command."""
    content = yaml.safe_load((ROOT / "examples" / "11_forecast.yaml").read_text(encoding="utf-8"))
    content.pop("optimise")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "survey.yaml"
        file.write_text(yaml.safe_dump({**content, "output": f"{folder}/out"}), encoding="utf-8")
        command = "import sys; from volvelle.cli.app import main; sys.argv[0] = 'volvelle'; main()"
        started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", command, "forecast", str(file)], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.monotonic() - started, after.ru_utime - before.ru_utime


def main() -> None:
    """Compute, draw, write."""
    quick = arguments(__doc__).parse_args().quick
    of = example()
    by_hessian, by_jacobian, covariance, data = of.both_methods()
    errors = np.asarray(by_jacobian.marginal_errors)
    PAGES.mkdir(parents=True, exist_ok=True)
    lines = [("Hessian of ln L", of.outline(by_hessian), "-"),
             ("Jacobian of the mean", of.outline(by_jacobian), "--")]  # fmt: skip
    of.draw(PAGES / "forecast_methods.png", lines)

    both = value_and_slope(of)
    made = Moped.from_derivatives(jnp.asarray(both(of.FIDUCIAL)[1]), covariance, of.NAMES)
    axes, whole, small = of.grids(by_jacobian, made, covariance, data, 31 if quick else 61)
    of.draw_grids(PAGES / "forecast_moped.png", axes, whole, small)
    (means, widths), (small_means, small_widths) = moments(axes, whole), moments(axes, small)
    slope = np.stack([np.asarray(made.compress(row)) for row in both(of.FIDUCIAL)[1]])
    compressed = Fisher(of.NAMES, of.FIDUCIAL, slope @ slope.T)

    steps, curves = [], [("Volvelle", of.outline(by_jacobian), "-")]
    for step in of.STEPS:
        found = of.by_differences(of.ccl_mean, step, covariance)
        ratio = np.asarray(found.marginal_errors) / errors
        steps.append(
            [f"{step:g}", *(f"{r:.4f}" for r in ratio), f"{apart(by_jacobian, found):.1e}"]
        )
        curves.append((f"CCL, steps of {step:g}", of.outline(found), "--"))
    of.draw(PAGES / "forecast_ccl.png", curves)

    rows, worst = unbiased(of, both, covariance, errors)
    took, core = seconds()
    wider = float(np.max(np.abs(small_widths / widths - 1.0)))
    shifted = float(np.max(np.abs(small_means - means) / widths))
    checks: list[Check] = [
        at_most(
            "Fisher matrix by Hessian and by Jacobian", apart(by_jacobian, by_hessian), AGREE, 15
        ),
        at_most(
            "Fisher matrix of all data and of MOPED", apart(by_jacobian, compressed), AGREE, 15
        ),
        at_most("posterior widths of MOPED over those of all data, minus 1", wider, WIDTHS, 4),
        at_most("posterior means of MOPED and of all data [sigma]", shifted, WIDTHS, 4),
        at_most("mean shift of fits with wrong ingredients, in its error", worst, BIAS, 2),
    ]
    finish(
        "forecast",
        [
            "# Fisher matrices and compression",
            check_table(checks),
            "Two samples of sources and two of lenses, ten spectra at 50 multipoles, halofit "
            f"(example 12). Errors: Omega_cdm {errors[0]:.5f}, sigma8 {errors[1]:.5f}.",
            "![Figure 4](forecast_methods.png)",
            "## Finite differences",
            "CCL's spectra, derivatives by central differences of fourth order, the same "
            "covariance; errors over those by exact derivatives of Volvelle's spectra, and the "
            "largest difference of the Fisher matrices in conditional errors:",
            table(("step", "Omega_cdm", "sigma8", "matrix"), steps),
            "![Figure 5](forecast_ccl.png)",
            "## MOPED",
            "Posterior on a grid, flat prior, noiseless data:",
            table(
                ("", "Omega_cdm", "sigma8"),
                [
                    ["all 500 data", *written(means, widths)],
                    ["2 numbers", *written(small_means, small_widths)],
                ],
            ),
            "![Figure 6](forecast_moped.png)",
            f"{SIMULATIONS} simulated data vectors with {QUIET:g} of the survey's noise (best fits "
            "of a model that is not linear are off in second order of it, compressed or not), each "
            "compressed and fitted; mean shifts in "
            f"units of the scatter (their error is {1 / np.sqrt(SIMULATIONS):.2f}), and the "
            "scatter over the Fisher error of all data:",
            table(
                ("compressed with", "shift, Omega_cdm", "shift, sigma8", "scatter, Omega_cdm",
                 "scatter, sigma8"),
                rows,
            ),
            "## Time",
            f"`volvelle forecast` of example 11 without its design: {took:.0f} s on this machine, "
            f"{core:.0f} s of a core, all compilation included.",
        ],
        checks,
    )  # fmt: skip


if __name__ == "__main__":
    main()
