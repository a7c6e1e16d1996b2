"""Simulations of random networks: kernels against plain operations, chunks, cut batches, counts, limits.

Where two simulations must agree to the last spike, weights, images and thresholds are short binary
fractions, so that all arithmetic is exact in float32.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from conversion import Converted, convert
from conversion.errors import MemoryBudgetError
from conversion.simulation.backend import Schedule
from conversion.simulation.choice import use
from conversion.simulation.compiled.native import has_synapses, has_tables, kernel
from conversion.simulation.compiled.schedule import fits_tables, planes_for

STEPS = (1, 3, 8)
WIDE = {"exact": True, "widths": (16, 32, 16, 4), "spaces": (2, 2, 2, 1, 3)}
RECIPES: tuple[Any, ...] = (
    "opi",
    "burst",
    {"preset": "spicalib", "neuron": {"allowance": 2}},
    {"preset": "snm", "neuron": {"gamma": 2, "lower": 0.0, "back": 3}, "pooling": "lateral-inhibition"},
    {"preset": "burst", "pooling": "gate"},
)
needs_kernel = pytest.mark.skipif(kernel() is None, reason="no C compiler on this machine")


def converted(network, images, recipe: Any = None) -> Converted:
    """With thresholds that are powers of two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers that always answer the same
        snn = convert(network.float(), recipe or RECIPES[len(network.steps) % len(RECIPES)], images)
    for index, threshold in enumerate(snn.thresholds.values()):
        threshold.fill_((0.5, 2.0, 1.0)[index % 3])
    return snn


def compare(some: list, others: list) -> None:
    for ours, theirs in zip(some, others, strict=True):
        assert ours.activity.spikes == theirs.activity.spikes
        assert ours.activity.synops == theirs.activity.synops
        for one, two in zip(ours.output, theirs.output, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


@needs_kernel
@pytest.mark.parametrize("tables", [False, True])
def test_kernels_agree_with_plain_operations(holds, drawn, tables: bool) -> None:
    if tables and not (has_tables() and has_synapses()):
        pytest.skip("no table kernel on this machine")
    tried = through = 0

    def kernels_and_plain_operations(network) -> bool | None:
        nonlocal tried, through
        images = drawn.images_for(network, 5)
        snn = converted(network, images)
        looks_up = tables and fits_tables(len(images), planes_for(snn.fitted.neurons))
        with use("compiled", Schedule(4, 5, "tables" if looks_up else "bytes")):
            fast = list(snn.simulate(images, STEPS))
        tried += 1
        through += fast[-1].ran.layers.get("tables" if tables else "bytes", 0) > 0
        with use("pytorch"):
            plain = list(snn.simulate(images, STEPS))
        assert set(plain[-1].ran.layers) <= {"pytorch"}
        compare(fast, plain)

    holds(kernels_and_plain_operations, share=0.25, **WIDE)
    print(f"{through} of {tried} through the kernel")
    assert through >= tried / 4


def test_chunks_do_not_matter(holds, drawn) -> None:
    def chunks(network) -> None:
        images = drawn.images_for(network, 3)
        snn = converted(network, images)
        whole = list(snn.simulate(images, STEPS))
        for chunk in (1, 3):
            compare(list(snn.simulate(images, STEPS, chunk=chunk)), whole)

    holds(chunks, share=0.2, **WIDE)


def test_cut_batches_do_not_matter(holds, drawn) -> None:
    def cut_batches(network) -> None:
        images = drawn.images_for(network, 5)
        snn = converted(network, images)
        whole = list(snn.simulate(images, STEPS))
        snn.memory_mib = 2.0**-8
        while True:
            try:
                cut = list(snn.simulate(images, STEPS))
                break
            except MemoryBudgetError:
                snn.memory_mib *= 1.5
        compare(cut, whole)
        snn.memory_mib = None
        with use(whole[-1].ran.backend, Schedule(2, 3, "bytes")):
            compare(list(snn.simulate(images, STEPS)), whole)

    holds(cut_batches, share=0.2, **WIDE)


def test_synops_are_spikes_times_synapses(holds, drawn, brute_force) -> None:
    def spikes_times_synapses(network) -> bool | None:
        network.record = True
        truth = brute_force.truth_of(network)
        images = drawn.images_for(network, 3)
        snn = converted(network, images, "burst")
        (readout,) = snn.simulate(images, (8,))
        layers = {int(name.split(".")[1]) + 1: synops for name, synops in readout.activity.synops.items()}
        if set(layers) - set(truth.drives):
            return False  # sums of products, which count as layers
        sent = dict(zip(network.outputs, readout.output, strict=True))
        expected = dict.fromkeys(truth.drives, 0.0)
        for (layer, source), fanout in truth.fanout.items():
            theta = snn.thresholds.get(f"ops.{source - 1}")
            if theta is None:
                return False  # what a pool sends may have several sizes
            spikes = (sent[source] * 8 / theta).round()
            frames = spikes.unflatten(0, (len(images), -1)).sum(0)
            expected[layer] += float((frames.double() * fanout).sum())
        assert layers == expected
        return None

    holds(spikes_times_synapses, share=0.3)


def test_outputs_approach_those_of_the_ann(holds, drawn) -> None:
    recipe = {"preset": "maxnorm", "pooling": "lateral-inhibition"}

    def limits(network) -> None:
        images = drawn.images_for(network, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            snn = convert(network.float(), recipe, images)
        expected = network(images)
        early, late = (readout.output for readout in snn.simulate(images, (64, 2048), chunk=128))
        for ours, sooner, truth in zip(late, early, expected, strict=True):
            error, before = (ours - truth).abs().max(), (sooner - truth).abs().max()
            assert error <= max(0.02 * truth.abs().max(), before / 8, 1e-4)

    holds(limits, share=0.1)
