"""Chains of Cobaya, MontePython and GetDist: read, thinned, written with other weights."""

from pathlib import Path

import numpy as np
import pytest

from volvelle.inference import ChainFiles, InferenceError, read_chains, save_getdist

ROWS = np.array(
    [[4.0, 9.0, 0.5, 70.0], [1.0, 8.0, 0.2, 71.0], [3.0, 7.5, 0.3, 69.0], [2.0, 7.0, 0.4, 68.0]]
)
WRITTEN = 1e-9  # ten digits


def text(rows: np.ndarray, header: str = "") -> str:
    return header + "".join(" ".join(f"{v:.10g}" for v in row) + "\n" for row in rows)


@pytest.fixture(params=["cobaya", "montepython", "getdist"])
def chain(request, tmp_path: Path) -> tuple[str, Path]:
    """The same two files in the layout of each program, and how a user names them."""
    if request.param == "cobaya":
        (tmp_path / "run.updated.yaml").write_text("sampler: {mcmc: null}\n")
        for i in (1, 2):
            written = text(ROWS, "#  weight  minuslogpost  a  H0\n")
            (tmp_path / f"run.{i}.txt").write_text(written)
        return request.param, tmp_path / "run.updated.yaml"
    names = "a\tA\nH0*\tH_0\n"
    if request.param == "montepython":
        (tmp_path / "log.param").write_text("data.experiments=['x']\n")
        (tmp_path / "2026-01-01_4_.paramnames").write_text(names.replace("*", ""))
        for i in (1, 2):
            (tmp_path / f"2026-01-01_4__{i}.txt").write_text("# comment\n" + text(ROWS))
        return request.param, tmp_path
    (tmp_path / "run.paramnames").write_text(names)
    for i in (1, 2):
        (tmp_path / f"run_{i}.txt").write_text(text(ROWS))
    return request.param, tmp_path / "run"


def test_the_same_chain_in_every_layout(chain):
    kind, path = chain
    found = read_chains(path, burn_in=0.0)
    assert found.format == kind
    assert found.names == ("a", "H0")
    np.testing.assert_array_equal(found.rows, np.concatenate([ROWS, ROWS]))
    np.testing.assert_array_equal(found.columns(["H0", "a"])[:4], ROWS[:, [3, 2]])


def test_burn_in_is_a_share_of_the_weight_of_each_file(chain):
    _, path = chain
    found = read_chains(path)
    # 0.3 of a weight of 10 ends within the first row, of weight 4
    np.testing.assert_array_equal(found.rows[0], ROWS[0])
    np.testing.assert_array_equal(read_chains(path, burn_in=0.45).rows[0], ROWS[1])
    np.testing.assert_array_equal(read_chains(path, burn_in=0.45).rows, np.tile(ROWS[1:], (2, 1)))


def test_written_with_other_weights_and_read_again(chain, tmp_path):
    _, path = chain
    found = read_chains(path, burn_in=0.45)
    log_weights = np.linspace(-1.0, 0.5, 6)
    root = found.write_reweighted(tmp_path / "certified", log_weights)
    again = read_chains(root, burn_in=0.0)
    assert again.names == found.names and again.format == found.format
    factors = np.exp(log_weights - 0.5)
    np.testing.assert_allclose(again.weights, found.weights * factors, rtol=WRITTEN)
    np.testing.assert_allclose(again.rows[:, 1], found.rows[:, 1] - log_weights, rtol=WRITTEN)
    np.testing.assert_allclose(again.rows[:, 2:], found.rows[:, 2:], rtol=WRITTEN)


def test_spread_has_the_moments_of_the_weighted_chain(tmp_path):
    rng = np.random.default_rng(2)
    x = rng.normal(size=4000)
    weights = np.exp(-((x - 1.0) ** 2) / 2 + x**2 / 2) * 0.1  # a unit Gaussian around 1
    save_getdist(tmp_path / "run", ["a"], ["a"], [x[:, None]], [-x], [weights], {})
    chain = read_chains(tmp_path / "run")
    picked = chain.column("a")[chain.spread(1000, seed=3)]
    assert picked.mean() == pytest.approx(1.0, abs=0.1)  # the chain's own noise is 0.03
    assert picked.std() == pytest.approx(1.0, abs=0.1)
    assert not np.all(np.diff(chain.spread(1000, seed=3)) > 0), "in random order"


def test_correlated_samples_count_as_fewer(tmp_path):
    """A walk in which every step keeps 0.9 of the last has (1 - 0.9) / (1 + 0.9) of its length."""
    rng = np.random.default_rng(4)
    chains = []
    for _ in range(2):
        x = np.zeros(4000)
        for i in range(1, len(x)):
            x[i] = 0.9 * x[i - 1] + rng.normal()
        chains.append(x[:, None])
    ones = [np.ones(4000)] * 2
    save_getdist(tmp_path / "run", ["a"], ["a"], chains, ones, ones, {})
    found = read_chains(tmp_path / "run").independent(["a"])
    assert found == pytest.approx(8000 * 0.1 / 1.9, rel=0.25)


def test_nested_samples_have_no_burn_in(tmp_path):
    """They are sorted: their first rows are the tails, their number that of their weights."""
    (tmp_path / "run.updated.yaml").write_text("sampler:\n  polychord:\n    nlive: 10\n")
    weights = np.exp(-(np.linspace(5.0, 0.0, 200) ** 2))
    rows = np.column_stack([weights, np.zeros(200), np.linspace(3.0, 0.0, 200)])
    (tmp_path / "run.1.txt").write_text(text(rows, "# weight minuslogpost a\n"))
    found = read_chains(tmp_path / "run")
    assert len(found.rows) == 200 and not found.steps
    assert found.independent(["a"]) == int(weights.sum() ** 2 / np.sum(weights**2))
    with pytest.raises(InferenceError, match="has no burn-in"):
        read_chains(tmp_path / "run", burn_in=0.3)


@pytest.mark.parametrize("column", [np.ones(300), np.r_[np.zeros(150), np.ones(150)]])
def test_a_chain_that_says_next_to_nothing_is_refused(tmp_path, column):
    ones = [np.ones(300)]
    save_getdist(tmp_path / "run", ["a"], ["a"], [column[:, None]], ones, ones, {})
    with pytest.raises(InferenceError, match=r"independent samples of 300; expected at least 20"):
        read_chains(tmp_path / "run").independent(["a"])


def test_a_chain_is_not_overwritten(chain):
    _, path = chain
    found = read_chains(path, burn_in=0.0)
    with pytest.raises(InferenceError, match="would be overwritten"):
        found.write_reweighted(found.root.parent, np.zeros(len(found.rows)))


def test_a_last_line_cut_short_is_left_out(tmp_path):
    (tmp_path / "run.paramnames").write_text("a\tA\nH0\tH_0\n")
    (tmp_path / "run.1.txt").write_text(text(ROWS) + "1.0 7.0 0.")
    assert len(read_chains(tmp_path / "run").rows) == len(ROWS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text(ROWS[:, :3]) + text(ROWS), "row 1 has 3 numbers; expected 4"),
        (text(ROWS).replace("9", "nine", 1), "no number"),
        (text(-ROWS), "negative"),
        ("", "no samples"),
    ],
)
def test_damaged_files_are_refused(tmp_path, content, message):
    (tmp_path / "run.paramnames").write_text("a\tA\nH0\tH_0\n")
    (tmp_path / "run.1.txt").write_text(content)
    with pytest.raises(InferenceError, match=message):
        read_chains(tmp_path / "run")


def test_what_is_no_chain_is_refused(tmp_path):
    with pytest.raises(InferenceError, match=r"neither nothing\.updated\.yaml"):
        read_chains(tmp_path / "nothing")
    with pytest.raises(InferenceError, match="holds none"):
        read_chains(tmp_path)
    (tmp_path / "run.paramnames").write_text("a\tA\n")
    with pytest.raises(InferenceError, match=r"no chain files; expected run\.1\.txt"):
        read_chains(tmp_path / "run")
    (tmp_path / "run.1.txt").write_text("1 2 3\n")
    with pytest.raises(InferenceError, match="holds no 'b'"):
        read_chains(tmp_path / "run").column("b")
    with pytest.raises(InferenceError, match=r"burn-in is 1\.5"):
        read_chains(tmp_path / "run", burn_in=1.5)
    (tmp_path / "run.updated.yaml").write_text("")
    with pytest.raises(InferenceError, match="expected Cobaya's header"):
        read_chains(tmp_path / "run")


def test_the_kept_rows_are_typed(tmp_path):
    (tmp_path / "run.paramnames").write_text("a\tA\nH0\tH_0\n")
    (tmp_path / "run.txt").write_text(text(ROWS))
    found = read_chains(str(tmp_path / "run"))
    assert isinstance(found, ChainFiles) and found.rows.dtype == float
