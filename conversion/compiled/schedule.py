"""How many images go through a layer together, and which kernel adds up their synapses.

Neither changes any result: weights are the same integers in both kernels.
"""

from __future__ import annotations

from torch import Tensor

from conversion.compiled.fixed_point import PLANES, Precision
from conversion.compiled.lanes import VECTOR, lanes_for, planes_of
from conversion.compiled.native import has_synapses, has_tables
from conversion.compiled.table_simulator import MOST_SPIKES
from conversion.graph.operations import Kind
from conversion.graph.plan import Plan

CACHE_BYTES = 4 * 2**20  # spikes of one layer and one chunk that stay close to the cores
_INDEX_BYTES = 1 / 3  # of a spike in the table kernel
_LOOKED_UP = {"float32": 60, "int16": 192, "int8": 192}  # multiply-accumulates a cycle, by tables
_MULTIPLIED = 64  # and by the byte kernel, for one byte of weight


def uses_tables(images: int, chunk: int, precision: Precision, most: int) -> bool:
    """True where looking sums up is faster than multiplying.

    Args:
        images: that go through a layer together.
        chunk: time steps that do.
        precision: of the weights.
        most: most spikes of one neuron in one step.
    """
    if not 0 < images <= VECTOR or most > MOST_SPIKES or not (has_tables() and has_synapses()):
        return False
    lanes = lanes_for(images)
    vectors = -(-chunk * lanes // VECTOR)
    filled = images * chunk / (vectors * VECTOR)
    return _LOOKED_UP[precision] * filled / len(planes_of(most)) > _MULTIPLIED / PLANES[precision]


def images_at_once(plan: Plan, images: Tensor, chunk: int, precision: Precision | None, most: int) -> int:
    """How many images go through a layer together: what they leave behind should stay in cache.

    Args:
        plan: the converted network.
        images: the whole batch [B, C, H, W].
        chunk: time steps that go through a layer together.
        precision: of the weights in the compiled kernels; None where those are not used.
        most: most spikes of one neuron in one step.
    """
    if images.device.type != "cpu" or not len(images):
        return len(images) or 1
    neurons = [plan.shapes[node] for node in plan.nodes_of(Kind.NEURON)]
    largest: float = max((shape[1:].numel() for shape in neurons), default=1)
    calibrated = next(shape for node, shape in plan.shapes.items() if node.op == "placeholder")
    spikes = largest * images[0].numel() / calibrated[1:].numel() * chunk  # of one image
    if precision is not None:
        lanes = VECTOR
        while lanes > 4 and lanes * spikes * _INDEX_BYTES > CACHE_BYTES:
            lanes //= 2
        if uses_tables(min(lanes, len(images)), chunk, precision, most):
            return lanes
    return max(1, int(CACHE_BYTES / (spikes * (4 if precision is None else 1))))
