"""Segmentation networks: resolution, dilation, and conversion that comes nearer with time."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from conversion import convert
from lightning_modules.networks import NetworkError, build, names, task_of
from lightning_modules.networks.segmentation.backbones import build_backbone, dilate

OPTIONS = {
    "fcn": {"width": 8, "auxiliary": True},
    "deeplab": {"width": 8, "rates": [1, 2], "auxiliary": True},
    "fcn_resnet50": {},
    "deeplabv3_resnet50": {},
}
STRIDES = {"fcn": 4, "deeplab": 8, "fcn_resnet50": 8, "deeplabv3_resnet50": 8}


def with_statistics(network, images, passes=5):
    """Batch-norm statistics of the images, so that activations are sane."""
    torch.manual_seed(0)
    network.train()
    with torch.no_grad():
        for _ in range(passes):
            network(images)
    return network.eval()


def distances(snn, images, expected, time_steps):
    return [
        float((readout.output - expected).norm() / expected.norm())
        for readout in snn.simulate(images, time_steps)
    ]


def test_every_segmentation_network_is_tried_here():
    assert names("segmentation") == list(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_conversion_leaves_the_auxiliary_head_out_and_comes_nearer_with_time(name):
    torch.manual_seed(1)
    # an odd size, that no stride divides
    large = name in models.list_models(models.segmentation)
    images = torch.randn(2, 3, 33, 41) if large else torch.randn(4, 3, 49, 65)
    network = with_statistics(build(name, 5, 3, OPTIONS[name]), images)
    with torch.no_grad():
        logits, auxiliary = network.training_logits(images)
        expected = network(images)
    torch.testing.assert_close(logits, expected)
    assert expected.shape[1:] == (5, *(-(-side // STRIDES[name]) for side in images.shape[-2:]))
    assert auxiliary.shape[:2] == expected.shape[:2]
    snn = convert(network, "burst", [images])
    assert not any("aux" in str(entry) for entry in snn.report)
    early, late = distances(snn, images, expected, (2, 32))
    assert late < 0.5 * early


@pytest.mark.parametrize("recipe", ["opi", "spicalib", "ptq"])
@pytest.mark.parametrize("name", ["fcn", "deeplab"])
def test_other_recipes_convert_them_too(name, recipe):
    torch.manual_seed(2)
    images = torch.randn(4, 3, 40, 48)
    network = with_statistics(build(name, 5, 3, OPTIONS[name]), images)
    with torch.no_grad():
        expected = network(images)
    first, last = distances(convert(network, recipe, [images]), images, expected, (2, 64))
    assert last < 0.7 * first


@pytest.mark.parametrize("backbone", ["vgg16", "resnet18", "resnet50"])
@pytest.mark.parametrize("name", ["fcn", "deeplab"])
def test_large_backbones_end_at_stride_8(name, backbone):
    with torch.device("meta"):
        network = build(name, 5, 1, {**OPTIONS[name], "backbone": backbone}).eval()
        assert network(torch.zeros(1, 1, 64, 96)).shape == (1, 5, 8, 12)


def test_torchvision_itself_converts_with_its_dictionary_of_outputs():
    torch.manual_seed(3)
    images = torch.randn(2, 3, 33, 33)
    whole = models.get_model(
        "fcn_resnet50", weights=None, weights_backbone=None, num_classes=4, aux_loss=True
    )
    whole = with_statistics(whole, images, passes=2)
    snn = convert(whole, "burst", [images])
    (readout,) = snn.simulate(images, (2,))
    assert list(readout.output) == ["out", "aux"]
    assert readout.output["out"].shape == (2, 4, 33, 33)


@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50"])
def test_torchvision_gives_the_same_logits_before_they_are_resized(name, tmp_path):
    whole = models.get_model(name, weights=None, weights_backbone=None, num_classes=4, aux_loss=True).eval()
    torch.save(whole.state_dict(), tmp_path / "weights.pt")
    ours = build(name, 4, 3, {"weights": str(tmp_path / "weights.pt")}).eval()
    images = torch.randn(1, 3, 40, 40)
    with torch.no_grad():
        resized = nn.functional.interpolate(ours(images), size=(40, 40), mode="bilinear", align_corners=False)
        torch.testing.assert_close(resized, whole(images)["out"])


def test_dilating_keeps_what_each_kernel_sees():
    """Every second pixel of the dilated map is the strided map, away from borders and with even sizes."""
    torch.manual_seed(0)
    strided = build_backbone("tiny", 3).eval()
    dilated = build_backbone("tiny", 3, dilated=True).eval()
    dilated.load_state_dict(strided.state_dict())
    images = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        coarse, fine = strided(images), dilated(images)
    torch.testing.assert_close(fine[1], coarse[1])
    assert fine[2].shape[-2:] == (16, 16)
    torch.testing.assert_close(fine[2][..., ::2, ::2], coarse[2], atol=1e-5, rtol=1e-5)


def test_resnet_is_dilated_as_torchvision_does():
    reference = models.resnet50(replace_stride_with_dilation=[False, True, True])
    ours = build_backbone("resnet50", 3, dilated=True)
    for stage, layer in zip(ours.stages, (reference.layer2, reference.layer3, reference.layer4), strict=True):
        mine, theirs = (
            [(m.stride, m.dilation, m.padding) for m in part.modules() if isinstance(m, nn.Conv2d)]
            for part in (stage, layer)
        )
        assert mine == theirs


def test_pooled_stages_are_dilated_after_their_pooling():
    stage = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3, padding=1))
    assert dilate(stage, 2) == 4
    assert (stage[0].dilation, stage[2].dilation) == ((2, 2), (4, 4))
    assert stage(torch.zeros(1, 2, 10, 12)).shape == (1, 2, 10, 12)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fcn", {"backbone": "vgg19"}, "backbone must be one of mini, tiny, vgg16, resnet18, resnet50"),
        ("fcn", {"width": 0}, "width"),
        ("deeplab", {"rates": []}, "rates"),
        ("deeplab", {"auxiliary": 1}, "auxiliary must be true or false"),
        ("deeplab", {"backbone_weights": "IMAGENET1K_V1"}, "'tiny' .* has no weights"),
        ("fcn_resnet50", {"weights": "nowhere.pt"}, "neither a file nor one of COCO_WITH_VOC_LABELS_V1"),
        ("fcn_resnet50", {"weights": "COCO_WITH_VOC_LABELS_V1"}, "know 21 classes, the data has 5"),
    ],
)
def test_bad_options_are_refused(name, options, message):
    assert task_of(name) == "segmentation"
    with pytest.raises(NetworkError, match=message):
        build(name, 5, 3, options)
