"""Every wrong input is one line that names the file, the key, what was given and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from example_scripts import FOLDER
from volvelle.cli import Configuration, ConfigurationError

from .conftest import REMOVE

CASES: list[tuple[dict[str, Any], str]] = [
    # keys
    ({"outptu": "x"}, "outptu: unknown key; did you mean output?"),
    ({"output": REMOVE}, "output: missing; add this key"),
    ({"output": 3}, "output: expected a path, got 3"),
    ({"seed": -1}, "seed: expected a number of at least 0, got -1"),
    ({"seed": 1.5}, "seed: expected a whole number, got 1.5"),
    ({"seed": "1"}, "seed: expected a whole number, got '1'"),
    ({"workers": 0}, "workers: expected a number of at least 1, got 0"),
    ({"workers": "all"}, "workers: expected a whole number, got 'all'"),
    # compute
    (
        {"workers": 2, "compute": {"local": {}}},
        "workers: cannot stand beside compute; write compute: {local: {workers: N}}",
    ),
    ({"compute": {}}, "compute: expected exactly one of in_process, local, dask and slurm, got no"),
    ({"compute": {"local": {}, "dask": {"address": "tcp://a:1"}}}, "slurm, got dask and local"),
    ({"compute": {"cloud": {}}}, "compute.cloud: unknown key; known are dask, in_process, local, "),
    ({"compute": {"local": {"worker": 2}}}, "compute.local.worker: unknown key; did you mean wor"),
    ({"compute": {"local": {"time_limit": 0}}}, "compute.local.time_limit: expected a number abov"),
    ({"compute": {"dask": {}}}, "compute.dask.address: missing; add this key"),
    (
        {"compute": {"dask": {"address": "host:8786"}}},
        "compute.dask: the address is host:8786; expected tcp://host:port, or tls://host:port",
    ),
    (
        {"compute": {"dask": {"address": "tls://host:8786"}}},
        "compute.dask: tls: {ca, cert, key} and an address that begins with tls:// go together",
    ),
    (
        {"compute": {"dask": {"address": "tcp://a:1", "retries": -1}}},
        "retries: expected a number o",
    ),
    (
        {"compute": {"slurm": {"cores": 4, "memory": "8 GB"}}},
        "compute.slurm.walltime: missing; add",
    ),
    (
        {"compute": {"slurm": {"cores": 4, "memory": "8 GB", "walltime": 60}}},
        "compute.slurm.walltime: expected text, got 60",
    ),
    ({"simulate_if_missing": "maybe"}, "simulate_if_missing: expected true or false, got 'maybe'"),
    # theory
    ({"theory": REMOVE}, "theory: missing; add this key"),
    (
        {"theory": {"class": {}, "camb": {}}},
        "theory: expected exactly one of class, camb and volvelle, got camb and class",
    ),
    ({"theory": {}}, "theory: expected exactly one of class, camb and volvelle, got none"),
    (
        {"theory": {"volvelle": {}}},
        "reads what only a solver computes; write theory: {class: } (or camb)",
    ),
    ({"theory": "class"}, "theory: expected a block of `key: value` lines, got 'class'"),
    ({"theory": {"clas": {}}}, "theory.clas: unknown key; did you mean class or camb?"),
    ({"theory.camb.path": "x"}, "theory.camb.path: unknown key; known are extra_args, "),
    (
        {"theory.camb.non_linear": "halofitt"},
        "theory.camb.non_linear: expected one of halofit, hmcode, none, got 'halofitt'; did you "
        "mean halofit?",
    ),
    (
        {"theory.camb.neutrino_hierarchy": "normall"},
        "theory.camb.neutrino_hierarchy: expected one of single, degenerate, normal, inverted, "
        "native, got 'normall'; did you mean normal?",
    ),
    (
        {"theory.camb.precision": {"a": [1]}},
        "theory.camb.precision.a: expected a number or text, got [1]",
    ),
    (
        {"theory.camb.extra_args": {"a": True}},
        "theory.camb.extra_args.a: expected a number or text, got True; put yes and no in quotes",
    ),
    # parameters: names
    ({"params": [1]}, "params: expected a block of `key: value` lines, got [1]"),
    ({"params.Omega_m": 0.3}, "params.Omega_m: is derived, not an input: "),
    ({"params.A_planck": 1.0}, "params.A_planck: belongs to planck_2018_plik_lite, which is not "),
    # parameters: combinations
    (
        {"params.sigma8": 0.8},
        "params.sigma8: cannot stand beside ln10A_s: exactly one of ln10A_s, A_s, sigma8 sets the "
        "amplitude; remove ln10A_s or sigma8",
    ),
    (
        {"params.ln10A_s": REMOVE, "params.A_s": 2e-9, "params.sigma8": 0.8},
        "params.sigma8: cannot stand beside A_s: ",
    ),
    ({"params.H0": 67.0}, "params.H0: cannot stand beside theta_star_100: exactly one of "),
    ({"params.h": 0.67}, "params.h: cannot stand beside theta_star_100: exactly one of "),
    (
        {"params.theta_star_100": REMOVE},
        "params: nothing sets the expansion; add exactly one of theta_star_100, h, H0",
    ),
    (
        {"params.ln10A_s": REMOVE},
        "params: nothing sets the amplitude; add exactly one of ln10A_s, A_s, sigma8",
    ),
    (
        {"params.omega_cdm": REMOVE, "params.omega_cmd": 0.12},
        "params: missing omega_cdm (is omega_cmd meant to be omega_cdm?); give each a number ",
    ),
    ({"params.tau_reio": REMOVE}, "params: missing tau_reio; give each a number (fixed) or a "),
    (
        {"params.omega_b": 0.02, "params.omega_cdm": 0.12},
        "params: no cosmological parameter has a prior, so there is nothing to infer; ",
    ),
    # parameters: values
    ({"params.omega_b": "0.02"}, "params.omega_b: expected a number, or a block with prior: "),
    ({"params.omega_b": True}, "params.omega_b: expected a number, or a block with prior: "),
    ({"params.omega_b": None}, "(or value:), got nothing"),
    ({"params.omega_b": float("nan")}, "params.omega_b: expected a finite number, got nan"),
    ({"params.omega_b": 3.0}, "params.omega_b: omega_b is 3; expected a value between 0 and 1"),
    (
        {"params.m_nu": 0.06, "theory.camb.neutrino_hierarchy": "inverted"},
        "params.m_nu: m_nu is 0.06 eV; the inverted hierarchy needs at least ",
    ),
    # parameters: priors
    (
        {"params.omega_b.prior.min": "abc"},
        "params.omega_b.prior.min: expected a number, got 'abc'",
    ),
    (
        {"params.omega_b.prior.min": 0.2},
        "params.omega_b.prior: the prior has no width: min 0.2 is not below max 0.1; for a fixed "
        "value write `omega_b: 0.2`",
    ),
    ({"params.omega_b.prior.min": 0.1}, "params.omega_b.prior: the prior has no width: "),
    ({"params.omega_b.prior.max": REMOVE}, "params.omega_b.prior.max: missing; add this key"),
    ({"params.omega_b.prior": REMOVE}, "params.omega_b: has neither a value nor a prior; give "),
    ({"params.omega_b.prior": [0, 1]}, "params.omega_b.prior: expected a prior such as {min: 0, "),
    (
        {"params.omega_b.prior.dist": "gauss"},
        "params.omega_b.prior: expected dist to be one of uniform, norm, truncnorm, loguniform, "
        "got 'gauss'",
    ),
    ({"params.omega_b.prior.mn": 0.1}, "params.omega_b.prior.mn: unknown key; did you mean min?"),
    (
        {"params.omega_cdm.prior.scale": 0},
        "params.omega_cdm.prior.scale: expected a number above 0, got 0",
    ),
    ({"params.omega_cdm.prior.dist": "truncnorm"}, "params.omega_cdm.prior.min: missing; "),
    (
        {"params.omega_b.prior": {"dist": "loguniform", "min": 0, "max": 1}},
        "params.omega_b.prior.min: expected a number above 0, got 0",
    ),
    (
        {"params.omega_b.prior.max": 5.0},
        "params.omega_b: the prior reaches 5: omega_b is 5; expected a value between 0 and 1",
    ),
    # parameters: references
    (
        {"params.omega_b.ref.loc": 0.5},
        "params.omega_b: ref.loc 0.5 lies outside the prior, 0.005 to 0.1; move the one or widen",
    ),
    (
        {"params.omega_b.ref.scale": 0.0},
        "params.omega_b.ref.scale: expected a number above 0, got 0.0",
    ),
    ({"params.omega_b.ref": REMOVE}, "params.omega_b: has no ref; add ref: {loc: .., scale: ..}"),
    ({"params.omega_b.latexx": "a"}, "params.omega_b.latexx: unknown key; did you mean latex?"),
    ({"params.omega_b.value": 1.0}, "params.omega_b: has a value and a prior; keep value: to fix "),
    # parameters: expressions
    (
        {"params.omega_cdm": "min(omega_b, 0.1)"},
        "params.omega_cdm: 'min(omega_b, 0.1)' holds a function call; allowed are numbers, names "
        "of parameters, + - * / ** and parentheses",
    ),
    ({"params.n_s.value": "tau_reio <"}, "cannot be read as an expression; allowed are "),
    (
        {"params.omega_cdm": "omega_m - omega_b"},
        "params.omega_cdm: 'omega_m - omega_b' uses omega_m, which is not in params; did you mean "
        "omega_",
    ),
    (
        {"params.n_s": "tau_reio + 0.9", "params.tau_reio": "n_s - 0.9"},
        "params: the expressions go in a circle: ",
    ),
    (
        {"params.n_s": "0.965 + 1/(tau_reio - 0.054)"},
        "params.n_s: n_s: 0.965 + 1/(tau_reio - 0.054): division by 0 at tau_reio = 0.054",
    ),
    (
        {"params.omega_cdm": "omega_b - 0.02"},
        "params.omega_b: the prior reaches 0.0050001: omega_cdm is -0.0149999; expected a value ",
    ),
    (
        {"params.scale_": {"value": 1.0, "drop": True}},
        "params.scale_: drop: true, and no expression uses it; remove the parameter",
    ),
    ({"params.n_s.drop": True}, "params.n_s.drop: is for the solver's own inputs; n_s is none, "),
    ({"params.omega_b.unset": 0.0}, "params.omega_b.unset: is for the solver's own inputs; "),
    # parameters: logarithmic scale
    (
        {"params.omega_b.scale": "log", "params.omega_b.prior.min": 0.0},
        "params.omega_b: scale: log, but the prior reaches 0: zero and negative numbers have no ",
    ),
    (
        {"params.omega_cdm.scale": "log"},
        "params.omega_cdm: scale: log takes a prior of min and max only, flat in log10 between "
        "them, not dist norm; drop one of the two",
    ),
    (
        {"params.omega_b.scale": "log", "params.log10_omega_b": -1.6},
        "params.omega_b: scale: log samples log10_omega_b, which is a parameter already; rename it",
    ),
    ({"params.omega_b.scale": "ln"}, "params.omega_b.scale: expected one of linear, log, got 'ln'"),
    # parameters: neutrinos in the solver's own words
    (
        {"params.m_nu": 0.06, "theory.camb.neutrino_hierarchy": "native"},
        "params.m_nu: m_nu cannot be given with neutrino_hierarchy native: the solver's own ",
    ),
    # likelihoods
    ({"likelihood": REMOVE}, "likelihood: missing; add this key"),
    ({"likelihood": {}}, "likelihood: expected a list of different names, or a block of "),
    ({"likelihood": "gaussian"}, "`name: options`, got 'gaussian'"),
    ({"likelihood": ["gaussian", "gaussian"]}, "likelihood: expected a list of different names"),
    (
        {"likelihood": {"plank_2018_plik_lite": {}}},
        "likelihood.plank_2018_plik_lite: unknown likelihood; did you mean planck_2018_plik_lite ",
    ),
    ({"likelihood": {"desi_dr2_bao": {"bins": 1}}}, "unexpected keyword argument 'bins'"),
    (
        {"likelihood": {"planck_2018_plik_lite": {"spectra": "EE"}}},
        "likelihood.planck_2018_plik_lite: planck_2018_plik_lite has no spectra 'EE'; choose ",
    ),
    (
        {
            "theory": {"camb": {"neutrino_hierarchy": "degenerate"}},
            "params.m_nu": 0.1,
            "params.N_eff": {"prior": {"min": 2.0, "max": 4.0}, "ref": {"loc": 3.2, "scale": 0.1}},
        },
        "params.N_eff: the prior reaches 2: N_eff is 2 but 3 massive states need",
    ),
    (
        {"likelihood.gaussian": 3},
        "likelihood.gaussian: expected a block of `key: value` lines, got 3",
    ),
    (
        {"likelihood.gaussian.outputs": ["Omega_x[3]"]},
        "there is no theory output 'Omega_x' with elements; did you mean Omega_m",
    ),
    (
        {"likelihood": {"planck_2018_simulated": {"f_sky": 2}}},
        "likelihood.planck_2018_simulated.f_sky: expected a number above 0 and at most 1, got 2",
    ),
    ({"likelihood": {"external": {"python": "nomodule:X"}}}, "nomodule cannot be imported"),
    # emulator, sampler, certificate
    ({"emulator.kind": "networks"}, "emulator.kind: expected one of auto, polynomial, "),
    ({"emulator.target": "chi2"}, "emulator.target: expected one of theory, likelihood"),
    (
        {"emulator.target": "likelihood", "emulator.outputs": ["sigma8", "hubble"]},
        "emulator: outputs lists hubble, but target: likelihood learns ln L and derived numbers",
    ),
    ({"emulator.accuracy": 0}, "emulator.accuracy: expected a number above 0, got 0"),
    ({"emulator.max_training": 0}, "emulator.max_training: expected a number of at least 1, got 0"),
    (
        {"emulator.initial": 600},
        "emulator: initial is 600, more than max_training, which is 500; lower the one or raise",
    ),
    ({"emulator.warm_start": "runs/a"}, "emulator.warm_start: expected a list, such as [a, b], "),
    ({"emulator.width": -1.0}, "emulator.width: expected a number above 0, got -1.0"),
    (
        {"sampler": {"nuts": {}, "metropolis": {}}},
        "sampler: expected one of nuts, hmc, metropolis, ensemble, mclmc, adjusted_mclmc, svi, "
        "neural_transport, nested, laplace, got nuts and metropolis",
    ),
    ({"sampler": {"mcmc": {}}}, "sampler.mcmc: unknown key; did you mean mclmc"),
    (
        {"sampler": {"nuts": {"chains": 1}}},
        "sampler.nuts.chains: expected a number of at least 2, got 1",
    ),
    ({"sampler": {"r_hat": 1.0}}, "sampler.r_hat: expected a number above 1, got 1.0"),
    ({"certificate": {"points": 500}}, "certificate: points is 500, more than max_points, which "),
    ({"certificate": "no"}, "certificate: expected a block of `key: value` lines, got 'no'"),
]

TEXTS = [
    ("", "expected blocks such as theory:, params: and likelihood:, got an empty file"),
    ("- a\n- b\n", "expected blocks such as theory:, params: and likelihood:, got a list"),
    ("a: [1\nb: 2\n", ":2: not valid YAML: "),
    ("seed: 1\nseed: 2\n", ":2: seed: given twice, in lines 1 and 2; keep one of them"),
    ("\tseed: 1\n", ":1: not valid YAML: "),
    (
        "seed: !!python/object:os.system 1\n",
        ":1: not valid YAML: could not determine",
    ),
]


NATIVES: list[tuple[dict[str, Any], str]] = [
    (
        {"params.omega_bb": 0.1},
        "params.omega_bb: CAMB has no parameter 'omega_bb'; give an attribute path of CAMBparams; "
        "did you mean omega_b ",
    ),
    (
        {"params.ombh2": 0.02},
        "params.ombh2: ombh2 of CAMB is set already, from the cosmology; drop it ",
    ),
    (
        {"theory": {"class": {}}, "params.Gama_dcdm": 10.0},
        "params.Gama_dcdm: CLASS: Error in Class: Class did not read input parameter(s): Gama_dcdm",
    ),
    (
        {"theory": {"class": {}}, "params.Gamma_dcdm": 10.0},
        "params.Gamma_dcdm: CLASS: Error in Class: Class did not read input parameter(s): Gamma_",
    ),
    (
        {"theory": {"class": {}}, "params.N_ncdm": 1},
        "params.N_ncdm: N_ncdm of CLASS is set already, from the cosmology; drop it (neutrinos in "
        "CLASS's own words need neutrino_hierarchy: native)",
    ),
    (
        {"theory": {"class": {}}, "params.alpha_s": 0.0, "params.n_s": "0.965 + alpha_s"},
        "params.alpha_s: stands in an expression, and class has an input of this name as well; ",
    ),
    (
        {"theory.camb.extra_args": {"Alenss": 1.1}},
        "theory.camb.extra_args.Alenss: CAMB has no parameter 'Alenss'; ",
    ),
    (
        {"theory.camb.precision": {"max_l": 5000}},
        "theory.camb.precision.max_l: CAMB's 'max_l' follows from what is asked of it ",
    ),
    (
        {"theory": {"class": {"precision": {"l_max_gg": 30}}}},
        "theory.class.precision.l_max_gg: CLASS: Error in Class: Class did not read input ",
    ),
    (
        {"theory": {"class": {"extra_args": {"non_linear": "hmcode"}}}},
        "theory.class.extra_args.non_linear: non_linear of CLASS follows from what is asked of it ",
    ),
    (
        {"likelihood.gaussian.outputs": ["Omega_x", "r_drag"]},
        "likelihood.gaussian: CAMB has no derived parameter 'Omega_x'; it has ",
    ),
]


def message(path: Path, files: bool = False) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Configuration.load(path, files=files)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}:")
    return text.removeprefix(f"{path}:")


@pytest.mark.parametrize(("changes", "expected"), CASES, ids=[words[:60] for _, words in CASES])
def test_one_line_says_what_is_wrong(write, no_data, changes, expected) -> None:
    assert expected in message(write(changes))


@pytest.mark.parametrize(("changes", "expected"), NATIVES, ids=[words[:60] for _, words in NATIVES])
def test_the_solver_says_what_it_does_not_know(write, no_data, changes, expected) -> None:
    """In its own words, at the reference point, in milliseconds."""
    assert expected in message(write(changes), files=True)


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_what_is_no_configuration_at_all(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert expected in f":{message(path)}"


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such file" in message(tmp_path / "nothing.yaml")


def test_the_line_is_that_of_the_key(write) -> None:
    path = write({"params.omega_b.prior.min": "abc"})
    line = 1 + path.read_text().splitlines().index("      min: abc")
    assert message(path) == f"{line}: params.omega_b.prior.min: expected a number, got 'abc'"


def test_the_first_of_several_is_told_with_their_number(write) -> None:
    path = write({"seed": "x", "workers": "y", "params.omega_b.latexx": "z"})
    text = message(path)
    assert "params.omega_b.latexx: unknown key" in text
    assert text.endswith("(2 more problems in this file)")


@pytest.mark.parametrize(
    ("file", "verb"),
    [("11_forecast.yaml", "forecast"), ("18_simulate.yaml", "simulate")],
)
def test_a_file_for_another_verb_is_told_its_own(file: str, verb: str) -> None:
    with pytest.raises(ConfigurationError, match=f"is one for `volvelle {verb}`$"):
        Configuration.load(FOLDER / file)
