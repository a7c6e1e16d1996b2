"""Signals in the layout of the table kernel: images are the lanes of a register.

Up to 32 images go through the network together, in 4, 8, 16 or 32 lanes; lanes without an image stay
silent. Spikes are bits, one an image, in an element of an integer tensor per time step and neuron.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from conversion.signals.signals import Signal, Spikes
from conversion.simulation.compiled.native import kernel
from conversion.simulation.compiled.native.structures import IndexJob

VECTOR = 32  # lanes of an index: time steps times images
CHANNELS = 4  # that the kernel computes together
_ELEMENTS = {4: torch.uint8, 8: torch.uint8, 16: torch.int16, 32: torch.int32}


def lanes_for(images: int) -> int:
    """Lanes that hold this many images, at most 32."""
    return next(lanes for lanes in _ELEMENTS if lanes >= images)


def planes_of(most: int, least: int = 0) -> tuple[int, ...]:
    """How many spikes each plane of bits stands for, to send `least` to `most` a step.

    Where `least` is negative, numbers are written in two's complement: the last plane is the sign's.
    """
    bits = max(most.bit_length(), (-least - 1).bit_length() if least < 0 else 0)
    sizes = tuple(1 << plane for plane in range(bits))
    return (*sizes, -(1 << bits)) if least < 0 else sizes


def fits_planes(most: int, least: int = 0) -> bool:
    """True for spikes that the table kernel sends: what four bits of a signed number hold."""
    return least >= -8 and most <= 7


class PackedSpikes(Spikes):
    """Spikes as bits.

    Attributes:
        bits: [C / 4, H, W, planes * T, 4]; bit b of an element is image b.
        weights: how many spikes each plane stands for.
        images: how many images there are, at most as many as lanes.
        lanes: images that an element has room for.
        ndim: axes of the value in one time step, 4 for [B, C, H, W] or 2 for [B, C].
    """

    bits: Tensor
    weights: tuple[int, ...]
    images: int
    lanes: int
    ndim: int
    _indices: dict[int, Tensor]

    def __init__(
        self,
        bits: Tensor,
        steps: int,
        spike_value: Tensor,
        weights: tuple[int, ...],
        images: int,
        lanes: int,
        ndim: int,
    ) -> None:
        values = {
            "bits": bits,
            "steps": steps,
            "spike_value": spike_value,
            "weights": weights,
            "images": images,
        }
        for name, value in {**values, "lanes": lanes, "ndim": ndim, "_indices": {}}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "signed", weights[-1] < 0)

    @property
    def counts(self) -> Tensor:  # type: ignore[override]
        """Spikes as int8 [T * B, C, ...]."""
        return self._counted(self.carrier)

    def _counted(self, carrier: Tensor) -> Tensor:
        planes = carrier.unflatten(0, (len(self.weights), self.steps))
        images = []
        for image in range(self.images):
            ones = ((planes >> image) & 1).to(torch.int8)
            images.append(sum(weight * plane for weight, plane in zip(self.weights, ones, strict=True)))
        return torch.stack(images, 1).flatten(0, 1)

    @property
    def shape(self) -> torch.Size:
        """Shape in one time step, [B, C, ...]."""
        blocks, height, width, _, channels = self.bits.shape
        return torch.Size((self.images, blocks * channels, height, width)[: self.ndim])

    @property
    def vectors(self) -> int:
        """Indices that hold all time steps and lanes."""
        return -(-self.steps * self.lanes // VECTOR)

    @property
    def carrier(self) -> Tensor:
        """The bits as [planes * T, C, ...]."""
        return from_blocks(self.bits, self.ndim)

    def moved(self, carrier: Tensor, spike_value: Tensor) -> Spikes:
        """The same spikes at other places; as bytes, where they are no whole blocks of channels."""
        if carrier.ndim not in (2, 4) or carrier.shape[1] % CHANNELS:
            return Spikes(self._counted(carrier), self.steps, spike_value, self.signed)
        return self.with_bits(to_blocks(carrier), spike_value, carrier.ndim)

    def with_bits(self, bits: Tensor, spike_value: Tensor, ndim: int) -> PackedSpikes:
        """Other spikes of the same images and steps."""
        return PackedSpikes(bits, self.steps, spike_value, self.weights, self.images, self.lanes, ndim)

    def travels_with(self, other: Spikes) -> bool:
        """True for spikes in the same planes."""
        return isinstance(other, PackedSpikes) and self.weights == other.weights

    def index(self, group: int, counts: Tensor | None = None) -> Tensor:
        """Indices of groups of channels, int16 [planes, H, W, groups * vectors, 32]; made once.

        Their order is that of native/tables.h.

        Args:
            group: channels of one index.
            counts: float32 [H, W, C], sizes of spikes summed over time and images are added to it.
        """
        if group not in self._indices:
            blocks, height, width, _, channels = self.bits.shape
            groups = -(-blocks * channels // group)
            size = (len(self.weights), height, width, groups * self.vectors, VECTOR)
            self._indices[group] = torch.empty(size, dtype=torch.int16)
            self._walk(group, self._indices[group], counts)
        return self._indices[group]

    def count(self, counts: Tensor) -> None:
        """Add sizes of spikes, summed over time and images, to float32 [H, W, C]."""
        self._walk(6, None, counts)

    def mean(self) -> Tensor:
        """Value averaged over time, [B, C, ...]."""
        blocks, height, width, _, channels = self.bits.shape
        sums = torch.empty(blocks, height, width, 1, channels, self.lanes)
        library().sum_spikes(ctypes.byref(self._job(6)), sums.data_ptr(), torch.get_num_threads())
        return from_lanes(sums, self.images, self.ndim) / self.steps * self.spike_value

    def _job(self, group: int) -> IndexJob:
        blocks, height, width, _, channels = self.bits.shape
        job = IndexJob(
            bits=self.bits.data_ptr(), planes=len(self.weights), steps=self.steps, images=self.lanes
        )
        job.height, job.width, job.channels = height, width, blocks * channels
        job.group, job.vectors = group, self.vectors
        job.weights[: len(self.weights)] = self.weights
        return job

    def _walk(self, group: int, index: Tensor | None, counts: Tensor | None) -> None:
        job = self._job(group)
        job.index = None if index is None else index.data_ptr()
        job.counts = None if counts is None else counts.data_ptr()
        library().index_spikes(ctypes.byref(job), torch.get_num_threads())


def pack_spikes(spikes: Spikes, weights: tuple[int, ...], lanes: int) -> PackedSpikes:
    """The bits of spikes, each of which must be a sum of some of the weights."""
    if isinstance(spikes, PackedSpikes):
        return spikes
    timed = spikes.counts.unflatten(0, (spikes.steps, -1)).transpose(0, 1).int()
    planes = []
    for weight in weights:
        bits = torch.zeros(timed.shape[1:], dtype=torch.int32)
        for image, counts in enumerate(timed):
            bits |= ((counts & abs(weight)) != 0).int() << image
        planes.append(bits.to(_ELEMENTS[lanes]))
    bits = torch.cat(planes)
    return PackedSpikes(
        to_blocks(bits), spikes.steps, spikes.spike_value, weights, len(timed), lanes, bits.ndim
    )


class LaneCurrents(Signal):
    """Currents, or other plain values, in the layout of the kernel.

    Attributes:
        values: float32 [C / 4, H, W, T, 4, lanes].
        images: how many of the lanes hold an image.
        ndim: axes of the value in one time step, 4 for [B, C, H, W] or 2 for [B, C].
    """

    values: Tensor
    images: int
    ndim: int

    def __init__(self, values: Tensor, images: int, ndim: int) -> None:
        for name, value in (
            ("values", values),
            ("images", images),
            ("ndim", ndim),
            ("steps", values.shape[3]),
        ):
            object.__setattr__(self, name, value)

    @property
    def data(self) -> Tensor:
        """The value as [T * B, C, ...]."""
        return from_lanes(self.values, self.images, self.ndim)

    @property
    def shape(self) -> torch.Size:
        """Shape in one time step, [B, C, ...]."""
        blocks, height, width, _, channels, _ = self.values.shape
        return torch.Size((self.images, blocks * channels, height, width)[: self.ndim])


def to_lanes(value: Tensor, steps: int, lanes: int, fill: float = 0.0) -> Tensor:
    """[T * B, C, ...] as contiguous float32 [C / 4, H, W, T, 4, lanes]; lanes without an image get `fill`."""
    timed = value.float().unflatten(0, (steps, -1))
    timed = timed.reshape(*timed.shape, *[1] * (5 - timed.ndim)).unflatten(2, (-1, CHANNELS))
    timed = timed.permute(2, 4, 5, 0, 3, 1)
    result = torch.full((*timed.shape[:-1], lanes), fill)
    result[..., : timed.shape[-1]] = timed
    return result


def from_lanes(value: Tensor, images: int, ndim: int) -> Tensor:
    """[C / 4, H, W, T, 4, lanes] as [T * B, C, H, W], or [T * B, C] for two axes."""
    batch_first = value[..., :images].permute(3, 5, 0, 4, 1, 2).flatten(2, 3).flatten(0, 1)
    return batch_first if ndim == 4 else batch_first.flatten(1)


def to_blocks(value: Tensor) -> Tensor:
    """[N, C, H, W] or [N, C] as contiguous [C / 4, H, W, N, 4]."""
    full = value.reshape(*value.shape, *[1] * (4 - value.ndim))
    blocks: Tensor = full.unflatten(1, (-1, CHANNELS)).permute(1, 3, 4, 0, 2).contiguous()
    return blocks


def from_blocks(value: Tensor, ndim: int) -> Tensor:
    """[C / 4, H, W, N, 4] as [N, C, H, W], or [N, C] for two axes."""
    full = value.permute(3, 0, 4, 1, 2).flatten(1, 2)
    return full if ndim == 4 else full.flatten(1)


def empty_bits(planes: int, steps: int, shape: Sequence[int], lanes: int) -> Tensor:
    """Room for the bits of spikes of [B, C, H, W] or [B, C] in one step: see `PackedSpikes.bits`."""
    height, width = shape[2:] or (1, 1)
    size = (shape[1] // CHANNELS, height, width, planes * steps, CHANNELS)
    return torch.empty(size, dtype=_ELEMENTS[lanes])


def library() -> ctypes.CDLL:
    """The compiled kernel, which must be there."""
    found = kernel()
    assert found is not None
    return found
