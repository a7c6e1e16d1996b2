"""Image transforms in two stages.

Stage one turns a file into a uint8 image [C, H, W] of fixed size. Stage two works on a whole
uint8 batch [B, C, H, W] at once: augmentation, then pixel scaling. Arrays in memory need only
stage two, so that a CPU spends its time in the network and not in per-image calls.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2


class CropFlip(nn.Module):
    """Zero-pad, crop back to the old size at a random place, flip left-right half of the time.

    The usual CIFAR augmentation (He et al. 2016, arXiv 1512.03385, section 4.2), drawn for every
    image of a batch on its own from torch's global generator.

    Args:
        padding: pixels added on each side before the crop; at least 0.
    """

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, images: Tensor) -> Tensor:
        """Map a batch [B, C, H, W] to an augmented batch of the same shape and dtype."""
        count, _, height, width = images.shape
        padded = F.pad(images, [self.padding] * 4)
        # [B, C, Y, X, H, W]: every window there is, as a view; each image then picks one.
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        rows = torch.randint(2 * self.padding + 1, (count,))
        columns = torch.randint(2 * self.padding + 1, (count,))
        cropped = windows[torch.arange(count), :, rows, columns]
        flipped = torch.rand(count) < 0.5
        return torch.where(flipped[:, None, None, None], cropped.flip(-1), cropped)


def pixel_scaling(mean: Sequence[float], std: Sequence[float]) -> v2.Compose:
    """Return the map from uint8 pixels to (pixel / 255 - mean) / std per channel, float32."""
    return v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))])


def resize_and_crop(resize_size: int, image_size: int) -> v2.Compose:
    """Return PIL image -> uint8 [C, image_size, image_size].

    The shorter side becomes ``resize_size`` pixels (bilinear, antialiased), then the centre is
    cut out. An image that already has the size passes unchanged.
    """
    return v2.Compose([v2.Resize(resize_size), v2.CenterCrop(image_size), v2.ToImage()])


def random_resized_crop(image_size: int) -> v2.Compose:
    """Return PIL image -> uint8 [C, image_size, image_size], randomly cropped and flipped.

    Area 8 to 100 % and aspect ratio 3/4 to 4/3 of the original, as in the ImageNet training of
    Szegedy et al. 2015 (arXiv 1409.4842, section 6).
    """
    return v2.Compose([v2.RandomResizedCrop(image_size), v2.RandomHorizontalFlip(), v2.ToImage()])


def colour_jitter(strength: float) -> v2.ColorJitter:
    """Return random changes of brightness, contrast and saturation by 40 % and of hue, times the strength."""
    amount = 0.4 * strength
    return v2.ColorJitter(amount, amount, amount, hue=min(0.5, 0.05 * strength))
