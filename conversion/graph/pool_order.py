"""Max pooling before the ReLU instead of after it: the same network, but pools see currents, not spikes.

Every ReLU, bounded or not, is monotone, so relu(maxpool(z)) = maxpool(relu(z)) exactly. A PReLU that
learned a negative slope is not, and stays where it is.
"""

from __future__ import annotations

from torch import Tensor, fx

from conversion.graph.operations import Kind
from conversion.graph.roles import sort_into_roles


def pools_first(captured: fx.GraphModule, images: Tensor | None = None) -> bool:
    """Swap every neuron with the max pooling that it feeds, where it feeds nothing else.

    Args:
        captured: graph of a network as `conversion.graph.capture` makes it; changed in place.
        images: as for `sort_into_roles`.

    Returns:
        True if anything was swapped.
    """
    roles = sort_into_roles(captured, images)
    kinds = {node: role.kind for node, role in roles.items()}
    swapped = False
    for pool in [node for node in captured.graph.nodes if kinds.get(node) is Kind.POOLING]:
        neuron, *others = pool.all_input_nodes
        if others or kinds.get(neuron) is not Kind.NEURON or len(neuron.users) > 1:
            continue
        if any(slope < 0 for slope in roles[neuron].slopes):
            continue  # not monotone
        drive = neuron.all_input_nodes[0]
        readers = list(pool.users)
        pool.replace_input_with(neuron, drive)
        neuron.replace_input_with(drive, pool)
        for reader in readers:
            reader.replace_input_with(pool, neuron)
        neuron.prepend(pool)
        swapped = True
    captured.recompile()
    return swapped
