r"""Gibbs with gradients: one gradient proposes which position to change and to what; a Metropolis test corrects it.

With g the gradient of E in one-hot rows, putting v at position i changes E by about :math:`g_{iv} - g_{i x_i}`.

.. math::
    q(i, v \mid x) &\propto \exp\bigl( -(g_{iv} - g_{i x_i}) / \tau \bigr), \quad v \neq x_i, \quad \tau = 2 \\
    \alpha &= \min\Bigl( 1, e^{E(x) - E(x')} \, \frac{q(x \mid x')}{q(x' \mid x)} \Bigr)

The test makes p exactly stationary whatever the gradient says; a poor gradient costs acceptance, not correctness.
A step costs one gradient, however many values there are. It knows no model and no task.
Source: Grathwohl et al. (2021), Algorithm 1, in its form for categorical variables.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.checks import at_least_single, check_count, check_finite, check_generator, check_number, check_tokens
from ebm_course.core import Energy, Negatives, energies_of, energy_grad, frozen
from ebm_course.samplers.categorical import Streams, draw_categorical, uniform


def gibbs_with_gradients(
    energy: Energy,
    x0: Tensor,
    *,
    n_steps: int,
    n_values: int,
    temperature: float = 2.0,
    keep_path: bool = False,
    generator: Streams,
) -> Negatives:
    """Propose one substitution by the gradient, accept it with probability alpha, ``n_steps`` times.

    Args:
        energy: energies of tokens (N, L) and of relaxed tokens (N, L, V), equal at one-hot rows.
        x0: tokens (N, L), int64; not changed.
        n_values: number V of values, 2 or more: a proposal is another value.
        temperature: tau, above 0; 2 is the balanced choice, near which acceptance stays high.
        keep_path: return every state visited.
        generator: one, or one for each of several equal blocks of chains, which then move as they would alone.

    Returns:
        x (N, L); info, each (N,): ``energy`` at x; ``acceptance``, mean of alpha over the steps; ``log_acceptance``,
        log of the last step's ratio before min(1, .).

    Raises:
        ValueError: a token is out of 0 .. V - 1, the temperature is not positive, or the number of steps negative.
        FloatingPointError: an energy or gradient was NaN in a chain, or the energy is infinite where it ends.

    >>> from ebm_course.energies.potts import Potts
    >>> generator = torch.Generator().manual_seed(0)
    >>> energy, x0 = Potts.random(3, 4, generator=generator), torch.zeros(5, 3, dtype=torch.int64)
    >>> chains = gibbs_with_gradients(energy, x0, n_steps=50, n_values=4, generator=generator)
    >>> chains.x.shape, bool((chains.info["acceptance"] > 0.5).all())
    (torch.Size([5, 3]), True)
    """
    check_generator(generator, x0, several=True)
    check_count("n_steps", n_steps)
    check_count("n_values", n_values, least=2)
    check_tokens(x0, n_values)
    temperature = check_number("temperature", temperature)
    if not 0 < temperature < torch.inf:
        raise ValueError(
            f"temperature divides energies: expected a number above 0, got {temperature}. 2 is the balanced choice."
        )
    x, path = x0.clone(), [x0]
    with frozen(energy):
        e, log_q = _proposal(energy, x, n_values, temperature)
        log_ratio, accepted = torch.zeros_like(e), torch.zeros_like(e)
        broken = e.isnan() | log_q.isnan().any(dim=1)
        for _ in range(n_steps):
            pair = draw_categorical(-log_q, generator=generator)  # position * V + value
            there, back = pair[:, None], _pair(x, pair // n_values, n_values)[:, None]
            new = x.scatter(1, there // n_values, there % n_values)
            e_new, log_q_new = _proposal(energy, new, n_values, temperature)
            log_ratio = e - e_new + log_q_new.gather(1, back)[:, 0] - log_q.gather(1, there)[:, 0]
            log_ratio = log_ratio.masked_fill(e_new.isposinf(), -torch.inf)  # forbidden: its gradient may be anything
            broken |= log_ratio.isnan()
            accepted += log_ratio.clamp_max(0).exp()
            accept = uniform(e, generator).log() < log_ratio
            x = torch.where(accept[:, None], new, x)
            e, log_q = torch.where(accept, e_new, e), torch.where(accept[:, None], log_q_new, log_q)
            if keep_path:
                path.append(x)
        with torch.no_grad():
            e = energies_of(energy, x)
    seen = e.masked_fill(broken, torch.nan)
    check_finite("the energy along a chain", seen, "Check the energy and its gradient at one-hot rows.")
    info = {"energy": e, "acceptance": accepted / max(n_steps, 1), "log_acceptance": log_ratio}
    return Negatives(x, info, path=torch.stack(path) if keep_path else None)


def _proposal(energy: Energy, x: Tensor, n_values: int, temperature: float) -> tuple[Tensor, Tensor]:
    """E (N,) and log q(i, v | x) as (N, L V); minus infinity where v is the current value."""
    pair = energy_grad(energy, F.one_hot(x, n_values).to(torch.get_default_dtype()))
    e, grad = (at_least_single(t) for t in pair)  # (N,) (N, L, V)
    fall = (grad.gather(2, x[..., None]) - grad) / temperature
    return e, fall.scatter(2, x[..., None], -torch.inf).flatten(1).log_softmax(dim=1)


def _pair(x: Tensor, position: Tensor, n_values: int) -> Tensor:
    """The number of (position, its value in x) among the L V pairs, (N,)."""
    return position * n_values + x.gather(1, position[:, None])[:, 0]
