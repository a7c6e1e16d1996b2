"""A record: what one cell measured, with everything needed to judge and repeat it.

One JSON file a cell. Units stand in the names: energies are picojoules an image, counts are per
image averages over the test set, fractions lie in [0, 1]. Derived figures (time steps to parity,
energy at parity, intervals) are computed from records by `leaderboard.statistics.figures`, never stored.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from leaderboard.records.fields import (
    MOST_READOUTS,
    Commit,
    Cost,
    Count,
    Images,
    Integer,
    Line,
    MeanSteps,
    Number,
    Positive,
    Sha256,
    Steps,
    Text,
    Time,
    Version,
)
from leaderboard.scores import encodings
from leaderboard.scores.base import ImageScores
from leaderboard.scores.packed import scores_of

SCHEMA_VERSION = 4  # older records are upgraded on reading, see `leaderboard.records.upgrades`
# Of the benchmark: what metrics mean, what energy models charge, how networks are evaluated. Whoever changes
# one of them, so that the same cell gives another figure, adds 1. Records of two versions share no board.
BENCHMARK_VERSION = 1

Alphabet = Literal["binary", "burst", "signed", "graded", "weighted", "real", "none"]
Group = Literal["binary", "multi-level", "retrained", "baseline"]


class Frozen(BaseModel):
    """A value: unknown fields are refused, nothing changes after construction."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class RecipeSummary(Frozen):
    """The recipe of a cell, as far as rankings need to know it."""

    name: Text  # preset the recipe started from, e.g. "spicalib"
    label: Text  # what the leaderboard shows; differs from the name when parameters were overridden
    parts: dict[str, Any]  # every resolved choice: scale, neuron, initial, pooling, ...
    alphabet: Alphabet  # what a spike can be; "none" for a network that does not spike
    max_per_step: Count  # most spikes a neuron sends in one step; 0: does not spike
    ann_untouched: bool  # the trained network was not retrained for conversion
    group: Group  # fairness group: only members of one group compare directly
    paper: Line


class Tuning(Frozen):
    """How the parameters of a tuned recipe were found, and what that cost."""

    study: Text  # its id: the file in results/tuning
    dataset: Text  # what it was tuned on, by label; elsewhere the values mean nothing
    network: Text
    seed: Integer
    objective: Text  # "kl", or the metric
    t: Steps  # read-out
    images: Positive  # training images that every trial was judged on
    sampler: Text
    sampler_seed: Integer
    trials: Positive  # pruned ones counted
    pruned: Count
    seconds: Cost  # of all trials
    image_steps: Cost  # time steps simulated, summed over images and trials
    ann_forwards: Cost  # how many times the ANN could have run one image in these seconds
    value: Number  # of the objective, at the best trial
    default: Number | None  # at the recipe's own values; the best of several that a search started from
    constraint: Text | None = None  # that the recipe was searched under


class SourceLayer(Frozen):
    """Something that emits spikes: a neuron layer, or a pooling layer with graded increments."""

    name: Text
    kind: Literal["neuron", "pooling"]
    units: Positive  # per image


class LayerCounts(Frozen):
    """A layer with weights, and what reaches it."""

    name: Text
    macs: Cost  # dense multiply-accumulates an image, as the ANN runs it
    drive: Literal["analog", "spikes", "current", "mixed"]
    # What energy models with memory need; None where the record is older than they (schema 2).
    weights: Count | None = None  # without biases
    biases: Count | None = None
    inputs: Count | None = None  # values that come in, for one image
    outputs: Count | None = None
    taps: Count | None = None  # kernel positions over all output channels; 0 for a linear layer
    sources: list[Text] | None = None  # whose spikes arrive
    # Of the ANN, means over the test images; None where nobody counted.
    active_macs: Cost | None = None  # multiply-accumulates with an input that is not zero
    active_inputs: Cost | None = None  # inputs that are not zero


class FunctionCounts(Frozen):
    """An operation that evaluates a function of signals."""

    name: Text
    operation: Text  # as reports call it, e.g. "torch.nn.SiLU"
    values: Cost  # that it gives for one image, once
    inputs: Cost | None = None  # values that it takes, of all its signals; None: nobody counted


class Point(Frozen):
    """Everything measured at one read-out."""

    t: Steps  # the read-out, in steps from the end of phases that come before it
    averaged: Steps | None = None  # output steps averaged, at most t; None: t
    t_total: Steps | MeanSteps  # every step run, mean over images: an exit makes it fractional
    metrics: dict[Text, Number]  # e.g. {"top1": 0.917, "kl": 0.03}
    spikes: dict[Text, Cost]  # source layer -> spikes an image up to t (a burst of n counts n)
    rates: dict[Text, Cost]  # source layer -> spikes per unit and step
    synops: dict[Text, Cost]  # synaptic layer -> synaptic operations an image up to t
    energy_pj: dict[Text, Cost]  # energy model -> picojoules an image up to t
    energy_layers_pj: dict[Text, dict[Text, Cost]] | None = None  # of schema 2; now computed from counts
    functions: dict[Text, Cost] | None = None  # operation -> values that it evaluated an image up to t
    # Of the quantised ANN alone.
    activation_bits: Annotated[int, Field(ge=1, le=64)] | None = None
    active_macs: dict[Text, Cost] | None = None  # layer -> multiply-accumulates whose input is not zero
    active_inputs: dict[Text, Cost] | None = None  # layer -> inputs that are not zero


class Ann(Frozen):
    """The network the cell started from."""

    metrics: dict[Text, Number]
    macs: Cost  # an image
    energy_pj: dict[Text, Cost]
    checkpoint_sha256: Sha256


def _known_encoding(name: str) -> str:
    try:
        return encodings.by_name(name).name
    except ValueError as error:
        raise PydanticCustomError("encoding", "{reason}", {"reason": str(error)}) from error


class Outcomes(Frozen):
    """What happened to each test image, in test order, for paired intervals.

    What the texts hold is said by their encoding, one of `leaderboard.scores.encodings`.
    """

    measure: Text  # the metric that these outcomes give, e.g. "top1"
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "packbits-base64"
    count: Images
    common: str | None = None  # what all read-outs share, where the encoding has it
    ann: str
    at: dict[Integer, str]  # t -> encoded outcomes

    def scores(self, text: str) -> ImageScores:
        """What `ann` or an entry of `at` says, unpacked only where something is computed from it.

        Raises:
            ValueError: the text is damaged; of some encodings only once something is computed.
        """
        return scores_of(self.encoding, self.common, text, self.count)

    def metric_of(self, text: str) -> float:
        """The metric of the whole test set, computed from `ann` or an entry of `at`.

        Raises:
            ValueError: the text is damaged or does not fit the number of images.
        """
        return encodings.metric(self.encoding, self.common, text, self.count)

    @property
    def is_share(self) -> bool:
        """Whether the metric is the share of images that are right."""
        return encodings.by_name(self.encoding).is_share


class Provenance(Frozen):
    """Where the numbers come from."""

    created: Time  # ISO 8601, UTC
    git_commit: Commit | None
    git_dirty: bool | None
    versions: dict[Text, Text]
    device: Text
    precision: Text  # of the weights that spikes met
    # How much of the network spikes, and its operations on real numbers by name; None: nobody asked.
    verdict: Literal["spiking", "with analog reductions", "hybrid"] | None = None
    reductions: dict[Text, Line] | None = None
    backend: Text | None = None  # of the simulation; None: nobody wrote it down
    nondeterministic: list[Line] | None = (
        None  # what may differ when run again; None: nobody asked (schema 1)
    )
    data: dict[Text, Text]  # split -> fingerprint
    checkpoint: Text | None = (
        None  # file below the data root that the weights came from; None: trained, or unknown
    )
    wall_time_s: dict[Text, Cost]  # stage -> seconds
    peak_memory_mib: Cost
    conversion: list[Line]  # report: one line per replaced or kept layer


class Record(Frozen):
    """Result of one cell."""

    schema_version: int = SCHEMA_VERSION
    benchmark_version: Version = 1  # records that do not say are older than the second version
    cell_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    matrix: Text
    task: Text
    dataset: Text
    network: Text
    seed: Integer
    metric: Text  # the metric that ranks, higher is better, e.g. "top1"
    config: dict[str, Any]  # resolved configuration whose hash is the cell id
    method: RecipeSummary
    tuning: Tuning | None = None  # None: the recipe was run as it is
    ann: Ann
    sources: list[SourceLayer]
    layers: list[LayerCounts]
    functions: list[FunctionCounts] | None = None  # that the network evaluates; None: nobody wrote them down
    curve: list[Point] = Field(min_length=1, max_length=MOST_READOUTS)
    outcomes: Outcomes | None = None
    provenance: Provenance


def content_hash(config: dict[str, Any]) -> str:
    """First 16 hex digits of the sha256 of canonical JSON: what cells and networks are named by."""
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def repeatable(record: Record) -> dict[str, Any]:
    """Everything in a record that the same cell gives again on the same machine: all but clocks and memory.

    The seconds in `tuning` stay: they are part of what the matrix says.
    """
    content = record.model_dump()
    for field in ("created", "wall_time_s", "peak_memory_mib"):
        del content["provenance"][field]
    return content
