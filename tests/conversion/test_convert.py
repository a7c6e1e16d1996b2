import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from conversion import (
    CalibrationError,
    ConversionError,
    Converted,
    RecipeError,
    convert,
    recipe_from,
    recipe_names,
)
from conversion.exits.network import EarlyExit
from conversion.fit import PerLength
from conversion.neurons import Burst
from conversion.neurons.quantiser import Quantiser

ANY_ANN = [name for name in recipe_names() if not recipe_from(name).retrains]


def thresholds_of(ann: nn.Module, calibration) -> list[float]:
    return [float(value) for value in convert(ann, "maxnorm", calibration).thresholds.values()]


def test_calibration_in_any_form_gives_the_same_thresholds(branchy, calibration) -> None:
    expected = thresholds_of(branchy, calibration)
    labels = torch.zeros(len(calibration))
    batches = list(calibration.split(16))
    assert thresholds_of(branchy, batches) == pytest.approx(expected)
    assert thresholds_of(branchy, (batch for batch in batches)) == pytest.approx(expected)
    assert thresholds_of(branchy, [(batch, 0) for batch in batches]) == pytest.approx(expected)
    loader = DataLoader(TensorDataset(calibration, labels), batch_size=16, shuffle=True)
    assert thresholds_of(branchy, loader) == pytest.approx(expected)
    assert thresholds_of(branchy, calibration[:1]) != pytest.approx(expected)


def test_maxnorm_thresholds_are_the_largest_activations(branchy, calibration) -> None:
    found = convert(branchy, "maxnorm", calibration).thresholds
    largest = {}
    for name, module in branchy.named_modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(
                lambda module, args, output, name=name: largest.update({name: output.max().item()})
            )
    branchy(calibration)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(largest)


@pytest.mark.parametrize("calibration", [(), [], torch.empty(0, 3, 8, 8)], ids=["tuple", "list", "tensor"])
def test_no_calibration_images_are_refused(calibration, branchy) -> None:
    with pytest.raises(CalibrationError, match=r"no calibration images: pass a tensor \[B, C, H, W\]"):
        convert(branchy, "opi", calibration)
    with pytest.raises(CalibrationError, match="no calibration images"):
        convert(branchy, "opi")


@pytest.mark.parametrize("preset", ANY_ANN)
def test_ann_is_untouched_and_trainable(preset: str, branchy, calibration, images) -> None:
    branchy.train()
    branchy.head.eval()
    before = copy.deepcopy(branchy.state_dict())
    modes = [module.training for module in branchy.modules()]
    snn = convert(branchy, preset, calibration)
    list(snn.simulate(images, (4,)))
    assert all(torch.equal(value, before[key]) for key, value in branchy.state_dict().items())
    assert [module.training for module in branchy.modules()] == modes
    assert branchy.joined.inplace
    loss = branchy(images).square().sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in branchy.parameters())
    torch.optim.SGD(branchy.parameters(), 0.1).step()
    shared = {p.data_ptr() for p in branchy.parameters()} & {p.data_ptr() for p in snn.parameters()}
    assert not shared


def test_calibration_images_are_left_as_they_are(calibration) -> None:
    ann = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 1)).double()
    kept = calibration.clone()
    snn = convert(ann, "opi", calibration)
    list(snn.simulate(calibration, (3,)))
    assert torch.equal(calibration, kept)


@pytest.mark.parametrize("preset", ANY_ANN)
def test_report_tells_what_became_of_every_operation(preset: str, branchy, calibration) -> None:
    snn = convert(branchy, preset, calibration)
    became = {entry.name: entry.became for entry in snn.report}
    assert isinstance(snn, Converted)
    assert became["stem.0"] == "kept (weighted)"
    assert became["add"] == "kept (sum)"
    assert became["cat"] == "kept (routing)"
    assert became["average"] == "kept (spread)"
    if preset == "ptq":
        assert became["joined"] == "quantiser"
        assert became["pool"] == "kept (pooling)"
    else:
        if isinstance(snn, PerLength | EarlyExit):
            assert became["joined"] == f"{snn.recipe.neuron.name}, fitted for each number of time steps"
            snn = snn.at(3)
            became |= {entry.name: entry.became for entry in snn.report}
        low, high = snn.thresholds["joined"].aminmax()
        told = f"{float(low):.4g} to {float(high):.4g}" if high > low else f"{float(low):.4g}"
        assert became["joined"] == f"{snn.recipe.neuron.name}, threshold {told}"
        assert became["pool"] == f"{snn.recipe.pooling.name} pooling"
    assert str(snn.report[0]) == "stem.0: torch.nn.Conv2d -> kept (weighted)"
    assert not any("BatchNorm" in entry.operation for entry in snn.report)


def test_recipe_from_a_mapping(branchy, calibration) -> None:
    snn = convert(branchy, {"preset": "burst", "neuron": {"gamma": 10}}, calibration)
    assert snn.recipe.neuron == Burst(10)
    assert snn.recipe.label == "burst gamma=10"
    assert convert(branchy, "ptq", calibration).recipe.neuron == Quantiser()
    with pytest.raises(RecipeError, match="did you mean 'spicalib'"):
        convert(branchy, "spicalb", calibration)


def test_thresholds_per_channel(branchy, calibration) -> None:
    recipe = {"preset": "maxnorm", "scale": {"per_channel": True}}
    snn = convert(branchy, recipe, calibration)
    layer = convert(branchy, "maxnorm", calibration).thresholds
    for name, threshold in snn.thresholds.items():
        assert threshold.shape[0] == 1
        assert threshold.shape[2:] == (1, 1)
        assert threshold.max() == layer[name].max()
    assert snn.thresholds["stem.2"].shape == (1, 6, 1, 1)
    assert "threshold" in next(e.became for e in snn.report if e.name == "joined")


class Silent(nn.Module):
    """Channel 1 of the first ReLU and all of the second are silent on positive images."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1, 2, bias=False), nn.Linear(2, 3, bias=False)
        self.relu_a, self.relu_b = nn.ReLU(), nn.ReLU()
        self.a.weight.data = torch.tensor([[2.0], [-2.0]])
        nn.init.constant_(self.b.weight, -1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu_b(self.b(self.relu_a(self.a(x))))


def test_silent_channels_and_layers_get_a_usable_threshold() -> None:
    recipe = {"preset": "maxnorm", "scale": {"per_channel": True}}
    thresholds = convert(Silent(), recipe, torch.ones(4, 1)).thresholds
    assert thresholds["relu_a"].tolist() == [[2.0, 2.0]]
    assert thresholds["relu_b"].tolist() == [[1.0, 1.0, 1.0]]


def test_unusable_activations_name_the_layer(branchy, calibration) -> None:
    branchy.left[0].weight.data[0] = float("nan")
    with pytest.raises(CalibrationError, match=r"layer 'left\.2': activations .* NaN or infinite"):
        convert(branchy, "opi", calibration)


def ends_badly(kind: str) -> nn.Module:
    """A network whose layers of neurons are in order, and whose outputs are not."""
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.BatchNorm1d(2)).eval()
    with torch.no_grad():
        network[0].bias.fill_(1.0)
        if kind == "NaN":
            network[2].weight[0, 0] = float("nan")
        elif kind == "infinite":
            network[2].bias.fill_(float("inf"))
            network[3].bias.fill_(float("inf"))
        elif kind == "buffer":
            network[3].running_var.fill_(float("nan"))
        else:
            network[2].weight.fill_(3e38)
    return network


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("NaN", "so has '2.weight'; check the checkpoint"),
        ("infinite", "so has '2.bias' and 1 more of its tensors"),
        ("buffer", "so has '3.running_var'"),
        ("overflow", "its weights have none, so sums are beyond the largest number"),
    ],
)
@pytest.mark.parametrize("recipe", ["opi", "ptq", "spicalib"])
def test_outputs_that_are_not_finite_name_the_weights(kind: str, found: str, recipe: str) -> None:
    with pytest.raises(
        CalibrationError, match=f"outputs of Sequential .* NaN or infinite values, and {found}"
    ):
        convert(ends_badly(kind), recipe, torch.ones(4, 3))


class Sliced(nn.Module):
    """Layers of no weights: nothing of a layer is read, or nothing comes out."""

    def __init__(self, kept: int, classes: int, late: bool = True) -> None:
        super().__init__()
        self.conv, self.kept, self.late = nn.Conv2d(3, 4, 1), kept, late
        self.linear = nn.Linear(kept * 16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = torch.relu(x)[:, : self.kept] if self.late else torch.relu(x[:, : self.kept])
        return self.linear(x.flatten(1))


@pytest.mark.filterwarnings("ignore:Initializing zero-element", "ignore:these layers answer the same")
@pytest.mark.parametrize(("kept", "classes"), [(0, 5), (4, 0), (0, 0)])
@pytest.mark.parametrize("recipe", ["ptq", "opi", "burst", "ltb", "spikemark-binary"])
def test_layers_without_weights_answer_with_their_biases(recipe: str, kept: int, classes: int) -> None:
    torch.manual_seed(0)
    network, images = Sliced(kept, classes).eval(), torch.rand(3, 3, 4, 4)
    with torch.no_grad():
        expected = network(images)
    for readout in convert(network, recipe, images).simulate(images, (1, 4)):
        torch.testing.assert_close(readout.output, expected)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_layer_without_neurons_is_named() -> None:
    with pytest.raises(CalibrationError, match=r"layer 'relu': it has no neurons, .* shape \[3, 0, 4, 4\]"):
        convert(Sliced(0, 5, late=False).eval(), "opi", torch.rand(3, 3, 4, 4))


class Alias(nn.Module):
    """Changes a value in place through a view of other axes, which the graph does not show."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y.transpose(0, 1)[:2].relu_()
        return y


def test_a_graph_that_differs_from_the_network_is_refused() -> None:
    with pytest.raises(ConversionError, match="captured graph of Alias differs from the network by"):
        convert(Alias(), "opi", torch.randn(2, 3, 4, 4))


MIXING = {
    "mean": lambda x: x - x.mean(-4, keepdim=True),
    "cat": lambda x: torch.cat([x, x], -4),
    "repeat": lambda x: x.repeat(2, 1, 1, 1),
    "transpose": lambda x: x.transpose(dim0=0, dim1=1),
    "features": lambda x: x.flatten(1).sum(-2),
    "batch norm in training": lambda x: F.batch_norm(x, None, None, training=True),
}


@pytest.mark.parametrize("operation", MIXING.values(), ids=MIXING.keys())
def test_images_that_depend_on_each_other_are_refused(operation) -> None:
    class Mixing(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [torch.ones(1), operation(F.relu(x))]

    with pytest.raises(ConversionError, match="output for one image depends on the other images"):
        convert(Mixing(), "opi", torch.randn(2, 3, 4, 4))


def test_only_what_can_spike_is_counted_as_spiking(images) -> None:
    # The first pool passes on currents, the second one spikes.
    ann = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Conv2d(4, 2, 2)
    )
    ann = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), *ann).double()
    snn = convert(ann, "burst", images)
    (readout,) = snn.simulate(images, (10,))
    assert set(readout.activity.spikes) == set(snn.connectivity(images).units) == {"1", "4", "5"}


def test_converted_network_moves_and_calls_like_a_module(branchy, calibration, images) -> None:
    snn = convert(branchy, "opi", calibration)
    assert not snn.training
    assert not any(parameter.requires_grad for parameter in snn.parameters())
    (readout,) = snn.simulate(images, (32,))
    torch.testing.assert_close(snn(images, 32), readout.output)
    assert {name.partition("_")[0] for name, _ in snn.named_buffers() if "." not in name} == {
        "threshold",
        "initial",
    }


def test_a_sparse_layer_is_not_cut_off():
    """Where most activations are 0, a low percentile is 0; the largest activation takes its place."""

    class Rarely(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(torch.relu(x))

    images = torch.full((100, 4), -1.0)
    images[0] = torch.tensor([0.5, 1.0, 2.0, 3.0])
    recipe = {"preset": "percentile", "scale": {"p": 0.95}}
    snn = convert(Rarely(), recipe, images)
    assert [float(t) for t in snn.thresholds.values()] == [3.0]
    per_channel = convert(
        Rarely(), {"preset": "percentile", "scale": {"p": 0.95, "per_channel": True}}, images
    )
    assert next(iter(per_channel.thresholds.values())).flatten().tolist() == [0.5, 1.0, 2.0, 3.0]
