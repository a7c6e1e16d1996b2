"""The table of coverage: rows are kept and not measured again, and stand between their marks in a page."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.zoo import __main__ as command
from benchmarks.zoo import row, table
from benchmarks.zoo.published import NETWORKS, Published, settled


def tiny() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(4, 5),
    )


def refused() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.FractionalMaxPool2d(2, output_size=2))


TINY = {"tiny": Published(tiny, 8, 4), "refused": Published(refused, 8, 4)}


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "NETWORKS", TINY)
    monkeypatch.setattr(row, "TIME_STEPS", (1, 8))
    monkeypatch.setattr(table, "TIME_STEPS", (1, 8))

    def call(*arguments: str) -> Path:
        monkeypatch.setattr(sys, "argv", ["zoo", *arguments, "--rows", str(tmp_path / "rows.jsonl")])
        command.main()
        return tmp_path

    return call


def test_rows_are_measured_once_and_written_between_marks(run, tmp_path: Path, monkeypatch, capsys) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    run("tiny", "refused", "--page", str(page))
    rows = row.kept_rows(tmp_path / "rows.jsonl")
    assert rows["tiny"].verdict == "spiking"
    for distances in rows["tiny"].distances.values():
        assert distances[1] < distances[0]
    assert "1 operation(s) have no spiking counterpart" in rows["refused"].verdict
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{table.END}\nafter\n")
    assert "old" not in text
    assert "| tiny | 8 | spiking |" in text
    monkeypatch.setattr(command, "measured", lambda *_: pytest.fail("measured again"))
    run("tiny")
    assert "| tiny | 8 | spiking |" in capsys.readouterr().out


def test_a_page_without_marks_and_unknown_names_are_refused(run, tmp_path: Path, capsys) -> None:
    (tmp_path / "page.md").write_text("nothing here")
    with pytest.raises(ValueError, match="has no place for the table"):
        table.write_into(tmp_path / "page.md", [])
    with pytest.raises(SystemExit):
        run("unknown")
    assert "choose among tiny, refused" in capsys.readouterr().err


def test_batch_norms_know_their_images_and_no_last_layer_is_zero() -> None:
    network, images = tiny(), torch.randn(6, 3, 8, 8)
    nn.init.zeros_(network[5].weight)
    settled(network, images)
    given = network[0](images)
    torch.testing.assert_close(network[1].running_mean, given.mean((0, 2, 3)))
    assert network[5].weight.any()
    assert not network.training


def test_every_network_of_the_table_is_named_once() -> None:
    families = ("efficientnet", "convnext", "vit", "swin", "swin_v2", "maxvit", "mnasnet", "regnet_y", "fcos")
    for family in families:
        assert any(name.startswith(family) for name in NETWORKS), family
