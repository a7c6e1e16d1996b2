import pytest
import torch
from torch import Tensor, nn

from conversion import CaptureError, SubmoduleError, convert
from conversion.graph.submodules import find_submodule, inputs_of


class Pipeline(nn.Module):
    """Normalises, runs a body twice, and decides by values what to do next."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())
        self.pair, self.named, self.unused = Pair(), Named(), nn.Conv2d(3, 3, 1)
        self.stubborn = Stubborn()

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.body(x * 2) - 1)
        if x.sum() > 0:
            x = self.pair(x, x)
        return self.stubborn(self.named(x=x))


class Pair(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Named(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Stubborn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.max() > 0 else x


@pytest.fixture
def pipeline() -> nn.Module:
    return Pipeline().train()


def test_inputs_are_what_flows_into_each_call_in_eval_mode(pipeline: nn.Module) -> None:
    images = [torch.randn(2, 3, 4, 4), torch.randn(1, 3, 4, 4)]
    found = inputs_of(pipeline, "body", images)
    expected = []
    pipeline.body.eval()
    for batch in images:
        expected += [batch * 2, pipeline.body(batch * 2) - 1]
    assert len(found) == 4
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)


def test_part_is_calibrated_on_what_it_sees_in_the_network(pipeline: nn.Module) -> None:
    images = torch.randn(8, 3, 4, 4)
    snn = convert(pipeline, "maxnorm", [(images, torch.zeros(8))], submodule="body")
    seen = torch.cat(inputs_of(pipeline, "body", [images]))
    body = convert(pipeline.body, "maxnorm", seen)
    assert {k: float(v) for k, v in snn.thresholds.items()} == {
        k: float(v) for k, v in body.thresholds.items()
    }
    assert [entry.name for entry in snn.report] == ["0", "2"]
    assert pipeline.training
    assert all(module.training for module in pipeline.modules())
    assert not any(module._forward_pre_hooks for module in pipeline.modules())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("bodi", "Pipeline has no submodule 'bodi'; did you mean 'body'\\? at the top: body, pair, named"),
        ("body.7", "has no submodule 'body.7'; did you mean 'body"),
        ("pair", "submodule 'pair' is called with \\(Tensor, Tensor\\); only a submodule that takes one"),
        ("named", "submodule 'named' is called with \\(x=\\)"),
        ("unused", "submodule 'unused' is never called when images run through Pipeline"),
    ],
)
def test_parts_that_cannot_be_used_are_refused(pipeline: nn.Module, path: str, message: str) -> None:
    pipeline.body[1].running_mean.fill_(-5)  # activations are positive, so that every part is reached
    with pytest.raises(SubmoduleError, match=message):
        inputs_of(pipeline, path, [torch.randn(2, 3, 4, 4)])
    assert not any(module._forward_pre_hooks for module in pipeline.modules())
    assert pipeline.training


def test_submodule_by_its_path(pipeline: nn.Module) -> None:
    assert find_submodule(pipeline, "body.2") is pipeline.body[2]
    with pytest.raises(SubmoduleError):
        convert(pipeline, "opi", torch.randn(2, 3, 4, 4), submodule="head")


def test_capture_error_proposes_parts_by_their_whole_path(pipeline: nn.Module) -> None:
    with pytest.raises(
        CaptureError, match=r'submodule="body"\)\. Parts that trace: body, unused, stubborn\.inner'
    ):
        convert(pipeline, "opi", torch.randn(2, 3, 4, 4))
    with pytest.raises(CaptureError, match=r"cannot trace Stubborn[^$]*Parts that trace: stubborn\.inner\."):
        convert(pipeline, "opi", torch.randn(2, 3, 4, 4), submodule="stubborn")
