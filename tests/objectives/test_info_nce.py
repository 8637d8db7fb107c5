from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

from ebm_course.objectives.info_nce import Normaliser, frozen_nce, info_nce
from ebm_course.objectives.nce import nce, ranking_nce

CPU = torch.device("cpu")
N, M, TAU = 5, 12, 0.07


def cosines() -> tuple[Tensor, Tensor]:
    a = normalize(torch.randn(N, 8, dtype=torch.float64), dim=1)
    b = normalize(torch.randn(N + M, 8, dtype=torch.float64), dim=1)
    return (a * b[:N]).sum(dim=1), a @ b[N:].T


def test_it_is_the_cross_entropy_of_a_full_softmax_over_a_tiny_bank() -> None:
    positive, negatives = cosines()
    full = torch.cat([positive[:, None], negatives], dim=1) / TAU
    expected = cross_entropy(full, torch.zeros(N, dtype=torch.int64))
    torch.testing.assert_close(info_nce(positive, negatives, temperature=TAU).value, expected)


def test_masked_negatives_are_as_if_they_were_not_there() -> None:
    positive, negatives = cosines()
    mask = torch.rand(N, M) < 0.5
    rows = [info_nce(positive[i : i + 1], negatives[i : i + 1, mask[i]]).value for i in range(N)]
    torch.testing.assert_close(info_nce(positive, negatives, mask=mask).value, torch.stack(rows).mean())
    other = torch.where(mask, negatives, 1e6)
    torch.testing.assert_close(
        info_nce(positive, other, mask=mask).terms, info_nce(positive, negatives, mask=mask).terms
    )


def test_it_is_ranking_nce_of_the_energies_under_a_constant_q() -> None:
    positive, negatives = cosines()
    zeros = {"log_q_data": torch.zeros(N), "log_q_noise": torch.zeros(N, M)}
    expected = ranking_nce(-positive / TAU, -negatives / TAU, **zeros).value
    torch.testing.assert_close(info_nce(positive, negatives, temperature=TAU).value, expected)


def test_nce_with_a_frozen_normaliser_is_nce_of_the_energies_against_a_uniform_draw() -> None:
    positive, negatives = cosines()
    normaliser = Normaliser(CPU)
    found = frozen_nce(positive, negatives, normaliser=normaliser, n_rows=100, temperature=TAU).value
    log_z = torch.cat([positive[:, None], negatives], dim=1).div(TAU).exp().mean().mul(100).log()
    q = torch.full((N,), -math.log(100), dtype=torch.float64)
    expected = nce(
        -positive / TAU + log_z,
        (-negatives / TAU + log_z).flatten(),
        log_q_data=q,
        log_q_noise=q.repeat_interleave(M),
        n_noise=M,
    ).value
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_each_row_counts_its_own_negatives() -> None:
    positive, negatives = cosines()
    mask = torch.rand(N, M) < 0.5
    mask[:, 0] = True
    normaliser = Normaliser(CPU)
    found = frozen_nce(positive, negatives, mask=mask, normaliser=normaliser, n_rows=40).value
    rows = [
        frozen_nce(positive[i : i + 1], negatives[i : i + 1, mask[i]], normaliser=normaliser, n_rows=40).value
        for i in range(N)
    ]
    torch.testing.assert_close(found, torch.stack(rows).mean())


def test_the_normaliser_is_that_of_the_first_batch_with_negatives_and_comes_back_from_its_state() -> None:
    positive, negatives = cosines()
    normaliser, none = Normaliser(CPU), torch.zeros(N, M, dtype=torch.bool)
    frozen_nce(positive, negatives, mask=none, normaliser=normaliser, n_rows=40)
    assert not normaliser.known, "of positives alone nothing is frozen"
    frozen_nce(positive, negatives, normaliser=normaliser, n_rows=40)
    first = normaliser.value.clone()
    frozen_nce(positive + 0.5, negatives - 0.5, normaliser=normaliser, n_rows=40)
    assert normaliser.known and torch.equal(normaliser.value, first)
    other = Normaliser(CPU)
    other.load_state_dict(normaliser.state_dict())
    assert torch.equal(other.log_z(positive, negatives, None, 7), first)
    assert not torch.equal(Normaliser(CPU).log_z(positive, negatives, None, 7), first)


@pytest.mark.parametrize("lacking", [False, True])
def test_processes_that_share_a_batch_freeze_the_normaliser_of_all_of_it(lacking: bool) -> None:
    positive, negatives = cosines()
    mask, halves = torch.rand(N, M) < 0.5, (slice(N // 2), slice(N // 2, N))
    mask[0] = ~mask[-1]
    if lacking:
        mask[halves[0]] = False  # one process has no negatives, and still freezes what the other has
    expected, own = Normaliser(CPU).log_z(positive, negatives, mask, 40), list[torch.Tensor]()

    def kept(x: torch.Tensor) -> torch.Tensor:
        own.append(x)
        return x

    parts = [(positive[half], negatives[half], mask[half], 40) for half in halves]
    alone = [Normaliser(CPU, gather=kept).log_z(*part) for part in parts]
    together = [Normaliser(CPU, gather=lambda x: torch.cat(own)) for _ in parts]
    for normaliser, part in zip(together, parts, strict=True):
        torch.testing.assert_close(normaliser.log_z(*part), expected)
        assert normaliser.known
    assert not torch.isclose(alone[0], alone[1], rtol=1e-3)


def test_the_first_normaliser_is_the_mean_over_positives_and_the_negatives_that_count() -> None:
    positive, negatives = torch.tensor([0.9, 0.1]), torch.tensor([[0.5, 90.0], [0.2, 0.8]])
    mask, normaliser = torch.tensor([[True, False], [True, True]]), Normaliser(CPU)
    frozen_nce(positive, negatives, mask=mask, normaliser=normaliser, n_rows=40, temperature=0.5)
    counted = torch.tensor([0.9, 0.1, 0.5, 0.2, 0.8]) / 0.5
    torch.testing.assert_close(normaliser.value, counted.exp().mean().log() + math.log(40))


def test_the_first_normaliser_is_a_constant_to_the_gradient_as_any_later_one() -> None:
    positive, negatives = (t.requires_grad_() for t in cosines())
    first, known = Normaliser(CPU), Normaliser(CPU)
    grads = []
    for normaliser in (first, known):
        loss = frozen_nce(positive, negatives, normaliser=normaliser, n_rows=40).value
        grads.append(torch.autograd.grad(loss, (positive, negatives)))
        known.load_state_dict(first.state_dict())
    assert not first.value.requires_grad
    torch.testing.assert_close(*grads)


def test_where_nothing_counts_the_mean_of_negatives_is_0_and_no_nan() -> None:
    positive, negatives = cosines()
    mask = torch.zeros(N, M, dtype=torch.bool)
    for loss in (
        info_nce(positive, negatives, mask=mask),
        frozen_nce(positive, negatives, mask=mask, normaliser=Normaliser(CPU), n_rows=9),
    ):
        assert loss.terms["negative"].item() == 0


def test_a_normaliser_keeps_no_tensor_of_the_state_that_it_was_given() -> None:
    state, normaliser = {"value": torch.tensor(2.0), "known": True}, Normaliser(CPU)
    normaliser.load_state_dict(state)
    state["value"].add_(1.0)
    assert normaliser.value.item() == 2.0


def test_the_temperature_by_default_is_the_papers() -> None:
    positive, negatives = cosines()
    assert torch.equal(info_nce(positive, negatives).value, info_nce(positive, negatives, temperature=0.07).value)
    found = [
        frozen_nce(positive, negatives, normaliser=Normaliser(CPU), n_rows=9, **more).value
        for more in ({}, {"temperature": 0.07})
    ]
    assert torch.equal(*found)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_nothing_overflows_at_a_small_temperature(scale: float) -> None:
    positive = (scale * torch.tensor([1.0, -1.0])).requires_grad_()
    negatives = (scale * torch.tensor([[1.0, 1.0], [1.0, -1.0]])).requires_grad_()
    for value in (
        info_nce(positive, negatives, temperature=TAU).value,
        frozen_nce(positive, negatives, normaliser=Normaliser(CPU), n_rows=2, temperature=TAU).value,
    ):
        grads = torch.autograd.grad(value, (positive, negatives))
        assert value.isfinite() and all(g.isfinite().all() for g in grads)
        assert (grads[0] <= 0).all() and (grads[1] >= 0).all()


def test_a_row_without_negatives_costs_nothing_and_has_no_gradient() -> None:
    positive, negatives = (t.requires_grad_() for t in cosines())
    mask = torch.zeros(N, M, dtype=torch.bool)
    for value in (
        info_nce(positive, negatives, mask=mask).value,
        frozen_nce(positive, negatives, mask=mask, normaliser=Normaliser(CPU), n_rows=9).value,
    ):
        grads = torch.autograd.grad(value, (positive, negatives))
        assert value.item() == 0 and all(g.eq(0).all() for g in grads)


def test_terms_are_mean_similarities_of_positives_and_of_negatives_that_count() -> None:
    positive, negatives = torch.tensor([0.9, 0.1]), torch.tensor([[0.5, 0.3], [0.2, 0.8]])
    for mask, mean in ((None, 0.45), (torch.tensor([[True, False], [True, True]]), 0.5)):
        for loss in (
            info_nce(positive, negatives, mask=mask),
            frozen_nce(positive, negatives, mask=mask, normaliser=Normaliser(CPU), n_rows=9),
        ):
            found = {name: round(float(x), 4) for name, x in loss.terms.items()}
            assert found == {"positive": 0.5, "negative": mean}


def literal(positive: Tensor, negatives: Tensor, mask: Tensor, log_z: Tensor, n_rows: int) -> tuple[Tensor, Tensor]:
    """Both losses word by word: what does not count is filled in, not multiplied away."""
    own, others = positive / TAU, (negatives / TAU).masked_fill(~mask, -torch.inf)
    exact = torch.cat([own[:, None], others], dim=1).logsumexp(dim=1) - own
    shift = log_z + mask.sum(dim=1).to(own.dtype).log() - math.log(n_rows)
    each = softplus(negatives / TAU - shift[:, None]).masked_fill(~mask, 0)
    return exact.mean(), (softplus(shift - own) + each.sum(dim=1)).mean()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_is_multiplied_away_leaves_the_values_and_gradients_of_the_literal_losses(dtype: torch.dtype) -> None:
    positive, negatives = (t.to(dtype).requires_grad_() for t in cosines())
    mask, normaliser = torch.rand(N, M) < 0.6, Normaliser(CPU)
    normaliser.log_z(positive.detach() / TAU, negatives.detach() / TAU, mask, 40)
    options: dict[str, Any] = {"mask": mask, "temperature": TAU}
    ours = (
        info_nce(positive, negatives, **options).value,
        frozen_nce(positive, negatives, **options, normaliser=normaliser, n_rows=40).value,
    )
    for one, other in zip(ours, literal(positive, negatives, mask, normaliser.value, 40), strict=True):
        torch.testing.assert_close(one, other)
        found, expected = (torch.autograd.grad(x, (positive, negatives), retain_graph=True) for x in (one, other))
        torch.testing.assert_close(found, expected)
        assert (found[1][~mask] == 0).all()


def test_gradcheck_in_double_precision() -> None:
    positive, negatives = (t.requires_grad_() for t in cosines())
    mask = torch.rand(N, M) < 0.7
    assert torch.autograd.gradcheck(
        lambda p, s: info_nce(p, s, mask=mask, temperature=0.5).value, (positive, negatives)
    )
    normaliser = Normaliser(CPU)
    normaliser.log_z(positive.detach(), negatives.detach(), None, 30)
    options: dict[str, Any] = {"mask": mask, "normaliser": normaliser, "n_rows": 30, "temperature": 0.5}
    assert torch.autograd.gradcheck(lambda p, s: frozen_nce(p, s, **options).value, (positive, negatives))


def test_bad_input_is_refused() -> None:
    positive, negatives = torch.zeros(3), torch.zeros(3, 2)
    for bad in (0.0, -0.07, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^temperature: expected a number larger than 0, got"):
            info_nce(positive, negatives, temperature=bad)
    with pytest.raises(ValueError, match=r"expected shape \(3, M\), got \(2, 2\) of torch.float32"):
        info_nce(positive, negatives[:2])
    with pytest.raises(ValueError, match=r"expected bool \(3, 2\), got torch.bool \(3, 1\)"):
        info_nce(positive, negatives, mask=torch.ones(3, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"expected shape \(N,\), got \(3, 1\)"):
        info_nce(positive[:, None], negatives)
    with pytest.raises(ValueError, match=r"^n_rows is a whole number: expected 1 or larger"):
        frozen_nce(positive, negatives, normaliser=Normaliser(CPU), n_rows=0)


def test_a_frozen_normaliser_takes_no_temperature_that_is_learned() -> None:
    positive, negatives = cosines()
    options: dict[str, Any] = {"normaliser": Normaliser(CPU), "n_rows": 3}
    frozen_nce(positive, negatives, temperature=torch.tensor(TAU), **options)  # type: ignore[arg-type]
    learned: Any = torch.tensor(TAU, requires_grad=True)
    with pytest.raises(
        ValueError, match=r"belongs to one temperature.*requires a gradient\. Pass float\(temperature\)"
    ):
        frozen_nce(positive, negatives, temperature=learned, **options)
    info_nce(positive, negatives, temperature=learned).value.backward()
    assert learned.grad is not None


def test_a_normaliser_is_not_frozen_on_a_number_that_is_not_finite() -> None:
    positive, negatives = cosines()
    normaliser: Any = Normaliser(CPU)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(FloatingPointError, match=r"log Z of a contrast is not finite.*that diverged\."):
            frozen_nce(positive * bad, negatives, normaliser=normaliser, n_rows=3)
        assert not normaliser.known and float(normaliser.value) == 0.0
    frozen_nce(positive, negatives, normaliser=normaliser, n_rows=3)
    assert normaliser.known and bool(normaliser.value.isfinite())
