from __future__ import annotations

import math

import pytest
import torch
from torch import multiprocessing
from torchmetrics.functional.classification import multiclass_accuracy

from lightning_modules.metrics import ClassificationMetric, kl_divergence, restore_test_order


def random_batches(classes: int, batches: int = 3):
    generator = torch.Generator().manual_seed(0)
    for _ in range(batches):
        target = torch.randint(classes, (20,), generator=generator)
        output = torch.randn(20, classes, generator=generator)
        output[torch.arange(20), target] += 1
        yield output, target, output + torch.randn(20, classes, generator=generator)


@pytest.mark.parametrize("classes", [3, 10])
def test_accuracy_agrees_with_torchmetrics(classes):
    metric = ClassificationMetric(classes)
    batches = list(random_batches(classes))
    for output, target, reference in batches:
        metric.update(output, target, reference)
    output, target, reference = (torch.cat(parts) for parts in zip(*batches, strict=True))
    scores = metric.compute()

    def accuracy(k: int) -> float:
        return multiclass_accuracy(output, target, classes, average="micro", top_k=k).item()

    assert scores["top1"] == pytest.approx(accuracy(1))
    assert 0.2 < scores["top1"] < 0.9
    assert ("top5" in scores) == (classes > 5)
    if classes > 5:
        assert scores["top5"] == pytest.approx(accuracy(5))
    assert scores["agreement"] == pytest.approx(
        (output.argmax(1) == reference.argmax(1)).double().mean().item()
    )
    assert all(type(value) is float for value in scores.values())
    torch.testing.assert_close(metric.outcomes(), (output.argmax(1) == target).float())


def test_kl_by_hand():
    # p = (3/4, 1/4) from the reference, q = (1/2, 1/2) from the output:
    # KL(p || q) = 3/4 ln(3/2) + 1/4 ln(1/2); a second image with equal outputs halves the mean.
    metric = ClassificationMetric(2)
    reference = torch.tensor([[math.log(3.0), 0.0], [5.0, 1.0]])
    output = torch.tensor([[2.0, 2.0], [7.0, 3.0]])  # a constant added to all logits changes nothing
    metric.update(output, torch.tensor([0, 1]), reference)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert metric.compute()["kl"] == pytest.approx(expected / 2, rel=1e-5)
    assert metric.compute()["agreement"] == 1


def test_kl_is_never_negative():
    logits = torch.randn(1000, 10)
    assert (kl_divergence(logits, logits + 3) >= 0).all()


def test_ties_favour_the_lower_index():
    metric = ClassificationMetric(8)
    metric.update(torch.zeros(8, 8), torch.arange(8))  # a spiking network that has not spiked yet
    assert metric.outcomes().tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert metric.compute() == {"top1": 1 / 8, "top5": 5 / 8}


def test_nan_counts_as_wrong():
    metric = ClassificationMetric(2)
    output = torch.tensor([[math.nan, 1.0], [math.nan, math.nan], [0.0, 1.0]])
    metric.update(output, torch.tensor([1, 0, 1]), torch.zeros(3, 2))
    assert metric.outcomes().tolist() == [0, 0, 1]
    assert metric.compute()["agreement"] == 0


def test_without_reference_there_is_no_divergence():
    metric = ClassificationMetric(2)
    metric.update(torch.eye(2), torch.tensor([0, 1]))
    assert metric.compute() == {"top1": 1.0}


def test_reset_empties_it():
    metric = ClassificationMetric(2)
    metric.update(torch.eye(2), torch.tensor([0, 1]), torch.eye(2))
    metric.reset()
    metric.update(torch.eye(2), torch.tensor([1, 1]))
    assert metric.compute() == {"top1": 0.5}


def test_misuse_is_refused():
    metric = ClassificationMetric(3)
    with pytest.raises(ValueError, match=r"output must be \[2, 3\] for these labels, got \[2, 4\]"):
        metric.update(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="reference must be"):
        metric.update(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), torch.zeros(1, 3))
    metric.update(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="in every batch or in none"):
        metric.update(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), torch.zeros(2, 3))
    with pytest.warns(UserWarning, match="before the"), pytest.raises(ValueError, match="no images yet"):
        ClassificationMetric(3).compute()


def deal(images: int, ranks: int) -> torch.Tensor:
    """Gather what torch's own sampler deals out, rank after rank."""
    sampler = torch.utils.data.DistributedSampler
    data = list(range(images))
    dealt = [list(sampler(data, ranks, rank, shuffle=False)) for rank in range(ranks)]
    return torch.tensor([index for part in dealt for index in part])


@pytest.mark.parametrize("images", [1, 2, 7, 8, 12])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_test_order_is_restored_after_torchs_sampler(images, ranks):
    assert restore_test_order(deal(images, ranks), ranks, images).tolist() == list(range(images))


def test_restoring_keeps_repeats_where_the_size_is_unknown():
    assert restore_test_order(deal(5, 2), 2, None).tolist() == [0, 1, 2, 3, 4, 0]


def test_restoring_after_an_early_stop():
    stopped = deal(9, 2).reshape(2, 5)[:, :3].flatten()
    assert restore_test_order(stopped, 2, 9).tolist() == [0, 1, 2, 3, 4, 5]


def test_impossible_gatherings_are_refused():
    with pytest.raises(ValueError, match="5 values cannot come from 2 ranks"):
        restore_test_order(torch.zeros(5), 2, 5)
    with pytest.raises(ValueError, match="tested more than once"):
        restore_test_order(torch.zeros(10), 2, 5)  # each rank saw every image


def evaluate_on_rank(rank: int, ranks: int, store: str, results) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=ranks)
    outputs, targets, references = (torch.cat(parts) for parts in zip(*random_batches(6), strict=True))
    images = 59  # odd, so that one image is dealt twice
    sampler = torch.utils.data.DistributedSampler(range(images), ranks, rank, shuffle=False)
    mine = torch.tensor(list(sampler))
    metric = ClassificationMetric(6, images=images)
    metric.update(outputs[mine[:11]], targets[mine[:11]], references[mine[:11]])
    metric.update(outputs[mine[11:]], targets[mine[11:]], references[mine[11:]])
    outcomes = metric.outcomes()
    results.put((rank, outcomes.tolist(), metric.compute(), metric.outcomes().tolist()))
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path):
    outputs, targets, references = (torch.cat(parts)[:59] for parts in zip(*random_batches(6), strict=True))
    alone = ClassificationMetric(6)
    alone.update(outputs, targets, references)

    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    store = str(tmp_path / "store")
    workers = [context.Process(target=evaluate_on_rank, args=(rank, 2, store, results)) for rank in range(2)]
    for worker in workers:
        worker.start()
    received = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join(timeout=60)
    assert {rank for rank, *_ in received} == {0, 1}
    for _, outcomes, scores, again in received:
        assert outcomes == again == alone.outcomes().tolist()
        assert scores == pytest.approx(alone.compute())
