"""Laws and sums over a sentence stay right where scores have 16 bits, and under a reader's autocast or default type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch
from torch import Tensor

from ebm_course.energies.completions import ChainCompletions, ModelCompletions, Sentence
from ebm_course.energies.spen import chain_energy
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.objectives.info_nce import Normaliser, frozen_nce
from ebm_course.objectives.tagging_terms import l1_cost, local_cross_entropy, local_entropy
from ebm_course.samplers.cky import cky, log_sum_of_trees
from ebm_course.samplers.forward_algorithm import log_partition, marginals
from ebm_course.samplers.memory_bank import MemoryBank
from ebm_course.samplers.viterbi import viterbi
from ebm_course.training.freelb import freelb

N, L, K = 4, 100, 7
HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SETTINGS = pytest.mark.parametrize(
    "setting",
    [
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.autocast("cpu", torch.float16),
        lambda: default_type(torch.bfloat16),
    ],
)
Setting = Callable[[], AbstractContextManager[None]]


def scores() -> tuple[Tensor, Tensor, Tensor]:
    """Unary scores (N, L, K) and transitions (K + 1, K + 1) that 16 bits hold exactly, and tags (N, L)."""
    unary, w = 3 * torch.randn(N, L, K), torch.randn(K + 1, K + 1)
    return (unary * 8).round() / 8, (w * 8).round() / 8, torch.randint(K, (N, L))


OF_A_CHAIN: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "log Z": lambda u, w, y: log_partition(u, w),
    "marginals": lambda u, w, y: marginals(u, w),
    "the best tags": lambda u, w, y: viterbi(u, w)[0],
    "their energy": lambda u, w, y: viterbi(u, w)[1],
    "an energy": lambda u, w, y: chain_energy(u, w, None, y),
    "an entropy": lambda u, w, y: local_entropy(u),
    "a cross-entropy": lambda u, w, y: local_cross_entropy(u, y),
    "a cost": lambda u, w, y: l1_cost(u, y),
}
chains = pytest.mark.parametrize("name", OF_A_CHAIN)


@chains
@HALVES
def test_scores_of_sixteen_bits_are_summed_in_thirty_two(name: str, dtype: torch.dtype) -> None:
    unary, w, y = scores()
    expected = OF_A_CHAIN[name](unary, w, y)
    assert torch.equal(OF_A_CHAIN[name](unary.to(dtype), w.to(dtype), y), expected)


@chains
@SETTINGS
def test_a_reader_s_settings_change_nothing_of_a_chain(name: str, setting: Setting) -> None:
    given = scores()
    expected = OF_A_CHAIN[name](*given)
    with setting():
        found = OF_A_CHAIN[name](*given)
    assert torch.equal(found, expected) and found.dtype == expected.dtype


RULES = torch.tensor([[0, 1, 2], [1, 2, 2], [2, 0, 1], [0, 2, 0], [1, 0, 0]])
OF_TREES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "the best tree": lambda words, rules: cky(words, RULES, rules)[0],
    "its score": lambda words, rules: cky(words, RULES, rules)[1],
    "the sum of trees": lambda words, rules: log_sum_of_trees(words, RULES, rules),
}


@pytest.mark.parametrize("name", OF_TREES)
@HALVES
def test_scores_of_trees_of_sixteen_bits_are_summed_in_thirty_two(name: str, dtype: torch.dtype) -> None:
    words, rules = ((x * 8).round() / 8 for x in (3 * torch.randn(N, 12, 3), torch.randn(len(RULES))))
    expected = OF_TREES[name](words, rules)
    assert torch.equal(OF_TREES[name](words.to(dtype), rules.to(dtype)), expected)


@HALVES
def test_kept_prefixes_have_the_energies_of_whole_sentences_where_scores_have_sixteen_bits(dtype: torch.dtype) -> None:
    unary, w, y = scores()
    whole = [y.clone() for _ in range(K)]
    for k in range(K):
        whole[k][:, 0] = k
    expected = torch.stack([chain_energy(unary, w, None, tags) for tags in whole], dim=1)
    found = ChainCompletions(unary.to(dtype), w.to(dtype), Sentence(y, None, None)).scores()
    torch.testing.assert_close(-found[:, 0], expected, rtol=1e-6, atol=0)


def test_kept_prefixes_have_the_energies_of_whole_sentences_in_a_model_of_sixteen_bits() -> None:
    model, (_, _, y) = TagLanguageModel(K, width=4, hidden=6).bfloat16(), scores()
    with torch.no_grad():
        whole = torch.cat([torch.arange(K).expand(N, K)[..., None], y[:, None, 1:].expand(-1, K, -1)], dim=2)
        expected = model(whole.flatten(0, 1)).view(N, K)
        found = ModelCompletions(model, Sentence(y, None, None)).scores()[:, 0]
    assert found.dtype == torch.float32
    torch.testing.assert_close(-found, expected, rtol=1e-3, atol=0)  # two bits more than 16 bits have


def test_wrong_tags_are_counted_where_sixteen_bits_would_round_the_count() -> None:
    y = torch.zeros(1, 301, dtype=torch.int64)
    with default_type(torch.bfloat16):
        assert l1_cost(y + 1, y).tolist() == [602.0]


def test_an_unlikely_tag_has_a_finite_energy_in_float16() -> None:
    model = TagLanguageModel(3, width=4, hidden=6)
    y = torch.zeros(1, 2, dtype=torch.int64)
    with torch.no_grad():
        model.to_logits.weight.zero_()
        model.to_logits.bias.copy_(torch.tensor([-40.0, 0.0, 0.0, 0.0]))
    expected = model(y)
    model.to_logits.half()
    model.lstm.register_forward_hook(lambda module, given, out: (out[0].half(), out[1]))
    torch.testing.assert_close(model(y), expected, atol=0.02, rtol=0)


@SETTINGS
def test_a_frozen_normaliser_keeps_its_digits(setting: Setting) -> None:
    positive, negatives = torch.rand(N), torch.rand(N, 30)

    def loss() -> Tensor:
        return frozen_nce(positive, negatives, normaliser=Normaliser(torch.device("cpu")), n_rows=1000).value

    expected = loss()
    with setting():
        assert torch.equal(loss(), expected)


@SETTINGS
def test_a_memory_bank_keeps_its_digits(setting: Setting) -> None:
    def features() -> Tensor:
        bank = MemoryBank(2, 3, labels=torch.tensor([0, 1]), momentum=0.99)
        for _ in range(3):
            bank.update(torch.tensor([0]), given)
            bank.update(torch.tensor([0]), given.flip(1))
        return bank.features

    given = torch.randn(1, 3)
    expected = features()
    with setting():
        assert torch.equal(features(), expected)


def climbed(embeddings: Tensor, *, step_size: float) -> list[Tensor]:
    found = []
    mask = torch.ones(embeddings.shape[:2], dtype=torch.bool)
    options = {"n_passes": 4, "step_size": step_size, "noise_size": 1.0}
    for delta in freelb(embeddings, mask, **options, generator=torch.Generator().manual_seed(0)):  # type: ignore[arg-type]
        (embeddings + delta).float().sum().backward()
        found.append(delta.detach())
    return found


@HALVES
def test_an_ascent_too_short_for_sixteen_bits_is_not_lost(dtype: torch.dtype) -> None:
    embeddings = torch.ones(2, 3, 5)
    expected, found = climbed(embeddings, step_size=0.003), climbed(embeddings.to(dtype), step_size=0.003)
    assert {delta.dtype for delta in found} == {dtype}
    assert torch.equal(found[-1], expected[-1].to(dtype))


@pytest.mark.parametrize("other", [torch.float64, torch.bfloat16])
def test_perturbations_have_the_type_of_the_embeddings_whatever_the_default(other: torch.dtype) -> None:
    embeddings = torch.ones(2, 3, 5)
    expected = climbed(embeddings, step_size=0.1)
    with default_type(other):
        found = climbed(embeddings, step_size=0.1)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
