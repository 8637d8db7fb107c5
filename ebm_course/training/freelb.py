r"""FreeLB: perturbations of embeddings that climb the loss whose gradients for the parameters are taken all the same.

.. math:: \delta_0 = \frac{\gamma}{\sqrt{l D}} u, \; u \sim U(-1, 1)^{l D}, \qquad
    \delta_{t+1} = \Pi_\epsilon \bigl[ \delta_t + \alpha \, g_t / \|g_t\|_2 \bigr], \qquad
    g_t = \nabla_\delta L(e + \delta_t), \qquad
    \Pi_\epsilon(\delta) = \delta \min(1, \epsilon / \|\delta\|_2)

for a sentence of l real tokens with embeddings e of width D: one norm a sentence. Each of the n passes gives a gradient
for the parameters too, which add up to that of the mean loss, so that n passes cost n times a plain update and make
n - 1 ascents. It knows embeddings and masks; no net, no loss, no optimiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress

import torch
from torch import Tensor
from torch.linalg import vector_norm

from ebm_course.checks import at_least_single, check_count, check_generator, check_number
from ebm_course.runtime import SINGLE_PROCESS, Run


def freelb(
    embeddings: Tensor,
    mask: Tensor,
    *,
    n_passes: int,
    step_size: float,
    noise_size: float = 0.0,
    radius: float = 0.0,
    generator: torch.Generator,
    run: Run = SINGLE_PROCESS,
) -> Iterator[Tensor]:
    """delta_0 to delta_(n-1): add each to the embeddings, and leave the gradient of the loss in its ``grad``.

    Between two of them the caller runs ``loss.backward()``. The scale of the loss does not matter, its sign does.

    Args:
        embeddings: of words, (N, L, D), before position, normalisation and dropout; only their shape, type and device
            count here.
        mask: (N, L), True at real tokens. Elsewhere every delta is 0.
        n_passes: n, 1 or more.
        step_size: alpha, Euclidean length of an ascent of a sentence, 0 or more.
        noise_size: gamma, 0 or more. The start's length is about gamma / sqrt(3), whatever the sentence's length.
        radius: eps, 0 or more; the largest length of a delta. At 0 there is no such limit.
        generator: of the noise, drawn position by position, so that on a CPU more pads at the right leave it as it is.
        run: several processes hold all rows and climb with their share of them each, from the same noise.

    Returns:
        An iterator of leaves (N, L, D), this process's share of the rows, of the type of the embeddings, that ask for a
        gradient. Between them they are float32 at least: in 16 bits an ascent would be lost beside the start.

    Raises:
        ValueError: shapes do not belong together, a number is out of its range, or no gradient was left in a delta.

    Source: Zhu et al. (2020), Algorithm 1. Departure: the start is projected too where there is a radius.

    >>> e, mask = torch.ones(1, 2, 2), torch.tensor([[True, False]])
    >>> options = {"n_passes": 3, "step_size": 0.5, "generator": torch.Generator().manual_seed(0)}
    >>> for delta in freelb(e, mask, **options):
    ...     (e + delta).sum().backward()
    ...     print([round(x, 3) for x in delta.detach()[0].norm(dim=1).tolist()])
    [0.0, 0.0]
    [0.5, 0.0]
    [1.0, 0.0]
    """
    check_generator(generator, embeddings)
    check_count("n_passes", n_passes, least=1)
    _check(embeddings, mask)
    step_size, noise_size = _length_of("step_size", step_size), _length_of("noise_size", noise_size)
    radius = _length_of("radius", radius)
    dtype = embeddings.dtype
    real = at_least_single(mask[..., None].to(dtype))  # (N, L, 1)
    n, length, width = embeddings.shape
    with torch.no_grad():
        delta = at_least_single(torch.zeros_like(embeddings))
        if noise_size:
            u = torch.empty(length, n, width, device=delta.device, dtype=delta.dtype)
            u = u.uniform_(-1, 1, generator=generator).transpose(0, 1)
            delta = noise_size * real * u / (width * mask.sum(dim=1).clamp_min(1)).to(delta.dtype).sqrt().view(-1, 1, 1)
        delta = _projected(run.share(delta), radius)
    return _climb(delta, run.share(real), n_passes, step_size, radius, dtype)


def _climb(
    delta: Tensor, real: Tensor, n_passes: int, step_size: float, radius: float, dtype: torch.dtype
) -> Iterator[Tensor]:
    for i in range(n_passes):
        leaf = delta.to(dtype).detach().requires_grad_()
        yield leaf
        if i == n_passes - 1:
            return
        if leaf.grad is None:
            raise ValueError(
                f"perturbation {i} was taken without a gradient: expected it in delta.grad before the next one. "
                "Call loss.backward() between two perturbations."
            )
        with torch.no_grad():
            delta = _projected(delta + step_size * _unit(leaf.grad * real), radius)


def same_dropout(device: torch.device) -> Callable[[], None]:
    """A function that puts torch's global stream on the device back to where it is now, so that masks are repeated.

    Called before each pass it gives all of them one dropout mask, as FreeLB has it.

    >>> restore = same_dropout(torch.device("cpu"))
    >>> one = torch.nn.functional.dropout(torch.ones(9))
    >>> restore()
    >>> torch.equal(torch.nn.functional.dropout(torch.ones(9)), one)
    True
    """
    if device.type == "cuda":
        on_device = torch.cuda.get_rng_state(device)
        return lambda: torch.cuda.set_rng_state(on_device, device)
    state = torch.get_rng_state()
    return lambda: torch.set_rng_state(state)


def _length(x: Tensor) -> Tensor:
    return vector_norm(x.flatten(1), dim=1).view(-1, 1, 1)


def _unit(x: Tensor) -> Tensor:
    """x over its length, 0 where that is 0; scaled first, so that squares of tiny entries do not vanish."""
    if x.numel() == 0:
        return x
    tiny = torch.finfo(x.dtype).tiny
    x = x / x.abs().amax(dim=(1, 2), keepdim=True).clamp_min(tiny)
    return x / _length(x).clamp_min(tiny)


def _projected(delta: Tensor, radius: float) -> Tensor:
    if radius == 0:
        return delta
    return delta * (radius / _length(delta).clamp_min(torch.finfo(delta.dtype).tiny)).clamp_max(1)


def _check(embeddings: Tensor, mask: Tensor) -> None:
    if embeddings.ndim != 3 or not embeddings.is_floating_point():
        raise ValueError(
            f"embeddings are real, (N, L, D): got {tuple(embeddings.shape)} of {embeddings.dtype}. "
            "Embed the tokens first."
        )
    if not isinstance(mask, Tensor) or mask.shape != embeddings.shape[:2] or mask.dtype != torch.bool:
        got = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise ValueError(
            f"the mask says which tokens are real: expected bool {tuple(embeddings.shape[:2])}, got {got}. Pass the "
            "batch's own."
        )


def _length_of(name: str, value: float) -> float:
    """The number, refused unless it is one, finite and 0 or more."""
    with suppress(ValueError):  # of something that is no number at all
        if 0 <= (number := check_number(name, value)) < math.inf:
            return number
    raise ValueError(f"{name}: expected a finite number, 0 or more, got {value!r}. Pass {name}=0.0 for none.")
