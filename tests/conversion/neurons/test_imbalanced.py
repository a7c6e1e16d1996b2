import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import RecipeError, convert
from conversion.diagnosis.diagnostics import diagnose
from conversion.neurons import ImbalancedThreshold


@pytest.mark.parametrize("slope", [0.5, 0.25, 0.1])
def test_rate_is_the_leaky_relu_rounded_towards_zero(slope: float, run) -> None:
    z = torch.linspace(-1 / slope, 1, 301, dtype=torch.float64)
    spikes, _ = run(ImbalancedThreshold(slope), z.view(1, 1, -1), steps=64)
    wanted = torch.where(z > 0, z, slope * z)
    rate = spikes.mean(0)[0]
    assert (rate.abs() <= wanted.abs() + 1e-9).all()
    assert ((wanted - rate).abs() <= 1 / 64 + 1e-9).all()
    assert spikes.unique().tolist() == [-1, 0, 1]


def test_charge_is_conserved_with_unequal_spikes(run, transient) -> None:
    current = transient(80, 50)
    spikes, v = run(ImbalancedThreshold(0.25), current, 0.3)
    up, down = (spikes > 0).sum(0), (spikes < 0).sum(0)
    assert down.any()
    torch.testing.assert_close(current.sum(0), up - 4.0 * down + v - 0.3)


def test_without_slope_it_is_integrate_and_fire(run, transient, scalar_neuron) -> None:
    current = transient(40, 10)
    spikes, _ = run(ImbalancedThreshold(), current)
    alone = scalar_neuron()
    assert spikes[:, 1, 3].tolist() == [alone(x) for x in current[:, 1, 3].tolist()]


class Leaky(nn.Module):
    """Leaky and plain ReLUs, as modules, functions and in place, one of them read before it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.leaky, self.head = nn.LeakyReLU(0.1, inplace=True), nn.Linear(256, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.leaky(self.first(x))
        y = F.leaky_relu(self.second(x), 0.25, inplace=True)
        y = F.max_pool2d(y + F.relu(x), 2)
        return self.head(y.flatten(1))


IBT = {"preset": "spiking-yolo", "initial": "fraction", "pooling": "lateral-inhibition"}


@pytest.fixture
def leaky() -> nn.Module:
    return Leaky().eval()


def test_network_with_leaky_relu_approaches_its_ann(leaky) -> None:
    images = torch.randn(12, 3, 8, 8)
    snn = convert(leaky, IBT, images)
    slopes = {name: layer.neuron.slope for name, layer in snn.layers.items()}
    assert slopes == {"leaky": 0.1, "leaky_relu": 0.25, "relu": 0.0}
    with torch.no_grad():
        expected = leaky(images)
    errors = [float((r.output - expected).norm() / expected.norm()) for r in snn.simulate(images, (16, 512))]
    assert errors[1] < min(0.005, errors[0] / 8)


def test_only_layers_with_a_slope_send_negative_values() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 8, 1), nn.ReLU())
    images = torch.randn(6, 3, 4, 4)
    for length, negative in ((2, True), (4, False)):
        snn = convert(network[:length], IBT, images)
        (readout,) = snn.simulate(images, (64,))
        assert bool((readout.output < 0).any()) == negative


def test_thresholds_cover_both_signs() -> None:
    # A channel that is nearly always negative: its threshold must reach what it sends.
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.LeakyReLU(0.5))
    nn.init.ones_(network[0].weight)
    nn.init.zeros_(network[0].bias)
    images = torch.tensor([-8.0, -2.0, 1.0]).view(3, 1, 1, 1)
    snn = convert(network, "spiking-yolo", images)
    assert snn.thresholds["1"].item() == 4
    (readout,) = snn.simulate(images, (64,))
    assert readout.output.flatten().tolist() == [-4, -1, 1]


@pytest.mark.parametrize("recipe", ["opi", "burst", "spicalib"])
def test_neurons_that_cannot_be_negative_are_refused_with_the_way_out(recipe: str, leaky) -> None:
    with pytest.raises(
        RecipeError,
        match=r"layer 'leaky' \(torch.nn.LeakyReLU, slope 0.1\); use recipe dcgs, .*, spiking-yolo, ",
    ):
        convert(leaky, recipe, torch.randn(2, 3, 8, 8))


def test_quantised_ann_rounds_both_signs(leaky) -> None:
    images = torch.randn(12, 3, 8, 8)
    with torch.no_grad():
        expected = leaky(images)
    first, last = convert(leaky, "ptq", images).simulate(images, (2, 255))
    assert (last.output - expected).norm() < 0.02 * expected.norm()
    assert (first.output - expected).norm() > 4 * (last.output - expected).norm()


def test_diagnosis_of_exact_input_sees_quantisation_alone(leaky) -> None:
    images = torch.randn(12, 3, 8, 8)
    rows = diagnose(leaky, convert(leaky, IBT, images), images, (128,)).rows
    first, second, plain = rows
    for row in rows:
        assert row.signed.total == pytest.approx(row.mean_error, abs=1e-9)
        assert row.absolute.clipping == 0
        assert row.absolute.quantisation > 0
    for row in (first, plain):  # the image reaches them without any spike on the way
        assert row.absolute.input == 0
        assert row.absolute.unevenness < 1e-3 * row.absolute.quantisation
    assert second.absolute.input > 0
    assert first.ann_mean < plain.ann_mean
    assert first.snn_mean == pytest.approx(first.ann_mean, abs=2 / 128 * first.threshold)
