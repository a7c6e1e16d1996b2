"""What a network keeps of its calibration, where its recipe is fitted later, for a T that was not known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from conversion.errors import CalibrationError
from conversion.fitting.statistics import ActivationStatistics
from conversion.graph.plain import note, noted
from conversion.tensors import EXTRA, on_device_of

_STATISTICS = "statistics"


class KeptCalibration(nn.Module):
    """Calibration images, and the activation statistics of every neuron layer.

    Images follow a network to another device and another precision, statistics to another device alone:
    their sums need the digits. A state dict holds both, since what is fitted later depends on them.

    Args:
        batches: images [B, ...]; none where they were left out of a file.
        statistics: by layer.
    """

    def __init__(
        self, batches: Iterable[Tensor] = (), statistics: Mapping[str, ActivationStatistics] | None = None
    ) -> None:
        super().__init__()
        self.batches = list(batches)
        self.statistics = dict(statistics or {})

    def needed(self, what: str) -> list[Tensor]:
        """The images.

        Raises:
            CalibrationError: there are none; names what needs them.
        """
        if not self.batches:
            raise CalibrationError(
                f"{what} needs calibration images, and this network was saved without them; convert the ANN "
                "again, or save with calibration=True"
            )
        return self.batches

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        module: Any = super()  # PyTorch gives it no types
        module._apply(fn, recurse)
        self.batches = [fn(batch) for batch in self.batches]
        self.statistics = {name: on_device_of(fn, one) for name, one in self.statistics.items()}
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        numbers: dict[str, Any] = {}
        for index, batch in enumerate(self.batches):
            destination[f"{prefix}batch_{index}"] = batch
        for name, statistics in self.statistics.items():
            for field, value in vars(statistics).items():
                if isinstance(value, Tensor):
                    destination[f"{prefix}{_STATISTICS}.{name}.{field}"] = value
                else:
                    numbers.setdefault(name, {})[field] = value
        destination[prefix + EXTRA] = note({"batches": len(self.batches), _STATISTICS: numbers})

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take over images and statistics, however many there are."""
        if prefix + EXTRA not in state_dict:
            missing_keys.append(prefix + EXTRA)
            return
        like = self.batches[0] if self.batches else None
        device = like.device if like is not None else _device_of(self.statistics)
        try:
            extra = noted(state_dict[prefix + EXTRA])
            batches = [state_dict[f"{prefix}batch_{index}"].clone() for index in range(extra["batches"])]
            found = {name: ActivationStatistics(name) for name in extra[_STATISTICS]}
            for name, numbers in extra[_STATISTICS].items():
                vars(found[name]).update(numbers)
                start = f"{prefix}{_STATISTICS}.{name}."
                for key, value in state_dict.items():
                    if key.startswith(start) and "." not in key.removeprefix(start):
                        vars(found[name])[key.removeprefix(start)] = value.clone().to(device)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            error_msgs.append(f"'{prefix}': calibration images and statistics are damaged: {error!r}")
            return
        self.batches = [batch.to(device) if like is None else batch.to(like) for batch in batches]
        self.statistics = found


def _device_of(statistics: Mapping[str, ActivationStatistics]) -> torch.device:
    return next((one.maximum.device for one in statistics.values()), torch.device("cpu"))
