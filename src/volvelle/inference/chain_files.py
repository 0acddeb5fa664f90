"""Chains of other programs, read: Cobaya's, MontePython's, and what GetDist reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from volvelle.inference.diagnostics import effective_sample_size
from volvelle.inference.errors import InferenceError
from volvelle.learning import write_atomically

Format = Literal["cobaya", "montepython", "getdist"]
UPDATED = ".updated.yaml"  # Cobaya's record of a run
LOG_PARAM = "log.param"  # MontePython's
LEADING = 2  # columns before the parameters: weight, -ln P
LEAST = 20  # independent samples; below, neither a mean nor its error means much
EQUAL_STEPS = 4000  # of each file, for its autocorrelation


@dataclass(frozen=True)
class ChainFile:
    """One file of a chain: its rows [m, 2 + p] as they stand there, and those that are burn-in."""

    path: Path
    comments: tuple[str, ...]
    rows: np.ndarray
    burn_in: int

    @property
    def kept(self) -> np.ndarray:
        """The rows after the burn-in."""
        return self.rows[self.burn_in :]


@dataclass(frozen=True)
class ChainFiles:
    """A weighted chain on disk.

    ``names`` [p] are those of all columns after the weight and -ln P (of the posterior in Cobaya's
    and GetDist's files, of the likelihood with its Gaussian priors in MontePython's); ``root`` is
    what the names of its files begin with. ``steps``: whether the rows are steps of a Markov chain,
    of which the first are burn-in and the next depends on the last (nested samples are not).
    """

    root: Path
    format: Format
    names: tuple[str, ...]
    files: tuple[ChainFile, ...]
    steps: bool = True

    @property
    def rows(self) -> np.ndarray:
        """All rows after the burn-in [m, 2 + p]."""
        return np.concatenate([file.kept for file in self.files])

    @property
    def weights(self) -> np.ndarray:
        """Weights of all rows [m]."""
        return self.rows[:, 0]

    def column(self, name: str) -> np.ndarray:
        """One parameter, or another number that the chain holds, in all rows [m].

        Raises InferenceError for a name that it does not hold.
        """
        if name not in self.names:
            raise InferenceError(
                f"{self.root} holds no {name!r}; its columns are {', '.join(self.names)}"
            )
        return self.rows[:, LEADING + self.names.index(name)]

    def columns(self, names: Sequence[str]) -> np.ndarray:
        """Several of them [m, k]."""
        return np.stack([self.column(name) for name in names], axis=1)

    def spread(self, n: int, seed: int) -> np.ndarray:
        """Indices of ``n`` rows that stand for the chain with equal weight, in random order.

        They lie at equal steps of the summed weight, which makes them as independent as n can be;
        a row that is heavier than a step comes more than once.
        """
        rng = np.random.default_rng(seed)
        return rng.permutation(_at_equal_steps(self.weights, n, rng.random()))

    def independent(self, names: Sequence[str]) -> int:
        """As how many independent samples the chain counts: the effective sample size of the worst
        of these parameters, or Kish's of the weights where the rows are no steps.

        Raises InferenceError below ``LEAST``, or for a parameter that never moved.
        """
        if self.steps:
            found = min(self._effective(names))
        else:
            found = float(np.sum(self.weights) ** 2 / np.sum(self.weights**2))
        if not found >= LEAST:
            raise InferenceError(
                f"{self.root} counts as {0 if np.isnan(found) else int(found)} independent samples "
                f"of {len(self.rows)}; expected at least {LEAST}, so let the chain go on"
            )
        return int(found)

    def _effective(self, names: Sequence[str]) -> list[float]:
        """Effective sample size of each parameter; NaN for one that never moved."""
        starts = np.cumsum([0, *(len(file.kept) for file in self.files)])
        rows = [
            start + _at_equal_steps(file.kept[:, 0], EQUAL_STEPS, 0.5)
            for start, file in zip(starts, self.files, strict=False)
        ]
        found = [effective_sample_size(self.column(name)[np.array(rows)]) for name in names]
        return found if np.all(np.isfinite(found)) else [float("nan")]

    def write_reweighted(self, folder: Path, log_weights: np.ndarray) -> Path:
        """The same chain with its weights times exp(``log_weights`` [m]), burn-in left out.

        -ln P becomes that of the corrected posterior, up to a constant; all other columns (chi2 of
        the emulator among them), and the files beside the chain that say what they are, stay.
        Returns the root of what was written.

        Raises InferenceError for the chain's own folder, where it would be overwritten.
        """
        if folder.resolve() == self.root.parent.resolve():
            raise InferenceError(
                f"{folder} holds the chain itself, which would be overwritten; give another folder"
            )
        root = folder / self.root.name
        factors = np.exp(log_weights - np.max(log_weights))
        start = 0
        for file in self.files:
            rows = file.kept.copy()
            part = slice(start, start + len(rows))
            rows[:, 0] *= factors[part]
            rows[:, 1] -= log_weights[part]
            start += len(rows)
            lines = [*file.comments, *(" ".join(f"{v:.10g}" for v in row) for row in rows)]
            write_atomically(folder / file.path.name, ("\n".join(lines) + "\n").encode())
        for beside in _beside(self.root, self.format):
            write_atomically(folder / beside.name, beside.read_bytes())
        return root


def _at_equal_steps(weights: np.ndarray, n: int, phase: float) -> np.ndarray:
    """Indices of n rows at equal steps of the summed weight."""
    total = np.cumsum(weights)
    steps = (np.arange(n) + phase) / n * total[-1]
    return np.minimum(np.searchsorted(total, steps), len(total) - 1)


def read_chains(path: str | Path, burn_in: float | None = None) -> ChainFiles:
    """Read a chain that Cobaya, MontePython or a writer of GetDist's format left.

    Args:
        path: what the names of its files begin with (``chains/planck``), Cobaya's
            ``chains/planck.updated.yaml``, or a folder with one chain (MontePython's);
        burn_in: share of each file's weight that is left out at its start; by default 0.3 for
            MontePython and Cobaya's ``mcmc``, and 0 for other files, from which it is usually taken
            already, and other samplers, which have none.

    Raises InferenceError for files that are missing or not what they should be.
    """
    root, kind = _locate(Path(path).expanduser())
    steps = kind != "cobaya" or _made_by_mcmc(root)
    share = (0.3 if steps and kind != "getdist" else 0.0) if burn_in is None else burn_in
    if share and not steps:
        raise InferenceError(f"{root} has no burn-in: its rows are no steps of a Markov chain")
    if not 0.0 <= share < 1.0:
        raise InferenceError(f"burn-in is {share}; expected a share of the chain from 0 to below 1")
    paths = _chain_paths(root, kind)
    if not paths:
        first = f"{root.name}{'__' if kind == 'montepython' else '.'}1.txt"
        raise InferenceError(f"{root} has no chain files; expected {first} and so on")
    names = _header(paths[0]) if kind == "cobaya" else _paramnames(root)
    files = tuple(_read(file, names, share) for file in paths)
    return ChainFiles(root, kind, names, files, steps)


def _made_by_mcmc(root: Path) -> bool:
    """Whether Cobaya's own record names its Metropolis sampler."""
    text = root.with_name(root.name + UPDATED).read_text(errors="replace")
    found = re.search(r"^sampler:\s*\{?\s*([\w.]+):", text, re.MULTILINE)
    return found is not None and found[1] == "mcmc"


def _locate(path: Path) -> tuple[Path, Format]:
    if path.is_dir():
        return _inside(path)
    for suffix in (UPDATED, ".input.yaml", ".paramnames"):
        if path.name.endswith(suffix):
            path = path.with_name(path.name.removesuffix(suffix))
    if re.search(r"(\.|__)\d+\.txt$", path.name):
        path = path.with_name(re.sub(r"(\.|__)\d+\.txt$", "", path.name))
    if path.with_name(path.name + UPDATED).exists():
        return path, "cobaya"
    if path.with_name(path.name + ".paramnames").exists():
        montepython = (path.parent / LOG_PARAM).exists()
        return path, "montepython" if montepython else "getdist"
    raise InferenceError(
        f"{path} is no chain: there is neither {path.name}{UPDATED} (Cobaya) nor "
        f"{path.name}.paramnames (MontePython, GetDist); give what the names of its files begin "
        "with, such as chains/planck for chains/planck.1.txt"
    )


def _inside(folder: Path) -> tuple[Path, Format]:
    """The one chain of a folder."""
    cobaya = sorted(folder.glob(f"*{UPDATED}"))
    other = sorted(folder.glob("*.paramnames"))
    if len(cobaya) + len(other) != 1:
        found = ", ".join(p.name for p in (*cobaya, *other)) or "none"
        raise InferenceError(
            f"{folder} should hold one chain to be named as a folder and holds {found}; give what "
            "the names of the chain's files begin with"
        )
    return _locate((cobaya or other)[0])


def _chain_paths(root: Path, kind: Format) -> list[Path]:
    pattern = r"__\d+" if kind == "montepython" else r"([._]\d+)?"
    name = re.compile(re.escape(root.name) + pattern + r"\.txt")
    if kind == "montepython":  # DATE_N__1.txt beside DATE_N_.paramnames, restarts with other dates
        name = re.compile(r".+" + pattern + r"\.txt")
    return sorted(path for path in root.parent.glob("*.txt") if name.fullmatch(path.name))


def _beside(root: Path, kind: Format) -> list[Path]:
    names = [root.name + s for s in (UPDATED, ".input.yaml", ".paramnames", ".ranges")]
    names += [LOG_PARAM] if kind == "montepython" else []
    return [path for name in names if (path := root.parent / name).exists()]


def _header(path: Path) -> tuple[str, ...]:
    with path.open(errors="replace") as stream:
        words = stream.readline().split()
    if words[:3] != ["#", "weight", "minuslogpost"]:
        raise InferenceError(
            f"{path} begins with {' '.join(words[:3])!r}; expected Cobaya's header '# weight "
            "minuslogpost' and the names of the columns"
        )
    return tuple(words[3:])


def _paramnames(root: Path) -> tuple[str, ...]:
    path = root.with_name(root.name + ".paramnames")
    if not path.exists():
        raise InferenceError(f"{path} is missing; it names the columns of the chain")
    lines = path.read_text(errors="replace").splitlines()
    names = [line.split()[0].rstrip("*") for line in lines if line.strip()]
    if len(set(names)) != len(names):
        raise InferenceError(f"{path} names a parameter twice; expected different names")
    return tuple(names)


def _read(path: Path, names: tuple[str, ...], share: float) -> ChainFile:
    lines = path.read_text(errors="replace").splitlines()
    comments = tuple(line for line in lines if line.startswith("#"))
    numbers = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    width = LEADING + len(names)
    short = [i for i, words in enumerate(numbers) if len(words) != width]
    if short == [len(numbers) - 1]:  # a run still going on, or killed, in the middle of a line
        numbers.pop()
    elif short:
        raise InferenceError(
            f"{path}: row {short[0] + 1} has {len(numbers[short[0]])} numbers; expected {width}: "
            f"weight, -ln P and {len(names)} columns"
        )
    try:
        rows = np.array(numbers, dtype=float).reshape(-1, width)
    except ValueError as error:
        raise InferenceError(f"{path} holds what is no number: {error}") from error
    if len(rows) == 0:
        raise InferenceError(f"{path} holds no samples; leave it out or let the chain go on")
    if not np.all(np.isfinite(rows[:, 0])) or np.any(rows[:, 0] < 0.0):
        raise InferenceError(f"{path} holds a weight that is negative or not finite")
    weight = np.cumsum(rows[:, 0])
    first = int(np.searchsorted(weight, share * weight[-1], side="right")) if share else 0
    return ChainFile(path, comments, rows, min(first, len(rows) - 1))
