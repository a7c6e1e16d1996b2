"""Records of older schema versions, brought up to date one version at a time while they are read.

A step takes the JSON of one version and returns that of the next; it may fill in what can be derived and
must say `None` for what nobody measured. The files themselves stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Payload = dict[str, Any]


def upgrade(payload: Payload, version: int, wanted: int) -> Payload:
    """The same record in the schema version `wanted`.

    Raises:
        KeyError: there is no step from some version in between.
        TypeError, AttributeError: the payload is no record of its version.
    """
    for step in range(version, wanted):
        payload = {**STEPS[step](payload), "schema_version": step + 1}
    return payload


def _ask_for_nondeterminism(payload: Payload) -> Payload:
    """Schema 2 says what may differ when a cell is run again."""
    return {**payload, "provenance": {**payload["provenance"], "nondeterministic": None}}


def _leave_counts_out(payload: Payload) -> Payload:
    """Schema 3 has sizes of layers, zeros of the ANN and bits of activations: counts that nobody took.

    Their absence says so. Energies of models that can do without are computed when the record is read.
    """
    return payload


STEPS: dict[int, Callable[[Payload], Payload]] = {1: _ask_for_nondeterminism, 2: _leave_counts_out}
