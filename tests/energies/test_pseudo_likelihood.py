"""The pseudo-likelihood of a masked net: its hand value, and that no position sees itself."""

from __future__ import annotations

import pytest
import torch

from ebm_course.energies.pseudo_likelihood import PseudoLikelihoodEnergy
from ebm_course.energies.transformer import Transformer

V, L, MASK = 5, 4, 0
POSITIONS = torch.tensor([False, True, False, True])


def net(*, causal: bool = False) -> Transformer:
    torch.manual_seed(0)
    made = Transformer(V, L, width=8, n_heads=2, dropout=0.0, causal=causal).double().eval()
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.7)
    return made


def test_it_is_the_sum_of_log_probabilities_of_hidden_tokens() -> None:
    model, x = net(), torch.tensor([[1, 2, 3, 4], [4, 4, 1, 2]])
    total = torch.zeros(2).double()
    for i in (1, 3):
        hidden = x.clone()
        hidden[:, i] = MASK
        log_p = model.logits(hidden)[:, i].log_softmax(dim=1)
        total -= log_p[torch.arange(2), x[:, i]]
    torch.testing.assert_close(PseudoLikelihoodEnergy(model, POSITIONS, mask_value=MASK).eval()(x), total)


def test_over_the_values_of_one_position_it_is_normalised() -> None:
    energy = PseudoLikelihoodEnergy(net(), torch.arange(L) == 2, mask_value=MASK).eval()
    x = torch.tensor([[1, 2, 0, 4]]).repeat(V, 1)
    x[:, 2] = torch.arange(V)
    assert (-energy(x)).exp().sum().item() == pytest.approx(1.0)  # it does not see the token it is asked for


@pytest.mark.parametrize(
    ("causal", "positions", "why"),
    [
        (True, POSITIONS, "causal=False"),
        (False, torch.zeros(L, dtype=torch.bool), "one or more"),
        (False, torch.tensor([1, 3]), "bool"),
    ],
)
def test_what_has_no_pseudo_likelihood_is_refused(causal: bool, positions: torch.Tensor, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PseudoLikelihoodEnergy(net(causal=causal), positions, mask_value=MASK)
