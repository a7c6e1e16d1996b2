"""Intersection over union against counting by sets of pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lightning_modules.segmentation import SegmentationMetric
from lightning_modules.segmentation.metric import label_map

CLASSES = ("a", "b", "c", "d")


def target(labels, letterbox=None, input_size=None):
    height, width = labels.shape
    box = letterbox or [1, 1, 0, 0, width, height]
    return {
        "labels": torch.as_tensor(labels, dtype=torch.uint8),
        "letterbox": torch.tensor(box, dtype=torch.float64),
        "input_size": torch.tensor(input_size or [height, width]),
    }


def logits_of(found):
    """Logits at full size whose most likely class is `found`."""
    return torch.nn.functional.one_hot(torch.as_tensor(found), len(CLASSES)).permute(2, 0, 1).float()


def random_maps(seed, images=5, classes=4):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, (images, 6, 7))
    truth[generator.random(truth.shape) < 0.1] = 255
    return truth, generator.integers(0, len(CLASSES), (images, 6, 7))


def by_sets(truth, found, label):
    scored = {p for p in np.ndindex(truth.shape) if truth[p] != 255}
    of_it = {p for p in scored if truth[p] == label}
    found_as_it = {p for p in scored if found[p] == label}
    return len(of_it & found_as_it) / len(of_it | found_as_it) if of_it else None


def measured(truth, found, batch=2, reference=None):
    metric = SegmentationMetric(CLASSES)
    for start in range(0, len(truth), batch):
        part = slice(start, start + batch)
        output = torch.stack([logits_of(one) for one in found[part]])
        metric.update(output, [target(one) for one in truth[part]], None if reference is None else output)
    return metric


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [4, 3])
def test_overlap_is_pooled_over_the_set(seed, classes):
    """With three of four classes in the ground truth the fourth is found, but does not count as 0."""
    truth, found = random_maps(seed, classes=classes)
    scores = measured(truth, found).compute()
    each = [by_sets(truth, found, label) for label in range(len(CLASSES))]
    known = [one for one in each if one is not None]
    assert len(known) == classes
    assert scores["miou"] == pytest.approx(sum(known) / len(known))
    for name, value in zip(CLASSES, each, strict=True):
        assert scores.get(f"miou/{name}") == (None if value is None else pytest.approx(value))
    scored = truth != 255
    assert scores["pixel_accuracy"] == pytest.approx((truth == found)[scored].mean())


def test_pooling_is_not_the_mean_over_images():
    truth = np.zeros((2, 6, 7), dtype=int)
    truth[0, 0, 0] = 1
    truth[1] = 1
    found = np.zeros_like(truth)
    found[1] = 1
    # class a: 41 of 42, class b: 42 of 43; the first image alone would have (41 / 42 + 0) / 2
    assert measured(truth, found).compute()["miou"] == pytest.approx((41 / 42 + 42 / 43) / 2)


def test_outcomes_are_counts_of_each_image():
    truth, found = random_maps(7)
    outcomes = measured(truth, found).outcomes()
    assert len(outcomes) == 5
    for image in range(5):
        for label in range(4):
            scored = truth[image] != 255
            assert outcomes.true[image, label] == (truth[image] == label).sum()
            assert outcomes.found[image, label] == ((found[image] == label) & scored).sum()
            assert outcomes.correct[image, label] == ((found[image] == label) & (truth[image] == label)).sum()


def test_a_reference_gives_divergence_per_location_and_agreement():
    torch.manual_seed(0)
    reference, output = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    metric = SegmentationMetric(CLASSES)
    truth = [target(np.full((3, 3), 255)), target(np.zeros((3, 3)))]
    metric.update(output, truth, reference)
    scores = metric.compute()
    expected = []
    for image in range(2):
        for y in range(3):
            for x in range(3):
                p, q = (maps[image, :, y, x].softmax(0).tolist() for maps in (reference, output))
                expected.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    assert scores["kl"] == pytest.approx(sum(expected) / 18, rel=1e-4)
    same = (reference[1].argmax(0) == output[1].argmax(0)).float().mean()
    assert scores["agreement"] == pytest.approx(float(same))  # the first image has no scored pixel


def test_labels_may_have_any_size():
    """A 8x6 image in the middle of a 16x16 input: only what lies inside the image is looked at."""
    inside = torch.zeros(4, 16, 16)
    inside[3] = 0.5  # outside: class d
    inside[1, 5:11, 4:12] = 1.0
    labels = np.ones((6, 8), dtype=int)
    one = target(labels, [1, 1, 4, 5, 8, 6], [16, 16])
    assert (label_map(inside, one) == 1).all()
    twice = target(np.ones((12, 16), dtype=int), [0.5, 0.5, 4, 5, 16, 12], [16, 16])
    assert label_map(inside, twice).shape == (12, 16)
    assert (label_map(inside, twice) == 1).all()


def test_coarse_logits_are_resized_bilinearly():
    coarse = torch.tensor([[[0.0, 1.0]], [[0.6, 0.6]], [[-1, -1]], [[-1, -1]]])  # [4, 1, 2]
    one = target(np.zeros((1, 8)), input_size=[1, 8])
    # pixel centres lie at (x + 0.5) / 4 - 0.5 of the coarse map; class a grows linearly from 0 to 1
    value = [min(max((x + 0.5) / 4 - 0.5, 0), 1) for x in range(8)]
    assert label_map(coarse, one)[0].tolist() == [0 if v >= 0.6 else 1 for v in value]


def test_what_is_no_number_is_of_no_class():
    output = torch.zeros(1, 4, 2, 2)
    output[0, :, 0, 0] = math.nan
    metric = SegmentationMetric(CLASSES)
    metric.update(output, [target(np.zeros((2, 2)))])
    assert metric.compute()["miou"] == pytest.approx(3 / 4)
    assert metric.outcomes().found.sum() == 3


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")  # torchmetrics says it as well
def test_misuse_is_refused():
    metric = SegmentationMetric(CLASSES)
    with pytest.raises(ValueError, match="no images yet"):
        metric.compute()
    with pytest.raises(ValueError, match=r"output must be \[1, 4\] x h x w, got \[2, 4, 2, 2\]"):
        metric.update(torch.zeros(2, 4, 2, 2), [target(np.zeros((2, 2)))])
    metric.update(torch.zeros(1, 4, 2, 2), [target(np.zeros((2, 2)))])
    with pytest.raises(ValueError, match="every batch or in none"):
        metric.update(torch.zeros(1, 4, 2, 2), [target(np.zeros((2, 2)))], torch.zeros(1, 4, 2, 2))
