"""How many CPU threads some work has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Work with no more than some of PyTorch's threads, and give the others back at the end.

    Args:
        threads: how many; None: all that there are.
    """
    before = torch.get_num_threads()
    if threads is None or threads >= before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
