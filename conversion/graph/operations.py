"""What each operation of a network means for conversion: the tables.

Between two spiking neurons, affine operations commute with averaging over time and run as they are. Other
stateless operations do not: they are telescoped, so that what they send is right on average over time (see
`conversion.functions`). Every operation is therefore one of `Kind`; what is in no table is unsupported.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from enum import Enum
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from conversion.functions import additions, attention, choices, deformed, elementwise, ordered, positions
from conversion.functions.relay import relay
from conversion.graph.activations import TrainedActivation
from conversion.graph.forms import FORMS
from conversion.graph.unpooling import max_unpool


class Kind(Enum):
    """What an operation becomes in a spiking network."""

    NEURON = "neuron"  # ReLU and its bounded and leaky relatives: becomes a spiking neuron
    POOLING = "pooling"  # max pooling: becomes a stateful spiking pool
    UNPOOLING = "unpooling"  # puts values where a max pooling found its maxima
    WEIGHTED = "weighted"  # affine with learned weights: where synaptic operations happen
    SCALE = "scale"  # affine, element by element: constant factors, batch norm in eval mode
    SUM = "sum"  # addition and subtraction of signals
    ROUTING = "routing"  # moves values, weights 0 and 1: reshape, slice, pad, concatenate
    SPREAD = "spread"  # fixed weights: average pooling, interpolation, means
    SHAPE = "shape"  # the size of a signal
    FUNCTION = "function"  # any other stateless operation of signals: telescoped
    CONSTANT = "constant"  # makes a tensor as large as a signal or a batch, the same in every time step


SOURCES = (Kind.NEURON, Kind.POOLING, Kind.UNPOOLING)  # what sends spikes

NEURON_MODULES: tuple[type[nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU6,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    TrainedActivation,
    *elementwise.MODULES,
)

MODULES: dict[type[nn.Module], Kind] = {
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), Kind.POOLING),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), Kind.POOLING),
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear), Kind.WEIGHTED),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), Kind.WEIGHTED),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm), Kind.SCALE),
    **dict.fromkeys((nn.Identity, nn.Flatten, nn.Unflatten), Kind.ROUTING),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout), Kind.ROUTING),
    **dict.fromkeys((nn.FeatureAlphaDropout, nn.Unfold), Kind.ROUTING),
    **dict.fromkeys((nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d), Kind.ROUTING),
    **dict.fromkeys((nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d), Kind.ROUTING),
    **dict.fromkeys((nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d), Kind.ROUTING),
    **dict.fromkeys((nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d), Kind.ROUTING),
    **dict.fromkeys((nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d), Kind.ROUTING),
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle), Kind.ROUTING),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), Kind.SPREAD),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), Kind.SPREAD),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d), Kind.SPREAD),
    **dict.fromkeys((nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm), Kind.FUNCTION),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), Kind.FUNCTION),
    **dict.fromkeys((nn.Softmax, nn.Softmin, nn.Softmax2d, nn.LogSoftmax), Kind.FUNCTION),
    **dict.fromkeys((nn.GLU, nn.LPPool1d, nn.LPPool2d, nn.CosineSimilarity), Kind.FUNCTION),
    **dict.fromkeys((nn.Fold,), Kind.SPREAD),
    **dict.fromkeys((nn.PairwiseDistance,), Kind.FUNCTION),
}

# Other stateless functions of single values, or of values at the same place; those of torch, and methods.
_OF_VALUES = (
    *("sin", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "sinc", "logit"),
    *("sign", "floor", "ceil", "round", "trunc", "frac", "exp2", "log10", "erfc", "erfinv", "nan_to_num"),
    *("logaddexp", "logaddexp2", "atan2", "hypot", "xlogy", "fmod", "remainder", "copysign", "heaviside"),
    *("float_power", "i0", "lgamma", "digamma", "floor_divide"),
)

# The same of torch.special, those that torch has under the same name included.
_SPECIAL = (
    *("erf", "erfc", "erfcx", "erfinv", "exp2", "expm1", "log1p", "logit", "sinc", "entr", "round"),
    *("i0", "i0e", "i1", "i1e", "ndtr", "ndtri", "log_ndtr", "gammaln", "digamma", "xlogy", "xlog1py"),
    *("softmax", "log_softmax", "logsumexp"),
)

FUNCTIONS: dict[Callable[..., Any], Kind] = {
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, F.relu_, F.relu6), Kind.NEURON),
    **dict.fromkeys((F.hardtanh, F.hardtanh_, torch.clamp, torch.clamp_), Kind.NEURON),
    **dict.fromkeys((torch.clamp_min, torch.clamp_min_, torch.clip, torch.clip_), Kind.NEURON),
    **dict.fromkeys((torch.clamp_max, torch.clamp_max_), Kind.NEURON),
    **dict.fromkeys((F.leaky_relu, F.leaky_relu_, F.prelu, torch.prelu), Kind.NEURON),
    **dict.fromkeys((F.max_pool1d, F.max_pool2d, F.max_pool3d), Kind.POOLING),
    **dict.fromkeys((torch.max_pool1d, torch.max_pool2d, torch.max_pool3d), Kind.POOLING),
    **dict.fromkeys((F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d), Kind.POOLING),
    max_unpool: Kind.UNPOOLING,
    **dict.fromkeys((*(call for call in elementwise.CALLS if callable(call)), relay), Kind.NEURON),
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d, F.linear), Kind.WEIGHTED),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), Kind.WEIGHTED),
    **dict.fromkeys((operator.matmul, torch.matmul), Kind.WEIGHTED),
    **dict.fromkeys((F.batch_norm, torch.neg, torch.negative, operator.neg), Kind.SCALE),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, torch.multiply), Kind.SCALE),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), Kind.SCALE),
    **dict.fromkeys((torch.divide, torch.true_divide), Kind.SCALE),
    **dict.fromkeys((operator.add, operator.iadd, torch.add), Kind.SUM),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, torch.subtract), Kind.SUM),
    **dict.fromkeys((torch.flatten, torch.reshape, torch.permute, torch.transpose), Kind.ROUTING),
    **dict.fromkeys((torch.squeeze, torch.unsqueeze, torch.unflatten, torch.movedim), Kind.ROUTING),
    **dict.fromkeys((torch.swapaxes, torch.swapdims, torch.moveaxis), Kind.ROUTING),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate, torch.stack), Kind.ROUTING),
    **dict.fromkeys((torch.chunk, torch.split, torch.tensor_split, torch.unbind), Kind.ROUTING),
    **dict.fromkeys((torch.select, torch.index_select, torch.flip, torch.roll), Kind.ROUTING),
    **dict.fromkeys((torch.narrow, torch.clone, F.pad, F.unfold, operator.getitem), Kind.ROUTING),
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d, F.dropout3d), Kind.ROUTING),
    **dict.fromkeys((F.alpha_dropout, F.feature_alpha_dropout), Kind.ROUTING),
    **dict.fromkeys((F.pixel_shuffle, F.pixel_unshuffle), Kind.ROUTING),
    **dict.fromkeys((F.channel_shuffle, torch.channel_shuffle, torch.native_channel_shuffle), Kind.ROUTING),
    **dict.fromkeys((F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.interpolate), Kind.SPREAD),
    **dict.fromkeys((F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d), Kind.SPREAD),
    **dict.fromkeys((torch.mean, torch.sum, torch.cumsum, F.fold), Kind.SPREAD),
    **dict.fromkeys((additions.added_at, additions.scattered), Kind.SPREAD),
    **dict.fromkeys((torch.zeros_like, torch.ones_like, torch.full_like), Kind.CONSTANT),
    **dict.fromkeys((F.layer_norm, torch.layer_norm, F.group_norm, torch.group_norm), Kind.FUNCTION),
    **dict.fromkeys((F.instance_norm, F.rms_norm, F.local_response_norm, F.normalize), Kind.FUNCTION),
    **dict.fromkeys((F.softmax, torch.softmax, F.softmin, F.log_softmax, torch.log_softmax), Kind.FUNCTION),
    **dict.fromkeys((torch.bmm, torch.einsum, torch.functional.einsum, torch.cdist, F.glu), Kind.FUNCTION),
    **dict.fromkeys((F.cosine_similarity, F.lp_pool1d, F.lp_pool2d), Kind.FUNCTION),
    **dict.fromkeys((operator.pow, torch.pow, torch.square, torch.sqrt, torch.rsqrt), Kind.FUNCTION),
    **dict.fromkeys((torch.exp, torch.expm1, torch.log, torch.log1p, torch.log2, torch.erf), Kind.FUNCTION),
    **dict.fromkeys((torch.sin, torch.cos, torch.reciprocal, torch.abs, operator.abs), Kind.FUNCTION),
    **dict.fromkeys((torch.maximum, torch.minimum, torch.fmax, torch.fmin), Kind.FUNCTION),
    **dict.fromkeys((torch.amin, torch.norm, torch.linalg.norm, torch.linalg.vector_norm), Kind.FUNCTION),
    **dict.fromkeys((torch.std, torch.var, torch.logsumexp, torch.prod), Kind.FUNCTION),
    **dict.fromkeys((torch.var_mean, torch.std_mean, torch.aminmax), Kind.FUNCTION),
    **dict.fromkeys((F.grid_sample, F.pairwise_distance, deformed.sampled_at), Kind.FUNCTION),
    **dict.fromkeys((getattr(torch.special, name) for name in _SPECIAL), Kind.FUNCTION),
    **dict.fromkeys((operator.mod, operator.floordiv, torch.amax), Kind.FUNCTION),
    torch.fake_quantize_per_tensor_affine: Kind.FUNCTION,
    torch.fake_quantize_per_channel_affine: Kind.FUNCTION,
    **dict.fromkeys((getattr(torch, name) for name in _OF_VALUES), Kind.FUNCTION),
    **dict.fromkeys((choices.compared, choices.chosen), Kind.FUNCTION),
    **dict.fromkeys((ordered.running_maximum, ordered.running_minimum), Kind.FUNCTION),
    **dict.fromkeys((ordered.sorted_values, ordered.largest_values, ordered.value_at), Kind.FUNCTION),
    **dict.fromkeys(positions.FUNCTIONS, Kind.FUNCTION),
    **dict.fromkeys((ordered.middle_value, torch.cumprod, torch.logcumsumexp), Kind.FUNCTION),
    **dict.fromkeys((choices.written, torch.repeat_interleave, torch.tile), Kind.ROUTING),
    **dict.fromkeys((torch.rot90, torch.gather, torch.take_along_dim, torch.ravel), Kind.ROUTING),
    **dict.fromkeys((torch.tril, torch.triu, torch.broadcast_to, torch.split_with_sizes), Kind.ROUTING),
    **dict.fromkeys((torch.broadcast_tensors, torch.functional.broadcast_tensors), Kind.ROUTING),
    **dict.fromkeys((torch.unsafe_chunk, torch.unsafe_split, torch.diagonal), Kind.ROUTING),
    **dict.fromkeys((torch.linalg.diagonal, torch.diag_embed, torch.diagonal_scatter), Kind.ROUTING),
    **dict.fromkeys((torch.select_scatter, torch.slice_scatter, torch.index_copy), Kind.ROUTING),
    **dict.fromkeys((torch.index_fill, torch.scatter), Kind.ROUTING),
    **dict.fromkeys((attention.masked, attention.kept, attention.causally_masked), Kind.SUM),
    **dict.fromkeys((torch.where, torch.masked_fill), Kind.SUM),
}

METHODS: dict[str, Kind] = {
    **dict.fromkeys(("relu", "relu_", "clamp", "clamp_", "clamp_min", "clamp_min_"), Kind.NEURON),
    **dict.fromkeys(("clip", "clip_", "clamp_max", "clamp_max_"), Kind.NEURON),
    "matmul": Kind.WEIGHTED,
    **dict.fromkeys(("mul", "mul_", "multiply", "multiply_", "neg", "neg_", "negative"), Kind.SCALE),
    **dict.fromkeys(("div", "div_", "divide", "divide_", "true_divide"), Kind.SCALE),
    **dict.fromkeys(("add", "add_", "sub", "sub_", "subtract", "subtract_"), Kind.SUM),
    **dict.fromkeys(("view", "reshape", "flatten", "permute", "transpose", "contiguous"), Kind.ROUTING),
    **dict.fromkeys(("squeeze", "unsqueeze", "unflatten", "narrow", "expand", "repeat"), Kind.ROUTING),
    **dict.fromkeys(("swapaxes", "swapdims", "movedim", "moveaxis"), Kind.ROUTING),
    **dict.fromkeys(("chunk", "split", "tensor_split", "unbind", "select", "index_select"), Kind.ROUTING),
    **dict.fromkeys(("flip", "roll", "clone", "detach", "to", "float", "double"), Kind.ROUTING),
    **dict.fromkeys(("mean", "sum", "cumsum"), Kind.SPREAD),
    **dict.fromkeys(("size", "dim", "ndimension", "numel", "nelement"), Kind.SHAPE),
    **dict.fromkeys(("new_zeros", "new_ones", "new_full"), Kind.CONSTANT),
    **dict.fromkeys((call for call in elementwise.CALLS if isinstance(call, str)), Kind.NEURON),
    **dict.fromkeys(("softmax", "log_softmax", "bmm", "pow", "square", "sqrt", "rsqrt"), Kind.FUNCTION),
    **dict.fromkeys(("exp", "expm1", "log", "log1p", "erf", "sin", "cos", "reciprocal"), Kind.FUNCTION),
    **dict.fromkeys(("abs", "maximum", "minimum", "amin", "amax", "norm", "std", "var"), Kind.FUNCTION),
    **dict.fromkeys(("logsumexp", "prod", "cumprod", "logcumsumexp"), Kind.FUNCTION),
    **dict.fromkeys((name for name in _OF_VALUES if hasattr(torch.Tensor, name)), Kind.FUNCTION),
    **dict.fromkeys(("repeat_interleave", "tile", "rot90", "gather", "take_along_dim"), Kind.ROUTING),
    **dict.fromkeys(("unfold", "tril", "triu", "ravel", "type", "broadcast_to"), Kind.ROUTING),
    **dict.fromkeys(("split_with_sizes", "unsafe_chunk", "unsafe_split", "diagonal"), Kind.ROUTING),
    **dict.fromkeys(("diag_embed", "diagonal_scatter", "select_scatter", "slice_scatter"), Kind.ROUTING),
    **dict.fromkeys(("index_copy", "index_fill", "scatter"), Kind.ROUTING),
    **dict.fromkeys(("where", "masked_fill"), Kind.SUM),
}

CONVOLUTIONS: frozenset[Any] = frozenset(
    {
        *(F.conv1d, F.conv2d, F.conv3d),
        *(F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
    }
)

# Functions of two signals that are linear in each: what one sends meets what the other has sent so far.
PRODUCTS: frozenset[Any] = frozenset(
    {
        *(operator.mul, torch.mul, torch.multiply, "mul", "multiply"),
        *(operator.matmul, torch.matmul, "matmul", torch.bmm, "bmm"),
        *(torch.einsum, torch.functional.einsum),
        *CONVOLUTIONS,  # by weights that are a signal
    }
)

# Attributes of a signal that a network may ask for: they do not depend on its values.
ATTRIBUTES = frozenset({"shape", "ndim", "device", "dtype"})


def _in_place_forms() -> dict[Any, Any]:
    """In-place functions and methods of torch, and what they do to a copy."""
    found: dict[Any, Any] = {
        f"{name}_": name
        for name in (*METHODS, *(form for form in FORMS if isinstance(form, str)))
        if hasattr(torch.Tensor, f"{name}_") and not name.endswith("_")
    }
    for function in (*FUNCTIONS, *FORMS):
        name = getattr(function, "__name__", "")
        for room in (torch, F):
            form = getattr(room, f"{name}_", None)
            if name and form is not None and getattr(room, name, None) is function:
                found[form] = function
    return found


# In-place operations and their functional forms: all readers of a signal share it.
OUT_OF_PLACE: dict[Any, Any] = {
    **_in_place_forms(),
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ipow: operator.pow,
    operator.imatmul: operator.matmul,
    operator.setitem: choices.written,
    torch.relu_: torch.relu,
    F.relu_: F.relu,
    F.leaky_relu_: F.leaky_relu,
    F.hardtanh_: F.hardtanh,
}

# Functions and methods whose integer arguments after the signal are a new shape, batch size first.
SHAPE_ARGUMENTS: frozenset[Any] = frozenset(
    {"view", "reshape", "expand", "broadcast_to", torch.reshape, torch.broadcast_to}
)

_SUBMODULE = 'convert a submodule without it, convert(..., submodule="path")'
_READ_OUT = "leave it out of the network and apply it to the read-out"

ADVICE: dict[str, str] = {
    **dict.fromkeys(
        ("fractionalmaxpool2d", "fractionalmaxpool3d", "fractional_max_pool2d", "fractional_max_pool3d"),
        "use max pooling, or adaptive max pooling: its windows are drawn at random, in eval mode, too",
    ),
    **dict.fromkeys(("argmax", "argmin", "argsort", "sort", "topk"), _READ_OUT),
}
DEFAULT_ADVICE = f"use operations that depend on the signals of one time step alone, or {_SUBMODULE}"


def advice_for(operation: str) -> str:
    """Way out for an unsupported operation, by the last part of its name."""
    return ADVICE.get(operation.rsplit(".", 1)[-1].lower().rstrip("_"), DEFAULT_ADVICE)
