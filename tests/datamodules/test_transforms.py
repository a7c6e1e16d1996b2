from __future__ import annotations

import torch
from PIL import Image
from torch.nn import functional as F

from datamodules.transforms import CropFlip, pixel_scaling, random_resized_crop, resize_and_crop


def test_crop_flip_gives_some_window_of_the_padded_image_or_its_mirror():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (64, 2, 5, 5), dtype=torch.uint8)
    padded = F.pad(images, (1, 1, 1, 1))
    found = set()
    for image, source in zip(CropFlip(1)(images), padded, strict=True):
        windows = {(y, x): source[:, y : y + 5, x : x + 5] for y in range(3) for x in range(3)}
        same = [(place, False) for place, window in windows.items() if torch.equal(image, window)]
        mirrored = [(place, True) for place, window in windows.items() if torch.equal(image, window.flip(-1))]
        matches = same + mirrored
        assert len(matches) == 1
        found.update(matches)
    assert len(found) > 12  # of 18, with 64 draws


def test_crop_flip_without_padding_only_flips():
    images = torch.arange(32, dtype=torch.uint8).reshape(8, 1, 2, 2)
    torch.manual_seed(0)
    flipped = [not torch.equal(a, b) for a, b in zip(CropFlip(0)(images), images, strict=True)]
    assert 0 < sum(flipped) < 8


def test_pixel_scaling_by_hand():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    scaled = pixel_scaling((0.0, 0.5, 0.5), (1.0, 0.1, 0.25))(images)
    torch.testing.assert_close(scaled.flatten(), torch.tensor([0.0, -3.0, 2.0]))


def test_files_become_uint8_squares():
    image = Image.new("RGB", (50, 40), (10, 20, 30))
    for prepare in (resize_and_crop(24, 16), random_resized_crop(16)):
        pixels = prepare(image)
        assert pixels.shape == (3, 16, 16)
        assert pixels.dtype == torch.uint8
        assert pixels.flatten(1).unique(dim=1).flatten().tolist() == [10, 20, 30]
