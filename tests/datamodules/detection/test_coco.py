"""COCO's files: labels, crowds, images without objects, and what is wrong is named."""

import json

import numpy as np
import pytest
import torch

from datamodules import DataError, LoaderConfig
from datamodules.detection.annotations import AnnotationWarning
from datamodules.detection.coco import Coco
from datamodules.registry import build


def load(root, **options) -> Coco:
    loader = LoaderConfig(root, batch_size=3, calibration_images=2)
    data = build("coco", {"path": "mini", "image_size": [64, 64], **options}, loader)
    data.setup()
    return data


def test_labels_follow_the_official_ids_with_their_gaps(coco, tmp_path):
    data = load(tmp_path)
    assert data.classes == ("thing 2", "thing 17", "thing 90")
    _, targets = next(iter(data.test_dataloader()))
    assert [target["true_labels"].tolist() for target in targets] == [[0, 1], [], [2]]  # by image id


def test_boxes_are_corners_and_areas_are_the_files_own(coco, tmp_path):
    _, targets = next(iter(load(tmp_path).test_dataloader()))
    assert targets[0]["true_boxes"].tolist() == [[1, 2, 11.5, 22], [0, 0, 40, 30]]
    assert targets[0]["true_areas"].tolist() == [7, 7]


def test_crowds_are_known_to_the_score_and_not_trained_on(coco, tmp_path):
    _, targets = next(iter(load(tmp_path).test_dataloader()))
    assert targets[0]["crowd"].tolist() == [False, True]
    assert targets[0]["labels"].tolist() == [0]


def test_a_box_survives_the_letterbox_and_back(coco, tmp_path):
    from lightning_modules.detection.postprocess import in_stored_pixels

    _, targets = next(iter(load(tmp_path).test_dataloader()))
    back = in_stored_pixels(targets[2]["boxes"], targets[2]["letterbox"])
    np.testing.assert_allclose(back, targets[2]["true_boxes"], atol=1e-4)


def test_training_views_show_what_their_boxes_say(coco, tmp_path):
    """A bright square on black stays inside its box under every random view."""
    from PIL import Image

    file = coco.base / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["images"] = content["images"][:1]
    content["annotations"] = [
        {"id": 1, "image_id": 30, "category_id": 2, "bbox": [10, 8, 16, 12], "area": 192, "iscrowd": 0}
    ]
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[8:20, 10:26] = 255
    Image.fromarray(pixels).save(coco.base / "train2017" / content["images"][0]["file_name"])
    coco.write("train2017", content)
    data = load(tmp_path, photometric=0, mean=[0.0] * 3, std=[1.0] * 3, vertical_flip=True)
    torch.manual_seed(0)
    seen = 0
    for _ in range(20):
        images, targets = next(iter(data.train_dataloader()))
        for x1, y1, x2, y2 in targets[0]["boxes"].tolist():
            seen += 1
            bright = (images[0, 0] > 0.6).nonzero()
            assert bright[:, 0].min() >= y1 - 1.5
            assert bright[:, 0].max() <= y2 + 0.5
            assert bright[:, 1].min() >= x1 - 1.5
            assert bright[:, 1].max() <= x2 + 0.5
            assert abs(len(bright) - (x2 - x1) * (y2 - y1)) < 0.35 * len(bright)
    assert seen > 10


def _without(content, name):
    return {key: value for key, value in content.items() if key != name}


def _changed(content, where, **fields):
    entries = [{**content[where][0], **fields}, *content[where][1:]]
    return {**content, where: entries}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: "", "is not JSON"),
        (lambda c: "{", "is not JSON"),
        (lambda c: "[]", "holds a JSON list"),
        (lambda c: _without(c, "categories"), "no list 'categories'"),
        (lambda c: {**c, "images": []}, "no list 'images', or an empty one"),
        (lambda c: {**c, "images": [{"id": 1}]}, "lacks 'file_name'"),
        (lambda c: _changed(c, "annotations", image_id=99), "image_id 99, which is not among 'images'"),
        (
            lambda c: _changed(c, "annotations", category_id=3),
            "category_id 3, which is not among 'categories'",
        ),
        (lambda c: _changed(c, "annotations", bbox=[1, 2]), "must be 4 numbers"),
        (
            lambda c: _changed(c, "annotations", image_id=[1]),
            r"image_id of .* must be a whole number, got \[1\]",
        ),
        (lambda c: _changed(c, "annotations", area=None), "area of .* must be a number, got None"),
        (lambda c: _changed(c, "annotations", iscrowd="0"), "iscrowd of .* must be 0 or 1, got '0'"),
        (lambda c: _changed(c, "images", id="a"), "id of .* must be a whole number, got 'a'"),
        (lambda c: _changed(c, "images", width="40"), "width of .* must be a whole number above 0, got '40'"),
        (lambda c: _changed(c, "images", height=0), "height of .* must be a whole number above 0, got 0"),
        (lambda c: _changed(c, "images", file_name=5), "file_name of .* must be text, got 5"),
        (lambda c: {**c, "annotations": []}, r"none of its 3 image\(s\) has an object that counts"),
        (lambda c: _changed(c, "categories", id=2), "two entries of 'categories' have the same id"),
        (lambda c: _changed(c, "categories", name="other"), "different categories"),
        (lambda c: _changed(c, "images", file_name="gone.png"), r"1 image\(s\) .* lacks, first gone\.png"),
    ],
)
def test_bad_files_are_named(coco, tmp_path, change, message):
    file = coco.write("val2017", change(coco.content("val2017")))
    with pytest.raises(DataError, match=message) as error:
        load(tmp_path)
    assert file.name in str(error.value)


def test_a_missing_file_draws_the_layout(coco, tmp_path):
    (coco.base / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(DataError, match=r"(?s)instances_val2017\.json.*Expected layout"):
        load(tmp_path)


def test_degenerate_boxes_are_counted(coco, tmp_path):
    coco.write("val2017", _changed(coco.content("val2017"), "annotations", bbox=[1, 1, 0, 5]))
    with pytest.warns(AnnotationWarning, match=r"1 box\(es\) without area"):
        data = load(tmp_path)
    _, targets = next(iter(data.test_dataloader()))
    assert [len(target["true_labels"]) for target in targets] == [1, 0, 1]


def test_fingerprints_see_annotations(coco, tmp_path):
    before = load(tmp_path).fingerprint()
    assert before == load(tmp_path).fingerprint()
    coco.write("val2017", _changed(coco.content("val2017"), "annotations", bbox=[1, 1, 3, 5]))
    after = load(tmp_path).fingerprint()
    assert after["test"] != before["test"]
    assert after["train"] == before["train"]
    load(tmp_path).check_disjoint(content=True)


def _moved(coco, part, names):
    """The annotations with images under other names, their files moved there."""
    content = coco.content(part)
    for image, name in zip(content["images"], names, strict=True):
        target = coco.base / part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (coco.base / part / image["file_name"]).rename(target)
        image["file_name"] = name
    return content


def test_file_names_may_have_folders(coco, tmp_path):
    flat = load(tmp_path)
    before, fingerprint = list(flat.test_dataloader()), flat.fingerprint()
    names = ["cam0/1.png", "cam1/1.png", "./deep/er/x y.png"]
    coco.write("val2017", _moved(coco, "val2017", names))
    data = load(tmp_path)
    for (images, targets), (same, moved) in zip(before, data.test_dataloader(), strict=True):
        torch.testing.assert_close(images, same)
        torch.testing.assert_close(targets, moved)
    assert [one.path.relative_to(coco.base / "val2017").as_posix() for one in data._images["test"]] == [
        "cam1/1.png",
        "deep/er/x y.png",
        "cam0/1.png",
    ]
    assert data.fingerprint()["test"] != fingerprint["test"]
    data.check_disjoint(content=True)


@pytest.mark.parametrize(
    "gone", ["cam0/2.png", "cam9/1.png", "cam0", "cam0/1.png/x.png", "a" * 300 + "/b.png"]
)
def test_an_absent_image_in_a_folder_is_named_with_it(coco, tmp_path, gone):
    content = _moved(coco, "val2017", ["cam0/1.png", "cam1/1.png", "2.png"])
    coco.write("val2017", _changed(content, "images", file_name=gone))
    with pytest.raises(DataError, match=rf"lacks, first {gone}|cannot decode the image .*{gone}"):
        load(tmp_path)


def test_folders_with_backslashes_get_a_hint(coco, tmp_path):
    coco.write("val2017", _changed(coco.content("val2017"), "images", file_name="cam0\\1.png"))
    with pytest.raises(DataError, match="folders are separated by /"):
        load(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *("../x.png", "a/../../x.png", "a/../x.png", "/etc/x.png", "..", "", ".", "a\0.png"),
        *("C:\\x.png", "C:x.png", "\\\\host\\a\\x.png", "..\\x.png"),
    ],
)
def test_a_file_name_cannot_leave_the_folder_of_images(coco, tmp_path, name):
    (coco.base / "x.png").write_bytes((coco.base / "val2017" / "val20171.png").read_bytes())
    coco.write("val2017", _changed(coco.content("val2017"), "images", file_name=name))
    with pytest.raises(DataError, match=r"instances_val2017\.json: file_name .* inside the folder of images"):
        load(tmp_path)


def test_json_that_is_nested_too_deeply_is_named(coco, tmp_path):
    file = coco.write("val2017", "[" * 100_000)
    with pytest.raises(DataError, match=rf"{file.name} is not JSON"):
        load(tmp_path)
