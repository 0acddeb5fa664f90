"""The blocks ``emulator.design`` and ``emulator.preset``: what they mean and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from volvelle.cli import Configuration, ConfigurationError
from volvelle.cli.pipeline import estimate
from volvelle.cli.presets import PRESETS, with_preset
from volvelle.cli.setup import make_training, network_settings
from volvelle.learning import NetworkSettings
from volvelle.training import (
    Filter,
    Halt,
    Iterative,
    IterativeSettings,
    SpaceFilling,
    SpaceFillingSettings,
    Trainer,
    Training,
    TrainingSettings,
)

from .conftest import Write

CONNECT = "connect-2022"


def loaded(write: Write, emulator: dict[str, Any]) -> Configuration:
    return Configuration.load(write({"emulator": emulator, "seed": 8}), files=False)


def settings_of(write: Write, emulator: dict[str, Any]) -> tuple[type[Training[Any]], Any]:
    """The class and the settings that a block leads to; nothing is set up to solve."""

    class Problem:
        names = ("omega_b", "omega_cdm")

    class Exact:
        problem = Problem()

    exact: Any = Exact()
    made = make_training(loaded(write, emulator), exact, Path("x"), lambda text: None, print)
    return type(made), made.settings


def test_adaptive_is_the_default(write: Write) -> None:
    given = {"initial": 9, "batch": 3, "width": 2.0, "accuracy": 0.1}
    expected = TrainingSettings(**given, seed=8, certificate_points=100)
    assert settings_of(write, given) == (Trainer, expected)
    named = {**given, "design": {"adaptive": None}}
    assert settings_of(write, named) == (Trainer, expected)
    assert loaded(write, given).hash == loaded(write, named).hash
    assert loaded(write, {}).hash == loaded(write, {"design": {"adaptive": {}}}).hash


@pytest.mark.parametrize("sampling", ["latin_hypercube", "hypersphere"])
def test_space_filling_designs(write: Write, sampling: str) -> None:
    block = {"design": {sampling: {"points": 70, "width": 1.5}}, "kind": "polynomial"}
    expected = SpaceFillingSettings(
        kind="polynomial", seed=8, width=1.5, sampling=sampling, points=70
    )
    assert settings_of(write, block) == (SpaceFilling, expected)


def test_the_iteration_has_the_papers_numbers(write: Write) -> None:
    block = {"design": {"iterative": {}}, "max_training": 60_000, "kind": "network"}
    made, settings = settings_of(write, {**block, "network": {"folds": 0}})
    assert made is Iterative
    assert settings == IterativeSettings(seed=8, network=NetworkSettings(folds=0, seed=8))
    assert (settings.initial, settings.first, settings.points) == (10_000, 5_000, 20_000)
    assert (settings.temperature, settings.keep_first) == (5.0, False)
    assert (settings.filter, settings.halt) == (Filter(5, 2.0, "scaled"), Halt(0.01, None))


def test_every_key_of_the_iteration_arrives(write: Write) -> None:
    iterative = {
        "start": "hypersphere",
        "initial": 40,
        "first": 20,
        "points": 60,
        "temperature": 3,
        "keep_first": True,
        "filter": {"neighbours": 7, "tolerance": 1.5, "metric": "whitened"},
        "halt": {"r_minus_1": 0.05, "new_points": 0.1, "when": "both"},
        "most_iterations": 5,
        "width": 2.0,
    }
    _, settings = settings_of(write, {"design": {"iterative": iterative}})
    blocks = {"filter": Filter(7, 1.5, "whitened"), "halt": Halt(0.05, 0.1, "both")}
    common = {"kind": "auto", "seed": 8, "max_training": 500, "network": None}
    assert settings == IterativeSettings(**{**iterative, **blocks, **common})
    _, settings = settings_of(write, {"design": {"iterative": {"initial": 40, "filter": "none"}}})
    assert settings.filter is None


def test_the_preset_is_the_papers_set_up(write: Write) -> None:
    configuration = loaded(write, {"preset": CONNECT})
    network = network_settings(configuration)
    assert network is not None
    assert (network.depth, network.width, network.epochs, network.batch) == (6, 512, 300, 512)
    assert (network.activation, network.loss) == ("alsing", "cosmic_variance")
    assert (network.scaling, network.folds) == ("standardise", 0)
    assert network.patience == network.epochs, "no early stopping in the paper"
    made, settings = settings_of(write, {"preset": CONNECT})
    assert made is Iterative
    assert settings == IterativeSettings(seed=8, network=network)
    assert configuration.emulator.accuracy == 0.05


def test_keys_beside_the_preset_override_its_own(write: Write) -> None:
    given = {
        "preset": CONNECT,
        "max_training": 900,
        "network": {"epochs": 20},
        "design": {"iterative": {"initial": 200, "halt": {"new_points": 0.1}}},
    }
    emulator = loaded(write, given).emulator
    assert emulator.network is not None and emulator.design.iterative is not None
    assert (emulator.network.epochs, emulator.network.batch) == (20, 512)
    iterative = emulator.design.iterative
    assert (iterative.initial, iterative.points) == (200, 20_000)
    assert (iterative.halt.r_minus_1, iterative.halt.new_points) == (0.01, 0.1)
    assert emulator.max_training == 900
    for empty in ({"network": None}, {"design": {"iterative": None}}):
        assert (
            loaded(write, {"preset": CONNECT, **empty}).hash
            == loaded(write, {"preset": CONNECT}).hash
        )


def test_another_design_or_kind_takes_the_presets_away(write: Write) -> None:
    design = {"latin_hypercube": {"points": 100}}
    emulator = loaded(write, {"preset": CONNECT, "design": design}).emulator
    assert emulator.design.name == "latin_hypercube" and emulator.design.iterative is None
    emulator = loaded(write, {"preset": CONNECT, "kind": "polynomial"}).emulator
    assert emulator.network is None and emulator.design.name == "iterative"


def test_the_merged_values_are_hashed_and_written(write: Write) -> None:
    short = loaded(write, {"preset": CONNECT, "network": {"epochs": 20}})
    spelled = with_preset({"preset": CONNECT, "network": {"epochs": 20}})
    del spelled["preset"]
    assert loaded(write, spelled).hash == short.hash
    assert short.hash != loaded(write, {"preset": CONNECT}).hash
    assert short.expanded_text.startswith(short.text.rstrip())
    comments = [line for line in short.expanded_text.splitlines() if line.startswith("#")]
    assert comments[0] == f"# with preset {CONNECT}:"
    merged = yaml.safe_load("\n".join(line[2:] for line in comments[1:]))["emulator"]
    assert merged["network"]["epochs"] == 20 and merged["max_training"] == 60_000
    assert merged["design"]["iterative"]["points"] == 20_000
    assert yaml.safe_load(short.expanded_text) == yaml.safe_load(short.text)
    plain = loaded(write, {})
    assert plain.expanded_text == plain.text


def test_merging_leaves_preset_and_file_alone() -> None:
    before = yaml.safe_dump(PRESETS)
    given = {"preset": CONNECT, "design": {"iterative": {"halt": {"when": "both"}}}}
    merged = with_preset(given)
    merged["network"]["depth"] = 1
    assert yaml.safe_dump(PRESETS) == before
    assert given == {"preset": CONNECT, "design": {"iterative": {"halt": {"when": "both"}}}}
    assert with_preset({"kind": "auto"}) == {"kind": "auto"}


def test_what_a_design_would_cost(write: Write) -> None:
    cases: list[tuple[dict[str, Any], int]] = [
        ({"design": {"hypersphere": {"points": 70}}}, 70),
        ({"preset": CONNECT}, 55_000),
        ({"preset": CONNECT, "max_training": 20_000}, 20_000),
        ({}, 10 + 3 * 8),
        ({"kind": "network"}, 11 + 3 * 8),
    ]
    for block, calls in cases:
        assert estimate(loaded(write, block))["exact_calls_training"] == calls


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            {"preset": "connect2022"},
            "emulator.preset: unknown preset 'connect2022'; known are connect-2022",
        ),
        (
            {"design": {}},
            "emulator.design: expected exactly one of adaptive, latin_hypercube, hypersphere, "
            "iterative, got none",
        ),
        (
            {"design": {"adaptive": {}, "iterative": {}}},
            "emulator.design: expected exactly one of adaptive, latin_hypercube, hypersphere, "
            "iterative, got adaptive and iterative",
        ),
        ({"design": "iterative"}, "emulator.design: expected a block of `key: value` lines"),
        ({"design": {"sobol": {}}}, "emulator.design.sobol: unknown key; known are adaptive, "),
        ({"design": {"latin_hypercube": {}}}, "design.latin_hypercube.points: missing; add this"),
        (
            {"design": {"adaptive": {"initial": 4}}},
            "emulator.design.adaptive: initial of the adaptive design stands in the ",
        ),
        (
            {"design": {"hypersphere": {"points": 2}}},
            "emulator.design.hypersphere.points: 2 points for 2 sampled parameters of the theory; "
            "give at least 4 (10 are enough for a quadratic)",
        ),
        (
            {"initial": 1, "design": {"adaptive": {}}},
            "emulator.initial: 1 points for 2 sampled parameters of the theory; give at least 4",
        ),
        (
            {"design": {"iterative": {"initial": 30, "first": 2}}},
            "emulator.design.iterative.first: 2 points for 2 sampled parameters",
        ),
        (
            {"design": {"latin_hypercube": {"points": 600}}},
            "emulator: points is 600, more than max_training, which is 500; lower the one or raise",
        ),
        (
            {"design": {"iterative": {}}},
            "emulator: initial is 10000, more than max_training, which is 500; lower the one or",
        ),
        *(
            (
                {**own, "design": {"latin_hypercube": {"points": 50}}},
                f"emulator: {next(iter(own))} belongs to the adaptive design and design is "
                "latin_hypercube; leave it out",
            )
            for own in ({"initial": 9}, {"batch": 4}, {"width": 2.0}, {"warm_start": ["runs/a"]})
        ),
        (
            {"design": {"iterative": {"initial": 30, "halt": {"r_minus_1": None}}}},
            "emulator.design.iterative.halt: r_minus_1 and new_points are both null, so that "
            "nothing ends the iteration; give a number",
        ),
        (
            {"preset": CONNECT, "design": {"iterative": {"halt": {"r_minus_1": None}}}},
            "emulator.design.iterative.halt: r_minus_1 and new_points are both null",
        ),
        (
            {"design": {"iterative": {"filter": "none", "halt": {"new_points": 0.1}}}},
            "emulator.design.iterative: halt.new_points is given and filter is none",
        ),
        (
            {"design": {"iterative": {"filter": None}}},
            "emulator.design.iterative.filter: expected a block of neighbours, tolerance and "
            "metric, or none",
        ),
        (
            {"design": {"iterative": {"filter": {"metric": "whitend"}}}},
            "expected one of scaled, whitened, got 'whitend'; did you mean whitened?",
        ),
        (
            {"design": {"iterative": {"halt": {"new_points": 1.0}}}},
            "emulator.design.iterative.halt.new_points: expected a number below 1, got 1.0",
        ),
        (
            {"design": {"iterative": {"temperature": 0.5}}},
            "emulator.design.iterative.temperature: expected a number of at least 1, got 0.5",
        ),
        (
            {"kind": "network", "initial": 10},
            "emulator.initial: 10 points for a network with folds: 4; give at least 11 points, or "
            "fewer folds",
        ),
        (
            {
                "kind": "network",
                "network": {"folds": 2},
                "design": {"latin_hypercube": {"points": 15}},
            },
            "emulator.design.latin_hypercube.points: 15 points for a network with folds: 2; give "
            "at least 16 points",
        ),
        (
            {
                "kind": "network",
                "network": {"folds": 0},
                "design": {"iterative": {"initial": 30, "first": 7, "points": 20}},
            },
            "emulator.design.iterative.first: 7 points for a network with folds: 0; give at least "
            "8 points",
        ),
        (
            {"kind": "network", "network": {"folds": 0}},
            "emulator: network.folds is 0 and the adaptive design is steered by left-out errors",
        ),
        (
            {"kind": "network", "network": {"folds": 1}},
            "emulator.network.folds: expected 0 (no cross-validation) or a whole number of at "
            "least 2, got 1",
        ),
        (
            {"preset": CONNECT, "kind": "polynomial", "network": {"depth": 3}},
            "emulator: network is given but kind is polynomial",
        ),
    ],
)
def test_wrong_blocks(write: Write, block: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(write, block)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
