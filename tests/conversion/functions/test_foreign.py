"""Networks as people post them: what their authors wrote converts, is counted one by one, and is kept."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert, load

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
RECIPE = {"preset": "tracking", "neuron": {"gamma": 15}}


class OnMaps(nn.Module):
    """A convolution before and a linear layer after what is tried."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tried(self.stem(x)).mean((2, 3)))


class OnTokens(OnMaps):
    """The same on pixels as tokens [B, N, 8]."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tried(self.stem(x).flatten(2).transpose(1, 2)).mean(1))


class ChannelAttention(OnMaps):
    """ECA: a convolution over channels; the gate takes the shape of the map."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.conv = nn.AdaptiveAvgPool2d(1), nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def tried(self, x: Tensor) -> Tensor:
        y = self.conv(self.pool(x).squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return x * y.sigmoid_().expand_as(x)


class PlaceAttention(OnMaps):
    """CBAM: the largest values over channels, and a pooling whose window is the map."""

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.places = nn.Linear(8, 8), nn.Conv2d(2, 1, 3, padding=1)

    def tried(self, x: Tensor) -> Tensor:
        window = (x.size(2), x.size(3))
        pooled = F.max_pool2d(x, window, stride=window).flatten(1)
        x = x * torch.sigmoid(self.channels(pooled)).unsqueeze_(2).unsqueeze_(3)
        largest, _ = torch.max(x, dim=1, keepdim=True)
        smallest = x.min(1, keepdim=True)[0]
        return self.places(torch.cat([largest, smallest], 1)).sigmoid() * x


def partition(x: Tensor, side: int) -> Tensor:
    b, h, w, c = x.shape
    x = x.view(b, h // side, side, w // side, side, c)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, side, side, c)


class Windows(OnMaps):
    """Swin as its authors wrote it: the number of images by int(), a mask, a bias by place."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
        self.table = nn.Parameter(torch.randn(25, 2))
        places = torch.stack(torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij")).flatten(1)
        between = (places[:, :, None] - places[:, None] + 2).permute(1, 2, 0)
        self.register_buffer("index", between[..., 0] * 5 + between[..., 1])
        regions = partition(torch.arange(36.0).div(18, rounding_mode="floor").view(1, 6, 6, 1), 3).view(-1, 9)
        apart = regions[:, None] - regions[:, :, None]
        self.register_buffer("mask", apart.masked_fill(apart != 0, -100.0))

    def tried(self, x: Tensor) -> Tensor:
        x = torch.roll(x.permute(0, 2, 3, 1), (-1, -1), (1, 2))
        windows = partition(x, 3).view(-1, 9, 8)
        b, n, c = windows.shape
        q, k, v = self.qkv(windows).reshape(b, n, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * 2) @ k.transpose(-2, -1)
        bias = self.table[self.index.view(-1)].view(n, n, -1).permute(2, 0, 1)
        scores = scores + bias.unsqueeze(0)
        scores = scores.view(b // 4, 4, 2, n, n) + self.mask.unsqueeze(1).unsqueeze(0)
        mixed = scores.view(-1, 2, n, n).softmax(-1) @ v
        windows = self.proj(mixed.transpose(1, 2).reshape(b, n, c)).view(-1, 3, 3, c)
        images = int(windows.shape[0] / (6 * 6 / 3 / 3))
        x = windows.view(images, 2, 2, 3, 3, -1).permute(0, 1, 3, 2, 4, 5).contiguous().view(images, 6, 6, -1)
        return torch.roll(x, (1, 1), (1, 2)).permute(0, 3, 1, 2)


class LanguageAttention(OnTokens):
    """Grouped queries, rotary places, a causal mask, and a norm that goes through single precision."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 4), nn.Linear(8, 4)
        self.weight = nn.Parameter(torch.rand(8))
        angles = torch.outer(torch.arange(36.0), torch.tensor([1.0, 0.1])).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def rotated(self, x: Tensor) -> Tensor:
        n, half = x.shape[-2], x.shape[-1] // 2
        other = torch.cat((-x[..., half:], x[..., :half]), -1)
        return x * self.cos[:n] + other * self.sin[:n]

    def tried(self, x: Tensor) -> Tensor:
        y = x.float()
        y = (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)).type_as(x) * self.weight
        b, n, _ = y.shape
        q, k = self.q(y).view(b, n, 2, 4).transpose(1, 2), self.k(y).view(b, n, 1, 4).transpose(1, 2)
        v = self.v(y).view(b, n, 1, 4).transpose(1, 2)
        k, v = (each.repeat_interleave(2, dim=1) for each in (self.rotated(k), v))
        scores = self.rotated(q) @ k.transpose(2, 3) / math.sqrt(4)
        scores = scores.masked_fill(torch.tril(torch.ones(n, n)) == 0, float("-inf"))
        return x + (scores.softmax(-1) @ v).transpose(1, 2).contiguous().view(b, n, -1)


class ComplexPlaces(OnTokens):
    """Rotary places as complex numbers of size 1."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
        angles = torch.outer(torch.arange(36.0), torch.tensor([1.0, 0.3, 0.1, 0.03]))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles))

    def rotated(self, x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * self.turns[: x.shape[1]]).flatten(2).type_as(x)

    def tried(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(self.rotated(self.q(x)), self.rotated(self.k(x)), self.v(x))


class Queries(OnTokens):
    """DETR: learned queries for every image ask what a transformer with sequences first has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.Transformer(8, 2, 1, 1, 12)
        self.queries, self.places = nn.Parameter(torch.rand(3, 8)), nn.Parameter(torch.rand(36, 1, 8))

    def tried(self, x: Tensor) -> Tensor:
        queries = self.queries.unsqueeze(1).repeat(1, x.shape[0], 1)
        return self.transformer(self.places + x.permute(1, 0, 2), queries).transpose(0, 1)


class Shift(OnMaps):
    """Channels that move by a pixel, written into a map of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.after = nn.Conv2d(8, 8, 1)

    def tried(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        out[:, :3, :, 1:] = x[:, :3, :, :-1]
        out[:, 3:6, 1:] = x[:, 3:6, :-1]
        out[:, 6:] = x[:, 6:]
        return self.after(out)


class ByComparison(OnMaps):
    """Leaky ReLU, ReLU and a window of values, by comparing."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

    def tried(self, x: Tensor) -> Tensor:
        x = self.a(torch.where(x > 0, x, 0.1 * x))
        x = self.b(x * (x > 0).float())
        return x.masked_fill((x > 0.5) | ~(x >= -0.5), 0.0)


class SoftExperts(OnTokens):
    """Soft mixture of experts: sums over products with constants, and of two signals."""

    def __init__(self) -> None:
        super().__init__()
        self.phi = nn.Parameter(torch.randn(8, 2, 3))
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))

    def tried(self, x: Tensor) -> Tensor:
        scores = torch.einsum("bmd,dnp->bmnp", x, self.phi)
        combine = scores.flatten(2).softmax(2).view_as(scores)
        slots = torch.einsum("bmd,bmnp->bnpd", x, scores.softmax(1))
        outputs = torch.stack([expert(slots[:, i]) for i, expert in enumerate(self.experts)], 1)
        return torch.einsum("bnpd,bmnp->bmd", outputs, combine)


class Unfolded(OnMaps):
    """MobileViTv2: separable attention on patches that are unfolded and folded again."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Conv2d(8, 17, 1), nn.Conv2d(8, 8, 1)

    def tried(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(F.unfold(x, 2, stride=2).reshape(b, c, 4, -1)).split([1, 8, 8], dim=1)
        context = (k * q.softmax(-1)).sum(-1, keepdim=True)
        y = self.out(F.relu(v) * context.expand_as(v)).reshape(b, c * 4, -1)
        return x + F.fold(y, output_size=(h, w), kernel_size=2, stride=2)


class Capsules(OnTokens):
    """Weights before the signal, and agreement between capsules."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(1, 36, 2, 4, 8) * 0.5)
        self.out = nn.Linear(4, 8)

    def tried(self, x: Tensor) -> Tensor:
        votes = torch.matmul(self.weights, x[:, :, None, :, None]).squeeze(-1)
        mean = votes.mean(1, keepdim=True)
        agreement = (votes * mean).sum(-1, keepdim=True).softmax(2)
        return self.out((agreement * votes).sum(1))


class Anchors(OnMaps):
    """YOLO: anchors are made when the size changes, and kept."""

    shape = None

    def tried(self, x: Tensor) -> Tensor:
        shape = x.shape
        if self.shape != shape:
            ys, xs = torch.meshgrid(torch.arange(shape[2]) + 0.5, torch.arange(shape[3]) + 0.5, indexing="ij")
            self.anchors, self.shape = torch.stack((xs, ys)).unsqueeze(0), shape
        near, far = x.chunk(2, 1)
        boxes = torch.cat([self.anchors - near[:, :2], self.anchors + far[:, :2]], 1)
        boxes[..., :2] = boxes[..., :2] * 2
        return torch.cat([boxes, near], 1)


class Moments(OnMaps):
    """Mean and variance of every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(16, 8)

    def tried(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3))
        return self.both(torch.hstack([variance, mean]))[:, :, None, None]


class Hooks(OnMaps):
    """A hook that changes what an activation gives, and one that changes what a layer gets."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.conv = nn.ReLU(), nn.Conv2d(8, 8, 1)
        self.relu.register_forward_hook(lambda module, args, output: 2 * output - 1)
        self.conv.register_forward_pre_hook(lambda module, args: 0.5 * args[0])

    def tried(self, x: Tensor) -> Tensor:
        return self.conv(self.relu(x))


NETWORKS = {
    kind.__name__: kind
    for kind in (
        *(
            ChannelAttention,
            PlaceAttention,
            Windows,
            LanguageAttention,
            Queries,
            Shift,
            ComplexPlaces,
            ByComparison,
        ),
        *(SoftExperts, Unfolded, Capsules, Anchors, Moments, Hooks),
    )
}


def built(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return NETWORKS[name]().eval().requires_grad_(False), torch.randn(3, 3, 6, 6)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_converts_and_comes_closer(name: str) -> None:
    network, images = built(name)
    snn = convert(network, RECIPE, images)
    ann = network(images)
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (1, 64))}
    assert distance[64] < 0.01
    assert distance[64] < distance[1] / 5


@pytest.mark.parametrize("name", NETWORKS)
def test_operations_are_those_counted_one_by_one(name: str, monkeypatch, one_by_one) -> None:
    network, images = built(name)
    snn = convert(network, RECIPE, images)
    found, readout = one_by_one.counted(snn, images, 3, monkeypatch)
    assert found or name in ("Anchors", "Hooks", "Moments", "Shift")  # what reads sums, or several spikes
    for layer, number in found.items():
        assert readout.activity.synops[layer] == pytest.approx(number), layer


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_kept(name: str, tmp_path: Path) -> None:
    network, images = built(name)
    snn = convert(network, RECIPE, images)
    snn.save(tmp_path / "kept.pt")
    (ours,), (theirs,) = (one.simulate(images, 3) for one in (snn, load(tmp_path / "kept.pt")))
    assert torch.equal(ours.output, theirs.output)
    assert ours.activity == theirs.activity


def test_hooks_that_only_look_see_no_stand_ins() -> None:
    network, images = built("ChannelAttention")
    seen = []
    for module in (network.stem, network.conv, network):
        module.register_forward_hook(lambda module, args, output: seen.append(float(output.mean())))
    snn = convert(network, RECIPE, images)
    assert all(isinstance(value, float) for value in seen)
    assert all(len(module._forward_hooks) == 1 for module in (network.stem, network.conv, network))
    seen.clear()
    list(snn.simulate(images, 2))
    assert not seen
