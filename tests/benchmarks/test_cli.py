"""The command as its user meets it: run, interrupt, run again, rank, and what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import metadata

import pytest
import torch

from benchmarks.cli import main
from benchmarks.commands.reading import GROUP_NAMES
from leaderboard.ranking.boards import GROUPS
from leaderboard.ranking.wording import GROUP_TITLES

COMMAND = [sys.executable, "-m", "benchmarks.cli"]


def spikemark(*arguments, **options):
    environment = {**os.environ, "COLUMNS": "120", "SPIKEMARK_DATA": "", "SPIKEMARK_RESULTS": ""}
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=300, check=False, env=environment, **options
    )


def call(*arguments):
    """The command in this process, which is quicker; its output holds both streams."""
    from click.testing import CliRunner

    return CliRunner().invoke(main, [*map(str, arguments)], env={"COLUMNS": "120"})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of the tiny matrix, with tracking."""
    import yaml

    folder = tmp_path_factory.mktemp("run")
    content = {
        "name": "tiny",
        "datasets": [{"name": "digits", "size": 8}],
        "networks": ["small_cnn"],
        "recipes": ["opi", "spicalib", "ptq"],
        "time_steps": [1, 4],
        "training": {"epochs": 1},
        "evaluation": {"calibration_images": 32, "test_images": 40, "batch_size": 20},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    words = ["--results", folder / "results", "--tracking", "offline"]
    done = spikemark("run", folder / "tiny.yaml", *words)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_ends_with_ranking_page_and_tracked_run(finished):
    folder, done = finished
    assert "opi" in done.stdout
    page = folder / "results" / "leaderboard.html"
    assert str(page) in done.stdout
    assert page.stat().st_size > 1e6  # carries its own plotting library
    assert "W&B run:" in done.stdout
    assert len(list((folder / "results" / "wandb").glob("offline-run-*/*.wandb"))) == 3


def test_records_carry_what_was_asked(finished):
    folder, _ = finished
    records = [json.loads(path.read_text()) for path in (folder / "results" / "records").glob("*.json")]
    assert {record["method"]["name"] for record in records} == {"opi", "spicalib", "ptq"}
    assert len({record["ann"]["checkpoint_sha256"] for record in records}) == 1
    for record in records:
        assert [point["t"] for point in record["curve"]] == [1, 4]
        assert set(record["provenance"]["data"]) == {"train", "test", "calibration"}
        assert record["provenance"]["versions"]["torch"] == metadata.version("torch")
        assert record["outcomes"]["count"] == 40


def test_a_finished_cell_is_not_run_again(finished):
    folder, _ = finished
    records = folder / "results" / "records"
    before = {path.name: path.read_bytes() for path in records.iterdir()}
    again = spikemark("run", folder / "tiny.yaml", "--results", folder / "results")
    assert again.returncode == 0
    assert again.stdout.count("finished before") == 3
    assert before == {path.name: path.read_bytes() for path in records.iterdir()}


def test_the_leaderboard_is_quick_and_knows_no_torch(finished):
    folder, _ = finished
    code = (
        "import sys; from benchmarks.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'wandb', 'plotly', 'pytorch_lightning'} & set(sys.modules)"
    )
    words = [sys.executable, "-c", code, "leaderboard", "--results", str(folder / "results")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "spicalib" in done.stdout


def test_groups_can_be_picked(finished):
    folder, _ = finished
    results = ["--results", folder / "results"]
    page = folder / "binary.html"
    one = call("leaderboard", *results, "--group", "binary", "--html", page)
    assert "opi" in one.output
    assert "spicalib" not in one.output
    assert '"label":"opi"' in page.read_text()
    assert '"label":"spicalib"' not in page.read_text()
    two = call("leaderboard", *results, "--group", "baseline", "--group", "multi-level")
    assert "spicalib" in two.output
    assert "ptq" in two.output
    assert "opi" not in two.output
    none = call("leaderboard", *results, "--group", "retrained")
    assert none.exit_code == 1
    assert "no records of retrained recipes" in none.output
    wrong = call("leaderboard", *results, "--group", "binaries")
    assert wrong.exit_code == 2
    assert "'binary', 'multi-level', 'retrained', 'baseline'" in wrong.output


def test_the_ranking_is_printed_for_papers_and_programs(finished, tmp_path):
    folder, _ = finished
    results = ["--results", folder / "results"]
    starts = {"markdown": "# Results", "csv": "task,dataset,", "json": "[", "latex": "% needs"}
    for name, start in starts.items():
        done = call("leaderboard", *results, "--format", name)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(start)
        assert "opi" in done.stdout
    assert {
        entry["t"] for entry in json.loads(call("leaderboard", *results, "--format", "json", "--t", 1).stdout)
    } == {1}
    drawn = call("leaderboard", *results, "--plots", tmp_path / "plots")
    assert drawn.exit_code == 0, drawn.output
    assert {path.suffix for path in (tmp_path / "plots").iterdir()} == {".pdf", ".png", ".svg"}


def test_the_ranking_can_be_by_any_energy_model(finished, tmp_path):
    folder, _ = finished
    results = ["--results", folder / "results"]
    page = tmp_path / "page.html"
    wide = "memory-int8:access_bits=64"
    for model in ("operations", "memory-reuse-int8", "skip-zeros", wide):
        done = call("leaderboard", *results, "--energy", model, "--html", page)
        assert done.exit_code == 0, done.output
        assert f"operations / {'operations-int8' if model == 'operations' else model}" in done.output
        assert f'"chosen":"{model}"' in page.read_text()
        entries = json.loads(call("leaderboard", *results, "--energy", model, "--format", "json").stdout)
        key = f"energy_at_parity_{model.replace('-', '_')}"
        for board in {(e["task"], e["dataset"], e["network"], e["group"]) for e in entries}:
            if board[-1] not in ("binary", "multi-level"):
                continue
            found = [
                (e["rank"], e[key])
                for e in entries
                if (e["task"], e["dataset"], e["network"], e["group"]) == board
            ]
            ranked = [cost for rank, cost in found if rank is not None]
            assert ranked == sorted(ranked)
            assert all((rank is None) == (cost is None) for rank, cost in found)
    wrong = call("leaderboard", *results, "--energy", "memory-int9")
    assert wrong.exit_code == 1
    assert "did you mean 'memory-int8'" in wrong.output
    listed = call("list", "energy")
    assert "skip-zeros-int8" in listed.output


def test_two_recipes_and_two_folders_can_be_compared(finished):
    folder, _ = finished
    results = folder / "results"
    two = call("compare", "opi", "spicalib", "--results", results)
    assert two.exit_code == 0, two.output
    assert "neuron.name" in two.output
    assert "T to 1 point" in two.output
    same = call("compare", results, results)
    assert "0 differ by more than the test images explain" in same.output
    wrong = call("compare", "opi", "nothing", "--results", results)
    assert wrong.exit_code == 1
    assert "no recipe 'nothing'; there are: " in wrong.output


def test_results_become_a_markdown_page(finished, tmp_path):
    folder, _ = finished
    out = tmp_path / "docs" / "results.md"
    done = call("results", "--kl", "--out", out, folder / "results")
    assert done.exit_code == 0, done.output
    text = out.read_text(encoding="utf-8")
    for words in (
        "### Binary spikes",
        "### Multi-level spikes",
        "40 test images",
        "| opi |",
        "(KL divergence",
    ):
        assert words in text
    printed = call("results", folder / "results").output
    assert printed.startswith("# Results\n")
    assert "(KL divergence" not in printed
    empty = call("results", tmp_path)
    assert empty.exit_code == 1
    assert "no records in" in empty.output


def test_a_recipe_is_described_with_what_is_known_of_it(finished):
    folder, _ = finished
    done = call("describe", "spicalib", "--results", folder / "results")
    assert done.exit_code == 0, done.output
    for words in ("spike-calibrated", "gamma = 5", "digits · small_cnn", "VOC 2012", "59.60"):
        assert words in done.output
    assert "opi" not in done.output


@pytest.mark.parametrize(
    ("recipe", "message"),
    [("spicalip", "did you mean 'spicalib'"), ("{preset: burst, neuron: {gama: 3}}", "did you mean 'gamma'")],
)
def test_a_recipe_that_does_not_exist_is_not_described(recipe, message):
    done = call("describe", recipe)
    assert done.exit_code == 1
    assert message in done.output


def test_published_figures_are_listed_without_torch():
    code = (
        "import sys; from benchmarks.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    )
    words = [sys.executable, "-c", code, "published", "--recipe", "cos", "--dataset", "imagenet"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "74.17" in done.stdout
    assert "76.26" not in done.stdout  # of CIFAR-100


def test_the_groups_of_the_option_are_those_of_the_ranking():
    assert GROUP_NAMES == GROUPS


def _hear_interrupts():
    """A shell lets what it starts in the background ignore them, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_keeps_finished_cells(finished, tmp_path):
    folder, _ = finished
    text = (folder / "tiny.yaml").read_text()
    # A third of the cells is quick, the others would take minutes.
    (tmp_path / "long.yaml").write_text(
        text.replace("- 4\n", "- 4\n- 40000\n").replace("[1, 4]", "[1, 4, 40000]")
    )
    results = tmp_path / "results"
    words = [*COMMAND, "run", str(tmp_path / "long.yaml"), "--results", str(results), "--tracking", "off"]
    environment = {**os.environ, "COLUMNS": "120"}
    # ptq first: its cell takes no time
    (tmp_path / "long.yaml").write_text(
        (tmp_path / "long.yaml").read_text().replace("- opi\n- spicalib\n- ptq\n", "- ptq\n- opi\n")
    )
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=_hear_interrupts,
    )
    deadline = time.monotonic() + 120
    while not list(results.glob("records/*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "1 finished cell(s) are kept" in errors
    assert len(list(results.glob("records/*.json"))) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nowhere.yaml"], "no matrix file 'nowhere.yaml'"),
        (["run", "cifar10", "--data-root", "/no/such/folder"], "/no/such/folder"),
        (["leaderboard", "--results", "/no/such/results"], "no records in"),
    ],
)
def test_what_is_missing_is_named(words, message, tmp_path):
    done = spikemark(*words, cwd=tmp_path, **{})
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkpoint_that_does_not_fit(write_matrix, tiny, tmp_path):
    torch.save({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "wrong.pt")
    matrix = write_matrix({**tiny, "networks": [{"name": "resnet20", "checkpoint": "wrong.pt"}]})
    done = spikemark("run", matrix, "--data-root", tmp_path, "--results", tmp_path / "results")
    assert done.returncode == 1
    assert "wrong.pt does not fit" in done.stderr
    assert done.stderr.count("wrong.pt does not fit") == 1  # once, not once a recipe
    assert "Traceback" not in done.stderr


def test_a_missing_data_folder(write_matrix, tiny, tmp_path):
    matrix = write_matrix({**tiny, "datasets": ["cifar10"]})
    done = spikemark("run", matrix, "--data-root", tmp_path, "--results", tmp_path / "results")
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert "--data-root" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_everywhere():
    from click.testing import CliRunner

    for words in (
        ["--help"],
        ["run", "--help"],
        ["leaderboard", "--help"],
        ["list", "--help"],
        ["diagnose", "--help"],
        ["describe", "--help"],
        ["published", "--help"],
        ["results", "--help"],
    ):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0
        assert "Usage:" in result.output


@pytest.mark.parametrize("what", ["recipes", "networks", "datasets", "matrices"])
def test_list(what):
    from click.testing import CliRunner

    expected = {"recipes": "spicalib", "networks": "resnet20", "datasets": "digits", "matrices": "quickstart"}
    result = CliRunner().invoke(main, ["list", what])
    assert result.exit_code == 0
    assert expected[what] in result.output


def test_recipes_are_listed_by_fairness_group():
    from click.testing import CliRunner

    from conversion import recipe_from, recipe_names

    group, found = "", {}
    for line in CliRunner().invoke(main, ["list", "recipes"]).output.splitlines():
        if line.startswith("  "):
            found[line.split()[0]] = group
        else:
            group = line.removesuffix(":")
    assert found == {name: GROUP_TITLES[recipe_from(name).group] for name in recipe_names()}
