"""The contract holds for everything registered, and its laws can be broken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks.contracts import DATASET_LAWS, NETWORK_LAWS, RECIPE_LAWS, recipes
from benchmarks.contracts import datasets as dataset_laws
from benchmarks.contracts import networks as network_laws
from conversion import recipe_from, recipe_names
from conversion import recipes as presets
from conversion.initial import Zero
from conversion.neurons import DifferentialMultiThreshold, IntegrateAndFire
from conversion.pooling import LateralInhibition
from conversion.scales import Percentile
from datamodules import registry as datasets
from datamodules.digits import Digits
from lightning_modules import networks
from lightning_modules.networks import NetworkEntry
from lightning_modules.networks import registry as network_registry
from lightning_modules.networks.small_cnn import SmallCNNOptions

# Less of what takes long and is the same in every round.
QUICKER = {
    "dualphase": {"correction": {"iterations": 5}},
    "calib-adv": {"correction": {"iterations": 5}},
}
# torchvision's need seconds and gigabytes for each law; what they are made of is judged with the others, and
# tests/conversion/graph/test_coverage.py converts them.
LARGE = ("resnet18", "resnet34", "resnet50", "vgg16_bn", "retinanet_resnet50_fpn", "fcn_resnet50")
LARGE += ("deeplabv3_resnet50", "vgg16", "tiny_yolo", "mobilenet_v2", "mobilenet_v3_large", "vit_b_16")
LARGE += ("efficientnet_b0", "efficientnet_lite0", "convnext_tiny", "swin_t")
ON_DISK = ("cifar10", "cifar100", "imagenet", "image_folder", "voc", "coco", "voc_segmentation", "cityscapes")


def named(law):
    return law.__name__


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe(recipe):
    for law in RECIPE_LAWS:
        law({"preset": recipe, **QUICKER.get(recipe, {})})


@pytest.mark.parametrize("network", [name for name in networks.names() if name not in LARGE])
def test_every_network(network):
    for law in NETWORK_LAWS:
        law(network)


@pytest.mark.parametrize("network", LARGE)
def test_every_large_network(network):
    network_laws.says_what_it_is(network)


@pytest.mark.parametrize("dataset", [name for name in datasets.names() if name not in ON_DISK])
def test_every_data_set(dataset):
    few = {} if dataset == "digits" else {"train_images": 24, "test_images": 8}
    for law in DATASET_LAWS:
        law(dataset, few)


def refuses(law, *arguments):
    with pytest.raises(AssertionError) as caught:
        law(*arguments)
    return str(caught.value)


class Restless(Percentile):
    def thresholds(self, layer):
        return super().thresholds(layer) * (1 + 0.1 * torch.rand(1))


class Coarse(Percentile):
    def thresholds(self, layer):
        return super().thresholds(layer) * 30


class Twitchy(IntegrateAndFire):
    """Sends something that depends on the largest current in the batch."""

    def scan(self, current, steps, state):
        return super().scan(current / current.amax().clamp(min=0.1), steps, state)


class Boundless(DifferentialMultiThreshold):
    """Sends changes that add up to anything, and says that a threshold bounds them."""

    bounded = True


@pytest.mark.parametrize(
    ("change", "law", "reason"),
    [
        ({"summary": ""}, recipes.says_what_it_is, "summary is empty"),
        ({"paper": "two\nlines"}, recipes.says_what_it_is, "more than one line"),
        ({"scale": Restless()}, recipes.repeats_itself, "differ between two runs"),
        ({"scale": Coarse()}, recipes.comes_closer_to_the_network, "the error"),
        (
            {"neuron": Boundless(), "initial": Zero(), "pooling": LateralInhibition()},
            recipes.keeps_to_bounds,
            "above the bound 0.8",
        ),
        ({"neuron": Twitchy()}, recipes.does_not_depend_on_the_batch, "outputs differ"),
    ],
)
def test_a_recipe_that_breaks_a_law(monkeypatch, change, law, reason):
    monkeypatch.setitem(
        presets._PRESETS, "bad", replace(recipe_from("opi"), name="bad", label="bad", **change)
    )
    recipes._known.cache_clear()
    assert reason in refuses(law, "bad")


def test_a_search_range_without_its_default(monkeypatch):
    field = Percentile.__dataclass_fields__["p"]
    monkeypatch.setattr(field, "metadata", {"range": (0.9, 0.95), "log": False, "of_time_steps": False})
    assert "0.999 not in [0.9, 0.95]" in refuses(recipes.can_be_tuned, "opi")


class BatchNormal(nn.Module):
    """Normalises by the batch even in eval mode, and keeps a number that no state dict has."""

    def __init__(self, num_classes, in_channels, options):
        super().__init__()
        self.linear, self.secret = nn.Linear(in_channels, num_classes), torch.rand(1)

    def forward(self, images):
        return self.linear((images - images.mean(0)).mean((2, 3))) + self.secret


def test_a_network_that_breaks_laws(monkeypatch):
    entry = NetworkEntry("bad\nnet", SmallCNNOptions, BatchNormal)
    monkeypatch.setitem(network_registry._ENTRIES, "bad", entry)
    assert "more than one line" in refuses(network_laws.says_what_it_is, "bad")
    assert "depends on the batch" in refuses(network_laws.treats_images_one_by_one, "bad")
    assert "beside the weights" in refuses(network_laws.lives_in_its_weights, "bad")


@dataclass(frozen=True)
class NoOptions:
    pass


class BadDigits(Digits):
    """Unnormalised, augmented where it must not be, with training images in the test split."""

    options_type = NoOptions

    def __init__(self, options, loader):
        super().__init__(SimpleNamespace(size=8), loader)

    def _samples(self, split, *, training):
        samples = super()._samples("train", training=training)
        samples.transform = lambda images: 100 * images + torch.rand(1)
        return samples


def test_a_data_set_that_breaks_laws(monkeypatch):
    monkeypatch.setitem(datasets._CLASSES, "digits", BadDigits)
    assert "are they normalised" in refuses(dataset_laws.gives_normalised_batches, "digits")
    assert "augmented" in refuses(dataset_laws.calibrates_on_training_images, "digits")
    assert "test images" in refuses(dataset_laws.keeps_the_order_of_its_tests, "digits")
    with pytest.raises(Exception, match="overlap"):
        dataset_laws.keeps_its_splits_apart("digits")
