"""Average precision: COCO's by pycocotools, Pascal VOC's by its own rules.

Both come in two steps. Matching decides for each detection of each image whether it hits an object
(at each overlap threshold), misses, or does not count. Scoring sorts the detections of a class by
score and averages precision over recall; how, differs. Matches of all images are kept in one
`Matches`, so that scores of resampled test sets need no second matching.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
COCO_DETECTIONS = 100  # of an image that COCO scores at most
_EVERY_SIZE = [0.0, 1e10]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image: objects, or detections with scores."""

    boxes: FloatArray  # [N, 4]: x1, y1, x2, y2
    labels: IntArray  # [N]
    scores: FloatArray | None = None  # [N], of detections
    areas: FloatArray | None = None  # [N], of objects
    ignored: BoolArray | None = None  # [N], of objects: crowd for COCO, difficult for VOC


@dataclass(frozen=True)
class Matches:
    """What became of every detection of a test set, by class, best score first.

    Attributes:
        image: [D], position in the test set.
        label: [D], ascending.
        hits: [D], bit i is set where the detection hits an object at threshold i.
        ignored: [D], bit i is set where it does not count at threshold i.
        objects: [N, K], objects of each image and class that count.
        thresholds: number of overlap thresholds.
    """

    image: npt.NDArray[np.uint32]
    label: npt.NDArray[np.uint16]
    hits: npt.NDArray[np.uint16]
    ignored: npt.NDArray[np.uint16]
    objects: npt.NDArray[np.uint16]
    thresholds: int


@dataclass(frozen=True)
class CocoScores:
    """Average precision of each class at each threshold: [K, 10], NaN for classes without objects."""

    precision: FloatArray
    matches: Matches

    @property
    def map(self) -> float:
        """COCO's mAP@[.50:.95], mean over classes that occur."""
        return _mean(self.precision)

    @property
    def map50(self) -> float:
        """COCO's mAP@.50."""
        return _mean(self.precision[:, 0])


def coco_scores(truth: Sequence[Boxes], found: Sequence[Boxes], classes: int) -> CocoScores:
    """Score by pycocotools: IoU .50 to .95, at most 100 detections an image, crowds ignored.

    Args:
        truth: objects of each image.
        found: detections of each image, in the same order.
        classes: K.
    """
    objects = np.zeros((len(truth), classes), dtype=np.uint16)
    for image, one in enumerate(truth):
        counted = one.labels if one.ignored is None else one.labels[~one.ignored]
        np.add.at(objects[image], counted, 1)
    evaluation = _evaluate(truth, found, classes)
    precision = np.full((classes, len(COCO_THRESHOLDS)), np.nan)
    table = evaluation.eval["precision"][:, :, :, 0, 0]  # threshold, recall, class
    for label in range(classes):
        if objects[:, label].any():
            precision[label] = table[:, :, label].mean(1)
    return CocoScores(precision, _coco_matches(evaluation, objects))


def _evaluate(truth: Sequence[Boxes], found: Sequence[Boxes], classes: int) -> Any:
    annotations: list[dict[str, Any]] = []
    for image, one in enumerate(truth):
        for row in range(len(one.boxes)):
            x1, y1, x2, y2 = one.boxes[row].tolist()
            box = [x1, y1, x2 - x1, y2 - y1]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(one.labels[row]),
                    "bbox": box,
                    "area": box[2] * box[3] if one.areas is None else float(one.areas[row]),
                    "iscrowd": 0 if one.ignored is None else int(one.ignored[row]),
                }
            )
    images = [{"id": image} for image in range(len(truth))]
    categories = [{"id": label} for label in range(classes)]
    with contextlib.redirect_stdout(io.StringIO()):
        known = _coco({"images": images, "categories": categories, "annotations": annotations})
        rows = [_result_rows(image, one) for image, one in enumerate(found)]
        stacked = np.concatenate(rows) if rows else np.zeros((0, 7))
        empty = {"images": images, "categories": categories, "annotations": []}
        results = known.loadRes(stacked) if len(stacked) else _coco(empty)
        evaluation = COCOeval(known, results, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [_EVERY_SIZE], ["all"]
        evaluation.params.maxDets = [COCO_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _coco(content: dict[str, Any]) -> COCO:
    made = COCO()
    made.dataset = content
    made.createIndex()
    return made


def _result_rows(image: int, one: Boxes) -> FloatArray:
    """Image, x, y, width, height, score, class: [D, 7]."""
    assert one.scores is not None
    count = len(one.boxes)
    sides = one.boxes[:, 2:] - one.boxes[:, :2]
    columns = (np.full((count, 1), image), one.boxes[:, :2], sides, one.scores[:, None], one.labels[:, None])
    return np.concatenate(columns, 1).astype(np.float64)


def _coco_matches(evaluation: Any, objects: npt.NDArray[np.uint16]) -> Matches:
    parts: dict[int, list[Any]] = {}
    for one in evaluation.evalImgs:
        if one is not None:
            parts.setdefault(int(one["category_id"]), []).append(one)
    found: list[tuple[int, IntArray, FloatArray, BoolArray, BoolArray]] = []
    for label, images in sorted(parts.items()):
        image = np.concatenate([np.full(len(e["dtScores"]), e["image_id"]) for e in images])
        scores = np.concatenate([np.asarray(e["dtScores"], dtype=np.float64) for e in images])
        matched = np.concatenate([np.asarray(e["dtMatches"]) != 0 for e in images], 1)
        ignored = np.concatenate([np.asarray(e["dtIgnore"]) != 0 for e in images], 1)
        found.append((label, image.astype(np.int64), scores, matched & ~ignored, ignored))
    return _sorted_matches(found, objects, len(COCO_THRESHOLDS))


def _sorted_matches(
    found: Sequence[tuple[int, IntArray, FloatArray, BoolArray, BoolArray]],
    objects: npt.NDArray[np.uint16],
    thresholds: int,
) -> Matches:
    """Sort each class by score; drop what follows its last hit, which no precision depends on."""
    columns: list[list[Any]] = [[], [], [], []]
    bits = (1 << np.arange(thresholds)).astype(np.uint16)[:, None]
    for label, image, scores, hits, ignored in found:
        order = np.argsort(-scores, kind="mergesort")
        packed_hits = (hits[:, order] * bits).sum(0).astype(np.uint16)
        packed_ignored = (ignored[:, order] * bits).sum(0).astype(np.uint16)
        end = int(packed_hits.nonzero()[0][-1]) + 1 if packed_hits.any() else 0
        columns[0].append(image[order][:end].astype(np.uint32))
        columns[1].append(np.full(end, label, dtype=np.uint16))
        columns[2].append(packed_hits[:end])
        columns[3].append(packed_ignored[:end])
    types = (np.uint32, np.uint16, np.uint16, np.uint16)
    joined = [np.concatenate(c) if c else np.zeros(0, t) for c, t in zip(columns, types, strict=True)]
    return Matches(joined[0], joined[1], joined[2], joined[3], objects, thresholds)


@dataclass(frozen=True)
class VocScores:
    """Average precision of each class at IoU .50: [K], NaN for classes without objects."""

    eleven_point: FloatArray  # VOC 2007: mean of the best precision at recalls 0, 0.1, ..., 1
    all_point: FloatArray  # from VOC 2010: area under the falling envelope
    matches: Matches

    @property
    def map50(self) -> float:
        """Mean over classes that occur, all-point."""
        return _mean(self.all_point)

    @property
    def map50_11point(self) -> float:
        """Mean over classes that occur, 11-point."""
        return _mean(self.eleven_point)


def voc_scores(truth: Sequence[Boxes], found: Sequence[Boxes], classes: int) -> VocScores:
    """Score as the VOC development kit does.

    A detection is compared with the object of its class that it overlaps most. It hits if they
    overlap by at least one half and nobody with a better score has hit that object; it does not count
    if the object is difficult; otherwise it misses. COCO, in contrast, lets a detection fall back on
    the next object.

    Source: Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, section 4.2; recall levels of VOC
    2007 and of VOC 2010, development kit document, section 3.4.1.

    Args:
        truth: objects of each image; `ignored` marks the difficult ones.
        found: detections of each image, in the same order.
        classes: K.
    """
    objects = np.zeros((len(truth), classes), dtype=np.uint16)
    by_class: list[list[tuple[int, FloatArray, BoolArray, BoolArray]]] = [[] for _ in range(classes)]
    for image, (known, guessed) in enumerate(zip(truth, found, strict=True)):
        assert guessed.scores is not None
        difficult = np.zeros(len(known.boxes), bool) if known.ignored is None else known.ignored
        np.add.at(objects[image], known.labels[~difficult], 1)
        for label in np.unique(guessed.labels):
            mine, theirs = guessed.labels == label, known.labels == label
            order = np.argsort(-guessed.scores[mine], kind="mergesort")
            hits, ignored = _voc_match(guessed.boxes[mine][order], known.boxes[theirs], difficult[theirs])
            by_class[label].append((image, guessed.scores[mine][order], hits, ignored))
    sorted_parts: list[tuple[int, IntArray, FloatArray, BoolArray, BoolArray]] = []
    eleven, every = np.full(classes, np.nan), np.full(classes, np.nan)
    for label, parts in enumerate(by_class):
        nothing = [np.zeros(0)]
        images = np.concatenate([np.full(len(p[1]), p[0]) for p in parts] or nothing).astype(np.int64)
        scores = np.concatenate([p[1] for p in parts] or nothing)
        hits = np.concatenate([p[2] for p in parts] or nothing).astype(np.bool_)
        ignored = np.concatenate([p[3] for p in parts] or nothing).astype(np.bool_)
        sorted_parts.append((label, images, scores, hits[None], ignored[None]))
        total = int(objects[:, label].sum())
        if total:
            order = np.argsort(-scores, kind="mergesort")
            counted = order[~ignored[order]]
            eleven[label], every[label] = _voc_precision(hits[counted], total)
    return VocScores(eleven, every, _sorted_matches(sorted_parts, objects, 1))


def _voc_match(boxes: FloatArray, objects: FloatArray, difficult: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Match the detections of one image and class, best first: hits [D] and ignored [D]."""
    hits, ignored = np.zeros(len(boxes), bool), np.zeros(len(boxes), bool)
    if not len(objects):
        return hits, ignored
    overlaps = box_overlaps(boxes, objects)
    best = overlaps.argmax(1)
    taken = np.zeros(len(objects), bool)
    for row, target in enumerate(best):
        if overlaps[row, target] < 0.5:
            continue
        if difficult[target]:
            ignored[row] = True
        elif not taken[target]:
            hits[row] = taken[target] = True
    return hits, ignored


def _voc_precision(hits: BoolArray, total: int) -> tuple[float, float]:
    """Average precision of detections, best first: 11-point and all-point."""
    true = np.cumsum(hits)
    recall = true / total
    precision = true / np.arange(1, len(hits) + 1)
    levels = np.arange(11) / 10
    eleven = [precision[recall >= level].max(initial=0.0) for level in levels]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.mean(eleven)), float((envelope * np.diff(recall, prepend=0.0)).sum())


def box_overlaps(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of boxes [N, 4] and [M, 4]: [N, M]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (high - low).clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - common
    overlaps: FloatArray = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return overlaps


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0
