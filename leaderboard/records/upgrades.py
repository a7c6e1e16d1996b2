"""Records of older schema versions, brought up to date one version at a time while they are read.

A step takes the JSON of one version and returns that of the next; it may fill in what can be derived and
must say `None` for what nobody measured. The files themselves stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from energy.functions import WORK, Work, plain_name

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


def _name_functions(payload: Payload) -> Payload:
    """Schema 4 says which functions a network evaluates, and models with memory charge each by its name.

    The report of the conversion names them, and read-outs count their values. Figures that charged all of
    them alike, or none, are left out: they are computed anew from the counts.
    """
    try:
        functions = _functions_of(payload)
        if functions == []:
            return {**payload, "functions": []}
        ann = {**payload["ann"], "energy_pj": _of_operations(payload["ann"]["energy_pj"])}
        curve = [{**point, "energy_pj": _of_operations(point["energy_pj"])} for point in payload["curve"]]
    except (KeyError, TypeError, AttributeError, ArithmeticError):  # no record; validation says what is wrong
        return payload
    return {**payload, "functions": functions, "ann": ann, "curve": curve}


def _functions_of(payload: Payload) -> list[Payload] | None:
    """Functions of a record before schema 4; None: it has some, and nobody counted them."""
    lines = [line.partition(" -> ")[0].rpartition(": ") for line in payload["provenance"]["conversion"]]
    operations = {name: operation for name, _, operation in lines}
    counted = next((point for point in payload["curve"] if point.get("functions")), None)
    if counted is None:  # recipes that count none cannot convert them; the quantised ANN runs them uncounted
        named = [WORK.get(plain_name(operation), Work()) for operation in operations.values()]
        quantised = payload["method"]["alphabet"] == "none"
        return None if quantised and any(work.adds or work.multiplies for work in named) else []
    if not operations.keys() >= counted["functions"].keys():
        return None
    return [
        {"name": name, "operation": operations[name], "values": values / counted["t_total"]}
        for name, values in counted["functions"].items()
    ]


def _of_operations(energies: Payload) -> Payload:
    return {model: energy for model, energy in energies.items() if model in ("operations", "operations-int8")}


STEPS: dict[int, Callable[[Payload], Payload]] = {
    1: _ask_for_nondeterminism,
    2: _leave_counts_out,
    3: _name_functions,
}
