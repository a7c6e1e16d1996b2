"""Our networks by name, smallest first. A new one is one more line in the table below."""

from __future__ import annotations

from torch import nn

from lightning_modules.networks import resnet_cifar, torchvision_networks
from lightning_modules.networks.detection.retinanet import RetinaNet, RetinaNetOptions
from lightning_modules.networks.detection.spp_yolo import SppYolo, SppYoloOptions
from lightning_modules.networks.detection.tiny_yolo import TinyYolo, TinyYoloOptions
from lightning_modules.networks.efficientnet_lite import EfficientNetLite0, EfficientNetLiteOptions
from lightning_modules.networks.registry import NetworkEntry, register
from lightning_modules.networks.resnet_cifar import ResNetCifar, ResNetOptions
from lightning_modules.networks.segmentation import torchvision_segmenters
from lightning_modules.networks.segmentation.deeplab import DeepLab, DeepLabOptions
from lightning_modules.networks.segmentation.fcn import Fcn, FcnOptions
from lightning_modules.networks.segmentation.torchvision_segmenters import (
    TorchvisionSegmenter,
    TorchvisionSegmenterOptions,
)
from lightning_modules.networks.small_cnn import SmallCNN, SmallCNNOptions
from lightning_modules.networks.small_vit import SmallViT, SmallViTOptions
from lightning_modules.networks.torchvision_networks import TorchvisionOptions, build_torchvision
from lightning_modules.networks.vgg import VGG16, VGG16Options


def _resnet(depth: int) -> NetworkEntry:
    def construct(num_classes: int, in_channels: int, options: ResNetOptions) -> nn.Module:
        return ResNetCifar(depth, num_classes, in_channels, options)

    summary = f"ResNet-{depth} for small images (He et al. 2016), option A shortcuts"
    return NetworkEntry(summary, ResNetOptions, construct)


def _torchvision(name: str) -> NetworkEntry:
    def construct(num_classes: int, in_channels: int, options: TorchvisionOptions) -> nn.Module:
        return build_torchvision(name, num_classes, in_channels, options)

    summary = f"torchvision's {name} for large images, weights by option"
    return NetworkEntry(summary, TorchvisionOptions, construct)


def _segmenter(name: str) -> NetworkEntry:
    def construct(num_classes: int, in_channels: int, options: TorchvisionSegmenterOptions) -> nn.Module:
        return TorchvisionSegmenter(name, num_classes, in_channels, options)

    summary = f"torchvision's {name}, weights by option"
    return NetworkEntry(summary, TorchvisionSegmenterOptions, construct, "segmentation")


NETWORKS: dict[str, NetworkEntry] = {
    "small_cnn": NetworkEntry(
        "four convolutions and two max poolings, for quick starts on small images", SmallCNNOptions, SmallCNN
    ),
    "small_vit": NetworkEntry(
        "small vision transformer for small images, trained in a minute", SmallViTOptions, SmallViT
    ),
    **{f"resnet{depth}": _resnet(depth) for depth in resnet_cifar.DEPTHS},
    "vgg16": NetworkEntry("VGG-16 with batch norm for images of at least 32x32", VGG16Options, VGG16),
    "efficientnet_lite0": NetworkEntry(
        "EfficientNet-Lite0 with ReLU6 and depthwise convolutions, weights by option",
        EfficientNetLiteOptions,
        EfficientNetLite0,
    ),
    **{name: _torchvision(name) for name in torchvision_networks.NAMES},
    "spp_yolo": NetworkEntry(
        "compact anchor-free detector with spatial pyramid pooling, backbone by option",
        SppYoloOptions,
        SppYolo,
        "detection",
    ),
    "tiny_yolo": NetworkEntry(
        "Tiny-YOLO with leaky ReLU, the detector of Spiking-YOLO", TinyYoloOptions, TinyYolo, "detection"
    ),
    "retinanet_resnet50_fpn": NetworkEntry(
        "torchvision's RetinaNet, weights by option", RetinaNetOptions, RetinaNet, "detection"
    ),
    "fcn": NetworkEntry(
        "small fully convolutional network with skips, backbone by option", FcnOptions, Fcn, "segmentation"
    ),
    "deeplab": NetworkEntry(
        "small DeepLabv3 with image-level pooling, backbone by option",
        DeepLabOptions,
        DeepLab,
        "segmentation",
    ),
    **{name: _segmenter(name) for name in torchvision_segmenters.NAMES},
}

for _name, _network in NETWORKS.items():
    register(_name, _network)
