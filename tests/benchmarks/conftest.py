"""A matrix small enough to run in seconds."""

import pytest
import yaml

TINY = {
    "name": "tiny",
    "datasets": [{"name": "digits", "size": 8}],
    "networks": ["small_cnn"],
    "recipes": ["opi", "burst"],
    "time_steps": [1, 4],
    "training": {"epochs": 1},
    "evaluation": {"calibration_images": 32, "test_images": 40, "batch_size": 20},
    "tracking": {"wandb": "off"},
}


@pytest.fixture
def tiny():
    return dict(TINY)


@pytest.fixture
def write_matrix(tmp_path):
    def write(content, name="matrix.yaml"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write
