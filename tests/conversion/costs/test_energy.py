import pytest
import torch
from torch import nn

from conversion import convert
from conversion.costs.energy import ann_energy_pj, operations_energy_pj
from conversion.costs.synapses import Connectivity, LayerSynapses


def wiring(**drives: str) -> Connectivity:
    layers = [LayerSynapses(name, 100.0, drive, {}) for name, drive in drives.items()]
    return Connectivity(tuple(layers), {})


def test_energy_by_hand() -> None:
    network = wiring(image="analog", spikes="spikes", both="mixed", between="current")
    synops = {"image": 0.0, "spikes": 1000.0, "both": 10.0, "between": 0.0}
    # The image once, 1000 + 10 accumulates, the mixed layer's image part once, 8 steps of currents.
    expected = 4.6 * 100 + 0.9 * 1010 + 4.6 * 100 + 4.6 * 100 * 8
    assert operations_energy_pj(network, synops, 8, "binary") == pytest.approx(expected)
    assert ann_energy_pj(network) == pytest.approx(4.6 * 400)


def test_break_even_is_at_five_spikes_a_synapse() -> None:
    # 4.6 / 0.9 = 5.11 spikes a synapse cost as much as one multiply-accumulate.
    network = wiring(spikes="spikes")
    for spikes_per_synapse, ratio in ((4.6 / 0.9, 1.0), (9.2 / 0.9, 2.0), (0.0, 0.0)):
        energy = operations_energy_pj(network, {"spikes": 100 * spikes_per_synapse}, 64, "burst")
        assert energy / ann_energy_pj(network) == pytest.approx(ratio)


def test_events_that_carry_real_numbers_multiply() -> None:
    network, synops = wiring(image="analog", spikes="spikes"), {"image": 0.0, "spikes": 1000.0}
    for alphabet in ("binary", "burst", "signed", "graded", "weighted"):
        energy = operations_energy_pj(network, synops, 8, alphabet)
        assert energy == pytest.approx(4.6 * 100 + 0.9 * 1000)
    assert operations_energy_pj(network, synops, 8, "real") == pytest.approx(4.6 * 100 + 4.6 * 1000)


def test_quantised_ann_runs_once_in_eight_bits() -> None:
    network = wiring(image="analog", spikes="spikes")
    for t in (1, 64):
        assert operations_energy_pj(network, {}, t, "none") == pytest.approx(0.23 * 200)


def test_dense_spikes_cost_time_steps_times_accumulates() -> None:
    # All inputs of the second layer fire in every step: SynOps = T x MACs.
    ann = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 5))
    nn.init.ones_(ann[0].weight)
    images = torch.ones(2, 3)
    snn = convert(ann, "maxnorm", images)
    found = snn.connectivity(images)
    for readout in snn.simulate(images, (1, 7)):
        synops = {name: total / 2 for name, total in readout.activity.synops.items()}
        assert synops == {"0": 0.0, "2": 20.0 * readout.t}
        energy = operations_energy_pj(found, synops, readout.t, "binary")
        assert energy == pytest.approx(4.6 * 12 + 0.9 * 20 * readout.t)
