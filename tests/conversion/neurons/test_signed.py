import pytest
import torch

from conversion import convert, recipe_from
from conversion.neurons import Signed


class Ledger:
    """One signed neuron, spike by spike: how much is owed is found by taking back one at a time."""

    def __init__(self, v: float, gamma: int, lower: float, back: int) -> None:
        self.v, self.gamma, self.lower, self.back, self.memory = v, gamma, lower, back, 0

    def owes(self) -> bool:
        return self.memory > 0 and (self.v < 0 if self.lower == 0 else self.v <= self.lower)

    def __call__(self, current: float) -> float:
        self.v += current
        sent = 0
        while self.v >= 1 and sent < self.gamma:
            self.v, sent, self.memory = self.v - 1, sent + 1, self.memory + 1
        while sent <= 0 and sent > -self.back and self.owes():
            self.v, sent, self.memory = self.v + 1, sent - 1, self.memory - 1
        return float(sent)


@pytest.mark.parametrize(("gamma", "back"), [(1, 1), (3, 1), (1, 2), (4, 5)])
@pytest.mark.parametrize("lower", [-1.0, -0.5, -1e-3, 0.0])
def test_neuron_equals_taking_back_one_spike_at_a_time(
    gamma: int, back: int, lower: float, run, transient
) -> None:
    # Quarters are exact in binary, and membranes often lie exactly on a threshold.
    current = (4 * transient(60, 20)).round() / 4
    spikes, v = run(Signed(gamma, lower, back), current, 0.5)
    assert spikes.min() == -back
    for image in range(2):
        for index in range(20):
            alone = Ledger(0.5, gamma, lower, back)
            assert spikes[:, image, index].tolist() == [alone(x) for x in current[:, image, index].tolist()]
            assert v[image, index].item() == alone.v


@pytest.mark.parametrize("lower", [-1.0, -0.25, 0.0])
def test_no_more_is_taken_back_than_was_sent(lower: float, run, transient) -> None:
    spikes, _ = run(Signed(2, lower, 4), transient(100, 200))
    sent = spikes.cumsum(0)
    assert (spikes < 0).any()
    assert sent.min() == 0


def test_what_is_left_over_is_never_owed_and_sent_at_once(run, transient) -> None:
    # After a step, a membrane at or below `lower` means that nothing is left to take back.
    neuron = Signed(20, -0.5, 20)
    spikes, v = run(neuron, transient(50, 200))
    owing = v <= -0.5
    assert owing.any()
    assert torch.equal(spikes.sum(0)[owing], torch.zeros(int(owing.sum()), dtype=torch.float64))


def test_higher_thresholds_take_back_earlier(run) -> None:
    current = torch.tensor([1.0, 0.0, -0.25, -0.25, -0.25, -0.25, 0.0]).view(-1, 1, 1)
    when = {}
    for lower in (0.0, -0.25, -0.5, -1.0):
        spikes, _ = run(Signed(1, lower), current)
        when[lower] = spikes.flatten().tolist().index(-1.0)
    # At 0, strictly below: an empty membrane owes nothing.
    assert when == {0.0: 2, -0.25: 2, -0.5: 3, -1.0: 5}


def test_preset_takes_thresholds_from_channel_maxima(branchy, images, calibration) -> None:
    recipe = recipe_from("snm")
    assert recipe.neuron == Signed(1, -1.0, 1)
    snn = convert(branchy, recipe, calibration)
    assert snn.thresholds["stem.2"].shape == (1, 6, 1, 1)
    with torch.no_grad():
        assert torch.equal(
            snn.thresholds["stem.2"].flatten(), branchy.stem(calibration).amax((0, 2, 3)).float()
        )
        expected = branchy(images)
    errors = [float((r.output - expected).norm()) for r in snn.simulate(images, (8, 256))]
    assert errors[1] < errors[0] / 4
