"""The command for machines with a GPU, tried where there is none."""

import json
import os
import subprocess
import sys

import pytest
import torch

from benchmarks.gpu.__main__ import NO_DEVICE, jobs, main
from conversion import recipe_names

# Nothing else of our dependencies may be needed: a bare machine has PyTorch, Triton, NumPy and SciPy.
BARE = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in MISSING else self.finder.find_spec(name, path, target)

MISSING = {"click", "matplotlib", "optuna", "pandas", "platformdirs", "plotly", "psutil", "pycocotools"}
MISSING |= {"pydantic", "pytorch_lightning", "yaml", "rich", "sklearn", "torchmetrics", "torchvision"}
MISSING |= {"typer", "wandb", "lightning_modules", "datamodules", "leaderboard"}
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from benchmarks.gpu.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_one_sentence_says_so(capsys, tmp_path):
    assert main(["--save", str(tmp_path / "gpu.json")]) == NO_DEVICE != 0
    said = capsys.readouterr().out
    assert said.startswith("No CUDA device was found: nothing was measured.")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_trial_on_the_cpu_of_a_bare_machine(tmp_path):
    pytest.importorskip("triton", reason="Triton is not installed")
    saved = tmp_path / "gpu.json"
    command = [
        sys.executable,
        "-c",
        BARE,
        "--dry-run",
        "--recipe",
        "opi",
        "--recipe",
        "nobody",
        "--save",
        saved,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 1, done.stdout + done.stderr  # of the recipe that there is not
    assert "not equal on both devices: nobody" in done.stdout
    report = json.loads(saved.read_text())
    equal, wrong = report["equality"]
    assert equal["verdict"] == "equal"
    assert equal["spikes"] > 100
    assert equal["kernels"]["triton"] == 6  # four layers of neurons and two pools
    assert wrong["verdict"].startswith("failed: ")
    rows = report["tiny, 8x8"]["rows"]
    assert {"SpikeMark triton, float16", "SpikeMark pytorch, float32", "plain loop, float32"} <= set(rows)
    for name, row in rows.items():
        assert row["images_x_steps_per_s"] > 0, name
        assert f"| {name} |" in done.stdout
    assert rows["SpikeMark triton, float32"]["same_class"] == rows["plain loop, float32"]["same_class"] == 1


def test_what_runs_on_a_gpu_is_larger():
    names = [job.name for job in jobs(dry_run=False)]
    assert names == ["ResNet-20, 32x32", "ResNet-18, 224x224"]
    assert jobs(dry_run=False)[0].images == 256
    assert len(recipe_names()) > 20


def test_one_simulator_that_fails_leaves_the_others(monkeypatch):
    from benchmarks.gpu import measure
    from benchmarks.gpu.contenders import _when_called

    def cannot_be_made():
        raise ImportError("another version")

    def zeros(images, steps):
        return images.new_zeros(len(images), 2)

    made = {"theirs": _when_called(cannot_be_made), "SpikeMark pytorch, float32": zeros, measure.PLAIN: zeros}
    monkeypatch.setattr(measure, "contenders", lambda *_: made)
    rows = measure.throughput(torch.nn.Identity(), torch.rand(3, 1), 2, "triton", 2, float("inf"))
    assert rows["theirs"] == {"failed": "ImportError: another version"}
    assert rows[measure.PLAIN]["x_plain_loop"] == 1
    assert rows[measure.PLAIN]["same_class"] == 1
    late = measure.throughput(torch.nn.Identity(), torch.rand(3, 1), 2, "triton", 2, 0.0)
    assert "images_x_steps_per_s" not in late[measure.PLAIN]  # no time was left
