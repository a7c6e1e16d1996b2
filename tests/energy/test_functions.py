"""Functions that networks evaluate: what they take, and who pays for them."""

from dataclasses import replace

import pytest

from energy import Function, Layer, Network, NotMeasured, Quantised, Run, by_name, models
from energy.functions import WORK, Work, work_of
from energy.model import total

FC = Layer("fc", 1680.0, "spikes", 1680, 10, 168, 10, 0, ("silu",), 500.0, 50.0)
FUNCTIONS = {
    "silu": Function("torch.nn.SiLU", 168.0, 168.0),
    "norm": Function("torch.nn.functional.layer_norm", 30.0, 30.0),
}
WITH = Network((FC,), {"silu": 168}, FUNCTIONS)
WITHOUT = replace(WITH, functions={})
RUN = Run({"silu": 10.0}, {"fc": 100.0}, 4, "signed", 5, {"silu": 4 * 168.0, "norm": 4 * 30.0})
PIECE = 2 * 10 * 128 / 8192  # slope and offset, from 16 pieces of two words of 32 bits
CHARGING = [name for name in models() if not name.startswith("operations")]


@pytest.mark.parametrize("name", CHARGING)
def test_functions_are_a_line_of_their_own_by_hand(name: str) -> None:
    model, silent = by_name(name), replace(RUN, functions={})
    once = {"silu": 168 * (0.1 + 3.1 + PIECE), "norm": 30 * (4 * 0.1 + 3 * 3.1)}
    found = model.ann(WITH)
    assert {key: found[key].functions for key in once} == pytest.approx(once)
    assert total(found) - total(model.ann(WITHOUT)) == pytest.approx(sum(once.values()))
    steps = {key: 4 * (each + FUNCTIONS[key].values * (2 * 3.1 + 0.1)) for key, each in once.items()}
    spiking = model.spiking(WITH, RUN)
    assert {key: spiking[key].functions for key in steps} == pytest.approx(steps)
    # Beside it, a neuron that sends spikes pays what it paid before.
    assert replace(spiking["silu"], functions=0.0) == model.spiking(WITHOUT, silent)["silu"]
    assert total(spiking) - total(model.spiking(WITHOUT, silent)) == pytest.approx(sum(steps.values()))


def test_the_quantised_ann_evaluates_as_wide_as_it_accumulates() -> None:
    for name, add, multiply in (("memory", 0.03, 0.2), ("memory-int8", 0.1, 3.1)):
        found = by_name(name).quantised(WITH, Quantised(4))["silu"].functions
        assert found == pytest.approx(168 * (add + multiply + PIECE))


@pytest.mark.parametrize("name", ["operations", "operations-int8"])
def test_models_of_operations_leave_functions_out_and_say_so(name: str) -> None:
    model = by_name(name)
    assert "evaluations of functions" in model.leaves_out
    assert total(model.spiking(WITH, RUN)) == total(model.spiking(WITHOUT, replace(RUN, functions={})))
    assert total(model.ann(replace(WITH, functions=None))) == total(model.ann(WITHOUT))


@pytest.mark.parametrize("name", CHARGING)
def test_functions_that_nobody_counted_are_not_free(name: str) -> None:
    model = by_name(name)
    for ask in (model.ann, lambda network: model.quantised(network, Quantised(8))):
        with pytest.raises(NotMeasured, match="were not counted"):
            ask(replace(WITH, functions=None))
    for functions in (None, {"norm": FUNCTIONS["norm"]}):
        with pytest.raises(NotMeasured, match="what 'silu' evaluates"):
            model.spiking(replace(WITH, functions=functions), RUN)
    unheard = {"silu": Function("torch.nn.Wavelet", 168.0)}
    with pytest.raises(NotMeasured, match=r"torch.nn.Wavelet of 'silu' takes is unknown"):
        model.ann(replace(WITH, functions=unheard))


def test_names_of_modules_functions_and_methods_are_one() -> None:
    for operation in ("torch.nn.LayerNorm", "torch.layer_norm", "torch.nn.functional.layer_norm"):
        assert work_of("norm", Function(operation, 1.0)) == Work(4, 3)
    assert work_of("s", Function("Tensor.softmax", 10.0)) == Work(30, 20, 10)
    assert work_of("m", Function("operator.mul", 10.0)) == Work()


def test_reductions_work_on_what_they_take() -> None:
    assert work_of("sum", Function("torch.logsumexp", 1.0, 50.0)) == Work(150, 50, 50, each="input")
    with pytest.raises(NotMeasured, match="inputs of layer 'sum'"):
        work_of("sum", Function("torch.logsumexp", 1.0))


@pytest.mark.parametrize("name", CHARGING)
def test_every_function_costs_the_spiking_network_at_least_as_much_a_step(name: str) -> None:
    model = by_name(name)
    for plain in WORK:
        network = replace(WITHOUT, functions={"f": Function(f"torch.{plain}", 7.0, 70.0)})
        run = replace(RUN, functions={"f": 7.0})
        spiking, ann = (model.spiking(network, run)["f"], model.ann(network)["f"])
        assert 0 <= ann.functions < spiking.functions, plain


def test_a_product_multiplies_once_in_the_ann_and_at_every_meeting_of_spikes() -> None:
    """Scores of attention: 6 x 4 queries and keys, every pair of rows."""
    sides = [
        Layer("scores", 144.0, "spikes", 24, 0, 24, 36, 0, ("q",)),
        Layer("scores (second factor)", 0.0, "spikes", 24, 0, 24, 36, 0, ("k",)),
    ]
    network = Network(tuple(sides), {"q": 24, "k": 24}, {"scores": Function("torch.matmul", 36.0, 48.0)})
    size = 10 * 24 * 4 / 8192  # an access to 24 stored values
    out = 10 * 36 * 4 / 8192
    ann = by_name("memory").ann(network)
    assert ann["scores"].weights == pytest.approx(144 * size)
    assert ann["scores"].functions == 0  # its multiplications stand under operations
    assert ann["scores (second factor)"].total == 0
    synops = {"scores": 18.0, "scores (second factor)": 12.0}
    run = Run({"q": 3.0, "k": 2.0}, synops, 2, "signed", 1, {"scores": 72})
    found = by_name("memory").spiking(network, run)
    for name, n in synops.items():
        assert found[name].operations == pytest.approx(0.1 * n)
        assert found[name].weights == pytest.approx(n * size)
        assert found[name].membrane == pytest.approx(2 * n * out)
    assert found["scores"].functions == pytest.approx(72 * (3.1 + 0.1))
