"""Which position of the raw maps answers for which object.

Positions of all levels stand in one row of P. Both rules return the same thing: for every position
the object it answers for, and how good a match is expected of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

TOP_K = 10  # positions an object may claim
ALPHA, BETA = 0.5, 6.0
CENTRE_RADIUS = 1.5  # strides
LEVEL_REACH = 4.0  # strides from a position to the farthest side of the box it may answer for


@dataclass(frozen=True)
class Assignment:
    """Result for one image of P positions."""

    object: Tensor  # [P] int64, -1 for background
    quality: Tensor  # [P] float in [0, 1], 0 for background


def task_aligned(
    scores: Tensor, boxes: Tensor, centres: Tensor, true_boxes: Tensor, labels: Tensor
) -> Assignment:
    """Assign each object to the positions inside it that already classify and locate it best.

    The alignment of a position with an object is s^a u^b, with s its score for the object's class and
    u the overlap of its box; each object takes the `TOP_K` best positions whose centre lies inside it; a
    position that several want goes to the one it overlaps most. Qualities are alignments, scaled so
    that each object's best has the object's best overlap.

    Source: Feng et al. 2021, arXiv 2108.07755, equations 2 and 6. They use a = 1, b = 6 and 13
    positions; here a = 0.5, because the score is a product of class and objectness.

    Args:
        scores: [P, K], detached, in [0, 1].
        boxes: [P, 4], detached, input pixels.
        centres: [P, 2] of the positions, input pixels.
        true_boxes: [N, 4].
        labels: [N].
    """
    if not len(true_boxes):
        return _background(centres)
    inside = _inside(centres, true_boxes)
    overlaps = box_iou(true_boxes, boxes)  # [N, P]
    alignment = scores[:, labels].T.clamp_min(1e-9) ** ALPHA * overlaps**BETA * inside
    best = alignment.topk(min(TOP_K, alignment.shape[1]), dim=1).indices
    wanted = torch.zeros_like(inside).scatter_(1, best, True) & inside & (alignment > 0)
    chosen = _resolve(wanted, overlaps)
    mine = chosen >= 0
    match = torch.zeros_like(alignment)
    positions = mine.nonzero()[:, 0]
    match[chosen[mine], positions] = alignment[chosen[mine], positions]
    peak = match.amax(1, keepdim=True).clamp_min(1e-12)
    top_overlap = (overlaps * (match > 0)).amax(1, keepdim=True)
    quality = (match / peak * top_overlap).amax(0)
    return Assignment(chosen, quality)


def centre(boxes: Tensor, centres: Tensor, strides: Tensor, true_boxes: Tensor, labels: Tensor) -> Assignment:
    """Assign each object to the positions near its centre, on the level of its size.

    A position of stride s answers for an object if it lies inside the box, within 1.5 s of its centre,
    and the farthest side is between 2 s and 4 s away (from 0 on the finest level, without bound on the
    coarsest); of several objects the smallest. Qualities are the overlaps of predicted boxes.

    Source: Tian et al. 2019, arXiv 1904.01355, sections 3.1 and 3.2, and centre sampling of its code.
    The paper's ranges are 8 s; 4 s suits heads without its 4 levels above stride 8.

    Args:
        boxes: [P, 4] predicted, detached, input pixels.
        centres: [P, 2] of the positions.
        strides: [P].
        true_boxes: [N, 4].
        labels: [N], unused: every class is treated alike.
    """
    if not len(true_boxes):
        return _background(centres)
    reach = torch.cat([centres[None] - true_boxes[:, None, :2], true_boxes[:, None, 2:] - centres[None]], -1)
    farthest = reach.amax(-1)
    low = torch.where(strides == strides.min(), 0.0, LEVEL_REACH / 2 * strides)
    high = torch.where(strides == strides.max(), torch.inf, LEVEL_REACH * strides)
    middle = (true_boxes[:, :2] + true_boxes[:, 2:]) / 2
    near = (centres[None] - middle[:, None]).abs().amax(-1) < CENTRE_RADIUS * strides
    wanted = (reach.amin(-1) > 0) & near & (farthest >= low) & (farthest < high)
    areas = (true_boxes[:, 2:] - true_boxes[:, :2]).prod(1)
    chosen = _resolve(wanted, -areas[:, None].expand_as(farthest))
    overlaps = box_iou(true_boxes, boxes)
    quality = overlaps.gather(0, chosen.clamp_min(0)[None])[0] * (chosen >= 0)
    return Assignment(chosen, quality)


def _background(centres: Tensor) -> Assignment:
    nothing = torch.full((len(centres),), -1, dtype=torch.int64, device=centres.device)
    return Assignment(nothing, centres.new_zeros(len(centres)))


def _inside(centres: Tensor, boxes: Tensor) -> Tensor:
    """Whether each position lies inside each box: [N, P]."""
    after = (centres[None] > boxes[:, None, :2]).all(-1)
    return after & (centres[None] < boxes[:, None, 2:]).all(-1)


def _resolve(wanted: Tensor, preference: Tensor) -> Tensor:
    """Object [P] of each position: of those that want it [N, P] the most preferred, else -1."""
    ranked = torch.where(wanted, preference, -torch.inf)
    value, chosen = ranked.max(0)
    return torch.where(value > -torch.inf, chosen, -1)
