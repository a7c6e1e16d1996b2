from __future__ import annotations

import shutil

import pytest
import torch

from datamodules.errors import DataError

pytestmark = pytest.mark.parametrize("sandbox", ["imagenet"], indirect=True)


def test_classes_are_the_words_of_the_meta_file(sandbox):
    assert sandbox.build().classes == ("tench, Tinca tinca", "goldfish", "white shark")


def test_training_crops_at_random_and_testing_does_not(sandbox):
    data = sandbox.build(batch_size=15)
    torch.manual_seed(0)
    loader = data.train_dataloader()
    sums = [next(iter(loader))[0].flatten(1).sum(1).sort()[0] for _ in range(2)]
    assert not torch.allclose(*sums)


def test_a_class_in_one_split_only_is_refused(sandbox):
    shutil.rmtree(sandbox.root / "imagenet/val/n01443537")
    with pytest.raises(DataError, match=r"different classes.*n01443537"):
        sandbox.build().setup()


def test_a_missing_split_names_its_archive(sandbox):
    shutil.rmtree(sandbox.root / "imagenet/train")
    with pytest.raises(DataError, match=r"the train part of ImageNet(.|\n)*ILSVRC2012_img_train\.tar"):
        sandbox.build().train_dataloader()
