"""A matrix bounds the threads of its jobs, and gives them back."""

import contextlib

import pytest
import torch

from benchmarks.cells import expand
from benchmarks.errors import MatrixError
from benchmarks.execution.jobs import Job, run_job
from benchmarks.execution.threads import at_most
from benchmarks.matrix import load


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("most", "has"), [(None, 3), (1, 1), (2, 2), (3, 3), (8, 3)])
def test_no_more_than_asked_and_no_more_than_there_are(three_threads, most, has):
    with contextlib.suppress(KeyError), at_most(most):
        assert torch.get_num_threads() == has
        raise KeyError
    assert torch.get_num_threads() == 3


def test_jobs_of_all_parts_of_a_matrix_have_the_threads_that_it_says(
    three_threads, tiny, write_matrix, tmp_path, monkeypatch
):
    where = {key: tiny[key] for key in ("datasets", "networks")}
    also = {**where, "recipes": ["maxnorm"]}, {**where, "recipes": ["ptq"], "trainer": {"threads": 2}}
    matrix = load(write_matrix({**tiny, "recipes": ["opi"], "trainer": {"threads": 1}, "also": list(also)}))
    seen = {}

    def looks(job, claim=None):
        seen[job.cell.recipe.label, job.train] = torch.get_num_threads()
        raise ValueError

    monkeypatch.setattr("benchmarks.execution.jobs._train", looks)
    monkeypatch.setattr("benchmarks.execution.jobs._claimed", looks)
    for cell in expand(matrix, None):
        for train in (True, False):
            assert run_job(Job(cell, tmp_path, train)).status == "failed"
    assert seen == {
        (label, train): threads
        for label, threads in (("opi", 1), ("maxnorm", 1), ("ptq", 2))
        for train in (True, False)
    }


@pytest.mark.parametrize("wrong", [0, -1, "two"])
def test_what_is_no_number_of_threads_is_refused(tiny, write_matrix, wrong):
    with pytest.raises(MatrixError, match=r"trainer\.threads"):
        load(write_matrix({**tiny, "trainer": {"threads": wrong}}))
