import copy

import pytest
import torch
from torch import Tensor, nn

from conversion import convert
from conversion.neurons.quantiser import Quantiser, quantise_activation, quantise_weight


def rounded_weights(network: nn.Module, bits: int = 8) -> nn.Module:
    """Copy whose weights are whole multiples of 1 / 127 of the largest one of their output channel."""
    twin = copy.deepcopy(network)
    for layer in twin.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            channels = (
                layer.weight.data.transpose(0, 1)
                if layer.__class__ is nn.ConvTranspose2d
                else layer.weight.data
            )
            for channel in channels:
                step = channel.abs().max() / (2 ** (bits - 1) - 1)
                channel.copy_(torch.round(channel / step) * step)
    return twin


@pytest.fixture
def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(6, 5, 2, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(320, 4),
    ).double()


def test_activation_is_rounded_to_levels_and_clipped() -> None:
    z = torch.tensor([-1.0, 0.0, 0.24, 0.26, 0.74, 0.76, 1.9, 2.0, 9.0])
    assert quantise_activation(z, torch.tensor(2.0), 4).tolist() == [0, 0, 0, 0.5, 0.5, 1.0, 2.0, 2.0, 2.0]
    fine = torch.rand(100, dtype=torch.float64)
    torch.testing.assert_close(quantise_activation(fine, torch.tensor(1.0), 2**22), fine, rtol=0, atol=2**-22)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("axis", [0, 1])
def test_weights_are_symmetric_integers_of_one_scale_a_channel(bits: int, axis: int) -> None:
    weight = torch.randn(5, 4, 3, 3, dtype=torch.float64)
    rounded = quantise_weight(weight, bits, axis)
    top = 2 ** (bits - 1) - 1
    for before, after in zip(weight.transpose(0, axis), rounded.transpose(0, axis), strict=True):
        step = before.abs().max() / top
        integers = after / step
        torch.testing.assert_close(integers, integers.round())
        assert integers.abs().max().round() == top
        assert (after - before).abs().max() <= step / 2 * (1 + 1e-9)
    assert torch.equal(quantise_weight(torch.zeros(2, 3), bits), torch.zeros(2, 3))


def test_with_all_levels_it_is_the_ann_with_rounded_weights(plain) -> None:
    images = torch.randn(16, 3, 8, 8, dtype=torch.float64)
    expected = rounded_weights(plain)(images).detach()
    exact = plain(images).detach()
    snn = convert(plain, "ptq", images)
    coarse, fine, beyond = [readout.output for readout in snn.simulate(images, (2, 255, 4000))]
    error = (fine - expected).norm() / expected.norm()
    assert error < 5e-3
    assert error < (coarse - expected).norm() / expected.norm() / 20
    assert (fine - expected).norm() < (fine - exact).norm() * 2
    assert torch.equal(fine, beyond)  # 8 bits at most


def test_more_levels_are_better(branchy, images, calibration) -> None:
    snn = convert(branchy, "ptq", calibration)
    expected = branchy(images)
    errors = [(r.output - expected).norm().item() for r in snn.simulate(images, (1, 4, 16, 64, 255))]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("levels", [1, 3, 15])
def test_activations_take_one_value_more_than_levels(levels: int) -> None:
    ann = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 1))
    images = torch.randn(30, 3, 8, 8)
    snn = convert(ann, "ptq", images)
    seen: list[Tensor] = []
    snn.connectivity(images)
    snn.captured.get_submodule("2").register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    list(snn.simulate(images, (levels,)))
    (activations,) = seen
    distinct = [channel.unique().numel() for channel in activations.transpose(0, 1)]
    assert max(distinct) == levels + 1
    assert len(distinct) == 6


def test_weights_of_the_ann_stay(plain) -> None:
    before = copy.deepcopy(plain.state_dict())
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    snn = convert(plain, {"preset": "ptq", "neuron": {"weight_bits": 3}}, images)
    assert all(torch.equal(value, before[key]) for key, value in plain.state_dict().items())
    twin = rounded_weights(plain, 3)
    for name in ("0", "3", "6"):
        layer = snn.captured.get_submodule(name)
        torch.testing.assert_close(layer.weight.data, twin.get_submodule(name).weight.data)
        assert torch.equal(layer.bias, plain.get_submodule(name).bias)


def test_nothing_spikes(plain) -> None:
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    snn = convert(plain, "ptq", images)
    for readout, t in zip(snn.simulate(images, (8, 2)), (2, 8), strict=True):
        assert (readout.t, readout.t_total) == (t, t)
        assert readout.activity.spikes == {}
        assert readout.activity.synops == {"0": 0.0, "3": 0.0, "6": 0.0}
    with pytest.raises(ValueError, match="time steps must be positive whole numbers"):
        list(snn.simulate(images, (0,)))


@pytest.mark.parametrize(
    "settings", [{"max_levels": 0}, {"max_levels": 256}, {"weight_bits": 1}, {"weight_bits": 9}]
)
def test_bad_parameters_are_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Quantiser(**settings)


def test_pictures_of_it_do_not_call_it_spiking(plain) -> None:
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    assert convert(plain, "ptq", images).title(4) == "quantised ANN, 4 levels"
    assert convert(plain, "ptq", images).title(1000) == "quantised ANN, 255 levels"
    assert convert(plain, "opi", images).title(4) == "SNN, t = 4"
