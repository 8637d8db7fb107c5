from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from ebm_course.core import Loss
from ebm_course.objectives.frozen_nce_in_pieces import frozen_nce_in_pieces
from ebm_course.objectives.info_nce import Normaliser, frozen_nce

N, M, H, TAU, N_ROWS = 5, 23, 8, 0.07, 100
LOG_Z = torch.tensor(6.0)
KINDS = torch.arange(M) % 4
COUNTED = torch.tensor([[False] * N, [False, True, True, True, False], [True] * N, [True, False, True, True, False]])


def known() -> Normaliser:
    made = Normaliser(torch.device("cpu"))
    made.load_state_dict({"value": LOG_Z, "known": True})
    return made


def drawn(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Similarities of pairs (N,), anchors (N, H), both with a gradient, and rows (M, H)."""
    anchors, rows = (normalize(torch.randn(n, H, dtype=dtype), dim=1) for n in (N, M))
    return torch.rand(N, dtype=dtype).requires_grad_(), anchors.requires_grad_(), rows


def in_pieces(positive: Tensor, anchors: Tensor, rows: Tensor, piece: int = 7, **changes: Any) -> Loss:
    options: dict[str, Any] = {"kinds": KINDS, "counted": COUNTED, "log_z": LOG_Z, "n_rows": N_ROWS}
    return frozen_nce_in_pieces(positive, anchors, rows.split(piece), **options | {"temperature": TAU} | changes)


def of_a_table(positive: Tensor, anchors: Tensor, rows: Tensor, counted: Tensor = COUNTED) -> Loss:
    options: dict[str, Any] = {"normaliser": known(), "n_rows": N_ROWS, "temperature": TAU}
    return frozen_nce(positive, anchors @ rows.T, mask=counted[KINDS].T, **options)


@pytest.mark.parametrize("piece", [1, 7, M, 99])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_is_frozen_nce_of_the_whole_table_with_its_gradients(dtype: torch.dtype, piece: int) -> None:
    positive, anchors, rows = drawn(dtype)
    found, expected = in_pieces(positive, anchors, rows, piece), of_a_table(positive, anchors, rows)
    torch.testing.assert_close(found.value, expected.value)
    torch.testing.assert_close(found.terms, expected.terms)
    assert not any(term.requires_grad for term in found.terms.values())
    grads, others = (torch.autograd.grad(loss.value, (positive, anchors)) for loss in (found, expected))
    torch.testing.assert_close(grads, others)
    assert others[1].abs().amax(dim=1).gt(1e-3).tolist() == [True] * N


def test_the_temperature_of_a_frozen_normaliser_is_not_learned() -> None:
    learned, given = torch.tensor(0.25, requires_grad=True), drawn()
    expected = in_pieces(*given, temperature=0.25).value
    assert torch.equal(in_pieces(*given, temperature=learned.detach()).value, expected)
    with pytest.raises(ValueError, match="belongs to one temperature"):
        in_pieces(*given, temperature=learned)


def test_the_temperature_by_default_is_the_papers() -> None:
    positive, anchors, rows = drawn()
    options: dict[str, Any] = {"kinds": KINDS, "counted": COUNTED, "log_z": LOG_Z, "n_rows": N_ROWS}
    found = frozen_nce_in_pieces(positive, anchors, [rows], **options).value
    assert torch.equal(found, in_pieces(positive, anchors, rows, M, temperature=0.07).value)


def test_rows_that_do_not_count_change_nothing_whatever_they_hold() -> None:
    positive, anchors, rows = drawn()
    found = in_pieces(positive, anchors, torch.where(KINDS[:, None] == 0, 1e6, rows))
    expected = in_pieces(positive, anchors, rows)
    torch.testing.assert_close(found.value, expected.value)
    torch.testing.assert_close(found.terms, expected.terms)
    grads = (torch.autograd.grad(loss.value, (positive, anchors)) for loss in (found, expected))
    torch.testing.assert_close(*grads)


def test_an_anchor_without_negatives_costs_nothing_and_has_no_gradient() -> None:
    positive, anchors, rows = drawn()
    counted = COUNTED.clone()
    counted[:, 2] = False
    found = in_pieces(positive, anchors, rows, counted=counted)
    torch.testing.assert_close(found.value, of_a_table(positive, anchors, rows, counted).value)
    grads = torch.autograd.grad(found.value, (positive, anchors))
    assert all(g[2].eq(0).all() and g[3].ne(0).any() for g in grads)
    nothing = in_pieces(positive, anchors, rows, counted=torch.zeros_like(COUNTED))
    assert nothing.value.item() == 0 and nothing.terms["negative"] == 0
    assert all(g.eq(0).all() for g in torch.autograd.grad(nothing.value, (positive, anchors)))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_nothing_overflows_at_a_small_temperature(scale: float) -> None:
    positive, anchors, rows = drawn(torch.float32)
    found = in_pieces(positive, anchors, scale * rows)
    grads = torch.autograd.grad(found.value, (positive, anchors))
    assert found.value.isfinite() and all(g.isfinite().all() for g in grads)


def test_gradcheck_in_double_precision() -> None:
    positive, anchors, rows = drawn()
    assert torch.autograd.gradcheck(
        lambda p, a: in_pieces(p, a, rows, temperature=0.5, log_z=LOG_Z.double()).value, (positive, anchors)
    )


def test_sums_keep_their_digits_in_16_bits_and_under_autocast() -> None:
    positive, anchors, rows = (t.detach() for t in drawn(torch.float32))
    anchors = anchors.bfloat16()
    expected = in_pieces(positive, anchors.float(), rows).value
    assert torch.equal(in_pieces(positive, anchors, rows).value, expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(in_pieces(positive, anchors.float(), rows).value, expected)


class Largest(TorchDispatchMode):
    """The most numbers that a tensor made in between holds."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.numel = max([self.numel, *(t.numel() for t in (made,) if isinstance(t, Tensor))])
        return made


def test_no_table_of_all_rows_is_made_and_each_piece_is_asked_for_once() -> None:
    positive, anchors, rows = drawn()
    asked: list[int] = []

    def pieces() -> Iterator[Tensor]:
        for i in range(0, M, 4):
            asked.append(i)
            yield rows[i : i + 4]

    options: dict[str, Any] = {"kinds": KINDS, "counted": COUNTED, "log_z": LOG_Z, "n_rows": N_ROWS}
    with Largest() as seen:
        frozen_nce_in_pieces(positive, anchors, pieces(), **options).value.backward()
    assert asked == list(range(0, M, 4))
    assert seen.numel <= N * H < N * M


def test_bad_input_is_refused() -> None:
    positive, anchors, rows = (t.detach() for t in drawn())
    for bad in (0.0, -0.07, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^temperature: expected a number larger than 0, got"):
            in_pieces(positive, anchors, rows, temperature=bad)
    with pytest.raises(ValueError, match=r"^n_rows is a whole number: expected 1 or larger"):
        in_pieces(positive, anchors, rows, n_rows=0)
    with pytest.raises(ValueError, match=r"anchor for each of 5 pairs: expected real \(5, H\), got \(4, 8\)"):
        in_pieces(positive, anchors[:4], rows)
    with pytest.raises(ValueError, match=r"each of M > 0 rows has a kind: expected int64 \(M,\), got torch.float32"):
        in_pieces(positive, anchors, rows, kinds=KINDS.float())
    with pytest.raises(ValueError, match=r"negatives of each of 5 anchors: expected bool \(C, 5\), got torch.int64"):
        in_pieces(positive, anchors, rows, counted=COUNTED.long())
    with pytest.raises(ValueError, match=r"the rows that have kinds: expected 23, got 20\. Take both"):
        in_pieces(positive, anchors, rows[:20])
    with pytest.raises(ValueError, match=r"the rows that have kinds: expected 20, got 21 or more\. Take both"):
        in_pieces(positive, anchors, rows, kinds=KINDS[:20])
    with pytest.raises(ValueError, match=r"expected shape \(N,\), got \(5, 1\)"):
        in_pieces(positive[:, None], anchors, rows)
