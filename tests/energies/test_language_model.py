"""The LSTM: relaxed tokens, and advancing with carried state."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ebm_course.energies.language_model import LSTMLanguageModel


@pytest.mark.parametrize("size", ["n_values", "width", "n_layers"])
@pytest.mark.parametrize("value", [0, -4, 2.5])
def test_a_size_that_is_none_is_refused_by_name(size: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{size} is a whole number: expected 1 or larger, got {value}\."):
        LSTMLanguageModel(**{"n_values": 5, size: value})  # type: ignore[arg-type]


def test_advancing_with_carried_state_equals_reading_the_whole_sequence() -> None:
    torch.manual_seed(0)
    model, x, state = LSTMLanguageModel(5, width=8, n_layers=2), torch.randint(5, (4, 6)), None
    whole = model.logits(x)
    for t in range(6):
        logits, state = model.advance(x[:, t], state)
        torch.testing.assert_close(logits, whole[:, t])


def test_relaxed_and_hard_tokens_give_one_energy() -> None:
    torch.manual_seed(0)
    model, x = LSTMLanguageModel(5, width=8), torch.randint(5, (4, 6))
    torch.testing.assert_close(model(F.one_hot(x, 5).float()), model(x))
    torch.testing.assert_close(model.from_embeddings(model.embed(x), x), model(x))


def test_the_energy_is_the_sum_of_conditional_log_probabilities() -> None:
    torch.manual_seed(0)
    model, x = LSTMLanguageModel(5, width=8), torch.randint(5, (4, 6))
    log_p = model.logits(x).log_softmax(-1)
    by_hand = -sum(log_p[:, t].gather(1, x[:, t + 1 : t + 2])[:, 0] for t in range(5))
    torch.testing.assert_close(model(x), by_hand)
