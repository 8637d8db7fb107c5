from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.core import Conditioned
from ebm_course.samplers.pgd import pgd

BOX = (-1.0, 1.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_net() -> nn.Module:
    """A classifier of images (3, 6, 6) in double precision, so that two ways to its gradient agree in their signs."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(72, 5)
    ).double().eval()  # fmt: skip


def images(n: int = 8, *, spread: float = 1.0) -> Tensor:
    return (torch.rand(n, 3, 6, 6, generator=generator(1), dtype=torch.float64) * 2 - 1) * spread


LABELS = torch.arange(8) % 5


def log_likelihood(net: nn.Module, labels: Tensor = LABELS) -> Callable[[Tensor], Tensor]:
    """Downhill in it is an attack that leads away from the labels."""
    return lambda x: -F.cross_entropy(net(x), labels, reduction="none")


def distance(x: Tensor, x0: Tensor, norm: str) -> Tensor:
    away = (x - x0).flatten(1)
    return away.abs().amax(dim=1) if norm == "linf" else away.norm(dim=1)


def test_two_steps_by_hand_in_the_maximum_norm() -> None:
    # E = x^2 + y from (0.5, 0.9), radius 0.3: x goes down twice and meets the ball, y goes down and meets it too
    x0 = torch.tensor([[0.5, 0.9]])
    options = {"radius": 0.3, "n_steps": 2, "step_size": 0.2, "random_start": False, "keep_path": True}
    result = pgd(lambda x: x[:, 0] ** 2 + x[:, 1], x0, generator=generator(), **options)
    torch.testing.assert_close(result.path[:, 0], torch.tensor([[0.5, 0.9], [0.3, 0.7], [0.2, 0.6]]))


def test_two_steps_by_hand_in_the_euclidean_norm() -> None:
    # E = 3 x + 4 y: the direction is (3, 4) / 5 whatever the slope, and at 0.5 the ball is met
    x0 = torch.tensor([[0.5, 0.9]])
    options = {"radius": 0.5, "n_steps": 2, "step_size": 0.4, "norm": "l2", "random_start": False, "keep_path": True}
    result = pgd(lambda x: 1e-3 * (3 * x[:, 0] + 4 * x[:, 1]), x0, generator=generator(), **options)
    torch.testing.assert_close(result.path[:, 0], torch.tensor([[0.5, 0.9], [0.26, 0.58], [0.2, 0.5]]))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("radius", [0.0, 0.05, 0.7, 3.0])
@pytest.mark.parametrize("step_size", [None, 0.01, 10.0])
@pytest.mark.parametrize("bounds", [BOX, (-0.95, 0.97), None])
def test_no_state_on_the_way_leaves_the_ball_or_the_box(
    norm: Any, radius: float, step_size: float | None, bounds: tuple[float, float] | None
) -> None:
    net, x0 = small_net(), images(spread=0.95)
    options = {"radius": radius, "n_steps": 6, "step_size": step_size, "norm": norm, "bounds": bounds}
    for seed in range(3):
        path = pgd(log_likelihood(net), x0, keep_path=True, generator=generator(seed), **options).path
        assert len(path) == 7
        for x in path:
            assert (distance(x, x0, norm) <= radius + 1e-12).all()
            assert bounds is None or (bounds[0] <= x.min() and x.max() <= bounds[1])
    assert radius == 0 or not torch.equal(path[-1], x0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_at_radius_0_x_is_x0_to_the_last_bit(norm: Any) -> None:
    x0 = images().float()
    result = pgd(lambda x: x.flatten(1).sum(dim=1), x0, radius=0.0, n_steps=5, norm=norm, generator=generator())
    assert torch.equal(result.x, x0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_where_the_gradient_is_0_nothing_moves_and_nothing_is_nan(norm: Any) -> None:
    x0 = images(2)
    energy = lambda x: 0 * x.flatten(1).sum(dim=1)  # noqa: E731
    options = {"radius": 0.3, "n_steps": 4, "norm": norm, "random_start": False}
    assert torch.equal(pgd(energy, x0, generator=generator(), **options).x, x0)


def test_one_chain_without_a_gradient_does_not_stop_the_others() -> None:
    x0, slope = torch.zeros(2, 4), torch.tensor([[0.0], [1.0]])
    result = pgd(lambda x: (slope * x).sum(dim=1), x0, radius=1.0, n_steps=4, norm="l2", random_start=False,
                 generator=generator())  # fmt: skip
    torch.testing.assert_close(result.x, -slope.expand(2, 4) / 2)


@pytest.mark.parametrize("slope", [1e-18, 1e-30, 1e-38, 1e18])
def test_the_length_of_the_gradient_does_not_matter(slope: float) -> None:
    x0 = torch.zeros(3, 4)
    for norm, expected in [("linf", 0.5), ("l2", 0.25)]:
        options: dict[str, Any] = {"radius": 0.5, "n_steps": 3, "norm": norm, "random_start": False}
        x = pgd(lambda x: slope * x.sum(dim=1), x0, generator=generator(), **options).x
        torch.testing.assert_close(x, torch.full((3, 4), -expected))


@pytest.mark.parametrize("norm, dual", [("linf", 1), ("l2", 2)])
def test_of_a_linear_energy_it_finds_the_minimum_in_the_ball(norm: Any, dual: int) -> None:
    slope = torch.randn(3, 6, 6, generator=generator(2), dtype=torch.float64)
    x0 = images(spread=0.1)
    options: dict[str, Any] = {"radius": 0.2, "n_steps": 3, "norm": norm, "random_start": False}
    result = pgd(lambda x: (x * slope).flatten(1).sum(dim=1), x0, generator=generator(), **options)
    before = (x0 * slope).flatten(1).sum(dim=1)
    least = before - 0.2 * slope.flatten().norm(p=dual)  # the dual norm
    torch.testing.assert_close(result.info["energy"], least, atol=1e-9, rtol=0)


def test_in_the_maximum_norm_the_result_is_the_nearest_point_of_ball_and_box() -> None:
    x0, goal = torch.tensor([[0.9, -0.2, 0.0]]), torch.tensor([[2.0, -2.0, 0.1]])
    options = {"radius": 0.3, "n_steps": 1, "step_size": 5.0, "random_start": False}
    x = pgd(lambda x: (x - goal).sign().mul(x).sum(dim=1), x0, generator=generator(), **options).x
    torch.testing.assert_close(x, torch.tensor([[1.0, -0.5, 0.3]]))


def test_downhill_in_the_other_energy_is_a_targeted_attack() -> None:
    net, x0, target = small_net(), images(), (LABELS + 1) % 5
    options = {"radius": 0.5, "n_steps": 20}
    away = pgd(log_likelihood(net), x0, generator=generator(), **options)
    assert (away.info["energy"] < log_likelihood(net)(x0)).all()
    towards = pgd(lambda x: F.cross_entropy(net(x), target, reduction="none"), x0, generator=generator(), **options)
    assert (towards.info["energy"] < F.cross_entropy(net(x0), target, reduction="none")).all()
    hits = [int((net(x).argmax(dim=1) == target).sum()) for x in (x0, away.x, towards.x)]
    assert hits[0] <= 2 and hits[1] < 7 and hits[2] >= 7


def test_a_random_start_is_uniform_in_the_ball() -> None:
    n, d, radius = 20_000, 3, 0.5
    x0, options = torch.zeros(n, d), {"radius": radius, "n_steps": 0, "bounds": None}
    by_entry = pgd(lambda x: x.sum(dim=1), x0, generator=generator(), **options).x
    assert (by_entry.mean(dim=0).abs() < 5 * radius / math.sqrt(3 * n)).all()
    assert by_entry.square().mean().item() == pytest.approx(
        radius**2 / 3, abs=5 * radius**2 * math.sqrt(4 / 45 / (n * d))
    )
    length = pgd(lambda x: x.sum(dim=1), x0, norm="l2", generator=generator(), **options).x.norm(dim=1)
    assert length.max() <= radius
    for share in (0.2, 0.5, 0.8):  # of the volume
        inside = (length < radius * share ** (1 / d)).float().mean().item()
        assert inside == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / n))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_random_start_does_not_depend_on_how_images_lie_in_memory(norm: Any) -> None:
    net, x0 = small_net(), images()
    options = {"radius": 0.3, "n_steps": 2, "norm": norm}
    expected = pgd(log_likelihood(net), x0, generator=generator(), **options).x
    turned = x0.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(pgd(log_likelihood(net), turned, generator=generator(), **options).x, expected)


def test_without_a_random_start_nothing_is_drawn() -> None:
    net, x0, used = small_net(), images(), generator()
    before = used.get_state()
    pgd(log_likelihood(net), x0, radius=0.1, n_steps=2, random_start=False, generator=used)
    assert torch.equal(used.get_state(), before)


def test_the_default_step_crosses_the_ball() -> None:
    path = pgd(lambda x: x.sum(dim=1), torch.full((1, 1), 0.5), radius=0.2, n_steps=10, random_start=False,
               keep_path=True, generator=generator()).path[:, 0, 0]  # fmt: skip
    torch.testing.assert_close(path[:5], torch.tensor([0.5, 0.45, 0.4, 0.35, 0.3]))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_images_attacked_in_pieces_go_the_same_way(norm: Any) -> None:
    net, x0, sizes = small_net(), images(), list[int]()

    def counted(y: Tensor, x: Tensor) -> Tensor:
        sizes.append(len(x))
        return -F.cross_entropy(net(x), y, reduction="none")

    options = {"radius": 0.3, "n_steps": 4, "norm": norm}
    whole = pgd(Conditioned(counted, LABELS), x0, generator=generator(), **options).x
    sizes.clear()
    pieces = pgd(Conditioned(counted, LABELS), x0, max_rows=3, generator=generator(), **options).x
    torch.testing.assert_close(pieces, whole)
    assert sizes == [3, 3, 2] * 4 + [8]  # the last call scores the final states


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"radius": -0.1}, "expected radius >= 0 and step_size >= 0"),
        ({"radius": -0.1, "step_size": 0.1}, "expected radius >= 0 and step_size >= 0"),
        ({"radius": torch.nan}, "expected radius >= 0 and step_size >= 0"),
        ({"step_size": -1.0}, "expected radius >= 0 and step_size >= 0"),
        ({"step_size": torch.inf}, "expected radius >= 0 and step_size >= 0"),
        ({"radius": "a"}, "radius is a number: expected a real one, got 'a'"),
        ({"radius": None}, "radius is a number: expected a real one, got None"),
        ({"step_size": torch.ones(8)}, "step_size is a number: expected a real one, got tensor"),
        ({"norm": "l1"}, "norm is 'linf' or 'l2': got 'l1'"),
        ({"bounds": (1.0, -1.0)}, "low < high"),
        ({"bounds": (0.0, 1.0)}, r"out of the bounds \(0\.0, 1\.0\): got -0\.9"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    options = {"radius": 0.1, "n_steps": 2, "generator": generator(), **wrong}
    with pytest.raises(ValueError, match=message):
        pgd(log_likelihood(small_net()), images(), **options)


def test_a_state_that_is_not_finite_is_refused_though_its_energy_is() -> None:
    def capped(x: Tensor) -> Tensor:
        e = x.square().sum(dim=1)
        return torch.where(e < 1, e, 1.0)  # 1 at a NaN

    x0 = torch.tensor([[0.5], [torch.nan]])
    with pytest.raises(FloatingPointError, match=r"not finite in 1 of 2 .* Check the energy and x0"):
        pgd(capped, x0, radius=0.1, n_steps=2, generator=generator())


def test_without_the_energy_at_the_end_it_takes_a_pass_less_to_the_same_states_and_refuses_as_much() -> None:
    calls: list[int] = []

    def energy(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x.square().flatten(1).sum(dim=1)

    options: dict[str, Any] = {"radius": 0.2, "n_steps": 3}
    whole = pgd(energy, images(), **options, generator=generator())
    n_calls = len(calls)
    found = pgd(energy, images(), **options, with_energy=False, generator=generator())
    assert torch.equal(found.x, whole.x)
    assert (found.info, set(whole.info)) == ({}, {"energy"})
    assert (n_calls, len(calls) - n_calls) == (4, 3)
    x0 = torch.tensor([[0.5], [torch.nan]])
    with pytest.raises(FloatingPointError, match=r"not finite in 1 of 2 .* Check the energy and x0"):
        pgd(lambda x: x.square().sum(dim=1), x0, **options, with_energy=False, generator=generator())


def test_an_energy_that_is_not_finite_is_refused_though_states_and_gradients_are() -> None:
    offset = torch.tensor([0.0, torch.inf])
    with pytest.raises(FloatingPointError, match=r"not finite in 1 of 2 .* Check the energy and x0"):
        pgd(lambda x: x.sum(dim=1) + offset, torch.zeros(2, 3), radius=0.1, n_steps=2, generator=generator())


@pytest.mark.parametrize("outside", [-1.01, 1.01, torch.inf])
def test_an_entry_out_of_either_bound_is_refused(outside: float) -> None:
    x0 = torch.tensor([[0.0, outside]])
    with pytest.raises(ValueError, match=r"x0 has entries out of the bounds \(-1\.0, 1\.0\)"):
        pgd(lambda x: x.sum(dim=1), x0, radius=0.1, n_steps=1, generator=generator())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_path_begins_where_a_random_start_does(norm: Any) -> None:
    x0, options = images(), {"radius": 0.2, "norm": norm, "keep_path": True}
    energy = lambda x: x.flatten(1).sum(dim=1)  # noqa: E731
    start, *_ = pgd(energy, x0, n_steps=2, generator=generator(5), **options).path
    assert torch.equal(start, pgd(energy, x0, n_steps=0, generator=generator(5), **options).x)
    assert (distance(start, x0, norm) > 0).all()


def test_whole_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match=r"real-valued states, got torch\.uint8: pass images as float32"):
        pgd(lambda x: x.sum(dim=1), torch.zeros(2, 3, dtype=torch.uint8), radius=0.1, n_steps=1, generator=generator())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("radius", [0.1, 0.5])
def test_it_equals_foolbox_from_the_same_start(norm: Any, targeted: bool, random_start: bool, radius: float) -> None:
    foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed: the extra test brings it")
    net, x0 = small_net(), images()
    x0[:4] = x0[:4].sign()  # half of the images lie on faces of the box
    radius = radius if norm == "linf" else 5 * radius
    kind = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    criterion = foolbox.criteria.TargetedMisclassification if targeted else foolbox.criteria.Misclassification
    theirs = kind(abs_stepsize=radius / 4, steps=10, random_start=random_start)
    torch.manual_seed(3)  # its start is drawn from the global stream, by the same calls
    expected = theirs.run(foolbox.PyTorchModel(net, bounds=BOX), x0, criterion(LABELS), epsilon=radius)
    away = log_likelihood(net)
    energy = (lambda x: -away(x)) if targeted else away
    options: dict[str, Any] = {"radius": radius, "n_steps": 10, "step_size": radius / 4, "norm": norm}
    found = pgd(energy, x0, random_start=random_start, generator=generator(3), **options)
    torch.testing.assert_close(found.x, expected, atol=1e-5, rtol=0)
    assert (found.x - x0).abs().max() > radius / 10


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("random_start", [False, True])
def test_it_equals_torchattacks_which_knows_images_in_0_to_1_alone(targeted: bool, random_start: bool) -> None:
    torchattacks = pytest.importorskip(
        "torchattacks", reason="torchattacks is not installed: pip install --no-deps torchattacks"
    )
    net, x0, radius = small_net(), images(), 0.3
    theirs = torchattacks.PGD(
        nn.Sequential(Doubled(), net).eval(), eps=radius / 2, alpha=radius / 8, steps=10, random_start=random_start
    )
    if targeted:
        theirs.set_mode_targeted_by_label(quiet=True)
    torch.manual_seed(3)  # its start is drawn from the global stream, by the same call
    expected = 2 * theirs((x0 + 1) / 2, LABELS) - 1
    away = log_likelihood(net)
    energy = (lambda x: -away(x)) if targeted else away
    options: dict[str, Any] = {"radius": radius, "n_steps": 10, "step_size": radius / 4}
    found = pgd(energy, x0, random_start=random_start, generator=generator(3), **options)
    torch.testing.assert_close(found.x, expected, atol=1e-5, rtol=0)
    assert (found.x - x0).abs().max() > radius / 2


class Doubled(nn.Module):
    """From [0, 1] to [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x - 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_gradient_that_is_no_number_stops_the_attack_though_the_energy_is_one(norm: Any) -> None:
    def flat_root(x: Tensor) -> Tensor:  # 0 everywhere, and its slope is infinity times 0
        return (x - x).abs().sqrt().flatten(1).sum(dim=1)

    assert torch.equal(flat_root(images()), torch.zeros(8))
    with pytest.raises(FloatingPointError, match="after projected gradient descent is not finite in 8 of 8"):
        pgd(flat_root, images(), radius=0.1, n_steps=3, norm=norm, generator=generator())


@pytest.mark.parametrize(
    "dtype, slope", [(torch.float32, 1e-25), (torch.float32, 1e30), (torch.float16, 1e-6), (torch.float16, 3e4)]
)
def test_a_step_is_as_long_as_asked_for_where_squares_of_the_gradient_over_or_underflow(
    dtype: torch.dtype, slope: float
) -> None:
    x0 = torch.zeros(2, 1, 8, 8, dtype=dtype)
    options: dict[str, Any] = {"norm": "l2", "random_start": False, "bounds": None, "generator": generator()}
    x = pgd(lambda x: slope * x.float().flatten(1).sum(dim=1), x0, radius=1.0, step_size=0.25, n_steps=2, **options).x
    torch.testing.assert_close(x, torch.full_like(x, -2 * 0.25 / 8), atol=0, rtol=5e-3)  # 64 entries alike


def test_a_box_larger_than_the_numbers_of_the_states_is_none() -> None:
    found = [
        pgd(lambda x: x.flatten(1).sum(dim=1), images(), radius=0.1, n_steps=3, bounds=bounds, generator=generator()).x
        for bounds in (None, (-1e300, 1e300))
    ]
    assert torch.equal(*found)
