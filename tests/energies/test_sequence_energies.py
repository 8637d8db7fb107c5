"""Four heads on one net: a normalised likelihood, a free scalar, and two mixtures of both."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.sequence_energies import (
    CorrectedEnergy,
    LikelihoodEnergy,
    PooledEnergy,
    SurpriseEnergy,
    excess_surprise,
    sequence_nll,
)
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


@pytest.mark.parametrize("head", [LikelihoodEnergy, PooledEnergy, CorrectedEnergy, SurpriseEnergy])
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


def test_the_excess_surprise_of_given_logits_is_the_hand_value() -> None:
    p = torch.tensor([0.5, 0.25, 0.25]).double()
    found = excess_surprise(p.log().expand(2, L, V), torch.tensor([[0, 0, 0, 0, 0], [0, 1, 2, 1, 2]]))
    entropy = 1.5 * math.log(2)
    assert found.tolist() == pytest.approx([4 * (math.log(2) - entropy), 4 * (2 * math.log(2) - entropy)])


def test_a_net_is_on_average_as_surprised_by_its_own_samples_as_it_expects() -> None:
    net, x = transformer(), everything()
    p, excess = (-LikelihoodEnergy(net)(x)).exp(), excess_surprise(net.logits(x), x)
    assert (p * excess).sum().item() == pytest.approx(0.0, abs=1e-12)
    assert excess.abs().max() > 0.1


def test_the_surprise_energy_starts_as_the_pooled_one_and_can_see_what_came_true() -> None:
    torch.manual_seed(1)
    energy, x = SurpriseEnergy(transformer()).double(), everything()
    pooled = PooledEnergy(energy.net).double()
    pooled.head.load_state_dict(energy.head.state_dict())
    torch.testing.assert_close(energy(x), pooled(x))
    with torch.no_grad():
        energy.weight += 0.5
    torch.testing.assert_close(energy(x), pooled(x) + 0.5 * excess_surprise(energy.net.logits(x), x))


def test_the_pooled_energy_is_the_difference_of_two_scores_of_the_mean_feature() -> None:
    energy, x = PooledEnergy(transformer()).double(), everything()
    mean = energy.net.features(energy.embed(x)).mean(dim=1)
    by_hand = mean @ (energy.head.weight[1] - energy.head.weight[0]) + energy.head.bias[1] - energy.head.bias[0]
    torch.testing.assert_close(energy(x), by_hand)


@pytest.mark.parametrize("head", [LikelihoodEnergy, SurpriseEnergy])
def test_a_bidirectional_net_has_no_likelihood(head: type) -> None:
    energy = head(transformer()).double()
    energy.net.causal = False
    with pytest.raises(ValueError, match="got a bidirectional one, which sees the token it predicts"):
        energy(everything())
