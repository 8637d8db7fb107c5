"""Ancestral sampling: the law of the draws, the exact log-probability, prompts and temperature."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.sequence_energies import LikelihoodEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.samplers.ancestral import ancestral

V, L = 3, 4


def model(kind: str) -> LSTMLanguageModel | LikelihoodEnergy:
    torch.manual_seed(2)
    if kind == "lstm":
        made = LSTMLanguageModel(V, width=8)
    else:
        made = LikelihoodEnergy(Transformer(V, L, width=8, n_layers=2, n_heads=2))
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.8)
    return made


def begin(n: int) -> torch.Tensor:
    return torch.zeros(n, 1, dtype=torch.long)


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_draws_follow_the_enumerated_law_of_the_model(kind: str) -> None:
    n, lm = 40_000, model(kind).eval()
    states = torch.tensor([(0, *rest) for rest in itertools.product(range(V), repeat=L - 1)])
    with torch.no_grad():
        p = (-lm(states)).exp()
    drawn = ancestral(lm, begin(n), n_steps=L - 1, generator=torch.Generator().manual_seed(0))
    code = (drawn.x[:, 1:] * torch.tensor([V**2, V, 1])).sum(dim=1)
    share = torch.bincount(code, minlength=V**3) / n
    standard_error = (p * (1 - p) / n).sqrt()
    assert ((share - p).abs() <= 5 * standard_error).all()


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_log_q_is_the_models_own_log_probability_at_temperature_one(kind: str) -> None:
    lm = model(kind)
    drawn = ancestral(lm, begin(50), n_steps=L - 1, generator=torch.Generator().manual_seed(0))
    assert drawn.log_q is not None and not drawn.x.requires_grad
    assert lm.training and all(p.requires_grad for p in lm.parameters())
    torch.testing.assert_close(drawn.log_q, -lm.eval()(drawn.x).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_energy_counts_the_prompt_and_is_that_of_temperature_one(kind: str, temperature: float) -> None:
    lm = model(kind).eval()
    g = torch.Generator().manual_seed(0)
    x0 = torch.randint(V, (20, 2), generator=g)
    drawn = ancestral(lm, x0, n_steps=1, temperature=temperature, generator=g)
    torch.testing.assert_close(drawn.info["energy"], lm(drawn.x).detach(), rtol=1e-4, atol=1e-5)


def test_log_q_of_another_temperature_sums_to_one_over_all_sequences() -> None:
    lm = model("lstm").eval()
    drawn = ancestral(lm, begin(20_000), n_steps=2, temperature=0.5, generator=torch.Generator().manual_seed(0))
    assert drawn.log_q is not None
    code = drawn.x[:, 1] * V + drawn.x[:, 2]
    first = {int(c): float(q) for c, q in zip(code, drawn.log_q.exp(), strict=True)}
    assert len(first) == V**2 and sum(first.values()) == pytest.approx(1.0, abs=1e-5)
    for c, q in first.items():
        share, standard_error = float((code == c).float().mean()), (q * (1 - q) / 20_000) ** 0.5
        assert abs(share - q) <= 5 * standard_error


def test_a_prompt_is_kept_and_the_path_shows_the_sequence_growing() -> None:
    prompt = torch.tensor([[0, 2], [0, 1]])
    drawn = ancestral(model("lstm"), prompt, n_steps=2, keep_path=True, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn.x[:, :2], prompt) and drawn.path is not None
    assert drawn.path.shape == (3, 2, 4)
    for t, row in enumerate(drawn.path):
        assert torch.equal(row[:, : 2 + t], drawn.x[:, : 2 + t])
        assert (row[:, 2 + t :] == row[:, 1 + t : 2 + t]).all()


def test_bad_prompts_temperatures_and_weights_are_refused() -> None:
    g, lm = torch.Generator(), model("lstm")
    with pytest.raises(ValueError, match="temperature above 0"):
        ancestral(lm, begin(2), n_steps=1, temperature=0.0, generator=g)
    with pytest.raises(ValueError, match="at least one token"):
        ancestral(lm, torch.zeros(2, 0, dtype=torch.long), n_steps=1, generator=g)
    with pytest.raises(ValueError, match="expected 0 to 2, got 3 to 3"):
        ancestral(lm, begin(2) + V, n_steps=1, generator=g)
    with pytest.raises(TypeError, match="int32"):
        ancestral(lm, begin(2).int(), n_steps=1, generator=g)
    with pytest.raises(ValueError, match="reads 4 tokens at most, got 5"):
        ancestral(model("transformer"), begin(2), n_steps=L + 1, generator=g)
    for bad in (torch.nan, torch.inf):
        with torch.no_grad():
            lm.to_logits.bias[1] = bad
        with pytest.raises(FloatingPointError, match="language model's energy is not finite in 2 of 2"):
            ancestral(lm, begin(2), n_steps=1, generator=g)


def test_log_probabilities_of_a_half_precision_model_sum_to_one() -> None:
    lm = model("lstm")
    with torch.no_grad():
        lm.to_logits.weight.zero_()
        lm.to_logits.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    drawn = ancestral(lm.bfloat16(), begin(2_000), n_steps=1, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([0.0, 1.0, 2.0]).log_softmax(0)[drawn.x[:, 1]]
    torch.testing.assert_close(drawn.log_q, expected)


@pytest.mark.parametrize("temperature", [torch.nan, torch.inf, -1.0])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature above 0"):
        ancestral(model("lstm"), begin(2), n_steps=1, temperature=temperature, generator=torch.Generator())


def test_a_log_probability_that_overflows_is_refused_though_the_energy_is_finite() -> None:
    with pytest.raises(FloatingPointError, match=r"is not finite in 2 of 2 entries.*temperature"):
        ancestral(model("lstm"), begin(2), n_steps=1, temperature=1e-40, generator=torch.Generator())


def test_an_energy_that_cannot_be_advanced_is_refused() -> None:
    with pytest.raises(TypeError, match=r"an energy with advance\(tokens, state\): got a Linear\. Use gibbs"):
        ancestral(nn.Linear(2, 1), torch.zeros(1, 1).long(), n_steps=1, generator=torch.Generator())  # type: ignore[arg-type]
