"""Layers that are called as functions: they become modules, fold, and compute what they did."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion.graph.capture import capture


class Functional(nn.Module):
    """Convolutions and a linear layer whose weights are the network's own, batch norms behind."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 3, 3, 3))
        self.norm = nn.BatchNorm2d(6)
        self.deep = Padded(6, 6, 3, stride=2, groups=6, bias=False)
        self.second = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)
        self.last = nn.BatchNorm1d(4)

    def forward(self, x):
        x = F.relu(self.norm(F.conv2d(x, self.kernel, padding=1)))
        x = F.relu(self.second(self.deep(x)))
        return self.last(F.linear(x.mean((2, 3)), self.head.weight, self.head.bias))


class Padded(nn.Conv2d):
    """A subclass, which is traced through: a border of its own, then the function."""

    def forward(self, x):
        return super().forward(F.pad(x, (1, 1, 2, 2)))


class Shared(nn.Module):
    """The same weights twice."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(3, 3, 1, 1))
        self.one, self.two = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x):
        x = F.relu(self.one(F.conv2d(x, self.kernel)))
        return F.relu(self.two(torch.conv2d(input=x, weight=self.kernel, bias=None, stride=[1])))


def used(network, images):
    with torch.no_grad():
        for _ in range(3):
            network.train()(images * torch.rand(1))
    return network.eval()


@pytest.fixture
def images():
    return torch.randn(5, 3, 8, 6, generator=torch.Generator().manual_seed(0))


def operations(captured):
    called = [node for node in captured.graph.nodes if node.op.startswith("call")]
    modules = [type(captured.get_submodule(str(n.target))).__name__ for n in called if n.op == "call_module"]
    return modules, [str(n.target) for n in called if n.op == "call_module"]


def test_functions_become_modules_and_batch_norms_fold(images):
    network = used(Functional(), images)
    before = copy.deepcopy(network.state_dict())
    captured = capture(network, images=images)
    modules, paths = operations(captured)
    assert modules == ["Conv2d", "Conv2d", "Linear"]
    assert paths[1:] == ["deep", "head"]  # the modules whose parameters they are
    deep = captured.get_submodule("deep")
    assert (deep.padding, deep.groups, deep.stride) == ((2, 1), 6, (2, 2))
    with torch.no_grad():
        torch.testing.assert_close(captured(images), network(images), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_shared_weights_stay_functions(images):
    network = used(Shared(), images)
    captured = capture(network, images=images)
    modules, _ = operations(captured)
    assert modules == ["BatchNorm2d", "BatchNorm2d"]
    with torch.no_grad():
        torch.testing.assert_close(captured(images), network(images))


@pytest.mark.parametrize(
    ("pad", "settings"),
    [
        ((1, 1, 1, 1), {"padding": 1}),
        ((0, 1, 0, 1), {}),  # more on one side
        ((1, 1, 1, 1), {"value": 0.5}),
        ((1, 1, 1, 1), {"mode": "reflect"}),
        ((1, 1), {}),
        ((-1, -1, 0, 0), {}),  # cut off
    ],
    ids=str,
)
def test_borders_of_every_kind_keep_what_they_do(pad, settings, images):
    class Bordered(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=settings.get("padding", 0))

        def forward(self, x):
            more = {key: value for key, value in settings.items() if key != "padding"}
            return self.conv(F.pad(x, pad, **more))

    network = Bordered().eval()
    captured = capture(network)
    with torch.no_grad():
        torch.testing.assert_close(captured(images), network(images))
    padded = any(node.target is F.pad for node in captured.graph.nodes)
    assert padded == (settings != {"padding": 1})


def test_a_border_that_others_read_stays(images):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x):
            x = F.pad(x, (1, 1, 1, 1))
            return self.conv(x) + x[:, :, 1:-1, 1:-1]

    network = Twice().eval()
    with torch.no_grad():
        torch.testing.assert_close(capture(network)(images), network(images))


def test_settings_of_one_number_and_of_words_are_kept(images):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
            self.other = nn.Parameter(torch.randn(4, 4, 3, 3))

        def forward(self, x):
            x = F.conv2d(x, self.kernel, None, [1], "same", (2, 1))
            return F.conv2d(F.relu(x), self.other, stride=2, padding="valid")

    network = Words().eval()
    captured = capture(network)
    assert operations(captured)[0] == ["Conv2d", "Conv2d"]
    with torch.no_grad():
        torch.testing.assert_close(captured(images), network(images))


def test_parts_of_a_module_that_calls_a_function_stay(images):
    class Owner(nn.Conv2d):
        def __init__(self):
            super().__init__(3, 4, 1)
            self.inner = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return self.inner(F.relu(super().forward(x)))

    network = nn.Sequential(Owner()).eval()
    captured = capture(network)
    assert operations(captured)[0] == ["Conv2d", "Conv2d"]
    with torch.no_grad():
        torch.testing.assert_close(captured(images), network(images))
