"""Loaders, category ids and scoring on real photographs, where the machine has some."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from datamodules import LoaderConfig, registry
from lightning_modules.detection.metric import DetectionMetric


@pytest.fixture(scope="module")
def root():
    root = os.environ.get("SPIKEMARK_DATA")
    if not root or not (Path(root) / "coco128/annotations").is_dir():
        pytest.skip("SPIKEMARK_DATA names no folder with coco128/{val2017, annotations}")
    return Path(root)


@pytest.fixture(scope="module")
def data(root):
    options = {"path": "coco128", "train": "val2017", "test": "val2017"}
    data = registry.build("coco", options, LoaderConfig(root=root, batch_size=32))
    data.setup()
    return data


def test_classes_are_the_official_ones(root, data):
    content = json.loads((root / "coco128/annotations/instances_val2017.json").read_text())
    names = {one["id"]: one["name"] for one in content["categories"]}
    assert data.classes == tuple(names[id_] for id_ in sorted(names))
    labels = torch.cat([target["true_labels"] for _, targets in data.test_dataloader() for target in targets])
    told = sorted(names[one["category_id"]] for one in content["annotations"])
    assert sorted(data.classes[label] for label in labels) == told


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")  # images are added one by one here
@pytest.mark.parametrize("scoring", ["coco", "voc"])
def test_the_annotations_score_one_and_silence_scores_zero(data, scoring):
    perfect = DetectionMetric(lambda raw, size: raw, data.classes, scoring=scoring)
    silent = DetectionMetric(lambda raw, size: raw, data.classes, scoring=scoring)
    for _, targets in data.test_dataloader():
        for target in targets:
            scale, offset = target["letterbox"][:2].repeat(2), target["letterbox"][2:4].repeat(2)
            boxes, labels = target["true_boxes"] * scale + offset, target["true_labels"]
            perfect.add(target, boxes, torch.ones(len(boxes)), labels)
            silent.add(target, boxes[:0], torch.ones(0), labels[:0])
    for metric, score in ((perfect, 1.0), (silent, 0.0)):
        assert list(metric.compute().values()) == pytest.approx([score] * len(metric.compute()))
