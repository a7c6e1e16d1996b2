"""Average precision against naive re-implementations, and pycocotools' own summary."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lightning_modules.detection.average_precision import (
    COCO_THRESHOLDS,
    Boxes,
    box_overlaps,
    coco_scores,
    voc_scores,
)


def scene(generator, objects, classes, size=100.0):
    corner = generator.uniform(0, size * 0.7, (objects, 2))
    sides = generator.uniform(5, size * 0.3, (objects, 2))
    boxes = np.concatenate([corner, corner + sides], 1)
    ignored = generator.random(objects) < 0.2
    return Boxes(boxes, generator.integers(0, classes, objects), areas=sides.prod(1), ignored=ignored)


def guess(generator, truth, classes, extra):
    """Jittered objects, some twice, and some boxes out of nowhere."""
    repeats = np.repeat(np.arange(len(truth.boxes)), generator.integers(0, 3, len(truth.boxes)))
    near = truth.boxes[repeats] + generator.normal(0, 3, (len(repeats), 4))
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    other = scene(generator, extra, classes)
    labels = np.concatenate([truth.labels[repeats], other.labels])
    scores = np.round(generator.random(len(labels)), 2)  # with ties
    order = np.argsort(-scores, kind="mergesort")
    boxes = np.concatenate([near, other.boxes])
    return Boxes(boxes[order], labels[order], scores=scores[order])


@pytest.fixture(params=range(4))
def random_set(request):
    generator = np.random.default_rng(request.param)
    truth = [scene(generator, generator.integers(0, 8), 3) for _ in range(12)]
    return truth, [guess(generator, one, 3, generator.integers(0, 6)) for one in truth]


def official(truth, found, classes):
    """COCOeval with its own defaults, from files as its users write them: mAP and mAP@.50."""
    annotations = [
        {
            "id": 1,
            "image_id": i,
            "category_id": int(c),
            "bbox": [*b[:2], *(b[2:] - b[:2])],
            "area": a,
            "iscrowd": int(g),
        }
        for i, one in enumerate(truth)
        for b, c, a, g in zip(one.boxes, one.labels, one.areas, one.ignored, strict=True)
    ]
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    results = [
        {"image_id": i, "category_id": int(c), "bbox": [*b[:2], *(b[2:] - b[:2])], "score": s}
        for i, one in enumerate(found)
        for b, c, s in zip(one.boxes, one.labels, one.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": i} for i in range(len(truth))],
            "categories": [{"id": c} for c in range(classes)],
            "annotations": annotations,
        }
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0], evaluation.stats[1]


def test_coco_scores_are_those_of_pycocotools(random_set):
    truth, found = random_set
    scores = coco_scores(truth, found, 3)
    assert (scores.map, scores.map50) == pytest.approx(official(truth, found, 3), abs=1e-12)


def test_a_detector_that_predicts_the_annotations_scores_one(random_set):
    truth, _ = random_set
    perfect = [Boxes(one.boxes, one.labels, scores=np.ones(len(one.boxes))) for one in truth]
    coco, voc = coco_scores(truth, perfect, 3), voc_scores(truth, perfect, 3)
    assert coco.map == pytest.approx(1.0, abs=1e-12)
    assert coco.map50 == pytest.approx(1.0, abs=1e-12)
    assert voc.map50 == pytest.approx(1.0)
    assert voc.map50_11point == pytest.approx(1.0)


def test_a_detector_that_predicts_nothing_scores_zero(random_set):
    truth, _ = random_set
    silent = [Boxes(np.zeros((0, 4)), np.zeros(0, int), scores=np.zeros(0)) for _ in truth]
    coco, voc = coco_scores(truth, silent, 3), voc_scores(truth, silent, 3)
    assert (coco.map, coco.map50, voc.map50, voc.map50_11point) == (0, 0, 0, 0)


def test_classes_without_objects_do_not_count():
    truth = [Boxes(np.array([[0.0, 0, 10, 10]]), np.array([1]))]
    found = [Boxes(np.array([[0.0, 0, 10, 10]] * 2), np.array([1, 2]), scores=np.array([0.5, 0.9]))]
    assert coco_scores(truth, found, 4).map == pytest.approx(1.0)
    assert np.isnan(voc_scores(truth, found, 4).all_point).tolist() == [True, False, True, True]


def naive_voc(truth, found, label):
    """VOC's rules as a walk over single detections; AP both ways, by summing over recall steps."""
    everything = [
        (score, image, row)
        for image, one in enumerate(found)
        for row, score in enumerate(one.scores)
        if one.labels[row] == label
    ]
    everything.sort(key=lambda entry: -entry[0])
    total = sum(int(((t.labels == label) & ~t.ignored).sum()) for t in truth)
    used, outcome = set(), []
    for _, image, row in everything:
        best, where = -1.0, None
        for j in range(len(truth[image].boxes)):
            if truth[image].labels[j] == label:
                a, b = found[image].boxes[row], truth[image].boxes[j]
                width = min(a[2], b[2]) - max(a[0], b[0])
                height = min(a[3], b[3]) - max(a[1], b[1])
                common = max(width, 0) * max(height, 0)
                union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
                if common / union > best:
                    best, where = common / union, (image, j)
        if best >= 0.5 and truth[where[0]].ignored[where[1]]:
            continue
        outcome.append(best >= 0.5 and where not in used)
        if best >= 0.5:
            used.add(where)
    curve = []
    for n in range(1, len(outcome) + 1):
        curve.append((sum(outcome[:n]) / total, sum(outcome[:n]) / n))
    eleven = [max((p for r, p in curve if r >= k / 10), default=0.0) for k in range(11)]
    area, last = 0.0, 0.0
    for recall in sorted({r for r, _ in curve}):
        area += (recall - last) * max(p for r, p in curve if r >= recall)
        last = recall
    return sum(eleven) / 11, area


def test_voc_scores_are_those_of_a_naive_walk(random_set):
    truth, found = random_set
    # a walk sorts ties of a whole set by image and row; so does the code under test
    scores = voc_scores(truth, found, 3)
    for label in range(3):
        eleven, every = naive_voc(truth, found, label)
        assert scores.eleven_point[label] == pytest.approx(eleven)
        assert scores.all_point[label] == pytest.approx(every)


def test_voc_gives_a_detection_only_the_object_it_overlaps_most():
    """Two detections on one object; beside it another they overlap less: COCO falls back, VOC does not."""
    truth = [Boxes(np.array([[0.0, 0, 10, 10], [0, 3, 10, 13]]), np.array([0, 0]))]
    found = [
        Boxes(np.array([[0.0, 0, 10, 10], [0, 1, 10, 11]]), np.array([0, 0]), scores=np.array([0.9, 0.8]))
    ]
    assert voc_scores(truth, found, 1).map50 == pytest.approx(0.5)
    assert coco_scores(truth, found, 1).map50 == pytest.approx(1.0)


def test_overlaps():
    found = box_overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 1, 3, 3], [5, 5, 6, 6], [0, 0, 2, 2]]))
    assert found.tolist() == [[pytest.approx(1 / 7), 0, 1]]
    assert len(COCO_THRESHOLDS) == 10
