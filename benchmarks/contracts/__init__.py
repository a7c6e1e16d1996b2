"""What every recipe, network and data set promises: laws that can be run on ours and on yours.

A law is a function that takes what it judges and raises AssertionError, with the reason, where it is
broken; its docstring is the promise. The test of a plug-in is a loop over them:

    import pytest
    from benchmarks.contracts import RECIPE_LAWS

    @pytest.mark.parametrize("law", RECIPE_LAWS)
    def test_keeps_the_contract(law):
        law("my-method")

`spikemark check NAME` runs them from the command line. Laws of networks take (name, options), laws of data
sets (name, options, data root).
"""

from benchmarks.contracts.datasets import DATASET_LAWS
from benchmarks.contracts.networks import NETWORK_LAWS
from benchmarks.contracts.recipes import RECIPE_LAWS

__all__ = ["DATASET_LAWS", "NETWORK_LAWS", "RECIPE_LAWS"]
