"""SynOps and MACs of random networks, against units that spike one by one."""

from __future__ import annotations

import warnings

import torch

from conversion.convert import prepare
from conversion.costs.synapses import connectivity


def test_synapses_are_those_of_units_that_spike_one_by_one(holds, drawn, brute_force) -> None:
    def every_fan_out(network) -> bool | None:
        truth = brute_force.truth_of(network)
        images = drawn.images_for(network, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plan = prepare(network.float(), images).plan("maxnorm")
        wiring = connectivity(plan, images[:1])
        found = {int(layer.name.split(".")[1]) + 1: layer for layer in wiring.layers}
        if set(found) - set(truth.drives):
            return False  # sums of products, which count as layers
        assert set(found) == set(truth.drives)
        assert {number: layer.drive for number, layer in found.items()} == truth.drives
        assert {number: layer.macs for number, layer in found.items()} == truth.macs
        reached = {
            (number, int(source.split(".")[1]) + 1): wiring.reached(layer, source)
            for number, layer in found.items()
            for source in layer.fanout
        }
        assert set(reached) == set(truth.fanout)
        for key, expected in truth.fanout.items():
            assert torch.equal(reached[key].expand_as(expected), expected), key
        return None

    holds(every_fan_out)
