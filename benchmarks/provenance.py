"""Where a record comes from: code, packages, device."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import psutil
import torch

from conversion.simulation import processor
from spikemark_plugins import packages

_PACKAGES = ("spikemark", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result, plug-ins' among them."""
    return _own_versions() | _plugin_versions(tuple(sys.path))


@cache
def _plugin_versions(places: tuple[str, ...]) -> dict[str, str]:
    """Read once for these places: it goes through all that is installed, a tenth of a tiny cell's time."""
    return packages()


@cache
def _own_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


@cache
def git_state() -> tuple[str | None, bool | None]:
    """Commit of SpikeMark's own source and whether it was modified; (None, None) outside a checkout."""
    folder = Path(__file__).resolve().parent

    def ask(*arguments: str) -> str | None:
        command = ["git", "-C", str(folder), *arguments]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    tracked = ask("ls-files", "--error-unmatch", "provenance.py")
    commit = ask("rev-parse", "HEAD") if tracked else None
    return (commit, bool(ask("status", "--porcelain"))) if commit else (None, None)


def device_name(device: torch.device) -> str:
    """Model name of the device, e.g. "cpu: AMD EPYC 9654, 2 threads" or "cuda: NVIDIA H100"."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {processor.title()}, {torch.get_num_threads()} threads"


def nondeterminism(device: torch.device) -> list[str]:
    """What may make the same cell give other numbers on the same machine; empty where nothing is known to.

    Every draw is seeded, and CPU kernels repeat themselves for the same number of threads. CUDA kernels
    that add with atomic operations do not, unless `trainer.deterministic` asks for others.
    """
    if device.type != "cuda":
        return []
    found = []
    if not torch.are_deterministic_algorithms_enabled():
        found.append("CUDA kernels that add in any order (trainer.deterministic is off)")
    elif torch.is_deterministic_algorithms_warn_only_enabled():
        found.append("CUDA kernels without a deterministic twin (trainer.deterministic: warn)")
    if torch.backends.cudnn.benchmark:
        found.append("cuDNN chooses kernels by timing them (torch.backends.cudnn.benchmark)")
    return found


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory in MiB: of the GPU since its counter was reset, else of this process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    info = psutil.Process().memory_info()
    return getattr(info, "peak_wset", _peak_resident()) / 2**20


def _peak_resident() -> int:
    try:
        import resource
    except ImportError:  # Windows, where memory_info has peak_wset
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024
