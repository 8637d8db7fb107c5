from __future__ import annotations

import math

import pytest
import torch

from ebm_course.energies.potts import Potts
from ebm_course.samplers.resampling import resampling


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def number(x: torch.Tensor) -> torch.Tensor:
    return x[:, 0].float()


def test_weights_effective_sample_size_and_mean_weight_by_hand():
    # weights 1, 3 and 2, 2 after log_q: exp(-E) / q
    weights, q = torch.tensor([1.0, 3.0, 2.0, 2.0]), torch.tensor([0.5, 0.1, 0.2, 0.4])
    table = -(weights * q).log()
    result = resampling(
        lambda x: table[x[:, 0]], torch.arange(4)[:, None], group_size=2, log_q=q.log(), generator=generator()
    )
    torch.testing.assert_close(result.info["ess"], torch.tensor([16 / 10, 2.0]))
    torch.testing.assert_close(result.info["log_mean_weight"], torch.tensor([math.log(2), math.log(2)]))
    torch.testing.assert_close(result.info["energy"], table[result.x[:, 0]])


@pytest.mark.parametrize("residual", [True, False])
def test_the_law_of_a_draw_of_two_is_the_exact_one(residual):
    q, e = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.0, -1.0, -2.0])
    w = (-e).exp() if residual else (-e).exp() / q
    exact = torch.zeros(3)
    for a in range(3):
        for b in range(3):
            exact[a] += q[a] * q[b] * w[a] / (w[a] + w[b])
            exact[b] += q[a] * q[b] * w[b] / (w[a] + w[b])
    n = 60_000
    x0 = torch.multinomial(q, 2 * n, replacement=True, generator=generator(1))[:, None]
    log_q = None if residual else q.log()[x0[:, 0]]
    x = resampling(lambda x: e[x[:, 0]], x0, group_size=2, log_q=log_q, generator=generator()).x
    frequency = torch.bincount(x[:, 0], minlength=3) / n
    assert ((frequency - exact).abs() < 5 * (exact * (1 - exact) / n).sqrt()).all()


def test_large_groups_sample_the_model_and_the_mean_weight_estimates_z():
    model, n, group = Potts.random(2, 3, generator=generator(1)), 4_000, 400
    x0 = torch.randint(3, (n * group, 2), generator=generator(2))
    log_q = torch.full((n * group,), -2 * math.log(3))
    result = resampling(model, x0, group_size=group, log_q=log_q, generator=generator())
    p = model.probabilities().detach()
    frequency = torch.bincount(model.index(result.x), minlength=9) / n
    assert ((frequency - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()
    z = result.info["log_mean_weight"].exp()
    assert z.mean().item() == pytest.approx(model.log_z().exp().item(), abs=5 * z.std().item() / math.sqrt(n))
    w = (-model(model.states()).detach()).exp()
    limit = w.mean() ** 2 / w.square().mean()  # ess / n as n grows
    assert result.info["ess"].mean().item() / group == pytest.approx(limit.item(), rel=0.02)


def test_groups_of_one_return_the_draws_with_weight_one():
    x0 = torch.randn(5, 2, 2)
    result = resampling(lambda x: x.flatten(1).sum(1), x0, group_size=1, generator=generator())
    assert torch.equal(result.x, x0)
    torch.testing.assert_close(result.info["ess"], torch.ones(5))


def test_large_energies_do_not_overflow():
    x0 = torch.tensor([[9000.0], [9001.0], [-9000.0], [-9001.0]])
    result = resampling(number, x0, group_size=2, generator=generator())
    expected = (1 + math.exp(-1)) ** 2 / (1 + math.exp(-2))
    torch.testing.assert_close(result.info["ess"], torch.full((2,), expected), rtol=1e-3, atol=0)
    assert result.info["log_mean_weight"].isfinite().all()


def test_a_draw_comes_from_its_own_group():
    x0 = torch.arange(60).view(20, 3).flatten()[:, None]
    x = resampling(lambda x: torch.zeros(len(x)), x0, group_size=3, generator=generator()).x[:, 0]
    assert torch.equal(x // 3, torch.arange(20)) and len(set((x % 3).tolist())) == 3


def test_forbidden_draws_are_never_kept_and_a_group_of_them_is_refused():
    def wall(x):
        return torch.where(x[:, 0] > 0, torch.inf, 0.0)

    x0 = torch.tensor([[0.0], [1.0]]).repeat(200, 1)
    assert (resampling(wall, x0, group_size=2, generator=generator()).x == 0).all()
    with pytest.raises(FloatingPointError, match="weight of a group is not finite in 1 of 2"):
        resampling(wall, torch.tensor([[1.0], [1.0], [0.0], [0.0]]), group_size=2, generator=generator())


def test_a_nan_anywhere_in_a_group_is_refused():
    x0 = torch.tensor([[0.0], [torch.nan]])
    with pytest.raises(FloatingPointError, match="Check the energy and log_q at the draws"):
        resampling(number, x0, group_size=2, generator=generator())


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="5 rows do not make groups of 2"):
        resampling(number, torch.zeros(5, 1), group_size=2, generator=generator())
    with pytest.raises(ValueError, match=r"expected \(4,\), got \(4, 1\)"):
        resampling(number, torch.zeros(4, 1), group_size=2, log_q=torch.zeros(4, 1), generator=generator())


def test_weights_of_half_precision_count_as_in_float32() -> None:
    e = torch.linspace(0.0, 2.0, 2_000).bfloat16()
    draws = {"group_size": 1_000, "log_q": torch.zeros(2_000)}
    x0 = torch.arange(2_000)[:, None]
    ends = [
        resampling(lambda x, d=d: e[x[:, 0]].to(d), x0, generator=torch.Generator().manual_seed(0), **draws)
        for d in (torch.bfloat16, torch.float32)
    ]
    assert torch.equal(ends[0].x, ends[1].x)
    torch.testing.assert_close(ends[0].info["ess"], ends[1].info["ess"])
    draws.pop("log_q")
    half = resampling(lambda x: e[x[:, 0]], x0, generator=torch.Generator().manual_seed(0), **draws)
    torch.testing.assert_close(half.info["log_mean_weight"], ends[1].info["log_mean_weight"])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_log_probability_that_no_draw_has_is_refused(bad: float) -> None:
    draws = {"group_size": 2, "log_q": torch.tensor([0.0, bad]), "generator": generator()}
    with pytest.raises(FloatingPointError, match="Check the energy and log_q"):
        resampling(number, torch.tensor([[0], [1]]), **draws)


def test_an_energy_that_works_in_place_or_returns_a_view_leaves_x0_as_it_is() -> None:
    x0 = torch.tensor([[0.0], [1.0]]).repeat(3, 1)
    before = x0.clone()
    for energy in (lambda x: x.mul_(2.0)[:, 0], lambda x: x[:, 0]):
        kept = resampling(energy, x0, group_size=2, generator=generator())
        kept.info["energy"].fill_(7.0)
        assert torch.equal(x0, before) and kept.x.max() <= 1


@pytest.mark.parametrize("log_q", [[0.0] * 4, torch.zeros(4, dtype=torch.complex64)])
def test_a_log_q_that_is_no_real_tensor_is_refused(log_q):
    with pytest.raises(TypeError, match="log_q is a tensor of real numbers: got a"):
        resampling(lambda x: x[:, 0], torch.ones(4, 1), group_size=2, log_q=log_q, generator=torch.Generator())


def test_a_log_q_of_whole_numbers_weighs_as_real_ones_do():
    def kept(log_q):
        options = {"group_size": 2, "generator": torch.Generator().manual_seed(0)}
        return resampling(lambda x: x[:, 0], torch.arange(4.0)[:, None], log_q=log_q, **options).info

    for name, value in kept(torch.tensor([-1, -2, -3, -1])).items():
        assert torch.equal(value, kept(torch.tensor([-1.0, -2.0, -3.0, -1.0]))[name])
