import math

import pytest
import torch
from torch import Tensor, nn

from conversion import convert
from conversion.errors import RecipeError
from conversion.exits.network import EarlyExit
from conversion.exits.rules import EntropyExit, RightAnswers

STEPS = (1, 3, 4, 7)


def recipe(**exit_parameters: object) -> dict[str, object]:
    return {"preset": "opi", "exit": {"name": "entropy", **exit_parameters}}


@pytest.fixture
def sharp(branchy: nn.Module) -> nn.Module:
    """A network whose answers are neither sure nor undecided."""
    branchy.head.weight.data *= 2
    return branchy


def ends_by_hand(
    ann: nn.Module, calibration: Tensor, images: Tensor, threshold: float, every: int
) -> list[int]:
    plain = convert(ann, "opi", calibration)
    ends = []
    for image in images:
        end = max(STEPS)
        for readout in plain.simulate(image[None], range(1, end)):
            p = readout.output[0].softmax(0)
            entropy = -sum(float(x) * math.log(float(x)) for x in p if x > 0) / math.log(len(p))
            if readout.t % every == 0 and 1 - entropy > threshold:
                end = readout.t
                break
        ends.append(end)
    return ends


@pytest.mark.parametrize("every", [1, 2])
def test_everything_is_that_of_each_image_alone_up_to_its_end(sharp, calibration, images, every: int) -> None:
    halfway = next(convert(sharp, "opi", calibration).simulate(images, (2,)))
    threshold = float(EntropyExit().confidence(halfway.output, len(halfway.output)).median()) + 1e-4
    ends = ends_by_hand(sharp, calibration, images, threshold, every)
    assert len(set(ends)) > 1  # the images differ, else this says little
    snn = convert(sharp, recipe(threshold=threshold, every=every), calibration)
    plain = convert(sharp, "opi", calibration)
    for readout in snn.simulate(images, STEPS):
        stops = [min(readout.t, end) for end in ends]
        alone = [next(plain.simulate(x[None], (stop,))) for x, stop in zip(images, stops, strict=True)]
        torch.testing.assert_close(readout.output, torch.cat([one.output for one in alone]))
        assert readout.t_total == pytest.approx(sum(stops) / len(stops))
        assert readout.activity.images == len(images)
        for name, count in readout.activity.spikes.items():
            assert count == sum(one.activity.spikes[name] for one in alone)
        for name, count in readout.activity.synops.items():
            assert count == pytest.approx(sum(one.activity.synops[name] for one in alone))


def test_threshold_one_never_ends_an_image(sharp, calibration, images) -> None:
    snn = convert(sharp, recipe(threshold=1.0), calibration)
    plain = convert(sharp, "opi", calibration)
    for found, expected in zip(snn.simulate(images, STEPS), plain.simulate(images, STEPS), strict=True):
        torch.testing.assert_close(found.output, expected.output)
        assert (found.t, found.t_total, found.averaged) == (expected.t, expected.t_total, expected.averaged)
        assert found.activity.spikes == expected.activity.spikes


@pytest.mark.parametrize("every", [1, 2, 3])
def test_threshold_zero_ends_every_image_at_the_first_step_allowed(sharp, calibration, images, every) -> None:
    snn = convert(sharp, recipe(threshold=0.0, every=every), calibration)
    readouts = {readout.t: readout for readout in snn.simulate(images, STEPS)}
    assert [readouts[t].t_total for t in STEPS] == [min(t, every) for t in STEPS]
    assert torch.equal(readouts[4].output, readouts[7].output)


def test_the_last_step_is_no_exit_and_steps_before_the_readout_count(sharp, calibration, images) -> None:
    once = convert(sharp, recipe(threshold=0.0, every=7), calibration)
    assert [readout.t_total for readout in once.simulate(images, (7,))] == [7]
    before = convert(sharp, {**recipe(threshold=0.0), "initial": "residual"}, calibration)
    first = next(before.simulate(images, STEPS))
    assert first.t_total == 1 + before.recipe.initial.steps > 1


def test_a_network_fitted_for_a_length_runs_that_of_the_longest(sharp, calibration, images) -> None:
    choice = {**recipe(threshold=1.0), "initial": "shift"}
    snn = convert(sharp, choice, calibration, time_steps=STEPS)
    longest = convert(sharp, {"preset": "opi", "initial": "shift"}, calibration).at(7)
    for found, expected in zip(snn.simulate(images, STEPS), longest.simulate(images, STEPS), strict=True):
        torch.testing.assert_close(found.output, expected.output)


def test_fitted_thresholds_follow_the_formula(sharp, calibration) -> None:
    snn = convert(sharp, recipe(images=40), calibration)
    assert isinstance(snn, EarlyExit)
    plain = convert(sharp, "opi", calibration)
    answers = sharp(calibration).argmax(1)
    means = {}
    for readout in plain.simulate(calibration, range(1, 7)):
        p = readout.output.softmax(1)
        right = p.argmax(1) == answers
        means[readout.t] = float((-(p * p.log()).sum(1) / math.log(5))[right].mean())
    found = snn.thresholds_for(6)
    assert {t: found[t] for t in range(1, 7)} == pytest.approx(
        {t: 0.6 + 0.4 * math.exp(min(means.values()) - mean) for t, mean in means.items()}, abs=1e-5
    )
    assert max(found.values()) == 1.0


def test_where_no_answer_is_right_nothing_ends() -> None:
    assert EntropyExit().fitted({1: None, 2: 0.5})[1] == 1.0
    assert EntropyExit(base=0.2).fitted({1: None}) == {1: 1.0}


def test_maps_take_the_mean_over_locations_and_right_locations() -> None:
    rule = EntropyExit()
    sure = torch.zeros(2, 3, 2, 2)
    sure[0, 1] = 100.0  # image 0 is sure everywhere, image 1 nowhere
    sure[1, 2, 0, 0] = 100.0  # but at one location
    assert rule.confidence(sure, len(sure)).tolist() == pytest.approx([1.0, 0.25])
    right = RightAnswers(rule)
    ann = torch.zeros(2, 3, 2, 2)
    ann[0, 1], ann[1, 2] = 1.0, 1.0
    right.add(3, sure, ann)
    assert right.means == pytest.approx({3: 0.0})  # the undecided locations answer class 0: wrong


@pytest.mark.parametrize(
    ("output", "path"),
    [
        ({"out": 1, "aux": 0}, ""),
        ({"cls": [0, 1]}, "cls.1"),
        ((0, 1), "1"),
        ({"only": 1}, ""),
    ],
    ids=str,
)
def test_scores_are_found_in_nested_outputs(output: object, path: str) -> None:
    wanted = torch.randn(2, 3)

    def filled(value: object) -> object:
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(filled(item) for item in value)
        return wanted if value == 1 else torch.randn(2, 4)

    assert EntropyExit(output=path).scores(filled(output)) is wanted


def test_unclear_scores_are_refused() -> None:
    two = {"boxes": torch.zeros(1, 4), "cls": torch.zeros(1, 3)}
    with pytest.raises(RecipeError, match="has 2 outputs; say which"):
        EntropyExit().scores(two)
    with pytest.raises(RecipeError, match=r"nothing at 'scores\.0'"):
        EntropyExit(output="scores.0").scores(two)
    with pytest.raises(RecipeError, match="at least two classes, got"):
        EntropyExit().scores(torch.zeros(4, 1))


@pytest.mark.parametrize("preset", ["ptq", "delay-spike"])
def test_networks_that_answer_only_at_the_end_have_no_exits(preset: str, branchy, calibration) -> None:
    with pytest.raises(RecipeError, match="answers only after the last one"):
        convert(branchy, {"preset": preset, "exit": "entropy"}, calibration)


@pytest.mark.parametrize("wrong", [{"every": 0}, {"base": 1.5}, {"threshold": -0.1}, {"images": 0}], ids=str)
def test_bad_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        EntropyExit(**wrong)
