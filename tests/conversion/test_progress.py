"""A bar beside a simulation: off by default, no figure changes, and it ends where it should."""

import inspect

import pytest
import torch
import tqdm.auto
from torch import nn

from conversion import convert, recipe_from, recipe_names

PER_LENGTH = next(name for name in recipe_names() if recipe_from(name).needs_time_steps)
WHOLE = next(name for name in recipe_names() if getattr(recipe_from(name).neuron, "whole_window", False))
KINDS = ["opi", "ptq", PER_LENGTH, WHOLE, {"preset": "opi", "exit": "entropy"}]


@pytest.fixture
def x():
    return torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def converted(recipe, x, **options):
    torch.manual_seed(0)
    ann = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)).eval()
    return convert(ann, recipe, x, time_steps=(2, 5), **options)


@pytest.fixture
def bars(monkeypatch):
    """Every bar that was made: each position it had, its total, whether it is closed."""
    made = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.positions = []
            made.append(self)

        def update(self, n=1):
            super().update(n)
            self.positions.append(self.n)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    return made


@pytest.mark.parametrize("recipe", KINDS, ids=str)
def test_read_outs_are_the_same_and_the_bar_ends_full(recipe, x, bars):
    snn = converted(recipe, x)
    plain = list(snn.simulate(x, (2, 5)))
    assert bars == []
    shown = list(snn.simulate(x, (2, 5), progress=True))
    for one, other in zip(plain, shown, strict=True):
        assert one.t == other.t
        assert torch.equal(one.output, other.output)
        assert one.activity.spikes == other.activity.spikes
    (bar,) = bars
    assert bar.n == bar.total == (7 if recipe in (PER_LENGTH, WHOLE) else 5)
    assert bar.positions == sorted(bar.positions)
    assert bar.disable


def test_it_moves_with_chunks_and_with_groups_of_images(x, bars):
    snn = converted("opi", x)
    list(snn.simulate(x, 8, chunk=2, progress=True))
    assert {2, 4, 6, 8} <= set(bars[0].positions)
    snn.memory_mib = 0.02
    list(snn.simulate(x.repeat(8, 1, 1, 1), 8, progress=True))
    assert len(set(bars[1].positions)) > 2
    assert bars[1].n == 8


def test_no_images_fill_it_too(x, bars):
    list(converted("opi", x).simulate(x[:0], (2, 5), progress=True))
    assert bars[0].n == 5


def test_it_stays_a_generator_that_may_stop_early(x, bars):
    snn = converted("opi", x)
    run = snn.simulate(x, (2, 50), progress=True)
    assert inspect.isgenerator(run)
    assert bars == []  # nothing runs before it is asked for
    assert next(run).t == 2
    list(snn.simulate(x, 30))  # another simulation between read-outs moves no bar
    assert bars[0].n == 2
    run.close()
    assert bars[0].disable
    assert bars[0].n == 2


def test_the_bar_goes_to_the_terminals_error_stream(x, capsys):
    list(converted("opi", x).simulate(x, (2, 5), progress=True))
    out, err = capsys.readouterr()
    assert out == ""
    assert "simulate" in err
    assert "5/5" in err
    assert "t = 5" in err


def test_a_glance_in_a_notebook_says_what_the_text_says_escaped(x):
    snn = converted("opi", x)
    shown = snn._repr_html_()
    assert shown.startswith("<table>")
    assert len(shown) < 2000
    for word in ("opi", "1 of neurons, 2 with weights", snn.audit.verdict):
        assert word in shown
        assert word in repr(snn)
    object.__setattr__(snn.plan.method, "label", "<script>&")  # free text
    assert "<script>&" in repr(snn)
    assert "&lt;script&gt;&amp;" in snn._repr_html_()
