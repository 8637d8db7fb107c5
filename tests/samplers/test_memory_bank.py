from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ebm_course.samplers import memory_bank
from ebm_course.samplers.memory_bank import MemoryBank

LABELS = torch.tensor([0, 1, 0, 2, 1, 0])
ROWS = torch.arange(50)


def bank(momentum: float = 0.5) -> MemoryBank:
    return MemoryBank(6, 2, labels=LABELS, momentum=momentum)


def filled(n: int = 50, width: int = 8, seed: int = 0) -> MemoryBank:
    g = torch.Generator().manual_seed(seed)
    made = MemoryBank(n, width, labels=torch.randint(3, (n,), generator=g))
    made.update(torch.arange(n), torch.randn(n, width, generator=g))
    return made


def test_an_update_mixes_unit_vectors_and_makes_a_unit_vector_again() -> None:
    b = bank(momentum=0.25)
    b.update(torch.tensor([1]), torch.tensor([[3.0, 4.0]]))
    assert torch.allclose(b.features[1], torch.tensor([0.6, 0.8])), "the first feature is taken as it is"
    b.update(torch.tensor([1]), torch.tensor([[0.0, 7.0]]))
    mixed = torch.tensor([0.25 * 0.6, 0.25 * 0.8 + 0.75])
    torch.testing.assert_close(b.features[1], mixed / mixed.norm())
    assert b.features[[0, 2, 3, 4, 5]].eq(0).all()


def test_every_written_row_has_norm_one() -> None:
    b = filled()
    for seed in range(3):
        rows = torch.randperm(50, generator=torch.Generator().manual_seed(seed))[:20]
        b.update(rows, 1e3 * torch.randn(20, 8, generator=torch.Generator().manual_seed(seed)))
    torch.testing.assert_close(b.features.norm(dim=1), torch.ones(50))


@pytest.mark.parametrize("scale", [1e30, 3e38, 1e19, 1e-13, 1e-30, 1e-40])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_feature_whose_squares_are_no_numbers_has_its_direction_all_the_same(scale: float, momentum: float) -> None:
    b = bank(momentum)
    b.update(torch.tensor([0, 1]), torch.tensor([[scale, scale], [0.0, -scale]]))
    torch.testing.assert_close(b.features[:2], torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, -1.0]]))


def test_features_of_usual_size_are_mixed_to_the_same_bits_as_by_the_formula() -> None:
    g = torch.Generator().manual_seed(0)
    new, b = torch.randn(50, 768, generator=g) * torch.logspace(-8, 8, 50)[:, None], MemoryBank(50, 768, labels=ROWS)
    b.update(ROWS, torch.randn(50, 768, generator=g))
    expected = normalize(0.5 * b.features + 0.5 * normalize(new, dim=1), dim=1)
    b.update(ROWS, new)
    assert torch.equal(b.features, expected)


def test_a_row_without_a_direction_stays_as_it_was_and_as_old() -> None:
    b, opposite = bank(momentum=0.5), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    b.update(torch.tensor([0, 1, 2]), opposite)
    assert b.fresh().tolist() == [True, True] + [False] * 4, "a feature of 0 is none"
    b.update(torch.tensor([0, 1, 2]), torch.tensor([[-1.0, 0.0], [0.0, 0.0], [0.0, 2.0]]))
    assert b.features[:3].tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    assert b.written_at.tolist() == [0, 0, 1, -1, -1, -1] and b.n_updates == 2


def test_the_age_of_each_row_is_known() -> None:
    b = bank()
    assert b.ages.tolist() == [0] * 6 and not b.fresh().any()
    for rows in ([0, 1], [2, 3], [1, 4]):
        b.update(torch.tensor(rows), torch.ones(2, 2))
    assert b.ages.tolist() == [2, 0, 1, 1, 0, 3]
    assert b.fresh(1).tolist() == [False, True, False, False, True, False]
    assert b.fresh(2).tolist() == [False, True, True, True, True, False]
    assert b.fresh().tolist() == b.fresh(3).tolist() == b.fresh(99).tolist() == [True] * 5 + [False]
    assert sorted(b.newest(4).tolist()) == [1, 2, 3, 4] and sorted(b.newest(99).tolist()) == list(range(6))


def test_negatives_are_written_rows_of_another_label_and_as_fresh_as_asked() -> None:
    b = bank()
    for rows in ([0, 1], [2, 3], [1, 4]):
        b.update(torch.tensor(rows), torch.ones(2, 2))
    anchors = torch.tensor([0, 1])
    assert b.negatives_of(anchors).tolist() == [
        [False, True, False, True, True, False],
        [True, False, True, True, False, False],
    ]
    assert b.negatives_of(anchors, last_k=2)[1].tolist() == [False, False, True, True, False, False]
    some = torch.tensor([3, 0])
    assert b.negatives_of(anchors, rows=some).tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize("last_k", [None, 1])
@pytest.mark.parametrize("values", [[0, 1, 2], [-5, 3, 10**12]])
def test_kinds_of_rows_say_which_are_negatives_label_by_label(values: list[int], last_k: int | None) -> None:
    g = torch.Generator().manual_seed(0)
    b = MemoryBank(50, 2, labels=torch.tensor(values)[torch.randint(3, (50,), generator=g)])
    for _ in range(2):
        b.update(torch.randperm(50, generator=g)[:30], torch.ones(30, 2))
    anchors, rows = torch.tensor([values[0], values[2], 7]), torch.randperm(50, generator=g)[:31]
    for some in (None, rows):
        kinds, counted = b.kinds_of(anchors, rows=some, last_k=last_k)
        own, fresh = (t if some is None else t[some] for t in (b.labels, b.fresh(last_k)))
        assert torch.equal(counted[kinds].T, fresh & (own != anchors[:, None])) and counted.shape == (4, 3)
        assert torch.equal(b.negatives_of(anchors, rows=some, last_k=last_k), counted[kinds].T)
        assert 0 < fresh.sum() < len(own)


@pytest.mark.parametrize("max_bytes, cached", [(math.inf, 1 << 20), (8 * 4 * 7 + 3, 1 << 20), (math.inf, 8 * 4 * 7)])
def test_pieces_are_the_rows_in_their_order_as_large_as_set(
    max_bytes: float, cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_bank, "CACHED_BYTES", cached)
    b = filled()
    rows = b.draw(31, generator=torch.Generator().manual_seed(2))
    found = list(b.pieces(rows, max_bytes=max_bytes))
    assert torch.equal(torch.cat(found), b.features[rows])
    assert [len(piece) for piece in found] == ([31] if min(max_bytes, cached) >= 1 << 20 else [7, 7, 7, 7, 3])
    whole = list(b.pieces(max_bytes=max_bytes))
    assert torch.equal(torch.cat(whole), b.features) and len(whole[0]) == (50 if cached >= 1 << 20 else 7)
    assert whole[0].data_ptr() == b.features.data_ptr(), "all rows are read where they lie"


@pytest.mark.parametrize("max_bytes", [math.inf, 8 * 4, 8 * 4 * 7 + 3])
def test_products_in_pieces_are_those_of_the_whole_with_their_gradients(max_bytes: float) -> None:
    b = filled()
    rows = b.draw(31, generator=torch.Generator().manual_seed(2))
    a = torch.randn(5, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weights = torch.randn(5, 31, generator=torch.Generator().manual_seed(3))
    found = b.scores(a, rows, max_bytes=max_bytes)
    (g,) = torch.autograd.grad((found * weights).sum(), a)
    expected = b.scores(a)[:, rows]
    (other,) = torch.autograd.grad((expected * weights).sum(), a)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(g, other)


def largest_copy(max_bytes: float) -> int:
    """Bytes of the largest tensor made by a product with all rows and its gradient."""
    b, a = filled(2_000, 64), torch.randn(4, 64, requires_grad=True)
    rows = torch.arange(2_000)
    with torch.profiler.profile(profile_memory=True) as seen:
        b.scores(a, rows, max_bytes=max_bytes).sum().backward()
    return max(event.cpu_memory_usage for event in seen.events())


def test_the_memory_of_a_gather_is_bounded_as_set() -> None:
    whole, bounded = largest_copy(math.inf), largest_copy(64 * 4 * 100)
    scores = 4 * 2_000 * 4  # (N, M) itself
    assert whole >= 2_000 * 64 * 4 and bounded <= 3 * scores < whole / 4


def test_a_bank_changed_before_the_gradient_is_refused() -> None:
    b = filled()
    loss = b.scores(torch.ones(1, 8, requires_grad=True), torch.arange(9), max_bytes=64).sum()
    b.update(torch.tensor([3]), torch.ones(1, 8))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_drawn_rows_differ_and_are_as_many_as_there_are() -> None:
    b = filled()
    rows = b.draw(20, generator=torch.Generator().manual_seed(0))
    assert len(rows.unique()) == 20 and len(b.draw(99, generator=torch.Generator().manual_seed(0))) == 50


def test_a_bank_made_in_inference_mode_can_be_changed_and_learned_from_outside_of_it() -> None:
    with torch.inference_mode():
        made = MemoryBank(6, 2, labels=LABELS.clone())
        made.update(torch.tensor([1]), torch.tensor([[3.0, 4.0]]))
    made.update(torch.tensor([0]), torch.tensor([[0.0, 2.0]]))
    anchors = torch.tensor([[1.0, 0.0]], requires_grad=True)
    made.scores(anchors).sum().backward()
    torch.testing.assert_close(anchors.grad, torch.tensor([[0.6, 1.8]]))
    made.load_state_dict(bank().state_dict())
    assert not made.fresh().any() and made.negatives_of(torch.tensor([0])).shape == (1, 6)


def test_its_state_comes_back_and_that_of_another_size_is_refused() -> None:
    b, other = filled(), filled(seed=1)
    other = MemoryBank(50, 8, labels=b.labels)
    b.update(torch.tensor([4, 9]), torch.ones(2, 8))
    other.load_state_dict(b.state_dict())
    assert torch.equal(other.features, b.features) and torch.equal(other.ages, b.ages)
    with pytest.raises(ValueError, match=r"holds features \(50, 8\): got \(6, 2\)\. Build it with as many rows"):
        other.load_state_dict(bank().state_dict())


def test_a_state_of_other_labels_is_refused_and_one_without_labels_is_taken() -> None:
    b, other = filled(), filled(seed=1)
    before = other.features.clone()
    with pytest.raises(ValueError, match=r"a bank with other labels: expected this one's\. Build it for"):
        other.load_state_dict(b.state_dict())
    assert torch.equal(other.features, before), "nothing of it was taken"
    older = {name: x for name, x in b.state_dict().items() if name != "labels"}
    other.load_state_dict(older)
    assert torch.equal(other.features, b.features)


def test_bad_input_is_refused() -> None:
    b = bank()
    wrong: list[tuple[Tensor, Tensor]] = [
        (torch.tensor([6]), torch.ones(1, 2)),
        (torch.tensor([-1]), torch.ones(1, 2)),
        (torch.tensor([2, 2]), torch.ones(2, 2)),
        (torch.tensor([2]), torch.ones(1, 3)),
        (torch.tensor([2.0]), torch.ones(1, 2)),
    ]
    for rows, features in wrong:
        with pytest.raises(ValueError, match=r"a bank of 6 rows of width 2 takes features \(N, 2\)"):
            b.update(rows, features)
    assert b.n_updates == 0
    with pytest.raises(
        ValueError, match=r"features of width 2: expected anchors \(N, 2\), got \(4, 3\) of torch.float32"
    ):
        b.scores(torch.ones(4, 3))
    with pytest.raises(ValueError, match=r"max_bytes: expected 8 or more, a row of this bank, got 7"):
        b.scores(torch.ones(4, 2), torch.arange(2), max_bytes=7)
    with pytest.raises(ValueError, match=r"max_bytes: expected 8 or more, a row of this bank, got 7"):
        b.pieces(torch.arange(2), max_bytes=7)
    with pytest.raises(ValueError, match=r"a label a row: expected int64 \(5,\), got torch.int64 \(6,\)"):
        MemoryBank(5, 2, labels=LABELS)
    with pytest.raises(ValueError, match=r"a label a row: expected int64 \(6,\), got a list\. Pass those"):
        MemoryBank(6, 2, labels=LABELS.tolist())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"momentum: expected 0 or more and below 1, got 1\.0"):
        bank(momentum=1.0)
    with pytest.raises(ValueError, match="last_k is a whole number: expected 1 or larger"):
        b.fresh(0)


def test_features_of_norm_one_give_cosines() -> None:
    b = filled()
    a = normalize(torch.randn(7, 8, generator=torch.Generator().manual_seed(5)), dim=1)
    assert b.scores(a).abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_a_feature_of_double_precision_has_its_direction_whatever_its_size(size: float) -> None:
    b = bank()
    b.update(torch.tensor([2]), torch.tensor([[3 * size, 4 * size]], dtype=torch.float64))
    torch.testing.assert_close(b.features[2], torch.tensor([0.6, 0.8]))


def test_what_is_no_real_tensor_is_called_so() -> None:
    b, row = bank(), torch.tensor([0])
    calls: dict[str, Callable[[], object]] = {
        "rows is a tensor: got a list": lambda: b.update([0], torch.ones(1, 2)),  # type: ignore[arg-type]
        "features is a tensor: got a list": lambda: b.update(row, [[1.0, 2.0]]),  # type: ignore[arg-type]
        "anchors is a tensor: got a list": lambda: b.scores([[1.0, 2.0]]),  # type: ignore[arg-type]
        "labels is a tensor: got a list": lambda: b.negatives_of([0]),  # type: ignore[arg-type]
    }
    for words, call in calls.items():
        with pytest.raises(TypeError, match=words):
            call()
    with pytest.raises(ValueError, match=r"got features \(1, 2\) of torch\.complex64"):
        b.update(row, torch.ones(1, 2, dtype=torch.complex64))
    with pytest.raises(ValueError, match="max_bytes is a number: expected a real one, got 'all'"):
        b.scores(torch.ones(4, 2), row, max_bytes="all")  # type: ignore[arg-type]


def test_a_state_with_a_graph_leaves_it_behind_and_rows_of_another_norm_are_refused() -> None:
    state = filled().state_dict()
    b = filled()
    b.load_state_dict(state | {"features": state["features"].clone().requires_grad_()})
    assert not b.features.requires_grad
    for features in (state["features"] * 5, torch.full_like(state["features"], 1e300, dtype=torch.float64)):
        with pytest.raises(ValueError, match="rows of a bank have norm 1, or 0 where never written: got norms from"):
            b.load_state_dict(state | {"features": features})
    assert torch.equal(b.features, state["features"])


def test_no_row_is_drawn_where_none_is_asked_for() -> None:
    assert len(filled().draw(0, generator=torch.Generator())) == 0


def test_features_in_16_bits_have_their_direction_in_float32() -> None:
    found, features = [], torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
    for given in (features, features.float()):
        found.append(bank())
        found[-1].update(torch.arange(6), given)
    assert torch.equal(found[0].features, found[1].features)


def test_a_row_written_in_an_update_that_was_not_is_refused() -> None:
    state = filled().state_dict()
    for number in (1, -2):  # of one update, number 0
        state["written_at"] = torch.full((50,), number)
        with pytest.raises(ValueError, match=r"rows were written in updates 0 to 0, or never, -1: got"):
            filled().load_state_dict(state)
