"""Composed scenes: always the same, boxes and masks agree, and COCO's own reader sees the same boxes."""

import json

import numpy as np
import pytest
from PIL import Image

from datamodules import DataError, LoaderConfig
from datamodules.registry import build
from datamodules.scenes import BACKGROUND, CLASSES, SceneOptions, compose, in_coco_form

SMALL = SceneOptions(size=64)


@pytest.fixture(scope="module")
def scenes():
    return [compose("train", index, SMALL) for index in range(30)]


def test_a_scene_does_not_depend_on_the_others(scenes):
    again = compose("train", 17, SMALL)
    assert np.array_equal(again.image, scenes[17].image)
    assert np.array_equal(again.boxes, scenes[17].boxes)
    assert not np.array_equal(again.image, compose("test", 17, SMALL).image)


def test_boxes_are_tight_around_the_ink_of_their_mask(scenes):
    assert sum(len(scene.boxes) for scene in scenes) > 30
    for scene in scenes:
        left = scene.mask.copy()
        for (x1, y1, x2, y2), label, area in zip(scene.boxes, scene.labels, scene.areas, strict=True):
            inside = scene.mask[y1:y2, x1:x2] == label + 1
            assert inside.sum() >= area > 0
            # digits hardly overlap, so nearly every border of a box touches its own ink
            touched = [inside[0].any(), inside[-1].any(), inside[:, 0].any(), inside[:, -1].any()]
            assert sum(touched) >= 3
            left[y1:y2, x1:x2] = BACKGROUND
        assert not left.any()


def test_ink_is_brighter_than_the_ground(scenes):
    for scene in scenes:
        assert scene.image[scene.mask == BACKGROUND].max() <= 255 * 0.36
        if len(scene.boxes):
            assert scene.image[scene.mask != BACKGROUND].min() >= 255 * 0.34


def test_every_seventh_scene_is_empty_and_all_classes_occur(scenes):
    assert [index for index, scene in enumerate(scenes) if not len(scene.boxes)][:2] == [6, 13]
    assert {int(label) for scene in scenes for label in scene.labels} == set(range(len(CLASSES)))


def test_coco_files_of_scenes_give_the_same_data_set(tmp_path):
    options = {"image_size": [64, 64], "mean": [0.173], "std": [0.163]}
    built_in = build(
        "digit_scenes",
        {"train_images": 8, "test_images": 8},
        LoaderConfig(batch_size=8, calibration_images=2),
    )
    for part, split in (("train2017", "train"), ("val2017", "test")):
        composed = [compose(split, index, SMALL) for index in range(8)]
        (tmp_path / "scenes" / part).mkdir(parents=True)
        (tmp_path / "scenes" / "annotations").mkdir(exist_ok=True)
        for index, scene in enumerate(composed):
            Image.fromarray(scene.image).convert("RGB").save(tmp_path / "scenes" / part / f"{index}.png")
        file = tmp_path / "scenes" / "annotations" / f"instances_{part}.json"
        file.write_text(json.dumps(in_coco_form(composed)))
    options = {"image_size": [64, 64], "mean": [0.173] * 3, "std": [0.163] * 3, "path": "scenes"}
    from_files = build("coco", options, LoaderConfig(tmp_path, batch_size=8))
    assert from_files.classes == built_in.classes
    images, targets = next(iter(built_in.test_dataloader()))
    others, others_targets = next(iter(from_files.test_dataloader()))
    np.testing.assert_allclose(images.expand(-1, 3, -1, -1), others, atol=1e-6)
    for mine, other in zip(targets, others_targets, strict=True):
        assert mine["true_boxes"].tolist() == other["true_boxes"].tolist()
        assert mine["true_labels"].tolist() == other["true_labels"].tolist()
        assert mine["true_areas"].tolist() == other["true_areas"].tolist()


def test_the_data_module_keeps_its_promises():
    settings = LoaderConfig(batch_size=4, calibration_images=6, test_images=5)
    data = build("digit_scenes", {"train_images": 12, "test_images": 9}, settings)
    assert data.task == "detection"
    assert data.image_shape == (1, 64, 64)
    assert [len(images) for images, _ in data.test_dataloader()] == [4, 1]
    assert sum(len(batch) for batch in data.calibration_batches()) == 6
    prints = data.fingerprint()
    assert len(set(prints.values())) == 3
    assert prints == build("digit_scenes", {"train_images": 12, "test_images": 9}, settings).fingerprint()
    data.check_disjoint(content=True)
    pixels = next(iter(data.test_dataloader()))[0]
    assert abs(float(pixels.mean())) < 0.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizontal_flip": True}, "mirrored digits mean nothing"),
        ({"image_size": [64, 96]}, "square"),
        ({"train_images": 0}, "train_images"),
        ({"mean": [0.1] * 3, "std": [1.0] * 3}, "scenes are grey"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(DataError, match=message):
        build("digit_scenes", options, LoaderConfig())
