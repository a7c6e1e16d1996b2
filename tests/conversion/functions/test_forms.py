"""The same operations in the many forms in which people write them: gates, attention, norms, places."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert, load


class Tokens(nn.Module):
    """Base of what works on the pixels as tokens [B, N, 8]."""

    def tokens(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class Einsum(Tokens):
    def __init__(self) -> None:
        super().__init__()
        self.project, self.out = nn.Linear(8, 24), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(self.tokens(x)).chunk(3, -1)
        scores = torch.einsum("bnd,bmd->bnm", q, k).softmax(-1)
        return self.out(torch.einsum("bnm,bmd->bnd", scores, v)).mean(1)


class ScaledDotProduct(Tokens):
    def __init__(self) -> None:
        super().__init__()
        self.project, self.out = nn.Linear(8, 24), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.project(self.tokens(x)).view(b, h * w, 3, 2, 4).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(b, h * w, c)).mean(1)


class RotatedPlaces(Tokens):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.project, self.out = nn.RMSNorm(8), nn.Linear(8, 8), nn.Linear(36, 3)
        self.register_buffer("angles", torch.rand(36, 4, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.project(self.norm(self.tokens(x)))
        a, b, cosine, sine = x[..., :4], x[..., 4:], self.angles.cos(), self.angles.sin()
        x = torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)
        return self.out(x @ x.transpose(1, 2)).mean(1)


class ClassToken(Tokens):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), self.tokens(x)], 1)
        return self.out(self.encoder(x)[:, 0])


class Written(nn.Module):
    """Between two convolutions, an activation as somebody writes it by hand."""

    def __init__(self, operation) -> None:
        super().__init__()
        self.first, self.last, self.operation = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1), operation

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.operation(self.first(x))).mean((2, 3))


def response_norm(x: Tensor) -> Tensor:
    x = F.gelu(x)
    strength = torch.norm(x, p=2, dim=(2, 3), keepdim=True)
    return x * (strength / (strength.mean(dim=1, keepdim=True) + 1e-6)) + x


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.gate, self.out = nn.Conv2d(8, 16, 1), nn.GLU(1), nn.Bilinear(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.gate(self.wide(x)).mean((2, 3))
        return self.out(x, F.softplus(x))


class WaveNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.out = nn.Conv1d(8, 16, 3, padding=1), nn.Conv1d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.wide(x.flatten(2))
        return self.out(torch.tanh(x[:, :8]) * torch.sigmoid(x[:, 8:])).mean(2)


FORMS = {
    "einsum": Einsum,
    "scaled dot product": ScaledDotProduct,
    "rotated places": RotatedPlaces,
    "class token": ClassToken,
    "swish": lambda: Written(lambda x: x * x.sigmoid()),
    "hard swish": lambda: Written(lambda x: x * F.relu6(x + 3) / 6),
    "global response norm": lambda: Written(response_norm),
    "pixel norm": lambda: Written(lambda x: x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6)),
    "gated tanh": WaveNet,
    "bilinear": Bilinear,
}


@pytest.mark.parametrize("name", FORMS)
def test_it_comes_closer_and_is_kept(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = (
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), FORMS[name]()).eval().requires_grad_(False)
    )
    images = torch.randn(4, 3, 6, 6)
    snn = convert(network, {"preset": "tracking", "neuron": {"gamma": 15}}, images)
    ann = network(images)
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (1, 64))}
    assert distance[64] < 0.005
    assert distance[64] < distance[1] / 10
    assert snn.audit.verdict != "hybrid"
    snn.save(tmp_path / "kept.pt")
    (ours,), (theirs,) = (n.simulate(images, 3) for n in (snn, load(tmp_path / "kept.pt")))
    assert torch.equal(ours.output, theirs.output)
