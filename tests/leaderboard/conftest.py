"""Small records for tests, as the fixture `make`: a curve is a mapping from time steps to the metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from leaderboard.published import PublishedCurve
from leaderboard.records.record import (
    Ann,
    Group,
    LayerCounts,
    Outcomes,
    Point,
    Provenance,
    RecipeSummary,
    Record,
    SourceLayer,
    content_hash,
)
from leaderboard.scores.proportions import encode_outcomes

ANN_ENERGY_PJ = 4600.0


@pytest.fixture(scope="session")
def make() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def qcfs_curve() -> Callable[[str], PublishedCurve]:
    """A published curve on CIFAR-10, from a paper of this name."""
    return lambda paper: PublishedCurve(
        paper=paper,
        recipe="qcfs",
        group="retrained",
        task="classification",
        dataset="CIFAR-10",
        network="vgg16",
        metric="top1",
        ann=95.0,
        at={4: 94.0},
        source="README",
        evidence="read",
    )


def outcomes_of(metric: float, count: int) -> list[bool]:
    """The first round(metric * count) images are right."""
    return [index < round(metric * count) for index in range(count)]


def make_record(
    curve: Mapping[int, float] | None = None,
    *,
    ann: float = 0.9,
    label: str = "recipe",
    seed: int = 0,
    group: Group = "binary",
    network: str = "net",
    checkpoint: str = "c" * 64,
    pj_per_step: float = 100.0,
    count: int | None = 1000,
    t_before: float = 0,
    kl: float | None = None,
    config: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """A record whose metric follows `curve` {t: top1}, spending `pj_per_step` each step.

    `t_before` steps run before the averaged ones; below zero, images exit so much before t. `kl` is the
    divergence at every t. `count` None leaves the outcomes out. `changes` replace whole top-level
    fields; a key "method_..." or "provenance_..." replaces a field there.
    """
    curve = {1: 0.5, 2: 0.85, 4: 0.895} if curve is None else curve
    resolved = dict(config or {}) | {"network": network, "recipe": label, "seed": seed}
    resolved |= {key: changes[key] for key in ("task", "dataset") if key in changes}
    if isinstance(ann_config := resolved.setdefault("ann", {}), dict):  # other weights: of another seed
        resolved["ann"] = {**ann_config, "seed": int(checkpoint[:8], 16)}
    alphabet = {"binary": "binary", "multi-level": "burst", "retrained": "binary", "baseline": "none"}[group]
    method: dict[str, Any] = {
        "name": label,
        "label": label,
        "parts": {"neuron": "if"},
        "alphabet": alphabet,
        "max_per_step": {"binary": 1, "burst": 5, "none": 0}[alphabet],
        "ann_untouched": group != "retrained",
        "group": group,
        "paper": "A paper",
    }
    provenance: dict[str, Any] = {
        "created": "2026-01-01T00:00:00Z",
        "git_commit": "0123456789abcdef",
        "git_dirty": False,
        "versions": {"torch": "2.6"},
        "device": "cpu",
        "precision": "float32",
        "data": {"test": "fingerprint"},
        "wall_time_s": {"evaluate": 1.0},
        "peak_memory_mib": 100.0,
        "conversion": ["relu: integrate-and-fire"],
    }
    for key in list(changes):
        for prefix, target in (("method_", method), ("provenance_", provenance)):
            if key.startswith(prefix):
                target[key.removeprefix(prefix)] = changes.pop(key)
    fields: dict[str, Any] = {
        "cell_id": changes.get("cell_id") or content_hash(changes.get("config", resolved)),
        "matrix": "test",
        "task": "classification",
        "dataset": "digits",
        "network": network,
        "seed": seed,
        "metric": "top1",
        "config": resolved,
        "method": RecipeSummary(**method),
        "ann": Ann(
            metrics={"top1": ann},
            macs=1000.0,
            energy_pj={"operations": ANN_ENERGY_PJ},
            checkpoint_sha256=checkpoint,
        ),
        "sources": [
            SourceLayer(name="small", kind="neuron", units=100),
            SourceLayer(name="large", kind="neuron", units=300),
            SourceLayer(name="pool", kind="pooling", units=50),
        ],
        "layers": [LayerCounts(name="fc", macs=1000.0, drive="spikes")],
        "functions": [],
        "curve": [
            Point(
                t=t,
                t_total=t + t_before,
                metrics={"top1": metric} | ({} if kl is None else {"kl": kl}),
                spikes={"small": 20.0 * t, "large": 30.0 * t},
                rates={"small": 0.2, "large": 0.1, "pool": 9.0},
                synops={"fc": 50.0 * t},
                energy_pj={"operations": pj_per_step * (t + t_before)},
            )
            for t, metric in curve.items()
        ],
        "outcomes": None
        if count is None
        else Outcomes(
            measure="top1",
            count=count,
            ann=encode_outcomes(outcomes_of(ann, count)),
            at={t: encode_outcomes(outcomes_of(metric, count)) for t, metric in curve.items()},
        ),
        "provenance": Provenance(**provenance),
    }
    return Record(**(fields | changes))
