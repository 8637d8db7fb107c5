"""Torch's LSTM on a CPU under autocast: what torch has no kernel for is computed in float32, the rest is torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ebm_course.core import frozen
from ebm_course.energies import lstm as module
from ebm_course.energies.completions import ModelCompletions, Sentence
from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.lstm import LSTM
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.samplers.ancestral import ancestral

TAGS = torch.zeros(2, 4, dtype=torch.int64)


def test_it_is_torchs_own_with_the_same_parameters_and_numbers() -> None:
    ours, x = LSTM(3, 5, 2, batch_first=True), torch.randn(2, 4, 3)
    torchs = nn.LSTM(3, 5, 2, batch_first=True)
    torchs.load_state_dict(ours.state_dict())
    (found, state), (expected, others) = ours(x), torchs(x)
    assert torch.equal(found, expected) and torch.equal(ours(x, state)[0], torchs(x, others)[0])


def test_under_float16_autocast_it_computes_in_its_own_type_whatever_it_is_given() -> None:
    lstm, x = LSTM(3, 5, batch_first=True), torch.randn(2, 4, 3)
    expected, state = lstm(x.half().float())
    again = lstm(x, tuple(part.half().float() for part in state))[0]
    with torch.autocast("cpu", torch.float16):
        found, _ = lstm(x.half())
        after, _ = lstm(x, tuple(part.half() for part in state))
    assert torch.equal(found, expected) and torch.equal(after, again)


def test_without_a_kernel_for_bfloat16_it_computes_in_its_own_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebm_course.energies.lstm.has_bfloat16_kernel", lambda: False)
    lstm, x = LSTM(3, 5, batch_first=True), torch.randn(2, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = lstm(x)
    assert torch.equal(found, lstm(x)[0])


def test_with_a_kernel_for_bfloat16_it_is_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebm_course.energies.lstm.has_bfloat16_kernel", lambda: True)
    seen = []
    monkeypatch.setattr(nn.LSTM, "forward", lambda self, x, hx: seen.append(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", torch.bfloat16):
        LSTM(3, 5, batch_first=True)(torch.randn(2, 4, 3))
    assert seen == [True]


def test_asking_for_a_kernel_draws_nothing() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    module._tried.cache_clear()
    module.has_bfloat16_kernel()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_learns_under_autocast(dtype: torch.dtype) -> None:
    lstm, x = LSTM(3, 5, batch_first=True), torch.randn(2, 4, 3)
    with torch.autocast("cpu", dtype):
        lstm(x)[0].sum().backward()
    found = [p.grad.clone() for p in lstm.parameters() if p.grad is not None]
    lstm.zero_grad()
    lstm(x)[0].sum().backward()
    bound = 0.1 if dtype == torch.bfloat16 else 1e-6  # where there is a kernel it rounds
    for grad, p in zip(found, lstm.parameters(), strict=True):
        torch.testing.assert_close(grad, p.grad, atol=bound, rtol=bound)


READERS = {
    "token encoder": lambda: TokenEncoder((5,), width=4, hidden=4)(TAGS[..., None]),
    "tag language model": lambda: TagLanguageModel(5, width=4, hidden=4).log_probabilities(TAGS),
    "kept prefixes": lambda: ModelCompletions(TagLanguageModel(5), Sentence(TAGS, None, None)).scores(),
    "language model": lambda: LSTMLanguageModel(5, width=8)(TAGS),
    "its next token": lambda: LSTMLanguageModel(5, width=8).advance(TAGS[:, 0])[0],
    "its samples": lambda: ancestral(LSTMLanguageModel(5), TAGS, n_steps=2, generator=torch.Generator()).info["energy"],
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", READERS)
def test_all_that_reads_by_an_lstm_works_under_autocast(name: str, dtype: torch.dtype) -> None:
    with torch.no_grad(), torch.autocast("cpu", dtype):
        assert READERS[name]().isfinite().all()


def test_a_frozen_one_gives_gradients_in_what_it_reads() -> None:
    lstm, x = LSTM(3, 5, batch_first=True), torch.randn(2, 4, 3, requires_grad=True)
    with frozen(lstm), torch.autocast("cpu", torch.float16):
        lstm(x)[0].sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0 and lstm.weight_ih_l0.grad is None
