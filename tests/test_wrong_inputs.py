"""What the parts of chapters 7 to 12 refuse, in one sentence each: foreign tags, masks, numbers, and what diverged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Energy
from ebm_course.energies.bert import Bert
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.reconstruction_head import ReconstructionHead
from ebm_course.energies.spen import Spen, chain_energy
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.energies.word_encoder import WordEncoder
from ebm_course.objectives.compound import compound, compound_inference
from ebm_course.objectives.info_nce import Normaliser, frozen_nce, info_nce
from ebm_course.objectives.tagging_terms import annealed, l1_cost, local_cross_entropy, local_entropy
from ebm_course.samplers.beam import beam
from ebm_course.samplers.cky import cky, log_sum_of_trees
from ebm_course.samplers.forward_algorithm import log_partition, marginals
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.samplers.memory_bank import MemoryBank
from ebm_course.samplers.relaxed_descent import relaxed_descent
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.samplers.viterbi import viterbi
from ebm_course.tasks import images, text_task
from ebm_course.tasks.agreement import agreement
from ebm_course.tasks.arithmetic import arithmetic
from ebm_course.tasks.sentences import Sentence
from ebm_course.tasks.sentiment_language import bag_ceiling
from ebm_course.tasks.tagging import entity_score, gold_of, tag_score
from ebm_course.tasks.tagging_features import Features
from ebm_course.tasks.tagging_score import accuracy
from ebm_course.tasks.text import parts_of, toy
from ebm_course.tasks.text_sources import AG_NEWS
from ebm_course.tasks.toy2d import toy2d
from ebm_course.tasks.toy2d_densities import ring
from ebm_course.tasks.tree_language import tree_language, tree_score
from ebm_course.tasks.vocabulary import Vocabulary
from ebm_course.training.batches import Batches

NO_BUFFERS: tuple[Any, ...] = ({}, None, {"states": 3})
WRONG_LABELS: dict[str, Any] = {"states": torch.zeros(2, 3), "labels": [0, 1]}
N, L, K, NAN = 2, 3, 4, float("nan")
U, W, TAGS = torch.zeros(N, L, K), torch.zeros(K + 1, K + 1), torch.zeros(N, L, dtype=torch.int64)
LOGITS, LABELS = torch.zeros(N, 2), torch.tensor([0, 1])
X, MASK = TAGS[..., None], torch.tensor([[True, True, True], [True, False, False]])
FOREIGN, FLOATS, SHORT = TAGS + K, TAGS.float(), MASK[:, :2]
ROWS = torch.tensor([0])
SET = Vocabulary(Features(), ((),), ("A", "B", "C", "D"), ())
ENTITIES = Vocabulary(Features(), ((),), ("O", "B-A", "I-A", "B-B"), ())
SOME = [Sentence(("in", "it"), ("A", "B"))]
EMPTY = r"sentences are columns \(N, L, F\), L above 0: got \(2, 0, 1\)\. Leave empty ones out"
RULES, SCORES = torch.tensor([[0, 1, 2], [1, 0, 3]]), torch.zeros(2)


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


def by_place(y: Tensor) -> Tensor:
    return y.sum(dim=1).float()


def kept(n: int = N, length: int = L, kind: str = "c") -> Energy:
    """An energy that keeps what it has read of a prefix."""
    return GlobalEnergy(Spen(encoder(), K), kind, width=4, hidden=4).given(X[:n, :length])


def descent(x0: Tensor, mask: Tensor | None = None) -> Tensor:
    return relaxed_descent(
        lambda y: y[..., 0].sum(dim=1), x0, n_steps=1, step_size=1.0, mask=mask, generator=torch.Generator()
    ).x


def twice(encoder: nn.Module) -> nn.Module:
    return InferenceNetworks(encoder, K, parametrisation="separated", cost_encoder=encoder)


def beside(words: Tensor) -> Tensor:
    return TagLanguageModel(K, word_width=2)(TAGS, None, words)


def search(energy: Energy, x0: Tensor = TAGS, *, n_values: int = K, mask: Tensor | None = None) -> Tensor:
    return beam(energy, x0, n_steps=1, n_values=n_values, width=2, mask=mask, generator=torch.Generator()).x


class Flat(nn.Module):
    """An encoder that says what it returns a token, or that it says nothing, and returns four numbers."""

    def __init__(self, n_features: Any = None):
        super().__init__()
        if n_features is not None:
            self.n_features = n_features

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x.new_zeros(*x.shape[:2], 4, dtype=torch.float32)


ENCODED: dict[str, Callable[[Any], nn.Module]] = {
    "SPEN": lambda e: Spen(e, K),
    "A": lambda e: InferenceNetworks(e, K, parametrisation="shared"),
    "F": lambda e: InferenceNetworks(encoder(), K, parametrisation="separated", cost_encoder=e),
}


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("given", [Flat(), "words", Flat(0), Flat(-1), Flat(2.5), Flat("4")])
def test_an_encoder_that_does_not_say_what_it_returns_is_refused(name: str, given: Any) -> None:
    with pytest.raises(ValueError, match=r"an encoder is a module with n_features, 1 or more: got (Flat|str) with"):
        ENCODED[name](given)


def test_an_encoder_that_returns_other_features_than_it_says_is_refused() -> None:
    calls: dict[str, Callable[[nn.Module], object]] = {
        "SPEN": lambda made: made(X, None, TAGS),
        "A": lambda made: made.test_time(X),  # type: ignore[operator]
        "F": lambda made: made.cost_augmented(X, TAGS),  # type: ignore[operator]
    }
    for name, make in ENCODED.items():
        calls[name](make(Flat(4)))
        with pytest.raises(ValueError, match=r"an encoder that says n_features=7 returns \(N, L, 7\): got \(2, 3, 4\)"):
            calls[name](make(Flat(7)))


def test_a_language_model_with_words_needs_an_encoder_that_has_their_vectors() -> None:
    GlobalEnergy(Spen(Flat(4), K), "b")
    with pytest.raises(ValueError, match=r"kind 'c' reads vectors of words: expected an encoder with embed\(x\)"):
        GlobalEnergy(Spen(Flat(4), K), "c")


SEARCHES: dict[str, tuple[Callable[[], object], str]] = {
    "rows of another number": (lambda: search(kept(), TAGS[:1].repeat(3, 1)), "for each of 2 sentences"),
    "fewer rows": (lambda: search(kept(), TAGS[:1]), "for each of 2 sentences"),
    "shorter rows": (lambda: search(kept(), TAGS[:, :2]), "K rows of 3 tags"),
    "foreign tags": (lambda: search(kept(), FOREIGN), "a tag is outside the set"),
    "foreign tags, a function": (lambda: search(by_place, FOREIGN), "a tag is outside the set"),
    "more values": (
        lambda: search(kept(), n_values=K + 2),
        "n_values is the number of tags: expected 4 or fewer, got 6",
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_by_prefixes_refuses_other_rows_and_tags(name: str) -> None:
    call, words = SEARCHES[name]
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("kind", ["a", "b", "c"])
def test_a_search_by_prefixes_takes_no_sentence_and_sentences_of_one_word(kind: str) -> None:
    assert search(kept(0, kind=kind), TAGS[:0]).shape == (0, L)
    assert search(kept(N, 1, kind), TAGS[:, :1]).shape == (N, 1)


MASKS: dict[str, Callable[[Tensor], object]] = {
    "log Z": lambda mask: log_partition(U, W, mask),
    "viterbi": lambda mask: viterbi(U, W, mask),
    "chain energy": lambda mask: chain_energy(U, W, mask, TAGS),
    "SPEN": lambda mask: Spen(encoder(), K)(X, mask, TAGS),
    "token encoder": lambda mask: encoder()(X, mask),
    "word encoder": lambda mask: WordEncoder((5,), width=4)(X, mask),
    "best tree": lambda mask: cky(U, RULES, SCORES, mask),
    "sum of trees": lambda mask: log_sum_of_trees(U, RULES, SCORES, mask),
    "cost": lambda mask: l1_cost(U, TAGS, mask),
    "cost of tags": lambda mask: l1_cost(TAGS, TAGS, mask),
    "cross-entropy": lambda mask: local_cross_entropy(U, TAGS, mask),
    "entropy": lambda mask: local_entropy(U, mask),
    "tags as text": lambda mask: SET.texts(TAGS, mask),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("mask", [SHORT, MASK.long(), MASK.flip(1), MASK & (torch.arange(N) > 0)[:, None]])
def test_a_mask_of_other_shape_or_type_with_a_hole_or_an_empty_row_is_refused(name: str, mask: Tensor) -> None:
    with pytest.raises(
        ValueError,
        match=r"a mask says which tokens are real|row \d of the mask begins with a pad|belong together token by token",
    ):
        MASKS[name](mask)


@pytest.mark.parametrize("mask", [SHORT, MASK.float()])
def test_a_tag_language_model_refuses_a_foreign_mask(mask: Tensor) -> None:
    with pytest.raises(ValueError, match="a mask says which tokens are real"):
        TagLanguageModel(K)(TAGS, mask)


MOVED: dict[str, Callable[[Tensor], object]] = {
    "beam": lambda mask: search(by_place, mask=mask),
    "beam that keeps prefixes": lambda mask: search(kept(), mask=mask),
    "relaxed descent": lambda mask: descent(U + 1 / K, mask),
}


@pytest.mark.parametrize("name", MOVED)
@pytest.mark.parametrize("mask", [SHORT, MASK.float(), MASK[:1], MASK[0]])
def test_a_mask_that_does_not_say_what_moves_is_refused(name: str, mask: Tensor) -> None:
    with pytest.raises(ValueError, match=r"a mask says which positions may move: expected bool \(2, 3\)"):
        MOVED[name](mask)


@pytest.mark.parametrize("term", [stacked, lambda y: l1_cost(U, y), lambda y: local_cross_entropy(U, y)])
def test_gold_tags_that_are_none_are_refused(term: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(
        ValueError, match=r"a tag is outside the set: expected 0 to 3, got 4 to 4\. Number tags with one"
    ):
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
    "a cost below 0": (
        lambda: compound(SCORES, e_augmented=SCORES, cost=SCORES - 0.5),
        r"how far F is from gold: expected 0 or larger, got -0\.5",
    ),
    "a cost below 0 of the networks": (
        lambda: compound_inference(SCORES, e_augmented=SCORES, cost=SCORES - 0.5),
        "how far F is from gold",
    ),
    "a sum above 1": (lambda: descent(U + 1), r"sum to 1, got a row from 1 to 1 with the sum 4\. Start from"),
    "a number below 0": (lambda: descent(U + torch.tensor([1.5, -0.5, 0.0, 0.0])), "got a row from -0.5 to 1.5 with"),
    "an infinite number": (lambda: descent(hurt(U + 1 / K, torch.inf)), "distributions: .* with the sum inf"),
    "transitions below 0": (lambda: Spen(encoder(), K, init=-1), r"init bounds .* got -1\. Pass init=0\.02"),
    "transitions NaN": (lambda: Spen(encoder(), K, init=NAN), "init bounds .* 0 or larger, got nan"),
    "transitions of text": (lambda: Spen(encoder(), K, init="a"), "init is a number"),  # type: ignore[arg-type]
    "an empty sentence of SPEN": (lambda: Spen(encoder(), K)(X[:, :0], None, TAGS[:, :0]), EMPTY),
    "an empty sentence": (lambda: encoder()(X[:, :0]), EMPTY),
    "an empty sentence of words": (lambda: WordEncoder((5,), width=4)(X[:, :0]), EMPTY),
    "one encoder twice": (lambda: twice(encoder()), "got one object twice. Make a second, or take 'shared'"),
    "words of fewer sentences": (lambda: beside(torch.zeros(1, L, 2)), r"expected \(2, 3, 2\), got \(1, 3, 2\)"),
    "fewer words": (
        lambda: beside(torch.zeros(N, 2, 2)),
        r"expected \(2, 3, 2\), got \(2, 2, 2\)\. Cut tags and words",
    ),
    "words of one sentence": (lambda: beside(torch.zeros(L, 2)), r"expected \(2, 3, 2\), got \(3, 2\)"),
    "a tag that has no text": (lambda: SET.texts(FOREIGN, MASK), "a tag is outside the set: expected 0 to 3"),
    "a tag below 0 as text": (lambda: SET.texts(TAGS - 1, MASK), "a tag is outside the set: .* got -1 to 0"),
    "a tag twice": (lambda: Vocabulary.of(SOME, tags=("A", "B", "A")), "each of its tags once: got A more than once"),
    "least 0": (lambda: Vocabulary.of(SOME, least=0), "least is a whole number: expected 1 or larger, got 0"),
    "least 2.5": (lambda: Vocabulary.of(SOME, least=2.5), "least is a whole number"),  # type: ignore[arg-type]
    "batches of none": (lambda: SET.batches(SOME, 0), "size is a whole number: expected 1 or larger, got 0"),
    "no characters": (lambda: SET.characters_of(SOME, width=-1), "width is a whole number: expected 1 or larger"),
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
    "state of a bank, none": (lambda: bank().load_state_dict(None), "no state of a bank: features"),  # type: ignore[arg-type]
    "updates of a bank": (
        lambda: bank().load_state_dict({**bank().state_dict(), "n_updates": -5}),
        "n_updates is a whole",
    ),
    "rows of a later update": (
        lambda: bank().load_state_dict(
            {**bank().state_dict(), "written_at": torch.tensor([0, 1, 7, -1]), "n_updates": 2}
        ),
        r"updates 0 to 1, or never, -1: got -1 to 7",
    ),
    "half an update": (
        lambda: bank().load_state_dict({**bank().state_dict(), "written_at": torch.full((4,), -0.5)}),
        "real features and whole numbers of updates",
    ),
    "state of a normaliser": (
        lambda: Normaliser(torch.device("cpu")).load_state_dict({}),
        "no state of a normaliser: known, value",
    ),
    **{
        f"value of a normaliser, {value}": (
            partial(Normaliser(torch.device("cpu")).load_state_dict, {"value": value, "known": True}),
            r"log Z is a tensor \(\) of a real number: got .*\. Pass state_dict\(\)",
        )
        for value in (1.0, torch.zeros(3), torch.tensor(1))
    },
    **{
        f"no tensor as {name} of a bank": (
            partial(bank().load_state_dict, bank().state_dict() | {name: 3}),
            f"a state of a bank holds tensors: got {name} int",
        )
        for name in ("features", "written_at", "labels")
    },
    **{
        f"state of a buffer, {state}": (
            partial(ReplayBuffer(torch.zeros(2, 3)).load_state_dict, state),
            "this is no state of a buffer: expected tensors, got none as states",
        )
        for state in NO_BUFFERS
    },
    "labels of a buffer": (
        lambda: ReplayBuffer(torch.zeros(2, 3), LABELS).load_state_dict(
            WRONG_LABELS,
        ),
        "expected tensors, got none as labels",
    ),
    "dropout is text": (lambda: encoder(dropout="a"), "dropout is a number: expected a real one, got 'a'"),
    "dropout is True": (lambda: Bert(5, 2, width=8, n_heads=2, inner=8, dropout=True), "dropout is a number"),
    "whole numbers as scores of words": (lambda: cky(U.long(), RULES, SCORES), "scores are real numbers"),
    "a column of scores": (lambda: log_sum_of_trees(U, RULES, SCORES[:, None]), "and their scores"),
    "a number as scores": (lambda: cky(U, RULES, torch.tensor(0.0)), "and their scores"),
    "no text": (lambda: text_task.score(LOGITS[:0], Batch(TAGS[:0], LABELS[:0])), "N > 0, against labels"),
    "labels of real numbers": (
        lambda: text_task.score(LOGITS[:, 0], Batch(TAGS, LABELS)),
        "of torch.float32 for 2 texts",
    ),
    "a label of a text": (lambda: text_task.score(LOGITS, Batch(TAGS, LABELS + 2)), "a label is out of range"),
    "negatives": (lambda: info_nce(torch.zeros(2), TAGS), "real similarities"),
    "n_rows NaN": (lambda: frozen(NAN), "n_rows is a whole number"),
    "n_rows 2.5": (lambda: frozen(2.5), "n_rows is a whole number"),
    "noise": (lambda: toy(n_train=2, n_valid=2, n_test=2, noise=2.0), "noise is a share"),
    "noise NaN": (lambda: bag_ceiling(NAN), "noise is a share"),
    "seed of texts": (lambda: toy(n_train=2, n_valid=2, n_test=2, seed=-1), "seed is a whole number"),
    "seed of texts from files": (
        lambda: parts_of(AG_NEWS, (2, 2, 2), seed=-1, folder="nowhere"),
        "seed is a whole number",
    ),
    "seed of equations": (lambda: arithmetic(2, n_train=2, n_valid=2, n_test=2, seed=-1), "seed is a whole number"),
    "equations": (lambda: arithmetic(2, n_train=-2, n_valid=2, n_test=2), "n_train is a whole number"),
    "digits": (lambda: arithmetic(2.5), "n_digits is a whole number"),  # type: ignore[arg-type]
    "points": (lambda: toy2d(ring(), n_valid=-1), "n_valid is a whole number"),
    "sentences": (lambda: agreement(n_test=0), "n_test is a whole number: expected 1 or larger, got 0"),
    "trees": (lambda: tree_language(n_train=-1), "n_train is a whole number: expected 1 or larger"),
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
    "log Z": lambda: log_partition(hurt(U), W),
    "log Z, infinite": lambda: log_partition(hurt(U, torch.inf), W),
    "log Z, transitions": lambda: log_partition(U, hurt(W)),
    "marginals": lambda: marginals(hurt(U), W),
    "relaxed tags": lambda: accuracy(hurt(U), TAGS, MASK),
    "memory bank": lambda: bank().update(ROWS, torch.tensor([[NAN, 1.0]])),
    "best tree": lambda: cky(hurt(U), RULES, SCORES),
    "best tree, infinite": lambda: cky(hurt(U, torch.inf), RULES, SCORES),
    "best tree, rules": lambda: cky(U, RULES, hurt(SCORES)),
    "logits of images": lambda: images.score(hurt(LOGITS), Batch(torch.zeros(N, 1, 8, 8), LABELS)),
    "logits of images, infinite": lambda: images.score(
        hurt(LOGITS, -torch.inf), Batch(torch.zeros(N, 1, 8, 8), LABELS)
    ),
    "logits of texts": lambda: text_task.score(hurt(LOGITS), Batch(TAGS, LABELS)),
    "memory bank, its state": lambda: bank().load_state_dict(
        {**bank().state_dict(), "features": hurt(torch.zeros(4, 2))}
    ),
    "normaliser, its state": lambda: Normaliser(torch.device("cpu")).load_state_dict(
        {"value": torch.tensor(NAN), "known": True}
    ),
    "states of a buffer": lambda: ReplayBuffer(torch.zeros(2, 3)).load_state_dict({"states": hurt(torch.zeros(2, 3))}),
    "memory bank, infinite": lambda: bank().update(ROWS, torch.tensor([[torch.inf, 1.0]])),
}


@pytest.mark.parametrize("name", DIVERGED)
def test_what_diverged_is_named_and_not_scored_or_kept(name: str) -> None:
    with pytest.raises(FloatingPointError, match=r"(diverged|loss that grew)\.$"):
        DIVERGED[name]()


SCORED: dict[str, Callable[..., dict[str, float]]] = {
    "tags": tag_score(SET),
    "entities": entity_score(ENTITIES),
    "trees": tree_score(SET),
}


@pytest.mark.parametrize("name", SCORED)
def test_what_is_scored_are_tags_of_the_set(name: str) -> None:
    score, batch = SCORED[name], Batch(X, TAGS, MASK)
    for tags, got in ((TAGS + 7, "got 0 to 7"), (TAGS - 1, "got -1 to 0")):
        with pytest.raises(ValueError, match=f"a tag is outside the set: expected 0 to 3, {got}"):
            score(tags, batch)
        with pytest.raises(ValueError, match=f"a tag is outside the set: expected 0 to 3, {got}"):
            score(TAGS, Batch(X, tags, MASK))
    with pytest.raises(ValueError, match=r"a number for each tag of the set: expected \(N, L, 4\), got \(2, 3, 9\)"):
        score(torch.zeros(N, L, 9), batch)
    at_pads = TAGS.masked_fill(~MASK, 7)
    assert score(at_pads, batch) == score(TAGS, batch) and score(TAGS, batch)["accuracy"] == 1.0


@pytest.mark.parametrize("name", [*SCORED, "gold"])
def test_a_score_refuses_a_mask_that_is_no_sentence(name: str) -> None:
    bad = {"starts with off": MASK.flip(1), "has a hole": torch.tensor([[True, False, True]] * N)}
    for said, mask in (bad | {"has no real token": MASK & False}).items():
        batch = Batch(X, TAGS, mask)
        with pytest.raises(ValueError, match=said):
            _ = gold_of(batch) if name == "gold" else SCORED[name](TAGS, batch)


def test_what_rounds_is_no_fault() -> None:
    compound(SCORES, e_augmented=SCORES, cost=SCORES - 1e-5)  # of relaxed tags whose rows sum to a little above 1
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        for k in (3, 25):
            descent(torch.full((N, L, k), 1 / k, dtype=dtype))
    held = torch.where(MASK[..., None], 1 / K, torch.zeros(N, L, K))  # rows of zeros at pads, which stay
    assert torch.equal(descent(held, MASK)[~MASK], held[~MASK])


def test_a_forbidden_transition_is_no_fault() -> None:
    forbidding = W.clone()
    forbidding[0, :] = -torch.inf
    assert torch.isfinite(viterbi(U, forbidding)[1]).all() and torch.isfinite(log_partition(U, forbidding)).all()
    torch.testing.assert_close(marginals(U, forbidding).sum(dim=2), torch.ones(N, L))


@pytest.mark.parametrize("name", MASKS)
def test_a_list_is_no_mask(name: str) -> None:
    with pytest.raises(ValueError, match=r"mask .*got.* a list"):
        MASKS[name](MASK.tolist())


@pytest.mark.parametrize("call", [viterbi, log_partition, marginals])
def test_scores_of_a_chain_are_a_real_tensor(call: Callable[..., object]) -> None:
    for unary, got in ((U.tolist(), "a list"), (U.to(torch.complex64), "torch.complex64")):
        with pytest.raises(TypeError, match=f"scores of a chain are a tensor of real numbers: got {got}"):
            call(unary, W)
    with pytest.raises(TypeError, match="transitions of a chain are a tensor of real numbers: got a list"):
        call(U, W.tolist())
