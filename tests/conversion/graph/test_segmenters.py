"""Networks in the shape of segmenters that people use, ENet, ERFNet, Fast-SCNN, SegNet, converge."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import RecipeError, convert


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, **settings) -> nn.Sequential:
    padding = settings.pop("padding") if "padding" in settings else kernel // 2
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False, **settings)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class ENet(nn.Module):
    """Initial block of a convolution beside a pool, a bottleneck down, an asymmetric one, one up."""

    class Down(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.pool = nn.MaxPool2d(2, stride=2, return_indices=True)
            self.squeeze = nn.Sequential(conv(inputs, 4, 2, 2, padding=0), nn.PReLU(4))
            self.spread = nn.Sequential(conv(4, 4), nn.PReLU(4), conv(4, outputs, 1), nn.Dropout2d(0.1))
            self.last = nn.PReLU(outputs)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            main, places = self.pool(x)
            extended = self.spread(self.squeeze(x))
            n, channels, h, w = extended.size()
            padding = torch.zeros(n, channels - main.size()[1], h, w)
            if main.is_cuda:
                padding = padding.cuda()
            return self.last(torch.cat((main, padding), 1) + extended), places

    class Up(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.main, self.unpool = conv(inputs, outputs, 1), nn.MaxUnpool2d(2)
            self.squeeze = nn.Sequential(conv(inputs, 4, 1), nn.PReLU())
            self.transposed, self.norm = nn.ConvTranspose2d(4, 4, 2, 2, bias=False), nn.BatchNorm2d(4)
            self.spread, self.last = conv(4, outputs, 1), nn.PReLU()

        def forward(self, x: Tensor, places: Tensor, size: torch.Size) -> Tensor:
            main = self.unpool(self.main(x), places, output_size=size)
            y = self.norm(self.transposed(self.squeeze(x), output_size=size))
            return self.last(main + self.spread(y))

    def __init__(self) -> None:
        super().__init__()
        self.initial, self.side = conv(3, 5, 3, 2), nn.MaxPool2d(3, 2, 1)
        self.start = nn.PReLU(8)
        self.down = self.Down(8, 12)
        self.flat = nn.Sequential(
            *(conv(12, 4, 1), nn.PReLU()),
            *(conv(4, 4, (5, 1), padding=(2, 0)), conv(4, 4, (1, 5), padding=(0, 2)), nn.PReLU()),
            *(conv(4, 12, 1), nn.Dropout2d(0.1)),
        )
        self.after = nn.PReLU()
        self.up = self.Up(12, 8)
        self.head = nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        size = x.size()
        x = self.start(torch.cat((self.initial(x), self.side(x)), 1))
        stage = x.size()
        x, places = self.down(x)
        x = self.after(x + self.flat(x))
        return self.head(self.up(x, places, stage), output_size=size)


class ERFNet(nn.Module):
    """Downsampling by convolution beside pooling, factorised residual blocks, transposed convolutions."""

    class Down(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs - inputs, (3, 3), stride=2, padding=1, bias=True)
            self.pool, self.bn = nn.MaxPool2d(2, stride=2), nn.BatchNorm2d(outputs, eps=1e-3)

        def forward(self, input: Tensor) -> Tensor:
            return F.relu(self.bn(torch.cat([self.conv(input), self.pool(input)], 1)))

    class Factorised(nn.Module):
        def __init__(self, channels: int, rate: float, dilated: int) -> None:
            super().__init__()
            self.conv3x1_1 = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))
            self.conv1x3_1 = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1))
            self.bn1 = nn.BatchNorm2d(channels, eps=1e-3)
            wide = {"padding": (dilated, 0), "dilation": (dilated, 1)}
            self.conv3x1_2 = nn.Conv2d(channels, channels, (3, 1), **wide)
            self.conv1x3_2 = nn.Conv2d(
                channels, channels, (1, 3), padding=(0, dilated), dilation=(1, dilated)
            )
            self.bn2, self.dropout = nn.BatchNorm2d(channels, eps=1e-3), nn.Dropout2d(rate)

        def forward(self, input: Tensor) -> Tensor:
            output = F.relu(self.conv3x1_1(input))
            output = F.relu(self.bn1(self.conv1x3_1(output)))
            output = self.bn2(self.conv1x3_2(F.relu(self.conv3x1_2(output))))
            if self.dropout.p != 0:
                output = self.dropout(output)
            return F.relu(output + input)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [self.Down(3, 8), self.Down(8, 16), self.Factorised(16, 0.3, 1), self.Factorised(16, 0.3, 2)]
        )
        self.up = nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1, bias=True)
        self.bn, self.block = nn.BatchNorm2d(8, eps=1e-3), self.Factorised(8, 0, 1)
        self.output_conv = nn.ConvTranspose2d(8, 4, 2, stride=2, padding=0, output_padding=0, bias=True)

    def forward(self, input: Tensor, predict: bool = False) -> Tensor:
        for layer in self.layers:
            input = layer(input)
        return self.output_conv(self.block(F.relu(self.bn(self.up(input)))))


class FastSCNN(nn.Module):
    """Depthwise layers, inverted residuals, a pyramid with pools made in forward, fusion, a head."""

    class Pyramid(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.convs = nn.ModuleList(
                [nn.Sequential(conv(channels, channels // 4, 1), nn.ReLU(True)) for _ in range(4)]
            )
            self.out = nn.Sequential(conv(channels * 2, channels, 1), nn.ReLU(True))

        def pool(self, x: Tensor, size: int) -> Tensor:
            return nn.AdaptiveAvgPool2d(size)(x)

        def forward(self, x: Tensor) -> Tensor:
            size = x.size()[2:]
            found = [x]
            for layer, width in zip(self.convs, (1, 2, 3, 4), strict=True):
                small = layer(self.pool(x, width))
                found.append(F.interpolate(small, size, mode="bilinear", align_corners=True))
            return self.out(torch.cat(found, dim=1))

    @staticmethod
    def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        depthwise = nn.Sequential(conv(inputs, inputs, 3, stride, groups=inputs), nn.ReLU(True))
        return nn.Sequential(depthwise, nn.Sequential(conv(inputs, outputs, 1), nn.ReLU(True)))

    def __init__(self) -> None:
        super().__init__()
        self.learning = nn.Sequential(conv(3, 8, 3, 2), nn.ReLU(True), self.separable(8, 16, 2))
        self.bottleneck = nn.Sequential(
            conv(16, 32, 1), nn.ReLU(True), conv(32, 32, 3, 1, groups=32), nn.ReLU(True), conv(32, 16, 1)
        )
        self.ppm = self.Pyramid(16)
        self.lower, self.higher = conv(16, 16, 1), conv(16, 16, 1)
        self.depthwise = nn.Sequential(conv(16, 16, 3, groups=16), nn.ReLU(True))
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(16, 4, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        size = x.size()[2:]
        higher = self.learning(x)
        lower = self.ppm(higher + self.bottleneck(higher))
        lower = F.interpolate(lower, scale_factor=1, mode="bilinear", align_corners=True)
        fused = F.relu(self.higher(higher) + self.lower(self.depthwise(lower)))
        outputs = []
        x = self.classifier(fused)
        outputs.append(F.interpolate(x, size, mode="bilinear", align_corners=True))
        return tuple(outputs)


class SegNet(nn.Module):
    """VGG blocks down, unpooling up; as BDCN and SegNet code it, with sizes noted on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv2d, self.bn2d = nn.Conv2d(16, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv1d = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x, id1 = F.max_pool2d(x, kernel_size=2, stride=2, return_indices=True)
        x = F.relu(self.bn2(self.conv2(x)))
        x, id2 = F.max_pool2d(x, kernel_size=2, stride=2, return_indices=True)
        x = F.max_unpool2d(x, id2, kernel_size=2, stride=2)
        x = F.relu(self.bn2d(self.conv2d(x)))
        x = F.max_unpool2d(x, id1, kernel_size=2, stride=2)
        return self.conv1d(x)


def trained(kind: type[nn.Module]) -> tuple[nn.Module, Tensor, Tensor]:
    """A network whose batch norms know the images, the images, and its outputs."""
    torch.manual_seed(0)
    network, images = kind().train(), torch.randn(6, 3, 32, 32)
    with torch.no_grad():
        for _ in range(20):
            network(images)
        return network.eval(), images, out(network(images))


def out(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize("recipe", ["spicalib", "spiking-yolo"])
@pytest.mark.parametrize("kind", [ERFNet, FastSCNN, SegNet, ENet], ids=lambda kind: kind.__name__)
def test_segmenters_converge(kind: type[nn.Module], recipe: str) -> None:
    network, images, expected = trained(kind)
    spec = {"preset": recipe, "scale": "maximum", "pooling": "lateral-inhibition"}
    if kind is ENet and recipe == "spicalib":
        with pytest.raises(RecipeError, match=r"layer 'start' \(torch.nn.PReLU, slope 0.25\)"):
            convert(network, spec, images)
        return
    snn = convert(network, spec, images)
    errors = [
        float((out(readout.output) - expected).norm() / expected.norm())
        for readout in snn.simulate(images, (8, 64, 512))
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.15
