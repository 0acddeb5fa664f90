"""Chains on a Dask worker: the numbers of this machine, and what cannot be sent."""

import sys
from pathlib import Path

import equinox as eqx
import numpy as np
import pytest
from targets import MEAN, gaussian, start_at

from volvelle.compute import DaskExecutor, ExecutorError, SerialExecutor, UnsendableError
from volvelle.inference import (
    NUTS,
    LaplaceApproximation,
    Nested,
    draw,
    run_chains,
    run_chains_on,
)

HERE = Path(__file__).parent
SIZE = {"chains": 3, "draws": 60, "seed": 11}
SAMPLER = NUTS(warmup=60)


@pytest.fixture(scope="module")
def target():
    priors = tuple({"dist": "norm", "loc": 0.0, "scale": 90.0} for _ in range(3))
    posterior = gaussian(priors=priors)
    return posterior, start_at(posterior, MEAN, np.array([1.0, 0.01, 30.0]))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    sys.path.insert(0, str(HERE.parent))  # pytest's importlib mode leaves it out
    from dask_cluster import dask_cluster

    with dask_cluster(tmp_path_factory.mktemp("dask"), HERE, workers=1) as made:
        yield made


def same(one, other) -> bool:
    pairs = ((one.samples, other.samples), (one.log_prob, other.log_prob))
    numbers = ("names", "acceptance", "divergences", "evaluations")
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs) and all(
        getattr(one, name) == getattr(other, name) for name in numbers
    )


def test_the_same_chains_as_here(target, cluster):
    posterior, start = target
    here = run_chains(posterior, start, SAMPLER, **SIZE)
    with DaskExecutor(cluster.address, time_limit=0.001, say=lambda _: None) as executor:
        there = run_chains_on(executor, posterior, start, SAMPLER, **SIZE)
        with pytest.raises(ExecutorError, match="InferenceError: 1 chains of 60 draws; give at"):
            run_chains_on(executor, posterior, start, SAMPLER, chains=1, draws=60, seed=1)
    assert there.samples.dtype == np.float64
    assert same(here, there)
    other = run_chains(posterior, start, SAMPLER, **{**SIZE, "seed": 12})
    assert not same(here, other)


@pytest.mark.parametrize(
    "method", [LaplaceApproximation(), Nested(live=40, slices=5, remainder=0.5)]
)
def test_every_method_can_be_sent(method, target):
    posterior, start = target
    size = {"chains": 2, "draws": 500, "seed": 3}
    here = draw(posterior, start, method, **size)
    there = run_chains_on(SerialExecutor(), posterior, start, method, **size)
    assert same(here, there) and dict(here.facts) == dict(there.facts)


def test_a_worker_without_the_likelihoods_module_is_refused(target, cluster, tmp_path, monkeypatch):
    (tmp_path / "targets_of_here.py").write_text((HERE / "targets.py").read_text())
    monkeypatch.syspath_prepend(str(tmp_path))
    from targets_of_here import gaussian as gaussian_of_here

    with (
        DaskExecutor(cluster.address, say=lambda _: None) as executor,
        pytest.raises(ExecutorError, match=r"no worker .* is fit .*No module named 'targets_of"),
    ):
        run_chains_on(executor, gaussian_of_here(), target[1], SAMPLER, **SIZE)


def test_a_posterior_that_cannot_be_sent(target):
    posterior, start = target
    held = eqx.tree_at(lambda p: p.theory, posterior, lambda x, held=(n for n in ()): {"x": x})
    with pytest.raises(UnsendableError, match=r"cannot be sent to another machine .*generator"):
        run_chains_on(SerialExecutor(), held, start, SAMPLER, **SIZE)
