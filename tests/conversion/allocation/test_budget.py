import itertools

import pytest
import torch

from conversion.allocation import budget as budget_module
from conversion.allocation.budget import Option, choose


def brute_force(options: list[list[Option]], budget: float) -> float:
    """Least loss over all combinations in the budget."""
    return min(
        sum(option.loss for option in taken)
        for taken in itertools.product(*options)
        if sum(option.cost for option in taken) <= budget
    )


def random_options(layers: int, most: int, whole: bool) -> list[list[Option]]:
    def number() -> float:
        return float(torch.randint(0, 6, ())) if whole else float(torch.rand(()))

    sizes = torch.randint(1, most + 1, (layers,)).tolist()
    return [[Option(number(), number() - 0.2) for _ in range(size)] for size in sizes]


@pytest.mark.parametrize("whole", [False, True], ids=["reals", "many ties"])
@pytest.mark.parametrize("seed", range(12))
def test_equals_exhaustive_search(seed: int, whole: bool) -> None:
    torch.manual_seed(seed)
    options = random_options(layers=1 + seed % 6, most=4, whole=whole)
    low = sum(min(o.cost for o in layer) for layer in options)
    high = sum(max(o.cost for o in layer) for layer in options)
    for share in (0.0, 0.2, 0.5, 0.9, 1.0):
        budget = low + share * (high - low)
        taken = [layer[i] for layer, i in zip(options, choose(options, budget), strict=True)]
        assert sum(o.cost for o in taken) <= budget + 1e-9
        assert sum(o.loss for o in taken) == pytest.approx(brute_force(options, budget + 1e-9))


def test_choices_are_in_the_order_of_layers() -> None:
    # Only one combination is affordable, and it is no palindrome.
    options = [[Option(1, 0), Option(9, -9)], [Option(9, -9), Option(1, 0)], [Option(9, 0), Option(1, 0)]]
    assert choose(options, 3) == [0, 1, 1]


def test_cheapest_where_nothing_fits() -> None:
    options = [[Option(3, 0), Option(2, 5)], [Option(7, 1), Option(8, 0)]]
    assert choose(options, 1) == [1, 0]


def test_many_choices_stay_within_the_budget_and_close_to_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    options = random_options(layers=12, most=5, whole=False)
    budget = sum(sum(o.cost for o in layer) / len(layer) for layer in options)
    exact = [layer[i] for layer, i in zip(options, choose(options, budget), strict=True)]
    monkeypatch.setattr(budget_module, "MOST_CHOICES", 200)
    rounded = [layer[i] for layer, i in zip(options, choose(options, budget), strict=True)]
    assert sum(o.cost for o in rounded) <= budget
    best, found = (sum(o.loss for o in taken) for taken in (exact, rounded))
    assert best - 1e-12 <= found <= best + 0.1


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one option"):
        choose([[Option(1, 1)], []], 3)
    with pytest.raises(ValueError, match="must not be negative"):
        choose([[Option(-1, 1)]], 3)
