"""Raw maps without anchors: one candidate per position, with box, objectness and classes.

A level's raw map is [B, 4 + 1 + K, H, W]: distances to the left, top, right and bottom side before
softplus, in strides; the logit of objectness; the logits of the classes. Softplus grows linearly, so
that what spikes leave of an error in a raw map is not blown up, as it is by an exponential.

Score of class k: sigmoid(objectness) * sigmoid(class k), as in Ge et al. 2021, arXiv 2107.08430.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import complete_box_iou_loss, generalized_box_iou_loss, sigmoid_focal_loss

from lightning_modules.networks.detection.assignment import Assignment, centre, task_aligned
from lightning_modules.networks.detection.base import Detector, LossOptions, RawMaps, Target

# Before training every candidate has objectness 0.01 (Lin et al. 2017, arXiv 1708.02002, section 4.1) and a
# box of 1.3 strides to each side.
START_LOGIT = -math.log(99)
START_DISTANCE = 1.0
START_STD = 0.01  # of the weights


class AnchorFreeHead(nn.Module):
    """Decoupled heads of one level: separate branches for classes, and for box and objectness.

    Args:
        in_channels: of the feature map.
        width: channels of the branches.
        depth: 3x3 convolutions of each branch.
        num_classes: K.
    """

    def __init__(self, in_channels: int, width: int, depth: int, num_classes: int) -> None:
        super().__init__()
        self.stem = conv_bn_relu(in_channels, width, 1)
        self.class_branch = nn.Sequential(*(conv_bn_relu(width, width, 3) for _ in range(depth)))
        self.box_branch = nn.Sequential(*(conv_bn_relu(width, width, 3) for _ in range(depth)))
        self.classes = nn.Conv2d(width, num_classes, 1)
        self.box = nn.Conv2d(width, 4, 1)
        self.objectness = nn.Conv2d(width, 1, 1)
        for layer, bias in ((self.box, START_DISTANCE), (self.objectness, START_LOGIT), (self.classes, 0.0)):
            nn.init.normal_(layer.weight, std=START_STD)
            nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Map features [B, C, H, W] to a raw map [B, 5 + K, H, W]."""
        shared = self.stem(features)
        located = self.box_branch(shared)
        classes = self.classes(self.class_branch(shared))
        return torch.cat([self.box(located), self.objectness(located), classes], 1)


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, leak: float = 0.0
) -> nn.Sequential:
    """Convolution that keeps the size (divided by the stride), batch norm, ReLU or leaky ReLU."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, a=leak, mode="fan_out", nonlinearity="leaky_relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.LeakyReLU(leak) if leak else nn.ReLU())


class AnchorFreeDetector(Detector):
    """Decoding and loss of anchor-free raw maps.

    Attributes:
        strides: input pixels per position of each level.
    """

    strides: tuple[int, ...]

    def decode(self, raw: RawMaps, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """See `Detector.decode`."""
        rows, centres, strides = self._rows(raw)
        boxes = _boxes(rows[..., :4], centres, strides)
        return boxes, rows[..., 4:5].sigmoid() * rows[..., 5:].sigmoid()

    def losses(
        self,
        raw: RawMaps,
        targets: Sequence[Target],
        image_size: tuple[int, int],
        options: LossOptions,
    ) -> dict[str, Tensor]:
        """Objectness at every position, classes and box where an object is assigned.

        Objectness learns the quality of the match; classes and boxes weigh by it, and everything is
        divided by the sum of qualities, so that each object counts alike.
        """
        rows, centres, strides = self._rows(raw)
        rows = rows.float()
        boxes = _boxes(rows[..., :4], centres, strides)
        sums = dict.fromkeys(("objectness", "class", "box"), rows.new_zeros(()))
        total = rows.new_zeros(())
        for row, box, target in zip(rows, boxes, targets, strict=True):
            found = self._assign(row.detach(), box.detach(), centres, strides, target, options.assignment)
            mine = found.object >= 0
            # Without a floor, boxes that do not overlap yet would never be pulled towards their object.
            weight = found.quality[mine].clamp_min(0.05)
            sums["objectness"] = sums["objectness"] + _binary(row[:, 4], found.quality, options.class_loss)
            total = total + weight.sum()
            if mine.any():
                labels = F.one_hot(target["labels"][found.object[mine]], self.num_classes).float()
                by_class = F.binary_cross_entropy_with_logits(row[mine, 5:], labels, reduction="none")
                sums["class"] = sums["class"] + (by_class.sum(1) * weight).sum()
                true = target["boxes"][found.object[mine]].to(box.dtype)
                overlap = _BOX_LOSSES[options.box_loss](box[mine], true, reduction="none")
                sums["box"] = sums["box"] + options.box_weight * (overlap * weight).sum()
        return {name: value / total.clamp_min(1) for name, value in sums.items()}

    def _assign(
        self, row: Tensor, box: Tensor, centres: Tensor, strides: Tensor, target: Target, rule: str
    ) -> Assignment:
        true, labels = target["boxes"].to(box.dtype), target["labels"]
        if rule == "centre":
            return centre(box, centres, strides, true, labels)
        return task_aligned(row[:, 4:5].sigmoid() * row[:, 5:].sigmoid(), box, centres, true, labels)

    def _rows(self, raw: RawMaps) -> tuple[Tensor, Tensor, Tensor]:
        """All levels in one row: values [B, P, 5 + K], centres [P, 2], strides [P]."""
        rows = torch.cat([level.flatten(2).transpose(1, 2) for level in raw], 1)
        centres, strides = [], []
        for level, stride in zip(raw, self.strides, strict=True):
            height, width = level.shape[-2:]
            y = (torch.arange(height, device=level.device) + 0.5) * stride
            x = (torch.arange(width, device=level.device) + 0.5) * stride
            grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
            centres.append(grid)
            strides.append(torch.full((len(grid),), float(stride), device=level.device))
        return rows, torch.cat(centres), torch.cat(strides)


_BOX_LOSSES = {"ciou": complete_box_iou_loss, "giou": generalized_box_iou_loss}


def _boxes(distances: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    sides = F.softplus(distances.float()) * strides[:, None]
    return torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], -1)


def _binary(logits: Tensor, quality: Tensor, kind: str) -> Tensor:
    """Summed loss of objectness [P] against qualities [P]."""
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(logits, quality, reduction="sum")
    loss: Tensor = sigmoid_focal_loss(logits, quality, reduction="sum")
    return loss
