"""The plain loop against the simulator, and what the table of ratios says."""

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from benchmarks.speed.__main__ import behind, main
from benchmarks.speed.plain_loop import PlainLoop
from benchmarks.speed.ratios import LOOP, Row, geometric_mean
from conversion import convert
from conversion.simulation.choice import use


@pytest.fixture
def images():
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def network():
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(288, 5)).double().eval()


@pytest.mark.parametrize("recipe", ["opi", "burst", "snm", "tracking"])
def test_the_plain_loop_gives_what_the_simulator_gives(network, images, recipe):
    """Where no max pooling is, both are the same equations; double precision leaves no ties to rounding."""
    snn = convert(network, recipe, images)
    with use("pytorch"):
        *_, last = snn.simulate(images, (9,))
    loop = PlainLoop(snn)
    for _ in range(2):  # a second run starts anew
        torch.testing.assert_close(loop(images, 9), last.output)


def test_the_loop_leaves_the_converted_network_alone(network, images):
    snn = convert(network, "opi", images)
    before = list(snn.simulate(images, (4,)))[-1].output
    PlainLoop(snn)(images, 4)
    torch.testing.assert_close(list(snn.simulate(images, (4,)))[-1].output, before)


def row(**ratios):
    seconds = {LOOP: 2.0, "ANN": 0.1} | {name: 2.0 / ratio for name, ratio in ratios.items()}
    return Row("net", "opi", 4, 16, seconds, {})


@pytest.mark.parametrize("noise", [0.85, 1.0])
@pytest.mark.parametrize(
    ("simulator", "times_slower"), [("float32", 1), ("int16", 1), ("int8", 1), ("uncompiled", 1.3)]
)
def test_a_simulator_is_behind_where_it_is_slower_than_allowed_by_more_than_noise(
    simulator, times_slower, noise
):
    """Precisions as fast as the loop; uncompiled, the loop may be 1.3 times as fast."""
    allowed = noise / times_slower
    others = {"float32": 3.0, "int16": 3.0, "int8": 3.0, "uncompiled": 3.0}
    assert behind([row(**others | {simulator: 1.01 * allowed})], noise) == []
    (line,) = behind([row(**others | {simulator: 0.99 * allowed})], noise)
    assert f"net, opi, 4 images, {simulator}: {0.99 * allowed:.2f} times" in line


def test_every_simulator_of_a_row_is_judged():
    slow = row(float32=0.1, int16=0.1, int8=2.0, uncompiled=0.1)
    assert [line.split(", ")[3].split(":")[0] for line in behind([slow, slow])] == [
        "float32",
        "int16",
        "uncompiled",
    ] * 2


@pytest.mark.parametrize("slow", [True, False])
def test_the_check_measures_the_uncompiled_simulator_and_fails_where_it_is_behind(monkeypatch, slow):
    asked = []

    def measured(work, recipe, time_steps, rounds, precisions, uncompiled, others):
        asked.append((uncompiled, others))
        return row(float32=2.0, uncompiled=0.3 if slow else 0.9)

    monkeypatch.setattr("benchmarks.speed.__main__.row_of", measured)
    done = CliRunner().invoke(main, ["--check", "--network", "small_vit"])
    assert done.exit_code == slow, done.output
    assert ("behind: net" in done.output) == slow
    assert set(asked) == {(True, False)}


def test_only_what_took_part_is_judged():
    assert behind([Row("net", "opi", 4, 16, {}, {}, "it does not convert")]) == []
    assert row(int16=2.0).ratio("int8") is None


def test_the_geometric_mean_of_opposite_ratios_is_one():
    assert geometric_mean([4.0, 0.25]) == pytest.approx(1.0)


def test_a_network_is_measured_and_saved(tmp_path):
    target = tmp_path / "speed.json"
    arguments = ["--network", "small_vit", "--spikes", "tracking", "--spikes", "binary", "--images", "1"]
    arguments += [
        "--time-steps",
        "2",
        "--rounds",
        "1",
        "--precision",
        "float32",
        "--ours",
        "--save",
        str(target),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    tracking, binary = json.loads(target.read_text())["rows"]
    assert tracking["ratios"]["float32"] > 0
    assert tracking["refused"] is None
    assert "GELU" in binary["refused"]
    assert binary["ratios"] == {}
