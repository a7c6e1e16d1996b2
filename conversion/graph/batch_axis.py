"""Operations along the first axis, where the images of a batch are: refused unless they leave it alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from conversion.graph.refusal import Refusal, argument

INDEPENDENT = "treat the images of a batch independently: do not mix, move or repeat the first axis"

# Operations that work along axes: where they say which, as (keyword, position, default).
_AXES: dict[str, tuple[str, int, Any]] = {
    **dict.fromkeys(("mean", "sum", "flip"), ("dim", 1, 0)),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack"), ("dim", 1, 0)),
    **dict.fromkeys(("chunk", "split", "tensor_split"), ("dim", 2, 0)),
    **dict.fromkeys(("split_with_sizes", "unsafe_chunk", "unsafe_split"), ("dim", 2, 0)),
    **dict.fromkeys(("select_scatter", "slice_scatter"), ("dim", 2, 0)),
    **dict.fromkeys(("index_copy", "index_fill", "scatter"), ("dim", 1, 1)),
    **dict.fromkeys(("added_at", "scattered"), ("axis", 1, 0)),
    **dict.fromkeys(("unbind", "unsqueeze", "squeeze", "unflatten"), ("dim", 1, 0)),
    **dict.fromkeys(("select", "index_select", "narrow"), ("dim", 1, 0)),
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "logsumexp"), ("dim", 1, None)),
    **dict.fromkeys(
        ("amin", "amax", "std", "var", "prod", "var_mean", "std_mean", "aminmax"), ("dim", 1, None)
    ),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp", "gather", "unfold"), ("dim", 1, 1)),
    **dict.fromkeys(("running_maximum", "running_minimum", "middle_value"), ("dim", 1, 1)),
    **dict.fromkeys(("sorted_values",), ("dim", 1, -1)),
    **dict.fromkeys(
        ("place_of_largest", "place_of_smallest", "places_in_order", "taken", "put"), ("dim", 1, -1)
    ),
    **dict.fromkeys(("places_of_most", "taken_along"), ("dim", 2, -1)),
    **dict.fromkeys(("largest_values", "value_at"), ("dim", 2, -1)),
    **dict.fromkeys(("repeat_interleave", "take_along_dim"), ("dim", 2, None)),
    "norm": ("dim", 2, None),
    "fake_quantize_per_channel_affine": ("axis", 3, 0),
    "normalize": ("dim", 2, 1),
    "glu": ("dim", 1, -1),
    "flatten": ("start_dim", 1, 0),
    "roll": ("dims", 2, 0),
}
_TUPLES = {"chunk", "split", "tensor_split", "unbind", "size", "getattr", "shape"}
_TUPLES |= {"split_with_sizes", "unsafe_chunk", "unsafe_split", "broadcast_tensors"}
_TUPLES |= {"var_mean", "std_mean", "aminmax"}
_DIAGONALS = {"diagonal", "linalg_diagonal", "diag_embed", "diagonal_scatter"}
_EXCHANGES = {"transpose", "swapaxes", "swapdims", "movedim", "moveaxis"}


def check_batch_axis(captured: fx.GraphModule, node: fx.Node, operation: str) -> None:
    """Refuse operations that may mix or move the images of a batch: time is folded into that axis.

    Axes counted from the end are not looked at here; `convert` tries whether images are independent.
    """
    if node.op == "call_module":
        module = captured.get_submodule(str(node.target))
        if isinstance(module, nn.Flatten) and module.start_dim == 0:
            raise Refusal(f"{operation} over the batch axis", "start to flatten at dimension 1")
    elif 0 in _axes_of(node, operation.rsplit(".", 1)[-1]):
        raise Refusal(f"{operation} over the batch axis", INDEPENDENT)


def _axes_of(node: fx.Node, name: str) -> list[Any]:
    """Axes that an operation works along; [0] where it says none and means all of them."""
    if name in _AXES:
        keyword, position, default = _AXES[name]
        aliases = [key for key in (keyword, "dim", "dims", "axis") if key in node.kwargs]
        axes = argument(node, aliases[0] if aliases else keyword, position, default)
        axes = 0 if axes is None else axes  # mean(dim=None) is over everything
        if name == "flip" and isinstance(axes, int):
            axes = node.args[position:] or axes
        return list(axes) if isinstance(axes, list | tuple) else [axes]
    if name in _DIAGONALS:
        last = name == "diag_embed" or node.target is torch.linalg.diagonal
        at = 3 if name == "diagonal_scatter" else 2
        defaults = (-2, -1) if last else (0, 1)
        return [argument(node, f"dim{i + 1}", at + i, defaults[i]) for i in (0, 1)]
    if name in _EXCHANGES:
        return _flat(node.args[1:3])
    if name == "written":
        return _axes_of_index(node.args[1])
    if name == "permute":
        order = _flat(node.kwargs.get("dims", node.args[1:]))
        return [] if order[0] == 0 else [0]
    if name == "getitem" and not yields_tuple(node.args[0]):
        return _axes_of_index(node.args[1])
    return []


def _axes_of_index(index: Any) -> list[Any]:
    """[0] where an index picks among images."""
    first = index[0] if isinstance(index, tuple) else index
    return [] if first is Ellipsis or (isinstance(first, slice) and first == slice(None)) else [0]


def _flat(values: Any) -> list[Any]:
    return [axis for value in values for axis in (value if isinstance(value, list | tuple) else [value])]


def is_view(index: Any) -> bool:
    """True where x[index] is a part of each image in x, and shares its memory."""
    if isinstance(index, int):  # an image, or one of several values
        return False
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts)


def yields_tuple(node: Any) -> bool:
    """True for operations that give several values."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name in _TUPLES
