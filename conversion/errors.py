"""What can go wrong when a network is converted, each with its way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ConversionError(Exception):
    """The network, the recipe or the calibration data cannot be used as given."""


class RecipeError(ConversionError, ValueError):
    """A recipe names something unknown or combines parts that do not fit."""


class CalibrationError(ConversionError):
    """Calibration data are missing, or an activation statistic is unusable; names the layer."""


class ImageError(ConversionError, ValueError):
    """Images are not what the network takes: kind, precision, shape or device; names both sides."""


class CaptureError(ConversionError):
    """torch.fx cannot follow the network's Python code; names the statement."""


class SubmoduleError(ConversionError, ValueError):
    """The network has no such submodule, or it cannot be converted on its own."""


class SavedNetworkError(ConversionError, ValueError):
    """A converted network cannot be written to a file or read from it; names the file and what is wrong."""


class MemoryBudgetError(ConversionError):
    """Not even one image can be simulated within the memory budget; names the smallest that would do."""


@dataclass(frozen=True)
class Unsupported:
    """One operation without a spiking counterpart."""

    operation: str  # e.g. "torch.nn.functional.silu"
    path: str  # module path inside the network, "" for the network's own forward
    source: str  # "file.py:12: x = F.silu(x)", or "" where unknown
    advice: str

    def __str__(self) -> str:
        where = f"in module '{self.path}'" if self.path else "in the network's forward"
        line = f"\n      {self.source}" if self.source else ""
        return f"  - {self.operation} {where}{line}\n      instead: {self.advice}"


class UnsupportedOperations(ConversionError):
    """Operations that are neither affine, nor a bounded ReLU, nor max pooling; lists all of them."""

    def __init__(self, operations: Sequence[Unsupported]) -> None:
        self.operations = tuple(operations)
        lines = "\n".join(str(operation) for operation in operations)
        super().__init__(f"{len(operations)} operation(s) have no spiking counterpart:\n{lines}")


class NirExportError(ConversionError):
    """A converted network cannot be written in NIR; lists every reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"NIR cannot express this network, for {len(problems)} reason(s):\n{lines}")
