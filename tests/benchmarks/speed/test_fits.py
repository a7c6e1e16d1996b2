from itertools import count

import pytest
import torch
from torch import nn

from benchmarks.speed.fits import Fit, fits_of, table_of
from conversion.convert import prepare


def test_each_fit_is_timed_once_and_simulating_is_scaled_to_1000_images() -> None:
    """A clock that ticks once whenever it is read: one second a fit, one for the images."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()
    prepared = prepare(network, torch.randn(8, 3, 6, 6))
    ticks = count()
    found = fits_of(prepared, "spikemark-binary", (2, 3), torch.randn(4, 3, 6, 6), lambda: float(next(ticks)))
    assert [(fit.recipe, fit.time_steps) for fit in found] == [
        ("spikemark-binary", 2),
        ("spikemark-binary", 3),
    ]
    assert [fit.fitting for fit in found] == [1.0, 1.0]
    assert {fit.simulating for fit in found} <= {250.0}
    assert found[0].ratio == pytest.approx(1 / 250)


def test_one_row_for_each_recipe() -> None:
    table = table_of([Fit("a", 2, 1.0, 4.0), Fit("b", 2, 3.0, 2.0), Fit("b", 8, 8.0, 2.0)], "title")
    columns = [list(column.cells) for column in table.columns]
    assert columns[0] == ["a", "b"]
    assert columns[1] == ["1.00 / 4.00 = 0.25", "3.00 / 2.00 = 1.50"]
    assert columns[2] == ["-", "8.00 / 2.00 = 4.00"]
