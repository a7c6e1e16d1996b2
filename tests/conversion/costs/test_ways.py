"""What spikes meet on their way to a layer: ways that join, factors of 0, copies, frames, sums of products.

Every expected number is counted by hand, or by letting each unit spike alone.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from conversion import convert
from conversion.costs.synapses import Connectivity

SIZE = (2, 4, 4)


class Way(nn.Module):
    """Spikes [4, 4, 4], what happens on the way, and the layer that receives them."""

    def __init__(self, way: Callable[..., Tensor], layer: nn.Module, *constants: Tensor) -> None:
        super().__init__()
        self.first, self.spikes, self.layer = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), layer
        self.constants = nn.ParameterList(nn.Parameter(constant) for constant in constants)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.way(self.spikes(self.first(x)), *self.constants))


def wiring_of(network: nn.Module, size: tuple[int, ...] = SIZE) -> Connectivity:
    images = torch.randn(4, *size)
    return convert(network.eval(), "opi", images).connectivity(images)


def reached(network: nn.Module, layer: str = "layer", source: str = "spikes", size: Any = SIZE) -> Tensor:
    """Synapses that a spike of each unit reaches; 0 where the layer does not listen to the source."""
    wiring = wiring_of(network, size)
    found = next(one for one in wiring.layers if one.name == layer)
    if source not in found.fanout:
        return torch.zeros(wiring.units[source])
    return wiring.reached(found, source)


def alone(network: Way) -> Tensor:
    """Products with weights that are not 0, when each unit spikes alone and what it makes of values is 1."""
    twin = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        silent = twin.way(torch.zeros(1, 4, 4, 4).double(), *twin.constants)
        spiking = twin.way(torch.eye(64).double().view(-1, 4, 4, 4), *twin.constants)
        arriving = ((spiking - silent).abs() > 1e-15).double()
        layer: Any = twin.layer
        layer.weight.data = (layer.weight != 0).double()
        counted = layer(arriving) - layer(torch.zeros_like(arriving))
    return counted.flatten(1).sum(1).round().view(4, 4, 4)


def blurred(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1)


WAYS = {
    "two averages": lambda x: blurred(blurred(x)),
    "average and mean": lambda x: blurred(x).mean((2, 3), keepdim=True).expand(-1, -1, 3, 3),
    "two interpolations": lambda x: F.interpolate(F.interpolate(x, scale_factor=2, mode="bilinear"), size=5),
    "up and down": lambda x: F.avg_pool2d(F.interpolate(x, scale_factor=2, mode="bicubic"), 2),
    "mean of copies": lambda x: torch.cat([x, x], 1).mean(1, keepdim=True).expand(-1, 4, -1, -1),
    "added to itself": lambda x: x + x,
    "taken from itself": lambda x: torch.cat([x - x, x[:, :2]], 1)[:, 2:],
    "sum of itself and an average": lambda x: x + blurred(x),
    "difference of averages": lambda x: blurred(x) - F.interpolate(F.avg_pool2d(x, 2), scale_factor=2),
    "border, then average": lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), "reflect"), 3, 1),
    "around the edge, then average": lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), "circular"), 2, 1),
    "turned on itself": lambda x: x + x.flip(-1),
    "average over a size": lambda x: F.avg_pool2d(x, x.size(2)).expand(-1, -1, 3, 3),
    "not at all": lambda x: torch.add(x[:, :, :3], x[:, :, 1:], alpha=0),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("border", ["zeros", "circular"])
def test_a_spike_counts_once_in_each_value_that_it_reaches(way, border: str) -> None:
    network = Way(way, nn.Conv2d(4, 3, 3, padding=1, padding_mode=border))
    assert torch.equal(reached(network), alone(network))


def test_two_averages_in_a_row_by_hand() -> None:
    network = nn.Sequential(
        *(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.AvgPool2d(3, 1, 1), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(4, 3)),
    )
    assert torch.equal(reached(network, "5", "1"), torch.full((4, 4, 4), 3.0).double())


def test_what_cancels_reaches_nothing() -> None:
    assert not reached(Way(lambda x: x - x, nn.Conv2d(4, 3, 3))).any()
    assert not reached(Way(lambda x: x * 0.3 - 0.3 * x, nn.Conv2d(4, 3, 3))).any()


CONSTANTS = {
    "map": (lambda x, m: x.mean((2, 3), keepdim=True) * m, torch.rand(1, 1, 4, 4) + 0.1),
    "map from the left": (lambda x, m: m * x.mean((2, 3), keepdim=True), torch.rand(4, 4) + 0.1),
    "map to add": (lambda x, m: x.mean((2, 3), keepdim=True) + m, torch.rand(1, 4, 4, 4)),
    "map to subtract from": (lambda x, m: m - x.mean((2, 3), keepdim=True), torch.rand(4, 4, 4)),
    "a row": (lambda x, m: x.mean(3, keepdim=True) / m, torch.rand(1, 1, 1, 4) + 0.1),
    "half a map": (
        lambda x, m: x.mean((2, 3), keepdim=True) * m,
        torch.tensor([[1.0, 0.0], [2.0, 0.0]]).repeat(2, 2)[None, None],
    ),
}


@pytest.mark.parametrize(("way", "constant"), CONSTANTS.values(), ids=CONSTANTS)
def test_constants_that_make_a_signal_larger(way, constant: Tensor) -> None:
    network = Way(way, nn.Conv2d(4, 3, 1), constant)
    assert torch.equal(reached(network), alone(network))
    assert alone(network).any()
    assert wiring_of(network).layers[-1].macs == 4 * 3 * 16


def norm_with(*factors: float) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(4)
    norm.weight.data, norm.bias.data = torch.tensor(factors), torch.ones(4)
    return norm.eval()


ZEROS: dict[str, Any] = {
    "shortcut switched off": (lambda x: torch.cat((x, x.mul(0)), 1)[:, 2:6], ()),
    "mask of channels": (lambda x, m: x * m, (torch.tensor([1.0, 0.0, 2.0, 0.0]).view(4, 1, 1),)),
    "mask of positions": (lambda x, m: x * m, ((torch.arange(16.0) % 3).view(1, 1, 4, 4),)),
    "mask of yes and no": (lambda x: x * torch.tensor([True, False, True, True]).view(4, 1, 1), ()),
    "small factors": (lambda x, m: x * m, (torch.tensor([1e-12, 1.0, 0.0, 1.0]).view(4, 1, 1),)),
    "batch norm": (norm_with(1.0, 0.0, -2.0, 1e-12), ()),
}


@pytest.mark.parametrize(("way", "constants"), ZEROS.values(), ids=ZEROS)
def test_factors_of_zero_are_no_synapses(way, constants) -> None:
    network = Way(way, nn.Conv2d(4, 3, 3, padding=1), *constants)
    expected = alone(network)
    assert torch.equal(reached(network), expected)
    assert (expected == 0).any()
    assert expected.any()


LAYERS = {
    "convolution": nn.Conv2d(4, 6, 3, padding=1, stride=2),
    "groups": nn.Conv2d(4, 6, 3, groups=2, padding=2, dilation=2),
    "depthwise": nn.Conv2d(4, 4, 3, groups=4),
    "reflected": nn.Conv2d(4, 5, 3, padding=2, padding_mode="reflect"),
    "transposed": nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2),
    "linear": nn.Linear(4, 5),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("structured", [False, True])
def test_weights_of_zero_are_no_synapses(layer: nn.Module, structured: bool) -> None:
    network = Way(nn.Identity(), layer)
    dense = wiring_of(network)
    if structured:
        prune.ln_structured(layer, "weight", 2, n=1, dim=0)
    else:
        prune.random_unstructured(layer, "weight", 0.6)
    prune.remove(layer, "weight")
    found = reached(network)
    assert torch.equal(found, alone(network))
    assert wiring_of(network).macs == dense.macs
    assert 0 < found.sum() < dense.reached(dense.layers[-1], "spikes").sum()


class Product(nn.Module):
    """A signal times a constant matrix."""

    def __init__(self, *shape: int, linear: bool = False) -> None:
        super().__init__()
        numbers = torch.arange(math.prod(shape)) % 3  # a third of them 0
        self.weight, self.linear = nn.Parameter(numbers.float().view(shape)), linear

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight) if self.linear else x @ self.weight


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (Product(4, 3), 64 * 3),
        (Product(4), 64),
        (Product(4, 4, 3), 64 * 3),  # a matrix for each channel
        (Product(5, 1, 4, 3), 5 * 64 * 3),  # five matrices, each for all channels
        (Product(3, 4, linear=True), 64 * 3),
        (Product(4, linear=True), 64),
    ],
    ids=["matrix", "vector", "matrices", "more matrices", "linear", "linear with a vector"],
)
def test_products_with_matrices(layer: Product, macs: int) -> None:
    way = (lambda x: x[:, None]) if layer.weight.shape[:1] == (5,) else nn.Identity()
    network = Way(way, layer)
    wiring = wiring_of(network)
    last = wiring.layers[-1]
    name = "layer.linear" if layer.linear else "layer.matmul"
    if layer.linear and layer.weight.ndim == 2:
        name = "layer"  # a module by now
    assert (last.name, last.macs) == (name, macs)
    assert torch.equal(reached(network, name), alone(network).double())
    assert last.outputs == macs // 4
    if layer.weight.ndim == 4:  # a vector's outputs have no axis of their own
        assert wiring.values["matmul"] == 5 * 4 * 4 * 3


class Sums(nn.Module):
    """A linear layer from 6 features to 5, written out; and a layer behind it."""

    def __init__(self, way: Callable[..., Tensor]) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(3, 6), nn.ReLU(), nn.Linear(5, 2)
        self.weight = nn.Parameter(torch.rand(5, 6) + 0.5)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.way(self.relu(self.first(x)), self.weight))


def one_by_one(x: Tensor, w: Tensor) -> Tensor:
    return sum(x[:, i : i + 1] * w[:, i] for i in range(6))


SUMS = {
    "sum": lambda x, w: (x[:, None] * w).sum(-1),
    "mean": lambda x, w: (w * x.unsqueeze(1)).mean(2),
    "axes exchanged": lambda x, w: (x[:, :, None] * w.T).sum(1),
    "scaled after": lambda x, w: (2 * (x[:, None] * w)).sum(-1),
    "moved after": lambda x, w: (x[:, None] * w).transpose(1, 2).flatten(2).sum(1),
    "repeated first": lambda x, w: (x[:, None].expand(-1, 5, -1) * w).sum(-1),
    "average pooling": lambda x, w: F.adaptive_avg_pool1d(x[:, None] * w, 1).flatten(1),
    "windows": lambda x, w: F.avg_pool1d(x[:, None] * w, 6).squeeze(2),
}


@pytest.mark.parametrize("way", SUMS.values(), ids=SUMS)
def test_linear_layers_written_as_sums_of_products_count(way) -> None:
    network = Sums(way)
    images = torch.rand(4, 3)
    snn = convert(network, "maxnorm", images)
    first, product, last = snn.connectivity(images).layers
    assert [first.name, product.name.rstrip("#2"), last.name] == ["first", "mul", "last"]
    assert (product.macs, product.drive, product.outputs, product.weights) == (30, "spikes", 5, 30)
    assert (last.macs, last.drive) == (10, "current")
    (readout,) = snn.simulate(images, (16,))
    assert readout.activity.synops["mul" if product.name == "mul" else product.name] == (
        5 * readout.activity.spikes["relu"]
    )


def test_a_sum_written_one_product_after_the_other_counts() -> None:
    wiring = wiring_of(Sums(one_by_one), (3,))
    products = [layer for layer in wiring.layers if layer.name.startswith("mul")]
    assert [layer.macs for layer in products] == [5.0] * 6
    assert sum(wiring.reached(layer, "relu") for layer in products).tolist() == [5.0] * 6
    assert wiring.layers[-1].drive == "current"


MAP, FACTORS = torch.rand(4, 4), torch.rand(2, 4, 1, 1)
NO_LAYERS = {
    "equal factors": lambda x: (x * 0.5).mean((2, 3)),
    "a factor for each channel": lambda x: (x * FACTORS[0]).mean((2, 3)),
    "a mask": lambda x: (x * (torch.arange(16.0).view(4, 4) % 2)).sum((2, 3)),
    "copies of one value": lambda x: (x.mean((2, 3), keepdim=True) * MAP).mean((2, 3)),
    "two branches": lambda x: (x * FACTORS[0] + x.flip(1) * FACTORS[1]).mean((2, 3)),
}


@pytest.mark.parametrize("way", NO_LAYERS.values(), ids=NO_LAYERS)
def test_factors_that_belong_to_other_weights_are_no_layers(way) -> None:
    wiring = wiring_of(Way(way, nn.Linear(4, 3)))
    assert [layer.name for layer in wiring.layers] == ["first", "layer"]
    assert wiring.layers[1].drive == "spikes"


class Clip(nn.Module):
    """Frames [C, F, 4] in the batch axis; a convolution over them without padding."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.frames, self.channels = frames, channels
        self.first, self.relu = nn.Linear(4, channels), nn.ReLU()
        self.over, self.head = nn.Conv1d(channels, 2, 3), nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.relu(self.first(x.reshape(-1, 4)))
        return self.over(x.view(-1, self.frames, self.channels).transpose(1, 2)), self.head(x)


@pytest.mark.parametrize("channels", [3, 16])  # plain operations; the kernel
@pytest.mark.parametrize("recipe", ["maxnorm", "burst", "dcgs"])
def test_frames_in_the_batch_axis_have_fan_outs_of_their_own(channels: int, recipe: str) -> None:
    network, images = Clip(channels, 5), torch.rand(3, 5, 4)
    snn = convert(network, recipe, images)
    wiring = snn.connectivity(images)
    over = next(layer for layer in wiring.layers if layer.name == "over")
    taps = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0]).double()
    assert torch.equal(wiring.reached(over, "relu"), (2 * taps)[:, None].expand(5, channels))
    (readout,) = snn.simulate(images, (8,), chunk=3)
    one_image = [next(snn.simulate(images[i : i + 1], (8,))) for i in range(3)]
    synops = sum(one.activity.synops["over"] for one in one_image)
    assert readout.activity.synops["over"] == synops
    assert readout.activity.synops["head"] == 3 * readout.activity.spikes["relu"]
    assert readout.activity.synops["over"] < 6 * readout.activity.spikes["relu"]


def test_frames_that_are_all_alike_are_counted_together() -> None:
    network = Clip(16, 5)
    network.over = nn.Conv1d(16, 2, 3, padding=1, padding_mode="circular")
    wiring = wiring_of(network, (5, 4))
    assert wiring.groups["relu"].shape == (16,)
    assert (wiring.reached(wiring.layers[1], "relu") == 6).all()


def test_average_pooling_of_features_without_an_axis_of_channels() -> None:
    network = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.AvgPool1d(2), nn.Linear(3, 4))
    assert reached(network, "3", "1", (3,)).tolist() == [4.0] * 6


class Blur(nn.Module):
    """Blur pooling: one constant kernel for every channel is a layer with weights."""

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", (row[:, None] * row)[None, None].repeat(4, 1, 1, 1) / 16)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), self.kernel, stride=2, groups=x.shape[1])


def test_blur_pooling_by_hand() -> None:
    network = Way(Blur(), nn.Conv2d(4, 2, 1))
    found = reached(network, "way.conv2d")
    copies = torch.zeros(6, 6)  # how many taps see each position of the border
    for i in (0, 2):
        for j in (0, 2):
            copies[i : i + 3, j : j + 3] += 1
    expected = torch.zeros(4, 4)
    at = [1, 0, 1, 2, 3, 2]  # position of the input at each position with its border
    for i in range(6):
        for j in range(6):
            expected[at[i], at[j]] += copies[i, j]
    assert torch.equal(found, expected.double().expand(4, 4, 4))
    layers = wiring_of(network).layers
    assert [(layer.name, layer.drive, layer.macs) for layer in layers[1:]] == [
        ("way.conv2d", "spikes", 4 * 4 * 9),
        ("layer", "current", 4 * 4 * 2),
    ]


def test_pixel_shuffle_and_transposed_convolution_after_a_depthwise_one() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.deep, self.relu = nn.Conv3d(4, 4, (1, 3, 3), padding=(0, 1, 1), groups=4), nn.ReLU()
            self.up = nn.ConvTranspose3d(4, 2, (1, 3, 3), (1, 2, 2), (0, 1, 1), (0, 1, 0), groups=2)
            self.relu_up, self.flat = nn.ReLU(), nn.Conv2d(1, 3, 3, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            up = self.relu_up(self.up(self.relu(self.deep(x))))
            return self.flat(F.pixel_shuffle(up.flatten(1, 2), 2))

    network, size = Deep(), (4, 2, 3, 2)
    found = reached(network, "up", "relu", size)
    up, flat = copy.deepcopy(network.up).double(), copy.deepcopy(network.flat).double()
    for layer in (up, flat):
        layer.weight.data, layer.bias.data = torch.ones_like(layer.weight), torch.zeros_like(layer.bias)
    units = torch.eye(4 * 2 * 3 * 2).double().view(-1, *size)
    assert torch.equal(found, up(units).flatten(1).sum(1).view(size).detach())
    shape = up(units).shape[1:]
    later = torch.eye(shape.numel()).double().view(-1, *shape)
    counted = flat(F.pixel_shuffle(later.flatten(1, 2), 2)).flatten(1).sum(1)
    assert torch.equal(reached(network, "flat", "relu_up", size), counted.view(shape).detach())


def test_large_ways_that_join_are_counted_in_seconds() -> None:
    """Two averages in a row over a map of 56 x 56: every spike is in every mean, and in one value each."""
    network = nn.Sequential(
        *(nn.Conv2d(2, 32, 1), nn.ReLU(), nn.AvgPool2d(3, 1, 1), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(32, 10)),
    )
    assert (reached(network, "5", "1", (2, 56, 56)) == 10).all()
