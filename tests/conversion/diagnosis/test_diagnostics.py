"""Diagnoses of networks small enough to count their spikes by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from conversion import ConversionError, convert, diagnose
from conversion.diagnosis.error_parts import ErrorParts


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.weight.data = torch.tensor(weight)
    layer.bias.data = torch.tensor(bias)
    return layer


@pytest.fixture
def one_layer() -> nn.Module:
    """Passes the image on."""
    return nn.Sequential(linear([[1.0]], [0.0]), nn.ReLU(), nn.Linear(1, 1)).eval()


@pytest.fixture
def early() -> nn.Module:
    """Second layer: what the first neuron sends, less (and not less) twice what the second sends."""
    first, second = (
        linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]),
        linear([[1.0, -2.0], [1.0, 0.0]], [0.0, 0.0]),
    )
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(2, 1)).eval()


def test_constant_input_is_even_and_its_rate_rounded_down(one_layer):
    snn = convert(one_layer, "maxnorm", torch.tensor([[1.0]]))
    images = torch.tensor([[0.0], [0.125], [0.375], [0.625], [1.0]])
    (row,) = diagnose(one_layer, snn, images, [4]).rows
    # a t = 0, 0.5, 1.5, 2.5, 4 -> 0, 0, 1, 2, 4 spikes
    assert row.signed == ErrorParts(0, -3 * 0.125 / 5, 0, 0)
    assert row.absolute == ErrorParts(0, 3 * 0.125 / 5, 0, 0)
    assert (row.ann_mean, row.snn_mean) == (2.125 / 5, 1.75 / 5)
    assert row.relative_error == pytest.approx(math.sqrt(3 * 0.125**2 / (0.125**2 + 0.375**2 + 0.625**2 + 1)))
    assert row.rate == 7 / (5 * 4)
    assert row.saturated == 1 / 5
    assert (row.sin_neurons, row.sin_spikes) == (0, 0)


def test_half_a_threshold_on_the_membrane_rounds_to_the_nearest(one_layer):
    snn = convert(one_layer, "opi", torch.tensor([[1.0]]))
    images = torch.tensor([[0.0625], [0.1875], [0.4375], [0.5625]])
    (row,) = diagnose(one_layer, snn, images, [4]).rows
    # a t = 0.25, 0.75, 1.75, 2.25 -> 0, 1, 2, 2 spikes
    assert row.signed.quantisation == (-0.0625 + 0.0625 + 0.0625 - 0.0625) / 4
    assert row.absolute.quantisation == 0.0625
    assert row.absolute.unevenness == 0


@pytest.mark.parametrize(
    ("recipe", "reach"), [("maxnorm", 1.0), ({"preset": "burst", "scale": "maximum"}, 5.0)]
)
def test_what_lies_above_the_threshold_is_clipped(one_layer, recipe, reach):
    snn = convert(one_layer, recipe, torch.tensor([[1.0]]))
    images = torch.tensor([[7.0], [0.5 * reach]])
    (row,) = diagnose(one_layer, snn, images, [2]).rows
    assert row.signed.clipping == (reach - 7.0) / 2
    assert row.mean_error == row.signed.clipping
    assert row.saturated == 1 / 2


def test_a_silent_neuron_on_a_full_membrane_has_no_error(one_layer):
    snn = convert(one_layer, {"preset": "opi", "initial": {"fraction": 1.0}}, torch.tensor([[1.0]]))
    (row,) = diagnose(one_layer, snn, torch.tensor([[-0.5]]), [4]).rows
    assert row.absolute == ErrorParts(0, 0, 0, 0)
    assert (row.relative_error, row.sin_neurons) == (0, 0)


def test_an_early_input_makes_a_silent_neuron_fire(early):
    """Inputs 1/2 and 1/4: spikes in steps 2 and 4 against one of weight -2 in step 4; the sum is 0."""
    snn = convert(early, "maxnorm", torch.tensor([[1.0, 0.0]]))
    diagnosis = diagnose(early, snn, torch.tensor([[0.5, 0.25]]), [4, 2])
    assert [(row.t, row.depth, row.layer) for row in diagnosis.rows] == [
        (2, 1, "1"),
        (2, 2, "3"),
        (4, 1, "1"),
        (4, 2, "3"),
    ]
    _, before = diagnosis.at(2)
    assert before.signed == ErrorParts(0, 0, 0.5 / 2, 0)  # the mean input of the first neuron is 1/2, not 0
    assert (before.sin_neurons, before.sin_spikes) == (1, 1 / 2)
    first, after = diagnosis.at(4)
    assert first.absolute == ErrorParts(0, 0, 0, 0)
    assert after.signed == ErrorParts(0, 0, 0, 0.25 / 2)  # the mean input is right by now, its timing was not
    assert (after.sin_neurons, after.sin_spikes) == (1, 1 / 3)
    assert after.mean_error == 0.25 / 2
    assert after.relative_error == 0.25 / 0.5


def test_a_spike_taken_back_is_no_error_but_still_a_spike(early):
    recipe = {"preset": "spicalib", "scale": "maximum", "neuron": {"gamma": 1, "allowance": 0}}
    snn = convert(early, recipe, torch.tensor([[1.0, 0.0]]))
    _, row = diagnose(early, snn, torch.tensor([[0.5, 0.25]]), [4]).rows
    assert row.absolute == ErrorParts(0, 0, 0, 0)
    assert (row.sin_neurons, row.sin_spikes) == (0, 2 / 4)


def test_a_layer_that_is_silent_in_the_ann_alone_has_an_infinite_error(early):
    early[2].weight.data[1] = early[2].weight.data[0]
    snn = convert(early, "maxnorm", torch.tensor([[1.0, 0.0]]))
    _, row = diagnose(early, snn, torch.tensor([[0.5, 0.25]]), [4]).rows
    assert row.relative_error == math.inf


@pytest.mark.parametrize("recipe", ["maxnorm", "opi", "burst", "spicalib"])
def test_parts_add_up_and_spikes_are_those_of_the_simulation(branchy, images, calibration, recipe):
    snn = convert(branchy, recipe, calibration)
    diagnosis = diagnose(branchy, snn, images, (3, 20))
    for readout in snn.simulate(images, (3, 20)):
        for row in diagnosis.at(readout.t):
            assert row.signed.total == pytest.approx(row.mean_error, abs=1e-13)
            assert row.mean_error == pytest.approx(row.snn_mean - row.ann_mean, abs=1e-13)
            assert abs(row.mean_error) <= row.absolute_error <= row.absolute.total + 1e-13
            sent = row.rate * row.t * row.neurons * len(images)
            assert sent == pytest.approx(readout.activity.spikes[row.layer])
    assert all(row.absolute.input > 0 and row.absolute.unevenness > 0 for row in diagnosis.at(20)[1:])
    first = diagnosis.at(20)[0]
    assert (first.absolute.input, first.absolute.unevenness) == pytest.approx((0, 0), abs=1e-13)


def test_activations_are_those_of_the_ann(branchy, images, calibration):
    means = {}
    for name in ("stem.2", "left.2", "side.1"):
        module = branchy.get_submodule(name)
        module.register_forward_hook(
            lambda _, __, out, name=name: means.update({name: float(out.detach().mean())})
        )
    snn = convert(branchy, "opi", calibration)
    found = {row.layer: row.ann_mean for row in diagnose(branchy, snn, images, [1]).rows}
    branchy(images)
    assert {name: found[name] for name in means} == pytest.approx(means)


def test_batches_and_chunks_make_no_difference(branchy, images, calibration):
    snn = convert(branchy, "spicalib", calibration)
    whole = diagnose(branchy, snn, images, (4, 20)).to_rows()
    pieces = diagnose(branchy, snn, images, (20, 4), batch_size=2, chunk=3).to_rows()
    assert [row["layer"] for row in whole] == [row["layer"] for row in pieces]
    for one, other in zip(whole, pieces, strict=True):
        del one["layer"], other["layer"]
        assert one == pytest.approx(other)


def test_rows_are_plain_values(early):
    snn = convert(early, "maxnorm", torch.tensor([[1.0, 0.0]]))
    row = diagnose(early, snn, torch.tensor([[0.5, 0.25]]), [4]).to_rows()[1]
    assert {type(value) for value in row.values()} == {str, int, float}
    assert row["unevenness_signed"] == row["unevenness"] == 0.25 / 2


def test_the_ann_is_left_as_it_was(branchy, images, calibration):
    snn = convert(branchy, "opi", calibration)
    branchy.train()
    before = {name: value.clone() for name, value in branchy.state_dict().items()}
    diagnose(branchy, snn, images, [2])
    assert branchy.training
    assert all(torch.equal(value, before[name]) for name, value in branchy.state_dict().items())


def test_what_cannot_be_compared_is_refused(one_layer, early):
    image = torch.tensor([[1.0]])
    snn = convert(one_layer, "opi", image)
    with pytest.raises(ConversionError, match="2 in the ANN, 1 in the spiking network"):
        diagnose(early, snn, torch.ones(1, 2), [4])
    with pytest.raises(ConversionError, match="'ptq' sends no spikes"):
        diagnose(one_layer, convert(one_layer, "ptq", image), image, [4])
    with pytest.raises(ValueError, match="no images"):
        diagnose(one_layer, snn, image[:0], [4])
    with pytest.raises(ValueError, match="time steps"):
        diagnose(one_layer, snn, image, [0])
    with pytest.raises(ValueError, match="batch size and chunk"):
        diagnose(one_layer, snn, image, [4], batch_size=0)


def test_a_plot_is_as_wide_as_the_network_is_deep(early, tmp_path):
    layers = [layer for _ in range(50) for layer in (linear([[1.0]], [0.25]), nn.ReLU())]
    deep = nn.Sequential(*layers, nn.Linear(1, 1)).eval()
    widths = []
    for network, image in ((early, torch.tensor([[1.0, 0.0]])), (deep, torch.tensor([[1.0]]))):
        path = tmp_path / f"{len(widths)}.png"
        diagnose(network, convert(network, "opi", image), image, (2, 4)).plot(path)
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        widths.append(int.from_bytes(content[16:20], "big"))
    assert widths[1] > 1.5 * widths[0]


def test_a_plot_needs_a_known_format(early, tmp_path):
    image = torch.tensor([[1.0, 0.0]])
    diagnosis = diagnose(early, convert(early, "opi", image), image, [2])
    for name in ("errors", "errors.doc"):
        with pytest.raises(ValueError, match="the suffix must be one of"):
            diagnosis.plot(tmp_path / name)
    assert not list(tmp_path.iterdir())


class NeedsItsImages(nn.Module):
    """Sizes in its code, images on another axis for a while, and neurons on a tensor [B]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        batch, channels, height, width = x.size()
        assert channels % 2 == 0
        x = x.reshape(batch * channels // 2, 2, height * width).permute(1, 0, 2)
        x = x.reshape(2, -1, channels // 2, height, width)[0]
        return torch.relu(self.head(x.mean((2, 3)))[:, 0] + 1)


@pytest.mark.parametrize("pooling", ["gate", "before-neuron"])
def test_every_network_that_converts_can_be_diagnosed(pooling: str) -> None:
    torch.manual_seed(0)
    network, images = NeedsItsImages().eval(), torch.randn(6, 3, 4, 4)
    snn = convert(network, {"preset": "opi", "pooling": pooling}, images)
    diagnosis = diagnose(network, snn, images, time_steps=(4, 64))
    assert [row.layer for row in diagnosis.at(64)] == list(snn.thresholds)


def test_activations_beyond_relu_have_errors_that_fall_with_time() -> None:
    torch.manual_seed(0)
    ann = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 4)
    )
    images = torch.randn(6, 3, 6, 6)
    snn = convert(ann.eval(), "tracking", images)
    found = diagnose(ann, snn, images, (2, 64))
    for early, late in zip(found.at(2), found.at(64), strict=True):
        assert late.relative_error < early.relative_error / 4
        parts = [getattr(late.absolute, name) for name in late.absolute.__dataclass_fields__]
        assert sum(parts) < 0.2 * late.ann_mean
