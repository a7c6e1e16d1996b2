import pytest
import torch

from conversion.neurons import Burst, TemporalWeight, TimestepCompression


@pytest.mark.parametrize("last", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("steps", [2, 4, 9])
def test_thresholds_are_geometric_and_one_on_average(last: float, steps: int) -> None:
    thresholds = TimestepCompression(4, last).thresholds(steps)
    assert float(thresholds.mean()) == pytest.approx(1)
    assert float(thresholds[-1] / thresholds[0]) == pytest.approx(last)
    ratios = thresholds[1:] / thresholds[:-1]
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios))
    assert TimestepCompression(4, last).thresholds(1).tolist() == [1]


def test_with_equal_thresholds_it_is_a_burst_neuron(run, transient) -> None:
    current = transient(30, 50)
    spikes, v = run(TimestepCompression(3, 1.0), current, 0.5)
    bursts, same = run(Burst(3), current, 0.5)
    assert torch.equal(spikes, bursts)
    assert torch.equal(v, same)


def test_one_micro_step_and_halves_are_the_weights_of_binary_coding(run) -> None:
    # All input in the first step leaves nothing to wait for: both neurons spell the same digits.
    current = torch.zeros(6, 1, 40, dtype=torch.float64)
    current[0] = 6 * torch.rand(1, 40, dtype=torch.float64)
    one, _ = run(TimestepCompression(1, 1 / 32), current, 0.5)
    other, _ = run(TemporalWeight(), current, 0.5)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("last", [0.125, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 4, 12])
def test_steady_input_is_sent_to_within_half_the_last_threshold(last: float, steps: int, run) -> None:
    neuron = TimestepCompression(8, last)
    z = torch.linspace(0, 1, 101, dtype=torch.float64).view(1, 1, -1)
    spikes, _ = run(neuron, z, 0.5, steps)
    finest = float(neuron.thresholds(steps)[-1])
    assert ((spikes.sum(0) - z[0] * steps).abs() <= finest / 2 + 1e-9).all()
    counts = neuron.events(spikes)
    torch.testing.assert_close(counts * neuron.thresholds(steps).view(-1, 1, 1), spikes)
    assert counts.max() <= 8
