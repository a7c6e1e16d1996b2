"""Memory is used again when nothing refers to it, and only then."""

import torch

from conversion.simulation.compiled.buffers import Buffers

SHAPE = (2**10, 2**9)  # of bytes: half a megabyte


def test_memory_returns_when_the_last_view_is_gone():
    buffers = Buffers()
    first = buffers.empty(SHAPE, torch.int8)
    place, view = first.data_ptr(), first[3:].t()
    del first
    second = buffers.empty(SHAPE, torch.int8)
    assert second.data_ptr() != place  # the view is still there
    del view
    third = buffers.empty((2**7, 2**10), torch.float32)  # as many bytes
    assert third.data_ptr() == place
    assert third.shape == (2**7, 2**10)
    assert place % 64 == second.data_ptr() % 64 == 0
    third.fill_(1.0)
    second.fill_(2)
    assert float(third.sum()) == 2**17


def test_no_more_is_kept_than_allowed():
    buffers = Buffers(most_bytes=2**20)
    lent = [buffers.empty(SHAPE, torch.int8) for _ in range(5)]
    del lent
    assert buffers._kept == 2**20
    assert sum(memory.nbytes for free in buffers._free.values() for memory in free) == 2**20


def test_small_and_empty_tensors_are_pytorchs_own():
    buffers = Buffers()
    assert buffers.empty((0, 5), torch.float32).shape == (0, 5)
    assert buffers.empty((3,), torch.int8).shape == (3,)
    assert not buffers._free
