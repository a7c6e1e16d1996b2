"""Spikes that count less from step to step follow what has arrived as closely as their weights allow."""

from itertools import combinations_with_replacement

import pytest
import torch

from conversion.neurons import Burst, Shrinking
from conversion.neurons.shrinking import scaled


def halving(exponents: tuple[int, ...], signed: bool = True) -> tuple[float, ...]:
    return scaled(tuple(2.0**-exponent for exponent in exponents), signed)


NEURONS = [
    Shrinking(1, weights=halving((0, 1, 2, 3, 3))),
    Shrinking(1, weights=halving((0, 0, 1, 1, 1))),
    Shrinking(4, weights=halving((0, 2, 2, 5, 6))),
    Shrinking(3, signed=False, weights=halving((0, 1, 1, 2, 4), False)),
    Shrinking(1, signed=False, weights=scaled((1.0, 1.0, -0.5, 0.5, -0.25), False)),
]


def name_of(neuron: Shrinking) -> str:
    return f"{neuron.gamma}-{neuron.signed}-{[round(weight, 2) for weight in neuron.weights]}"


def counts_allowed(neuron: Shrinking, first: bool) -> list[int]:
    gamma = neuron.gamma
    if not neuron.signed:
        return list(range(gamma + 1))
    if first:  # a negative spike counts twice
        return sorted({*range(gamma + 1), *range(0, 2 * gamma + 1, 2)})
    return list(range(-gamma, gamma + 1))


@pytest.mark.parametrize("neuron", NEURONS, ids=name_of)
def test_every_step_sends_what_brings_it_nearest(neuron: Shrinking, run, transient) -> None:
    """Against trying every number of spikes, one neuron at a time."""
    current = transient(5, 40)
    spikes, _ = run(neuron, current, 0.5)
    for image in range(2):
        for index in range(40):
            arrived = sent = 0.0
            for step, weight in enumerate(neuron.weights):
                arrived += float(current[step, image, index])
                target = max(arrived, 0.0)
                least = min(abs(sent + n * weight - target) for n in counts_allowed(neuron, step == 0))
                sent += float(spikes[step, image, index])
                assert abs(sent - target) == pytest.approx(least, abs=1e-9)


@pytest.mark.parametrize("neuron", [one for one in NEURONS if one.signed], ids=name_of)
@pytest.mark.parametrize("settled", [1, 2, 3])
def test_settled_input_is_followed_within_the_closed_form(neuron, settled: int, run, transient) -> None:
    current = transient(5, 500)
    current[settled:] = 0
    spikes, _ = run(neuron, current, 0.5)
    target = current.sum(0).clamp(min=0)
    before = (spikes[:settled].sum(0) - target).abs()
    later = neuron.gamma * sum(neuron.weights[settled:])
    bound = torch.maximum(torch.full_like(before, neuron.weights[-1] / 2), before - later)
    assert ((spikes.sum(0) - target).abs() <= bound + 1e-9).all()
    assert (before > bound + 1e-9).any()  # there was something to correct


@pytest.mark.parametrize("exponents", list(combinations_with_replacement(range(3), 3)), ids=str)
@pytest.mark.parametrize("gamma", [1, 4])
def test_what_is_known_at_once_is_sent_to_half_the_last_weight(gamma: int, exponents, run) -> None:
    """Weights shrink by two or less for single spikes, and by four for bursts of four: no gaps."""
    most = {1: 1, 4: 2}[gamma]
    steps = [0]
    for exponent in exponents:
        steps.append(min(exponent, steps[-1] + most))
    weights = halving(tuple(steps))
    neuron = Shrinking(gamma, weights=weights, gains=(4, 0, 0, 0))
    z = torch.linspace(-1, gamma, 301, dtype=torch.float64).view(1, 1, -1)
    spikes, _ = run(neuron, z, 0.5, 4)
    assert ((spikes.sum(0) - 4 * z[0].clamp(min=0)).abs() <= weights[-1] / 2 + 1e-9).all()


@pytest.mark.parametrize("neuron", NEURONS, ids=name_of)
def test_the_largest_sum_is_gamma_t(neuron: Shrinking, run) -> None:
    spikes, _ = run(neuron, torch.full((5, 1, 1), 100.0, dtype=torch.float64), 0.5)
    assert float(spikes.sum()) == pytest.approx(5 * neuron.gamma)
    assert float(neuron.events(spikes).max()) == neuron.gamma


@pytest.mark.parametrize("gamma", [1, 3])
def test_equal_weights_without_a_sign_are_a_burst_neuron_that_starts_half_full(gamma, run, transient) -> None:
    current = transient(20, 50)
    spikes, _ = run(Shrinking(gamma, signed=False), current, 0.5)
    bursts, _ = run(Burst(gamma), current, 0.5)
    torch.testing.assert_close(spikes, bursts)


def test_a_negative_spike_of_the_first_step_counts_twice(run) -> None:
    neuron = Shrinking(4, weights=halving((0, 3)))
    first = neuron.weights[0]
    wanted = torch.tensor([0.0, 1.0, 4.0, 6.0, 8.0, 20.0], dtype=torch.float64) * first
    current = torch.stack([wanted, torch.zeros_like(wanted)])[:, None]
    spikes, _ = run(neuron, current, 0.5)
    torch.testing.assert_close(spikes[0, 0], torch.tensor([0, 1, 4, 6, 8, 8]).double() * first)
    assert neuron.events(spikes)[0, 0].tolist() == [0, 1, 4, 3, 4, 4]


def test_conservation(run, transient) -> None:
    neuron = NEURONS[2]
    current = transient(5, 50)
    spikes, v = run(neuron, current, 0.3)
    torch.testing.assert_close(current.sum(0), spikes.sum(0) + v - 0.3 * neuron.weights[-1])


def test_a_bias_of_a_step_is_a_current_of_that_step(run, transient) -> None:
    current, weights = transient(2, 3), halving((0, 2))
    table = torch.tensor([[0.5, -0.25, 1.0], [-1.0, 0.75, 0.0]], dtype=torch.float64)
    given, _ = run(Shrinking(2, weights=weights, bias=table.tolist()), current, 0.5)
    added, _ = run(Shrinking(2, weights=weights), current + table[:, None], 0.5)
    assert torch.equal(given, added)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 0}, "gamma must be at least 1, got 0"),
        ({"weights": (1.0, 0.0)}, "weights must not be 0"),
        ({"weights": (1.0, -0.5)}, "weights must be positive where spikes are signed"),
        ({"weights": (-1.0, 0.5), "signed": False}, "the first weight must be positive"),
        ({"weights": (1.0, 0.5), "gains": (2.0,)}, "gains must be as many as weights, got 1"),
        ({"weights": (1.0, 0.5), "bias": ((2.0,),)}, "bias must be as many as weights, got 1"),
        ({"weights": (1.0, 0.5), "bias": ((2.0,), (1.0, 1.0))}, "bias must have the same channels"),
    ],
)
def test_bad_parameters_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shrinking(**settings)


def test_another_number_of_steps_is_refused(run, transient) -> None:
    with pytest.raises(ValueError, match="fitted for 5 steps, got 4"):
        run(NEURONS[0], transient(4, 3), 0.5)
