"""``volvelle certify``: a chain that Cobaya made with a wrong theory is found out and corrected."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import universe
from cobaya.run import run
from cobaya_toys import SIGMA_A
from test_cobaya_sampler import exact_moments, info
from typer.testing import CliRunner

from volvelle.boltzmann import Ledger
from volvelle.cli.app import app
from volvelle.compute import SerialExecutor
from volvelle.inference import read_chains
from volvelle.plugins import ForeignError, certify_chain
from volvelle.plugins.cobaya_chain import THEORY, cobaya_chain, exact_theory

TINY = 1e-9  # another theory than the chain's own, to no effect
HERE = Path(__file__).parent
BIAS = 0.15  # of a, whose posterior has a width of 0.36
SAMPLES = 6000
CHAIN_ERROR = 0.2  # of sigma: Cobaya's chain itself has some 400 independent samples
SIGMAS = 3.5
WRITTEN = 1e-5  # Cobaya writes eight digits, of which the weights keep six
ROUNDING = 1e-11  # exact_points.txt has twelve digits of ln w


@pytest.fixture(scope="module")
def chains(tmp_path_factory) -> dict[float, Path]:
    """Cobaya's own mcmc, with and without a bias in the theory."""
    folder = tmp_path_factory.mktemp("chains")
    for bias in (0.0, BIAS):
        mcmc = {
            "max_samples": SAMPLES,
            "seed": 3,
            "Rminus1_stop": 0.0,
            "covmat": exact_moments()[1],
            "covmat_params": ["a", "b"],
        }
        run(
            info(
                theory={"cobaya_toys.ToyTheory": {"bias": bias}},
                sampler={"mcmc": mcmc},
                output=str(folder / f"bias{bias}"),
            )
        )
    (folder / "exact.yaml").write_text(f"theory: {{cobaya_toys.ToyTheory: {{bias: {TINY}}}}}\n")
    return {0.0: folder / "bias0.0", BIAS: folder / f"bias{BIAS}"}


def invoke(chain: Path, *options: str, ledger: Path | None = None, on=("--workers", "1")):
    theory = str(chain.parent / "exact.yaml")
    where = str(ledger or chain.parent / "ledger.sqlite")
    command = ["certify", str(chain), "--with", theory, "--ledger", where, *on]
    return CliRunner().invoke(app, [*command, *options])


def test_a_right_chain_is_certified(chains, tmp_path):
    chain = chains[0.0]
    output = tmp_path / "out"
    found = invoke(chain, "--output", str(output), "--points", "50")
    assert found.exit_code == 0, found.output
    summary = json.loads((output / "certificate.json").read_text())
    assert summary["passed"] and summary["n"] == 50
    assert set(summary["parameters"]) == {"a", "b", "twice", "sum"}
    for shift in summary["parameters"].values():
        assert abs(shift["mean_shift_sigma"]) < 1e-6
    before, after = read_chains(chain), read_chains(output / chain.name, burn_in=0.0)
    np.testing.assert_allclose(after.rows, before.rows, rtol=WRITTEN, atol=WRITTEN)


def test_a_wrong_chain_is_refused_and_corrected(chains, tmp_path):
    chain = chains[BIAS]
    output = tmp_path / "out"
    ledger = tmp_path / "ledger.sqlite"
    found = invoke(chain, "--output", str(output), ledger=ledger)
    assert found.exit_code == 1 and "NOT certified" in found.output.replace("\n", " ")
    shift = json.loads((output / "certificate.json").read_text())["parameters"]
    mean, covariance = exact_moments()
    sigma = np.sqrt(covariance[0, 0])
    error = shift["a"]["mean_shift_error"]
    assert shift["a"]["mean_shift_sigma"] == pytest.approx(BIAS / sigma, abs=SIGMAS * error + 0.03)
    assert abs(shift["twice"]["mean_shift_sigma"]) < SIGMAS * shift["twice"]["mean_shift_error"]
    corrected = read_chains(output / chain.name, burn_in=0.0)
    for column, before, truth in zip(("a", "b"), (mean[0] - BIAS, mean[1]), mean, strict=True):
        values = read_chains(chain).column(column)
        old = np.average(values, weights=read_chains(chain).weights)
        assert old == pytest.approx(before, abs=CHAIN_ERROR * sigma), "the chain is what it was"
        new = np.average(corrected.column(column), weights=corrected.weights)
        assert new == pytest.approx(truth, abs=CHAIN_ERROR * sigma)
    points = np.loadtxt(output / "exact_points.txt")
    assert points.shape[1] == 3 and len(points) >= 100
    solved = Ledger(ledger).status().solvers[0].solutions
    invoke(chain, "--output", str(output), ledger=ledger)
    assert Ledger(ledger).status().solvers[0].solutions == solved, "nothing is solved twice"


def test_on_a_dask_cluster(chains, tmp_path):
    """Every weight is that of the closed form."""
    sys.path.insert(0, str(HERE.parent))  # pytest's importlib mode leaves it out
    from dask_cluster import dask_cluster

    ledger, few = tmp_path / "ledger.sqlite", ("--points", "20", "--max-points", "20")
    with dask_cluster(tmp_path, HERE, workers=1) as cluster:
        on = ("--output", str(tmp_path / "out"), *few, "--dask", cluster.address)
        printed = invoke(chains[BIAS], ledger=ledger, on=on).output
    assert f"Dask scheduler {cluster.address}: dashboard" in " ".join(printed.split()), printed
    assert Ledger(ledger).status().solutions == 20
    log_weights, a, b = np.loadtxt(tmp_path / "out" / "exact_points.txt").T
    exact, emulated = (-0.5 * ((a + b + bias - 1.0) / SIGMA_A) ** 2 for bias in (TINY, BIAS))
    np.testing.assert_allclose(log_weights, exact - emulated, rtol=0.0, atol=ROUNDING)


def test_another_model_is_refused(chains, tmp_path):
    """The bias of the record changed behind the chain's back: its ln L is not found again."""
    folder = tmp_path / "moved"
    folder.mkdir()
    for path in chains[0.0].parent.glob("bias0.0.*"):
        text = path.read_text()
        if path.name.endswith(".updated.yaml"):
            assert "bias: 0.0" in text
            text = text.replace("bias: 0.0", "bias: 0.1")
        (folder / path.name).write_text(text)
    (folder / "exact.yaml").write_text("theory: {cobaya_toys.ToyTheory: {bias: 0.0}}\n")
    found = invoke(folder / "bias0.0", ledger=tmp_path / "l.sqlite")
    assert found.exit_code == 2
    assert "its model, loaded again" in found.output.replace("\n", " ")


def test_wrong_input(chains, tmp_path):
    chain = chains[0.0]

    def words(*command: str) -> str:
        found = CliRunner().invoke(app, ["certify", *command, "--ledger", str(tmp_path / "l")])
        assert found.exit_code == 2
        return " ".join(found.output.split())

    assert "is no chain" in words(str(tmp_path / "none"), "--with", str(chain))
    own = tmp_path / "own.yaml"
    own.write_text("theory: {cobaya_toys.ToyTheory: {bias: 0.0}}\n")
    assert "the exact theory is the chain's own" in words(str(chain), "--with", str(own))
    theory = str(chain.parent / "exact.yaml")
    into_itself = words(
        str(chain), "--with", theory, "--output", str(chain.parent), "--workers", "1"
    )
    assert "would be overwritten" in into_itself
    both = words(str(chain), "--with", str(chain), "--workers", "1", "--dask", "tcp://host:1")
    assert "give one of them" in both
    for address in ("host:8786", "tls://host:8786", "tcp://"):
        assert f"--dask {address}:" in words(str(chain), "--with", "class", "--dask", address)
    assert "no such solver or file" in words(str(chain), "--with", "clas")
    (tmp_path / "empty.yaml").write_text("likelihood: {}\n")
    assert "no `theory:` block" in words(str(chain), "--with", str(tmp_path / "empty.yaml"))
    (tmp_path / "bare.paramnames").write_text("a\ta\n")
    (tmp_path / "bare.1.txt").write_text("1 2 3\n")
    bare = words(str(tmp_path / "bare"), "--with", str(chain.parent / "exact.yaml"))
    assert "does not say with which likelihoods" in bare
    hot = tmp_path / "hot"
    hot.with_name("hot.1.txt").write_text("# weight minuslogpost a minuslogprior__0\n1 2 3 4\n")
    hot.with_name("hot.updated.yaml").write_text("sampler: {mcmc: {temperature: 2}}\n")
    assert "temperature 2" in words(str(hot), "--with", str(chain.parent / "exact.yaml"))


def test_volvelles_own_theory_is_solved_at_every_point(folder, tmp_path):
    """The chain's theory block, with the training's solver in the emulator's place."""
    params = dict(zip(universe.NAMES, universe.TRUTH.tolist(), strict=True))
    ends = {"min": 2.95, "max": 3.15}
    params |= {"ln10A_s": {"prior": ends, "ref": 3.045, "proposal": 0.01}, "sigma8": None}
    run(
        {
            "theory": {THEORY: {"emulator": str(folder), "outside": "raise"}},
            "likelihood": {"cobaya_toys.Sigma8Likelihood": None},
            "params": params,
            "sampler": {"mcmc": {"max_samples": 300, "seed": 1, "Rminus1_stop": 0.0}},
            "output": str(tmp_path / "chain"),
            "debug": 40,
        }
    )
    chain = cobaya_chain(read_chains(tmp_path / "chain"), "camb")
    certificate, _ = certify_chain(
        chain,
        Ledger(tmp_path / "ledger.sqlite"),
        SerialExecutor(),
        limit=0.05,
        points=30,
        max_points=30,
        seed=1,
    )
    assert chain.sampled == ("ln10A_s",) and chain.derived == ("sigma8",)
    assert 0.0 < certificate.log_weight_std < 0.05, "another number, and nearly the same"
    exact = chain.exact.model.theory[THEORY].learned
    assert exact.counts.predicted == exact.counts.solved + exact.counts.looked_up > 0
    with pytest.raises(ForeignError, match="trained with camb"):
        cobaya_chain(read_chains(tmp_path / "chain"), "class")
    with pytest.raises(ForeignError, match="not made with Volvelle's theory"):
        exact_theory({"classy": None}, "class")
