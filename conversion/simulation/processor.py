"""What the operating system tells about the processor; read once."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path


@cache
def facts() -> Mapping[str, str]:
    """Facts of the first core, such as "model name" and "flags"; none where there is no /proc/cpuinfo."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = [line.partition(":") for line in text.partition("\n\n")[0].splitlines()]
    return {name.strip(): value.strip() for name, _, value in lines}


def title() -> str:
    """Name of the processor, for people."""
    return facts().get("model name") or platform.processor() or platform.machine()


def instructions() -> str:
    """Instruction sets, which -march=native depends on."""
    return facts().get("flags") or facts().get("Features") or platform.processor() or platform.machine()


def fingerprint() -> str:
    """A hash of what speed depends on: model, cache and instruction sets."""
    found = facts()
    wanted = ("model name", "cache size", "flags", "Features", "CPU part")
    known = "\n".join(f"{name}: {found[name]}" for name in wanted if name in found)
    return hashlib.sha256((known or title()).encode()).hexdigest()[:16]
