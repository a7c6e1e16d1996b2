"""Ways of writing networks that people use today: what they wrote converts, is counted, and is kept."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import UnsupportedOperations, convert, load

RECIPE = {"preset": "tracking", "neuron": {"gamma": 15}}


class OnMaps(nn.Module):
    """A convolution before and a linear layer after what is tried."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(8, 5)
        self.build()

    def build(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tried(self.stem(x)).mean((2, 3)))


class DynamicConvolution(OnMaps):
    """A kernel mixed for each image; the images are groups of one convolution."""

    def build(self) -> None:
        self.attention = nn.Linear(8, 3)
        self.weight = nn.Parameter(torch.randn(3, 8, 8, 3, 3) * 0.2)
        self.bias = nn.Parameter(torch.randn(3, 8))

    def tried(self, x: Tensor) -> Tensor:
        shares = self.attention(x.mean((2, 3))).softmax(1)
        b, c, h, w = x.size()
        weight = torch.mm(shares, self.weight.view(3, -1)).view(b * 8, c, 3, 3)
        bias = torch.mm(shares, self.bias).view(-1)
        y = F.conv2d(x.view(1, -1, h, w), weight=weight, bias=bias, padding=1, groups=b)
        return F.relu(y.view(b, 8, y.size(-2), y.size(-1)))


class Modulated(OnMaps):
    """StyleGAN: weights times a style of each image, normalised; upwards by a transposed convolution."""

    def build(self) -> None:
        self.weight = nn.Parameter(torch.randn(1, 8, 8, 2, 2) * 0.3)
        self.style = nn.Linear(8, 8)

    def tried(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        weight = self.weight * (self.style(x.mean((2, 3))).view(b, c, 1, 1, 1) + 1)
        weight = weight * torch.rsqrt(weight.pow(2).sum((1, 3, 4), keepdim=True) + 1e-8)
        y = F.conv_transpose2d(x.reshape(1, b * c, h, w), weight.view(b * c, 8, 2, 2), stride=2, groups=b)
        return F.leaky_relu(y.view(b, 8, 2 * h, 2 * w), 0.2)


class OwnFilters(OnMaps):
    """A depthwise kernel for each image and channel, from what a convolution without activation gives."""

    def build(self) -> None:
        self.before, self.kernels = nn.Conv2d(8, 8, 1), nn.Linear(8, 8 * 9)

    def tried(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        kernels = self.kernels(x.mean((2, 3))).view(b * c, 1, 3, 3)
        return F.conv2d(self.before(x).view(1, b * c, h, w), kernels, padding=1, groups=b * c).view_as(x)


class WithPlaces(nn.TransformerEncoderLayer):
    """RT-DETR: a layer of torch.nn whose forward prepares what it gets."""

    def forward(self, x: Tensor) -> Tensor:
        c, h, w = x.shape[1:]
        angles = torch.outer(torch.arange(float(h * w)), torch.tensor([1.0, 0.5, 0.2, 0.1]))
        places = torch.cat([angles.sin(), angles.cos()], 1)[None]
        return super().forward(x.flatten(2).permute(0, 2, 1) + places).permute(0, 2, 1).view([-1, c, h, w])


class Encoder(OnMaps):
    def build(self) -> None:
        self.layer = WithPlaces(8, 2, 16, activation="gelu", batch_first=True)

    def tried(self, x: Tensor) -> Tensor:
        return self.layer(x).contiguous()


class ToItself(nn.MultiheadAttention):
    """Attention of torch.nn with another forward."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x, x, x, need_weights=False)[0]


class SelfAttention(OnMaps):
    def build(self) -> None:
        self.attention = ToItself(8, 2, batch_first=True)

    def tried(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return (tokens + self.attention(tokens)).transpose(1, 2).unflatten(2, (6, 6))


class AttentionPool(OnMaps):
    """CLIP: the function of attention, with weights of its own."""

    def build(self) -> None:
        self.q, self.k, self.v, self.c = (nn.Linear(8, 8) for _ in range(4))

    def tried(self, x: Tensor) -> Tensor:
        x = x.flatten(start_dim=2).permute(2, 0, 1)
        x = torch.cat([x.mean(dim=0, keepdim=True), x], dim=0)
        x, _ = F.multi_head_attention_forward(
            *(x[:1], x, x, x.shape[-1], 2, None, torch.cat([self.q.bias, self.k.bias, self.v.bias])),
            *(None, None, False, 0, self.c.weight, self.c.bias),
            q_proj_weight=self.q.weight,
            k_proj_weight=self.k.weight,
            v_proj_weight=self.v.weight,
            use_separate_proj_weight=True,
            training=self.training,
            need_weights=False,
        )
        return x.squeeze(0)[..., None, None]


class CornerPooling(OnMaps):
    """Running maxima from two sides."""

    def build(self) -> None:
        self.after = nn.Conv2d(8, 8, 1)

    def tried(self, x: Tensor) -> Tensor:
        down, _ = torch.cummax(x, dim=2)
        return self.after(down + x.flip(3).cummax(3)[0].flip(3))


class LargestFew(OnMaps):
    """Means of the largest values, the median, and all values in their order."""

    def build(self) -> None:
        self.order = nn.Linear(36, 1)

    def tried(self, x: Tensor) -> Tensor:
        x = x.flatten(2)
        few = torch.topk(x, 4, dim=-1)[0].mean(-1, keepdim=True) + x.median(dim=2, keepdim=True).values
        return (few + self.order(x.sort(dim=-1, descending=True)[0]))[..., None]


def swish(x: Tensor) -> Tensor:
    return x.mul(torch.sigmoid(x))


with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # torch has better plans
    scripted_swish = torch.jit.script(swish)


class Scripted(OnMaps):
    """A function of torch.jit.script, as timm has them."""

    def build(self) -> None:
        self.conv = nn.Conv2d(8, 8, 1)

    def tried(self, x: Tensor) -> Tensor:
        return scripted_swish(self.conv(x))


class InPlace(OnMaps):
    """Parts of a value that are changed where they are, and results that are put where `out` says."""

    def build(self) -> None:
        self.conv = nn.Conv2d(8, 8, 1)

    def tried(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x[:, :4].mul_(0.5)
        x[:, 4:] += 1.0
        x[:, 2][:, 1:].relu_()
        half = torch.empty_like(x)
        torch.mul(x, 0.5, out=half)
        return half + x


class Wavelet(OnMaps):
    """A map that is made empty and filled part by part."""

    def build(self) -> None:
        self.conv = nn.Conv2d(8, 8, 1)

    def tried(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        out = torch.empty(x.shape[0], 2, 12, 12, device=x.device)
        for place in range(4):
            out[:, :, place // 2 :: 2, place % 2 :: 2] = y[:, 2 * place : 2 * place + 2]
        return F.pixel_unshuffle(out, 2)


class NumPyNames(OnMaps):
    """Axes by the names of NumPy; a check that a value is a tensor."""

    def build(self) -> None:
        self.gate = nn.Conv2d(8, 8, 1)

    def tried(self, x: Tensor) -> Tensor:
        if not torch.is_tensor(x):
            raise TypeError("no tensor")
        return x * torch.sigmoid(self.gate(x.mean(axis=2, keepdims=True).sum(axis=3, keepdims=True)))


class BuffersForAll(OnMaps):
    """A buffer with an entry for each image, asked for its size; parts in another order."""

    def build(self) -> None:
        self.register_buffer("places", torch.randn(1, 8, 6, 6))
        self.register_buffer("order", torch.tensor([2, 0, 1]).view(1, 1, 3, 1))
        self.conv = nn.Conv2d(16, 8, 1)

    def tried(self, x: Tensor) -> Tensor:
        places = self.places.expand(x.size(0), -1, -1, -1)
        places = torch.cat(places.chunk(2, 1)[::-1], 1)
        x = self.conv(torch.cat([x, x.view(-1, places.size(1), 6, 6) + places], 1))
        return torch.gather(x, 2, self.order.expand(x.shape[0], 8, 3, 6))


class SumsByLetters(OnMaps):
    """Products of two signals, and with constants, by equations with dots."""

    def build(self) -> None:
        self.weight, self.each = nn.Parameter(torch.randn(8, 4)), nn.Parameter(torch.randn(1, 4, 8))

    def tried(self, x: Tensor) -> Tensor:
        x = torch.einsum("...i,ij->...j", x.permute(0, 2, 3, 1), self.weight / math.sqrt(8))
        x = F.relu(x).flatten(1, 2)
        x = torch.einsum("bnd,bde->bne", x, self.each.expand(x.shape[0], -1, -1))
        running = torch.einsum("...d,...e->...de", F.relu(x), torch.sigmoid(x)).cumsum(dim=1)
        return torch.einsum("...ee->...e", running).transpose(1, 2)[..., None]


class SpatialTransformer(OnMaps):
    """Places that a linear layer turns, at which the map is sampled."""

    def build(self) -> None:
        self.turn, self.conv = nn.Linear(8, 6), nn.Conv2d(8, 8, 1)

    def tried(self, x: Tensor) -> Tensor:
        theta = self.turn(x.mean((2, 3))).view(-1, 2, 3) + torch.eye(2, 3)
        places = F.affine_grid(theta, x.size(), align_corners=False)
        return F.relu(self.conv(F.grid_sample(x, places, align_corners=False)))


class TwoViews(OnMaps):
    """Two views of an image in one batch, one behind the other, which share a layer and part again."""

    def build(self) -> None:
        self.shared = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())

    def tried(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        both = self.shared(torch.cat([x, x.flip(3)]))
        a, b = torch.split(F.avg_pool2d(both, 2), [n, n], dim=0)
        again = self.shared(torch.cat((a, b, a - b), dim=0)).chunk(3)
        last = self.shared(torch.cat([again[0], again[1] * again[2]], 0))
        return last[:n] - 0.5 * last[n:]


class Slices(OnMaps):
    """Parts of nn.Sequential, a new one of parts, and numbers of NumPy."""

    def build(self) -> None:
        self.layers = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.GELU())

    def tried(self, x: Tensor) -> Tensor:
        scale = np.sqrt(0.5) * x / np.float32(2)
        return self.layers[2:](self.layers[:2](x)) + nn.Sequential(*list(self.layers)[:2])(scale)


NETWORKS = {
    kind.__name__: kind
    for kind in (
        *(DynamicConvolution, Modulated, OwnFilters, Encoder, SelfAttention, AttentionPool, CornerPooling),
        *(LargestFew, Scripted, InPlace, Wavelet, NumPyNames, BuffersForAll, SumsByLetters),
        *(SpatialTransformer, TwoViews, Slices),
    )
}


def built(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return NETWORKS[name]().eval().requires_grad_(False), torch.randn(3, 3, 6, 6)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_converts_counted_one_by_one_and_is_kept(
    name: str, tmp_path: Path, monkeypatch, one_by_one, unit_by_unit
) -> None:
    network, images = built(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    snn = convert(network, RECIPE, images)
    ann = network(images)
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (1, 64))}
    assert distance[64] < 0.01
    assert distance[64] < distance[1] / 5
    alone = next(snn.simulate(images[1:2], 8)).output
    torch.testing.assert_close(alone, next(snn.simulate(images, 8, chunk=3)).output[1:2])
    found, readout = one_by_one.counted(snn, images, 3, monkeypatch)
    for layer, number in found.items():
        assert readout.activity.synops[layer] == pytest.approx(number), layer
    tried, differing = unit_by_unit.differing(snn, images[:1])
    assert tried
    assert not differing
    snn.save(tmp_path / "kept.pt")
    (ours,), (theirs,) = (one.simulate(images, 3) for one in (snn, load(tmp_path / "kept.pt")))
    assert torch.equal(ours.output, theirs.output)
    assert ours.activity == theirs.activity
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_convolution_by_a_signal_is_a_product_of_two() -> None:
    network, images = built("DynamicConvolution")
    snn = convert(network, RECIPE, images)
    assert set(snn.audit.reductions.values()) == {"Tensor.softmax"}
    layers = {layer.name: layer for layer in snn.connectivity(images).layers}
    first, second = (
        next(one for n, one in layers.items() if "conv2d" in n and ("second" in n) == s) for s in (0, 1)
    )
    taps = torch.tensor([2.0, 3, 3, 3, 3, 2])
    expected = 8 * (taps[:, None] * taps).expand(8, 6, 6)
    assert torch.equal(snn.connectivity(images).reached(first, "stem.1"), expected.double())
    (relay,) = second.fanout
    reached = snn.connectivity(images).reached(second, relay)  # of one output channel: all eight are alike
    assert reached.shape == (8, 3, 3)
    assert 8 * reached.sum() == expected.sum()


def test_views_that_stay_one_behind_the_other_are_refused() -> None:
    class Longer(OnMaps):
        def tried(self, x: Tensor) -> Tensor:
            return torch.cat([x, x.flip(3)])

    with pytest.raises(UnsupportedOperations, match=r"torch\.cat over the batch axis"):
        convert(Longer().eval(), RECIPE, torch.randn(3, 3, 6, 6))


@dataclass
class Out:
    logits: Tensor
    more: dict[str, Tensor]
    none: None = None


def test_fields_of_a_dataclass_are_read_by_name() -> None:
    class Fields(OnMaps):
        def forward(self, x: Tensor) -> Out:
            x = self.stem(x)
            return Out(self.head(x.mean((2, 3))), {"maps": x})

    network, images = Fields().eval(), torch.randn(3, 3, 6, 6)
    *_, last = convert(network, RECIPE, images).simulate(images, 64)
    ann = network(images)
    assert last.output.keys() == {"logits", "more", "none"}
    torch.testing.assert_close(last.output["logits"], ann.logits, rtol=0, atol=0.02)
    torch.testing.assert_close(last.output["more"]["maps"], ann.more["maps"], rtol=0, atol=0.02)


def test_places_that_are_read_are_refused_by_name() -> None:
    class Places(OnMaps):
        def tried(self, x: Tensor) -> Tensor:
            values, places = x.flatten(2).topk(3, dim=2)
            return (values * places)[..., None]

    with pytest.raises(UnsupportedOperations, match=r"Tensor\.topk"):
        convert(Places().eval(), RECIPE, torch.randn(3, 3, 6, 6))
