"""Transforms of images with boxes, on torchvision's tv_tensors.

Training: scale jitter, random crop, flips, photometric distortion. Testing: letterbox, which keeps
the aspect ratio; `Letterbox.numbers` say how boxes get back to the pixels of the stored image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as VF

from datamodules.transforms import colour_jitter

GREY = 114  # of 255, the usual filling of detectors
SMALLEST_SIDE = 2.0  # pixels a training box must keep after the crop
LEAST_VISIBLE = 0.2  # share of its area that a training box must keep after the crop


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies inside the network's input.

    Attributes:
        scale: (x, y), input pixels per stored pixel.
        offset: (x, y), input pixels left of and above the image.
        size: (width, height) of the stored image.
    """

    scale: tuple[float, float]
    offset: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def fit(cls, size: tuple[int, int], target: tuple[int, int]) -> Letterbox:
        """Largest centred fit of an image of (width, height) into (height, width) of the input."""
        (width, height), (target_height, target_width) = size, target
        factor = min(target_width / width, target_height / height)
        new_width = min(target_width, max(1, round(width * factor)))
        new_height = min(target_height, max(1, round(height * factor)))
        offset = ((target_width - new_width) // 2, (target_height - new_height) // 2)
        return cls((new_width / width, new_height / height), offset, size)

    @property
    def numbers(self) -> Tensor:
        """Scale x, y, offset x, y, width, height: [6] float64."""
        return torch.tensor([*self.scale, *self.offset, *self.size], dtype=torch.float64)

    def apply(self, image: Tensor, target: tuple[int, int]) -> Tensor:
        """Resize a uint8 image [C, H, W] (bilinear, antialiased) and pad it to (height, width) with grey."""
        width, height = (round(side * s) for side, s in zip(self.size, self.scale, strict=True))
        if image.shape[-2:] != (height, width):
            image = VF.resize(image, [height, width], antialias=True)
        left, top = self.offset
        right, bottom = target[1] - width - left, target[0] - height - top
        padded: Tensor = VF.pad(image, [left, top, right, bottom], fill=[GREY] * image.shape[0])
        return padded

    def boxes_in(self, boxes: Tensor) -> Tensor:
        """Map boxes [N, 4] from stored pixels to input pixels."""
        return boxes * boxes.new_tensor([*self.scale] * 2) + boxes.new_tensor([*self.offset] * 2)


class DetectionTransform:
    """Random view of an image with boxes.

    Args:
        size: (height, width) of the result.
        scales: range of the scale jitter; 1 fits the image into the result.
        horizontal_flip: mirror left-right half of the time.
        vertical_flip: mirror upside down half of the time, where up means nothing.
        photometric: strength of the colour jitter; 0 for none.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scales: tuple[float, float],
        horizontal_flip: bool,
        vertical_flip: bool,
        photometric: float,
    ) -> None:
        self.size = size
        steps: list[torch.nn.Module] = [v2.ScaleJitter(size, scale_range=scales, antialias=True)]
        self._scale = steps[0]
        rest: list[torch.nn.Module] = [
            v2.RandomCrop(size, pad_if_needed=True, fill={tv_tensors.Image: GREY, "others": 0})
        ]
        if horizontal_flip:
            rest.append(v2.RandomHorizontalFlip())
        if vertical_flip:
            rest.append(v2.RandomVerticalFlip())
        if photometric:
            rest.append(colour_jitter(photometric))
        self._rest = v2.Compose(rest)

    def __call__(self, image: Tensor, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Transform a uint8 image [C, H, W] with boxes [N, 4] and labels [N]; draws from torch's generator.

        Returns:
            Image [C, *size] uint8, boxes [M, 4] of what remains visible, their labels [M].
        """
        canvas = (int(image.shape[-2]), int(image.shape[-1]))
        wrapped = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=canvas)
        scaled, before = self._scale(tv_tensors.Image(image), wrapped)
        seen, after = self._rest(scaled, before)
        after = VF.clamp_bounding_boxes(after)
        keep = _visible(before.as_subclass(Tensor), after.as_subclass(Tensor))
        return seen.as_subclass(Tensor), after.as_subclass(Tensor)[keep], labels[keep]


def _visible(before: Tensor, after: Tensor) -> Tensor:
    sides = after[:, 2:] - after[:, :2]
    area = (before[:, 2:] - before[:, :2]).prod(1).clamp_min(1e-9)
    return (sides >= SMALLEST_SIDE).all(1) & (sides.prod(1) >= LEAST_VISIBLE * area)


def scaled(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Map uint8 pixels [B, C, H, W] to (pixel / 255 - mean) / std per channel, float32."""
    pixels = images.float() / 255
    shape = (1, -1, 1, 1)
    return (pixels - pixels.new_tensor(mean).view(shape)) / pixels.new_tensor(std).view(shape)
