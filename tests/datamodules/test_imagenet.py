from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datamodules.base import LoaderConfig
from datamodules.errors import DataError
from datamodules.registry import build

imagenet = pytest.mark.parametrize("sandbox", ["imagenet"], indirect=True)
WNIDS = ("n01440764", "n01443537", "n01484850")


@imagenet
def test_classes_are_the_words_of_the_meta_file(sandbox):
    assert sandbox.build().classes == ("tench, Tinca tinca", "goldfish", "white shark")


@imagenet
def test_training_crops_at_random_and_testing_does_not(sandbox):
    data = sandbox.build(batch_size=15)
    torch.manual_seed(0)
    loader = data.train_dataloader()
    sums = [next(iter(loader))[0].flatten(1).sum(1).sort()[0] for _ in range(2)]
    assert not torch.allclose(*sums)


@imagenet
def test_a_class_in_one_split_only_is_refused(sandbox):
    shutil.rmtree(sandbox.root / "imagenet/val/n01443537")
    with pytest.raises(DataError, match=r"different classes.*n01443537"):
        sandbox.build().setup()


@imagenet
def test_a_missing_split_names_its_archive(sandbox):
    shutil.rmtree(sandbox.root / "imagenet/train")
    with pytest.raises(DataError, match=r"the train part of ImageNet(.|\n)*ILSVRC2012_img_train\.tar"):
        sandbox.build().train_dataloader()


@pytest.fixture
def listed(sandbox):
    """Without meta.bin: a list of five classes, of which train and val hold two each, one in common."""
    folder = sandbox.root / "imagenet"
    (folder / "meta.bin").unlink()
    shutil.rmtree(folder / "train" / WNIDS[0])
    shutil.rmtree(folder / "val" / WNIDS[2])
    (folder / "classes.txt").write_text("\n".join(["n9", WNIDS[2], "n3", WNIDS[1], WNIDS[0]]) + "\n")
    return replace(sandbox, options={**sandbox.options, "classes": "classes.txt"})


@imagenet
def test_a_list_of_classes_gives_every_split_the_labels_of_all(listed):
    data = listed.build(batch_size=100)
    assert data.classes == ("n9", WNIDS[2], "n3", WNIDS[1], WNIDS[0])
    _, train = next(iter(data.train_dataloader()))
    _, test = next(iter(data.test_dataloader()))
    assert sorted(train.tolist()) == [1] * 5 + [3] * 5
    assert test.tolist() == [4] * 3 + [3] * 3  # in the order of the folders' names
    assert len(torch.cat(data.calibration_batches())) == 6


@imagenet
def test_labels_follow_the_list_and_so_do_fingerprints(listed):
    before = listed.build().fingerprint()
    file = listed.root / "imagenet" / "classes.txt"
    file.write_text("\r\n".join(sorted(WNIDS)))
    data = listed.build(batch_size=100)
    assert next(iter(data.test_dataloader()))[1].tolist() == [0] * 3 + [1] * 3
    assert data.fingerprint()["test"] != before["test"]


@imagenet
def test_the_list_may_lie_below_the_data_root(listed):
    (listed.root / "imagenet" / "classes.txt").rename(listed.root / "all.txt")
    options = {**listed.options, "classes": "all.txt"}
    assert len(replace(listed, options=options).build().classes) == 5


@imagenet
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{0}\n{1}\n", r"train holds 1 folder\(s\) that .*classes\.txt does not name: n01484850; add them"),
        ("{0}\n{1}\n{2}\n{1}\n", r"classes\.txt:4 names the class 'n01443537' again, after line 2"),
        ("{0}\n\n{1}\n{2}\n", r"classes\.txt:2 is empty"),
        ("{0}\n{1}\n{2}\n  \n", r"classes\.txt:4 is empty"),
        ("{0}/\n{1}\n{2}\n", r"classes\.txt:1: 'n01440764/' is not the name of a class folder"),
        ("..\n{1}\n{2}\n", r"classes\.txt:1: '\.\.' is not the name"),
        ("", r"classes\.txt names no class"),
        ("n1\nn2\n", r"holds 2 folder\(s\) that .* does not name: n01443537, n01484850"),
        (b"\xff\xfe\x00", r"cannot read the list of classes .*classes\.txt"),
        (None, r"cannot read the list of classes .*classes\.txt"),
    ],
)
def test_lists_that_do_not_fit_are_named(listed, text, message):
    file = listed.root / "imagenet" / "classes.txt"
    file.unlink()
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.format(*WNIDS).encode())
    with pytest.raises(DataError, match=message):
        listed.build().setup()


@imagenet
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "there is no folder val of ImageNet"),
        (lambda folder: [shutil.rmtree(one) for one in folder.iterdir()], "val holds no class folder"),
        (
            lambda folder: [one.unlink() for one in (folder / WNIDS[0]).iterdir()],
            r"no images in .*val/n01440764",
        ),
        (lambda folder: (folder / "n77").mkdir(), r"does not name: n77"),
    ],
)
def test_splits_that_do_not_fit_the_list_are_named(listed, change, message):
    change(listed.root / "imagenet" / "val")
    with pytest.raises(DataError, match=message):
        listed.build().test_dataloader()


@imagenet
def test_own_constants_replace_the_usual(sandbox):
    plain = {**sandbox.options, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    half = {**sandbox.options, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.25, 0.5]}
    pixels, scaled = (
        next(iter(replace(sandbox, options=o).build().test_dataloader()))[0] for o in (plain, half)
    )
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    expected = (pixels - 0.5) / torch.tensor([0.5, 0.25, 0.5])[:, None, None]
    torch.testing.assert_close(scaled, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": [0.5], "std": [0.5]}, "three numbers each"),
        ({"mean": 0.5}, "mean must be a tuple"),
        ({"mean": [0.5, 0.5]}, "mean must be a tuple"),
        ({"std": [0.5, 0.5, 0]}, "std must be above 0"),
        ({"std": [0.5, 0.5, -1]}, "std must be above 0"),
        ({"std": [0.5, 0.5, float("nan")]}, "std must hold numbers, and finite ones"),
        ({"mean": [float("inf"), 0.5, 0.5]}, "mean must hold numbers, and finite ones"),
        ({"mean": [True, 0.5, 0.5]}, "mean must hold numbers"),
        ({"mean": ["0.5", 0.5, 0.5]}, "mean must hold numbers"),
        ({"classes": ""}, "classes must be a path relative"),
        ({"classes": "/classes.txt"}, "classes must be relative"),
        ({"classes": 5}, "classes must be a path relative"),
        ({"clases": "a"}, "did you mean 'classes'"),
        ({"path": "a" * 300}, r"path must be a path of names of at most 255 bytes, got 'a{40}'\.\.\. \(300"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(DataError, match=message):
        build("imagenet", options, LoaderConfig())


@imagenet
@pytest.mark.parametrize("kept", [0, 1, 100, -1, -200])
def test_a_truncated_meta_file_is_named_with_the_way_out(sandbox, kept):
    file = sandbox.root / "imagenet" / "meta.bin"
    content = file.read_bytes()
    file.write_bytes(content[:kept])
    for use in (lambda data: data.setup(), lambda data: data.classes):
        with pytest.raises(DataError) as caught:
            use(sandbox.build())
        message = str(caught.value)
        size = len(content[:kept])
        assert f"{file} ({size} bytes) is truncated or damaged" in message
        assert "put ILSVRC2012_devkit_t12.tar.gz beside it" in message
        assert "option classes" in message


@imagenet
@pytest.mark.parametrize("content", [{"a": torch.ones(1)}, ({}, [3]), [1, 2], ({"n1": 3}, [])])
def test_another_file_by_that_name_is_named(sandbox, content):
    torch.save(content, sandbox.root / "imagenet" / "meta.bin")
    with pytest.raises(DataError, match=r"meta\.bin .* is not the file of class names"):
        sandbox.build().setup()


@imagenet
def test_a_folder_that_the_meta_file_does_not_know_is_named(sandbox):
    shutil.copytree(sandbox.root / "imagenet/val/n01443537", sandbox.root / "imagenet/val/n77")
    with pytest.raises(
        DataError, match=r"val holds the folder 'n77', which is none of the 3 classes of meta\.bin"
    ):
        sandbox.build().setup()


@imagenet
@pytest.mark.parametrize("name", ["ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"])
def test_a_truncated_archive_is_called_so(sandbox, name):
    folder = sandbox.root / "imagenet"
    shutil.rmtree(folder / "val")
    if "devkit" in name:
        (folder / "meta.bin").unlink()
    (folder / name).write_bytes(b"cut")
    with pytest.raises(DataError, match=rf"{name} .*truncated or damaged: download it again"):
        sandbox.build().test_dataloader()


def test_a_sample_of_the_real_photographs():
    root = Path(os.environ.get("SPIKEMARK_DATA") or "absent")
    if not (root / "imagenet_sample" / "classes.txt").is_file():
        pytest.skip("SPIKEMARK_DATA names no folder with imagenet_sample/{train,val,classes.txt}")
    options = {"path": "imagenet_sample", "classes": "classes.txt", "mean": [0.5] * 3, "std": [0.5] * 3}
    data = build(
        "imagenet", options, LoaderConfig(root, batch_size=32, calibration_images=32, test_images=32)
    )
    names = (root / "imagenet_sample" / "classes.txt").read_text().split()
    assert data.classes == tuple(names)
    images, labels = next(iter(data.test_dataloader()))
    assert images.shape == (32, 3, 224, 224)
    assert images.min() >= -1
    assert images.max() <= 1
    chosen = data._test()
    folders = [Path(chosen.source.files[index][0]).parent.name for index in chosen.indices]
    assert [names[label] for label in labels] == folders
    data.check_disjoint(content=True)


def test_a_data_root_that_no_folder_can_be_is_named():
    with pytest.raises(DataError, match=r"the data root a{80}\.\.\. has a name of more than 255 bytes"):
        build("imagenet", {}, LoaderConfig(Path("a" * 300))).setup()
