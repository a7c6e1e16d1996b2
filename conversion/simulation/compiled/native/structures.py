"""What the compiled kernels are passed: the structures of neurons.h, spikes.c, tables.h and trials.c."""

from __future__ import annotations

import ctypes

MAX_ADDENDS = 8
MAX_PLANES = 4
MAX_STATES = 5
MAX_KERNEL = 16  # of a pool
CHANNEL_MULTIPLE = 16  # output channels of a layer in the byte kernel are a multiple of this
MAX_CHANNELS = 8192  # most input channels of a layer with synapses


def _numbers(*names: str) -> list[tuple[str, type[ctypes.c_int64]]]:
    return [(name, ctypes.c_int64) for name in names]


def _pointers(*names: str) -> list[tuple[str, type[ctypes.c_void_p]]]:
    return [(name, ctypes.c_void_p) for name in names]


_KERNEL = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w")
_OUTPUT = ("out_height", "out_width", "outputs", "addends")
_WEIGHTS = ctypes.c_int64 * MAX_PLANES


class Neurons(ctypes.Structure):
    """See `neurons` in neurons.h."""

    _fields_ = (
        *_numbers("kind", "done"),
        *((name, ctypes.c_float) for name in ("most", "back", "bound")),
        ("variant", ctypes.c_int32),
        *_numbers("counted"),
        ("state", ctypes.c_void_p * MAX_STATES),
        *_pointers("answer", "weights"),
    )


class Addend(ctypes.Structure):
    """See `addend` in spikes.c."""

    _fields_ = (*_pointers("values", "scale"), *_numbers("step", "is_spikes"))


class LayerJob(ctypes.Structure):
    """See `layer` in spikes.c."""

    _fields_ = (
        *_pointers("spikes"),
        *_numbers("steps", "images", "height", "width", "channels", "is_signed", "largest"),
        *_numbers("is_unsigned", "groups"),
        *_pointers("weights", "scale", "bias"),
        *_numbers("bias_step"),
        *_pointers("shift"),
        *_numbers("digits", "vectors", "in_floats", "depthwise", "tiled", *_KERNEL, *_OUTPUT),
        ("add", Addend * MAX_ADDENDS),
        ("neurons", Neurons),
        *_pointers("fired", "sent", "value", "counts", "currents"),
    )


class IndexJob(ctypes.Structure):
    """See `index_job` in tables.h."""

    _fields_ = (
        *_pointers("bits", "index", "counts"),
        *_numbers("planes", "steps", "images", "height", "width", "channels", "group", "vectors"),
        ("weights", _WEIGHTS),
    )


class TableAddend(ctypes.Structure):
    """See `table_addend` in tables.h."""

    _fields_ = (*_pointers("values", "scale"), *_numbers("step", "pixel", "planes"), ("weights", _WEIGHTS))


class TableLayer(ctypes.Structure):
    """See `table_layer` in tables.h."""

    _fields_ = (
        *_pointers("index"),
        *_numbers("planes", "steps", "images", "vectors", "height", "width", "groups"),
        ("plane_weights", _WEIGHTS),
        *_pointers("weights", "scale", "bias"),
        *_numbers("bias_step"),
        *_pointers("blocks"),
        *_numbers("block_count", "wide", "run", *_KERNEL, *_OUTPUT),
        ("add", TableAddend * MAX_ADDENDS),
        ("neurons", Neurons),
        *_numbers("out_planes"),
        *_pointers("fired", "currents"),
    )


class PoolJob(ctypes.Structure):
    """See `pool_job` in pool.c."""

    _fields_ = (
        *_pointers("spikes", "pooled", "totals", "sent", "counts"),
        *_numbers("packed", "planes", "steps", "images", "height", "width", "channels", "is_signed"),
        *_numbers(*_KERNEL, "out_height", "out_width", "gate", "is_unsigned"),
    )


class Sampled(ctypes.Structure):
    """See `sampled` in trials.c."""

    _fields_ = (
        *_pointers("current"),
        *_numbers("channels", "steps", "constant", "samples"),
        ("neurons", Neurons),
        ("begin", ctypes.c_float * MAX_STATES),
    )


class Trials(ctypes.Structure):
    """See `trials` in trials.c."""

    _fields_ = (
        ("of", Sampled),
        *_pointers("wanted"),
        *_numbers("starts"),
        *_pointers("scale", "membrane", "offset", "value", "sent", "errors"),
    )


class Biases(ctypes.Structure):
    """See `biases` in trials.c."""

    _fields_ = (
        ("of", Sampled),
        *_numbers("rounds"),
        ("rate", ctypes.c_float),
        *_pointers("scale", "membrane", "offset", "wanted", "bias"),
    )
