from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ebm_course.runtime import Run
from ebm_course.training.freelb import freelb, same_dropout

N, L, D = 4, 6, 8
MASK = torch.arange(L) < torch.tensor([6, 3, 1, 4])[:, None]
GAMMA, ALPHA = 0.6, 0.1


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def embeddings(seed: int = 1) -> Tensor:
    return torch.randn(N, L, D, generator=generator(seed))


def curved(x: Tensor) -> Tensor:
    """A loss that mixes no sentences and sees pads, whose gradient must not get into the perturbation."""
    weights = torch.linspace(-1, 2, L * D).view(L, D)
    return (torch.sin(x * weights) + 0.1 * x.square()).sum()


def climbed(n_passes: int, loss: Callable[[Tensor], Tensor] = curved, **options: Any) -> list[Tensor]:
    e, found = embeddings(), []
    options = {"step_size": ALPHA, "noise_size": GAMMA, "generator": generator(), **options}
    for delta in freelb(e, MASK, n_passes=n_passes, **options):
        loss(e + delta).backward()
        found.append(delta.detach())
    return found


def norms(delta: Tensor) -> Tensor:
    return delta.flatten(1).norm(dim=1)


def test_the_start_is_uniform_noise_scaled_by_the_real_length_of_each_sentence() -> None:
    mask = torch.arange(40) < torch.tensor([40, 10])[:, None]
    e = torch.zeros(2, 40, 100)
    (delta,) = freelb(e, mask, n_passes=1, step_size=0.0, noise_size=GAMMA, generator=generator())
    for row, n in enumerate((40, 10)):
        entries, bound = delta.detach()[row, :n].flatten(), GAMMA / math.sqrt(n * 100)
        assert entries.abs().max() <= bound and entries.abs().max() > 0.99 * bound
        spread = entries.square().std() / math.sqrt(n * 100)  # standard error of the mean square
        assert (entries.square().mean() - bound**2 / 3).abs() < 5 * spread
        assert entries.norm().item() == pytest.approx(GAMMA / math.sqrt(3), rel=0.1)


def test_each_ascent_is_alpha_along_the_gradient_of_the_sentence() -> None:
    first, second, third = climbed(3)
    for before, after in ((first, second), (second, third)):
        x = (embeddings() + before).requires_grad_()
        (g,) = torch.autograd.grad(curved(x), x)
        g = g * MASK[..., None]
        expected = before + ALPHA * g / norms(g).view(-1, 1, 1)
        torch.testing.assert_close(after, expected)
        torch.testing.assert_close(norms(after - before), torch.full((N,), ALPHA))


def test_pads_are_never_moved() -> None:
    for delta in climbed(4):
        assert delta[~MASK].eq(0).all() and delta[MASK].ne(0).any(dim=1).all()


def test_more_pads_change_no_perturbation() -> None:
    def longer(k: int) -> list[Tensor]:
        e = torch.cat([embeddings(), torch.randn(N, k, D, generator=generator(2))], dim=1)
        mask = torch.cat([MASK, torch.zeros(N, k, dtype=torch.bool)], dim=1)
        found = []
        for delta in freelb(e, mask, n_passes=3, step_size=ALPHA, noise_size=GAMMA, generator=generator()):
            curved((e + delta)[:, :L]).backward()
            found.append(delta.detach()[:, :L])
        return found

    for one, other in zip(longer(0), longer(5), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("n_passes", [1, 2, 5])
def test_n_passes_make_n_minus_one_ascents(n_passes: int) -> None:
    found = climbed(n_passes, lambda x: x.sum(), noise_size=0.0)  # a plane: ascents add up
    assert len(found) == n_passes
    for i, delta in enumerate(found):
        torch.testing.assert_close(norms(delta), torch.full((N,), i * ALPHA))


def test_the_projection_is_exact_and_leaves_alone_what_is_inside() -> None:
    free, held = (climbed(4, step_size=0.3, radius=radius) for radius in (0.0, 0.4))
    assert norms(free[-1]).min() > 0.6, "without a radius nothing is held"
    assert norms(free[0]).max() < 0.4 and torch.equal(held[0], free[0])
    for before, after in pairwise(held):
        x = (embeddings() + before).requires_grad_()
        g = torch.autograd.grad(curved(x), x)[0] * MASK[..., None]
        outside = before + 0.3 * g / norms(g).view(-1, 1, 1)
        torch.testing.assert_close(after, outside * (0.4 / norms(outside)).clamp_max(1).view(-1, 1, 1))
    torch.testing.assert_close(norms(held[-1]), torch.full((N,), 0.4))


def test_a_start_outside_the_ball_is_projected_too() -> None:
    (delta,) = climbed(1, radius=0.01)
    torch.testing.assert_close(norms(delta), torch.full((N,), 0.01))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_the_loss_does_not_matter(scale: float) -> None:
    for one, other in zip(climbed(3), climbed(3, lambda x: scale * curved(x)), strict=True):
        torch.testing.assert_close(one, other)


def test_one_process_of_two_climbs_as_its_half_of_all_rows_does() -> None:
    whole, e, half = climbed(3), embeddings(), N // 2
    run = Run(torch.device("cpu"), 0, rank=1, n_processes=2)
    options: dict[str, Any] = {"n_passes": 3, "step_size": ALPHA, "noise_size": GAMMA, "generator": generator()}
    for delta, expected in zip(freelb(e, MASK, **options, run=run), whole, strict=True):
        curved(e[half:] + delta).backward()
        torch.testing.assert_close(delta.detach(), expected[half:])


def test_where_the_loss_is_flat_a_sentence_stays() -> None:
    first, second = climbed(2, lambda x: 0 * x.sum())
    assert torch.equal(first, second)


class Net(nn.Module):
    def __init__(self, dropout: float = 0.5):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(D, 16), nn.Dropout(dropout), nn.Tanh(), nn.Linear(16, 2))

    def loss(self, x: Tensor) -> Tensor:
        pooled = (self.layers(x) * MASK[..., None]).sum(dim=1)
        return nn.functional.cross_entropy(pooled, torch.arange(N) % 2)


def gradients(net: Net, n_passes: int, *, step_size: float, noise_size: float) -> list[Tensor]:
    """Of loss / n added up over the passes, all with one dropout mask."""
    net.zero_grad()
    torch.manual_seed(3)
    e, restore = embeddings(), same_dropout(torch.device("cpu"))
    options: dict[str, Any] = {"step_size": step_size, "noise_size": noise_size, "generator": generator()}
    for delta in freelb(e, MASK, n_passes=n_passes, **options):
        restore()
        (net.loss(e + delta) / n_passes).backward()
    return [p.grad.clone() for p in net.parameters() if p.grad is not None]


def test_the_gradient_that_adds_up_is_that_of_the_mean_loss() -> None:
    net, deltas, e = Net(), [], embeddings()
    found = gradients(net, 3, step_size=ALPHA, noise_size=GAMMA)
    torch.manual_seed(3)
    restore = same_dropout(torch.device("cpu"))
    for delta in freelb(e, MASK, n_passes=3, step_size=ALPHA, noise_size=GAMMA, generator=generator()):
        restore()
        net.loss(e + delta).backward()
        deltas.append(delta.detach())
    net.zero_grad()
    losses = []
    for delta in deltas:
        restore()
        losses.append(net.loss(e + delta))
    torch.stack(losses).mean().backward()
    for one, p in zip(found, net.parameters(), strict=True):
        torch.testing.assert_close(one, p.grad)


def test_without_noise_and_ascent_n_passes_are_one_dropout_on() -> None:
    net = Net().train()
    one, three = (gradients(net, n, step_size=0.0, noise_size=0.0) for n in (1, 3))
    for g, other in zip(one, three, strict=True):
        torch.testing.assert_close(g, other)
    moved = gradients(net, 3, step_size=ALPHA, noise_size=0.0)
    assert not torch.allclose(one[0], moved[0])


@pytest.mark.parametrize("name", ["step_size", "noise_size", "radius"])
@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, "1", None, torch.ones(2), np.ones(2), True])
def test_a_number_out_of_its_range_is_refused_before_the_first_pass(name: str, bad: Any) -> None:
    options: dict[str, Any] = {"n_passes": 2, "step_size": 0.1, "generator": generator(), name: bad}
    with pytest.raises(ValueError, match=rf"^{name}: expected a finite number, 0 or more, got"):
        freelb(embeddings(), MASK, **options)


def test_what_does_not_belong_together_is_refused() -> None:
    options: dict[str, Any] = {"n_passes": 2, "step_size": 0.1, "generator": generator()}
    with pytest.raises(ValueError, match=r"expected bool \(4, 6\), got torch.bool \(4, 5\)"):
        freelb(embeddings(), MASK[:, :5], **options)
    with pytest.raises(ValueError, match=r"embeddings are real, \(N, L, D\): got \(4, 6\) of torch.int64"):
        freelb(MASK.long(), MASK, **options)
    with pytest.raises(ValueError, match="n_passes is a whole number: expected 1 or larger, got 0"):
        freelb(embeddings(), MASK, **{**options, "n_passes": 0})
    with pytest.raises(TypeError, match="Pass generator="):
        freelb(embeddings(), MASK, **{**options, "generator": None})
    with pytest.raises(ValueError, match=r"perturbation 0 was taken without a gradient.*Call loss.backward\(\)"):
        list(freelb(embeddings(), MASK, **options))
    with pytest.raises(ValueError, match=r"expected bool \(4, 6\), got a list"):
        freelb(embeddings(), MASK.tolist(), **options)


@pytest.mark.parametrize("kind", [Decimal, Fraction, np.float64, torch.tensor])
def test_numbers_of_any_kind_climb_alike(kind: Callable[[float], Any]) -> None:
    def climbed(**numbers: Any) -> list[Tensor]:
        found = []
        for delta in freelb(embeddings(), MASK, n_passes=2, generator=generator(), **numbers):
            (embeddings() + delta).square().sum().backward()
            found.append(delta.detach())
        return found

    plain = climbed(step_size=0.5, noise_size=0.25, radius=1.0)
    for a, b in zip(plain, climbed(step_size=kind(0.5), noise_size=kind(0.25), radius=kind(1.0)), strict=True):
        assert torch.equal(a, b)
