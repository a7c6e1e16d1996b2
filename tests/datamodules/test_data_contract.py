"""What every registered data set promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from datamodules.base import LoaderConfig
from datamodules.errors import DataError
from datamodules.registry import build, describe, names


def images_of(batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.cat([images for images, _ in batches])


def labels_of(batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.cat([labels for _, labels in batches])


@pytest.mark.parametrize("sandbox", names("classification"), indirect=True)
class TestEveryDataSet:
    def test_construction_reads_nothing(self, sandbox, tmp_path):
        data = sandbox.build(root=tmp_path / "nowhere")
        assert data.name == sandbox.name
        assert data.task == "classification"
        size = sandbox.options.get("size") or sandbox.options.get("image_size", 32)
        assert data.image_shape[1:] == (size, size)

    def test_one_line_describes_it(self, sandbox):
        assert len(describe(sandbox.name)) > 20
        assert "\n" not in describe(sandbox.name)

    def test_batches_have_the_promised_shapes(self, sandbox):
        data = sandbox.build()
        whole_batches = sandbox.train_images // 4 * 4
        loaders = ((data.train_dataloader(), whole_batches), (data.test_dataloader(), sandbox.test_images))
        for loader, count in loaders:
            batches = list(loader)
            images, labels = images_of(batches), labels_of(batches)
            assert images.shape == (count, *data.image_shape)
            assert images.dtype == torch.float32
            assert type(images) is Tensor
            assert labels.shape == (count,)
            assert labels.dtype == torch.int64
            assert 0 <= labels.min() <= labels.max() < len(data.classes)
        assert len(data.classes) == sandbox.classes
        assert all(isinstance(name, str) for name in data.classes)

    def test_pixels_are_normalised(self, sandbox):
        images = images_of(list(sandbox.build().test_dataloader()))
        assert abs(images.mean()) < 0.6
        assert 0.3 < images.std() < 1.6

    def test_training_is_shuffled_and_testing_is_not(self, sandbox):
        data = sandbox.build()
        first, second = (images_of(list(data.test_dataloader())) for _ in range(2))
        torch.testing.assert_close(first, second, rtol=0, atol=0)
        torch.manual_seed(0)
        loader = data.train_dataloader()
        assert not torch.equal(images_of(list(loader)), images_of(list(loader)))

    def test_training_follows_the_global_seed(self, sandbox):
        runs = []
        for _ in range(2):
            torch.manual_seed(3)
            runs.append(images_of(list(sandbox.build().train_dataloader())))
        torch.testing.assert_close(*runs, rtol=0, atol=0)

    def test_splits_do_not_overlap(self, sandbox):
        data = sandbox.build()
        data.check_disjoint()
        assert data.overlap(content=True) == []

    def test_calibration_is_drawn_by_seed_from_training_images_without_augmentation(self, sandbox):
        data = sandbox.build(calibration_images=6)
        batches = data.calibration_batches()
        assert [len(batch) for batch in batches] == [4, 2]
        drawn = torch.cat(batches)
        torch.testing.assert_close(drawn, torch.cat(sandbox.build().calibration_batches()), rtol=0, atol=0)
        assert not torch.equal(drawn, torch.cat(sandbox.build(seed=1).calibration_batches()))

        everything = torch.cat(sandbox.build(calibration_images=sandbox.train_images).calibration_batches())
        assert len(everything) == sandbox.train_images
        test = images_of(list(data.test_dataloader()))
        for image in drawn:
            assert (everything == image).flatten(1).all(1).any()
            assert not (test == image).flatten(1).all(1).any()

    def test_too_many_calibration_images_are_refused(self, sandbox):
        with pytest.raises(DataError, match=f"has {sandbox.train_images}; set calibration_images"):
            sandbox.build(calibration_images=sandbox.train_images + 1).calibration_batches()

    def test_a_limited_test_set_is_a_fixed_prefix(self, sandbox):
        four, six = (images_of(list(sandbox.build(test_images=n).test_dataloader())) for n in (4, 6))
        torch.testing.assert_close(four, six[:4], rtol=0, atol=0)
        other_seed = images_of(list(sandbox.build(test_images=4, seed=9).test_dataloader()))
        torch.testing.assert_close(four, other_seed, rtol=0, atol=0)
        everything = list(sandbox.build(test_images=10**6).test_dataloader())
        assert len(labels_of(everything)) == sandbox.test_images

    def test_fingerprints_tell_splits_and_seeds_apart(self, sandbox):
        prints = sandbox.build().fingerprint()
        assert prints.keys() == {"train", "test", "calibration"}
        assert len(set(prints.values())) == 3
        assert all(len(value) == 64 for value in prints.values())
        assert prints == sandbox.build().fingerprint()

        other = sandbox.build(seed=1).fingerprint()
        assert other["calibration"] != prints["calibration"]
        assert other["train"] == prints["train"]
        assert other["test"] == prints["test"]
        assert sandbox.build(test_images=5).fingerprint()["test"] != prints["test"]

    def test_fingerprints_do_not_depend_on_where_the_root_is(self, sandbox, tmp_path_factory):
        moved = tmp_path_factory.mktemp("elsewhere") / "data"
        before = sandbox.build().fingerprint()
        sandbox.root.rename(moved)
        assert sandbox.build(root=moved).fingerprint() == before


@pytest.mark.parametrize("sandbox", [n for n in names("classification") if n != "digits"], indirect=True)
class TestEveryDataSetOnDisk:
    def test_fingerprints_change_with_the_data(self, sandbox):
        before = sandbox.build().fingerprint()
        sandbox.change()
        after = sandbox.build().fingerprint()
        assert after["test"] != before["test"]
        assert after["train"] == before["train"]

    def test_missing_files_say_where_and_how(self, sandbox, tmp_path):
        empty = tmp_path / "empty"
        with pytest.raises(DataError) as caught:
            sandbox.build(root=empty).setup()
        message = str(caught.value)
        assert f"Looked in: {empty}" in message
        assert "Expected layout:\n    DATA_ROOT/\n" in message
        assert "--data-root DIR" in message
        assert "SPIKEMARK_DATA" in message

    def test_the_root_may_come_from_the_environment(self, sandbox, monkeypatch):
        with pytest.raises(DataError, match=r"needs a data root.*--data-root DIR"):
            sandbox.build(root=None).setup()
        monkeypatch.setenv("SPIKEMARK_DATA", str(sandbox.root))
        assert len(sandbox.build(root=None).classes) == sandbox.classes


@pytest.mark.parametrize("sandbox", ["digits", "image_folder"], indirect=True)
def test_worker_processes_read_the_same(sandbox):
    alone, helped = (
        images_of(list(sandbox.build(batch_size=64, test_images=64, num_workers=workers).test_dataloader()))
        for workers in (0, 1)
    )
    torch.testing.assert_close(alone, helped, rtol=0, atol=0)


def test_unknown_names_point_to_the_nearest():
    with pytest.raises(DataError, match=r"no data set 'cifar_10'; did you mean 'cifar10'\?"):
        build("cifar_10", {}, LoaderConfig())
    with pytest.raises(DataError, match=r"no data set 'zzz'\. Valid: cifar10, "):
        describe("zzz")
    with pytest.raises(DataError, match=r"'digits' has no option 'sise'; did you mean 'size'\?"):
        build("digits", {"sise": 8}, LoaderConfig())
    with pytest.raises(DataError, match=r"'image_folder' needs the option\(s\) path"):
        build("image_folder", {"image_size": 8}, LoaderConfig())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digits", {"size": 7}, r"'digits': size must be an integer in \[8, 32\], got 7"),
        ("digits", {"size": True}, "size must be an integer"),
        ("digits", {"size": "16"}, "got '16'"),
        ("cifar10", {"augment": 1}, "augment must be true or false"),
        ("cifar10", {"mean": [0.5, 0.5, 0.5]}, "mean and std must be given together"),
        ("cifar100", {"mean": [0.5], "std": [0.5]}, "CIFAR has 3 channels"),
        ("imagenet", {"image_size": 224, "resize_size": 200}, "resize_size must be an integer at least 224"),
        ("imagenet", {"path": ""}, "path must be a path relative"),
        ("image_folder", {"path": "/data/x", "image_size": 8}, "absolute path '/data/x'"),
        ("image_folder", {"path": "x", "image_size": 8, "std": [1, 1, 0]}, "std must be above 0"),
        ("image_folder", {"path": "x", "image_size": 8, "mean": [0.5]}, "one number per channel"),
        ("image_folder", {"path": "x", "image_size": 8, "mean": "grey"}, "mean must be a tuple of 1"),
    ],
)
def test_bad_options_are_refused_at_construction(name, options, message):
    with pytest.raises(DataError, match=message):
        build(name, options, LoaderConfig())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 0),
        ("num_workers", -1),
        ("calibration_images", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("test_images", 0),
        ("download", "no"),
    ],
)
def test_bad_loader_settings_are_refused(field, value):
    with pytest.raises(DataError, match=f"^{field} must be"):
        LoaderConfig(root=Path(), **{field: value})
