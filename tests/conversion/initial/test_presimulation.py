"""Steps before the read-out against loops over single neurons, written from the papers' rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from conversion import RecipeError, convert
from conversion.graph.activations import QCFS
from conversion.initial import Offset, Residual
from conversion.neurons import Burst, IntegrateAndFire, Neuron, Signed, SpikeCalibrated

Train = list[float]


def run(currents: Sequence[float], v: float) -> tuple[Train, float]:
    """One integrate-and-fire neuron: its spikes and the membrane that is left."""
    spikes = []
    for current in currents:
        v += current
        spikes.append(1.0 if v >= 1 else 0.0)
        v -= spikes[-1]
    return spikes, v


def corrected_start(currents: Sequence[float], v0: float) -> float:
    """Hao et al. 2023 (ICLR), one round."""
    v, at_spikes, after_silence, sent = v0, [], [], 0
    for current in currents:
        v += current
        if v >= 1:
            at_spikes.append(v)
            v -= 1
            sent += 1
        else:
            after_silence.append(v)
    if v < 0 and sent > 0:
        return v0 - max(1.0, min(at_spikes) - 0.999)
    if v >= 1 and after_silence:
        return v0 + max(1.0, 1.001 - max(after_silence))
    return v0


class Mlp(nn.Module):
    """Three dense layers of neurons between images and outputs, with strong weights of both signs."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [6, 9, 9, 7]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.activations = nn.ModuleList(QCFS(4, ceiling) for ceiling in (0.8, 1.1, 0.9))
        self.last = nn.Linear(7, 3)
        for layer in self.hidden:
            nn.init.normal_(layer.weight, 0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        for layer, activation in zip(self.hidden, self.activations, strict=True):
            x = activation(layer(x))
        return self.last(x)


@pytest.fixture
def mlp() -> Mlp:
    return Mlp().double().eval()


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(5, 6, dtype=torch.float64)


Neurons = Callable[[int, int, Train], Train]  # (layer, neuron, currents over time) -> spikes


def simulate(mlp: Mlp, image: list[float], steps: int, neurons: Neurons) -> Tensor:
    """Mean output, [3]; every layer's whole spike trains before the next layer."""
    trains = [[value] * steps for value in image]  # [inputs][steps]
    for index, (layer, activation) in enumerate(zip(mlp.hidden, mlp.activations, strict=True)):
        threshold = float(activation.ceiling)
        drive = layer.weight @ torch.tensor(trains, dtype=torch.float64) + layer.bias[:, None]
        rows = (drive / threshold).tolist()
        trains = [[threshold * s for s in neurons(index, i, row)] for i, row in enumerate(rows)]
    out = mlp.last.weight @ torch.tensor(trains, dtype=torch.float64) + mlp.last.bias[:, None]
    return out.mean(1).detach()


@pytest.mark.parametrize("tau", [1, 4, 7])
def test_residual_by_the_rule(tau: int, mlp: Mlp, inputs: Tensor) -> None:
    snn = convert(mlp, {"preset": "srp", "initial": {"tau": tau}}, inputs)
    times = (1, 2, 5, 9)
    found = {readout.t: readout for readout in snn.simulate(inputs, times)}
    silenced = 0
    for image, values in enumerate(inputs.tolist()):
        gates: dict[tuple[int, int], float] = {}

        def first(layer: int, neuron: int, currents: Train) -> Train:
            spikes, left = run(currents, 0.5)
            gates[layer, neuron] = 1.0 if left > 1e-3 else 0.0  # noqa: B023
            return spikes

        def second(layer: int, neuron: int, currents: Train) -> Train:
            return [gates[layer, neuron] * s for s in run(currents, 0.5)[0]]  # noqa: B023

        simulate(mlp, values, tau, first)
        silenced += sum(gate == 0 for gate in gates.values())
        for t in times:
            expected = simulate(mlp, values, t, second)
            torch.testing.assert_close(found[t].output[image], expected)
    assert 0 < silenced < len(inputs) * 25
    assert all(readout.t_total == tau + t for t, readout in found.items())


@pytest.mark.parametrize("rho", [1, 4, 8])
def test_offset_by_the_rule(rho: int, mlp: Mlp, inputs: Tensor) -> None:
    snn = convert(mlp, {"preset": "cos", "initial": {"rho": rho}}, inputs)
    times = (1, 3, 8)
    found = {readout.t: readout for readout in snn.simulate(inputs, times)}
    moved = 0
    for image, values in enumerate(inputs.tolist()):
        starts: dict[tuple[int, int], float] = {}

        def first(layer: int, neuron: int, currents: Train) -> Train:
            starts[layer, neuron] = corrected_start(currents, 0.5)  # noqa: B023
            return run(currents, starts[layer, neuron])[0]  # noqa: B023

        def second(layer: int, neuron: int, currents: Train) -> Train:
            return run(currents, starts[layer, neuron])[0]  # noqa: B023

        simulate(mlp, values, rho, first)
        moved += sum(start != 0.5 for start in starts.values())
        for t in times:
            torch.testing.assert_close(found[t].output[image], simulate(mlp, values, t, second))
    assert moved > 0 or rho == 1
    assert all(readout.t_total == rho + t for t, readout in found.items())


@pytest.mark.parametrize("rounds", [1, 2, 3, 8])
def test_every_round_brings_the_count_one_nearer_to_that_of_even_input(rounds: int) -> None:
    rho, count = 8, 4000
    currents = torch.randn(rho, 1, count, dtype=torch.float64) * 1.5 + 0.4
    target = (currents.sum(0) + 0.5).floor().clamp(0, rho)
    neuron, start = IntegrateAndFire(), {"v": torch.full((1, count), 0.5, dtype=torch.float64)}
    plain, _ = neuron.scan(currents, rho, start)
    spikes, state, factor = Offset(rho=rho, rounds=rounds).before(neuron, currents, rho, start)
    off_before, off_after = (plain.sum(0) - target).abs(), (spikes.sum(0) - target).abs()
    assert off_before.max() >= 3  # or the test would show nothing
    torch.testing.assert_close(off_after, (off_before - rounds).clamp(min=0))
    assert factor is None
    torch.testing.assert_close(neuron.scan(currents, rho, state)[0], spikes)
    right = off_before == 0
    assert torch.equal(state["v"][right], start["v"][right])


def test_offset_makes_an_unevenly_driven_network_exact_where_one_spike_is_off() -> None:
    """Trained levels and steps are both 4, so right counts mean the ANN's own activations."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(6, 8), QCFS(4, 1.0), nn.Linear(8, 8), QCFS(4, 1.0), nn.Linear(8, 3))
    network = network.double().eval()
    inputs = torch.randn(50, 6, dtype=torch.float64)
    errors = {}
    for recipe in ("qcfs", "srp", "cos"):
        (readout,) = convert(network, recipe, inputs).simulate(inputs, (4,))
        errors[recipe] = float((readout.output - network(inputs)).detach().abs().mean())
    assert errors["cos"] < 1e-9
    assert errors["cos"] < errors["srp"] < errors["qcfs"]


def test_silenced_neurons_never_spike_in_the_readout() -> None:
    currents = torch.tensor([[[1.0, 0.3]], [[-2.0, 0.3]]], dtype=torch.float64)  # [T, B, N]
    start = {"v": torch.full((1, 2), 0.5, dtype=torch.float64)}
    rule = Residual(tau=2)
    spikes, state, gate = rule.before(IntegrateAndFire(), currents, 2, start)
    assert spikes[:, 0].tolist() == [[1, 0], [0, 1]]
    assert gate.tolist() == [[0, 1]]
    assert torch.equal(state["v"], start["v"])


def test_rounds_count_as_steps(mlp: Mlp, inputs: Tensor) -> None:
    snn = convert(mlp, {"preset": "cos", "initial": {"rho": 3, "rounds": 4}}, inputs)
    (readout,) = snn.simulate(inputs, (5,))
    assert readout.t_total == 3 * 4 + 5


@pytest.mark.parametrize("rule", [Residual(), Offset(rounds=2)])
@pytest.mark.parametrize("neuron", [IntegrateAndFire(), Burst(3), Signed(), SpikeCalibrated()], ids=str)
def test_neurons_that_fit_keep_their_state_in_shape(rule: Offset, neuron: Burst) -> None:
    assert rule.accepts(neuron)
    currents = torch.randn(rule.steps, 2, 5)
    start = neuron.start(torch.full((2, 5), rule.value))
    spikes, state, _ = rule.before(neuron, currents, rule.steps, start)
    assert spikes.shape == currents.shape
    assert {key: value.shape for key, value in state.items()} == {k: v.shape for k, v in start.items()}


def test_a_neuron_of_ones_own_declares_that_its_membrane_can_be_judged() -> None:
    @dataclass(frozen=True)
    class Own(Neuron):
        name: ClassVar[str] = "own"

    class Judged(Own):
        @property
        def judged_by_membrane(self) -> bool:
            return True

    assert not Residual().accepts(Own())
    assert Residual().accepts(Judged())
    assert Offset().accepts(Judged())


@pytest.mark.parametrize("neuron", ["integer", "multi-threshold", "delay-spike"])
def test_neurons_whose_membrane_means_something_else_are_refused(neuron: str, mlp: Mlp) -> None:
    for preset in ("srp", "cos"):
        with pytest.raises(RecipeError, match=f"recipe '{preset}.*neuron '{neuron}'"):
            convert(mlp, {"preset": preset, "neuron": neuron}, torch.randn(4, 6, dtype=torch.float64))


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ({"name": "residual", "tau": 0}, "tau must be at least 1, got 0"),
        ({"name": "residual", "margin": 1.5}, "margin must be in"),
        ({"name": "residual", "fraction": -0.5}, "fraction must be in"),
        ({"name": "offset", "rho": 0}, "rho must be at least 1, got 0"),
        ({"name": "offset", "rounds": 0}, "rounds must be at least 1, got 0"),
        ({"name": "offset", "margin": 0.0}, "margin must be in"),
        ({"name": "offset", "fraction": 2.0}, "fraction must be in"),
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused(initial: dict, message: str, mlp: Mlp, inputs: Tensor) -> None:
    with pytest.raises(RecipeError, match=message):
        convert(mlp, {"preset": "opi", "initial": initial}, inputs)
