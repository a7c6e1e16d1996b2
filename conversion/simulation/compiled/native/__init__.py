"""The kernel for spiking layers: compiled once per machine with the C compiler that is there.

`kernel()` gives the compiled library, or None where there is no compiler, or where the environment
variable SPIKEMARK_NATIVE says no; callers then use PyTorch's own operations, with the same results.
`private_cache` says which files are loaded, and which are compiled again.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import platform
import shlex
import shutil
import warnings
from functools import cache
from pathlib import Path

from conversion.errors import ConversionError
from conversion.simulation import processor
from conversion.simulation.caching import cache_folder
from conversion.simulation.compiled.native.compiler import run_compiler
from conversion.simulation.compiled.native.private_cache import library
from conversion.simulation.compiled.native.structures import (
    Biases,
    IndexJob,
    LayerJob,
    PoolJob,
    TableLayer,
    Trials,
)

_FOLDER = Path(__file__).parent
_SOURCES = [_FOLDER / name for name in ("spikes.c", "tables.c", "pool.c", "trials.c")]
_HEADERS = sorted(_FOLDER.glob("*.h"))
_FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fwrapv", "-fPIC", "-shared", "-fopenmp")
_WIDE = "-mprefer-vector-width=512"  # x86 only: use the full registers
_YES, _NO = ("", "1", "true", "yes", "on"), ("0", "false", "no", "off")
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)  # of a folder
_FACTS = ("has_synapses", "has_tiles", "byte_lanes", "has_tables", "narrow_group", "wide_group")
_STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "layer_size": LayerJob,
    "table_layer_size": TableLayer,
    "index_job_size": IndexJob,
    "pool_job_size": PoolJob,
    "trials_size": Trials,
    "biases_size": Biases,
}


@cache
def kernel() -> ctypes.CDLL | None:
    """The compiled kernel, or None; says once why it is not there.

    Raises:
        ConversionError: SPIKEMARK_NATIVE says neither yes nor no.
    """
    if not _wanted():
        return None
    try:
        found = _loaded()
        _declare(found)
    except (OSError, AttributeError) as error:  # what a strange compiler wrote may lack a function
        closed = isinstance(error, OSError) and error.errno in _CLOSED
        advice = ". Set SPIKEMARK_CACHE to a folder that can be written" if closed else ""
        warnings.warn(
            "no compiled kernel on this machine, simulating with PyTorch's operations instead: "
            f"{error}{advice}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return found


def _declare(found: ctypes.CDLL) -> None:
    """Say what functions take and give.

    Raises:
        AttributeError: one is not there.
        OSError: a structure has another size in C.
    """
    for name in (*_FACTS, *_STRUCTURES):
        getattr(found, name).restype = ctypes.c_int64
    found.run_layer.argtypes = [ctypes.POINTER(LayerJob), ctypes.c_int64]
    found.run_tables.argtypes = [ctypes.POINTER(TableLayer), ctypes.c_int64]
    found.index_spikes.argtypes = [ctypes.POINTER(IndexJob), ctypes.c_int64]
    found.sum_spikes.argtypes = [ctypes.POINTER(IndexJob), ctypes.c_void_p, ctypes.c_int64]
    found.pool_spikes.argtypes = [ctypes.POINTER(PoolJob), ctypes.c_int64]
    found.try_all.argtypes = [ctypes.POINTER(Trials), ctypes.c_int64]
    found.find_all_biases.argtypes = [ctypes.POINTER(Biases), ctypes.c_int64]
    for name in ("run_layer", "run_tables", "index_spikes", "sum_spikes", "pool_spikes"):
        getattr(found, name).restype = None
    found.try_all.restype = found.find_all_biases.restype = None
    for name, structure in _STRUCTURES.items():
        if getattr(found, name)() != ctypes.sizeof(structure):
            raise OSError(f"the compiler gives {structure.__name__} another size than Python")


def has_synapses() -> bool:
    """True where the kernel also runs layers with weights (x86 with AVX-512 VNNI or AVX2)."""
    return bool(_fact("has_synapses"))


def has_tiles() -> bool:
    """True where layers in bytes run on a matrix unit (x86 with AMX, and a system that lets it be used)."""
    return bool(_fact("has_tiles"))


def has_tables() -> bool:
    """True where sums can be looked up (x86 with AVX-512BW or AVX2)."""
    return bool(_fact("has_tables"))


def byte_lanes() -> int:
    """Output channels of one vector of weights in the byte kernel."""
    return _fact("byte_lanes")


def table_group(wide: bool) -> int:
    """Binary spikes that index one table, of sums of 32 bits where `wide`, else of 16 bits."""
    return _fact("wide_group" if wide else "narrow_group")


def _fact(name: str) -> int:
    found = kernel()
    return 0 if found is None else int(getattr(found, name)())


def _wanted() -> bool:
    said = os.environ.get("SPIKEMARK_NATIVE", "").strip().lower()
    if said not in _YES + _NO:
        raise ConversionError(f"SPIKEMARK_NATIVE is '{said}'; set it to 1 or 0, or leave it out")
    return said not in _NO


def _loaded() -> ctypes.CDLL:
    compiler = _compiler()
    flags = (*_FLAGS, _WIDE) if platform.machine() in ("x86_64", "AMD64") else _FLAGS

    def compile_to(path: Path) -> None:
        run_compiler([*compiler, *flags, *map(str, _SOURCES), "-o", str(path)])

    source = b"".join(path.read_bytes() for path in (*_SOURCES, *_HEADERS))
    facts = repr((compiler, flags, processor.instructions(), platform.libc_ver()))
    name = f"spikes-{hashlib.sha256(source + facts.encode()).hexdigest()[:16]}"
    path = library(cache_folder(), name, compile_to)
    try:
        return ctypes.CDLL(str(path))
    except OSError:  # it is what was written, but not for this machine
        return ctypes.CDLL(str(library(cache_folder(), name, compile_to, anew=True)))


def _compiler() -> list[str]:
    """The command that compiles: CC, which may have arguments, or the first compiler that is there.

    Raises:
        OSError: there is none.
    """
    said = os.environ.get("CC", "").strip()
    if said:
        if shutil.which(said) is not None:  # also a path with spaces
            return [said]
        try:
            words = shlex.split(said)
        except ValueError as error:
            raise OSError(f"CC is no command: {said!r}: {error}") from error
        if shutil.which(words[0]) is None:
            raise OSError(f"CC names no program: {words[0]!r}; set it to a C compiler, or leave it out")
        return words
    for name in ("cc", "gcc", "clang"):
        found = shutil.which(name)
        if found is not None:
            return [found]
    raise OSError("no C compiler found (cc, gcc or clang)")
