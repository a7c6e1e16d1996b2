import copy
import inspect
import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.errors import CaptureError
from conversion.graph.capture import capture
from conversion.graph.nodes import source_line


def randomised(network: nn.Module) -> nn.Module:
    """Double precision, batch norms that matter."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.3, 2)
            if module.affine:
                nn.init.uniform_(module.weight, -1.5, 1.5)
                nn.init.normal_(module.bias)
    return network.double().eval()


def norms_in(network: nn.Module) -> int:
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def assert_same_function(network: nn.Module, images: Tensor) -> nn.Module:
    captured = capture(network)
    expected = network(images.clone())
    torch.testing.assert_close(captured(images.clone()), expected)
    torch.testing.assert_close(captured(images.clone()), expected)  # nothing is changed in place
    return captured


PAIRS = [
    (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), (4, 7, 7)),
    (nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6, affine=False), (4, 7, 7)),
    (nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding=1), nn.BatchNorm2d(6), (4, 7, 7)),
    (nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.BatchNorm2d(4), (4, 7, 7)),
    (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(6), (4, 7, 7)),
    (nn.Conv1d(4, 5, 3), nn.BatchNorm1d(5), (4, 9)),
    (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), (2, 4, 4, 4)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), (4, 5, 5)),
    (nn.ConvTranspose1d(4, 6, 3), nn.BatchNorm1d(6), (4, 5)),
    (nn.Linear(5, 6), nn.BatchNorm1d(6), (5,)),
    (nn.Linear(5, 6, bias=False), nn.BatchNorm1d(6), (5,)),
]


@pytest.mark.parametrize(("layer", "norm", "size"), PAIRS, ids=lambda value: str(value)[:60])
def test_batch_norm_is_folded(layer: nn.Module, norm: nn.Module, size: tuple[int, ...]) -> None:
    network = randomised(nn.Sequential(layer, norm, nn.ReLU()))
    captured = assert_same_function(network, torch.randn(3, *size, dtype=torch.float64))
    assert norms_in(captured) == 0


class Awkward(nn.Module):
    """Batch norms that must stay, or be folded with care; `case` picks one."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case
        self.conv, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.norm, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.up = nn.ConvTranspose2d(3, 3, 2, groups=3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.case == "layer is read twice":
            return self.norm(y) + y
        if self.case == "layer is called twice":
            return self.norm(y) + self.second(self.conv(2 * x))
        if self.case == "layer is called twice in a row":
            return self.norm(self.conv(y))
        if self.case == "norm is shared":
            return self.norm(y) - self.norm(self.other(x))
        if self.case == "norm comes first":
            return self.conv(self.norm(x))
        if self.case == "norm follows a sum":
            return self.norm(y + x)
        if self.case == "norm follows a norm":
            return self.second(self.norm(y))
        if self.case == "weights are used elsewhere":
            return self.norm(y) + F.conv2d(x, self.conv.weight)
        return self.norm(self.up(x))


@pytest.mark.parametrize(
    ("case", "left"),
    [
        ("layer is read twice", 1),
        ("layer is called twice", 2),
        ("layer is called twice in a row", 1),
        ("norm is shared", 0),
        ("norm comes first", 1),
        ("norm follows a sum", 1),
        ("norm follows a norm", 0),
        ("weights are used elsewhere", 1),
        ("grouped transposed convolution", 1),
    ],
)
def test_awkward_batch_norms_stay_right(case: str, left: int) -> None:
    network = randomised(Awkward(case))
    captured = assert_same_function(network, torch.randn(3, 3, 5, 5, dtype=torch.float64))
    assert norms_in(captured) == left


class InPlace(nn.Module):
    """Whoever reads a value after it was changed in place means the new one."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case
        self.conv, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        before = y * 2  # reads the value before it changes
        if self.case == "module":
            self.relu(y)
        elif self.case == "function":
            F.relu(y, inplace=True)
        elif self.case == "relu_ function":
            torch.relu_(y)
        elif self.case == "method":
            y.relu_()
        elif self.case == "clamp":
            y.clamp_(min=0)
        elif self.case == "operators":
            y += x
            y *= 3
            y -= before
            y /= 2
        elif self.case == "methods":
            y.add_(x).mul_(3).sub_(before).div_(2)
        elif self.case == "twice":
            y += x
            self.relu(y)
            y += y
        return self.conv(y) + y + before


@pytest.mark.parametrize(
    "case",
    ["module", "function", "relu_ function", "method", "clamp", "operators", "methods", "twice"],
)
def test_in_place_changes_reach_later_readers_only(case: str) -> None:
    network = InPlace(case).double()
    assert_same_function(network, torch.randn(2, 3, 5, 5, dtype=torch.float64))


def test_network_is_left_untouched() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.Conv2d(4, 2, 1)
    )
    seen = []
    network[0].register_forward_hook(lambda *_: seen.append(1))
    network.train()
    network[4].eval()
    before, kept = copy.deepcopy(network.state_dict()), dict(network.named_modules())
    captured = capture(network)
    captured(torch.randn(2, 3, 6, 6))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert dict(network.named_modules()) == kept
    assert [module.training for module in network] == [True, True, True, True, False]
    assert network[2].inplace
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert len(network[0]._forward_hooks) == 1
    assert not any(module.training for module in captured.modules())
    shared = {p.data_ptr() for p in network.parameters()} & {p.data_ptr() for p in captured.parameters()}
    assert not shared


def test_dropout_of_training_mode_is_ignored() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.drop = nn.Conv2d(3, 4, 1), nn.Dropout2d(0.9)

        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(self.drop(self.conv(x)), 0.9, training=self.training)

    network = Forgetful().train()
    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(capture(network)(images), network.conv(images))


class DependsOnValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:  # this statement
            return x
        return -x


def test_capture_error_names_the_statement() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), DependsOnValues())
    lines, first = inspect.getsourcelines(DependsOnValues)
    number = first + next(i for i, line in enumerate(lines) if "this statement" in line)
    with pytest.raises(CaptureError) as caught:
        capture(network)
    message = str(caught.value)
    assert f"{__file__}:{number}: if x.sum() > 0:" in message
    assert "cannot trace Sequential" in message
    assert 'convert(..., submodule="0"). Parts that trace: 0.' in message


def test_every_operation_knows_its_source_line() -> None:
    class Lines(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x + 1
            return F.relu(x)

    nodes = {node.name: source_line(node) for node in capture(Lines()).graph.nodes}
    assert re.fullmatch(rf"{re.escape(__file__)}:\d+: x = x \+ 1", nodes["add"])
    assert re.fullmatch(rf"{re.escape(__file__)}:\d+: return F.relu\(x\)", nodes["relu"])
