"""Spikes, SynOps and NIR files against sinabs, a simulator written by others; `tox run -e crosscheck`."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from conversion import Converted, convert

sinabs = pytest.importorskip("sinabs", reason="`tox run -e crosscheck` installs sinabs beside the tests")

IMAGES, STEPS = 4, 20

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def in_every_step(images: Tensor) -> Tensor:
    return images.unsqueeze(1).expand(-1, STEPS, *images.shape[1:]).flatten(0, 1)


def spikes_counted(network: nn.Module) -> dict[str, float]:
    """Filled in when the network runs, by layer."""
    counts: dict[str, float] = {}
    for name, module in network.named_modules():
        if isinstance(module, sinabs.layers.StatefulLayer):
            module.register_forward_hook(
                lambda _, __, out, name=name: counts.update({name: float(out.sum())})
            )
    return counts


def twin(ann: nn.Sequential, snn: Converted) -> nn.Sequential:
    """The network in sinabs, the value of a spike folded into the next weights."""
    layers, theta = [], 1.0
    for name, module in ann.named_children():
        layer = copy.deepcopy(module)
        if isinstance(module, nn.ReLU):
            theta = float(snn.thresholds[name])
            layer = sinabs.layers.IAFSqueeze(
                batch_size=IMAGES,
                spike_threshold=theta,
                spike_fn=sinabs.activation.SingleSpike,
                reset_fn=sinabs.activation.MembraneSubtract(),
                min_v_mem=None,
            )
        elif isinstance(module, nn.Conv2d | nn.Linear):
            layer.weight.data *= theta
        layers.append(layer)
    return nn.Sequential(*layers)


def test_synops() -> None:
    from sinabs.synopcounter import SNNAnalyzer

    ann = nn.Sequential(
        *(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 8, 2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 5)),
    )
    images = torch.randn(IMAGES, 2, 8, 8)
    snn = convert(ann, "maxnorm", images)
    (readout,) = snn.simulate(images, (STEPS,))
    other = twin(ann, snn)
    spikes, analyzer = spikes_counted(other), SNNAnalyzer(other)
    with torch.no_grad():
        other(in_every_step(images))
    assert spikes == dict(readout.activity.spikes)
    assert min(spikes.values()) > 50
    theirs = analyzer.get_layer_statistics()["parameter"]
    for name, ours in readout.activity.synops.items():
        if name != "0":  # sees the image: no spikes
            assert ours / IMAGES == pytest.approx(float(theirs[name]["synops"]), rel=1e-5)


def test_sinabs_runs_an_exported_graph(tmp_path: Path) -> None:
    import nir
    import sinabs.nir

    ann = nn.Sequential(
        *(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(96, 5)),
    )
    images = torch.randn(IMAGES, 2, 8, 8)
    snn = convert(ann, "maxnorm", images)
    snn.to_nir(tmp_path / "network.nir", accept_reset_to_value=True)
    other = sinabs.nir.from_nir(nir.read(tmp_path / "network.nir"), batch_size=IMAGES)
    for module in other.modules():  # sinabs reads IF as its own neuron, with soft reset
        if isinstance(module, sinabs.layers.StatefulLayer):
            module.spike_fn, module.min_v_mem = sinabs.activation.SingleSpike, None
    spikes = spikes_counted(other)
    with torch.no_grad():
        found = other(in_every_step(images))
    found = found[0] if isinstance(found, tuple) else found
    (readout,) = snn.simulate(images, (STEPS,))
    assert spikes == dict(readout.activity.spikes)
    torch.testing.assert_close(found.unflatten(0, (IMAGES, STEPS)).mean(1), readout.output)
