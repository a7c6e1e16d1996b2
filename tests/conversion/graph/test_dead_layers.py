import warnings

import pytest
import torch
from torch import Tensor, nn

from conversion import convert


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.alive, self.dead, self.constant = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return (self.alive(x) + self.dead(x * 0 - 1) + self.constant(x * 0 + 2)).flatten(1)


def test_layers_that_never_vary_are_named_in_one_warning() -> None:
    images = torch.randn(6, 2, 3, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        convert(Mixed(), "percentile", list(images.split(2)))
    found = [str(w.message) for w in caught if "answer the same to every" in str(w.message)]
    assert len(found) == 1
    assert "dead, constant;" in found[0]
    assert "alive" not in found[0]


@pytest.mark.parametrize("sizes", [[1], [5]])
def test_what_varies_only_between_images_is_alive(sizes: list[int]) -> None:
    # The same value all over one image, another one in the next; and a single image says nothing.
    images = torch.arange(1.0, sum(sizes) + 1).view(-1, 1, 1, 1).expand(-1, 2, 3, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        convert(nn.Sequential(nn.ReLU(), nn.Flatten()), "maxnorm", images)
    assert [str(w.message) for w in caught] == []
