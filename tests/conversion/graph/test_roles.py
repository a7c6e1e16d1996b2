import inspect
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import UnsupportedOperations, convert
from conversion.functions.elementwise import Elementwise
from conversion.graph.capture import capture
from conversion.graph.operations import Kind
from conversion.graph.roles import sort_into_roles


class Sandwich(nn.Module):
    """One operation, or a module, between two layers of spiking neurons."""

    def __init__(self, operation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.operation = operation
        self.factor = nn.Parameter(torch.tensor([0.5, -1.0, 2.0, 1.0])[:, None, None])
        self.matrix = nn.Parameter(torch.randn(36, 5) / 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        if isinstance(self.operation, nn.Module):
            return self.operation(x)
        return self.operation(self, x)


def shuffle(s: nn.Module, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, -1, h, w)


def halves(s: nn.Module, x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    return torch.cat((b, torch.relu(a - b), x), dim=1)


def in_size(s: nn.Module, x: Tensor) -> Tensor:
    small = F.max_pool2d(x, 2)
    return F.interpolate(small, size=x.shape[-2:], mode="nearest") + x


def joined(s: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([x, 2 * x], dim=1).flatten(1, 2)


def split(s: nn.Module, x: Tensor) -> Tensor:
    return torch.split(x, [1, 3], dim=1)[1]


def heads(s: nn.Module, x: Tensor) -> Tensor:
    return x.view(x.size(0), 2, 2, x.size(2), x.size(3)).permute(0, 3, 4, 1, 2).reshape(x.size(0), -1, 2)


FORMS = {
    "relu module": nn.ReLU(),
    "relu function": lambda s, x: F.relu(x - 0.3),
    "torch.relu": lambda s, x: torch.relu(x - 0.3),
    "relu method": lambda s, x: (x - 0.3).relu(),
    "relu by keyword": lambda s, x: F.relu(input=x - 0.3),
    "relu in place": lambda s, x: F.relu(x - 0.3, inplace=True),
    "relu6 module": nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU6()),
    "relu6 function": lambda s, x: F.relu6(9 * x),
    "clamp": lambda s, x: torch.clamp(x - 0.3, min=0),
    "clamp by position": lambda s, x: torch.clamp(x - 0.3, 0, 0.5),
    "clamp by keyword": lambda s, x: torch.clamp(input=x - 0.3, min=0),
    "clamp method": lambda s, x: (x - 0.3).clamp(min=0, max=0.4),
    "clamp_min": lambda s, x: (x - 0.3).clamp_min(0.0),
    "hardtanh": lambda s, x: F.hardtanh(x * 8, 0.0, 6.0),
    "hardtanh module": nn.Hardtanh(0, 0.5),
    "max pool module": nn.MaxPool2d(3, 2, 1),
    "max pool function": lambda s, x: F.max_pool2d(x, 2),
    "max pool settings": lambda s, x: F.max_pool2d(x, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    "torch.max_pool2d": lambda s, x: torch.max_pool2d(x, 3, 1),
    "adaptive max pool": lambda s, x: F.adaptive_max_pool2d(x, (3, 2)),
    "adaptive max pool module": nn.AdaptiveMaxPool2d(2),
    "max pool of lines": lambda s, x: F.max_pool1d(x.flatten(2), 4),
    "average pool": lambda s, x: F.avg_pool2d(x, 3, 2, 1),
    "average pool module": nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
    "adaptive average pool": lambda s, x: F.adaptive_avg_pool2d(x, (3, 2)),
    "global average": lambda s, x: x.mean((2, 3)),
    "mean with keepdim": lambda s, x: torch.mean(x, dim=[-1], keepdim=True),
    "sum": lambda s, x: x.sum(1),
    "nearest": lambda s, x: F.interpolate(x, scale_factor=2),
    "to a size": in_size,
    "bilinear": lambda s, x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
    "upsample": nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    "pixel shuffle": nn.PixelShuffle(2),
    "channel shuffle": shuffle,
    "channel shuffle module": nn.ChannelShuffle(2),
    "chunk and cat": halves,
    "split": split,
    "stack": joined,
    "detection head": heads,
    "slices": lambda s, x: x[:, 1:3, ::2, 1:],
    "ellipsis": lambda s, x: x[..., 2:],
    "pad": lambda s, x: F.pad(x, (1, 0, 2, 1), value=0.5),
    "reflection": nn.ReflectionPad2d(1),
    "flatten and linear": nn.Sequential(nn.Flatten(), nn.Linear(144, 3)),
    "view": lambda s, x: x.view(x.size(0), -1),
    "reshape": lambda s, x: torch.reshape(x, (x.shape[0], x.shape[1], -1)),
    "dim": lambda s, x: x.flatten(x.dim() - 2),
    "whole shape": lambda s, x: x.view(x.size()).reshape(x.shape),
    "images and channels": lambda s, x: x.view(-1, 36),
    "unsqueeze and expand": lambda s, x: x.unsqueeze(1).expand(-1, 2, -1, -1, -1),
    "repeat": lambda s, x: x.repeat(1, 2, 1, 1),
    "permute": lambda s, x: x.permute(0, 2, 3, 1),
    "constant factor": lambda s, x: x * 3 / 2,
    "learned factor": lambda s, x: s.factor * x,
    "constant first": lambda s, x: 1 - x,
    "constant summand": lambda s, x: x + s.factor,
    "scaled sum": lambda s, x: torch.add(x, torch.relu(x - 0.3), alpha=-2),
    "in-place sum": lambda s, x: x.add_(1).sub_(x * 2),
    "minus": lambda s, x: -x,
    "batch norm": nn.BatchNorm2d(4).eval(),
    "dropout": nn.Dropout(0.5),
    "identity": nn.Identity(),
    "transposed": nn.ConvTranspose2d(4, 2, 2, 2),
    "functional convolution": lambda s, x: F.conv2d(x, s.first.weight.transpose(0, 1)),
    "transposed to a size": lambda s, x: F.conv_transpose2d(x, s.first.weight, stride=2, output_padding=1),
    "matrix product": lambda s, x: x.flatten(2) @ s.matrix,
    "torch.matmul": lambda s, x: torch.matmul(x.flatten(2), s.matrix),
    "matmul method": lambda s, x: x.flatten(2).matmul(s.matrix[:, 0]),
    "clip in place": lambda s, x: (x - 0.3).clip_(0, 0.4),
    "hardtanh in place": lambda s, x: F.hardtanh_(x - 0.3, 0.0, 0.4),
    "torch.clamp_": lambda s, x: torch.clamp_(x - 0.3, min=0.0),
    "torch.max_pool1d": lambda s, x: torch.max_pool1d(x.flatten(2), 3),
    "dilated max pool": nn.MaxPool2d(2, 1, 1, dilation=2),
    "mean along an axis": lambda s, x: x.mean(axis=(2, 3), keepdim=True),
    "torch.mean along an axis": lambda s, x: torch.mean(x, axis=1),
    "aliases of arithmetic": lambda s, x: torch.negative(torch.subtract(torch.multiply(x, 3), x).divide(2)),
    "in-place aliases": lambda s, x: x.multiply_(3).subtract_(1).divide_(2).neg_(),
    "true_divide": lambda s, x: torch.true_divide(x, 4).true_divide(s.factor),
    "swapped axes": lambda s, x: torch.moveaxis(x.swapaxes(1, 2).swapdims(2, 3), 1, -1),
    "concatenate": lambda s, x: torch.concatenate([x, torch.relu(x - 0.3)], dim=-1),
    "unbind": lambda s, x: torch.stack(x.unbind(1)[::-1], 1),
    "tensor split": lambda s, x: x.tensor_split(3, dim=2)[1] + torch.tensor_split(x, 3, dim=2)[0],
    "select": lambda s, x: x.select(1, 2) + torch.select(x, 1, 0),
    "index select": lambda s, x: x.index_select(2, torch.tensor([4, 0, 0])),
    "flip and roll": lambda s, x: x.flip(2, 3) + torch.roll(x, (1, 2), dims=(2, 3)) + torch.flip(x, [1]),
    "dropouts": lambda s, x: F.dropout1d(F.alpha_dropout(x, 0.5).flatten(2), 0.5, training=False),
    "unfold": nn.Unfold(3, padding=1),
    "constant border": nn.ConstantPad2d((1, 0, 2, 0), 0.7),
    "circular border": nn.CircularPad2d(1),
    "replicated border": nn.ReplicationPad2d(2),
    "to and double": lambda s, x: x.to(torch.float64).double().detach(),
    "to a place": lambda s, x: x.to("cpu", torch.float64),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_operation_converts_and_converges(form) -> None:
    network = Sandwich(form).double().eval()
    images = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    expected = network(images.clone()).detach()
    recipe = {"preset": "opi", "scale": "maximum", "pooling": "lateral-inhibition"}
    snn = convert(network, recipe, images)
    errors = []
    for readout in snn.simulate(images, (6, 300), chunk=50):
        assert readout.output.shape == expected.shape
        errors.append(((readout.output - expected).abs().max() / expected.abs().max()).item())
    assert errors[1] < 0.02
    assert errors[1] < errors[0]


def kinds_of(network: nn.Module) -> dict[str, str]:
    return {role.name: role.kind.value for role in sort_into_roles(capture(network)).values()}


def test_names_are_paths_and_unique() -> None:
    class Repeats(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.block(self.block(x)) + x) + F.relu(x)

    assert kinds_of(Repeats()) == {
        "block.0": "weighted",
        "block.1": "neuron",
        "block.0#2": "weighted",
        "block.1#2": "neuron",
        "add": "sum",
        "relu": "neuron",
        "relu#2": "neuron",
        "add#2": "sum",
    }


def test_operations_on_constants_have_no_role() -> None:
    class Constants(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(2, 3))

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, torch.tanh(self.weight) * torch.sigmoid(self.weight))

    assert kinds_of(Constants()) == {"linear": "weighted"}


@pytest.mark.parametrize(
    ("form", "ceiling"),
    [
        (nn.ReLU(), None),
        (nn.ReLU6(), 6.0),
        (nn.Hardtanh(0, 2.5), 2.5),
        (lambda s, x: F.relu6(x), 6.0),
        (lambda s, x: F.hardtanh(x, 0, 2.5), 2.5),
        (lambda s, x: F.hardtanh(x, min_val=0.0), 1.0),
        (lambda s, x: torch.clamp(x, 0, max=4), 4.0),
        (lambda s, x: x.clamp_min(0), None),
        (lambda s, x: x.clip(min=0), None),
    ],
)
def test_ceiling_of_a_neuron(form, ceiling: float | None) -> None:
    *_, role = sort_into_roles(capture(Sandwich(form))).values()
    assert (role.kind, role.ceiling) == (Kind.NEURON, ceiling)


class Hopeless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 1), nn.FractionalMaxPool2d(2, output_size=2))
        self.gate = Product()
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.gate(self.stem(x))).sort(1)[1] ** 2.0
        x = x.renorm(2, 1, 1.0)
        x = F.gumbel_softmax(x, 1)
        return x.mean(0)


class Product(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.topk(x * F.relu(x), 4, 1)[1]


def line_of(cls: type, statement: str) -> str:
    lines, first = inspect.getsourcelines(cls)
    number = first + next(i for i, line in enumerate(lines) if statement in line)
    return f"{__file__}:{number}: {statement}"


def test_all_unsupported_operations_are_listed_at_once() -> None:
    with pytest.raises(UnsupportedOperations) as caught:
        convert(Hopeless(), "opi", torch.randn(2, 3, 4, 4))
    found = {operation.operation: operation for operation in caught.value.operations}
    expected = {
        "torch.nn.FractionalMaxPool2d": ("stem.1", None, "use max pooling"),
        "torch.topk": ("gate", line_of(Product, "return x * torch.topk("), "leave it out"),
        "Tensor.sort": ("", line_of(Hopeless, "x = self.norm("), "leave it out"),
        "Tensor.renorm": ("", line_of(Hopeless, "x = x.renorm("), "use operations that depend"),
        "torch.nn.functional.gumbel_softmax": ("", line_of(Hopeless, "x = F.gumbel"), "use operations"),
        "Tensor.mean over the batch axis": (
            "",
            line_of(Hopeless, "return x.mean(0)"),
            "treat the images",
        ),
    }
    assert set(found) == set(expected)
    message = str(caught.value)
    assert message.startswith("6 operation(s) have no spiking counterpart:")
    for operation, (path, source, advice) in expected.items():
        assert found[operation].path == path
        assert source is None or found[operation].source.startswith(source)
        assert found[operation].advice.startswith(advice)
        assert operation in message
        assert found[operation].source in message
        assert found[operation].advice in message


REFUSED = {
    "over the batch axis": lambda x: x.mean(),
    "mean over the batch axis": lambda x: x.mean(0),
    "mean over the batch axis ": lambda x: x.mean(dim=(0, 1)),
    "cat over the batch axis": lambda x: torch.cat([x, x]),
    "stack over the batch axis": lambda x: torch.stack([x, x]),
    "chunk over the batch axis": lambda x: x.chunk(2)[0],
    "transpose over the batch axis": lambda x: x.transpose(0, 1),
    "permute over the batch axis": lambda x: x.permute(1, 0, 2, 3),
    "getitem over the batch axis": lambda x: x[0],
    "getitem over the batch axis ": lambda x: x[:1],
    "divide without rounding": lambda x: torch.div(x, 2, rounding_mode="floor"),
    "attribute .T": lambda x: x.T,
    "clamp between bounds that are computed": lambda x: x.clamp(max=x.size(0)),
    "softmax over the batch axis": lambda x: x.softmax(0),
    "norm over the batch axis": lambda x: x.norm(),
    "normalize over the batch axis": lambda x: F.normalize(x, dim=0),
    "conv2d with a signal as weights": lambda x: F.conv2d(x, x),
    "conv2d with a signal as weights ": lambda x: F.conv2d(torch.ones(1, 3, 4, 4), x),
    "dropout in eval mode": lambda x: F.dropout(x, 0.5),
    "matmul with a signal as weights": lambda x: torch.ones(4) @ x,
    "Tensor.to torch.int32": lambda x: x.to(torch.int32),
    "concatenate over the batch axis": lambda x: torch.concatenate([x, x]),
    "unbind over the batch axis": lambda x: x.unbind()[0],
    "select over the batch axis": lambda x: x.select(0, 1),
    "roll over the batch axis": lambda x: x.roll(1, 0),
    "flip over the batch axis": lambda x: x.flip(0, 1),
    "flip over the batch axis ": lambda x: torch.flip(x, dims=[2, 0]),
    "mean over the batch axis  ": lambda x: x.mean(axis=0),
    "swapaxes over the batch axis": lambda x: x.swapaxes(0, 1),
    "unflatten over the batch axis": lambda x: x.unflatten(0, (1, -1)),
}


@pytest.mark.parametrize(("message", "operation"), REFUSED.items(), ids=[key.strip() for key in REFUSED])
def test_what_is_not_affine_or_mixes_images_is_refused(message: str, operation) -> None:
    class One(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return operation(x)

    with pytest.raises(UnsupportedOperations, match=message.strip()):
        sort_into_roles(capture(One()))


@pytest.mark.parametrize(
    ("operation", "slope"),
    [
        (F.leaky_relu, 0.01),
        (F.leaky_relu_, 0.01),
        (lambda x: F.leaky_relu(x, 0.2), 0.2),
        (lambda x: F.leaky_relu(x, negative_slope=0.3, inplace=True), 0.3),
        (nn.LeakyReLU(0.125), 0.125),
        (nn.LeakyReLU(0.0, inplace=True), 0.0),
        (F.relu, 0.0),
    ],
)
def test_leaky_relu_is_a_neuron_with_a_slope(operation, slope: float) -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.operation = operation

        def forward(self, x: Tensor) -> Tensor:
            return self.operation(x)

    (role,) = sort_into_roles(capture(One())).values()
    assert (role.kind, role.slope, role.ceiling) == (Kind.NEURON, slope, None)


def test_a_steep_slope_is_a_function_of_its_own() -> None:
    (role,) = sort_into_roles(capture(nn.Sequential(nn.LeakyReLU(1.5)))).values()
    assert (role.kind, role.function) == (Kind.NEURON, Elementwise("leaky_relu", (1.5,)))


def test_what_is_taken_from_a_refused_result_is_not_told_again() -> None:
    class Random(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.FractionalMaxPool2d(2, output_ratio=0.5, return_indices=True)

        def forward(self, x: Tensor) -> Tensor:
            output, _ = self.pool(x)
            return output[0]

    with pytest.raises(UnsupportedOperations) as caught:
        sort_into_roles(capture(Random()))
    assert [one.operation for one in caught.value.operations] == ["torch.nn.FractionalMaxPool2d"]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.MaxPool2d(2, return_indices=True), "MaxPool2d with return_indices"),
        (nn.BatchNorm2d(3, track_running_stats=False), "without running statistics"),
        (nn.Flatten(0), "Flatten over the batch axis"),
        (nn.FractionalMaxPool2d(2, output_ratio=0.5), "torch.nn.FractionalMaxPool2d"),
    ],
    ids=str,
)
def test_modules_without_a_counterpart_are_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedOperations, match=message):
        sort_into_roles(capture(nn.Sequential(module)))
