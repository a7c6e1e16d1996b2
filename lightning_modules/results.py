"""What one test pass measures: the ANN, and its spiking twin at every read-out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import energy
from conversion import Readout
from conversion.costs.activity import Active
from conversion.costs.synapses import Connectivity

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Measurement:
    """Everything measured at one read-out, as records keep it; counts are averages per image.

    Attributes:
        t: time step of the read-out.
        averaged: output steps that it averages.
        t_total: steps run up to it; a mean where images end early.
        metrics: by name, such as "top1", a fraction.
        spikes: by layer.
        rates: spikes per unit and step, by layer.
        synops: synaptic operations, by layer.
        energy_pj: picojoules, by energy model, such as "operations".
        functions: evaluations of a function, by operation; None where nothing evaluates one.
        activation_bits: of the quantised ANN.
        active_macs: of the quantised ANN: layer -> multiply-accumulates whose input is not zero.
        active_inputs: of the quantised ANN: layer -> inputs that are not zero.
    """

    t: int
    averaged: int
    t_total: float
    metrics: dict[str, float]
    spikes: dict[str, float]
    rates: dict[str, float]
    synops: dict[str, float]
    energy_pj: dict[str, float]
    functions: dict[str, float] | None = None
    activation_bits: int | None = None
    active_macs: dict[str, float] | None = None
    active_inputs: dict[str, float] | None = None


@dataclass(frozen=True)
class EvaluationResult:
    """Outcome of one test pass: the ANN, and the spiking network at every read-out.

    Attributes:
        metric: the metric that ranks, a key of `ann` and of each point's `metrics`.
        ann: metrics of the ANN.
        ann_energy_pj: its energy for one image, by energy model.
        counts: sizes of every layer, and its inputs that are not zero in the ANN: what energy models take.
        curve: one measurement per time step, in order.
        wiring: synapses of every layer.
        sources: layers that send spikes: name, "neuron" or "pooling", units per image.
        report: what became of every operation.
        verdict: how much of the network spikes, in one word; see `conversion.report.Audit`.
        reductions: operations that compute with real numbers, by name.
        ann_outcomes: of every image, in test order, as the metric gives them; of a metric of torchmetrics,
            nothing.
        outcomes: t -> the same of the spiking network.
        seconds: for "convert" and "simulate".
        precision: of the weights that spikes met, as it was, not as it was asked for.
        backend: what ran the simulation.
    """

    metric: str
    ann: dict[str, float]
    ann_energy_pj: dict[str, float]
    counts: energy.Network
    curve: list[Measurement]
    wiring: Connectivity
    sources: list[tuple[str, str, int]]
    report: list[str]
    verdict: str
    reductions: dict[str, str]
    ann_outcomes: Any
    outcomes: dict[int, Any]
    seconds: dict[str, float]
    precision: str
    backend: str

    def frame(self) -> pd.DataFrame:
        """The curve as a pandas DataFrame, one line a read-out; counts and energies are averages of an image.

        Returns:
            Columns "t", "averaged" and "t_total" (time steps, as in `Measurement`), "snn/<metric>" and
            "ann/<metric>" as they are logged, "spikes" and "synops" of all layers together, and
            "energy_pj/<model>" of every energy model, "ann_energy_pj/<model>" beside it.
        """
        import pandas as pd

        ann = {f"ann/{name}": value for name, value in self.ann.items()}
        ann_energy = {f"ann_energy_pj/{model}": value for model, value in self.ann_energy_pj.items()}
        return pd.DataFrame(
            [
                {"t": point.t, "averaged": point.averaged, "t_total": point.t_total}
                | {f"snn/{name}": value for name, value in point.metrics.items()}
                | ann
                | {"spikes": sum(point.spikes.values()), "synops": sum(point.synops.values())}
                | {f"energy_pj/{model}": value for model, value in point.energy_pj.items()}
                | ann_energy
                for point in self.curve
            ]
        )

    def plot(self, metric: str | None = None) -> Figure:
        """A metric over time steps as a matplotlib figure, which notebooks show; dashed: the ANN.

        Args:
            metric: a key of `ann`; by default the one that ranks.

        Raises:
            ValueError: there is no such metric.
        """
        from lightning_modules.curve_figure import curve_figure

        name = self.metric if metric is None else metric
        if name not in self.ann:
            raise ValueError(f"no metric '{name}' was measured; there are {', '.join(self.ann)}")
        points = [(point.t_total, point.metrics[name]) for point in self.curve]
        return curve_figure(name, points, self.ann[name])


@dataclass
class Totals:
    """Sums over the test set at one read-out."""

    averaged: int = 0
    steps: float = 0.0  # run for all images together
    images: int = 0
    spikes: dict[str, float] = field(default_factory=dict)
    synops: dict[str, float] = field(default_factory=dict)
    active: dict[str, Active] = field(default_factory=dict)

    def add(self, readout: Readout) -> None:
        """Add one batch."""
        self.averaged = readout.averaged
        self.steps += readout.t_total * readout.activity.images
        self.images += readout.activity.images
        for mine, batch in ((self.spikes, readout.activity.spikes), (self.synops, readout.activity.synops)):
            for name, count in batch.items():
                mine[name] = mine.get(name, 0.0) + count
        for name, found in readout.activity.active.items():
            before = self.active.get(name, Active(0.0, 0.0))
            self.active[name] = Active(before.macs + found.macs, before.inputs + found.inputs)
