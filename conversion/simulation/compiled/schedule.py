"""How many images and time steps go through a layer together, and which kernel adds up its synapses.

None of them changes what neurons send: weights are the same integers in both kernels. So a rule is
enough to be right; which schedule is fastest on a machine is measured in `conversion.simulation.probe`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor

from conversion.graph.operations import Kind
from conversion.neurons import Neuron
from conversion.plan.plan import Plan
from conversion.simulation.compiled.lanes import VECTOR, fits_planes, lanes_for, planes_of
from conversion.simulation.compiled.native import byte_lanes, has_synapses, has_tables, has_tiles
from conversion.simulation.fused.firing import firing_of, range_of
from conversion.simulation.fused.fixed_point import Precision

CACHE_BYTES = 4 * 2**20  # spikes of one layer and one chunk that stay close to the cores
_INDEX_BYTES = 1 / 3  # of a spike in the table kernel
# Processor time of the table kernel, for one plane in full registers, over that of the byte kernel, measured
# with ResNet-20 for processors with AVX-512 (16 lanes) and AVX2; each further plane takes as long again.
_TABLES = {
    16: {"float32": 0.62, "int16": 0.46, "int8": 0.52},
    8: {"float32": 0.51, "int16": 0.28, "int8": 0.5},
}


@dataclass(frozen=True)
class Schedule:
    """How a batch goes through the network."""

    images: int  # that go through a layer together
    chunk: int  # time steps that do
    tables: bool  # sums are looked up, not multiplied


def planes_for(neurons: Collection[Neuron]) -> int:
    """Planes of bits that hold what these neurons send in a step; 0 where the table kernel cannot."""
    least, most = range_of(neurons)
    firings = [firing_of(neuron) for neuron in neurons]
    if not fits_planes(most, least) or any(firing is None or firing.graded for firing in firings):
        return 0  # that kernel counts the bits of what is sent
    return len(planes_of(most, least))


def uses_tables(images: int, chunk: int, precision: Precision | None, planes: int) -> bool:
    """True where looking sums up is faster than multiplying; nowhere that a matrix unit multiplies.

    Args:
        images: that go through a layer together.
        chunk: time steps that do.
        precision: of the weights in the compiled kernels; None where those are not used.
        planes: of bits that hold the spikes of one step, see `planes_for`.
    """
    if precision is None or has_tiles() or not fits_tables(images, planes):
        return False
    lanes = lanes_for(images)
    vectors = -(-chunk * lanes // VECTOR)
    filled = images * chunk / (vectors * VECTOR)
    return _TABLES[byte_lanes()][precision] * planes < filled


def fits_tables(images: int, planes: int) -> bool:
    """True where sums can be looked up: a register holds the images, and planes of bits the spikes."""
    return 0 < images <= VECTOR and planes > 0 and has_tables() and has_synapses()


def by_rule(plan: Plan, images: Tensor, chunk: int, precision: Precision | None, planes: int) -> Schedule:
    """A schedule that is good on most machines: what a layer leaves behind stays in cache.

    Args:
        plan: the converted network.
        images: the whole batch [B, C, H, W].
        chunk: time steps that go through a layer together.
        precision: of the weights in the compiled kernels; None where those are not used.
        planes: of bits that hold the spikes of one step, see `planes_for`.
    """
    if images.device.type != "cpu" or not len(images):
        return Schedule(len(images) or 1, chunk, False)
    neurons = [plan.shapes[node] for node in plan.nodes_of(Kind.NEURON)]
    largest: float = max((shape[1:].numel() for shape in neurons), default=1)
    calibrated = next(shape for node, shape in plan.shapes.items() if node.op == "placeholder")
    spikes = largest * images[0].numel() / calibrated[1:].numel() * chunk  # of one image
    if precision is not None:
        lanes = VECTOR
        while lanes > 4 and lanes * spikes * _INDEX_BYTES > CACHE_BYTES:
            lanes //= 2
        if uses_tables(min(lanes, len(images)), chunk, precision, planes):
            return Schedule(lanes, chunk, True)
    size = 4 if precision is None else 1  # bytes
    budget = CACHE_BYTES * (2 if has_tiles() else 1)  # layers are done so fast that calling them counts
    together = max(1, int(budget / (spikes * size)))
    return Schedule(together, chunk, uses_tables(min(together, len(images)), chunk, precision, planes))


def candidates(rule: Schedule, batch: int, longest: int, compiled: bool, planes: int) -> list[Schedule]:
    """Schedules that are worth a try: the rule's, and its neighbours.

    Args:
        rule: what `by_rule` says.
        batch: images there are.
        longest: most time steps that may go through a layer together.
        compiled: the compiled kernels are used.
        planes: of bits that hold the spikes of one step, see `planes_for`.
    """
    images, chunk = min(rule.images, batch), rule.chunk
    sizes = [(images, 2 * chunk), (images, chunk // 2), (images // 2, chunk), (2 * images, chunk)]
    sizes += [(images // 2, 2 * chunk), (2 * images, chunk // 2)]
    found = [rule]
    for size, steps in sizes:
        if 1 <= size <= batch and 1 <= steps <= longest:
            found.append(Schedule(size, steps, rule.tables and fits_tables(size, planes)))
    if compiled and (rule.tables or fits_tables(images, planes)):
        found.append(Schedule(rule.images, chunk, not rule.tables))
    return list(dict.fromkeys(found))
