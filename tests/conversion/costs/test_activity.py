"""Inputs that are not zero, against a loop over every output and every weight."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion.costs.activity import ActiveInputs


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
        self.again = nn.Conv2d(6, 6, 3, padding=2, dilation=2, bias=False)
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = F.relu(self.again(F.relu(self.again(x))))
        return self.head(x[..., :2, :2].flatten(1))


def brute_force(x: torch.Tensor, conv: nn.Conv2d) -> int:
    """Products of a weight and an input that is not zero."""
    stride, padding, dilation = conv.stride[0], conv.padding[0], conv.dilation[0]
    height, width = conv(x).shape[2:]
    per_group = conv.in_channels // conv.groups
    found = 0
    for b, out, i, j, c, di, dj in itertools.product(
        *(range(len(x)), range(conv.out_channels), range(height), range(width)),
        *(range(per_group), range(3), range(3)),
    ):
        row, column = i * stride + di * dilation - padding, j * stride + dj * dilation - padding
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            channel = out // (conv.out_channels // conv.groups) * per_group + c
            found += bool(x[b, channel, row, column] != 0)
    return found


@pytest.mark.parametrize("inference", [False, True])
def test_against_brute_force(inference: bool) -> None:
    torch.manual_seed(0)
    net, images = Net(), F.relu(torch.randn(3, 4, 5, 6))
    with torch.inference_mode(inference), ActiveInputs(net) as active:
        for batch in images.split(2):
            active.begin()
            net(batch)
    found = active.counts()
    first = F.relu(net.conv(images))
    second = F.relu(net.again(first))
    last = F.relu(net.again(second))[..., :2, :2]
    assert list(found) == ["conv", "again", "again#2", "head"]
    for name, x, conv in (
        ("conv", images, net.conv),
        ("again", first, net.again),
        ("again#2", second, net.again),
    ):
        assert found[name].inputs == int((x != 0).sum())
        assert found[name].macs == brute_force(x, conv)
    assert found["head"].macs == 5 * found["head"].inputs == 5 * int((last != 0).sum())


def test_transposed_convolutions_and_other_axes() -> None:
    up, line = nn.ConvTranspose2d(2, 3, 2, stride=2), nn.Linear(4, 7)
    net = nn.Sequential(up, line)
    x = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])  # [1, 2, 1, 2]
    with ActiveInputs(net) as active:
        active.begin()
        net(x)
    assert active.counts()["0"].macs == 2 * 3 * 4  # each meets 2 x 2 weights for 3 channels
    assert active.counts()["1"].macs == 7 * int((up(x) != 0).sum())


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.Linear(6, 5)], ids=str)
def test_weights_of_zero_are_skipped(layer: nn.Module) -> None:
    x = F.relu(torch.randn(3, 4, 5, 6))
    layer.weight.data *= torch.rand_like(layer.weight) > 0.5
    with ActiveInputs(nn.Sequential(layer)) as active:
        active.begin()
        nn.Sequential(layer)(x)
    products = copy.deepcopy(layer)
    products.weight.data, products.bias.data = (layer.weight != 0).float(), torch.zeros_like(layer.bias)
    assert active.counts()["0"].macs == int(products((x != 0).float()).sum().round())


def test_nothing_is_left_behind() -> None:
    net = Net()
    with ActiveInputs(net) as active:
        pass
    net(torch.randn(1, 4, 5, 6))
    assert active.counts() == {}
    assert not net.conv._forward_pre_hooks
