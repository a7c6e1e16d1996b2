"""Copies, pickles, files and state dicts of converted networks of every recipe simulate the same."""

import copy
import io
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import conversion
from conversion import convert, recipe_from, recipe_names
from conversion.errors import CalibrationError
from conversion.fit import PerLength
from conversion.graph.activations import QCFS

STEPS = (2, 3)


class Net(nn.Module):
    """A pool, a sum, a slice, a constant and outputs by name; for [B, 3, 6, 6]."""

    def __init__(self, activation=nn.ReLU):
        super().__init__()
        self.a, self.norm, self.one = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), activation()
        self.b, self.two = nn.Conv2d(6, 6, 3, padding=1), activation()
        self.head = nn.Linear(6 * 9, 4)
        self.register_buffer("shift", torch.linspace(-0.1, 0.1, 6).view(1, 6, 1, 1))

    def forward(self, x):
        x = F.max_pool2d(self.one(self.norm(self.a(x))), 2)
        x = torch.cat([x[:, :3], self.two(self.b(x) + x + self.shift)[:, 3:]], 1)
        return {"scores": self.head(x.flatten(1)), "maps": (x, [x.mean((2, 3))])}


def spec_of(name):
    recipe, spec = recipe_from(name), {"preset": name}
    if recipe.exit.name != "none":
        spec["exit"] = {"output": "scores"}
    if hasattr(recipe.correction, "iterations"):
        spec["correction"] = {"iterations": 3}
    return spec


def ann_for(name):
    return Net((lambda: QCFS(4, 0.8)) if recipe_from(name).retrains else nn.ReLU).eval()


def images(seed=1, scale=1.0):
    return torch.rand(6, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) * scale


def converted(name, calibration=None, **settings):
    torch.manual_seed(0)
    return convert(ann_for(name), spec_of(name), images() if calibration is None else calibration, **settings)


def told(snn, x=None):
    """Everything that a simulation says, to compare bit for bit."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for r in snn.simulate(images(2) if x is None else x, STEPS):
            tensors = [r.output["scores"], r.output["maps"][0], r.output["maps"][1][0]]
            counts = dict(r.activity.spikes), dict(r.activity.synops)
            found.append((r.t, r.t_total, r.averaged, *counts, [t.tolist() for t in tensors]))
    return found


def by_pickle(snn):
    return pickle.loads(pickle.dumps(snn))


def by_torch(snn):
    file = io.BytesIO()
    torch.save(snn, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def by_file(snn, folder):
    snn.save(folder / "network.pt")
    return conversion.load(folder / "network.pt")


WAYS = {"deepcopy": copy.deepcopy, "pickle": by_pickle, "torch.save": by_torch, "save": by_file}


def kept(way, snn, tmp_path):
    return by_file(snn, tmp_path) if way == "save" else WAYS[way](snn)


@pytest.mark.parametrize("when", ["fresh", "fitted"])
@pytest.mark.parametrize("name", recipe_names())
def test_every_way_of_keeping_gives_the_same_spikes(name, when, tmp_path):
    snn = converted(name, time_steps=STEPS if when == "fitted" else None)
    twins = {way: kept(way, snn, tmp_path) for way in WAYS}
    expected = told(snn)
    for way, twin in twins.items():
        assert told(twin) == expected, way
        assert twin.recipe == snn.recipe, way
        assert twin.report == snn.report, way
        assert twin.provenance == snn.provenance, way
        assert twin.state_dict().keys() == snn.state_dict().keys(), way


@pytest.mark.parametrize("name", ["opi", "spikemark", "adafire-iat", "ptq"])
@pytest.mark.parametrize("way", WAYS)
def test_copies_are_independent(way, name, tmp_path):
    snn = converted(name, time_steps=STEPS)
    twin, expected = kept(way, snn, tmp_path), told(snn)
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(1.5)
    assert told(twin) != expected
    assert told(snn) == expected


@pytest.mark.parametrize("way", WAYS)
def test_settings_are_kept_and_weights_stay_shared_inside(way, tmp_path):
    layer = nn.Conv2d(3, 3, 3, padding=1)
    ann = nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Flatten(), nn.Linear(108, 2)).eval()
    snn = convert(ann, {"preset": "ltb", "label": "mine"}, images(), memory_mib=50)
    twin = kept(way, snn, tmp_path)
    assert (twin.memory_mib, twin.recipe.label, twin.window) == (50, "mine", snn.window)
    assert len(list(twin.parameters())) == len(list(snn.parameters())) == 4
    assert twin.captured is twin.plan.captured
    assert not twin.training


@pytest.mark.parametrize("before", [True, False], ids=["never simulated", "simulated"])
@pytest.mark.parametrize("name", recipe_names())
def test_a_state_dict_holds_everything_that_was_fitted(name, before):
    snn = converted(name)
    state = copy.deepcopy(snn.state_dict()) if before else None
    expected = told(snn)
    other = converted(name, images(5, 3.0), time_steps=2)
    if not snn.recipe.retrains:  # these take everything from training
        assert told(copy.deepcopy(other)) != expected
    other.load_state_dict(state or snn.state_dict())
    assert told(other) == expected
    assert other.report == snn.report


def test_a_state_dict_is_tensors_only_and_of_one_recipe(tmp_path):
    snn = converted("spikemark", time_steps=2)
    torch.save(snn.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    with pytest.raises(ValueError, match="another recipe than 'opi'"):
        converted("opi").load_state_dict(converted("burst").state_dict())
    with pytest.raises(RuntimeError, match="_extra_state"):
        converted("opi").load_state_dict(
            {key: value for key, value in converted("opi").state_dict().items() if "extra" not in key}
        )


@pytest.mark.parametrize("name", [n for n in recipe_names() if recipe_from(n).needs_time_steps])
def test_a_fit_inside_of_simulate_is_said_once_a_length(name):
    snn = converted(name)
    with pytest.warns(UserWarning, match=rf"recipe '.*{name}.*' is fitted for T = 3 only now") as found:
        list(snn.simulate(images(), 3))
    assert len(found) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(snn.simulate(images(), 3))
        for steps in (3, (2, 3), iter([3, 2])):
            fitted = converted(name, time_steps=steps)
            list(fitted.simulate(images(), 3))
        list(fitted.simulate(images(), (2, 3)))
        converted(name).fit_for(4)(images(), 4)


@pytest.mark.parametrize("name", [n for n in recipe_names() if not recipe_from(n).needs_time_steps])
def test_other_recipes_say_nothing_and_take_time_steps_too(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert told(converted(name, time_steps=STEPS)) == told(converted(name))


@pytest.mark.parametrize("wrong", [0, -1, 2.5, (), "4", True, [1, 0]], ids=repr)
def test_wrong_time_steps_are_refused_before_any_work(wrong):
    with pytest.raises(ValueError, match="time steps must be positive whole numbers"):
        convert(nn.Identity(), "opi", None, time_steps=wrong)


def test_a_length_that_neurons_cannot_run_is_refused():
    with pytest.raises(conversion.RecipeError, match="127 time steps at most"):
        convert(nn.Identity(), "tdif", None, time_steps=128)


def test_fitting_at_once_equals_fitting_late():
    late, early = converted("calib-adv"), converted("calib-adv", time_steps=STEPS)
    assert isinstance(early, PerLength)
    assert list(early.fitted) == [2, 3]
    assert told(late) == told(early)


@pytest.mark.parametrize("name", ["spikemark", "adafire-iat"])
def test_without_calibration_images_only_fitted_lengths_are_left(name, tmp_path):
    snn = converted(name, time_steps=3)
    snn.save(tmp_path / "with.pt")
    snn.save(tmp_path / "without.pt", calibration=False)
    assert (tmp_path / "without.pt").stat().st_size < (tmp_path / "with.pt").stat().st_size
    twin = conversion.load(tmp_path / "without.pt")
    assert torch.equal(twin(images(), 3)["scores"], snn(images(), 3)["scores"])
    with pytest.raises(CalibrationError, match=r"T = 4 needs calibration images, .*saved without"):
        twin(images(), 4)


def test_weights_put_in_by_hand_are_counted_anew():
    snn = converted("opi")
    before = told(snn)
    state = snn.state_dict()
    state = {key: value * 0 if key.endswith("b.weight") else value for key, value in state.items()}
    twin = copy.deepcopy(snn)
    twin.load_state_dict(state)
    with torch.no_grad():
        snn.captured.get_parameter("b.weight").zero_()
    assert told(twin)[-1][4]["b"] == told(snn)[-1][4]["b"] == 0 < before[-1][4]["b"]


def test_provenance_names_the_calibration_images():
    one, same, other = (
        converted("opi"),
        converted("opi", list(images().split(6))),
        converted("opi", images(9)),
    )
    assert one.provenance["calibration"] == same.provenance["calibration"] != other.provenance["calibration"]
    assert one.provenance["recipe"] == "opi"
    assert one.provenance["images"] == 6
    assert one.provenance["torch"] == torch.__version__
    assert set(one.provenance) == {"spikemark", "torch", "recipe", "calibration", "images", "date"}


def test_repr_says_what_it_is():
    text = repr(converted("spicalib"))
    assert text.startswith("SpikingNetwork(")
    snn = converted("spicalib")
    low = min(float(t.min()) for t in snn.thresholds.values())
    high = max(float(t.max()) for t in snn.thresholds.values())
    for words in ("recipe: spicalib", "neuron: spike-calibrated (gamma=5", "2 of neurons, 3 with weights"):
        assert words in text
    assert f"thresholds: {low:.4g} to {high:.4g}" in text
    layers = snn.connectivity(images()).layers
    share = sum(layer.macs for layer in layers if layer.drive == "spikes") / sum(r.macs for r in layers)
    assert 0 < share < 1
    assert f"spiking: {share:.1%}" in text
    assert "thresholds: none" in repr(converted("ptq"))
    assert "spiking: 0.0%" in repr(converted("ptq"))
    assert "for T = 2" in repr(converted("adafire-iat", time_steps=2))
    assert "fitted for each T" in repr(converted("spikemark"))


def test_the_report_prints_as_a_table_and_stays_a_sequence():
    report = converted("opi").report
    lines = str(report).splitlines()
    assert len(lines) == len(report) + 2
    assert lines[0].split() == ["layer", "operation", "became"]
    column = lines[0].index("became")
    assert all(line[column - 1] == " " and line[column] != " " for line in lines)
    for entry, line in zip(report, lines[2:], strict=True):
        assert line.startswith(entry.name)
        assert line.endswith(entry.became)
    assert report[0].name == "a"
    html = report._repr_html_()
    assert html.count("<tr>") == len(report) + 1


@pytest.mark.parametrize("name", ["opi", "spikemark", "adafire-iat", "ptq"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_the_image_that_is_no_number_is_named(bad, name):
    snn, x = converted(name, time_steps=2), images()
    x[4, 1, 2, 3] = bad
    with pytest.raises(conversion.errors.ImageError, match=r"^images: .*NaN or infinite values in image 4;"):
        next(snn.simulate(x, 2))
    x[1] = bad
    with pytest.raises(conversion.errors.ImageError, match="in images 1, 4;"):
        next(snn.simulate(x, 2))
    huge = images().double() * 1e300
    with pytest.raises(conversion.errors.ImageError, match="in images 0, 1, 2, 3, 4 and 1 more, too large"):
        next(snn.simulate(huge, 2))
