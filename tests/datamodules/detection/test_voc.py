"""VOC's layout: what is read from it, and what is wrong with it is named."""

import pytest
import torch

from datamodules import DataError, LoaderConfig
from datamodules.detection.annotations import AnnotationWarning
from datamodules.detection.voc import Voc
from datamodules.registry import build


def load(root, **options) -> Voc:
    data = build(
        "voc",
        {"path": "small", "image_size": [64, 64], **options},
        LoaderConfig(root, batch_size=2, calibration_images=3),
    )
    data.setup()
    return data


def test_classes_come_from_the_training_annotations(voc, tmp_path):
    assert load(tmp_path).classes == ("cat", "dog")


def test_boxes_count_pixels_from_one_and_include_the_last(voc, tmp_path):
    _, targets = next(iter(load(tmp_path).test_dataloader()))
    torch.testing.assert_close(
        targets[0]["true_boxes"], torch.tensor([[4.0, 5, 40, 44], [19, 19, 50, 40]], dtype=torch.float64)
    )
    assert targets[0]["true_labels"].tolist() == [1, 0]
    assert targets[0]["difficult"].tolist() == [True, False]
    assert not targets[0]["crowd"].any()


def test_images_without_objects_are_kept(voc, tmp_path):
    data = load(tmp_path)
    targets = [target for _, batch in data.test_dataloader() for target in batch]
    assert [len(target["true_boxes"]) for target in targets] == [2, 0]
    assert sum(len(images) for images, _ in data.train_dataloader()) == 2  # a last batch of one is left out


def test_difficult_objects_are_trained_on_only_if_asked_for(voc, tmp_path):
    for asked, labels in ((False, [0]), (True, [1, 0])):
        _, targets = next(iter(load(tmp_path, train_difficult=asked).test_dataloader()))
        assert targets[0]["labels"].tolist() == labels


def test_the_letterbox_keeps_the_aspect_ratio_and_centres(voc, tmp_path):
    images, targets = next(iter(load(tmp_path).test_dataloader()))
    assert images.shape == (2, 3, 64, 64)
    # 64x48 into 64x64: no scaling, 8 rows above and below
    assert targets[0]["letterbox"].tolist() == [1, 1, 0, 8, 64, 48]
    torch.testing.assert_close(targets[0]["boxes"], torch.tensor([[19.0, 27, 50, 48]]))


def test_07_12_joins_both_training_sets(voc_folder, tmp_path):
    old, new = voc_folder("2007"), voc_folder("2012")
    old.add("trainval", "a", [("cat", (1, 1, 9, 9))])
    new.add("trainval", "b", [("dog", (1, 1, 9, 9))])
    old.add("test", "c", [("cat", (1, 1, 9, 9))])
    data = load(tmp_path, year="07+12")
    assert data.classes == ("cat", "dog")
    assert [one.path.stem for one in data._images["train"]] == ["a", "b"]
    assert [one.path.stem for one in data._images["test"]] == ["c"]


def test_degenerate_boxes_are_dropped_with_one_warning_that_counts(voc, tmp_path):
    voc.add("train", "c1", [("cat", (5, 5, 5, 20)), ("cat", (9, 20, 30, 10)), ("dog", (2, 2, 9, 9))])
    voc.add("train", "c2", [("cat", (70, 5, 90, 20)), ("cat", (40, 5, 90, 20))])
    with pytest.warns(AnnotationWarning) as caught:
        data = load(tmp_path)
    assert [str(w.message).split(": ")[1].split(",")[0] for w in caught] == [
        "3 box(es) without area or wholly outside their image were dropped",
        "1 box(es) reached beyond their image and were clipped",
    ]
    assert "c1.xml" in str(caught[0].message)
    assert "c2.xml" in str(caught[1].message)
    clipped = data._images["train"][4]
    assert clipped.boxes.tolist() == [[39, 4, 64, 20]]
    assert data._images["train"][3].labels.tolist() == [1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda voc: (voc.base / "Annotations" / "b1.xml").unlink(), r"no annotation file .*b1\.xml"),
        (lambda voc: (voc.base / "Annotations" / "b1.xml").write_text(""), r"cannot read .*b1\.xml"),
        (
            lambda voc: (voc.base / "Annotations" / "b1.xml").write_text("<a><b></a>"),
            r"cannot read .*b1\.xml",
        ),
        (
            lambda voc: (voc.base / "Annotations" / "b1.xml").write_text("<annotation/>"),
            r"b1\.xml: <annotation> has no <size/width>",
        ),
        (
            lambda voc: voc.add("val", "b3", [("cow", (1, 1, 9, 9))]),
            r"b3\.xml .*class 'cow'.*known: cat, dog",
        ),
        (
            lambda voc: voc.add("val", "b3", [("cat", ("x", 1, 9, 9))]),
            r"b3\.xml: <bndbox/xmin> must be a number",
        ),
        *(
            (
                lambda voc, width=width: voc.add("val", "b3", [], size=(64, 48)).write_text(
                    f"<annotation><size><width>{width}</width><height>48</height></size></annotation>"
                ),
                r"b3\.xml: <size/width> must be at least 1 pixel",
            )
            for width in ("0", "inf", "nan")
        ),
        (lambda voc: (voc.base / "JPEGImages" / "b1.jpg").unlink(), r"b1\.jpg, which does not exist"),
        (lambda voc: (voc.base / "ImageSets" / "Main" / "val.txt").unlink(), r"(?s)no val images.*layout"),
        (
            lambda voc: (voc.base / "ImageSets" / "Main" / "val.txt").write_text(""),
            r"val\.txt names no image",
        ),
        (
            lambda voc: (voc.base / "ImageSets" / "Main" / "val.txt").write_bytes(b"\xff\xfe\x00\x81"),
            "no val images of VOC2012",
        ),
        (
            lambda voc: (voc.base / "ImageSets" / "Main" / "val.txt").write_text("b2\n"),
            r"test images .*: none of its 1 image\(s\) has an object that counts",
        ),
    ],
)
def test_bad_files_are_named(voc, tmp_path, damage, message):
    damage(voc)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_empty_lines_of_a_list_are_passed_over(voc, tmp_path):
    with open(voc.base / "ImageSets" / "Main" / "val.txt", "a") as names:
        names.write("\n  \n")
    assert [one.path.stem for one in load(tmp_path)._images["test"]] == ["b1", "b2"]


def test_a_test_image_that_is_none_is_named_before_the_test(voc, tmp_path):
    (voc.base / "JPEGImages" / "b1.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"cannot decode the image .*b1\.jpg"):
        load(tmp_path)


@pytest.fixture
def damaged(voc):
    """Cuts an image file in half, which leaves its header whole."""

    def cut(stem):
        file = voc.base / "JPEGImages" / f"{stem}.jpg"
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])

    return cut


def test_a_truncated_test_image_is_named_before_the_test(damaged, tmp_path):
    damaged("b1")
    with pytest.raises(DataError, match=r"cannot decode the image .*b1\.jpg: .*truncated"):
        load(tmp_path)


def test_a_truncated_training_image_is_named_when_it_is_read(damaged, tmp_path):
    damaged("a1")
    data = load(tmp_path)
    with pytest.raises(DataError, match=r"cannot decode the image .*a1\.jpg"):
        data._samples("train", training=False)[0]


def test_bytes_after_the_end_of_an_image_do_no_harm(voc, tmp_path):
    file = voc.base / "JPEGImages" / "b1.jpg"
    file.write_bytes(file.read_bytes() + b"\0" * 10_000)
    assert load(tmp_path)._samples("test", training=False)[0]


@pytest.mark.parametrize("stem", ["a1", "b1"])
def test_an_image_of_another_size_than_its_annotation_says_is_named(voc, tmp_path, stem):
    file = voc.base / "Annotations" / f"{stem}.xml"
    file.write_text(file.read_text().replace("<width>64", "<width>65"))
    with pytest.raises(DataError, match=rf"{stem}\.jpg has 64x48 pixels, but its annotation says 65x48"):
        load(tmp_path).calibration_batches()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"year": "2010"}, "year must be one of"),
        ({"image_size": [64, 50]}, "multiples of 32"),
        ({"path": "/absolute"}, "relative"),
        ({"scales": [2, 1]}, "scales"),
        ({"photometric": -1}, "photometric"),
        ({"yeer": "2012"}, "did you mean 'year'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(DataError, match=message):
        build("voc", options, LoaderConfig())


@pytest.mark.parametrize(
    ("text", "flag"),
    [("0", False), ("1", True), (" 1\n", True), ("true", True), ("True", True), ("false", False)],
)
def test_difficult_is_read_as_the_flag_that_it_is(voc, tmp_path, text, flag):
    file = voc.base / "Annotations" / "b1.xml"
    voc.add("val", "b3", [("cat", (1, 1, 9, 9))])
    file.write_text(file.read_text().replace("<difficult>0<", f"<difficult>{text}<"))
    data = load(tmp_path)
    assert data._images["test"][0].difficult.tolist() == [True, flag]


def test_objects_without_the_mark_are_not_difficult(voc, tmp_path):
    file = voc.base / "Annotations" / "b1.xml"
    file.write_text(file.read_text().replace("<difficult>1</difficult>", ""))
    assert load(tmp_path)._images["test"][0].difficult.tolist() == [False, False]


@pytest.mark.parametrize("text", ["2", "-1", "1.0", "yes", "no", "Unspecified", "", "nan", "<b>1</b>"])
def test_other_marks_are_refused_with_file_and_field(voc, tmp_path, text):
    file = voc.base / "Annotations" / "b1.xml"
    file.write_text(file.read_text().replace("<difficult>0<", f"<difficult>{text}<"))
    with pytest.raises(DataError, match=r"b1\.xml: <difficult> must be 0 or 1, got"):
        load(tmp_path)


def test_parts_of_an_object_are_no_objects(voc, tmp_path):
    """VOC marks heads, hands and feet of people; their names and boxes stand inside of the object."""
    box = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
    part = f"<part><name>head</name><difficult>yes</difficult>{box}</part>"
    plain = load(tmp_path)
    for stem in ("a1", "b1"):
        file = voc.base / "Annotations" / f"{stem}.xml"
        text = file.read_text()
        file.write_text(text.replace("<object>", f"<object>{part}").replace("</object>", f"{part}</object>"))
    data = load(tmp_path)
    assert data.classes == ("cat", "dog")
    for split in ("train", "test"):
        before, after = plain._images[split], data._images[split]
        assert [one.identity() for one in before] == [one.identity() for one in after]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_annotations_in_other_encodings(voc, tmp_path, encoding):
    before = load(tmp_path).fingerprint()
    for file in (voc.base / "Annotations").iterdir():
        text = file.read_text().replace("dog", "chién").replace("cat", "chat")
        declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
        file.write_text(declared + text, encoding=encoding)
    data = load(tmp_path)
    assert data.classes == ("chat", "chién")
    assert data.fingerprint() == before


@pytest.mark.parametrize("encoding", ["no-such-encoding", "utf-7", "big5"])
def test_an_encoding_that_cannot_be_read_is_named(voc, tmp_path, encoding):
    file = voc.base / "Annotations" / "b1.xml"
    file.write_text(f'<?xml version="1.0" encoding="{encoding}"?>' + file.read_text())
    with pytest.raises(DataError, match=r"cannot read the annotation file .*b1\.xml"):
        load(tmp_path)


def test_a_cmyk_photograph_is_read_in_colour(voc, tmp_path):
    from PIL import Image

    file = voc.base / "JPEGImages" / "b1.jpg"
    flat = Image.new("RGB", (64, 48), (200, 100, 50))
    flat.convert("CMYK").save(file, quality=95)
    images, _ = load(tmp_path, mean=[0.0] * 3, std=[1.0] * 3)._samples("test", training=False)[0]
    middle = images[:, 32, 32] * 255
    torch.testing.assert_close(middle, torch.tensor([200.0, 100, 50]), atol=4, rtol=0)


def listing(voc, text):
    (voc.base / "ImageSets" / "Main" / "val.txt").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("text", ["b1 1\nb2 -1\n", "b1  1\r\nb2  0\r\n", "b1\t1\n\nb2\n", "\ufeffb1\nb2\n"])
def test_lists_of_one_class_name_all_of_their_images(voc, tmp_path, text):
    before = load(tmp_path).fingerprint()
    listing(voc, text)
    assert load(tmp_path).fingerprint() == before


def test_a_name_with_a_number_behind_it_is_a_name_where_the_image_is_there(voc, tmp_path):
    voc.add("val", "b 1", [("cat", (1, 1, 9, 9))])
    listing(voc, "b1 1\nb 1\n")
    assert [one.path.stem for one in load(tmp_path)._images["test"]] == ["b1", "b 1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b1 1\nb2 7\n", r"val\.txt:2: the second column must be 1, -1 or 0, got '7'"),
        ("b1 +1\n", r"val\.txt:1: the second column must be 1, -1 or 0, got '\+1'"),
        ("b1\n\nb2\nb1 1\n", r"val\.txt:4 names the image 'b1' again, after line 1"),
        ("../b1\n", r"val\.txt:1: '\.\./b1' does not name an image inside"),
        ("/b1\n", r"val\.txt:1: '/b1' does not name"),
        ("b1 cat\n", r"no annotation file .*b1 cat\.xml"),
        ("b" * 300, r"b{300}"),
    ],
)
def test_lines_that_name_no_image_are_named(voc, tmp_path, text, message):
    listing(voc, text)
    with pytest.raises(DataError, match=message):
        load(tmp_path)
