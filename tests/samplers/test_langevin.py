from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ebm_course.core import Conditioned
from ebm_course.energies.gaussian_mixture import GaussianMixture
from ebm_course.samplers.langevin import langevin


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bowl(x: torch.Tensor) -> torch.Tensor:
    """A Gaussian of mean 0 and variance 1 / 2 in each direction."""
    return x.square().flatten(1).sum(1)


def test_two_steps_by_hand():
    x0, noise = torch.tensor([[1.0, -2.0]]), []
    g = generator(3)
    noise = [torch.randn(1, 2, generator=g) for _ in range(2)]
    x1 = x0 - 0.1 * 2 * x0 + math.sqrt(0.2) * noise[0]
    x2 = x1 - 0.1 * 2 * x1 + math.sqrt(0.2) * noise[1]
    result = langevin(bowl, x0, n_steps=2, step_size=0.1, keep_path=True, generator=generator(3))
    torch.testing.assert_close(result.path, torch.stack([x0, x1, x2]))
    torch.testing.assert_close(result.x, x2)
    torch.testing.assert_close(result.info["grad_norm"], torch.maximum((2 * x0).norm(dim=1), (2 * x1).norm(dim=1)))


@pytest.mark.parametrize("step_size", [0.02, 0.1, 0.4])
def test_langevin_variance_has_the_known_step_size_bias(step_size):
    # variance v of p: v / (1 - a / (2 v)), here v = 1/2
    variance = 0.5 / (1 - step_size)
    n = 20_000
    x0 = math.sqrt(variance) * torch.randn(n, 1, generator=generator(1))
    x = langevin(bowl, x0, n_steps=20, step_size=step_size, generator=generator()).x[:, 0]
    standard_error = variance * math.sqrt(2 / n)  # of the mean square of a Gaussian
    assert x.square().mean().item() == pytest.approx(variance, abs=5 * standard_error)
    assert step_size < 0.1 or variance - 0.5 > 5 * standard_error  # the bias is large enough to be seen


def test_a_chain_from_elsewhere_forgets_its_start_at_the_known_rate():
    # after T steps: mean (1 - a / v)^T x0, variance s^2 (1 - r^(2 T)) / (1 - r^2)
    a, rate, n, steps = 0.05, 0.9, 40_000, 8
    x = langevin(bowl, torch.full((n, 1), 5.0), n_steps=steps, step_size=a, generator=generator()).x[:, 0]
    variance = 2 * a * (1 - rate ** (2 * steps)) / (1 - rate**2)
    assert x.mean().item() == pytest.approx(5 * rate**steps, abs=5 * math.sqrt(variance / n))
    assert x.var().item() == pytest.approx(variance, abs=5 * variance * math.sqrt(2 / n))


def test_noise_apart_from_the_step_samples_a_colder_density():
    # s^2 = 2 a / 4: four times the energy, so a quarter of the variance as a tends to 0
    a, n = 0.02, 40_000
    x0 = math.sqrt(0.125) * torch.randn(n, 1, generator=generator(1))
    x = langevin(bowl, x0, n_steps=20, step_size=a, noise_std=math.sqrt(a / 2), generator=generator()).x
    variance = a / 2 / (1 - (1 - 2 * a) ** 2)
    assert variance == pytest.approx(0.125, rel=0.03)
    assert x.square().mean().item() == pytest.approx(variance, abs=5 * variance * math.sqrt(2 / n))


def test_without_noise_it_is_gradient_descent():
    x = langevin(bowl, torch.ones(3, 2), n_steps=5, step_size=0.25, noise_std=0.0, generator=generator()).x
    torch.testing.assert_close(x, torch.full((3, 2), 0.5**5))


def test_a_mixture_reaches_its_moments_from_elsewhere():
    model = GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.5, torch.tensor([0.3, 0.7]))
    n, a = 4_000, 0.03
    x0 = torch.full((n, 2), 3.0)
    x = langevin(model, x0, n_steps=300, step_size=a, generator=generator()).x
    mean, second = torch.tensor([0.4, 0.35]), torch.tensor([1.5, 0.5 + 0.7 * 0.25])
    bias = 0.5 * a  # of a variance of 1/2: v / (1 - a / (2 v)) - v = a / 2
    assert ((x.mean(0) - mean).abs() < 5 * x.std(0) / math.sqrt(n)).all()
    assert ((x.square().mean(0) - second).abs() < 5 * x.square().std(0) / math.sqrt(n) + 2 * bias).all()


def test_a_large_gradient_is_shortened_and_a_small_one_is_not():
    x0 = torch.tensor([[30.0, 40.0], [0.3, 0.4]])
    x = langevin(bowl, x0, n_steps=1, step_size=0.1, noise_std=0.0, max_grad_norm=10.0, generator=generator()).x
    torch.testing.assert_close(x, x0 - 0.1 * torch.tensor([[6.0, 8.0], [0.6, 0.8]]))


def test_images_and_double_precision_pass_through():
    x0 = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    result = langevin(bowl, x0, n_steps=2, step_size=0.1, max_grad_norm=1.0, generator=generator())
    assert result.x.shape == x0.shape and result.x.dtype == torch.float64


def test_a_step_too_long_ends_in_a_clear_error():
    with pytest.raises(FloatingPointError, match="Shorten step_size"):
        langevin(bowl, torch.ones(4, 2), n_steps=400, step_size=2.0, generator=generator())


@pytest.mark.parametrize(
    "wrong",
    [
        {"step_size": 0.0},
        {"noise_std": -1.0},
        {"max_grad_norm": 0.0},
        {"max_grad_value": 0.0},
        {"step_size": torch.inf},
        {"noise_std": torch.inf},
    ]
    + [{name: torch.nan} for name in ("step_size", "noise_std", "max_grad_norm", "max_grad_value")],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected step_size > 0"):
        langevin(bowl, torch.ones(1, 2), **{"n_steps": 1, "step_size": 0.1, "generator": generator(), **wrong})


@pytest.mark.parametrize("name", ["step_size", "noise_std", "max_grad_norm", "max_grad_value"])
def test_what_is_no_number_is_refused_by_its_name(name):
    with pytest.raises(ValueError, match=f"{name} is a number: expected a real one, got 'a'"):
        langevin(bowl, torch.ones(1, 2), **{"n_steps": 1, "step_size": 0.1, "generator": generator(), name: "a"})
    langevin(bowl, torch.ones(1, 2), **{"n_steps": 1, "step_size": 0.1, "generator": generator(), name: torch.ones(())})


def test_tokens_are_refused():
    with pytest.raises(TypeError, match="real-valued"):
        langevin(bowl, torch.ones(1, 2, dtype=torch.int64), n_steps=1, step_size=0.1, generator=generator())


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("max_rows", [1, 7, 1_000])
def test_chains_moved_in_pieces_go_the_same_way(max_rows: int, conditional: bool) -> None:
    sizes: list[int] = []
    centres = 3.0 * torch.arange(20.0)[:, None]

    def around(centre: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return (x - centre).square().sum(dim=1)

    energy = Conditioned(around, centres) if conditional else GaussianMixture(torch.tensor([[-2.0], [2.0]]))
    options = {"n_steps": 30, "step_size": 0.05}
    whole = langevin(energy, centres, generator=generator(), **options)
    sizes.clear()
    pieces = langevin(energy, centres, max_rows=max_rows, generator=generator(), **options)
    torch.testing.assert_close(pieces.x, whole.x)
    torch.testing.assert_close(pieces.info["grad_norm"], whole.info["grad_norm"])
    assert not conditional or max(sizes[:-1]) == min(max_rows, 20)  # the last call scores the final states


def test_pieces_of_no_chain_are_refused() -> None:
    with pytest.raises(ValueError, match="max_rows is a whole number: expected 1"):
        langevin(bowl, torch.zeros(3, 1), n_steps=1, step_size=0.1, max_rows=0, generator=generator())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_state_that_is_not_finite_is_refused_though_its_energy_is(bad: float) -> None:
    def capped(x: torch.Tensor) -> torch.Tensor:
        e = x.square().sum(dim=1)
        return torch.where(e < 1, e, 1.0)  # 1 at a NaN

    x0 = torch.tensor([[0.5], [bad]])
    with pytest.raises(
        FloatingPointError, match=r"not finite in 1 of 2 .* Shorten step_size, set max_grad_norm, or check x0"
    ):
        langevin(capped, x0, n_steps=3, step_size=0.1, generator=generator())
    with pytest.raises(FloatingPointError, match="not finite in 1 of 2"):
        langevin(capped, x0, n_steps=0, step_size=0.1, generator=generator())


def test_a_largest_norm_that_was_given_is_not_advised() -> None:
    with pytest.raises(FloatingPointError, match="step_size, lower max_grad_norm"):
        langevin(bowl, torch.tensor([[torch.nan]]), n_steps=1, step_size=0.1, max_grad_norm=1.0, generator=generator())


def test_an_infinite_largest_norm_is_none() -> None:
    x0 = 100 * torch.randn(5, 2, generator=generator())
    options = {"n_steps": 3, "step_size": 0.1}
    free = langevin(bowl, x0, generator=generator(), **options).x
    assert torch.equal(langevin(bowl, x0, max_grad_norm=torch.inf, generator=generator(), **options).x, free)


def linear(slope: torch.Tensor):
    """An energy whose gradient is the same everywhere."""
    return lambda x: (x * slope).flatten(1).sum(dim=1)


def test_entries_of_a_gradient_are_clamped_one_by_one_and_before_its_norm() -> None:
    x0, slope = torch.zeros(2, 3), torch.tensor([5.0, -0.5, -5.0])
    options = {"n_steps": 1, "step_size": 0.1, "noise_std": 0.0, "max_grad_value": 1.0}
    by_value = langevin(linear(slope), x0, generator=generator(), **options)
    torch.testing.assert_close(by_value.x, torch.tensor([[-0.1, 0.05, 0.1]]).expand(2, 3))
    torch.testing.assert_close(by_value.info["grad_norm"], slope.norm().expand(2))
    both = langevin(linear(slope), x0, max_grad_norm=0.5, generator=generator(), **options)
    clamped = torch.tensor([1.0, -0.5, -1.0])
    torch.testing.assert_close(both.x, (-0.1 * 0.5 * clamped / clamped.norm()).expand(2, 3))


def test_states_are_clamped_after_every_step_and_not_before_the_first() -> None:
    x0, slope = torch.tensor([[0.95, 3.0]]), torch.tensor([-1.0, 1.0])
    options = {"step_size": 0.1, "noise_std": 0.0, "bounds": (-1.0, 1.0), "keep_path": True}
    path = langevin(linear(slope), x0, n_steps=2, generator=generator(), **options).path
    torch.testing.assert_close(path[:, 0], torch.tensor([[0.95, 3.0], [1.0, 1.0], [1.0, 0.9]]))
    assert torch.equal(langevin(linear(slope), x0, n_steps=0, generator=generator(), **options).x, x0)


def test_clamped_states_pile_up_on_the_faces() -> None:
    x0 = torch.zeros(1_000, 1)
    x = langevin(bowl, x0, n_steps=50, step_size=0.1, bounds=(-0.5, 0.5), generator=generator()).x
    assert x.abs().max() == 0.5
    assert (x.abs() == 0.5).float().mean() > 0.2  # p on the box has no mass there


@pytest.mark.parametrize("bounds", [(1.0, -1.0), (0.0, 0.0), (torch.nan, 1.0)])
def test_bounds_that_hold_no_interval_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"bounds are \(low, high\), low < high: got"):
        langevin(bowl, torch.zeros(1, 1), n_steps=1, step_size=0.1, bounds=bounds, generator=generator())


def test_noise_tied_to_the_step_is_the_papers_step_of_twice_the_length() -> None:
    # Welling and Teh: x - (alpha / 2) grad + N(0, alpha)
    alpha, x0, noise = 0.3, torch.tensor([[1.0, -2.0]]), torch.randn(1, 2, generator=generator(4))
    x = langevin(bowl, x0, n_steps=1, step_size=alpha / 2, generator=generator(4)).x
    torch.testing.assert_close(x, x0 - alpha / 2 * 2 * x0 + math.sqrt(alpha) * noise)


class Watched(TorchDispatchMode):
    """Notes of which of (input, weight, bias) each backward pass of a convolution computes a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[list[bool]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution_backward.default:
            self.masks.append(list(args[-1]))
        return func(*args, **(kwargs or {}))


def test_no_work_is_done_for_gradients_of_parameters() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.LeakyReLU(), torch.nn.Conv2d(4, 1, 3))
    with Watched() as watched:
        langevin(lambda x: net(x).flatten(1).sum(dim=1), torch.zeros(2, 1, 6, 6), n_steps=2, step_size=0.1,
                 generator=generator())  # fmt: skip
    assert watched.masks == [[True, False, False]] * 4


def test_energies_that_nobody_wants_cost_no_pass_and_change_nothing() -> None:
    passes: list[int] = []

    def energy(x: torch.Tensor) -> torch.Tensor:
        passes.append(len(x))
        return bowl(x)

    options = {"n_steps": 3, "step_size": 0.1}
    whole = langevin(energy, torch.ones(5, 2), **options, generator=generator())
    found = langevin(energy, torch.ones(5, 2), **options, with_energy=False, generator=generator())
    assert len(passes) == 4 + 3
    assert torch.equal(found.x, whole.x) and torch.equal(found.info["grad_norm"], whole.info["grad_norm"])
    assert (set(found.info), set(whole.info)) == ({"grad_norm"}, {"energy", "grad_norm"})
    with pytest.raises(FloatingPointError, match=r"not finite in 5 of 5 .* Shorten step_size"):
        langevin(bowl, torch.ones(5, 2), n_steps=99, step_size=1e3, with_energy=False, generator=generator())


def test_limits_larger_than_the_numbers_of_the_states_are_none():
    x0 = torch.ones(3, 2)
    x = langevin(bowl, x0, n_steps=3, step_size=0.1, generator=generator()).x
    huge = {"max_grad_value": 1e300, "bounds": (-1e300, 1e300)}
    assert torch.equal(langevin(bowl, x0, n_steps=3, step_size=0.1, generator=generator(), **huge).x, x)


def test_a_gradient_whose_norm_overflows_is_not_scaled_down_to_nothing_in_silence():
    x0 = torch.zeros(3, 2)
    with pytest.raises(FloatingPointError, match="after Langevin steps is not finite in 3 of 3"):
        langevin(lambda x: 1e30 * x.sum(dim=1), x0, n_steps=1, step_size=0.1, max_grad_norm=1.0, generator=generator())


def test_whole_numbers_have_no_gradient_even_where_no_step_is_taken():
    with pytest.raises(TypeError, match=r"a gradient needs real-valued states, got torch\.int64"):
        langevin(
            lambda x: x.sum(1).float(), torch.zeros(3, 2).long(), n_steps=0, step_size=0.1, generator=torch.Generator()
        )


def test_numbers_of_rows_may_be_numpys():
    net, x0 = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Flatten(0)), torch.ones(5, 2)
    options = {"n_steps": 2, "step_size": 0.1}
    ours, numpys = (
        langevin(net, x0, max_rows=k, generator=torch.Generator().manual_seed(0), **options).x for k in (2, np.int64(2))
    )
    assert torch.equal(ours, numpys)
