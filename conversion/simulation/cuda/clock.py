"""How long chunks take on a GPU, without waiting for it."""

from __future__ import annotations

from typing import Any

import torch


class EventClock:
    """Events of the GPU around each chunk; times are known when it has passed them.

    Args:
        device: whose events.
        event: makes one.
    """

    def __init__(self, device: torch.device, event: Any = torch.cuda.Event) -> None:
        self._device = device
        self._event = event
        self._begun: Any = None
        self._pending: list[tuple[Any, Any, float]] = []

    def begin(self) -> None:
        """A chunk is about to be launched."""
        self._begun = self._marked()

    def end(self, operations: float) -> None:
        """All of it has been launched: so many multiply-accumulates of the ANN, times steps."""
        self._pending.append((self._begun, self._marked(), operations))

    def finished(self) -> list[tuple[float, float]]:
        """(seconds, operations) of chunks that the GPU has done since this was last asked."""
        done = [entry for entry in self._pending if entry[1].query()]
        self._pending = [entry for entry in self._pending if entry not in done]
        return [(begun.elapsed_time(ended) / 1000, operations) for begun, ended, operations in done]

    def _marked(self) -> Any:
        event = self._event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device) if self._device.type == "cuda" else None)
        return event
