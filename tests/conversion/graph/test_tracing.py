"""Networks that people write: sizes in the code, modules made in forward, images on other axes."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import CaptureError, ConversionError, UnsupportedOperations, convert
from conversion.graph.capture import capture

RECIPE = {"preset": "opi", "scale": "maximum", "pooling": "lateral-inhibition"}


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.first(x))


class ShuffleThroughTheBatchAxis(Base):
    """As ShuffleNet's authors wrote it, with `-1` for the batch."""

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch, channels, height, width = x.data.size()
        assert channels % 4 == 0
        x = x.reshape(batch * channels // 2, 2, height * width).permute(1, 0, 2)
        x = x.reshape(2, -1, channels // 2, height, width)
        return x[0], x[1]

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.halves(self.features(x))
        return self.head(torch.cat([torch.relu(one - two), two], 1).mean((2, 3)))


class ShuffleWithTheBatchSize(ShuffleThroughTheBatchAxis):
    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch, channels, height, width = x.shape
        x = x.reshape(batch, 2, channels // 2, height, width).transpose(0, 1)
        x = x.reshape(2, batch, channels // 2, height, width)
        return x[0], x[1]


class DynamicSamePadding(Base):
    def forward(self, x: Tensor) -> Tensor:
        height, width = x.size()[-2:]
        rows = max((math.ceil(height / 2) - 1) * 2 + 3 - height, 0)
        columns = max((math.ceil(width / 2) - 1) * 2 + 3 - width, 0)
        if rows > 0 or columns > 0:
            x = F.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return F.conv2d(self.features(x), self.first.weight.transpose(0, 1), stride=2).flatten(1)


class ShapeAsserts(Base):
    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        assert height % 2 == 0
        assert len(x.shape) == x.dim()
        assert batch > 0
        blocks = self.features(x).view(batch, 8, height // 2, 2, width // 2, 2)
        return blocks.mean((3, 5)).view(batch, -1)


class Maxima(Base):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.features(x)
        pooled = self.head(y.amax((2, 3))) + self.head(torch.amax(y, dim=(-1, -2), keepdim=True).flatten(1))
        rest = self.head(y.flatten(2).max(2)[0])
        return (
            pooled + rest,
            y.amax(1),
            y.max(dim=3, keepdim=True).values,
            torch.max(y, 2)[0],
            y.amax((1, 2, 3)),
        )


class Frames(Base):
    """Clips [B, F, C, H, W]: frames in the batch axis, then one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        clips, frames = x.shape[:2]
        features = self.features(x.flatten(0, 1)).mean((2, 3)).view(clips, frames, -1)
        total = 0
        for frame in features.transpose(0, 1):
            total = total + torch.relu(self.head(frame))
        return total


class Pyramid(Base):
    """Modules made in forward, as in the heads of PSPNet and Fast-SCNN."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        levels = [nn.ReLU(inplace=True)(nn.AdaptiveAvgPool2d(n)(x) - 0.1) for n in (1, 2)]
        return torch.cat([x, *(F.interpolate(level, x.size()[2:], mode="bilinear") for level in levels)], 1)


class ClassToken(Base):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(x.shape[0], -1, -1), y], 1)
        return self.head(torch.relu(y - 0.1)).mean(1)


class ConstantsOfTheBatchSize(Base):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.rand(1, 2, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x)
        zeros = torch.zeros(y.size(0), 3, y.size(2), y.size(3), device=x.device, dtype=x.dtype)
        more = self.places.repeat(x.size(0), 1, 1, 1) * 2
        y = y + y.new_zeros(y.shape) + torch.ones_like(y) * 0.5
        return torch.relu(torch.cat([y, zeros, more, x], 1) - 0.2)


class ScalarNeurons(Base):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.head(self.features(x).mean((2, 3)))[:, 0] + 0.5)


class MoreArguments(Base):
    def forward(self, x: Tensor, target=None, flag: bool = False, scale=2.0, *args, **kwargs) -> Tensor:
        y = self.head(self.features(x).mean((2, 3))) * scale
        if flag:
            return y[:, :1]
        return y if target is None else F.cross_entropy(y, target)


class KeywordOnly(Base):
    def forward(self, x: Tensor, *, return_features: bool = False) -> Tensor:
        y = self.features(x).mean((2, 3))
        return y if return_features else self.head(y)


class Anchors(Base):
    """Several rows for each image, and constants that look like images."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("anchors", torch.rand(6, 4))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.features(x)
        return {
            "rows": self.head(y.permute(0, 2, 3, 1).reshape(-1, 8)),
            "anchors": self.anchors,
            "flat": torch.relu(y - 0.1).flatten(),
        }


NETWORKS: dict[type[nn.Module], tuple[int, ...]] = {
    ShuffleThroughTheBatchAxis: (3, 4, 4),
    ShuffleWithTheBatchSize: (3, 4, 4),
    DynamicSamePadding: (3, 8, 8),
    ShapeAsserts: (3, 6, 6),
    Maxima: (3, 6, 6),
    Frames: (5, 3, 6, 6),
    Pyramid: (3, 6, 6),
    ClassToken: (3, 4, 4),
    ConstantsOfTheBatchSize: (3, 6, 6),
    ScalarNeurons: (3, 6, 6),
    MoreArguments: (3, 6, 6),
    KeywordOnly: (3, 6, 6),
    Anchors: (3, 6, 6),
}


def tensors(nest) -> list[Tensor]:
    if isinstance(nest, Tensor):
        return [nest]
    return [leaf for value in (nest.values() if isinstance(nest, dict) else nest) for leaf in tensors(value)]


@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_networks_as_people_write_them_converge(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network, images = kind().eval(), torch.randn(6, *NETWORKS[kind])
    with torch.no_grad():
        expected = tensors(network(images))
    snn = convert(network, RECIPE, images)
    distances = []
    for readout in snn.simulate(images, (4, 64, 1024)):
        found = tensors(readout.output)
        assert [one.shape for one in found] == [one.shape for one in expected]
        pairs = zip(found, expected, strict=True)
        distances.append(max(float((a - b).abs().max() / b.detach().abs().max()) for a, b in pairs))
    assert distances[-1] < 0.01
    assert distances[-1] < distances[0]


@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_cut_batches_give_what_whole_ones_give(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network, images = kind().eval(), torch.randn(6, *NETWORKS[kind])
    snn = convert(network, RECIPE, images)
    (whole,) = snn.simulate(images, (8,))
    parts = [next(iter(snn.simulate(part, (8,)))) for part in images.split(2)]
    snn.memory_mib = 0.25
    (cut,) = snn.simulate(images, (8,))
    for one, two, *three in zip(
        tensors(whole.output), tensors(cut.output), *(tensors(part.output) for part in parts), strict=True
    ):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
        joined = torch.cat(three)
        torch.testing.assert_close(
            one, joined if joined.shape == one.shape else three[0], rtol=1e-4, atol=1e-5
        )
    assert cut.activity.spikes == pytest.approx(whole.activity.spikes)
    assert cut.activity.synops == pytest.approx(whole.activity.synops)


def test_code_with_sizes_holds_for_one_size_of_images() -> None:
    network, images = ShapeAsserts().eval(), torch.randn(2, 3, 6, 6)
    snn = convert(network, RECIPE, images)
    with pytest.raises(ConversionError, match=r"converted for images of size \(3, 6, 6\), got \(3, 8, 8\)"):
        snn(torch.randn(2, 3, 8, 8), 4)
    assert convert(network, RECIPE, torch.randn(2, 3, 8, 8))(torch.randn(1, 3, 8, 8), 4).shape == (1, 128)


def test_free_sizes_stay_free() -> None:
    snn = convert(Pyramid().eval(), RECIPE, torch.randn(2, 3, 6, 6))
    assert snn(torch.randn(3, 3, 9, 7), 4).shape == (3, 24, 9, 7)


class DependsOnPixels(Base):
    def forward(self, x: Tensor) -> Tensor:
        assert x.size(2) % 2 == 0
        return self.features(x) if x.max().item() > 0 else x


class DependsOnTheBatch(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x)
        return y if x.size(0) > 2 else y * 2


class WeightsInForward(Base):
    def forward(self, x: Tensor) -> Tensor:
        return nn.Conv2d(3, 4, 1)(x)


class DropoutInForward(Base):
    def forward(self, x: Tensor) -> Tensor:
        return nn.Dropout(0.5)(self.features(x))


class NeedsMore(Base):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.features(x) * mask


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (DependsOnPixels, "x.max\\(\\).item\\(\\) > 0"),
        (DependsOnTheBatch, "x.size\\(0\\) > 2"),
        (WeightsInForward, "forward makes a module with weights, Conv2d; make it in the constructor"),
        (DropoutInForward, "forward makes a module Dropout, which is in training mode"),
        (NeedsMore, "its forward needs more than images: mask"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_cannot_be_traced_is_named(kind: type[nn.Module], message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        convert(kind().eval(), RECIPE, torch.randn(2, 3, 6, 6))


class ConstantAcross(Base):
    """Its constant holds the images of a batch in the second axis."""

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x) + torch.ones(2, x.size(0)).sum()


class MeanOverImages(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x)
        return torch.relu(y - y.mean(0))


class PoolingAcross(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.features(x).transpose(0, 1) - 0.1, 2).transpose(0, 1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ConstantAcross, "torch.ones of the batch size"),
        (MeanOverImages, "Tensor.mean over the batch axis"),
        (PoolingAcross, "Tensor.transpose over the batch axis"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_mixed_and_misplaced_images_are_refused(kind: type[nn.Module], message: str) -> None:
    with pytest.raises(UnsupportedOperations, match=message):
        convert(kind().eval(), RECIPE, torch.randn(2, 3, 6, 6))


def test_the_network_keeps_no_module_that_forward_made() -> None:
    network = Pyramid().eval()
    before = list(dict(network.named_modules()))
    capture(network)
    assert list(dict(network.named_modules())) == before


class ByLength(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).view(len(x), 8, -1).mean(2))


class ByEqualSize(Base):
    """Anchors are made anew where the size has changed; the number of images is part of it."""

    known = (3, 8, 6, 6)  # from a batch of another length

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        if self.known != x.shape:
            self.known, self.offsets = x.shape, torch.arange(x.shape[-1])
        return self.head((x + self.offsets).mean((2, 3)))


@pytest.mark.parametrize("kind", [ByLength, ByEqualSize])
def test_the_number_of_images_stays_free(kind: type[nn.Module]) -> None:
    network, images = kind().eval().requires_grad_(False), torch.randn(4, 3, 6, 6)
    snn = convert(network, "tracking", images[:2])
    for some in (images, images[:1]):
        (readout,) = snn.simulate(some, 64)
        torch.testing.assert_close(readout.output, network(some), rtol=0.05, atol=0.05)


class OverImages(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return torch.stack([x[index].mean((1, 2)) for index in range(len(x))])


def test_a_loop_over_images_is_refused() -> None:
    with pytest.raises(CaptureError, match="cannot trace OverImages"):
        convert(OverImages(), RECIPE, torch.randn(2, 3, 6, 6))
