r"""Draw sequences token by token from a language model, a whole batch at a time, with the state carried along.

.. math:: x_{t+1} \sim q(\cdot \mid x_{\le t}), \qquad \log q(x) = \sum_t \log q(x_{t+1} \mid x_{\le t})

The energy is a language model with ``advance(tokens, state) -> (logits, state)``: one call a token, no prefix is
computed again, and E(x) is the sum of what each token cost. It knows no net and no vocabulary.
"""

from __future__ import annotations

import itertools
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ebm_course.checks import at_least_single, check_count, check_finite, check_generator, check_number, check_tokens
from ebm_course.core import Discrete, Negatives, frozen
from ebm_course.samplers.categorical import draw_categorical


@runtime_checkable
class LanguageModel(Protocol):
    """An energy E(x) = -log q(x) that can also be advanced one token at a time.

    >>> from ebm_course.energies.language_model import LSTMLanguageModel
    >>> model: LanguageModel = LSTMLanguageModel(5, width=8)
    >>> logits, state = model.advance(torch.tensor([0, 1]))
    >>> model.advance(torch.tensor([2, 3]), state)[0].shape
    torch.Size([2, 5])
    """

    def __call__(self, x: Tensor) -> Tensor: ...

    def advance(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Next-token logits (N, V) after one more token (N,), and the new state; ``state=None`` starts."""
        ...


@torch.no_grad()
def ancestral(
    energy: LanguageModel,
    x0: Tensor,
    *,
    n_steps: int,
    temperature: float = 1.0,
    keep_path: bool = False,
    generator: torch.Generator,
) -> Negatives:
    """x_{t+1} ~ softmax(logits_t / temperature), ``n_steps`` tokens behind each prompt.

    Args:
        energy: a language model; called in eval mode.
        x0: prompts (N, P), int64, at least one token; not changed.
        n_steps: tokens to add, 0 or more.
        temperature: above 0; 1 draws from the model itself.
        keep_path: return the growing sequences too, padded at the right with each row's last token.

    Returns:
        x (N, P + n_steps); ``log_q`` (N,): exact log-probability of what was drawn, at this temperature and given the
        prompt; info ``energy``: E(x) of the model at temperature 1, the prompt's own tokens counted.

    Raises:
        TypeError: the energy is no language model.
        ValueError: temperature is not positive, the number of steps negative, the prompt is empty, or a token is out of
            the vocabulary.
        FloatingPointError: the model's energies, or ``log_q``, are not finite.

    >>> from ebm_course.energies.language_model import LSTMLanguageModel
    >>> model, prompts = LSTMLanguageModel(5, width=8), torch.zeros(3, 2, dtype=torch.int64)
    >>> drawn = ancestral(model, prompts, n_steps=4, generator=torch.Generator().manual_seed(0))
    >>> drawn.x.shape, drawn.log_q.shape
    (torch.Size([3, 6]), torch.Size([3]))
    >>> torch.allclose(drawn.info["energy"], model(drawn.x), atol=1e-5)
    True
    """
    check_generator(generator, x0)
    check_count("n_steps", n_steps)
    temperature = check_number("temperature", temperature)
    if not 0 < temperature < torch.inf or x0.ndim != 2 or x0.shape[1] == 0:
        raise ValueError(
            f"expected prompts (N, P) of at least one token and a temperature above 0, "
            f"got {tuple(x0.shape)} and {temperature}. For a greedy draw use a temperature of 0.01."
        )
    if not isinstance(energy, LanguageModel):
        raise TypeError(
            f"tokens are drawn from an energy with advance(tokens, state): got a {type(energy).__name__}. Use gibbs "
            "instead, or a language model."
        )
    if isinstance(energy, Discrete):
        check_tokens(x0, energy.n_values)
    tokens, state, log_q = list(x0.unbind(dim=1)), None, x0.new_zeros(len(x0), dtype=torch.get_default_dtype())
    e = log_q
    with frozen(energy):
        for token, following in itertools.pairwise(tokens):
            logits, state = energy.advance(token.clone(), state)
            e = e - _of(following, at_least_single(logits).log_softmax(dim=-1))
        for _ in range(n_steps):
            logits, state = energy.advance(tokens[-1].clone(), state)
            log_p = (at_least_single(logits) / temperature).log_softmax(dim=-1)  # (N, V)
            tokens.append(draw_categorical(-log_p, generator=generator))
            log_q = log_q + _of(tokens[-1], log_p)
            e = e - _of(tokens[-1], log_p if temperature == 1 else at_least_single(logits).log_softmax(dim=-1))
        x = torch.stack(tokens, dim=1)
    seen = e.masked_fill(~log_q.isfinite(), torch.nan)  # at a low temperature log_q alone may overflow
    check_finite("the language model's energy", seen, "Check its weights and the temperature, or lower its rate.")
    return Negatives(x, {"energy": e}, log_q, _grown(x, x0.shape[1]) if keep_path else None)


def _of(tokens: Tensor, log_p: Tensor) -> Tensor:
    return log_p.gather(1, tokens[:, None])[:, 0]


def _grown(x: Tensor, start: int) -> Tensor:
    """(T + 1, N, L): row t shows the first ``start + t`` tokens, the rest filled with the last of them."""
    length = x.shape[1]
    shown = torch.arange(start - 1, length, device=x.device)[:, None]  # last visible position
    index = torch.minimum(torch.arange(length, device=x.device)[None], shown)  # (T + 1, L)
    return x[:, index].transpose(0, 1)
