"""Weights of classes in the loss, from how often they occur."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

ClassWeighting = Literal["none", "median-frequency", "logarithmic"]


def class_weights(pixels: Tensor, weighting: ClassWeighting, offset: float = 1.02) -> Tensor:
    """Weigh classes so that rare ones count.

    Args:
        pixels: [K], how often each class occurs.
        weighting: "none"; "median-frequency": median of the shares / share (Eigen and Fergus 2015, arXiv
            1411.4734; here the share of all pixels, not of the images a class occurs in); "logarithmic":
            1 / ln(offset + share), which is bounded (Paszke et al. 2016, ENet, arXiv 1606.02147).
        offset: of "logarithmic"; 1.02 as in the paper, which bounds weights by 50.

    Returns:
        [K] float32 with mean 1 over the classes that occur; 0 for those that do not.

    Raises:
        ValueError: no pixel has a class.
    """
    if not int(pixels.sum()):
        raise ValueError("no training pixel has a class")
    occurs = pixels > 0
    share = pixels.double() / pixels.sum()
    if weighting == "none":
        weights = torch.ones_like(share)
    elif weighting == "median-frequency":
        weights = share[occurs].median() / share.clamp_min(1e-12)
    else:
        weights = 1 / torch.log(offset + share)
    weights = torch.where(occurs, weights, 0.0)
    return (weights / weights[occurs].mean()).float()
