"""Models by name: what each says of itself, and what is refused."""

import subprocess
import sys

import pytest

import energy
from energy import UnknownModelError, by_name, models


def test_every_model_says_what_it_assumes_and_leaves_out() -> None:
    assert next(iter(models())) == energy.REFERENCE == "operations"
    for name, model in models().items():
        assert model.name == name
        assert model.summary
        assert "doi" in model.source
        assert model.leaves_out
        assert by_name(name) is model


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("operation", "did you mean 'operations'"),
        ("", "no energy model ''"),
        ("memory:width=3", "no assumption 'width'; it has membrane"),
        ("memory:membrane=sometimes", "events or clocked, not 'sometimes'"),
        ("memory:weight_bits=16", "8 or 32, not '16'"),
        ("memory:access_bits=0", "positive number, got '0'"),
        ("memory:access_bits=-64", "positive number"),
        ("memory:access_bits=6.5", "positive number"),
        ("memory:access_bits=", "positive number"),
        ("operations:ac_pj=nan", "positive number"),
        ("operations:ac_pj=inf", "positive number"),
        ("memory:name=x", "no assumption 'name'"),
        ("memory:", "no assumption ''"),
    ],
)
def test_a_name_that_means_nothing_is_refused(name: str, said: str) -> None:
    with pytest.raises(UnknownModelError, match=said.replace("(", r"\(")):
        by_name(name)


def test_a_name_can_change_assumptions() -> None:
    found = by_name("memory:access_bits=64,membrane=clocked,skip_zeros=True")
    assert (found.access_bits, found.membrane, found.skip_zeros) == (64, "clocked", True)
    assert found.name == "memory:access_bits=64,membrane=clocked,skip_zeros=True"
    assert by_name("memory").access_bits == 32


def test_the_models_need_nothing_but_the_standard_library() -> None:
    code = "import sys, energy; print(sorted({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
