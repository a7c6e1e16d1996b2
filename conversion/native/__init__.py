"""The kernel for spiking layers: compiled once per machine with the C compiler that is there.

`kernel()` gives the compiled library, or None where there is no compiler, or where the environment
variable SPIKEMARK_NATIVE is 0; callers then use PyTorch's own operations, with the same results.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from functools import cache
from pathlib import Path

_SOURCE = Path(__file__).with_name("spikes.c")
_FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-shared", "-fopenmp")
_WIDE = "-mprefer-vector-width=512"  # x86 only: use the full registers

MAX_ADDENDS = 8
LANES = 16  # output channels computed together
MAX_CHANNELS = 8192  # most input channels of a layer with synapses


class Addend(ctypes.Structure):
    """See `addend` in spikes.c."""

    _fields_ = [
        ("values", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("step", ctypes.c_int64),
        ("is_spikes", ctypes.c_int64),
    ]


_SIZES = ("steps", "images", "height", "width", "channels", "is_signed")
_GEOMETRY = (
    *("planes", "vectors"),
    *("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w"),
    *("out_height", "out_width", "outputs", "addends"),
)


class Layer(ctypes.Structure):
    """See `layer` in spikes.c."""

    _fields_ = [
        ("spikes", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in ("weights", "scale", "bias")),
        *((name, ctypes.c_int64) for name in _GEOMETRY),
        ("add", Addend * MAX_ADDENDS),
        ("fire", ctypes.c_int64),
        ("gamma", ctypes.c_int64),
        ("membrane", ctypes.c_void_p),
        ("fired", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
        ("currents", ctypes.c_void_p),
    ]


@cache
def kernel() -> ctypes.CDLL | None:
    """The compiled kernel, or None; says once why it is not there."""
    if os.environ.get("SPIKEMARK_NATIVE", "1") == "0":
        return None
    try:
        library = ctypes.CDLL(str(_compiled()))
        library.layer_size.restype = library.has_synapses.restype = ctypes.c_int64
        library.run_layer.argtypes = [ctypes.POINTER(Layer), ctypes.c_int64]
        library.run_layer.restype = None
    except (OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"no compiled kernel on this machine, simulating with PyTorch's operations instead: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    assert library.layer_size() == ctypes.sizeof(Layer), "spikes.c and Layer disagree"
    return library


def has_synapses() -> bool:
    """True where the kernel also runs layers with weights (x86 with AVX-512 VNNI)."""
    library = kernel()
    return library is not None and bool(library.has_synapses())


def _compiled() -> Path:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise OSError("no C compiler found (cc, gcc or clang)")
    flags = (*_FLAGS, _WIDE) if platform.machine() in ("x86_64", "AMD64") else _FLAGS
    source = _SOURCE.read_bytes()
    key = hashlib.sha256(source + repr((compiler, flags, _processor())).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spikemark"
    target = folder / f"spikes-{key}.so"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        unfinished = Path(scratch) / "spikes.so"
        command = [compiler, *flags, str(_SOURCE), "-o", str(unfinished)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()[:500]}")
        os.replace(unfinished, target)
    return target


def _processor() -> str:
    """What -march=native depends on: a cache shared by several machines holds one build for each."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
