"""Numbers of losses may be of any kind, energies and costs are real: the same loss, or a refusal in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.core import Loss
from ebm_course.objectives.compound import compound
from ebm_course.objectives.contrastive import contrastive
from ebm_course.objectives.frozen_nce_in_pieces import frozen_nce_in_pieces
from ebm_course.objectives.info_nce import Normaliser, frozen_nce, info_nce
from ebm_course.objectives.logistic import logistic
from ebm_course.objectives.margin import hinge, margin_rescaled
from ebm_course.objectives.nce import nce, ranking_nce
from ebm_course.objectives.score_matching import denoising_score_matching, implicit_score_matching
from ebm_course.objectives.tagging_terms import annealed

A, B = torch.tensor([0.5, -1.0]), torch.tensor([1.5, 2.0])
TABLE = torch.tensor([[0.5, 1.0, -0.5], [0.0, 2.0, 1.0]])
CPU = torch.device("cpu")


def in_pieces(**options: Any) -> Loss:
    kept: dict[str, Any] = {
        "kinds": torch.tensor([0, 1]),
        "counted": torch.ones(2, 2).bool(),
        "log_z": A[0],
        "n_rows": 2,
    }
    return frozen_nce_in_pieces(A, TABLE, options.pop("pieces", [TABLE]), **(kept | options))


LOSSES: dict[str, Callable[[Any], Loss]] = {
    "InfoNCE": lambda v: info_nce(A, TABLE, temperature=v),
    "frozen NCE": lambda v: frozen_nce(A, TABLE, normaliser=Normaliser(CPU), n_rows=3, temperature=v),
    "in pieces": lambda v: in_pieces(temperature=v),
    "compound": lambda v: compound(A, e_test=B, weight=v, truncate=False),
    "contrastive": lambda v: contrastive(A, B, l2=v),
    "logistic": lambda v: logistic(A, B, ratio=v),
    "NCE": lambda v: nce(A, B, log_q_data=A, log_q_noise=B, n_noise=v),
    "hinge": lambda v: hinge(A, B, margin=v),
    "denoising": lambda v: denoising_score_matching(TABLE, TABLE + 1, noise_std=v),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", [Decimal, Fraction, lambda v: torch.tensor([v]), torch.tensor])
def test_a_number_of_any_kind_gives_the_same_scalar_loss(name: str, kind: Callable[[float], Any]) -> None:
    value, expected = LOSSES[name](kind(0.5)).value, LOSSES[name](0.5).value
    assert value.shape == () and torch.allclose(value, expected)


def test_a_learned_weight_of_one_entry_keeps_its_graph() -> None:
    weight = torch.tensor([0.5], requires_grad=True)
    compound(B, e_test=A, weight=weight).value.backward()
    assert weight.grad is not None and weight.grad.item() == (B - A).mean().item()


WHOLE, COMPLEX = torch.tensor([[1, 2], [3, 4]]), torch.zeros(2, 2, dtype=torch.complex64)
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "whole energies of others": (lambda: margin_rescaled(A, WHOLE, cost=TABLE[:, :2].abs()), "e_other holds real"),
    "complex energies": (lambda: margin_rescaled(A, COMPLEX, cost=TABLE[:, :2].abs()), "e_other holds real"),
    "a cost of true and false": (lambda: margin_rescaled(A, TABLE, cost=TABLE > 0), "a cost says .* got torch.bool"),
    "a complex cost": (lambda: margin_rescaled(A, COMPLEX.real, cost=COMPLEX), "a cost says .* got torch.complex64"),
    "whole energies of noise": (
        lambda: ranking_nce(A, WHOLE, log_q_data=A, log_q_noise=TABLE[:, :2]),
        "e_noise holds real numbers, got torch.int64",
    ),
    "complex log q": (
        lambda: ranking_nce(A, TABLE[:, :2], log_q_data=A, log_q_noise=COMPLEX),
        "log_q_noise holds real numbers, got torch.complex64",
    ),
    "whole gradients": (lambda: implicit_score_matching(WHOLE, A), "gradient holds real numbers, got torch.int64"),
    "complex noise": (lambda: denoising_score_matching(TABLE[:, :2], COMPLEX, noise_std=1.0), "noise holds real"),
    "a mask as a list": (lambda: info_nce(A, TABLE, mask=(TABLE > 0).tolist()), "mask is a tensor: got a list"),  # type: ignore[arg-type]
    "pieces as lists": (lambda: in_pieces(pieces=TABLE.tolist()), "piece is a tensor: got a list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_real_is_refused(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(TypeError, match=words):
        call()


def test_pieces_and_kinds_are_those_of_the_anchors() -> None:
    with pytest.raises(ValueError, match=r"pieces are rows \(P, 3\), as wide as anchors: got \(2, 2\)"):
        in_pieces(pieces=[TABLE[:, :2]])
    for kinds in ([0, 2], [-1, 0]):
        with pytest.raises(ValueError, match="kinds are the rows of counted: expected 0 to 1, got"):
            in_pieces(kinds=torch.tensor(kinds))


def test_a_cost_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="a cost says how far F is from gold: expected 0 or larger, got nan"):
        compound(A, e_augmented=B, cost=torch.tensor([1.0, torch.nan]))


@pytest.mark.parametrize("numbers", [("a", 0.1), (1.0, "a"), (None, 0.1), (torch.ones(2), 0.1), (torch.inf, 1.0)])
def test_what_is_annealed_is_a_finite_number(numbers: Any) -> None:
    with pytest.raises(ValueError, match=r"is a number: expected a real one|a weight is annealed"):
        annealed(*numbers)


@pytest.mark.parametrize("known", ["no", torch.tensor([1, 0]), 1])
def test_a_normaliser_is_known_or_not(known: Any) -> None:
    normaliser = Normaliser(CPU)
    with pytest.raises(ValueError, match="log Z is known or not, True or False: got"):
        normaliser.load_state_dict({"value": torch.tensor(1.0), "known": known})
    assert not normaliser.known and normaliser.value == 0
    normaliser.load_state_dict({"value": torch.tensor(1.0, requires_grad=True), "known": True})
    assert not normaliser.value.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("masked", [False, True])
def test_a_contrast_with_more_rows_than_float16_can_count_is_that_of_float32(dtype: torch.dtype, masked: bool) -> None:
    """SST-2 has 66,477 rows, 957 more than the largest number of float16."""
    g = torch.Generator().manual_seed(0)
    positive, negatives = torch.rand(2, generator=g).to(dtype), torch.rand(2, 70_000, generator=g).to(dtype)
    mask = torch.rand(2, 70_000, generator=g) < 0.99 if masked else None

    def both(positive: Tensor, negatives: Tensor) -> list[Loss]:
        frozen = frozen_nce(positive, negatives, mask=mask, normaliser=Normaliser(CPU), n_rows=70_000)
        return [frozen, info_nce(positive, negatives, mask=mask)]

    for half, whole in zip(both(positive, negatives), both(positive.float(), negatives.float()), strict=True):
        assert torch.equal(half.value, whole.value)
        assert all(torch.equal(half.terms[name], value) for name, value in whole.terms.items())
