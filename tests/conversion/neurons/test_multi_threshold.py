import pytest
import torch

from conversion import convert, recipe_from
from conversion.neurons import Burst, MultiThreshold


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_it_sends_what_a_burst_neuron_sends_in_fewer_events(levels: int, run, transient) -> None:
    current = transient(40, 100) * 2 ** (levels - 1)
    spikes, v = run(MultiThreshold(levels), current, 0.5)
    bursts, same = run(Burst(2**levels - 1), current, 0.5)
    assert torch.equal(spikes, bursts)
    assert torch.equal(v, same)
    events = MultiThreshold(levels).events(spikes)
    expected = [bin(int(s)).count("1") for s in spikes.flatten().tolist()]
    assert events.flatten().tolist() == expected
    assert events.max() == levels


def test_thresholds_fire_greedily(run, transient) -> None:
    # The largest threshold that fits, then the next, and so on, each at most once a step.
    current = transient(20, 10) * 3
    spikes, _ = run(MultiThreshold(3), current)
    v = torch.zeros(10, dtype=torch.float64)
    for t in range(20):
        v = v + current[t, 0]
        sent = torch.zeros_like(v)
        for level in (4, 2, 1):
            fits = (v >= level).double() * level
            v, sent = v - fits, sent + fits
        assert torch.equal(spikes[t, 0], sent)


def test_preset_is_accurate_in_one_step(branchy, images, calibration) -> None:
    assert recipe_from("hmt").neuron == MultiThreshold(8)
    with torch.no_grad():
        expected = branchy(images)
    snn = convert(branchy, "hmt", calibration)
    (readout,) = snn.simulate(images, (1,))
    assert (readout.output - expected).norm() < 0.05 * expected.norm()
    assert all(bool((layer.initial == 0.5).all()) for layer in snn.layers.values())
