"""The model with memory against SpikingJelly's counter for Lemaire et al. 2022; `tox run -e crosscheck`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import energy
from conversion.costs.energy import network_of
from energy.model import total

counter = pytest.importorskip(
    "spikingjelly.activation_based.op_counter.analytical_energy",
    reason="`tox run -e crosscheck` installs SpikingJelly beside the tests",
)

pytestmark = pytest.mark.filterwarnings("ignore")
MEMORY = energy.by_name("memory")


def theirs(network: nn.Module, images: torch.Tensor):
    config = counter.LemaireEnergyConfig(strict=False)  # ReLU and Flatten cost nothing, there as here
    return counter.estimate_lemaire_energy(network, images, config=config)


def test_dense_layers() -> None:
    from conversion import convert

    ann = nn.Sequential(
        *(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 6, 3, stride=2, padding=1, bias=False), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(96, 5)),
    )
    images = torch.rand(1, 2, 8, 8)
    wiring = convert(ann, "opi", torch.rand(4, 2, 8, 8)).connectivity(images)
    expected = theirs(ann, images)
    assert total(MEMORY.ann(network_of(wiring))) == pytest.approx(expected.total_pj)
    wide = counter.LemaireEnergyCostConfig(
        memory_breakpoints=tuple((size, pj / 8) for size, pj in energy.horowitz.ACCESS_PJ)
    )
    config = counter.LemaireEnergyConfig(strict=False, cost_config=wide)
    halved = counter.estimate_lemaire_energy(ann, images, config=config)
    ours = total(energy.by_name("memory:access_bits=64").ann(network_of(wiring)))
    assert ours == pytest.approx(halved.total_pj)


def test_a_linear_layer_driven_by_spikes() -> None:
    layer, spikes = nn.Linear(96, 5), (torch.rand(1, 96) < 0.3).float()
    found = theirs(layer, spikes).breakdown_pj
    n = float(spikes.sum())
    network = energy.Network((energy.Layer("fc", 480.0, "spikes", 480, 5, 96, 5, 0, ("in",)),), {"in": 96})
    ours = MEMORY.spiking(network, energy.Run({"in": n}, {"fc": 5 * n}, 1, "binary"))["fc"]
    assert ours.operations + ours.neurons == pytest.approx(found["ops_pj"])  # their bias is our update
    assert ours.addressing == pytest.approx(found["addressing_pj"])
    assert ours.weights == pytest.approx(found["params_pj"])
    assert ours.inputs_outputs == pytest.approx(found["inout_pj"])
    biases = 2 * 5 * energy.horowitz.access_pj(20)  # we move a membrane for each bias, they do not
    assert ours.membrane - biases == pytest.approx(found["potential_pj"])


def test_operations_of_two_layers() -> None:
    """Multiply-accumulates of the image's layer, accumulates of the layer that spikes drive."""
    from spikingjelly.activation_based.op_counter import ACCounter, DispatchCounterMode, MACCounter

    from conversion import convert

    # No padding: their counter takes a multiplication with a padded zero for one, too, and so do we.
    ann = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5, bias=False))
    calibration, image = torch.rand(8, 2, 6, 6), torch.rand(1, 2, 6, 6)
    snn = convert(ann, "opi", calibration)
    (readout,) = snn.simulate(image, 7)
    counts = network_of(snn.connectivity(image))
    sent = readout.activity.spikes["1"]
    macs, acs = MACCounter(), ACCounter()
    with torch.no_grad(), DispatchCounterMode([macs, acs]):
        ann[0](image)
        spikes = torch.zeros(7, 64)
        spikes.view(-1)[: int(sent)] = 1.0  # a spike costs the same wherever it is
        ann[3](spikes)
    run = energy.Run(readout.activity.spikes, readout.activity.synops, 7, "binary")
    for name, multiply_add, add in (("operations", 4.6, 0.9), ("operations-int8", 0.3, 0.1)):
        ours = total(energy.by_name(name).spiking(counts, run))
        assert ours == pytest.approx(multiply_add * macs.get_total() + add * acs.get_total())
