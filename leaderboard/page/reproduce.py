"""What has to be typed to measure a cell again: its commit, its matrix and the command.

A record's configuration determines its cell, so a matrix of that one cell can be written from it; running it
gives a record of the same id.
"""

from __future__ import annotations

import shlex
from typing import Any

from leaderboard.files.yaml_files import yaml_text
from leaderboard.records.record import Record

FILE = "cell.yaml"
_AXES = ("version", "task", "ann", "recipe", "time_steps", "seed")  # all else in a configuration: evaluation


def reproduction(record: Record) -> str:
    """Shell commands that measure the cell of a record again.

    Where the configuration is not one that matrices give, they run the whole matrix by its name.
    """
    origin = record.provenance
    lines = []
    if origin.git_commit:
        changed = "  # with changes that were not committed" if origin.git_dirty else ""
        lines.append(f"git checkout {shlex.quote(origin.git_commit)}{changed}")
    matrix = cell_matrix(record)
    if matrix is None:
        return "\n".join([*lines, f"spikemark run {shlex.quote(record.matrix)}"])
    end = "END"
    while any(line == end for line in matrix.splitlines()):
        end += "_"
    lines += [f"cat > {FILE} <<'{end}'", matrix.rstrip(), end]
    return "\n".join([*lines, f"spikemark run {FILE} --data-root DATA"])


def cell_matrix(record: Record) -> str | None:
    """YAML of a matrix with this one cell, or None where the configuration does not say enough."""
    match record.config:
        case {
            "ann": {"dataset": {"name": str()}, "network": {"name": str()}},
            "recipe": {"name": str()},
            "time_steps": list(time_steps),
            "seed": int(seed),
        }:
            origin: dict[str, Any] = record.config["ann"]
        case _:
            return None
    network: dict[str, Any] = {**origin["network"], "label": record.network}
    if "checkpoint_sha256" in origin:
        network["checkpoint"] = f"CHECKPOINT with sha256 {origin['checkpoint_sha256']}"
    parts = {kind: part for kind, part in record.config["recipe"].items() if kind != "name"}
    recipe: dict[str, Any] = {
        "preset": record.config["recipe"]["name"],
        **parts,
        "label": record.method.label,
    }
    if record.tuning is not None:
        recipe["tuning"] = record.tuning.model_dump()
    matrix: dict[str, Any] = {
        "name": f"cell-{record.cell_id}",
        "task": record.task,
        "datasets": [{**origin["dataset"], "label": record.dataset}],
        "networks": [network],
        "recipes": [recipe],
        "time_steps": time_steps,
        "seeds": [seed],
        "evaluation": {key: value for key, value in record.config.items() if key not in _AXES},
    }
    if "training" in origin:
        matrix["training"] = origin["training"]
    return yaml_text(matrix, width=100)
