import math

import pytest
import torch

from conversion import convert
from conversion.neurons import AdaptiveThreshold


def by_hand(neuron: AdaptiveThreshold, currents: list[float], v: float) -> list[float]:
    """The published equations, one number at a time, with the whole history of the membrane."""
    history, sent = [v], []
    for x in currents:
        u = v - sum(history) / len(history)
        z = neuron.alpha * u - 1 + neuron.k_a * math.log(1 + math.exp(u / neuron.k_i))
        z = neuron.membrane_gain * z + neuron.current_gain * math.exp(-x / neuron.c)
        theta = 1 / (1 + math.exp(-z))
        v += x
        spikes = min(max(math.floor(v / theta), 0), neuron.gamma)
        v -= theta * spikes
        history.append(v)
        sent.append(theta * spikes)
    return sent


@pytest.mark.parametrize(
    "neuron", [AdaptiveThreshold(), AdaptiveThreshold(2, 0.03, membrane_gain=1.0, current_gain=1.0)]
)
def test_neuron_follows_the_published_equations(neuron: AdaptiveThreshold, run, transient) -> None:
    current = transient(40, 10)
    spikes, _ = run(neuron, current, 0.2)
    for index in range(10):
        expected = by_hand(neuron, current[:, 0, index].tolist(), 0.2)
        assert spikes[:, 0, index].tolist() == pytest.approx(expected, abs=1e-9)


def test_threshold_rises_with_the_membrane_and_falls_with_the_current() -> None:
    neuron, steady = AdaptiveThreshold(), torch.zeros(1)
    habits = [float(neuron.threshold(steady, torch.tensor([u]))) for u in (-40.0, -1.0, 0.0, 1.0, 40.0)]
    assert habits == sorted(habits)
    assert 0 < habits[0] < 0.1
    assert 0.9 < habits[-1] <= 1
    assert neuron.threshold(torch.tensor([1.0]), steady) < neuron.threshold(steady, steady)
    assert neuron.threshold(torch.tensor([-1e6]), steady) == 1


def test_weak_input_fires_sooner_than_at_a_fixed_threshold(run) -> None:
    spikes, _ = run(AdaptiveThreshold(), torch.full((12, 1, 1), 0.25))
    assert 0 < spikes.flatten().nonzero()[0].item() < 3


def test_events_of_real_numbers_are_single_through_pooling_too(branchy, images, calibration) -> None:
    snn = convert(branchy, "msat", calibration)
    (readout,) = snn.simulate(images, (16,))
    units = snn.connectivity(images).units
    assert readout.activity.spikes.keys() == units.keys()
    for name, spikes in readout.activity.spikes.items():
        assert 0 < spikes <= 16 * len(images) * units[name]
