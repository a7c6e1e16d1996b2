"""Operators of PyTorch's core and of torchvision, called by hand."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from conversion.functions.deformed import deformed
from conversion.graph.capture import capture
from conversion.graph.roles import sort_into_roles

RECIPE = {"preset": "tracking", "neuron": {"gamma": 15}}
aten = torch.ops.aten


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.up = (
            nn.Parameter(torch.randn(4, 3, 3, 3) / 5),
            nn.Parameter(torch.randn(4, 4, 2, 2) / 5),
        )
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.convolution(x, self.weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
        n = self.norm
        x = torch.batch_norm(x, n.weight, n.bias, n.running_mean, n.running_var, False, 0.1, n.eps, False)
        x = aten.relu_(x)
        x = aten.convolution.default(x, self.up, None, [2, 2], [0, 0], [1, 1], True, [0, 0], 1)
        x = aten.slice.Tensor(aten.silu.default(x), 2, 0, 6)
        x = aten.slice(aten.add.Tensor(x, x, alpha=0.5), -1, 1)
        x = aten.upsample_nearest2d.vec(x, [8, 8], None)
        x = aten.view.default(aten.mean.dim(aten.max_pool2d(x, [2, 2]), [2, 3], True), [-1, 4])
        return aten.linear(aten.elu(x, 0.5), self.head.weight, self.head.bias)


def test_operators_called_by_hand_are_the_functions_that_they_implement() -> None:
    torch.manual_seed(0)
    network, images = ByHand().eval().requires_grad_(False), torch.randn(3, 3, 5, 5)
    ours, captured = sort_into_roles(capture(network, images=images), images), capture(network, images=images)
    assert not [role for role in ours.values() if "aten" in role.operation]
    torch.testing.assert_close(captured(images), network(images))
    snn, ann = convert(network, RECIPE, images), network(images)
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (1, 128))}
    assert distance[128] < 0.005
    assert snn.audit.verdict == "spiking"


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups", "moving", "masked"),
    [
        ((3, 3), (1, 1), (1, 1), (1, 1), 1, 1, True),
        ((3, 2), (2, 1), (1, 2), (1, 3), 2, 1, False),
        ((1, 3), (1, 2), (0, 1), (2, 1), 1, 2, True),
        ((2, 2), (2, 3), (0, 0), (1, 1), 4, 4, True),
    ],
)
def test_a_deformable_convolution_written_out_computes_what_torchvision_does(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    moving: int,
    masked: bool,
) -> None:
    ops = pytest.importorskip("torchvision.ops")
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 4, 6, 9), torch.randn(8, 4 // groups, *kernel), torch.randn(8)
    size = F.conv2d(x, torch.zeros(1, 4, *kernel), None, stride, padding, dilation).shape[2:]
    taps = kernel[0] * kernel[1] * moving
    offset, mask = 2 * torch.randn(2, 2 * taps, *size), torch.rand(2, taps, *size)
    settings = (*stride, *padding, *dilation, groups, moving, masked)
    ours = deformed(x, weight, offset, mask, bias, *settings, kernel=kernel)
    theirs = ops.deform_conv2d(x, offset, weight, bias, stride, padding, dilation, mask if masked else None)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


class Deformed(nn.Module):
    def __init__(self, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.offset, self.mask = nn.Conv2d(4, 18, 3, padding=1), nn.Conv2d(4, 9, 3, padding=1)
        self.layer, self.head = kind(4, 4, 3, padding=1, groups=2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.leaky_relu(self.layer(x, self.offset(x), self.mask(x).sigmoid()))
        return self.head(self.layer(x, self.offset(x)).mean((2, 3)))


def test_a_deformable_convolution_is_samples_a_mask_and_a_layer() -> None:
    ops = pytest.importorskip("torchvision.ops")
    torch.manual_seed(0)
    network, images = Deformed(ops.DeformConv2d).eval().requires_grad_(False), torch.randn(3, 3, 5, 5)
    snn, ann = convert(network, RECIPE, images), network(images)
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (1, 128))}
    assert distance[128] < 0.005
    assert distance[128] < distance[1] / 10
    alone = next(snn.simulate(images[1:2], 8)).output
    torch.testing.assert_close(alone, next(snn.simulate(images, 8, chunk=3)).output[1:2])
    assert set(snn.audit.reductions.values()) == {"conversion.functions.deformed.sampled_at"}
    layers = {
        one.name: one for one in snn.connectivity(images).layers if "layer" in one.name and "conv" in one.name
    }
    assert len(layers) == 2
    for one in layers.values():
        assert one.macs == 4 * 2 * 9 * 25
        (relay,) = one.fanout
        reached = snn.connectivity(images).reached(one, relay)
        assert torch.equal(
            reached, torch.full_like(reached, 2.0)
        )  # each sample meets the weights of its group
