"""What has to be typed to measure a cell again: its commit, its matrix and the command.

A record's configuration determines its cell, so a matrix of that one cell can be written from it; running it
gives a record of the same id.
"""

from __future__ import annotations

import shlex
from typing import Any

from leaderboard.files.yaml_files import yaml_text
from leaderboard.records.record import Record
from leaderboard.repository import REPOSITORY

FILE = "cell.yaml"
_AXES = ("version", "task", "ann", "recipe", "time_steps", "seed")  # all else in a configuration: evaluation


def reproduction(record: Record) -> str:
    """Shell commands that measure the cell of a record again: on today's source, then on the source that did.

    Where the configuration is not one that matrices give, they run the whole matrix by its name.
    """
    lines = [
        f"git clone {REPOSITORY} && cd {REPOSITORY.rsplit('/', 1)[1]}",
        "python -m pip install .",
        *_needs(record),
        f"spikemark reproduce {record.cell_id} --data-root DATA",
    ]
    return "\n".join([*lines, "", *by_hand(record)])


def by_hand(record: Record) -> list[str]:
    """The same without the record: its commit, and a matrix of the one cell."""
    origin = record.provenance
    lines = ["# By hand, with the source that measured it:"]
    if origin.git_commit:
        changed = "  # with changes that were not committed" if origin.git_dirty else ""
        lines.append(f"git checkout {shlex.quote(origin.git_commit)}{changed}")
    matrix = cell_matrix(record)
    if matrix is None:
        return [*lines, f"spikemark run {shlex.quote(record.matrix)}"]
    end = "END"
    while any(line == end for line in matrix.splitlines()):
        end += "_"
    lines += [f"cat > {FILE} <<'{end}'", matrix.rstrip(), end]
    return [*lines, f"spikemark run {FILE} --data-root DATA"]


def _needs(record: Record) -> list[str]:
    """Comments: the data set, and where the trained network comes from."""
    config = record.config.get("ann")
    ann: dict[str, Any] = config if isinstance(config, dict) else {}
    dataset = ann.get("dataset")
    options: dict[str, Any] = dataset if isinstance(dataset, dict) else {}
    path = f", in DATA/{options['path']}" if "path" in options else ""
    lines = [f"# data set: {record.dataset} ({options.get('name', 'unknown')}){path}"]
    if prints := record.provenance.data.get("test"):
        lines.append(f"#   fingerprint of its test images: {prints}")
    digest = record.ann.checkpoint_sha256
    named = record.provenance.checkpoint
    if named is not None:
        lines.append(f"# network: the file DATA/{named}")
    elif "training" in ann:
        lines.append("# network: the cell trains it, as its configuration says")
    elif "checkpoint_sha256" in ann:
        lines.append(f"# network: the checkpoint that the matrix {record.matrix} names")
    else:
        lines.append("# network: weights that come with a package, as its configuration says")
    return [_comment(line) for line in [*lines, f"#   sha256 {digest}"]]


def _comment(line: str) -> str:
    """One line, whatever names hold: what is pasted must not run."""
    return "".join(sign if sign.isprintable() else "?" for sign in line)


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
        named = record.provenance.checkpoint
        network["checkpoint"] = named or f"CHECKPOINT with sha256 {origin['checkpoint_sha256']}"
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
