"""Max unpooling: values go to the places where a max pooling found its maxima.

In the graph a pool with indices and an unpooling become a plain pool and one function of two signals,
`max_unpool(values, source)`, which finds the places again. A simulation can then run it on sums over
time: the places are those of the running maximum.
"""

from __future__ import annotations

import operator
from typing import Any

import torch.nn.functional as F
from torch import Tensor, fx, nn

POOL_SETTINGS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_UNPOOL_SETTINGS = ("kernel_size", "stride", "padding", "output_size")


def max_unpool(values: Tensor, source: Tensor, pool: dict[str, Any], unpool: dict[str, Any]) -> Tensor:
    """Put values where the maxima of another tensor are, and 0 elsewhere.

    Args:
        values: [B, C, ...], one for each window.
        source: [B, C, ...], as large as what was pooled.
        pool: settings of the max pooling that chooses the places in `source`.
        unpool: settings of the unpooling.

    Returns:
        [B, C, ...], as large as `source`, or as the settings say.
    """
    dimensions = values.ndim - 2
    _, places = getattr(F, f"max_pool{dimensions}d")(source, **pool, return_indices=True)
    result: Tensor = getattr(F, f"max_unpool{dimensions}d")(values, places, **unpool)
    return result


def join_pools_and_unpools(captured: fx.GraphModule) -> None:
    """Rewrite a graph in place where every reader of a pool's indices is an unpooling."""
    for pool in list(captured.graph.nodes):
        settings = _pool_settings(captured, pool)
        if settings is None:
            continue
        parts: dict[Any, list[fx.Node]] = {0: [], 1: []}
        for reader in pool.users:
            index = reader.args[1] if reader.target is operator.getitem else None
            parts.setdefault(index if index in (0, 1) else None, []).append(reader)
        unpools = [user for indices in parts[1] for user in indices.users]
        if parts.get(None) or not all(_is_unpool(captured, user) for user in unpools):
            continue
        source = pool.args[0] if pool.args else pool.kwargs["input"]
        for user in unpools:
            _join(captured, user, source, settings)
        for indices in parts[1]:
            captured.graph.erase_node(indices)
        for values in parts[0]:
            values.replace_all_uses_with(pool)
            captured.graph.erase_node(values)
        _without_indices(captured, pool, settings)


def _pool_settings(captured: fx.GraphModule, node: fx.Node) -> dict[str, Any] | None:
    """Settings of a max pooling that gives values and indices; None for everything else."""
    if node.op == "call_module":
        module: Any = captured.get_submodule(str(node.target))
        if not isinstance(module, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d) or not module.return_indices:
            return None
        return {name: getattr(module, name) for name in POOL_SETTINGS}
    if node.op != "call_function" or node.target not in _WITH_INDICES:
        return None
    named = {key: value for key, value in node.kwargs.items() if key in POOL_SETTINGS}
    return dict(zip(POOL_SETTINGS, node.args[1:], strict=False)) | named


_WITH_INDICES = {
    F.max_pool1d_with_indices: F.max_pool1d,
    F.max_pool2d_with_indices: F.max_pool2d,
    F.max_pool3d_with_indices: F.max_pool3d,
}
_UNPOOLS = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)


def _is_unpool(captured: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        module = captured.get_submodule(str(node.target))
        return isinstance(module, nn.MaxUnpool1d | nn.MaxUnpool2d | nn.MaxUnpool3d)
    return node.op == "call_function" and node.target in _UNPOOLS


def _join(captured: fx.GraphModule, unpool: fx.Node, source: Any, pool: dict[str, Any]) -> None:
    if unpool.op == "call_module":
        module: Any = captured.get_submodule(str(unpool.target))
        settings = {name: getattr(module, name) for name in ("kernel_size", "stride", "padding")}
        names: tuple[str, ...] = ("input", "indices", "output_size")
    else:
        settings, names = {}, ("input", "indices", *_UNPOOL_SETTINGS)
    given = dict(zip(names, unpool.args, strict=False)) | dict(unpool.kwargs)
    values = given.pop("input")
    given.pop("indices", None)
    with captured.graph.inserting_before(unpool):
        joined = captured.graph.call_function(max_unpool, (values, source, pool, settings | given))
    joined.stack_trace = unpool.stack_trace
    joined.meta.update({key: value for key, value in unpool.meta.items() if key == "nn_module_stack"})
    unpool.replace_all_uses_with(joined)
    captured.graph.erase_node(unpool)


def _without_indices(captured: fx.GraphModule, pool: fx.Node, settings: dict[str, Any]) -> None:
    if pool.op == "call_module":
        captured.get_submodule(str(pool.target)).return_indices = False  # type: ignore[assignment]
        return
    source = pool.args[0] if pool.args else pool.kwargs["input"]
    pool.target, pool.args, pool.kwargs = _WITH_INDICES[pool.target], (source,), settings  # type: ignore[index]
