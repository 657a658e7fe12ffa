"""Objectives against plain loops, values worked by hand, finite differences and another library."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from siamese.base.errors import InputError
from siamese.measures.verification import pair_distances
from siamese.training.distances import distance_matrix, distance_of
from siamese.training.objective import (
    OBJECTIVES,
    Objective,
    PairedBatch,
    balanced_mean,
    contrastive_loss,
)
from tests.support.tiny_training import new_network, params


def points_on_circle(*degrees: float) -> torch.Tensor:
    angles = torch.tensor([math.radians(angle) for angle in degrees], dtype=torch.float64)
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def plain_loss(
    distance: float, same: bool, margin: float, power: int = 2, like_weight: float = 1.0
) -> float:
    """The formula, as one would compute it on paper."""
    y = 1 if same else 0
    return 0.5 * (
        like_weight * y * distance**power + (1 - y) * max(0.0, margin - distance) ** power
    )


def test_values_worked_by_hand_from_points_on_a_circle() -> None:
    # On the unit circle 60 degrees are a distance of 1, 90 of sqrt(2), 180 of 2.
    left = points_on_circle(0, 0, 0, 0, 0)
    right = points_on_circle(60, 60, 90, 180, 0)
    same = torch.tensor([True, False, True, False, False])
    distance = distance_of(left, right)
    assert distance.tolist() == pytest.approx([1, 1, math.sqrt(2), 2, 0])
    # margin 1.5: ½·1², ½·(1.5-1)², ½·2, beyond the margin 0, ½·1.5²
    expected = [0.5, 0.125, 1.0, 0.0, 1.125]
    assert contrastive_loss(distance, same, margin=1.5).tolist() == pytest.approx(expected)


def test_same_means_the_same_class() -> None:
    """y = 1 for the same class: two images far apart cost if alike, and nothing if not."""
    far, near = torch.tensor(1.2), torch.tensor(0.1)
    yes, no = torch.tensor(True), torch.tensor(False)
    assert contrastive_loss(far, yes, margin=1.0) > 0
    assert contrastive_loss(far, no, margin=1.0) == 0
    assert contrastive_loss(near, yes, margin=1.0) < contrastive_loss(near, no, margin=1.0)


@given(
    st.lists(
        st.tuples(st.floats(0, 3, width=32), st.booleans()),
        min_size=1,
        max_size=20,
    ),
    st.floats(0.1, 2.5),
    st.sampled_from([1, 2]),
    st.floats(0.01, 2),
)
def test_equals_a_plain_loop(
    pairs: list[tuple[float, bool]], margin: float, power: int, like_weight: float
) -> None:
    distance = torch.tensor([pair[0] for pair in pairs], dtype=torch.float64)
    same = torch.tensor([pair[1] for pair in pairs])
    expected = [plain_loss(d, s, margin, power, like_weight) for d, s in pairs]
    found = contrastive_loss(distance, same, margin, power, like_weight)  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx(expected)


def test_power_two_and_weight_one_are_the_formula_itself() -> None:
    distance, same = torch.rand(50, dtype=torch.float64) * 2, torch.rand(50) < 0.5
    y = same.double()
    formula = 0.5 * (y * distance**2 + (1 - y) * torch.relu(1.3 - distance) ** 2)
    torch.testing.assert_close(contrastive_loss(distance, same, 1.3), formula)


def test_distance_matrix_equals_distances_one_by_one() -> None:
    embeddings = torch.nn.functional.normalize(torch.randn(12, 5, dtype=torch.float64), dim=1)
    others = torch.cat([embeddings[:2], torch.randn(5, 5, dtype=torch.float64)])
    matrix = distance_matrix(embeddings, others)
    assert matrix.shape == (12, 7)
    for i in range(12):
        for j in range(7):
            expected = math.dist(embeddings[i].tolist(), others[j].tolist())
            assert matrix[i, j].item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("power", [1, 2])
def test_gradient_equals_finite_differences(power: int) -> None:
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.randn(6, 4, dtype=torch.float64, generator=generator).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    same = labels[:, None] == labels[None, :]
    counted = torch.ones(6, 6, dtype=torch.bool).triu(diagonal=1)

    def loss(embeddings: torch.Tensor) -> torch.Tensor:
        losses = contrastive_loss(distance_matrix(embeddings, embeddings), same, 2.5, power, 0.3)  # type: ignore[arg-type]
        return balanced_mean(losses, same, counted)

    assert torch.autograd.gradcheck(loss, (embeddings,))


def test_gradient_worked_by_hand() -> None:
    # dJ/dD is D for a like pair and -(m - D) for an unlike one inside the margin.
    distance = torch.tensor([0.4, 0.4, 1.4], requires_grad=True)
    same = torch.tensor([True, False, False])
    contrastive_loss(distance, same, margin=1.0).sum().backward()
    assert distance.grad is not None
    assert distance.grad.tolist() == pytest.approx([0.4, -0.6, 0.0])


@pytest.mark.parametrize("measure", ["pairs", "matrix"])
def test_coinciding_embeddings_give_no_nan(measure: str) -> None:
    embeddings = torch.ones(4, 3, requires_grad=True)
    if measure == "pairs":
        distance = distance_of(embeddings[:2], embeddings[2:])
    else:
        distance = distance_matrix(embeddings, embeddings)
    contrastive_loss(distance, torch.zeros_like(distance, dtype=torch.bool), 1.0).sum().backward()
    assert distance.abs().max() == 0
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()


def test_balanced_mean_is_the_plain_mean_of_a_balanced_batch() -> None:
    losses, same = torch.rand(10), torch.arange(10) < 5
    torch.testing.assert_close(balanced_mean(losses, same, torch.ones_like(same)), losses.mean())


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_balanced_mean_equals_a_plain_loop(kinds: list[tuple[bool, bool]]) -> None:
    losses = torch.linspace(0.5, 2, len(kinds), dtype=torch.float64)
    same = torch.tensor([kind[0] for kind in kinds])
    counted = torch.tensor([kind[1] for kind in kinds])
    means = []
    for wanted in (True, False):
        chosen = [
            loss
            for loss, (is_same, counts) in zip(losses.tolist(), kinds, strict=True)
            if counts and is_same == wanted
        ]
        means.append(np.mean(chosen) if chosen else 0.0)
    assert balanced_mean(losses, same, counted).item() == pytest.approx(sum(means) / 2)


@pytest.mark.parametrize("kind", [True, False])
def test_a_batch_of_one_kind_of_pair_has_the_mean_of_that_kind(kind: bool) -> None:
    losses = torch.tensor([1.0, 3.0], requires_grad=True)
    mean = balanced_mean(losses, torch.tensor([kind, kind]), torch.tensor([True, True]))
    mean.backward()
    assert mean.item() == pytest.approx(1.0)  # half of the mean 2: the other kind adds nothing
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([0.25, 0.25])


def objective(**changes: Any) -> Objective:
    changed = params(**changes)
    return OBJECTIVES[changed.loss](changed, 4, new_network())


def drawn_batch(
    seed: int, n_images: int = 40, forged: bool = False
) -> tuple[torch.Tensor, PairedBatch]:
    """Embeddings of length 1 and pairs among few images, so that some occur more than once.

    If `forged`, every third image is a forgery.
    """
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(0, n_images, (24,), generator=generator)
    points = torch.randn(n_images, 5, generator=generator, dtype=torch.float64)[index]
    labels = torch.randint(0, 4, (n_images,), generator=generator)[index]
    if forged:
        labels = torch.where(index % 3 == 0, -1 - labels, labels)
    left, right = labels.chunk(2)
    same = (left == right) & (left >= 0)
    return torch.nn.functional.normalize(points), PairedBatch(labels, index, same)


def plain_supervised_contrastive(embeddings: np.ndarray, batch: PairedBatch, t: float) -> float:
    """Equation 2 of the paper, as one would compute it on paper."""
    labels, index = batch.labels.tolist(), batch.index.tolist()
    losses = []
    for i, anchor in enumerate(embeddings):
        others = [j for j in range(len(labels)) if index[j] != index[i]]
        like = [j for j in others if labels[j] == labels[i] >= 0]  # a forgery is like nothing
        if like:
            total = sum(math.exp(anchor @ embeddings[j] / t) for j in others)
            terms = [math.log(math.exp(anchor @ embeddings[j] / t) / total) for j in like]
            losses.append(-sum(terms) / len(like))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("forged", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_supervised_contrastive_equals_a_plain_loop(seed: int, forged: bool) -> None:
    embeddings, batch = drawn_batch(seed, n_images=12, forged=forged)
    loss, _ = objective(loss="supervised_contrastive", temperature=0.2)(3 * embeddings, batch)
    expected = plain_supervised_contrastive(embeddings.numpy(), batch, 0.2)
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_supervised_contrastive_equals_another_library(temperature: float) -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    embeddings, batch = drawn_batch(0)
    batch = PairedBatch(batch.labels, torch.arange(24), batch.same)  # it takes rows for images
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    loss, _ = objective(loss="supervised_contrastive", temperature=temperature)(ours, batch)
    expected = losses.SupConLoss(temperature=temperature)(theirs, batch.labels)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("loss", OBJECTIVES)
@pytest.mark.parametrize("mining", ["none", "batch"])
def test_a_batch_of_one_image_or_of_different_classes_gives_no_nan(loss: str, mining: str) -> None:
    one_image = PairedBatch(torch.zeros(4).long(), torch.zeros(4).long(), torch.tensor([True] * 2))
    all_different = PairedBatch(torch.arange(4), torch.arange(4), torch.tensor([False] * 2))
    for batch in (one_image, all_different):
        embeddings = torch.ones(4, 8, requires_grad=True)
        found, figures = objective(loss=loss, mining=mining, proxy_weight=1.0)(embeddings, batch)
        found.backward()
        assert embeddings.grad is not None
        assert torch.isfinite(embeddings.grad).all()
        assert all(torch.isfinite(value) for value in (found, *figures.values()))


@pytest.mark.parametrize("loss", OBJECTIVES)
def test_the_validation_loss_reads_no_drawn_pair_twice_and_changes_nothing(loss: str) -> None:
    """Both objectives: the same pairs in other batches, or in another order, are the same loss."""
    embeddings, pairs = drawn_batch(1)
    found = objective(loss=loss).validation_loss(embeddings.float(), pairs_as_rows(pairs), 12)
    if loss == "contrastive":
        distance = pair_distances(
            embeddings.float().numpy(), *torch.arange(24).reshape(2, -1).numpy()
        )
        plain = [plain_loss(d, s, 1.0) for d, s in zip(distance, pairs.same.tolist(), strict=True)]
        by_kind = [np.mean([x for x, s in zip(plain, pairs.same, strict=True) if s == kind])
                   for kind in (True, False)]  # fmt: skip
        assert found == pytest.approx(np.mean(by_kind))
    else:
        whole, _ = objective(loss=loss)(embeddings.float(), pairs_as_rows(pairs))
        assert found == pytest.approx(whole.item())


def plain_mean(pairs: list[tuple[float, bool]], margin: float, active_only: bool) -> float:
    """Half the mean over like pairs plus half the mean over unlike ones."""
    means = []
    for wanted in (True, False):
        losses = [
            plain_loss(distance, same, margin)
            for distance, same in pairs
            if same == wanted and (same or not active_only or distance < margin)
        ]
        means.append(sum(losses) / max(1, len(losses)))
    return sum(means) / 2


@pytest.mark.parametrize("mining", ["none", "batch"])
@pytest.mark.parametrize("proxy_weight", [0.0, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_with_forgeries_the_contrastive_loss_equals_a_plain_loop(
    mining: str, proxy_weight: float, seed: int
) -> None:
    """One is unlike all that is genuine and all proxies, and no pair with another forgery."""
    embeddings, batch = drawn_batch(seed, n_images=14, forged=True)
    network = new_network(embedding_dim=5)
    changed = params(mining=mining, proxy_weight=proxy_weight, margin=1.2)
    learned = OBJECTIVES["contrastive"](changed, 4, network).double()
    points, labels, index = embeddings.tolist(), batch.labels.tolist(), batch.index.tolist()
    half, rows = len(labels) // 2, range(len(labels))

    def pair(i: int, j: int) -> tuple[float, bool]:
        return math.dist(points[i], points[j]), labels[i] == labels[j] >= 0

    if mining == "none":
        pairs = [pair(i, half + i) for i in range(half)]
    else:
        pairs = [
            pair(i, j)
            for i in rows
            for j in rows
            if i < j and index[i] != index[j] and (labels[i] >= 0 or labels[j] >= 0)
        ]
    expected = plain_mean(pairs, 1.2, active_only=mining == "batch")
    if proxy_weight:
        proxies = torch.nn.functional.normalize(learned.proxies.detach(), dim=1).tolist()  # type: ignore[operator]
        met = [
            (math.dist(points[i], proxy), labels[i] == label)
            for i in rows
            for label, proxy in enumerate(proxies)
        ]
        expected += proxy_weight * plain_mean(met, 1.2, active_only=True)
        expected /= 1 + proxy_weight
    loss, figures = learned(embeddings, batch)
    assert loss.item() == pytest.approx(expected)
    unlike = [distance for distance, same in pairs if not same]
    assert figures["unlike_distance"].item() == pytest.approx(np.mean(unlike))


def pairs_as_rows(pairs: PairedBatch) -> PairedBatch:
    """The same pairs, of images that are the rows of the embeddings."""
    return PairedBatch(pairs.labels, torch.arange(len(pairs.index)), pairs.same)


def test_parts_of_a_batch_keep_lefts_and_rights_together() -> None:
    batch = PairedBatch(torch.arange(10) + 100, torch.arange(10), torch.arange(5) % 2 == 0)
    first, second, third = batch.parts(2)
    assert first.index.tolist() == [0, 1, 5, 6]
    assert second.labels.tolist() == [102, 103, 107, 108]
    assert third.index.tolist() == [4, 9]
    assert torch.cat([part.same for part in (first, second, third)]).equal(batch.same)


def test_an_unknown_loss_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="no such loss; did you mean `contrastive`"):
        params(loss="contrastiv")


def test_the_margin_concerns_the_contrastive_loss_alone() -> None:
    with pytest.raises(InputError, match=r"`train\.margin` is 2\.5"):
        objective(margin=2.5)
    objective(margin=2.5, loss="supervised_contrastive")
