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

from conversion.compiled.caching import cache_folder
from conversion.compiled.native.structures import IndexJob, Layer, PoolJob, TableLayer

_FOLDER = Path(__file__).parent
_SOURCES = [_FOLDER / name for name in ("spikes.c", "tables.c", "pool.c")]
_HEADERS = sorted(_FOLDER.glob("*.h"))
_FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fwrapv", "-fPIC", "-shared", "-fopenmp")
_WIDE = "-mprefer-vector-width=512"  # x86 only: use the full registers
_FACTS = ("has_synapses", "has_tiles", "byte_lanes", "has_tables", "narrow_group", "wide_group")
_STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "layer_size": Layer,
    "table_layer_size": TableLayer,
    "index_job_size": IndexJob,
    "pool_job_size": PoolJob,
}


@cache
def kernel() -> ctypes.CDLL | None:
    """The compiled kernel, or None; says once why it is not there."""
    if os.environ.get("SPIKEMARK_NATIVE", "1") == "0":
        return None
    try:
        library = ctypes.CDLL(str(_compiled()))
        for name in (*_FACTS, *_STRUCTURES):
            getattr(library, name).restype = ctypes.c_int64
        library.run_layer.argtypes = [ctypes.POINTER(Layer), ctypes.c_int64]
        library.run_tables.argtypes = [ctypes.POINTER(TableLayer), ctypes.c_int64]
        library.index_spikes.argtypes = [ctypes.POINTER(IndexJob), ctypes.c_int64]
        library.sum_spikes.argtypes = [ctypes.POINTER(IndexJob), ctypes.c_void_p, ctypes.c_int64]
        library.pool_spikes.argtypes = [ctypes.POINTER(PoolJob), ctypes.c_int64]
        for name in ("run_layer", "run_tables", "index_spikes", "sum_spikes", "pool_spikes"):
            getattr(library, name).restype = None
    except (OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"no compiled kernel on this machine, simulating with PyTorch's operations instead: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    for name, structure in _STRUCTURES.items():
        assert getattr(library, name)() == ctypes.sizeof(structure), f"C and {structure.__name__} disagree"
    return library


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
    library = kernel()
    return 0 if library is None else int(getattr(library, name)())


def _compiled() -> Path:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise OSError("no C compiler found (cc, gcc or clang)")
    flags = (*_FLAGS, _WIDE) if platform.machine() in ("x86_64", "AMD64") else _FLAGS
    source = b"".join(path.read_bytes() for path in (*_SOURCES, *_HEADERS))
    key = hashlib.sha256(source + repr((compiler, flags, _processor())).encode()).hexdigest()[:16]
    folder = cache_folder()
    target = folder / f"spikes-{key}.so"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        unfinished = Path(scratch) / "spikes.so"
        command = [compiler, *flags, *map(str, _SOURCES), "-o", str(unfinished)]
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
