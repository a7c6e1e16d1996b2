"""Fourier transforms in real numbers: values, counts, and networks that are built of them."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import UnsupportedOperations, convert
from conversion.graph.capture import capture

RECIPE = {"preset": "tracking", "neuron": {"gamma": 15}}


class On(nn.Module):
    """A transform between two layers of neurons."""

    def __init__(self, way: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.way = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()), way

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self.stem(x))


def weighed(x: Tensor) -> Tensor:
    f = torch.fft.rfft2(x, norm="ortho")
    return torch.fft.irfft2(
        f * torch.polar(torch.ones(6, 3), torch.arange(3.0)), s=x.shape[-2:], norm="ortho"
    )


def written(x: Tensor) -> Tensor:
    """A neural operator: few frequencies, weighed and put into a spectrum of zeros."""
    f = torch.fft.rfft2(x)
    out = torch.zeros(x.shape[0], 4, 6, 3, dtype=torch.cfloat)
    weight = torch.view_as_complex(torch.linspace(-1, 1, 4 * 4 * 2 * 2 * 2).view(4, 4, 2, 2, 2))
    out[:, :, :2, :2] = torch.einsum("bixy,ioxy->boxy", f[:, :, :2, :2], weight)
    out[..., -1, 1:] = f[..., -1, 1:] / 2
    return torch.fft.irfft2(out, s=(6, 5))


def unit(x: Tensor) -> Tensor:
    """A convolution over real and imaginary parts, as in LaMa."""
    f = torch.fft.rfftn(x, dim=(-2, -1), norm="ortho")
    f = torch.stack((f.real, f.imag), dim=-1).permute(0, 1, 4, 2, 3).flatten(1, 2)
    f = (F.relu(f - 0.1) * 2).view((x.shape[0], -1, 2, *f.size()[2:])).permute(0, 1, 3, 4, 2).contiguous()
    return torch.fft.irfftn(torch.complex(f[..., 0], f[..., 1]), s=x.shape[-2:], dim=(-2, -1), norm="ortho")


def size_and_phase(x: Tensor) -> Tensor:
    f = torch.fft.fft2(x, norm="ortho")
    return torch.fft.ifft2(torch.polar(F.relu(f.abs() - 0.1), torch.angle(f)), norm="ortho").real


def correlated(x: Tensor) -> Tensor:
    one, two = torch.fft.rfft2(x), torch.fft.rfft2(x.roll(1, 1))
    return torch.fft.irfft2(one * torch.conj(two), s=(6, 5)) * 0.02


def moved(x: Tensor) -> Tensor:
    f = torch.fft.fftshift(torch.fft.fft(x.flatten(2), n=32, dim=-1), dim=-1)
    f = torch.cat([f[:, :2], -f[:, 2:].flip(1)], dim=1).transpose(1, -1).reshape(x.shape[0], 4, 8, 4)
    f = (f.movedim(3, 1) + f.permute(0, 3, 1, 2)).sum(-1).unsqueeze(2)
    return torch.fft.hfft(f, dim=1).squeeze(2) + torch.fft.ihfft(x, dim=2).imag.sum((2, 3))[:, :1, None]


WAYS = {
    "FNet": lambda x: torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real,
    "imaginary": lambda x: torch.fft.fftn(x, s=(7, 4)).imag,
    "inverse": lambda x: torch.view_as_real(torch.fft.ifft2(x, norm="forward")).flatten(3),
    "weighed": weighed,
    "written": written,
    "unit": unit,
    "size and phase": size_and_phase,
    "correlated": correlated,
    "moved": moved,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_networks_with_transforms_converge(way) -> None:
    network, images = On(way).eval().requires_grad_(False), torch.randn(3, 2, 6, 5)
    captured = capture(network, "", images)
    assert not any("fft" in str(node.target) for node in captured.graph.nodes)
    torch.testing.assert_close(captured(images), network(images), rtol=1e-4, atol=1e-4)
    snn, ann = convert(network, RECIPE, images), network(images)
    distance = {
        r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (1, 64), chunk=7)
    }
    assert distance[64] < 0.01
    assert distance[64] < distance[1] / 5


def test_a_transform_counts_as_a_layer_of_its_weights() -> None:
    network, images = On(lambda x: torch.fft.rfft(x, dim=-1).real).eval(), torch.randn(3, 2, 6, 8)
    snn = convert(network, RECIPE, images)
    assert snn.audit.verdict == "spiking"
    transform = snn.connectivity(images).layers[-1]
    assert (transform.drive, transform.weights, transform.macs) == ("spikes", 8 * 10, 4 * 6 * 8 * 10)
    angles = 2 * math.pi * torch.outer(torch.arange(8.0), torch.arange(5.0)).double()
    used = (angles / 8).cos().abs().gt(1e-9).sum(1) + (angles / 8).sin().abs().gt(1e-9).sum(1)
    assert torch.equal(snn.connectivity(images).reached(transform, "stem.1")[0, 0].long(), used)


def test_transforms_over_images_are_refused() -> None:
    with pytest.raises(UnsupportedOperations, match="fft"):
        convert(On(lambda x: torch.fft.fft(x, dim=0).real).eval(), RECIPE, torch.randn(3, 2, 6, 5))
