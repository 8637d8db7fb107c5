r"""Who supplies the negatives of Algorithm 1 (its lines 6 to 15): the paper's attack, or a Markov chain.

*The attack* goes downhill: each step puts the best candidate at the most salient position (Eqs. 4 to 6).

*Gibbs with gradients* draws instead. With F the free positions and :math:`p(y) \propto e^{-E(x \text{ with } x_F = y)}`
over their digits, chains

.. math:: y_0 = x_F, \; x \sim P_{LM}, \qquad y_{k+1} \sim K(\cdot \mid y_k), \qquad \sum_y p(y) K(y' \mid y) = p(y')

begin at samples of the language model and leave p stationary. So after enough moves data down and negatives up is the
gradient of the likelihood of the digits, and after few it is contrastive divergence from P_LM. A flat energy moves its
chains at random, hence away from samples of P_LM: let their number of steps grow too.

**Equal cost.** The unit is one forward pass of one sequence, a gradient costs two. With nine other digits a step of the
attack costs 2 + 9 = 11 evaluations a negative; a step of the chain is ``MOVES`` = 5 moves of a gradient each, 10
evaluations (and 3 once a call: the gradient at the start, the energy at the end).
Source: Yin (2023), Algorithm 1; Grathwohl et al. (2021) for the chain; Hinton (2002) for few moves from given states.
Departure: a sample that holds another token than a digit at a free position has no y_0, and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Energy, Negatives, frozen
from ebm_course.energies.restricted import restricted, taken
from ebm_course.runtime import Run
from ebm_course.samplers.gibbs_with_gradients import gibbs_with_gradients
from ebm_course.samplers.substitution import substitution
from ebm_course.tasks.arithmetic import DIGITS, ZERO, Format, digit_synonyms

MOVES = 5
"""Moves of a chain in a step of the budget: 10 energy evaluations, where a step of the attack has 11."""

Supplier = Callable[..., Negatives]
"""(energy, x (N, L), *, n_steps, config, streams, keep_path) -> negatives; the path has n_steps + 1 states."""


def by_attack(
    energy: Energy,
    x: Tensor,
    *,
    n_steps: int,
    config: Any,
    streams: Sequence[torch.Generator] = (),
    keep_path: bool = False,
) -> Negatives:
    """``n_steps`` steps of the attack that ``config`` asks for on digits of x (N, L); ``streams`` are not used.

    >>> from ebm_course.energies.potts import Potts
    >>> from ebm_course.recipes.sequences.adversarial import Config
    >>> energy, x = Potts(length=8, n_values=16), Format(1).encode(["2+3=06"])
    >>> energy.fields.data[6, ZERO + 9] = 1.0  # lowest with a 9 at the end
    >>> Format(1).decode(by_attack(energy, x, n_steps=1, config=Config(n_digits=1)).x)
    ['2+3=09']
    """
    return substitution(
        energy,
        x,
        n_steps=n_steps,
        synonyms=digit_synonyms(),
        free=free_positions(config),
        include_current=config.include_current,
        position_memory=config.position_memory,
        propose=config.propose,
        keep_path=keep_path,
    )


def by_gibbs(
    energy: Energy,
    x: Tensor,
    *,
    n_steps: int,
    config: Any,
    streams: Sequence[torch.Generator],
    keep_path: bool = False,
) -> Negatives:
    """``n_steps`` times ``MOVES`` moves of Gibbs with gradients on digits of x (N, L).

    Args:
        streams: one for all chains, or one for each of several equal blocks of them.

    Returns:
        x (N, L); info, each (N,): ``tokens_moved``; ``frozen``: the last step left the chain where it was;
        ``toggling``: the last two moved it and brought it back.

    >>> from ebm_course.energies.potts import Potts
    >>> from ebm_course.recipes.sequences.adversarial import Config
    >>> energy, x = Potts(length=8, n_values=16), Format(1).encode(["2+3=06"]).repeat(4, 1)
    >>> options = {"config": Config(n_digits=1, answer_only=True), "streams": [torch.Generator().manual_seed(0)]}
    >>> moved = by_gibbs(energy, x, n_steps=3, **options).x
    >>> moved[:, :5].equal(x[:, :5]), bool((moved[:, 5:7] >= ZERO).all())  # digits of the answer alone
    (True, True)
    """
    free = free_positions(config).to(x.device)
    held = x[:, free]
    movable = ((held >= ZERO) & (held < ZERO + len(DIGITS))).all(dim=1)  # (N,)
    start = x.clone()
    start[:, free] = held.clamp(ZERO, ZERO + len(DIGITS) - 1)
    inner, y = restricted(energy, start, free, DIGITS), taken(start, free, DIGITS)
    options: dict[str, Any] = {"n_steps": MOVES * n_steps, "n_values": len(DIGITS), "generator": streams}
    with frozen(energy):
        found = gibbs_with_gradients(inner, y, keep_path=True, **options).path
    assert found is not None
    path = x.repeat(n_steps + 1, 1, 1)  # (T + 1, N, L)
    path[:, :, free] = torch.where(movable[:, None], DIGITS.to(x.device)[found[::MOVES]], held)
    end, before, earlier = path[-1], path[max(0, n_steps - 1)], path[max(0, n_steps - 2)]
    stayed = (end == before).all(dim=1)
    info = {"tokens_moved": (end != x).sum(dim=1), "frozen": stayed & (n_steps > 0)}
    info |= {"toggling": ~stayed & (end == earlier).all(dim=1)}
    return Negatives(end, info, path=path if keep_path else None)


def free_positions(config: Any) -> Tensor:
    """The positions that may change, bool (L,): digits of the answer, or all digits.

    >>> from ebm_course.recipes.sequences.adversarial import Config
    >>> [free_positions(Config(n_digits=1, answer_only=only)).nonzero()[:, 0].tolist() for only in (False, True)]
    [[1, 3, 5, 6], [5, 6]]
    """
    layout = Format(config.n_digits)
    return layout.answer_positions() if config.answer_only else layout.digit_positions()


def check_processes(config: Any, run: Run) -> None:
    """Refuse chains that draw in several processes: each would need the draws of the others' rows.

    >>> from ebm_course.recipes.sequences.adversarial import Config
    >>> check_processes(Config(supply=by_gibbs), Run(torch.device("cpu"), 0, n_processes=2))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: by_gibbs: a stream of draws moves all chains in one process, got 2 processes. ...
    """
    if config.supply is by_gibbs and run.n_processes > 1:
        raise ValueError(
            f"by_gibbs: a stream of draws moves all chains in one process, got {run.n_processes} processes. "
            f"Launch one, or take by_attack, which draws nothing."
        )
