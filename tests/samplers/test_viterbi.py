from __future__ import annotations

import pytest
import torch

from ebm_course.energies.spen import chain_energy
from ebm_course.samplers.viterbi import viterbi


@pytest.mark.parametrize("k", [1, 2, 4])
def test_it_finds_the_lowest_of_all_tags(chain, enumerated, k):
    lengths = [5, 1, 3, 2]
    unary, w, mask = chain(lengths, k)
    tags, energy = viterbi(unary, w, mask)
    for n, length in enumerate(lengths):
        states, energies = enumerated(unary[n, :length], w)
        assert tags[n, :length].tolist() == states[energies.argmin()].tolist()
        torch.testing.assert_close(energy[n], energies.min())
    assert tags.dtype == torch.int64 and tags[~mask].eq(0).all()


def test_the_energy_it_returns_is_that_of_its_tags(chain):
    unary, w, mask = chain([9, 4, 1, 7], 5)
    tags, energy = viterbi(unary, w, mask)
    torch.testing.assert_close(energy, chain_energy(unary, w, mask, tags))


def test_start_and_end_decide_where_nothing_else_does():
    unary, w = torch.zeros(2, 3, 3), torch.zeros(4, 4)
    w[3, 1], w[2, 3], w[3, 3] = 1.0, 2.0, 50.0  # first tag 1, last tag 2; the corner is not used
    tags, energy = viterbi(unary, w, torch.tensor([[True, True, True], [True, False, False]]))
    assert tags[0].tolist() == [1, 0, 2] and tags[1].tolist() == [2, 0, 0]
    assert energy.tolist() == [-3.0, -2.0]


def test_of_equal_tags_the_lowest_is_taken():
    tags, energy = viterbi(torch.zeros(1, 4, 3), torch.zeros(4, 4))
    assert tags.tolist() == [[0, 0, 0, 0]] and energy.tolist() == [0.0]


def test_pads_and_other_sentences_change_nothing_bit_for_bit(chain):
    lengths = [5, 1, 3, 2]
    unary, w, mask = (t if t.dtype == torch.bool else t.float() for t in chain(lengths, 4, longest=8))
    tags, energy = viterbi(unary, w, mask)
    other = torch.where(mask[..., None], unary, torch.nan)
    for found in (viterbi(other, w, mask), viterbi(unary[:, :5], w, mask[:, :5])):
        assert torch.equal(found[0][:, :5], tags[:, :5]) and torch.equal(found[1], energy)
    for n, length in enumerate(lengths):
        alone = viterbi(unary[n : n + 1, :length], w)
        assert torch.equal(alone[0][0], tags[n, :length]) and torch.equal(alone[1][0], energy[n])


def test_it_agrees_with_pytorch_crf(chain, peer):
    unary, w, mask = chain([9, 4, 1, 7], 6)
    crf = peer(w)
    tags, _ = viterbi(unary, w, mask)
    assert [row[keep].tolist() for row, keep in zip(tags, mask, strict=True)] == crf.decode(unary, mask)


def test_a_forbidden_transition_is_never_taken(chain):
    unary, w, mask = chain([30, 12], 4)
    w[1, 2] = -torch.inf
    tags, energy = viterbi(unary, w, mask)
    pairs = set(zip(tags[0, :-1].tolist(), tags[0, 1:].tolist(), strict=True))
    assert (1, 2) not in pairs and energy.isfinite().all()


def test_scores_that_do_not_belong_together_are_refused(chain):
    unary, w, mask = chain([3, 2], 4)
    with pytest.raises(ValueError, match=r"a chain of 4 tags has transitions \(5, 5\)"):
        viterbi(unary, w[:4, :4], mask)
    with pytest.raises(ValueError, match=r"scores of a chain are \(N, L, K\), L and K above 0: got \(3, 4\)"):
        viterbi(unary[0], w, mask)
    for bad in (mask.long(), mask[:, :2], mask[0]):
        with pytest.raises(ValueError, match=r"expected bool \(2, 3\), got"):
            viterbi(unary, w, bad)
    assert [len(t) for t in viterbi(unary[:0], w, mask[:0])] == [0, 0]
