"""VOC segmentation: palette indices are the ids, borders are ignored, SBD's list where it is there."""

from __future__ import annotations

import pytest

from datamodules import DataError
from datamodules.segmentation.voc import palette_colour


def test_palette_indices_are_classes(voc):
    ((images, targets),) = list(voc.build().test_dataloader())
    labels = targets[0]["labels"]
    assert labels.tolist() == voc.ids().tolist()
    assert images.shape == (1, 3, 64, 64)
    # 50x30 in 64x64: enlarged by 1.28 to 64x38 and centred
    assert targets[0]["letterbox"].tolist() == pytest.approx([1.28, 38 / 30, 0, 13, 50, 30])


def test_the_colours_are_those_of_the_development_kit():
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    assert {index: palette_colour(index) for index in known} == known


@pytest.mark.parametrize("line", ["{0}", "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png"])
def test_the_augmented_list(voc, line):
    (voc.base / "SegmentationClass").rename(voc.base / "SegmentationClassAug")
    (voc.base / "SegmentationClass").symlink_to(voc.base / "SegmentationClassAug")
    voc.names("trainaug", [line.format("a"), line.format("b")])
    few = {"batch_size": 1, "calibration_images": 1}
    data = voc.build({"train": "trainaug"}, **few)
    assert len(list(data.train_dataloader())) == 2
    assert data.fingerprint()["train"] != voc.build(**few).fingerprint()["train"]


def test_without_the_augmented_list_its_place_is_shown(voc):
    with pytest.raises(DataError, match=r"no trainaug\.txt"):
        voc.build({"train": "trainaug"}).setup()


def test_a_missing_label_file_is_named(voc):
    (voc.base / "SegmentationClass" / "b.png").unlink()
    with pytest.raises(DataError, match=r"no label file .*SegmentationClass/b.png for the image b.jpg"):
        voc.build().setup()


def test_empty_lines_of_a_list_are_passed_over(voc):
    voc.names("val", ["c", "", " "])
    data = voc.build(calibration_images=1)
    data.setup()
    assert len(data.test_dataloader()) == 1
    assert len(next(iter(data.test_dataloader()))[1]) == 1


def test_a_list_that_is_no_text_is_named(voc):
    (voc.base / "ImageSets" / "Segmentation" / "val.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="no val images of VOC2012 segmentation"):
        voc.build().setup()


def test_an_empty_list_is_named(voc):
    voc.names("val", [])
    with pytest.raises(DataError, match=r"Segmentation/val.txt .* names no image"):
        voc.build().setup()


def test_an_image_that_is_listed_twice_is_named(voc):
    voc.names("val", ["c", "c"])
    with pytest.raises(DataError, match=r"val\.txt:2 names the image 'c' again, after line 1"):
        voc.build().setup()
