"""What records say of trained networks: which network an id stands for, and the hash of its weights.

The id of a network is the hash of its configuration, which the configuration of every cell on it repeats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from leaderboard.records.record import Record, content_hash


@dataclass
class NamedNetwork:
    """One network, as records name it."""

    config: dict[str, Any]  # data set, network with its options, training
    stated: dict[str, str] = field(default_factory=dict)  # sha256 of its weights -> a cell that says so

    def contradiction(self, sha256: str) -> str | None:
        """Why weights of this hash are not those that were measured, or None."""
        others = [cell for other, cell in self.stated.items() if other != sha256]
        if not others:
            return None
        return f"its sha256 is not the one that the record of cell {others[0]} states for its network"


class NamedNetworks(dict[str, NamedNetwork]):
    """Id -> the network; filled record by record."""

    def add(self, record: Record) -> None:
        """Take over what a sound record says of its network, and of those that its training began with."""
        config = record.config.get("ann")
        stated: dict[str, str] = {record.ann.checkpoint_sha256: record.cell_id}
        while isinstance(config, dict):
            found = self.setdefault(content_hash(config), NamedNetwork(config))
            for sha256, cell in stated.items():
                found.stated.setdefault(sha256, cell)
            config, stated = config.get("start"), {}  # nobody says the hash of what training began with
