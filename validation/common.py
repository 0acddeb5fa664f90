"""What the validation scripts share: runs, checks against bounds, pages and figures."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib

matplotlib.use("Agg")

import jax
import numpy as np
import yaml

jax.config.update("jax_enable_x64", True)

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "validation"
DEMO = ROOT / "runs" / "planck-lcdm"
EXAMPLE = ROOT / "examples" / "01_planck_lcdm.yaml"

LABELS = {
    "omega_b": r"$\omega_\mathrm{b}$",
    "omega_cdm": r"$\omega_\mathrm{cdm}$",
    "theta_star_100": r"$100\theta_*$",
    "n_s": r"$n_\mathrm{s}$",
    "ln10A_s": r"$\ln 10^{10}A_\mathrm{s}$",
    "tau_reio": r"$\tau$",
    "A_planck": r"$A_\mathrm{Planck}$",
    "H0": r"$H_0$",
}


@dataclass(frozen=True)
class Check:
    """One number against its bound, both as they stand in the table."""

    what: str
    measured: str
    bound: str
    passed: bool


def at_most(what: str, value: float, bound: float, digits: int = 3) -> Check:
    """A number that may not exceed its bound."""
    return Check(what, f"{value:.{digits}f}", f"at most {bound:g}", bool(value <= bound))


def at_least(what: str, value: float, bound: float, digits: int = 3) -> Check:
    """A number that may not fall below its bound."""
    return Check(what, f"{value:.{digits}f}", f"at least {bound:g}", bool(value >= bound))


def within(what: str, value: float, middle: float, margin: float, digits: int = 1) -> Check:
    """A number that has to be near another."""
    good = bool(abs(value - middle) <= margin)
    return Check(what, f"{value:.{digits}f}", f"{middle:g} ± {margin:g}", good)


def holds(what: str, measured: str, wanted: str, passed: bool) -> Check:
    """A statement that has to be true."""
    return Check(what, measured, wanted, passed)


def moments(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Weighted mean and standard deviation."""
    mean = np.average(values, weights=weights)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``make`` returns, from a file in JSON where it is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(make()))
        draft.replace(path)
        print(path.stem, flush=True)
    return json.loads(path.read_text())


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(headers)} |", "|---" * len(headers) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def check_table(checks: Sequence[Check]) -> str:
    """The checks as a Markdown table, missed bounds in bold."""
    rows = [(c.what, c.measured, c.bound, "yes" if c.passed else "**NO**") for c in checks]
    return table(("", "measured", "bound", "met"), rows)


def write_page(name: str, parts: Sequence[str], checks: Sequence[Check]) -> bool:
    """Write ``docs/validation/NAME.md``; whether all bounds are met.

    The page names the script that runs.
    """
    missed = [check.what for check in checks if not check.passed]
    verdict = (
        f"All {len(checks)} bounds are met."
        if not missed
        else f"**{len(missed)} of {len(checks)} bounds are MISSED: {'; '.join(missed)}.**"
    )
    title, *rest = parts
    PAGES.mkdir(parents=True, exist_ok=True)
    script = Path(sys.argv[0]).stem
    command = f"validation/{script}.py{' --quick' if '--quick' in sys.argv else ''}"
    made = f"Made by `{command}`."
    page = "\n\n".join([title, f"{verdict} {made}" if checks else made, *rest])
    (PAGES / f"{name}.md").write_text(page + "\n", encoding="utf-8")
    print(page)
    return not missed


def finish(name: str, parts: Sequence[str], checks: Sequence[Check]) -> None:
    """Write ``docs/validation/NAME.md`` and leave, with status 1 when a bound is missed."""
    sys.exit(0 if write_page(name, parts, checks) else 1)


def arguments(description: str | None, *, solver: bool = False) -> argparse.ArgumentParser:
    """The options that every script has."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer cases, to see that it works")
    parser.add_argument(
        "--ledger", type=Path, help="ledger of exact solutions (default: the user's)"
    )
    if solver:
        parser.add_argument("--solver", choices=("class", "camb"), default="class")
    return parser


def example() -> dict[str, Any]:
    """The content of example 1."""
    return yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))


def run(content: Mapping[str, Any], folder: Path, ledger: Path | None) -> dict[str, Any]:
    """Run a configuration (its ``output`` replaced by ``folder``) and return its summary.

    An interrupted run goes on, a finished one is only read.
    """
    import volvelle

    folder.mkdir(parents=True, exist_ok=True)
    content = {**content, "output": str(folder)}
    if ledger is not None:
        content["ledger"] = str(ledger)
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    volvelle.run(path)
    return summary_of(folder)


def summary_of(folder: Path) -> dict[str, Any]:
    """The summary of a finished run."""
    path = Path(folder) / "summary.json"
    if not path.exists():
        sys.exit(f"{path} is not there; run `make demo` first, or name a finished run with --from")
    return json.loads(path.read_text(encoding="utf-8"))


def bound(summary: Mapping[str, Any]) -> float:
    """Largest |shift| + 2 errors of any parameter [sigma], of a run's summary."""
    parameters = summary["certificate"]["parameters"].values()
    return max(abs(p["mean_shift_sigma"]) + 2.0 * p["mean_shift_error"] for p in parameters)


def versions(summary: Mapping[str, Any]) -> str:
    """The solver of a run with its version, in words."""
    solver = summary["solver"]
    name = {"class": "CLASS", "camb": "CAMB"}.get(solver["solver"], solver["solver"])
    return f"{name} {solver['version']}"


def data_words(summary: Mapping[str, Any]) -> str:
    """A loud sentence when the data were simulated, else which they are."""
    if summary["simulated"]:
        return "**SIMULATED DATA: nothing on this page says anything about the real universe.**"
    return f"Data: {', '.join(summary['data'])}."


def fresh(folder: Path) -> Path:
    """An empty folder of this name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
