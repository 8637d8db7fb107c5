from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.energies import reconstruction_head
from ebm_course.energies.reconstruction_head import UNKNOWN, Reconstructing, ReconstructionHead
from ebm_course.energies.text_classifier import TextClassifier

V, D, H = 9, 4, 6
TOKENS = torch.tensor([[2, 5, 7], [5, 2, 0]])
MASK = torch.tensor([[True, True, True], [True, True, False]])


def head(kept: Tensor | None = None) -> tuple[ReconstructionHead, nn.Embedding]:
    torch.manual_seed(0)
    embedding = nn.Embedding(V, D)
    made = ReconstructionHead(embedding, H, kept=kept)
    with torch.no_grad():
        made.bias.normal_()
    return made, embedding


def states() -> Tensor:
    return torch.randn(2, 3, H, generator=torch.Generator().manual_seed(1))


def test_the_decoder_is_the_word_embedding_and_learns_through_it() -> None:
    made, embedding = head()
    before = made(states())
    loss, _ = made.loss(states(), TOKENS, MASK)
    loss.backward()
    assert embedding.weight.grad is not None and embedding.weight.grad.ne(0).any()
    with torch.no_grad():
        embedding.weight[3] += 1.0
    after = made(states())
    assert torch.equal((after != before).any(dim=(0, 1)), torch.arange(V) == 3)


def test_the_table_is_neither_a_parameter_nor_in_the_state_of_the_head() -> None:
    made, embedding = head()
    assert all(p is not embedding.weight for p in made.parameters())
    assert set(made.state_dict()) == {"dense.weight", "dense.bias", "norm.weight", "norm.bias", "bias"}
    both = copy.deepcopy(nn.ModuleList([embedding, made]))
    copied: ReconstructionHead = both[1]  # type: ignore[assignment]
    assert copied.tied[0] is both[0] and copied.tied[0] is not embedding, "copied together, tied together"


@pytest.mark.parametrize("n_words, width, d, expected", [(30_000, 768, 128, 128_688), (V, H, D, 6 * 4 + 4 + 8 + 9)])
def test_it_has_the_parameters_of_alberts_head(n_words: int, width: int, d: int, expected: int) -> None:
    made = ReconstructionHead(nn.Embedding(n_words, d), width)
    assert sum(p.numel() for p in made.parameters()) == expected


def test_the_loss_is_the_mean_over_real_tokens_written_out() -> None:
    made, embedding = head()
    logits = F.layer_norm(F.gelu(made.dense(states())), (D,)) @ embedding.weight.T + made.bias
    log_p = logits.log_softmax(dim=2).gather(2, TOKENS[..., None])[..., 0]
    loss, right = made.loss(states(), TOKENS, MASK)
    torch.testing.assert_close(loss, -log_p[MASK].mean())
    torch.testing.assert_close(right, (logits.argmax(dim=2) == TOKENS)[MASK].float().mean())


def test_pads_change_nothing() -> None:
    made, _ = head()
    other = torch.where(MASK, TOKENS, 8)
    moved = torch.where(MASK[..., None], states(), 1e3)
    torch.testing.assert_close(made.loss(moved, other, MASK), made.loss(states(), TOKENS, MASK))


def test_where_the_rows_that_count_are_not_picked_loss_share_and_gradients_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (picked, _), (whole, _) = head(torch.tensor([2, 5])), head(torch.tensor([2, 5]))
    found = picked.loss(states(), TOKENS, MASK)
    found[0].backward()
    monkeypatch.setattr(reconstruction_head, "_counted", lambda *rows: rows)
    expected = whole.loss(states(), TOKENS, MASK)
    expected[0].backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close([p.grad for p in picked.parameters()], [p.grad for p in whole.parameters()])


def test_where_nothing_counts_the_loss_is_0() -> None:
    made, _ = head()
    loss, named = made.loss(states(), TOKENS, torch.zeros_like(MASK))
    loss.backward()
    assert (loss.item(), named.item()) == (0.0, 0.0)
    assert made.bias.grad is not None and not made.bias.grad.any()


def test_kept_words_have_the_logits_they_have_among_all() -> None:
    kept = torch.tensor([0, 2, 5, 7])
    whole, _ = head()
    some, _ = head(kept)
    some.load_state_dict({**whole.state_dict(), "bias": whole.bias[kept]})
    torch.testing.assert_close(some(states()), whole(states())[..., kept])
    log_p = whole(states())[..., kept].log_softmax(dim=2)
    expected = -log_p.gather(2, some.targets(TOKENS, torch.ones_like(MASK))[..., None])[..., 0][MASK].mean()
    torch.testing.assert_close(some.loss(states(), TOKENS, MASK)[0], expected)
    assert set(some.words(states()).flatten().tolist()) <= set(kept.tolist())


def test_targets_are_places_among_the_kept_and_unknown_elsewhere() -> None:
    made, _ = head(torch.tensor([2, 7]))
    assert made.targets(TOKENS, MASK).tolist() == [[0, UNKNOWN, 1], [UNKNOWN, 0, UNKNOWN]]


def test_words_are_the_likeliest_ids() -> None:
    made, _ = head()
    assert torch.equal(made.words(states()), made(states()).argmax(dim=2))


def test_called_with_a_mask_a_classifier_and_its_head_read_no_pad() -> None:
    torch.manual_seed(0)
    net = Reconstructing(TextClassifier(V, 2, width=8, n_heads=2)).eval()
    assert torch.equal(net(TOKENS, MASK), net.classifier(TOKENS, MASK))
    assert not torch.allclose(net(TOKENS, MASK)[1], net(TOKENS)[1])


@pytest.mark.parametrize("kept", [[3, 2], [2, 2], [-1, 2], [2, V], []])
def test_what_are_no_rising_ids_is_refused(kept: list[int]) -> None:
    with pytest.raises(ValueError, match="kept holds rising ids of 0 to 8, int64: got"):
        head(torch.tensor(kept, dtype=torch.int64))


def test_an_encoder_without_a_word_embedding_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected nn\.Embedding, got Linear"):
        ReconstructionHead(nn.Linear(3, 4), H)  # type: ignore[arg-type]
