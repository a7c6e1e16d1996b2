"""Published networks as they come: they convert whole, or one error says why not."""

from __future__ import annotations

import re
from collections import Counter, namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models, ops
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.resnet import BasicBlock, Bottleneck

from conversion import CaptureError, ConversionError, RecipeError, SubmoduleError, convert

BATCH_NORMS = (nn.modules.batchnorm._BatchNorm, ops.FrozenBatchNorm2d)

# Fine steps: thresholds well below the largest activation, and bursts long enough to reach it. Networks
# with random weights amplify every rounding, so coarser recipes need far more time steps.
FINE = {
    "preset": "burst",
    "scale": {"name": "percentile", "p": 0.9, "per_channel": True},
    "neuron": {"gamma": 50},
    "initial": "fraction",
}


def settled(network: nn.Module, size: int) -> nn.Module:
    """Random weights with batch-norm statistics of their own activations, in eval mode.

    Residual branches are weaker than their shortcuts, as after training.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
        last = {BasicBlock: "bn2", Bottleneck: "bn3"}.get(type(module))
        if last:
            getattr(module, last).weight.data.fill_(0.3)
    with torch.no_grad():
        network.train()(torch.randn(16, 3, size, size))
    return network.eval()


def tensors_in(nest: Any) -> list[Tensor]:
    if isinstance(nest, Tensor):
        return [nest]
    parts = nest.values() if isinstance(nest, dict) else nest
    return [tensor for part in parts for tensor in tensors_in(part)]


def structure(nest: Any) -> Any:
    if isinstance(nest, Tensor):
        return tuple(nest.shape)
    if isinstance(nest, dict):
        return {key: structure(value) for key, value in nest.items()}
    return [structure(part) for part in nest]


def distance(found: Any, expected: Any) -> float:
    """Largest relative distance of any output."""
    pairs = zip(tensors_in(found), tensors_in(expected), strict=True)
    return max(float((one - two).norm() / two.norm()) for one, two in pairs)


def state_of(network: nn.Module) -> list[Any]:
    """Changes when any tensor is written to or exchanged, or a module is exchanged or changes its mode."""
    tensors = [(name, t.data_ptr(), t._version) for name, t in network.state_dict().items()]
    modules = [(name, id(m), m.training, getattr(m, "inplace", None)) for name, m in network.named_modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    return [tensors, modules, hooks]


def calls_of(network: nn.Module, images: Tensor) -> Counter[str]:
    """How often each module of torch.nn without children is called in a forward pass."""
    calls: Counter[str] = Counter()
    childless = {name: m for name, m in network.named_modules() if not list(m.children())}
    leaves = {name: m for name, m in childless.items() if type(m).__module__.startswith("torch.nn.")}
    handles = [
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, module in leaves.items()
    ]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return calls


def by_name(name: str, **settings: Any) -> Callable[[], nn.Module]:
    return lambda: getattr(models, name)(weights=None, **settings)


def segmentation(name: str) -> Callable[[], nn.Module]:
    return lambda: getattr(models.segmentation, name)(weights=None, weights_backbone=None)


def pyramid(**settings: Any) -> Callable[[], nn.Module]:
    return lambda: resnet_fpn_backbone(backbone_name="resnet18", weights=None, **settings)


CONVERTED = {  # network, image size, last time step
    "resnet18": (by_name("resnet18"), 32, 128),
    "resnet50": (by_name("resnet50"), 32, 64),
    "resnext50_32x4d": (by_name("resnext50_32x4d"), 32, 64),
    "wide_resnet50_2": (by_name("wide_resnet50_2"), 32, 32),
    "vgg11": (by_name("vgg11"), 32, 16),
    "vgg11_bn": (by_name("vgg11_bn"), 32, 16),
    "alexnet": (by_name("alexnet"), 64, 16),
    "squeezenet1_1": (by_name("squeezenet1_1"), 32, 128),
    "googlenet": (by_name("googlenet", init_weights=False, aux_logits=False), 32, 128),
    "densenet121": (by_name("densenet121"), 32, 128),
    "mobilenet_v2": (by_name("mobilenet_v2"), 32, 128),
    "shufflenet_v2_x0_5": (by_name("shufflenet_v2_x0_5"), 32, 128),
    "mnasnet0_5": (by_name("mnasnet0_5"), 32, 128),
    "regnet_x_400mf": (by_name("regnet_x_400mf"), 32, 128),
    "fcn_resnet50": (segmentation("fcn_resnet50"), 32, 48),
    "deeplabv3_resnet50": (segmentation("deeplabv3_resnet50"), 32, 48),
    "resnet_fpn_backbone": (pyramid(norm_layer=nn.BatchNorm2d), 32, 64),
    "resnet_fpn_backbone, frozen": (pyramid(), 32, 64),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_published_network_converts_and_approaches_the_ann(name: str) -> None:
    build, size, steps = CONVERTED[name]
    network = settled(build(), size)
    images = torch.randn(2, 3, size, size)
    calls = calls_of(network, images)
    with torch.no_grad():
        expected = network(images[:1])
    before = state_of(network)

    snn = convert(network, FINE, images)
    first, last = snn.simulate(images[:1], (4, steps))

    assert state_of(network) == before
    check_report(network, snn.report, calls)
    assert structure(last.output) == structure(expected)
    errors = distance(first.output, expected), distance(last.output, expected)
    assert errors[1] < 0.6 * errors[0], errors
    assert errors[1] < 0.85, errors


def check_report(network: nn.Module, report: list[Any], calls: Counter[str]) -> None:
    """Every call of a module stands in the report, replaced or kept; only batch norms were folded."""
    norms = {name for name, module in network.named_modules() if isinstance(module, BATCH_NORMS)}
    found = Counter(entry.name.split("#")[0] for entry in report if entry.operation.startswith("torch.nn."))
    found = Counter({name: count for name, count in found.items() if name in calls})
    assert found - Counter(norms) == Counter({name: n for name, n in calls.items() if name not in norms})
    became = {entry.name: entry.became for entry in report}
    for name, module in network.named_modules():
        if name in calls and isinstance(module, nn.ReLU | nn.ReLU6):
            assert became[name].startswith("burst, threshold"), name
        elif name in calls and isinstance(module, nn.MaxPool2d):
            assert became[name] == "lateral-inhibition pooling", name
        elif name in calls and isinstance(module, nn.Conv2d | nn.Linear):
            assert became[name] == "kept (weighted)", name


def detector() -> nn.Module:
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, norm_layer=nn.BatchNorm2d)
    settled(backbone, 64)
    return FasterRCNN(backbone, num_classes=3, min_size=64, max_size=64).eval()


def test_network_that_cannot_be_traced_converts_in_part() -> None:
    network, images = detector(), torch.rand(2, 3, 64, 64)
    with pytest.raises(CaptureError) as caught:
        convert(network, FINE, images)
    message = str(caught.value)
    assert re.search(r"cannot trace FasterRCNN: .+\n  at .+torchvision.+\.py:\d+: \S", message)
    paths = re.search(r'submodule="(.+?)"\)\. Parts that trace: (.+)\.', message)
    assert paths is not None
    assert "backbone" in [paths[1], *paths[2].split(", ")]

    before = state_of(network)
    snn = convert(network, FINE, images, submodule="backbone")
    assert state_of(network) == before
    assert snn.report[0].name == "body.conv1"
    inputs = network.transform(list(images))[0].tensors
    with torch.no_grad():
        expected = network.backbone(inputs)
    first, last = snn.simulate(inputs, (4, 32))
    assert structure(last.output) == structure(expected)
    assert distance(last.output, expected) < 0.5 * distance(first.output, expected)


def test_every_proposed_part_converts() -> None:
    network, images = detector(), torch.rand(1, 3, 64, 64)
    with pytest.raises(CaptureError) as caught:
        convert(network, FINE, images)
    proposed = re.search(r"Parts that trace: (.+)\.", str(caught.value))
    assert proposed is not None
    for path in proposed[1].split(", "):
        try:
            assert convert(network, "opi", images, submodule=path).report
        except SubmoduleError as error:  # called with a list of maps
            assert "is called with (list)" in str(error)  # noqa: PT017


class Outputs(nn.Module):
    def __init__(self, nest: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.body, self.side = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), nn.Conv2d(8, 2, 1)
        self.nest = nest

    def forward(self, x: Tensor) -> Any:
        x = self.body(x)
        return self.nest(x, self.side(x))


Pair = namedtuple("Pair", "large small")
NESTS = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [b, [a]],
    "dictionary": lambda a, b: {"a": a, "b": {"c": b}},
    "named tuple": Pair,
    "mixed": lambda a, b: {"maps": [a, (b, a)], "head": b.mean((2, 3))},
}


@pytest.mark.parametrize("nest", NESTS.values(), ids=NESTS.keys())
def test_outputs_keep_their_structure(nest: Callable[[Tensor, Tensor], Any]) -> None:
    network, images = Outputs(nest), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        expected = network(images)
    (readout,) = convert(network, FINE, images).simulate(images, (64,))
    assert type(readout.output) is type(expected)
    assert structure(readout.output) == structure(expected)
    assert distance(readout.output, expected) < 0.1


class Siamese(nn.Module):
    """One branch network and one ReLU, each used twice, on signals of very different size."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.relu, self.head = nn.ReLU(), nn.Conv2d(12, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        near, far = self.branch(x), self.branch(20 * x.flip(-1))
        both = self.relu(self.relu(far - near) - 3 * near)
        return self.head(torch.cat([near, far, both], 1)) + far.mean(1, keepdim=True)


@pytest.mark.parametrize("recipe", ["maxnorm", FINE], ids=["one threshold a layer", "per channel"])
def test_shared_modules_get_a_threshold_for_each_use(recipe: Any) -> None:
    network, images = settled(Siamese(), 8), torch.randn(4, 3, 8, 8)
    snn = convert(network, recipe, images)
    assert set(snn.thresholds) == {"branch.2", "branch.2#2", "relu", "relu#2"}
    assert float(snn.thresholds["branch.2#2"].max()) > 5 * float(snn.thresholds["branch.2"].max())
    with torch.no_grad():
        expected = network(images)
    errors = [distance(r.output, expected) for r in snn.simulate(images, (4, 256))]
    assert errors[1] < 0.05
    assert errors[1] < errors[0]


LAYERS = {
    "grouped": [nn.Conv2d(8, 8, 3, groups=4), nn.BatchNorm2d(8)],
    "depthwise": [nn.Conv2d(8, 16, 3, groups=8), nn.BatchNorm2d(16)],
    "dilated": [nn.Conv2d(8, 4, 3, dilation=2, padding=2, padding_mode="reflect"), nn.BatchNorm2d(4)],
    "transposed": [nn.ConvTranspose2d(8, 4, 3, stride=2, output_padding=1), nn.BatchNorm2d(4)],
    "transposed in groups": [nn.ConvTranspose2d(8, 4, 3, groups=2), nn.BatchNorm2d(4)],
    "norm before a convolution": [nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3, padding=1)],
    "norm alone": [nn.AvgPool2d(2), nn.BatchNorm2d(8)],
    "norm without scale": [nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4, affine=False)],
    "norm after linear": [nn.Flatten(), nn.Linear(288, 6), nn.BatchNorm1d(6)],
    "frozen norm": [nn.Conv2d(8, 4, 3), ops.FrozenBatchNorm2d(4)],
    "frozen norm alone": [nn.AvgPool2d(2), ops.FrozenBatchNorm2d(8)],
    "stochastic depth": [nn.Conv2d(8, 4, 3), ops.StochasticDepth(0.5, "row")],
    "permutation": [ops.Permute([0, 2, 3, 1]), nn.Linear(8, 3)],
    "shuffled channels": [nn.ChannelShuffle(4), nn.Conv2d(8, 4, 1, groups=4)],
    "spectral norm": [nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 4, 3)), nn.BatchNorm2d(4)],
    "weight norm": [nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(288, 6))],
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS.keys())
def test_layers_in_all_their_settings(layers: list[nn.Module]) -> None:
    for layer in layers:
        if isinstance(layer, ops.FrozenBatchNorm2d):
            for buffer in layer.buffers():
                nn.init.uniform_(buffer, 0.3, 2)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *layers, nn.ReLU())
    settled(network, 8)
    images = torch.randn(4, 3, 8, 8)
    before = state_of(network)
    snn = convert(network, FINE, images)
    with torch.no_grad():
        expected = network(images)
    errors = [distance(readout.output, expected) for readout in snn.simulate(images, (4, 256))]
    assert state_of(network) == before
    assert errors[1] < 0.03
    assert errors[1] < errors[0]


def test_frozen_batch_norms_are_folded() -> None:
    network = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    assert any(isinstance(module, ops.FrozenBatchNorm2d) for module in network.modules())
    report = convert(network, "opi", torch.randn(1, 3, 32, 32)).report
    assert not {entry.operation.rsplit(".", 1)[-1] for entry in report} & {"BatchNorm2d", "mul", "rsqrt"}


def test_softmax_at_the_end_is_that_of_the_mean() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Softmax(1)).requires_grad_(False)
    images = torch.randn(2, 3, 4, 4)
    (alone,), (whole,) = (convert(one, "opi", images).simulate(images, 7) for one in (network[:2], network))
    torch.testing.assert_close(whole.output, alone.output.softmax(1))


MODERN = ("efficientnet_b0", "mobilenet_v3_small", "convnext_tiny", "swin_t")


@pytest.mark.parametrize("name", MODERN)
def test_neurons_that_rectify_refuse_modern_networks_by_the_first_layer(name: str) -> None:
    with pytest.raises(
        RecipeError, match=r"layer 'features[.\w]*' \(torch.nn.*; use recipe dcgs, ecmt, .* tracking"
    ):
        convert(by_name(name)(), "opi", torch.randn(1, 3, 32, 32))


class ChangesSecond(nn.Module):
    """Changes its second output through a view of other axes, which the graph does not show."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = F.relu(x)
        z = y + 1
        z.transpose(0, 1)[0].mul_(3)
        return y, z


def test_every_output_of_the_graph_is_compared_with_the_network() -> None:
    with pytest.raises(ConversionError, match="captured graph of ChangesSecond differs"):
        convert(ChangesSecond(), "opi", torch.randn(2, 3, 4, 4))
