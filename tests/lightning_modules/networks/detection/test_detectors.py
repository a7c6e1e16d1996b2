"""Every detector: shapes, tracing, decoding, losses that can be learned from, conversion of the raw maps."""

from __future__ import annotations

import pytest
import torch
from torch import fx
from torch.nn import functional as F

from conversion import convert
from lightning_modules.networks import NetworkError, build, describe, names, task_of
from lightning_modules.networks.detection.base import LossOptions
from lightning_modules.networks.detection.spp_yolo import SpatialPyramid

SIZE = (64, 96)
CASES = {
    "spp_yolo": {"width": 8},
    "spp_yolo vgg16": {"width": 8, "backbone": "vgg16"},
    "spp_yolo resnet18": {"width": 8, "backbone": "resnet18"},
    "spp_yolo resnet50": {"width": 8, "backbone": "resnet50"},
    "tiny_yolo": {"last": 16},
    "retinanet_resnet50_fpn": {},
}


def target(*boxes):
    rows = torch.tensor([box[:4] for box in boxes], dtype=torch.float32).reshape(-1, 4)
    return {"boxes": rows, "labels": torch.tensor([box[4] for box in boxes], dtype=torch.int64)}


@pytest.fixture(scope="module", params=CASES)
def detector(request):
    torch.manual_seed(0)
    return build(request.param.split()[0], 3, 3, CASES[request.param]).eval()


def test_all_of_them_are_known():
    assert {case.split()[0] for case in CASES} == set(names("detection"))
    assert all(task_of(name) == "detection" for name in names("detection"))
    assert all(len(describe(name)) > 20 for name in names("detection"))


class TestEveryDetector:
    def test_raw_maps_become_candidates(self, detector):
        with torch.no_grad():
            raw = detector(torch.randn(2, 3, *SIZE))
            boxes, scores = detector.decode(raw, SIZE)
        assert boxes.shape == (2, scores.shape[1], 4)
        assert scores.shape[2] == 3
        assert ((scores >= 0) & (scores <= 1)).all()
        assert (boxes[..., 2:] > boxes[..., :2]).all()

    def test_symbolic_tracing_gives_the_same_function(self, detector):
        images = torch.randn(2, 3, *SIZE)
        with torch.no_grad():
            for one, two in zip(fx.symbolic_trace(detector)(images), detector(images), strict=True):
                torch.testing.assert_close(one, two, rtol=0, atol=0)

    @pytest.mark.parametrize("options", [LossOptions(), LossOptions("centre", "focal", "giou")])
    def test_losses_are_finite_with_and_without_objects(self, detector, options):
        raw = detector(torch.randn(2, 3, *SIZE))
        for targets in ([target((4, 4, 40, 50, 1)), target()], [target(), target()]):
            parts = detector.losses(raw, targets, SIZE, options)
            total = torch.stack(list(parts.values())).sum()
            assert total.isfinite()
            assert total > 0
            gradients = torch.autograd.grad(total, raw, retain_graph=True)
            assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("assignment", ["task-aligned", "centre"])
@pytest.mark.parametrize("class_loss", ["bce", "focal"])
@pytest.mark.parametrize("box_loss", ["ciou", "giou"])
def test_gradient_descent_on_raw_maps_finds_the_objects(assignment, class_loss, box_loss):
    """The loss alone, without a network: descending it must put the right boxes at the top."""
    torch.manual_seed(0)
    detector = build("spp_yolo", 3, 3, {"width": 8})
    raw = [(0.01 * torch.randn(1, 8, 64 // s, 96 // s)).requires_grad_() for s in detector.strides]
    objects = [(6.0, 4.0, 40.0, 44.0, 2), (50.0, 20.0, 70.0, 36.0, 0)]
    optimiser = torch.optim.Adam(raw, lr=0.2)
    options = LossOptions(assignment, class_loss, box_loss)
    for _ in range(80):
        loss = torch.stack(list(detector.losses(raw, [target(*objects)], SIZE, options).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        boxes, scores = detector.decode(raw, SIZE)
    for x1, y1, x2, y2, label in objects:
        best = scores[0, :, label].argmax()
        assert float(scores[0, best, label]) > 0.5
        torch.testing.assert_close(boxes[0, best], torch.tensor([x1, y1, x2, y2]), rtol=0, atol=3)


def test_raw_maps_decode_to_distances_in_strides():
    detector = build("spp_yolo", 3, 3, {"width": 8})
    raw = [torch.zeros(1, 8, 64 // s, 96 // s) for s in detector.strides]
    raw[1][0, :4, 2, 1] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    raw[1][0, 4:, 2, 1] = torch.tensor([0.5, -1.0, 0.0, 2.0])
    boxes, scores = detector.decode(raw, SIZE)
    position = 8 * 12 + 2 * 6 + 1
    left, top, right, bottom = (16 * F.softplus(torch.tensor([1.0, 2, 3, 4]))).tolist()
    assert boxes[0, position].tolist() == pytest.approx([24 - left, 40 - top, 24 + right, 40 + bottom])
    expected = torch.tensor(0.5).sigmoid() * torch.tensor([-1.0, 0, 2]).sigmoid()
    assert scores[0, position].tolist() == pytest.approx(expected.tolist())


def test_retinanet_decodes_as_torchvision_does():
    from torchvision.models.detection import retinanet_resnet50_fpn

    torch.manual_seed(0)
    theirs = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3).eval()
    mine = build("retinanet_resnet50_fpn", 3, 3, {}).eval()
    mine.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        features = list(theirs.backbone(images).values())
        outputs = theirs.head(features)
        boxes, scores = mine.decode(mine(images), SIZE)
    torch.testing.assert_close(scores, outputs["cls_logits"].sigmoid())
    from torchvision.models.detection.image_list import ImageList

    anchors = theirs.anchor_generator(ImageList(images, [SIZE]), features)[0]
    expected = theirs.box_coder.decode_single(outputs["bbox_regression"][0], anchors)
    torch.testing.assert_close(boxes[0], expected)


def test_lossless_pooling_carries_the_spatial_pyramid():
    """The error of lateral inhibition vanishes over time, that of pooling step by step does not."""
    torch.manual_seed(0)
    pyramid = SpatialPyramid(8, (3, 5, 9)).eval()
    maps = torch.rand(2, 8, 12, 12)
    ann = pyramid(maps)
    error = {}
    for pooling in ("lateral-inhibition", "per-step"):
        snn = convert(pyramid, {"preset": "opi", "pooling": pooling}, maps)
        *_, last = snn.simulate(maps, (256,))
        error[pooling] = float((ann - last.output).abs().mean().detach() / ann.detach().std())
    assert error["lateral-inhibition"] < 0.02
    assert error["per-step"] > 0.1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("spp_yolo", {"backbone": "vgg"}, "backbone must be one of"),
        ("spp_yolo", {"pools": [4]}, "pools must be odd"),
        ("spp_yolo", {"width": 0}, "width"),
        ("spp_yolo", {"backbone": "resnet18", "backbone_weights": "NONE"}, "no weights 'NONE'"),
        ("spp_yolo", {"backbone_weights": "IMAGENET1K_V1"}, "has no weights"),
        ("tiny_yolo", {"slope": 1}, "slope"),
        ("retinanet_resnet50_fpn", {"weights": "nowhere.pth"}, "neither a file nor COCO_V1"),
        ("retinanet_resnet50_fpn", {"weights": "COCO_V1"}, "know 80 classes, the data has 3"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(NetworkError, match=message):
        build(name, 3, 3, options)
