"""Fan-out against counting: send one spike, let every weight be 1, and count what arrives."""

import copy
import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from conversion.costs.synapses import Connectivity

SIZE = (2, 6, 7)  # of the image, and of the spikes after the first layer: [4, 6, 7]


def of_ones(layer: nn.Module) -> nn.Module:
    twin = copy.deepcopy(layer).double()
    nn.init.ones_(twin.weight)
    if twin.bias is not None:
        nn.init.zeros_(twin.bias)
    return twin


def one_spike_each(shape: tuple[int, ...]) -> Tensor:
    """A batch with one image for every unit, in which it alone has spiked."""
    return torch.eye(int(torch.tensor(shape).prod()), dtype=torch.float64).view(-1, *shape)


def counted(layer: nn.Module, copies: Tensor) -> Tensor:
    """Synapses that each unit reaches, for `copies` [units, C, ...] of its spike at the layer's input."""
    return of_ones(layer)(copies).detach().flatten(1).sum(1)


def wiring_of(network: nn.Module, size: tuple[int, ...] = SIZE) -> Connectivity:
    images = torch.randn(4, *size)
    return convert(network, "opi", images).connectivity(images)


def layer_named(wiring: Connectivity, name: str):
    return next(layer for layer in wiring.layers if layer.name == name)


class Between(nn.Module):
    """Spikes [4, 6, 7], what happens on the way, and the layer that receives them."""

    def __init__(self, way: Callable[[Tensor], Tensor], layer: nn.Module) -> None:
        super().__init__()
        self.first, self.spikes, self.layer = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), layer
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.way(self.spikes(self.first(x))))


def straight(x: Tensor) -> Tensor:
    return x


LAYERS = [
    nn.Conv2d(4, 5, 3),
    nn.Conv2d(4, 5, 3, stride=2),
    nn.Conv2d(4, 5, 3, padding=1),
    nn.Conv2d(4, 5, (3, 1), stride=(2, 3), padding=(2, 0), dilation=(2, 1)),
    nn.Conv2d(4, 6, 3, padding="same", dilation=2),
    nn.Conv2d(4, 6, 3, padding=1, groups=2),
    nn.Conv2d(4, 4, 3, padding=1, groups=4),
    nn.Conv2d(4, 8, 5, stride=3, padding=2, groups=4),
    nn.Conv2d(4, 5, 1, stride=2),
    nn.Conv2d(4, 5, 3, padding=1, padding_mode="reflect"),
    nn.Conv2d(4, 5, 3, padding=2, padding_mode="circular"),
    nn.Conv2d(4, 5, 3, padding=1, padding_mode="replicate"),
    nn.ConvTranspose2d(4, 5, 3),
    nn.ConvTranspose2d(4, 5, 3, stride=2, padding=1, output_padding=1),
    nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2),
    nn.ConvTranspose2d(4, 5, 3, padding=2, dilation=2),
    nn.Linear(7, 5),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_fan_out_of_a_layer(layer: nn.Module) -> None:
    wiring = wiring_of(Between(straight, layer))
    found = layer_named(wiring, "layer")
    expected = counted(layer, one_spike_each((4, 6, 7)))
    assert found.drive == "spikes"
    assert list(found.fanout) == ["spikes"]
    assert torch.equal(wiring.reached(found, "spikes"), expected.view(4, 6, 7))


class ToSize(nn.Module):
    """Transposed convolution that is asked for a size when it is called."""

    def __init__(self, layer: nn.Module, size: tuple[int, ...], keyword: bool) -> None:
        super().__init__()
        self.layer, self.size, self.keyword = layer, size, keyword

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, output_size=self.size) if self.keyword else self.layer(x, self.size)


@pytest.mark.parametrize("keyword", [False, True])
def test_fan_out_of_a_transposed_convolution_to_a_size(keyword: bool) -> None:
    layer = nn.ConvTranspose2d(4, 5, 3, stride=3, padding=1)
    way = ToSize(layer, (18, 20), keyword)
    wiring = wiring_of(Between(straight, way))
    found = layer_named(wiring, "layer.layer")
    reached = of_ones(layer)(one_spike_each((4, 6, 7)), [18, 20]).detach().flatten(1).sum(1)
    assert reached.sum() > counted(layer, one_spike_each((4, 6, 7))).sum()
    assert torch.equal(wiring.reached(found, "spikes"), reached.view(4, 6, 7))


@pytest.mark.parametrize("outputs", [5, None])
def test_matrix_product_counts_as_a_linear_layer(outputs: int | None) -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.randn(7, outputs) if outputs else torch.randn(7))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.matrix

    wiring = wiring_of(Between(straight, Product()))
    found = layer_named(wiring, "layer.matmul")
    assert torch.equal(wiring.reached(found, "spikes"), torch.full((4, 6, 7), outputs or 1).double())
    assert found.macs == 4 * 6 * 7 * (outputs or 1)


@pytest.mark.parametrize(
    ("layer", "size"),
    [(nn.Conv1d(3, 4, 3, stride=2, padding=1), (9,)), (nn.Conv3d(3, 2, 2, stride=2, padding=1), (3, 4, 3))],
    ids=str,
)
def test_fan_out_in_one_and_three_dimensions(layer: nn.Module, size: tuple[int, ...]) -> None:
    first = nn.Conv1d(3, 3, 1) if len(size) == 1 else nn.Conv3d(3, 3, 1)
    wiring = wiring_of(nn.Sequential(first, nn.ReLU(), layer), (3, *size))
    expected = counted(layer, one_spike_each((3, *size)))
    assert torch.equal(wiring.reached(layer_named(wiring, "2"), "1"), expected.view(3, *size))


def average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 2, 1)


def to_grid(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, (4, 3))


def nearest(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2)


def shrink(x: Tensor) -> Tensor:
    return F.interpolate(x, size=(3, 4))


def bilinear(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def corners(x: Tensor) -> Tensor:
    return F.interpolate(x, size=(9, 10), mode="bilinear", align_corners=True)


def mean_of_rows(x: Tensor) -> Tensor:
    return x.mean(2, keepdim=True)


def shortcut(x: Tensor) -> Tensor:
    """ResNet option A: every second position, and channels of zeros."""
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))


def scaled(x: Tensor) -> Tensor:
    return -x / 3 * 0.5


def shuffled(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def doubled(x: Tensor) -> Tensor:
    return torch.cat([x, x[:, 1:]], 1)


def mean_along_rows(x: Tensor) -> Tensor:
    return x.mean(axis=-1, keepdim=True)


WAYS = [
    average,
    mean_along_rows,
    to_grid,
    nearest,
    shrink,
    bilinear,
    corners,
    mean_of_rows,
    shortcut,
    scaled,
    shuffled,
    doubled,
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["convolution", "linear"])
def test_a_spike_counts_wherever_it_has_a_weight(way, kind: str) -> None:
    copies = (way(one_spike_each((4, 6, 7))) != 0).double()
    channels = copies.shape[1]
    linear = nn.Sequential(nn.Flatten(), nn.Linear(copies[0].numel(), 3))
    layer = nn.Conv2d(channels, 3, 3, padding=1) if kind == "convolution" else linear
    weighted, name = (layer[1], "layer.1") if kind == "linear" else (layer, "layer")
    if kind == "linear":
        copies = copies.flatten(1)
    wiring = wiring_of(Between(way, layer))
    found = layer_named(wiring, name)
    assert torch.equal(wiring.reached(found, "spikes"), counted(weighted, copies).view(4, 6, 7))


class Residual(nn.Module):
    """Two sources meet in a sum, and again in a concatenation with pooled spikes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.relu_a = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()
        self.b, self.relu_b = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.after_sum = nn.Conv2d(4, 3, 3)
        self.after_cat = nn.Conv2d(8, 3, (2, 1), stride=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = self.relu_a(self.a(x))
        b = self.relu_b(self.b(a))
        joined = torch.cat([self.pool(b), a[:, :, :3, :3]], 1)
        return self.after_sum(a + b + a), self.after_cat(joined)


def test_fan_out_through_sums_concatenation_and_pools() -> None:
    network = Residual()
    wiring = wiring_of(network)
    spikes = one_spike_each((4, 6, 7))
    after_sum, after_cat = layer_named(wiring, "after_sum"), layer_named(wiring, "after_cat")
    assert set(after_sum.fanout) == {"relu_a", "relu_b"}
    # Added twice, a spike makes one value larger: it is one operation a weight all the same.
    for source in ("relu_a", "relu_b"):
        assert torch.equal(
            wiring.reached(after_sum, source), counted(network.after_sum, spikes).view(4, 6, 7)
        )
    # The pool is a source of its own: what it sends, not what it receives, reaches the next layer.
    assert set(after_cat.fanout) == {"relu_a", "pool"}
    cut = F.pad(spikes[:, :, :3, :3], (0, 0, 0, 0, 4, 0))
    assert torch.equal(wiring.reached(after_cat, "relu_a"), counted(network.after_cat, cut).view(4, 6, 7))
    pooled = F.pad(one_spike_each((4, 3, 3)), (0, 0, 0, 0, 0, 4))
    assert torch.equal(wiring.reached(after_cat, "pool"), counted(network.after_cat, pooled).view(4, 3, 3))
    assert wiring.units == {"relu_a": 168, "relu_b": 168, "pool": 36}


def test_functional_layers_have_the_same_fan_out() -> None:
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    transposed = nn.ConvTranspose2d(6, 4, 3, 2, 1, 1, groups=2)
    linear = nn.Linear(8, 3)

    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.u, self.v, self.w = nn.Conv2d(2, 4, 1), conv, transposed, linear

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.first(x))
            x = F.relu(F.conv2d(x, self.u.weight, self.u.bias, 2, padding=1, groups=2))
            x = F.relu(F.conv_transpose2d(x, self.v.weight, self.v.bias, 2, 1, 1, groups=2))
            return F.linear(x, weight=self.w.weight)

    wiring = wiring_of(Functional())
    assert [layer.name for layer in wiring.layers] == ["first", "u", "conv_transpose2d", "w"]
    for layer, source, shape in zip(
        (conv, transposed, linear),
        ("relu", "relu#2", "relu#3"),
        ((4, 6, 7), (6, 3, 4), (4, 6, 8)),
        strict=True,
    ):
        name = {id(conv): "u", id(transposed): "conv_transpose2d", id(linear): "w"}[id(layer)]
        expected = counted(layer, one_spike_each(shape)).view(shape)
        assert torch.equal(wiring.reached(layer_named(wiring, name), source), expected)


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (nn.Conv2d(4, 5, 3, padding=1), 5 * 6 * 7 * 4 * 9),
        (nn.Conv2d(4, 6, 3, stride=2, groups=2), 6 * 2 * 3 * 2 * 9),
        (nn.Conv2d(4, 4, (3, 1), groups=4), 4 * 4 * 7 * 3),
        (nn.ConvTranspose2d(4, 5, 2, stride=2), 4 * 6 * 7 * 5 * 4),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), 4 * 6 * 7 * 3 * 9),
        (nn.Linear(7, 5), 4 * 6 * 7 * 5),
        (nn.Sequential(nn.Flatten(), nn.Linear(168, 10)), 1680),
    ],
    ids=str,
)
def test_dense_operations_by_hand(layer: nn.Module, macs: int) -> None:
    wiring = wiring_of(Between(straight, layer))
    first = 4 * 6 * 7 * 2 * 9
    assert [found.macs for found in wiring.layers] == [first, macs]
    assert wiring.macs == first + macs


class Drives(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.image_again = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.relu = nn.ReLU()
        self.spikes, self.current, self.after_sum = (nn.Conv2d(2, 2, 1) for _ in range(3))
        self.mixed, self.mixed_again = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 2, 1)
        self.pool, self.after_pool = nn.MaxPool2d(2), nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        image = self.image(x)
        spikes = self.relu(self.image_again(image))
        current = self.spikes(spikes)
        return [
            self.current(current),
            self.mixed(torch.cat([spikes, x * 2], 1)),
            self.mixed_again(spikes + image),
            self.after_sum(current + spikes),
            self.after_pool(self.pool(current)),
        ]


def test_drive_is_decided_by_the_place_in_the_graph() -> None:
    layers = wiring_of(Drives()).layers
    assert {layer.name: layer.drive for layer in layers} == {
        "image": "analog",
        "image_again": "analog",
        "spikes": "spikes",
        "current": "current",
        "mixed": "mixed",
        "mixed_again": "mixed",
        "after_sum": "current",
        "after_pool": "current",
    }
    for layer in layers:
        assert set(layer.fanout) == ({"relu"} if layer.drive in ("spikes", "mixed") else set())


class Recorded(nn.Module):
    """Gives out its spikes, so that each can be counted."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.relu_a = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()
        self.b, self.relu_b = nn.Conv2d(4, 6, 3, stride=2, groups=2), nn.ReLU()
        self.pool = nn.MaxPool2d(2, 1)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a = self.relu_a(self.a(x))
        b = self.relu_b(self.b(a))
        pooled = self.pool(b)
        return self.head(pooled.flatten(1)), a, b, pooled


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("preset", ["opi", "burst"])
def test_synops_are_recorded_spikes_times_fan_out(preset: str, per_channel: bool) -> None:
    network = Recorded()
    images = torch.randn(8, *SIZE)
    recipe = {"preset": preset, "scale": {"p": 0.9, "per_channel": per_channel}}
    snn = convert(network, recipe, images)
    fans = {
        "b": ("relu_a", counted(network.b, one_spike_each((4, 6, 7))).view(4, 6, 7)),
        "head": ("pool", torch.full((6, 1, 2), 3.0).double()),
    }
    for readout in snn.simulate(images, (1, 6, 20), chunk=4):
        _, a, b, pooled = readout.output
        theta = {name: snn.thresholds[name] for name in ("relu_a", "relu_b")}
        spikes = {
            "relu_a": (a * readout.t / theta["relu_a"]).round(),
            "relu_b": (b * readout.t / theta["relu_b"]).round(),
            "pool": (pooled * readout.t / theta["relu_b"]).round(),
        }
        activity = readout.activity
        assert activity.spikes == {name: value.sum().item() for name, value in spikes.items()}
        for layer, (source, fan) in fans.items():
            assert activity.synops[layer] == (spikes[source] * fan).sum().item()
        assert activity.synops["a"] == 0
    assert spikes["relu_b"].sum() > 100


class Wires(nn.Module):
    """Spikes of unequal size on their way to a pool."""

    def __init__(self, way: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.way, self.pool = nn.Conv2d(2, 4, 3), way, nn.MaxPool2d(2)
        self.size = nn.Parameter(torch.tensor([1.0, 2.0, 9.0, 20.0])[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.way(F.relu(self.first(x) * self.size)))


@pytest.mark.parametrize(
    "way",
    [straight, nn.Dropout(), lambda x: F.pad(x, (1, 1, 1, 1)), lambda x: torch.cat([x, x], 1)],
    ids=["straight", "dropout", "pad", "cat"],
)
def test_bursts_of_channels_with_unequal_thresholds_are_counted(way) -> None:
    images = torch.randn(6, *SIZE)
    recipe = {"preset": "burst", "scale": {"p": 0.9, "per_channel": True}}
    snn = convert(Wires(way), recipe, images)
    (readout,) = snn.simulate(images, (30,))
    size = snn.thresholds["relu"].repeat(1, readout.output.shape[1] // 4, 1, 1)
    spikes = (readout.output * 30 / size).round()
    assert readout.activity.spikes["pool"] == spikes.sum().item()
    assert spikes.max() > 30


def test_shuffled_channels_do_not_take_each_others_unit() -> None:
    images = torch.randn(6, *SIZE)
    recipe = {"preset": "opi", "scale": {"name": "maximum", "per_channel": True}}
    snn = convert(Wires(nn.ChannelShuffle(2)), recipe, images)
    (readout,) = snn.simulate(images, (30,))
    spikes = readout.output * 30 / F.channel_shuffle(snn.thresholds["relu"], 2)
    assert readout.activity.spikes["pool"] == pytest.approx(spikes.sum().item(), rel=0.01)


def test_negative_spikes_cost_like_positive_ones() -> None:
    # One neuron; the current is -1/2 in all later steps, so three early spikes are taken back.
    class Early(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.u, self.v = nn.Linear(1, 1, bias=False), nn.Linear(1, 7, bias=False)
            nn.init.ones_(self.u.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.v(F.relu(self.u(x)))

    recipe = {
        "preset": "spicalib",
        "neuron": {"allowance": 0},
        "initial": {"name": "fraction", "fraction": 1.0},
        "scale": "maximum",
    }
    snn = convert(Early(), recipe, torch.ones(1, 1))
    (readout,) = snn.simulate(torch.tensor([[-0.0]]), (9,))
    # Starts full, fires at once, is silent for longer than usual, and takes the spike back.
    assert readout.activity.spikes == {"relu": 2.0}
    assert readout.activity.synops == {"u": 0.0, "v": 14.0}
    assert torch.equal(readout.output, torch.zeros(1, 7))


def test_connectivity_depends_on_the_size_of_the_image() -> None:
    network = nn.Sequential(nn.Conv2d(2, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))
    snn = convert(network, "opi", torch.randn(2, 2, 6, 6))
    for h, w in itertools.product((6, 9), repeat=2):
        wiring = snn.connectivity(torch.randn(3, 2, h, w))
        assert [layer.macs for layer in wiring.layers] == [36.0 * (h - 2) * (w - 2), 36.0 * (h - 4) * (w - 4)]
        assert wiring.units == {"1": 2 * (h - 2) * (w - 2)}


def test_a_module_may_be_called_like_a_function() -> None:
    """An average pooling in an attribute `mean` is no call of `Tensor.mean`."""

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.spikes, self.last = nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Linear(4 * 2 * 2, 3)
            self.mean = nn.AvgPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.mean(self.spikes(self.first(x))).flatten(1))

    layer = layer_named(wiring_of(Named(), (2, 6, 6)), "last")
    assert all((fan == 3).all() for fan in layer.fanout.values())
