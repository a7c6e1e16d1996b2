"""What converts: torchvision's networks with random weights, one line each; `python -m benchmarks.zoo`."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torchvision import models

from benchmarks.output import say
from conversion import ConversionError, convert

TIME_STEPS = (1, 4, 16, 64)
NAMES = (
    *("alexnet", "resnet18", "vgg11_bn", "squeezenet1_1", "densenet121", "googlenet", "inception_v3"),
    *("shufflenet_v2_x0_5", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "regnet_x_400mf"),
    *("regnet_y_400mf", "resnext50_32x4d", "wide_resnet50_2", "efficientnet_b0", "efficientnet_v2_s"),
    *("convnext_tiny", "vit_b_16", "swin_t", "swin_v2_t", "maxvit_t"),
)
_SIZES = {"vit_b_16": 224, "maxvit_t": 224, "inception_v3": 96, "alexnet": 96}
_RECIPE = {"preset": "tracking", "neuron": {"gamma": 15}}


def network_of(name: str, images: Tensor) -> nn.Module:
    """A network of torchvision with random weights, whose batch norms know these images."""
    auxiliary = name in ("googlenet", "inception_v3")
    settings: dict[str, bool] = {"aux_logits": False, "init_weights": True} if auxiliary else {}
    network: nn.Module = models.get_model(name, weights=None, **settings)
    with torch.no_grad():
        for _ in range(5):
            network.train()(images)
    return network.eval()


def lines(names: list[str], recipe: object) -> Iterator[str]:
    """One line of a table for each network: the audit's verdict, and the distance to the ANN over time."""
    yield (
        "| network | verdict | share of operations that spikes drive | "
        + " | ".join(f"distance at t = {t}" for t in TIME_STEPS)
        + " |"
    )
    yield "| --- | --- | --- |" + " --- |" * len(TIME_STEPS)
    for name in names:
        torch.manual_seed(0)
        size = _SIZES.get(name, 64)
        images = torch.randn(4, 3, size, size)
        network = network_of(name, images)
        try:
            snn = convert(network, recipe, images)  # type: ignore[arg-type]
        except ConversionError as error:
            yield f"| {name} | {str(error).splitlines()[0]} |" + " |" * (1 + len(TIME_STEPS))
            continue
        with torch.no_grad():
            ann = network(images)
        distances = [
            float((readout.output - ann).norm() / ann.norm()) for readout in snn.simulate(images, TIME_STEPS)
        ]
        share = "unknown" if snn.audit.share is None else f"{snn.audit.share:.1%}"
        yield (
            f"| {name} | {snn.audit.verdict} | {share} | " + " | ".join(f"{d:.4f}" for d in distances) + " |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NAMES), help="names of torchvision")
    warnings.simplefilter("ignore")
    for line in lines(parser.parse_args().networks, _RECIPE):
        say(line)


if __name__ == "__main__":
    main()
