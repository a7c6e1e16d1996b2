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

from leaderboard.scores import encodings
from leaderboard.scores.base import ImageScores
from leaderboard.scores.packed import scores_of

SCHEMA_VERSION = 3  # older records are upgraded on reading, see `leaderboard.records.upgrades`

Alphabet = Literal["binary", "burst", "signed", "graded", "weighted", "real", "none"]
Group = Literal["binary", "multi-level", "retrained", "baseline"]


class Frozen(BaseModel):
    """A value: unknown fields are refused, nothing changes after construction."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class RecipeSummary(Frozen):
    """The recipe of a cell, as far as rankings need to know it."""

    name: str  # preset the recipe started from, e.g. "spicalib"
    label: str  # what the leaderboard shows; differs from the name when parameters were overridden
    parts: dict[str, Any]  # every resolved choice: scale, neuron, initial, pooling, ...
    alphabet: Alphabet  # what a spike can be; "none" for a network that does not spike
    max_per_step: int = Field(ge=0)  # most spikes a neuron sends in one step; 0: does not spike
    ann_untouched: bool  # the trained network was not retrained for conversion
    group: Group  # fairness group: only members of one group compare directly
    paper: str


class Tuning(Frozen):
    """How the parameters of a tuned recipe were found, and what that cost."""

    study: str  # its id: the file in results/tuning
    dataset: str  # what it was tuned on, by label; elsewhere the values mean nothing
    network: str
    seed: int
    objective: str  # "kl", or the metric
    t: int = Field(ge=1)  # read-out
    images: int = Field(ge=1)  # training images that every trial was judged on
    sampler: str
    sampler_seed: int
    trials: int = Field(ge=1)  # pruned ones counted
    pruned: int = Field(ge=0)
    seconds: float = Field(ge=0)  # of all trials
    image_steps: float = Field(ge=0)  # time steps simulated, summed over images and trials
    ann_forwards: float = Field(ge=0)  # how many times the ANN could have run one image in these seconds
    value: float  # of the objective, at the best trial
    default: float | None  # at the recipe's own values; the best of several that a search started from
    constraint: str | None = None  # that the recipe was searched under


class SourceLayer(Frozen):
    """Something that emits spikes: a neuron layer, or a pooling layer with graded increments."""

    name: str
    kind: Literal["neuron", "pooling"]
    units: int  # per image


class LayerCounts(Frozen):
    """A layer with weights, and what reaches it."""

    name: str
    macs: float  # dense multiply-accumulates an image, as the ANN runs it
    drive: Literal["analog", "spikes", "current", "mixed"]
    # What energy models with memory need; None where the record is older than they (schema 2).
    weights: int | None = None  # without biases
    biases: int | None = None
    inputs: int | None = None  # values that come in, for one image
    outputs: int | None = None
    taps: int | None = None  # kernel positions over all output channels; 0 for a linear layer
    sources: list[str] | None = None  # whose spikes arrive
    # Of the ANN, means over the test images; None where nobody counted.
    active_macs: float | None = Field(None, ge=0)  # multiply-accumulates with an input that is not zero
    active_inputs: float | None = Field(None, ge=0)  # inputs that are not zero


class Point(Frozen):
    """Everything measured at one read-out."""

    t: int = Field(ge=1)  # the read-out, in steps from the end of phases that come before it
    averaged: int | None = Field(None, ge=1)  # output steps averaged, at most t; None: t
    t_total: int | float = Field(ge=1)  # every step run, mean over images: an exit makes it fractional
    metrics: dict[str, float]  # e.g. {"top1": 0.917, "kl": 0.03}
    spikes: dict[str, float]  # source layer -> spikes an image up to t (a burst of n counts n)
    rates: dict[str, float]  # source layer -> spikes per unit and step
    synops: dict[str, float]  # synaptic layer -> synaptic operations an image up to t
    energy_pj: dict[str, float]  # energy model -> picojoules an image up to t
    energy_layers_pj: dict[str, dict[str, float]] | None = None  # of schema 2; now computed from counts
    functions: dict[str, float] | None = None  # source layer -> evaluations of a function an image up to t
    # Of the quantised ANN alone.
    activation_bits: int | None = Field(None, ge=1)
    active_macs: dict[str, float] | None = None  # layer -> multiply-accumulates whose input is not zero
    active_inputs: dict[str, float] | None = None  # layer -> inputs that are not zero


class Ann(Frozen):
    """The network the cell started from."""

    metrics: dict[str, float]
    macs: float  # an image
    energy_pj: dict[str, float]
    checkpoint_sha256: str


def _known_encoding(name: str) -> str:
    try:
        return encodings.by_name(name).name
    except ValueError as error:
        raise PydanticCustomError("encoding", "{reason}", {"reason": str(error)}) from error


class Outcomes(Frozen):
    """What happened to each test image, in test order, for paired intervals.

    What the texts hold is said by their encoding, one of `leaderboard.scores.encodings`.
    """

    measure: str  # the metric that these outcomes give, e.g. "top1"
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "packbits-base64"
    count: int
    common: str | None = None  # what all read-outs share, where the encoding has it
    ann: str
    at: dict[int, str]  # t -> encoded outcomes

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

    created: str  # ISO 8601, UTC
    git_commit: str | None
    git_dirty: bool | None
    versions: dict[str, str]
    device: str
    precision: str  # of the weights that spikes met
    backend: str | None = None  # of the simulation; None: nobody wrote it down
    nondeterministic: list[str] | None = None  # what may differ when run again; None: nobody asked (schema 1)
    data: dict[str, str]  # split -> fingerprint
    wall_time_s: dict[str, float]  # stage -> seconds
    peak_memory_mib: float
    conversion: list[str]  # report: one line per replaced or kept layer


class Record(Frozen):
    """Result of one cell."""

    schema_version: int = SCHEMA_VERSION
    cell_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    matrix: str
    task: str
    dataset: str
    network: str
    seed: int
    metric: str  # the metric that ranks, higher is better, e.g. "top1"
    config: dict[str, Any]  # resolved configuration whose hash is the cell id
    method: RecipeSummary
    tuning: Tuning | None = None  # None: the recipe was run as it is
    ann: Ann
    sources: list[SourceLayer]
    layers: list[LayerCounts]
    curve: list[Point] = Field(min_length=1)
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
