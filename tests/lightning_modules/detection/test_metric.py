"""The metric: raw maps in, average precision out, the same however images arrive."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_modules.detection.metric import DetectionMetric
from lightning_modules.detection.postprocess import PostProcessing, detect, in_stored_pixels

CLASSES = ("cat", "dog")


def echo(raw, size):
    """A decoder whose raw maps already are boxes and scores."""
    return raw


def target(index, boxes, labels, crowd=(), difficult=(), scale=0.5, offset=(0, 8), size=(200, 100)):
    boxes = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    count = len(boxes)
    return {
        "true_boxes": boxes,
        "true_labels": torch.tensor(labels, dtype=torch.int64),
        "true_areas": (boxes[:, 2:] - boxes[:, :2]).prod(1),
        "crowd": torch.tensor(list(crowd) or [False] * count),
        "difficult": torch.tensor(list(difficult) or [False] * count),
        "letterbox": torch.tensor([scale, scale, *offset, *size], dtype=torch.float64),
        "input_size": torch.tensor([64, 96]),
        "index": torch.tensor(index),
    }


def raw_of(targets, slots=6):
    """Raw maps that say what the annotations say: [B, slots, 4] and [B, slots, 2]."""
    boxes, scores = torch.zeros(len(targets), slots, 4), torch.zeros(len(targets), slots, 2)
    for image, one in enumerate(targets):
        scale, _, x, y = one["letterbox"][:4].tolist()
        for slot, (box, label) in enumerate(zip(one["true_boxes"], one["true_labels"], strict=True)):
            boxes[image, slot] = (box * scale + torch.tensor([x, y, x, y])).float()
            scores[image, slot, label] = 0.9 - 0.01 * slot
    return boxes, scores


@pytest.fixture
def targets():
    return [
        target(0, [[10, 10, 50, 60], [100, 20, 190, 90]], [0, 1]),
        target(1, [], []),
        target(2, [[0, 0, 30, 30]], [1]),
        target(3, [[20, 5, 120, 95], [5, 5, 45, 40]], [0, 0]),
    ]


@pytest.mark.parametrize("scoring", ["coco", "voc"])
def test_annotations_score_one_and_silence_scores_zero(targets, scoring):
    metric = DetectionMetric(echo, CLASSES, scoring, images=4)
    metric.update(raw_of(targets), targets)
    assert metric.primary == {"coco": "map", "voc": "voc_map50"}[scoring]
    assert metric.compute() == pytest.approx(dict.fromkeys(metric.compute(), 1.0))
    assert {f"{metric.primary}/cat", f"{metric.primary}/dog", "map", "map50"} <= metric.compute().keys()
    silent = DetectionMetric(echo, CLASSES, scoring, images=4)
    silent.update((torch.zeros(4, 6, 4), torch.zeros(4, 6, 2)), targets)
    assert set(silent.compute().values()) == {0.0}


def test_batches_do_not_matter(targets):
    generator = torch.Generator().manual_seed(0)
    boxes, scores = raw_of(targets)
    boxes = boxes + 3 * torch.randn(boxes.shape, generator=generator)
    scores = (scores + 0.3 * torch.rand(scores.shape, generator=generator)).clamp(0, 1)
    whole = DetectionMetric(echo, CLASSES)
    whole.update((boxes, scores), targets)
    parts = DetectionMetric(echo, CLASSES)
    for start, end in ((0, 1), (1, 4)):
        parts.update((boxes[start:end], scores[start:end]), targets[start:end])
    assert whole.compute() == parts.compute()
    assert 0 < whole.compute()["map"] < 1
    one, two = whole.outcomes().matches, parts.outcomes().matches
    assert all(np.array_equal(getattr(one, n), getattr(two, n)) for n in ("image", "hits", "objects"))


def test_crowds_do_not_count_for_coco_and_difficult_objects_not_for_voc():
    marked = [target(0, [[10, 10, 50, 60], [100, 20, 190, 90]], [0, 0], [False, True], [False, True])]
    boxes, scores = raw_of(marked)
    for scoring in ("coco", "voc"):
        metric = DetectionMetric(echo, CLASSES, scoring)
        metric.update((boxes, scores), marked)  # also detects what does not count
        assert metric.compute()[metric.primary] == pytest.approx(1.0)
        assert metric.outcomes().matches.objects.tolist() == [[1, 0]]


def test_predictions_are_clipped_to_the_stored_image():
    box = torch.tensor([[-20.0, -20, 300, 300]])
    letterbox = target(0, [], [])["letterbox"]
    assert in_stored_pixels(box, letterbox).tolist() == [[0, 0, 200, 100]]
    inside = torch.tensor([[10.0, 18, 30, 28]])
    assert in_stored_pixels(inside, letterbox).tolist() == [[20, 20, 60, 40]]


def test_suppression_keeps_the_best_of_a_class_and_every_class():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 1, 10, 11], [50, 50, 60, 60]])
    scores = torch.tensor([[0.9, 0.5], [0.8, 0.1], [0.001, 0.3]])
    ((kept, values, labels),) = detect(boxes[None], scores[None], PostProcessing(nms_iou=0.5))
    assert values.tolist() == pytest.approx([0.9, 0.5, 0.3])
    assert labels.tolist() == [0, 1, 1]
    assert kept.tolist() == [boxes[0].tolist(), boxes[0].tolist(), boxes[2].tolist()]
    ((kept, _, _),) = detect(boxes[None], scores[None], PostProcessing(detections=1))
    assert len(kept) == 1


def test_nan_detects_nothing(targets):
    boxes, scores = raw_of(targets)
    metric = DetectionMetric(echo, CLASSES)
    metric.update((boxes * torch.nan, scores * torch.nan), targets)
    assert metric.compute()["map"] == 0


def test_distributed_testing_counts_every_image_once_and_in_order(targets, monkeypatch):
    """Two ranks of a sampler that deals five images, the first of them twice, as they are gathered."""
    generator = torch.Generator().manual_seed(1)
    everything = [*targets, target(4, [[30, 30, 80, 80], [30, 30, 80, 80]], [1, 1])]
    boxes, scores = raw_of(everything)
    boxes = boxes + 2 * torch.randn(boxes.shape, generator=generator)
    alone = DetectionMetric(echo, CLASSES, images=5)
    alone.update((boxes, scores), everything)
    dealt = [[0, 2, 4], [1, 3, 0]]
    ranks = [DetectionMetric(echo, CLASSES, images=5) for _ in dealt]
    for metric, indices in zip(ranks, dealt, strict=True):
        metric.update((boxes[indices], scores[indices]), [everything[index] for index in indices])
    gathered = DetectionMetric(echo, CLASSES, images=5)
    for name in ("found", "truth", "seen"):
        setattr(gathered, name, torch.cat([row for metric in ranks for row in getattr(metric, name)]))
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    gathered._is_synced = True
    order, _, truth = gathered._by_image()
    assert order.tolist() == [0, 1, 2, 3, 4]
    assert [len(rows) for rows in truth] == [2, 0, 1, 2, 2]
    assert [score.map for score in (gathered._scores()[0], alone._scores()[0])] == [
        alone.compute()["map"]
    ] * 2


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")  # torchmetrics says it as well
def test_needs_images():
    with pytest.raises(ValueError, match="no images yet"):
        DetectionMetric(echo, CLASSES).compute()
    with pytest.raises(ValueError, match="coco or voc"):
        DetectionMetric(echo, CLASSES, "coca")


def test_an_image_tested_twice_is_refused(targets):
    metric = DetectionMetric(echo, CLASSES, images=4)
    for _ in range(2):
        metric.update(raw_of(targets), targets)
    with pytest.raises(ValueError, match="tested more than once"):
        metric.compute()
