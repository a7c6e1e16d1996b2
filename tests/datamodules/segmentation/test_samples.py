"""Random views keep image and labels together; digit scenes show what their boxes say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datamodules import DataError, LoaderConfig, registry
from datamodules.scenes import SceneOptions, compose
from datamodules.segmentation.transforms import SegmentationTransform


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scales", [(0.5, 0.5), (0.5, 2.0)])
def test_labels_move_with_the_image(seed, scales):
    """The image is drawn from its labels, so that a view has to be drawn from the labels of the view."""
    torch.manual_seed(seed)
    coarse = torch.randperm(5).to(torch.uint8)[:4].view(2, 2)
    labels = coarse.repeat_interleave(40, 0).repeat_interleave(48, 1)
    image = (labels * 40)[None].expand(3, -1, -1)
    view, seen = SegmentationTransform((64, 72), scales, True, 0.0)(image, labels)
    assert view.shape == (3, 64, 72)
    assert seen.shape == (64, 72)
    inside = seen != 255
    assert (view[:, ~inside] == 114).all()
    same = (view[0].int() - seen.int() * 40).abs()[inside] <= 2  # but where resizing mixes neighbours
    assert same.float().mean() > 0.6
    if scales == (0.5, 0.5):  # a view of half the size must show what is not the image
        assert 0.5 < (~inside).float().mean() < 0.95


def test_flipping_mirrors_both():
    labels = torch.zeros(32, 32, dtype=torch.uint8)
    labels[:, :16] = 1
    image = (labels * 200)[None].expand(3, -1, -1)
    transform = SegmentationTransform((32, 32), (1.0, 1.0), True, 0.0)
    torch.manual_seed(0)
    seen = [transform(image, labels) for _ in range(20)]
    assert {int(one[0, 0]) for _, one in seen} == {0, 1}
    assert all(torch.equal(view[0], one * 200) for view, one in seen)


def build(**options):
    chosen = {"train_images": 12, "test_images": 7, **options}
    return registry.build("digit_scene_masks", chosen, LoaderConfig(batch_size=4, calibration_images=3))


class TestDigitScenes:
    def test_masks_are_those_of_the_scenes(self):
        targets = [one for _, batch in build().test_dataloader() for one in batch]
        for index, one in enumerate(targets):
            scene = compose("test", index, SceneOptions(size=64))
            assert np.array_equal(one["labels"].numpy(), scene.mask)
            assert {int(c) - 1 for c in np.unique(scene.mask) if c} == set(scene.labels.tolist())
        assert (targets[6]["labels"] == 0).all()  # the empty one

    def test_batches_and_calibration(self):
        data = build()
        images, targets = next(iter(data.train_dataloader()))
        assert images.shape == (4, 1, 64, 64)
        assert {one["labels"].shape for one in targets} == {(64, 64)}
        assert torch.cat(data.calibration_batches()).shape == (3, 1, 64, 64)
        assert int(data.class_pixels().sum()) == 12 * 64 * 64
        assert len(data.classes) == len(data.colours) == len(set(data.colours)) == 11
        data.check_disjoint()

    def test_fingerprints_know_the_labels(self):
        data, other = build(), build()
        other.setup()
        other._scenes["test"][0].mask[0, 0] += 1
        assert data.fingerprint()["test"] != other.fingerprint()["test"]
        assert data.fingerprint()["train"] == other.fingerprint()["train"]

    @pytest.mark.parametrize(
        "options",
        [{"horizontal_flip": True}, {"mean": [0.1, 0.1, 0.1], "std": [1, 1, 1]}, {"test_size": [32, 32]}],
    )
    def test_what_scenes_cannot_be_is_refused(self, options):
        with pytest.raises(DataError, match=next(iter(options))):
            build(**options)
