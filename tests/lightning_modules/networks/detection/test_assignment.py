"""Assignment against walks over single positions."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import box_iou

from lightning_modules.networks.detection.assignment import ALPHA, BETA, centre, task_aligned


def grid(size, strides):
    centres, steps = [], []
    for stride in strides:
        for y in range(size // stride):
            for x in range(size // stride):
                centres.append(((x + 0.5) * stride, (y + 0.5) * stride))
                steps.append(stride)
    return torch.tensor(centres), torch.tensor(steps, dtype=torch.float32)


def predictions(centres, strides, seed):
    generator = torch.Generator().manual_seed(seed)
    sides = (torch.rand(len(centres), 4, generator=generator) + 0.5) * strides[:, None]
    boxes = torch.cat([centres - sides[:, :2], centres + sides[:, 2:]], 1)
    return boxes, torch.rand(len(centres), 3, generator=generator)


OBJECTS = torch.tensor([[4.0, 6, 30, 28], [10, 10, 22, 26], [40, 36, 60, 62]])
LABELS = torch.tensor([0, 2, 1])


@pytest.mark.parametrize("seed", range(3))
def test_task_alignment(seed):
    centres, strides = grid(64, (4, 8, 16))
    boxes, scores = predictions(centres, strides, seed)
    found = task_aligned(scores, boxes, centres, OBJECTS, LABELS)
    overlaps = box_iou(OBJECTS, boxes)
    claims: dict[int, list[int]] = {}
    alignment = torch.zeros(len(OBJECTS), len(centres))
    for n, box in enumerate(OBJECTS.tolist()):
        ranked = []
        for p, (x, y) in enumerate(centres.tolist()):
            if box[0] < x < box[2] and box[1] < y < box[3]:
                alignment[n, p] = float(scores[p, LABELS[n]]) ** ALPHA * float(overlaps[n, p]) ** BETA
                ranked.append((float(alignment[n, p]), p))
        for _, p in sorted(ranked, reverse=True)[:10]:
            claims.setdefault(p, []).append(n)
    expected = torch.full((len(centres),), -1)
    for p, wanting in claims.items():
        expected[p] = max(wanting, key=lambda n: float(overlaps[n, p]))
    assert torch.equal(found.object, expected)
    for n in range(len(OBJECTS)):
        mine = found.object == n
        if mine.any():
            best = overlaps[n, mine].max()
            assert found.quality[mine].max() == pytest.approx(float(best), rel=1e-4)
            ratio = found.quality[mine] / found.quality[mine].max()
            torch.testing.assert_close(
                ratio, alignment[n, mine] / alignment[n, mine].max(), rtol=1e-3, atol=1e-5
            )
    assert (found.quality[found.object < 0] == 0).all()


def test_centre_assignment():
    centres, strides = grid(64, (4, 8, 16))
    boxes, _ = predictions(centres, strides, 0)
    found = centre(boxes, centres, strides, OBJECTS, LABELS)
    overlaps = box_iou(OBJECTS, boxes)
    for p, ((x, y), s) in enumerate(zip(centres.tolist(), strides.tolist(), strict=True)):
        candidates = []
        for n, (x1, y1, x2, y2) in enumerate(OBJECTS.tolist()):
            sides = (x - x1, y - y1, x2 - x, y2 - y)
            low, high = (0 if s == 4 else 2 * s), (float("inf") if s == 16 else 4 * s)
            near = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) < 1.5 * s
            if min(sides) > 0 and near and low <= max(sides) < high:
                candidates.append(((x2 - x1) * (y2 - y1), n))
        expected = min(candidates)[1] if candidates else -1
        assert int(found.object[p]) == expected
        assert float(found.quality[p]) == pytest.approx(float(overlaps[expected, p]) if candidates else 0)
    assert set(found.object.tolist()) == {-1, 0, 1, 2}


def test_no_objects_is_all_background():
    centres, strides = grid(32, (8,))
    boxes, scores = predictions(centres, strides, 0)
    nothing, labels = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    for found in (
        task_aligned(scores, boxes, centres, nothing, labels),
        centre(boxes, centres, strides, nothing, labels),
    ):
        assert (found.object == -1).all()
        assert (found.quality == 0).all()
