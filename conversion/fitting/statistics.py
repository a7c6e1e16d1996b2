"""Activation statistics of a calibration set, in one pass and bounded memory.

For each layer and channel: a histogram of the ANN's ReLU outputs whose range doubles when a larger
value arrives. Quantiles and quantisation errors are read from it; their resolution is the bin
width, at most 2 / BINS of the channel's maximum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from conversion.errors import CalibrationError

BINS = 2048


class ActivationStatistics:
    """Statistics of one layer's activations [N, C, ...], channel by channel.

    Where a leaky ReLU makes activations negative, maximum, histogram and quantiles are of their
    magnitudes, because a threshold bounds what a neuron can send on both sides; the mean is signed.
    """

    def __init__(self, layer: str) -> None:
        self.layer = layer
        self.maximum = torch.empty(0)  # [C], exact
        self.lowest = 0.0  # of all activations, and 0
        self.count = 0  # values seen per channel
        self._sum = torch.empty(0)  # [C], float64, of activations
        self._images = 0
        self._by_neuron: Tensor | None = None  # [C, ...], float64, sum over images; None: sizes differ
        self._drive = torch.empty(0)  # [2, C], float64, sums of the neuron's input and of its square
        self._range = torch.empty(0)  # [C], upper edge of the histogram
        self._histogram = torch.empty(0)  # [C, BINS], float64 counts

    def update(self, activation: Tensor, drive: Tensor | None = None) -> None:
        """Add a batch of activations [N, C, ...], and the inputs of the same neurons.

        Raises:
            CalibrationError: an activation is NaN or infinite, or there is none; names the layer.
        """
        if not activation.numel():
            raise CalibrationError(
                f"layer '{self.layer}': it has no neurons, its activations are of shape "
                f"{list(activation.shape)}; remove it from the network"
            )
        values = activation.detach().float().transpose(0, 1).flatten(1)  # [C, N * ...]
        if not torch.isfinite(values).all():
            raise CalibrationError(
                f"layer '{self.layer}': activations on the calibration images are NaN or infinite; "
                "check the checkpoint and the normalisation of the images"
            )
        magnitudes = values.abs()
        largest = magnitudes.amax(1)
        if self.count == 0:
            self.maximum = torch.zeros_like(largest)
            self._range = torch.zeros_like(largest)
            self._histogram = values.new_zeros((len(values), BINS), dtype=torch.float64)
            self._sum = torch.zeros_like(largest, dtype=torch.float64)
            self._drive = values.new_zeros((2, len(values)), dtype=torch.float64)
        self._add_neurons(activation.detach())
        self.count += values.shape[1]
        self._sum += values.sum(1, dtype=torch.float64)
        inputs = values if drive is None else drive.detach().float().transpose(0, 1).flatten(1)
        self._drive += torch.stack([inputs.sum(1, dtype=torch.float64), inputs.double().square().sum(1)])
        self.maximum = torch.maximum(self.maximum, largest)
        self.lowest = min(self.lowest, float(values.amin()))
        self._widen(largest)
        scale = torch.where(self._range > 0, BINS / self._range.clamp(min=1e-30), 0.0)
        bins = (magnitudes * scale[:, None]).long().clamp_(0, BINS - 1)
        bins += torch.arange(len(values), device=values.device)[:, None] * BINS
        counts = torch.bincount(bins.flatten(), minlength=self._histogram.numel())
        self._histogram += counts.view_as(self._histogram)

    def _add_neurons(self, activation: Tensor) -> None:
        total = activation.sum(0, dtype=torch.float64)
        if self.count == 0:
            self._by_neuron = total
        elif self._by_neuron is not None:
            self._by_neuron = self._by_neuron + total if self._by_neuron.shape == total.shape else None
        self._images += len(activation)

    def _widen(self, largest: Tensor) -> None:
        fresh = (self._range == 0) & (largest > 0)  # all earlier values were 0: they stay in bin 0
        self._range = torch.where(fresh, largest, self._range)
        while (small := largest > self._range).any():
            merged = self._histogram[small].unflatten(1, (BINS // 2, 2)).sum(2)
            self._histogram[small] = torch.cat([merged, torch.zeros_like(merged)], 1)
            self._range[small] *= 2

    @property
    def mean(self) -> Tensor:
        """Mean activation [C]."""
        return self._sum / self.count

    @property
    def fastest_mean(self) -> Tensor:
        """Largest mean activation of one neuron, by channel [C]; of all of them where image sizes differ."""
        if self._by_neuron is None:
            return self.mean
        return self._by_neuron.reshape(len(self._by_neuron), -1).amax(1) / self._images

    @property
    def drive_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the neurons' inputs, before the ReLU, both [C] in float64."""
        mean, square = self._drive / self.count
        return mean, (square - mean.square()).clamp(min=0).sqrt()

    @property
    def histogram(self) -> tuple[Tensor, Tensor]:
        """Bin centres and counts, both [C, BINS]."""
        width = self._range / BINS
        centres = (torch.arange(BINS, device=width.device) + 0.5) * width[:, None]
        return centres, self._histogram

    def quantile(self, p: float, per_channel: bool) -> Tensor:
        """Value below which a share `p` of all activations lies, zeros included.

        Args:
            p: share in (0, 1]; 1 gives the exact maximum.
            per_channel: one value a channel, or one for the layer.

        Returns:
            [C] if per channel, else [1]; 0 where the quantile lies in the histogram's first bin, so
            that channels which are mostly silent differ from those with small activations.
        """
        if p >= 1:
            return self.maximum if per_channel else self.maximum.max()[None]
        centres, counts = self.histogram
        upper = centres + self._range[:, None] / (2 * BINS)
        upper[:, 0] = 0
        if not per_channel:
            filled = counts > 0
            upper, order = upper[filled].sort()
            upper, counts = upper[None], counts[filled][order][None]
        below = counts.cumsum(1)
        rank = p * below[:, -1:]
        index = torch.searchsorted(below, rank).clamp_(max=upper.shape[1] - 1)
        return torch.minimum(
            upper.gather(1, index)[:, 0], self.maximum if per_channel else self.maximum.max()
        )
