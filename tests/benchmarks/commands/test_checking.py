"""What `spikemark check-results` says of networks that a results folder keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.commands.checking import Finding, check

NAN = torch.full((3,), torch.nan)


def keep(results: Path, content: Any, name: str = "network.pt") -> Path:
    path = results / "anns" / ("a" * 16) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def damaged(results: Path) -> list[Finding]:
    return [found for found in check(results).findings if found.damaged]


def endless() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["state_dict"] = content
    return content


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (NAN, "a.weight is NaN or infinite"),
        (torch.tensor([1.0, -torch.inf], dtype=torch.bfloat16), "a.weight is NaN or infinite"),
        (torch.zeros(1).expand(10**6, 10**6), "a.weight is said to have 1000000000000 values"),
        (torch.zeros(4, device="meta"), "a.weight is no dense tensor"),
    ],
)
def test_weights_that_no_training_writes_are_named(tmp_path: Path, tensor: Any, what: str) -> None:
    path = keep(tmp_path, {"state_dict": {"a.bias": torch.zeros(3), "a.weight": tensor}})
    (found,) = damaged(tmp_path)
    assert found.path == path
    assert found.what.startswith(what)
    assert "remove it" in found.mend


@pytest.mark.parametrize("content", [{"state_dict": {"a": torch.ones(3), "n": torch.tensor(3)}}, endless()])
def test_sound_weights_are_counted(tmp_path: Path, content: Any) -> None:
    keep(tmp_path, content)
    checked = check(tmp_path)
    assert (checked.findings, checked.sound) == ([], {"trained networks": 1})


def test_a_training_that_is_not_over_may_hold_anything(tmp_path: Path) -> None:
    keep(tmp_path, {"state_dict": {"a": NAN}}, "last.ckpt")
    assert check(tmp_path).sound == {"checkpoints": 1}


def test_a_network_with_other_weights_than_its_record_states_is_named(tools: Any, tmp_path: Path) -> None:
    tools.run_matrix(tools.matrix_of(seeds=[0], recipes=["opi"]), tmp_path)
    assert check(tmp_path).findings == []
    (path,) = tmp_path.glob("anns/*/network.pt")
    content = torch.load(path, weights_only=True)
    first = next(iter(content["state_dict"].values()))
    first += 1
    torch.save(content, path)
    (found,) = check(tmp_path).findings
    (record,) = tmp_path.glob("records/*.json")
    assert (found.path, found.damaged) == (path, False)
    assert f"the record of cell {record.stem} states" in found.what
