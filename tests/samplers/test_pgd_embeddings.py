from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Conditioned
from ebm_course.samplers.pgd import pgd
from ebm_course.samplers.pgd_embeddings import pgd_embeddings

N, L, D, K = 6, 5, 4, 3
MASK = torch.arange(L) < torch.tensor([5, 4, 3, 2, 1, 5])[:, None]
Y = torch.arange(N) % K


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


X0 = torch.randn(N, L, D, generator=torch.Generator().manual_seed(1))


class Linear(nn.Module):
    """log p(y | x) of a linear model on the sum of all embeddings, pads too."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(D, K)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return self.layer(x.sum(dim=1)).log_softmax(dim=1).gather(1, y[:, None])[:, 0]


def attacked(**options: Any) -> Any:
    given: dict[str, Any] = {"radius": 0.5, "n_steps": 5, "mask": MASK, "generator": generator(), **options}
    return pgd_embeddings(Conditioned(Linear(), Y), X0, **given)


@pytest.mark.parametrize("random_start", [False, True])
def test_on_a_linear_model_no_step_lowers_the_loss(random_start: bool) -> None:
    # From a convex loss in a ball, ascents along the gradient of a linear model's logits.
    losses = torch.stack(
        [-attacked(n_steps=k, step_size=0.2, random_start=random_start).info["energy"] for k in range(9)]
    )
    assert (losses.diff(dim=0) >= -1e-6).all() and (losses[-1] > losses[0] + 0.05).all()


def test_one_norm_holds_for_a_whole_sentence_and_pads_stay() -> None:
    for random_start in (False, True):
        found = attacked(n_steps=20, step_size=0.3, random_start=random_start)
        moved = found.x - X0
        assert (moved.flatten(1).norm(dim=1) <= 0.5 * (1 + 1e-5)).all()
        torch.testing.assert_close(found.info["distance"], torch.full((N,), 0.5), rtol=1e-4, atol=0)
        assert torch.equal(found.x[~MASK], X0[~MASK])


def test_the_first_step_is_written_out() -> None:
    x = X0.clone().requires_grad_()
    (g,) = torch.autograd.grad(Linear()(Y, x).sum(), x)
    g = g * MASK[..., None]
    expected = X0 - 0.2 * g / g.flatten(1).norm(dim=1).view(-1, 1, 1)
    torch.testing.assert_close(attacked(n_steps=1, step_size=0.2).x, expected)


def test_without_pads_it_is_pgd_in_the_euclidean_norm() -> None:
    energy = Conditioned(Linear(), Y)
    options: dict[str, Any] = {"radius": 0.4, "n_steps": 4, "generator": generator()}
    found = pgd_embeddings(energy, X0, **options)
    other = pgd(energy, X0, **options, norm="l2", random_start=False, bounds=None)
    torch.testing.assert_close(found.x, other.x)


def test_more_pads_change_no_attack() -> None:
    longer = torch.cat([X0, torch.zeros(N, 3, D)], dim=1)
    mask = torch.cat([MASK, torch.zeros(N, 3, dtype=torch.bool)], dim=1)
    energy = Conditioned(Linear(), Y)
    found = pgd_embeddings(energy, longer, radius=0.5, n_steps=5, mask=mask, generator=generator())
    torch.testing.assert_close(found.x[:, :L], attacked().x)


def test_at_radius_zero_nothing_moves() -> None:
    assert torch.equal(attacked(radius=0.0, random_start=True).x, X0)


def test_it_steps_in_float32_where_16_bits_would_lose_the_step() -> None:
    half = X0.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = pgd_embeddings(Conditioned(Linear(), Y), half, radius=1e-3, n_steps=3, generator=generator())
    assert found.x.dtype == torch.float32 and found.info["energy"].dtype == torch.float32
    torch.testing.assert_close(found.info["distance"], torch.full((N,), 1e-3), rtol=1e-2, atol=0)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected radius >= 0 .*: got -0\.1"):
        attacked(radius=-0.1)
    with pytest.raises(ValueError, match=r"expected bool \(6, 5\), got torch.bool \(6, 4\)"):
        attacked(mask=MASK[:, :4])
    with pytest.raises(ValueError, match=r"expected bool \(6, 5\), got torch.int64"):
        attacked(mask=MASK.long())
    with pytest.raises(TypeError, match="embed the tokens first"):
        pgd_embeddings(Conditioned(Linear(), Y), MASK.long(), radius=0.1, n_steps=1, generator=generator())
    with pytest.raises(FloatingPointError, match="energy after projected gradient descent on embeddings is not finite"):
        pgd_embeddings(lambda x: x.sum((1, 2)) * torch.nan, X0, radius=0.1, n_steps=1, generator=generator())
    with pytest.raises(ValueError, match=r"expected bool \(6, 5\), got a list"):
        attacked(mask=MASK.tolist())


def test_a_state_that_is_no_number_is_refused_where_its_energy_is_one() -> None:
    def finite_everywhere(x: Tensor) -> Tensor:
        return torch.where(x > 5, x.sqrt(), x.nan_to_num()).sum((1, 2))  # the gradient of the root below 0 is NaN

    for x0, energy in ((-1 - X0.abs(), finite_everywhere), (X0 * torch.nan, lambda x: x.nan_to_num().sum((1, 2)))):
        with pytest.raises(FloatingPointError, match=r"state or its energy .* is not finite in 6 of 6 entries"):
            pgd_embeddings(energy, x0, radius=0.1, n_steps=1, generator=generator())
