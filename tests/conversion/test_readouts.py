import pytest
import torch
from torch import Tensor, nn

from conversion import convert
from conversion.neurons import IntegrateAndFire
from conversion.plan.layer import SpikingLayer
from conversion.readouts import Delayed, Window, first_spike


@pytest.mark.parametrize(
    ("window", "starts"),
    [
        (Window(), {1: 0, 9: 0}),
        (Window(2.4, 4), {1: 0, 4: 0, 5: 1, 6: 2, 7: 2, 100: 2}),
        (Window(10, 1), {1: 0, 2: 1, 10: 9, 11: 10, 12: 10}),
    ],
    ids=str,
)
def test_windows(window: Window, starts: dict[int, int]) -> None:
    assert {t: window.start(t) for t in starts} == starts


def test_a_window_averages_exactly_its_steps(branchy, calibration, images) -> None:
    snn = convert(branchy, {"preset": "opi", "readout": "delayed"}, calibration)
    plain = {r.t: r for r in convert(branchy, "opi", calibration).simulate(images, range(1, 31))}
    delay = round(snn.window.delay)
    assert 1 <= delay < 25
    assert any(snn.window.start(t) == delay for t in range(1, 31))
    for readout in snn.simulate(images, range(1, 31), chunk=4):
        start = delay if readout.t >= delay + 4 else max(readout.t - 4, 0)
        charge = plain[readout.t].output * readout.t - (plain[start].output * start if start else 0)
        torch.testing.assert_close(readout.output, charge / (readout.t - start))
        assert readout.averaged == readout.t - start
        assert readout.t_total == readout.t
        assert readout.activity.spikes == plain[readout.t].activity.spikes


class Paths(nn.Module):
    """Neurons side by side: two in a row, and one; a constant input makes all of them constant."""

    def __init__(self) -> None:
        super().__init__()
        self.slow, self.slower, self.quick, self.last = nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.halve = nn.Linear(2, 2, bias=False)
        self.halve.weight.data = torch.eye(2) / 2

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.slower(self.halve(self.slow(x))) + self.quick(x))


def test_the_delay_is_that_of_the_fastest_neurons_on_the_slowest_path() -> None:
    images = torch.tensor([[1.0, 4.0], [3.0, 2.0]])  # means 2, 3; maxima 3, 4
    recipe = {"preset": "maxnorm", "scale": {"per_channel": True}, "readout": "delayed"}
    delay = convert(Paths(), recipe, images).window.delay
    # Every neuron needs max / mean steps: the second is fastest, 4/3. "last": [1.5, 6] and [4.5, 3].
    assert delay == pytest.approx(4 / 3 + 4 / 3 + 6 / 4.5)
    half_full = convert(Paths(), {**recipe, "initial": "fraction"}, images).window.delay
    assert half_full == pytest.approx(delay / 2)


def test_single_neurons_count_not_channels() -> None:
    network = nn.Sequential(nn.Identity(), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    images = torch.tensor([[[[0.0, 4.0], [0.0, 0.0]]], [[[0.0, 2.0], [1.0, 0.0]]]])  # fastest: mean 3
    snn = convert(network, {"preset": "maxnorm", "readout": "delayed"}, images)
    assert snn.window.delay == pytest.approx(4 / 3)
    assert snn.window.least == Delayed().least == 4


def test_silent_layers_and_potentials_of_single_neurons() -> None:
    def layer(threshold: Tensor, initial: Tensor) -> SpikingLayer:
        return SpikingLayer(IntegrateAndFire(), threshold, initial)

    two = torch.tensor([2.0, 6.0]).view(1, 2, 1, 1)
    assert first_spike(layer(two, torch.zeros(1)), torch.tensor([0.0, 0.0])) == 0.0
    assert first_spike(layer(two, torch.zeros(1)), torch.tensor([0.0, 3.0])) == pytest.approx(2.0)
    # One potential for each of 2 x 1 x 2 neurons: the fullest of a channel counts.
    initial = torch.tensor([[0.0, 0.5], [0.0, 0.75]]).view(1, 2, 1, 2)
    assert first_spike(layer(two, initial), torch.tensor([1.0, 3.0])) == pytest.approx(0.5)


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="least must be at least 1"):
        Delayed(least=0)
