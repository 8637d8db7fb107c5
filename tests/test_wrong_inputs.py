"""What the parts of chapters 7 to 12 refuse, in one sentence each: foreign tags, masks, numbers, and what diverged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Batch
from ebm_course.energies.bert import Bert
from ebm_course.energies.reconstruction_head import ReconstructionHead
from ebm_course.energies.spen import Spen, chain_energy
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.energies.word_encoder import WordEncoder
from ebm_course.objectives.compound import compound
from ebm_course.objectives.info_nce import Normaliser, frozen_nce, info_nce
from ebm_course.objectives.tagging_terms import annealed, l1_cost, local_cross_entropy, local_entropy
from ebm_course.samplers.forward_algorithm import log_partition, marginals
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.samplers.memory_bank import MemoryBank
from ebm_course.samplers.viterbi import viterbi
from ebm_course.tasks.agreement import agreement
from ebm_course.tasks.sentiment_language import bag_ceiling
from ebm_course.tasks.tagging_score import accuracy
from ebm_course.tasks.text import toy
from ebm_course.training.batches import Batches

N, L, K, NAN = 2, 3, 4, float("nan")
U, W, TAGS = torch.zeros(N, L, K), torch.zeros(K + 1, K + 1), torch.zeros(N, L, dtype=torch.int64)
X, MASK = TAGS[..., None], torch.tensor([[True, True, True], [True, False, False]])
FOREIGN, FLOATS, SHORT = TAGS + K, TAGS.float(), MASK[:, :2]
ROWS = torch.tensor([0])


def hurt(x: Tensor, value: float = NAN) -> Tensor:
    x = x.clone()
    x.view(-1)[0] = value
    return x


def encoder(**settings: Any) -> TokenEncoder:
    return TokenEncoder((5,), width=4, hidden=4, **settings)


def bank() -> MemoryBank:
    return MemoryBank(4, 2, labels=torch.tensor([0, 0, 1, 1]))


def stacked(tags: Tensor) -> Tensor:
    return InferenceNetworks(encoder(), K, parametrisation="stacked").cost_augmented(X, tags)


def frozen(n_rows: Any) -> object:
    return frozen_nce(torch.zeros(2), torch.zeros(2, 3), normaliser=Normaliser(torch.device("cpu")), n_rows=n_rows)


MASKS: dict[str, Callable[[Tensor], object]] = {
    "log Z": lambda mask: log_partition(U, W, mask),
    "viterbi": lambda mask: viterbi(U, W, mask),
    "chain energy": lambda mask: chain_energy(U, W, mask, TAGS),
    "SPEN": lambda mask: Spen(encoder(), K)(X, mask, TAGS),
    "token encoder": lambda mask: encoder()(X, mask),
    "word encoder": lambda mask: WordEncoder((5,), width=4)(X, mask),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("mask", [SHORT, MASK.long(), MASK.flip(1), MASK & (torch.arange(N) > 0)[:, None]])
def test_a_mask_of_other_shape_or_type_with_a_hole_or_an_empty_row_is_refused(name: str, mask: Tensor) -> None:
    with pytest.raises(ValueError, match=r"a mask says which tokens are real|row \d of the mask begins with a pad"):
        MASKS[name](mask)


@pytest.mark.parametrize("mask", [SHORT, MASK.float()])
def test_a_tag_language_model_refuses_a_foreign_mask(mask: Tensor) -> None:
    with pytest.raises(ValueError, match="a mask says which tags are real"):
        TagLanguageModel(K)(TAGS, mask)


@pytest.mark.parametrize("term", [stacked, lambda y: l1_cost(U, y), lambda y: local_cross_entropy(U, y)])
def test_gold_tags_that_are_none_are_refused(term: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match="a token is out of the vocabulary: expected 0 to 3, got 4 to 4"):
        term(FOREIGN)
    for tags in (FLOATS, TAGS[:, :2], TAGS.int()):
        with pytest.raises(ValueError, match="gold tags"):
            term(tags)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "transitions of a chain": (lambda: chain_energy(U, W[:3, :3], None, TAGS), "a chain of 4 tags has transitions"),
    "entropy of a row": (lambda: local_entropy(U[0]), "belong together token by token"),
    "entropy, mask": (lambda: local_entropy(U, SHORT), "belong together token by token"),
    "annealed to 0": (lambda: annealed(1.0, 0.5, until=0.0), "until > 0"),
    "annealed before": (lambda: annealed(1.0, -0.5), "from progress 0"),
    "annealed NaN": (lambda: annealed(NAN, 0.5), "got weight nan"),
    "no tags": (lambda: InferenceNetworks(encoder(), 0, parametrisation="shared"), "n_tags is a whole number"),
    "tags of SPEN": (lambda: Spen(encoder(), 1.5), "n_tags is a whole number"),  # type: ignore[arg-type]
    "width": (lambda: TagLanguageModel(2, width=2.5), "width is a whole number"),  # type: ignore[arg-type]
    "dropout NaN": (lambda: encoder(dropout=NAN), "dropout is a share: expected 0 to 1, got nan"),
    "dropout of words": (lambda: WordEncoder((5,), dropout=-1.0), "dropout is a share"),
    "dropout of texts": (lambda: TextClassifier(5, 2, width=8, dropout=2.0), "dropout is a share"),
    "inner width": (lambda: Bert(5, 2, width=8, n_heads=2, inner=0), "inner is a whole number"),
    "no token": (lambda: TextClassifier(5, 2, width=8)(TAGS[:, :0]), "a text has one token or more"),
    "head": (lambda: ReconstructionHead(nn.Embedding(5, 3), 0), "width is a whole number"),
    "rows of a bank": (lambda: bank().scores(torch.eye(2), ROWS + 9), "a bank of 4 rows was asked for others"),
    "others": (lambda: bank().negatives_of(ROWS, rows=ROWS + 9), "a bank of 4 rows was asked for others"),
    "labels": (lambda: bank().negatives_of(ROWS[None]), r"labels of anchors are int64 \(N,\)"),
    "anchors": (lambda: bank().scores(torch.eye(2).long()), "got .* of torch.int64"),
    "room": (lambda: bank().scores(torch.eye(2), ROWS, max_bytes=NAN), "max_bytes: expected 8 or more"),
    "newest": (lambda: bank().newest(-1), "n is a whole number"),
    "drawn": (lambda: bank().draw(-1, generator=torch.Generator()), "n is a whole number"),
    "state of a bank": (lambda: bank().load_state_dict({}), "no state of a bank: features, n_updates, written_at"),
    "negatives": (lambda: info_nce(torch.zeros(2), TAGS), "real similarities"),
    "n_rows NaN": (lambda: frozen(NAN), "n_rows is a whole number"),
    "n_rows 2.5": (lambda: frozen(2.5), "n_rows is a whole number"),
    "noise": (lambda: toy(n_train=2, n_valid=2, n_test=2, noise=2.0), "noise is a share"),
    "noise NaN": (lambda: bag_ceiling(NAN), "noise is a share"),
    "seed of texts": (lambda: toy(n_train=2, n_valid=2, n_test=2, seed=-1), "seed is a whole number"),
    "seed of tags": (lambda: agreement(seed=-1), "seed is a whole number"),
    "seed of batches": (lambda: Batches(Batch(TAGS), 1, seed=1.5), "seed is a whole number"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_sentence(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        call()


def test_energies_of_a_compound_loss_are_real_numbers() -> None:
    with pytest.raises(TypeError, match="e_test holds real energies"):
        compound(torch.zeros(2), e_test=torch.zeros(2).long())


DIVERGED: dict[str, Callable[[], object]] = {
    "viterbi": lambda: viterbi(hurt(U), W),
    "viterbi, transitions": lambda: viterbi(U, hurt(W)),
    "viterbi, infinite": lambda: viterbi(hurt(U, torch.inf), W),
    "marginals": lambda: marginals(hurt(U), W),
    "relaxed tags": lambda: accuracy(hurt(U), TAGS, MASK),
    "memory bank": lambda: bank().update(ROWS, torch.tensor([[NAN, 1.0]])),
    "memory bank, infinite": lambda: bank().update(ROWS, torch.tensor([[torch.inf, 1.0]])),
}


@pytest.mark.parametrize("name", DIVERGED)
def test_what_diverged_is_named_and_not_scored_or_kept(name: str) -> None:
    with pytest.raises(FloatingPointError, match=r"(diverged|loss that grew)\.$"):
        DIVERGED[name]()


def test_a_forbidden_transition_is_no_fault() -> None:
    forbidding = W.clone()
    forbidding[0, :] = -torch.inf
    assert torch.isfinite(viterbi(U, forbidding)[1]).all() and torch.isfinite(log_partition(U, forbidding)).all()
    torch.testing.assert_close(marginals(U, forbidding).sum(dim=2), torch.ones(N, L))
