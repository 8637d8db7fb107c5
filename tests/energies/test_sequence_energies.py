"""Three heads on one net: a normalised likelihood, a free scalar, and their sum."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy, sequence_nll
from ebm_course.energies.transformer import Transformer

V, L = 3, 5


def transformer() -> Transformer:
    torch.manual_seed(0)
    made = Transformer(V, L, width=8, n_layers=1, n_heads=2, dropout=0.0).double()
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.7)
    return made


def models() -> list[torch.nn.Module]:
    return [LikelihoodEnergy(transformer()).double(), LSTMLanguageModel(V, width=8).double()]


def everything() -> torch.Tensor:
    """All states that begin with token 0, (V^(L-1), L)."""
    return torch.tensor([(0, *rest) for rest in itertools.product(range(V), repeat=L - 1)])


@pytest.mark.parametrize("model", models(), ids=["transformer", "lstm"])
def test_a_language_model_is_an_energy_whose_partition_function_is_one(model: torch.nn.Module) -> None:
    with torch.no_grad():
        total = (-model(everything())).exp().sum()
    assert total.item() == pytest.approx(1.0, abs=1e-12)


def test_the_nll_of_given_logits_is_the_hand_value() -> None:
    p = torch.tensor([0.5, 0.25, 0.25]).double()
    x = torch.tensor([[0, 1, 0, 2, 0]])
    nll = sequence_nll(p.log().expand(1, L, V), x)
    assert nll.item() == pytest.approx(-(0.25 * 0.5 * 0.25 * 0.5 * torch.ones(1)).log().item())


@pytest.mark.parametrize("head", [LikelihoodEnergy, PooledEnergy, CorrectedEnergy])
def test_relaxed_and_hard_tokens_give_one_energy(head: type) -> None:
    energy, x = head(transformer()).double(), everything()
    torch.testing.assert_close(energy(F.one_hot(x, V).double()), energy(x))
    torch.testing.assert_close(energy.from_embeddings(energy.embed(x), x), energy(x))


def test_the_corrected_energy_starts_as_the_likelihood_and_can_leave_it() -> None:
    net, x = transformer(), everything()
    corrected = CorrectedEnergy(net).double()
    torch.testing.assert_close(corrected(x), LikelihoodEnergy(net)(x))
    with torch.no_grad():
        corrected.head.bias[1] += 2.0
    torch.testing.assert_close(corrected(x), LikelihoodEnergy(net)(x) + 2.0)


def test_the_pooled_energy_is_the_difference_of_two_scores_of_the_mean_feature() -> None:
    energy, x = PooledEnergy(transformer()).double(), everything()
    mean = energy.net.features(energy.embed(x)).mean(dim=1)
    by_hand = mean @ (energy.head.weight[1] - energy.head.weight[0]) + energy.head.bias[1] - energy.head.bias[0]
    torch.testing.assert_close(energy(x), by_hand)


def test_a_bidirectional_net_has_no_likelihood() -> None:
    energy = LikelihoodEnergy(transformer())
    energy.net.causal = False
    with pytest.raises(ValueError, match="reads the token it predicts"):
        energy(everything())
