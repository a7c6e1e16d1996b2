"""The interface of simulation backends, and what all of them share.

A backend runs fitted layers on a batch of images, a chunk of time steps at a time. Which one runs is chosen
in `conversion.simulation.choice`, and nothing else knows a backend by name. What neurons send does not
depend on the backend, up to the rounding of sums.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, get_args

from torch import Tensor, fx

from conversion.costs.tally import SpikeTally
from conversion.graph.operations import Kind
from conversion.neurons import Neuron
from conversion.plan.fitted import Fitted
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan
from conversion.signals.signals import Signal
from conversion.simulation import trials
from conversion.simulation.memory import Footprint
from conversion.simulation.trials import Answers, Sample, Starts
from conversion.simulation.walk import WalkState

Fixed = Literal["float32", "int16", "int8"]
Half = Literal["float16", "bfloat16"]
Precision = Fixed | Half
PRECISIONS: tuple[Precision, ...] = get_args(Fixed)  # of weights in the kernels of CPUs
HALVES: tuple[Precision, ...] = get_args(Half)  # of weights on GPUs
CACHE_BYTES = 4 * 2**20  # spikes of one layer and one chunk that stay close to the cores


@dataclass(frozen=True)
class Schedule:
    """How a batch goes through the network; no choice changes what neurons send."""

    images: int  # that go through a layer together
    chunk: int  # time steps that do
    kernel: str  # of the backend, by its own name for it


class Running(Protocol):
    """A part of a batch on its way through the network."""

    def begin(self) -> Any:
        """Run the steps before the read-out; the output at rest where the coding needs it, else None."""
        ...

    def advance(self, steps: int) -> Any:
        """Run more steps; the output in the network's structure, each tensor a `Signal` over them."""
        ...

    @property
    def ran(self) -> Mapping[str, str]:
        """Which kernel ran each layer of neurons, with weights, or of pooling, by the layer's name."""
        ...


class FittingRunner(Protocol):
    """Runs the operations of a network that is being fitted, over all of its steps at once."""

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        """Value of a node, from the values of the nodes before it."""
        ...

    def current(
        self, node: fx.Node, segment: Sequence[fx.Node], values: dict[fx.Node, Any], steps: int
    ) -> Signal:
        """What flows into a layer of neurons.

        Args:
            node: the layer.
            segment: operations that feed nothing but this layer, in graph order.
            values: what they read; those of the segment are added.
            steps: T.
        """
        ...

    def received(self, node: fx.Node, name: str, current: Signal, steps: int) -> Signal:
        """What the layer turns into spikes: its current, or increments of t F(mean current)."""
        ...

    def sent(self, node: fx.Node, name: str, received: Signal, steps: int) -> Signal:
        """What the layer sends, as it is now, from what it received without its offset."""
        ...

    def rate(self, node: fx.Node, layer: SpikingLayer, received: Signal, steps: int) -> Tensor:
        """Mean over time of what this layer would send, [B, C, ...]."""
        ...

    def refit(self, fitted: Fitted) -> None:
        """Go on with layers as they are now."""
        ...


class Clock(Protocol):
    """Times chunks; on a device that works on its own, without waiting for it."""

    def begin(self) -> None:
        """A chunk is about to run."""
        ...

    def end(self, operations: float) -> None:
        """It was run, or only launched: so many multiply-accumulates of the ANN, times steps."""
        ...

    def finished(self) -> list[tuple[float, float]]:
        """(seconds, operations) of the chunks whose time has become known since this was last asked."""
        ...


class WallClock:
    """Times chunks that are done when their call returns."""

    def __init__(self) -> None:
        self._started = 0.0
        self._done: list[tuple[float, float]] = []

    def begin(self) -> None:
        """A chunk is about to run."""
        self._started = time.perf_counter()

    def end(self, operations: float) -> None:
        """It is done: so many multiply-accumulates of the ANN, times steps."""
        self._done.append((time.perf_counter() - self._started, operations))

    def finished(self) -> list[tuple[float, float]]:
        """(seconds, operations) of each chunk since this was last asked."""
        done, self._done = self._done, []
        return done


class Backend(ABC):
    """A way to run fitted layers."""

    name: ClassVar[str]
    packs_weights: ClassVar[bool] = False  # `prepare` makes copies of weights, which change later

    @abstractmethod
    def suits(self, images: Tensor) -> bool:
        """True where this backend can run these images on this machine."""

    def runs(self, precision: Precision) -> bool:
        """True where weights of this precision make a difference here; else float32 runs."""
        return precision == "float32"

    @property
    def kernels(self) -> tuple[str, ...]:
        """What runs in code of its own on this machine; nothing where all is PyTorch."""
        return ()

    @property
    def fingerprint(self) -> str:
        """Changes where other code runs, and with it how fast it is."""
        return ""

    @abstractmethod
    def schedules(self, fitted: Fitted, images: Tensor, chunk: int, precision: Precision) -> list[Schedule]:
        """Schedules that are worth a try; the first is good on most machines.

        Args:
            fitted: what runs.
            images: the whole batch [B, C, H, W].
            chunk: most time steps that go through a layer together.
            precision: of the weights.
        """

    def prepare(self, fitted: Fitted, precision: Precision) -> Any:
        """What all batches share, for the weights and thresholds as they are now."""
        return fitted

    def used(self, kernels: Collection[str], precision: Precision) -> Precision:
        """Precision that weights had in the kernels that ran their layers; of some, if kernels differ."""
        return precision

    @abstractmethod
    def start(
        self, prepared: Any, parts: Sequence[Tensor], schedule: Schedule, tally: SpikeTally, frugal: bool
    ) -> list[Running]:
        """Begin to simulate parts of one batch, which take turns.

        Args:
            prepared: what `prepare` gave.
            parts: images [B, C, H, W]; of each part, `schedule.images`, or fewer where a batch ends.
            schedule: how they go through the network.
            tally: counts their spikes.
            frugal: keep no memory for later use.
        """

    def can_time(self, images: Tensor) -> bool:
        """True where schedules can be timed on the device of these images; see `simulation.probe`."""
        return images.device.type == "cpu"

    def clock(self, images: Tensor) -> Clock:
        """What times chunks on the device of these images."""
        return WallClock()

    def wait(self, images: Tensor) -> None:  # noqa: B027 - most devices are done when a call returns
        """Return when the device of these images has done all its work; only a probe asks for it."""

    @abstractmethod
    def fitting(self, fitted: Fitted, images: Tensor, progress: WalkState) -> FittingRunner:
        """A runner of a network that is being fitted.

        Args:
            fitted: what is known so far.
            images: analog input [B, ...].
            progress: shared with the walk.
        """

    def try_starts(self, neuron: Neuron, sample: Sample, starts: Starts) -> Answers:
        """What neurons send from every start, as `trials.try_starts`."""
        return trials.try_starts(neuron, sample, starts)

    def temporal_biases(
        self, neuron: Neuron, sample: Sample, start: Starts, rounds: int, rate: float
    ) -> Tensor:
        """Bias of each step and channel [T, C], as `trials.temporal_biases`."""
        return trials.temporal_biases(neuron, sample, start, rounds, rate)

    @abstractmethod
    def footprint(self, fitted: Fitted, values: Mapping[str, int]) -> Footprint:
        """Memory that one image takes.

        Args:
            fitted: what runs.
            values: operation -> values it gives for one image in one step, as `Connectivity.values`.
        """


def images_in_cache(plan: Plan, images: Tensor, chunk: int, value_bytes: float, cache_bytes: int) -> int:
    """How many images a cache of `cache_bytes` holds, by what one layer gives for them in one chunk."""
    return max(1, int(cache_bytes / (largest_layer(plan, images) * chunk * value_bytes)))


def largest_layer(plan: Plan, images: Tensor) -> float:
    """Neurons of the largest layer, for images of this size."""
    layers = [plan.shapes[node] for node in plan.nodes_of(Kind.NEURON)]
    largest: float = max((shape[1:].numel() for shape in layers), default=1)
    calibrated = next(shape for node, shape in plan.shapes.items() if node.op == "placeholder")
    return largest * images[0].numel() / calibrated[1:].numel()


def neighbours(rule: Schedule, batch: int, longest: int) -> list[Schedule]:
    """The schedule itself and others near it, of twice or half the images or steps.

    Args:
        rule: where to begin.
        batch: images there are.
        longest: most time steps that may go through a layer together.
    """
    images, chunk = min(rule.images, batch), rule.chunk
    sizes = [(images, 2 * chunk), (images, chunk // 2), (images // 2, chunk), (2 * images, chunk)]
    sizes += [(images // 2, 2 * chunk), (2 * images, chunk // 2)]
    fitting = [(size, steps) for size, steps in sizes if 1 <= size <= batch and 1 <= steps <= longest]
    return [rule, *(Schedule(size, steps, rule.kernel) for size, steps in fitting)]
