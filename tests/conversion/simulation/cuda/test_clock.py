"""Times of chunks on a GPU become known later, without waiting."""

import torch

from conversion.simulation.backend import WallClock
from conversion.simulation.cuda.clock import EventClock


class Event:
    """One of a GPU that has passed only the first few."""

    passed, made = 0, 0

    def __init__(self, enable_timing):
        assert enable_timing
        self.number = Event.made
        Event.made += 1

    def record(self, stream):
        pass

    def query(self):
        return self.number < Event.passed

    def elapsed_time(self, other):
        return 1000.0 * (other.number - self.number)


def test_only_chunks_that_are_done_have_a_time():
    Event.passed = Event.made = 0
    clock = EventClock(torch.device("cpu"), Event)
    for operations in (10, 20, 30):
        clock.begin()
        clock.end(operations)
    assert clock.finished() == []
    Event.passed = 4
    assert clock.finished() == [(1.0, 10), (1.0, 20)]
    assert clock.finished() == []
    Event.passed = 6
    assert clock.finished() == [(1.0, 30)]


def test_a_processor_is_done_when_the_call_returns():
    clock = WallClock()
    clock.begin()
    clock.end(7)
    ((seconds, operations),) = clock.finished()
    assert operations == 7
    assert seconds >= 0
    assert clock.finished() == []
