"""Capture a network as a graph: trace a copy, make it free of in-place effects, fold batch norms.

torch.fx symbolic tracing is used rather than torch.export because it keeps the batch size and
image size free and keeps module paths and source lines, which error messages need. Where a network's
code computes with sizes, it is traced for the size of the images at hand; see `conversion.graph.tracing`.
"""

from __future__ import annotations

import copy
import dataclasses
import operator
import os
import traceback
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from conversion.errors import CaptureError
from conversion.functions.choices import written
from conversion.functions.transformers import plain_forwards, written_out
from conversion.graph.batch_axis import is_view, yields_tuple
from conversion.graph.functional_layers import as_modules
from conversion.graph.hooks import settle_hooks, without_hooks
from conversion.graph.images_first import bring_images_first
from conversion.graph.kinds import kinds_of
from conversion.graph.nodes import stand_for
from conversion.graph.operations import OUT_OF_PLACE
from conversion.graph.plain_nodes import Captured
from conversion.graph.raw_operators import write_publicly
from conversion.graph.relays import insert_relays
from conversion.graph.rewriting import rewrite, shapes_of
from conversion.graph.spellings import spell_alike
from conversion.graph.stacked_images import put_side_by_side
from conversion.graph.tracing import IMAGE_SIZE, PlainTracer, SizedTracer

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_PARTS_NAMED = 4  # submodules that an error proposes
_TORCH = os.path.dirname(torch.__file__) + os.sep
_HERE = os.path.dirname(__file__) + os.sep


def capture(network: nn.Module, path: str = "", images: Tensor | None = None) -> fx.GraphModule:
    """Graph of a copy of `network` in eval mode, equal to it in function.

    Convolutions and linear layers that are called as functions become modules, where their parameters are
    theirs alone, and batch norms that directly follow such a layer are folded into it. In-place
    operations become functional, so that every value in the graph is written once. Attention is written out,
    and relays stand where real numbers would meet weights.

    Args:
        network: trained network; left untouched, in its mode and its values.
        path: where it is in a larger network, for messages.
        images: what it takes, [B, ...]. With them, networks whose code computes with sizes are traced
            for images of this size, and `graph.meta[IMAGE_SIZE]` says so.

    Returns:
        Graph module that owns copies of the network's parameters, in eval mode.

    Raises:
        CaptureError: the network's Python code depends on tensor values; names the statement.
    """
    twin = written_out(_plain(copy.deepcopy(network).eval().requires_grad_(False)))
    with plain_forwards():
        settle_hooks(twin, images)
        captured = _traced(twin, path, images)
    without_hooks(captured)
    _open_dataclasses(captured)
    write_publicly(captured)
    _fill_what_is_empty(captured)
    _remove_in_place_effects(captured)
    captured.graph.eliminate_dead_code()
    spell_alike(captured, None if images is None else images[:1])
    put_side_by_side(captured)
    as_modules(captured)
    _fold_batch_norms(captured, images)
    rewrite(captured, images)
    insert_relays(captured, kinds_of(captured))
    if images is not None:
        bring_images_first(captured, kinds_of(captured), images)
    captured.graph.eliminate_dead_code()
    captured.delete_all_unused_submodules()
    captured.recompile()
    return captured


def _traced(twin: nn.Module, path: str, images: Tensor | None) -> fx.GraphModule:
    """Graph with free sizes, or else one for the size of these images."""
    tracer = PlainTracer()
    before = _attributes(twin)
    try:
        graph = tracer.trace(twin)
        if images is None or not _pools_by_size(graph):
            return Captured(tracer.root, graph)
    except Exception as error:  # fx raises many types; all mean the same to the caller
        if images is None:
            raise CaptureError(_explain(error, twin, path)) from error
    for module, attributes in before.items():  # values of this trace that the network's code kept
        vars(module).clear()
        vars(module).update(attributes)
    sized = SizedTracer(images)
    try:
        graph = sized.trace(twin)
        captured = Captured(sized.root, graph)
    except Exception as error:
        raise CaptureError(_explain(error, twin, path)) from error
    captured.meta[IMAGE_SIZE] = tuple(images.shape[1:])
    return captured


def _pools_by_size(graph: fx.Graph) -> bool:
    """True where the window of a max pooling depends on the size of images: a pool has to know it."""
    return any(
        node.op == "call_function"
        and "max_pool" in getattr(node.target, "__name__", "")
        and len(node.all_input_nodes) > 1
        for node in graph.nodes
    )


def _attributes(network: nn.Module) -> dict[nn.Module, dict[str, Any]]:
    """Attributes of every module; lists and dictionaries in them are copied."""
    return {
        module: {
            key: copy.copy(value) if isinstance(value, list | dict) else value
            for key, value in vars(module).items()
        }
        for module in network.modules()
    }


def _plain(twin: nn.Module) -> nn.Module:
    """Exchange modules for plain ones of the same function in eval mode; parametrised weights are fixed.

    Frozen batch norms become batch norms, which fold; stochastic depth becomes nothing.
    """
    replaced: dict[nn.Module, nn.Module] = {}
    for module in list(twin.modules()):
        if parametrize.is_parametrized(module):
            _fix_parametrised(module)
        kind = type(module).__name__
        if kind == "FrozenBatchNorm2d":
            replaced[module] = _thawed(module)
        elif kind == "StochasticDepth" and type(module).__module__.startswith("torchvision."):
            replaced[module] = nn.Identity()
    for module in list(twin.modules()):
        for name, child in module._modules.items():
            if child in replaced:
                module._modules[name] = replaced[child]
    return replaced.get(twin, twin).eval().requires_grad_(False)


def _fix_parametrised(module: Any) -> None:
    """Make weights that are computed in every forward pass, as by spectral norm, plain parameters.

    torch's own function for this also changes the class, which the original network still uses.
    """
    values = {name: getattr(module, name).detach() for name in module.parametrizations}
    del module._modules["parametrizations"]
    module._load_state_dict_pre_hooks.clear()  # it reads state dicts of parametrised weights
    module.__class__ = type(module).__bases__[0]
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=False))


def _thawed(frozen: Any) -> nn.Module:
    """Batch norm with the constants of a FrozenBatchNorm2d, which torchvision and others define alike."""
    norm = nn.BatchNorm2d(len(frozen.weight), eps=frozen.eps)
    norm.to(frozen.weight)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name).data = getattr(frozen, name).data
    return norm


def _explain(error: Exception, network: nn.Module, path: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith((_TORCH, _HERE))]
    where = own[-1] if own else None
    place = f"{where.filename}:{where.lineno}: {where.line}" if where else "an unknown statement"
    paths = [f"{path}.{part}".lstrip(".") for part in _traceable_parts(network)[:_PARTS_NAMED]]
    parts = f" Parts that trace: {', '.join(paths)}." if paths else ""
    if "vmap" in str(error):
        return (
            f"torch.fx cannot trace {type(network).__name__}: torch.vmap runs its function on tensors of its "
            f"own; write it for the whole batch, or convert a submodule without it\n  at {place}"
        )
    return (
        f"torch.fx cannot trace {type(network).__name__}: {error}\n"
        f"  at {place}\n"
        "  The network's Python code must not depend on tensor values. Convert the part that is a plain\n"
        f'  feed-forward network instead: convert(..., submodule="{paths[0] if paths else "path"}").{parts}'
    )


def _traceable_parts(network: nn.Module) -> list[str]:
    """Paths of the largest submodules that trace and take one input, those with most parameters first."""
    sizes: dict[str, int] = {}
    pending = list(network.named_children())
    while pending:
        path, module = pending.pop()
        size = sum(parameter.numel() for parameter in module.parameters())
        if not size:
            continue
        if _traces_alone(module):
            sizes[path] = size
        else:
            pending += [(f"{path}.{name}", child) for name, child in module.named_children()]
    return sorted(sizes, key=lambda path: -sizes[path])


def _traces_alone(module: nn.Module) -> bool:
    try:
        graph = PlainTracer().trace(module)
    except Exception:  # as for the whole network
        return False
    return [node.op for node in graph.nodes].count("placeholder") == 1


def _open_dataclasses(captured: fx.GraphModule) -> None:
    """Give what an output of a dataclass holds by the names of its fields."""
    output = next(node for node in captured.graph.nodes if node.op == "output")

    def opened(node: fx.Node) -> Any:
        if node.op == "call_function" and dataclasses.is_dataclass(node.target):
            return fx.map_arg(dict(node.kwargs), opened)
        return node

    output.args = (fx.map_arg(output.args[0], opened),)


_EMPTY = {torch.empty: torch.zeros, torch.empty_like: torch.zeros_like, "new_empty": "new_zeros"}


def _fill_what_is_empty(captured: fx.GraphModule) -> None:
    """Zeros in place of memory that nobody has written into yet: what it holds differs from run to run."""
    for node in captured.graph.nodes:
        if node.op in ("call_function", "call_method"):
            if node.target in (torch.empty, "new_empty"):  # zeros have no such choice
                node.kwargs = {k: value for k, value in node.kwargs.items() if k != "memory_format"}
            node.target = _EMPTY.get(node.target, node.target)


def _is_in_place(captured: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(captured.get_submodule(str(node.target)), "inplace", False))
    return node.target in OUT_OF_PLACE or bool(node.kwargs.get("inplace", False))


def _remove_in_place_effects(captured: fx.GraphModule) -> None:
    """Let operations that read the input after an in-place operation read its result, or what `out` names."""
    for node in list(captured.graph.nodes):
        if "out" in node.kwargs:
            if isinstance(node.kwargs["out"], fx.Node):
                node.kwargs["out"].replace_all_uses_with(node, delete_user_cb=_nodes_after(node).__contains__)
            node.kwargs = {key: value for key, value in node.kwargs.items() if key != "out"}
        if node.op not in ("call_module", "call_function", "call_method") or not _is_in_place(captured, node):
            continue
        changed = node.args[0] if node.args else node.kwargs.get("input")
        if isinstance(changed, fx.Node):
            changed.replace_all_uses_with(node, delete_user_cb=_nodes_after(node).__contains__)
            _write_back(changed, node)
        _make_functional(captured, node)


def _write_back(part: fx.Node, changed: fx.Node) -> None:
    """Let what is read after a part of a value was changed in place be the value with that part changed."""
    while part.target is operator.getitem and not yields_tuple(part.args[0]) and is_view(part.args[1]):
        value, index = part.args
        assert isinstance(value, fx.Node)
        with changed.graph.inserting_after(changed):
            whole = stand_for(changed.graph.call_function(written, (value, index, changed)), changed)
        value.replace_all_uses_with(whole, delete_user_cb=_nodes_after(whole).__contains__)
        changed = whole
        part = value


def _nodes_after(node: fx.Node) -> set[fx.Node]:
    after: set[fx.Node] = set()
    current = node.next
    while current.op != "root":
        after.add(current)
        current = current.next
    return after


def _make_functional(captured: fx.GraphModule, node: fx.Node) -> None:
    if node.op == "call_module":
        captured.get_submodule(str(node.target)).inplace = False  # type: ignore[assignment]
        return
    node.target = OUT_OF_PLACE.get(node.target, node.target)
    if "inplace" in node.kwargs:
        node.kwargs = {key: value for key, value in node.kwargs.items() if key != "inplace"}


def _fold_batch_norms(captured: fx.GraphModule, images: Tensor | None) -> None:
    """Fold conv/linear -> batch norm pairs where no other operation reads the layer or uses its weights."""
    calls: dict[str, int] = {}
    shapes: dict[fx.Node, torch.Size] | None = None
    for node in captured.graph.nodes:
        if node.op == "call_module":
            calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    for node in list(captured.graph.nodes):
        if node.op != "call_module" or not isinstance(captured.get_submodule(str(node.target)), _BATCH_NORMS):
            continue
        layer = node.args[0]
        if not isinstance(layer, fx.Node) or layer.op != "call_module" or len(layer.users) > 1:
            continue
        if calls[str(layer.target)] > 1 or _reads_parameters(captured, str(layer.target)):
            continue
        linear = captured.get_submodule(str(layer.target))
        if isinstance(linear, nn.Linear) and images is not None:
            if shapes is None:
                captured.recompile()
                shapes = shapes_of(captured, images[:1])
            if len(shapes[layer]) != 2:
                continue  # features are its last axis, channels of the norm the second
        fused = _fuse(linear, captured.get_submodule(str(node.target)))
        if fused is None:
            continue
        _replace_submodule(captured, str(layer.target), fused)
        node.replace_all_uses_with(layer)
        captured.graph.erase_node(node)


def _reads_parameters(captured: fx.GraphModule, path: str) -> bool:
    """True if the forward uses parameters of the module at `path` other than by calling it."""
    used = [str(node.target) for node in captured.graph.nodes if node.op == "get_attr"]
    return any(target.startswith(f"{path}.") for target in used)


def _fuse(layer: nn.Module, norm: Any) -> nn.Module | None:
    if norm.running_mean is None:
        return None
    if isinstance(layer, _CONVOLUTIONS):
        return fuse_conv_bn_eval(layer, norm)
    if isinstance(layer, _TRANSPOSED) and layer.groups == 1:
        return fuse_conv_bn_eval(layer, norm, transpose=True)
    if isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
        return fuse_linear_bn_eval(layer, norm)
    return None


def _replace_submodule(captured: fx.GraphModule, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(captured.get_submodule(parent), name, module)
