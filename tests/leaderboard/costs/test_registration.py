"""An energy model that is known to its registration alone stands in every table, with its own words."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from energy import registry
from energy.counts import Network, Quantised, Run
from energy.model import Breakdown, EnergyModel
from leaderboard.page import html
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record
from leaderboard.reports.entries import entries
from leaderboard.reports.latex import to_latex
from leaderboard.reports.markdown import markdown_report
from leaderboard.reports.tables import render
from leaderboard.store.results import ResultStore

Make = Callable[..., Record]


@dataclass(frozen=True)
class Sparks(EnergyModel):
    source: ClassVar[str] = "An almanac of sparks, 1752"
    leaves_out: ClassVar[str] = "thunder"

    name: str = "sparks"
    summary: str = "one spark a spike, eight a MAC"
    spark_pj: float = 0.5

    def ann(self, network: Network, *, skip_zeros: bool | None = None) -> dict[str, Breakdown]:
        return {layer.name: Breakdown(operations=8 * self.spark_pj * layer.macs) for layer in network.layers}

    def quantised(
        self, network: Network, run: Quantised, *, skip_zeros: bool | None = None
    ) -> dict[str, Breakdown]:
        return self.ann(network)

    def spiking(self, network: Network, run: Run) -> dict[str, Breakdown]:
        return {name: Breakdown(neurons=self.spark_pj * spikes) for name, spikes in run.spikes.items()}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._MODELS, "sparks", Sparks())


def test_a_registered_model_stands_in_every_table_and_explains_itself(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore(tmp_path)
    store.write(make({1: 0.5, 2: 0.9, 4: 0.9}))  # which knows nothing of sparks
    boards = rank(store.load().records)
    # Parity at t = 2: 100 spikes, half a picojoule each; the ANN has 1000 MACs, 4 pJ each.
    expected = 0.5 * 100 / 4000
    assert boards[0].rows[0].energy_at_parity["sparks"] == pytest.approx(expected)
    (entry,) = entries(boards)
    assert entry["energy_at_parity_sparks"] == pytest.approx(expected)
    console = Console(width=200, record=True, file=io.StringIO())
    render(boards, console, model="sparks")
    assert "0.0125" in console.export_text()
    assert "sparks" in markdown_report(boards, command="x", model="sparks")
    assert "0.0125" in to_latex(boards, "sparks")
    monkeypatch.setattr(html, "plotly_javascript", lambda: "")
    page = html.page_html(boards, model="sparks")
    assert "<dt>sparks</dt><dd>one spark a spike, eight a MAC. Left out: thunder. An almanac" in page
    assert '"models":["operations"' in page
    assert '"sparks"' in page
