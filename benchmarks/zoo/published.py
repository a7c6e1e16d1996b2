"""Networks of torchvision, small of their family, with random weights and sane statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

_SMALL = 64  # pixels of a side, where the network takes it


@dataclass(frozen=True)
class Published:
    """A network of the table.

    Attributes:
        build: makes it with random weights.
        size: pixels of a side of its images.
        images: as many calibrate it, and as many settle its batch norms.
    """

    build: Callable[[], nn.Module]
    size: int = _SMALL
    images: int = 8


class WithoutBoxes(nn.Module):
    """Backbone and heads of a detector, from images to maps; anchors, boxes and their choice stay outside.

    Args:
        detector: of torchvision, with a backbone and a head that takes all its maps.
        head: the head, such as `detector.head`, or `detector.rpn.head`.
    """

    def __init__(self, detector: Any, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, head

    def forward(self, images: Tensor) -> Any:
        """What the head says of images [B, 3, H, W]."""
        return self.head(list(self.backbone(images).values()))


class OnRegions(nn.Module):
    """Heads of Faster R-CNN on regions that are cut out already, [N, C, 7, 7]; images take their place here.

    Args:
        detector: Faster R-CNN of torchvision.
    """

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.box_head, self.box_predictor = detector.roi_heads.box_head, detector.roi_heads.box_predictor

    def forward(self, regions: Tensor) -> Any:
        """Classes and boxes of every region."""
        return self.box_predictor(self.box_head(regions))


def _classifier(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: models.get_model(name, weights=None, **options)


def _segmenter(name: str) -> Callable[[], nn.Module]:
    return lambda: models.get_model(name, weights=None, weights_backbone=None, num_classes=21)


def _detector(name: str, part: str = "head", **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        detector: Any = models.get_model(name, weights=None, weights_backbone=None, **options)
        if part == "regions":
            return OnRegions(detector)
        return WithoutBoxes(detector, detector.get_submodule(part))

    return build


_CLASSIFIERS = (
    *("alexnet", "vgg11", "vgg11_bn", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"),
    *("densenet121", "squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v2", "mobilenet_v3_small"),
    *("mobilenet_v3_large", "mnasnet0_5", "regnet_x_400mf", "regnet_y_400mf"),
    *("efficientnet_b0", "efficientnet_v2_s", "convnext_tiny", "swin_t", "swin_v2_t"),
)
_NO_AUXILIARY = {"aux_logits": False, "init_weights": True}

NETWORKS: Mapping[str, Published] = {
    **{name: Published(_classifier(name)) for name in _CLASSIFIERS},
    "googlenet": Published(_classifier("googlenet", **_NO_AUXILIARY)),
    "inception_v3": Published(_classifier("inception_v3", **_NO_AUXILIARY), 96),
    "vit_b_16": Published(_classifier("vit_b_16", image_size=_SMALL)),
    "maxvit_t": Published(_classifier("maxvit_t"), 224, 2),
    "lraspp_mobilenet_v3_large": Published(_segmenter("lraspp_mobilenet_v3_large")),
    "fcn_resnet50": Published(_segmenter("fcn_resnet50")),
    "deeplabv3_resnet50": Published(_segmenter("deeplabv3_resnet50")),
    "deeplabv3_mobilenet_v3_large": Published(_segmenter("deeplabv3_mobilenet_v3_large")),
    "ssd300_vgg16": Published(_detector("ssd300_vgg16"), 300, 2),
    "ssdlite320_mobilenet_v3_large": Published(_detector("ssdlite320_mobilenet_v3_large"), 128),
    "fcos_resnet50_fpn": Published(_detector("fcos_resnet50_fpn")),
    "retinanet_resnet50_fpn": Published(_detector("retinanet_resnet50_fpn")),
    "retinanet_resnet50_fpn_v2": Published(_detector("retinanet_resnet50_fpn_v2")),
    "fasterrcnn_mobilenet_v3_large_fpn": Published(
        _detector("fasterrcnn_mobilenet_v3_large_fpn", part="rpn.head"), 128
    ),
    "fasterrcnn_resnet50_fpn": Published(_detector("fasterrcnn_resnet50_fpn", part="rpn.head")),
    "fasterrcnn_resnet50_fpn_v2": Published(_detector("fasterrcnn_resnet50_fpn_v2", part="rpn.head")),
}


# Blocks that add what they compute to what comes in; the norm that ends the sum's new part is their last one.
_RESIDUAL = (
    *("BasicBlock", "Bottleneck", "ResBottleneckBlock"),
    *("InvertedResidual", "_InvertedResidual", "MBConv", "FusedMBConv"),
)
_WEAK = 0.3  # of that norm


def settled(network: nn.Module, images: Tensor) -> nn.Module:
    """A network with random weights in eval mode, made as sane as training makes it.

    Batch norms hold the statistics of these images, and a last layer of zeros, with which some networks
    begin, gets weights. Blocks add little to what they get, as after training: with random weights and
    batch norms alone, each layer makes a small error larger by a fifth (Yang et al. 2019, arXiv
    1902.08129), which is a factor of thousands over fifty layers.
    """
    for module in network.modules():
        if isinstance(module, _NORM):
            module.reset_running_stats()
            module.momentum = None  # the average over all batches, not a running one
        elif isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        kind = type(module)
        if kind.__name__ in _RESIDUAL and "shufflenet" not in kind.__module__:  # it joins, and adds nothing
            norms = [norm for name, norm in module.named_modules() if _is_norm(name, norm)]
            norms[-1].weight.data.fill_(_WEAK)
    with torch.no_grad():
        network.train()(images)
    return network.eval().requires_grad_(False)


_NORM = nn.modules.batchnorm._BatchNorm


def _is_norm(name: str, module: Any) -> bool:
    return isinstance(module, _NORM) and not name.startswith("downsample")
