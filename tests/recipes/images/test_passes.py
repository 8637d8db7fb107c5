"""How a net is evaluated: layouts, precisions, compilation and shares of processes change nothing but rounding."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import SplitsFirstLayer, energy_grad, frozen
from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.joint import Joint
from ebm_course.recipes.images import jem
from ebm_course.recipes.images.passes import Passes, together
from ebm_course.runtime import Run
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.pgd import pgd
from ebm_course.samplers.pyld import pyld

X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
Y = torch.arange(6)


def net(**options: Any) -> ConvNet:
    torch.manual_seed(0)
    return ConvNet((1, 8, 8), 10, width=8, **options)


@pytest.mark.parametrize("norm", [None, "batch"])
def test_another_layout_changes_rounding_alone(norm: Any) -> None:
    plain, other = net(norm=norm), Passes(net(norm=norm), channels_last=True)
    torch.testing.assert_close(other(X), plain(X), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(other.from_first_layer(other.first_layer(X)), plain(X), rtol=1e-4, atol=1e-5)
    assert other.net.get_parameter("first.weight").is_contiguous(memory_format=torch.channels_last)
    assert list(other.net.state_dict()) == list(plain.state_dict())


def test_sixteen_bits_are_near_and_come_back_as_thirty_two() -> None:
    plain, other = net(), Passes(net(), precision="bfloat16")
    found, expected = other(X).detach(), plain(X).detach()
    assert found.dtype == other.first_layer(X).dtype == torch.float32 and not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05 * float(expected.abs().max()))  # 8 bits
    _, grad = energy_grad(Joint(other), X)
    assert grad.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in other.parameters())


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile names its own folder without quotes: it has a space")
@pytest.mark.skipif(torch.__version__.startswith("2.6."), reason="torch 2.6 fails an assertion of its own compiler")
@pytest.mark.filterwarnings("ignore")  # torch's own, on importing its compiler
def test_compiled_passes_walk_and_learn_as_others_do() -> None:
    config = replace(jem.SMOKE, n_steps=2, validate_every=1)
    rows = []
    for compiled in (False, True):
        torch.manual_seed(0)
        rows.append(jem.fit(replace(config, compile=compiled), Run(torch.device("cpu"), 0), progress=False).rows)
    for row, other in zip(*rows, strict=True):
        assert other == pytest.approx(row, rel=1e-3, abs=1e-4)


def test_frozen_reaches_the_net_inside() -> None:
    other = Passes(net())
    with frozen(Joint(other)):
        assert not other.net.training and not any(p.requires_grad for p in other.net.parameters())
    assert other.net.training and all(p.requires_grad for p in other.net.parameters())


def test_a_net_without_a_first_layer_apart_says_so() -> None:
    with pytest.raises(TypeError, match=r"Sequential has no first layer apart: .* Use langevin"):
        Passes(nn.Sequential(nn.Flatten(), nn.Linear(64, 10))).first_layer(X)


@dataclass(frozen=True)
class TwoInOne(Run):
    """Both of two processes, one after the other: what each is asked to gather is put together by hand."""

    n_processes: int = 2

    def gather(self, x: Tensor, dim: int = 0) -> Tensor:
        if self.rank == 0:
            SENT.append(x)
            return torch.cat([x, x], dim)  # of the right shape; only what rank 0 sends counts
        return torch.cat([SENT.pop(0), x], dim)


SENT: list[Tensor] = []


def both(act: Any) -> Any:
    """What rank 1 has after both ranks have done it."""
    SENT.clear()
    act(TwoInOne(torch.device("cpu"), 0, 0))
    return act(TwoInOne(torch.device("cpu"), 0, 1))


def test_energies_and_gradients_of_shares_are_those_of_all_rows() -> None:
    joint = Joint(Passes(net()))
    for energy in (joint, joint.log_likelihood(Y), joint.given(Y)):
        found = both(lambda run, energy=energy: energy_grad(together(energy, run), X))
        for one, other in zip(found, energy_grad(energy, X), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(both(lambda run: together(joint, run)(X)), joint(X))


def test_each_process_computes_its_share_alone() -> None:
    rows: list[int] = []

    class Counted(ConvNet):
        def forward(self, x: Tensor) -> Tensor:
            rows.append(len(x))
            return super().forward(x)

    joint = Joint(Passes(Counted((1, 8, 8), 10, width=8)))
    both(lambda run: energy_grad(together(joint, run), X))
    assert rows == [3, 3]


def test_samplers_of_one_step_walk_the_same_way_in_two_processes() -> None:
    joint, generator = Joint(Passes(net())), torch.Generator
    split: dict[str, Any] = {"n_outer": 1, "n_inner": 2, "step_size": 0.2, "noise_std": 0.1}
    walks: list[Any] = [
        lambda e: langevin(e, X, n_steps=1, step_size=0.1, generator=generator().manual_seed(1)).x,
        lambda e: pyld(e, X, **split, generator=generator().manual_seed(1)).x,
    ]
    for walk in walks:
        torch.testing.assert_close(both(lambda run, walk=walk: walk(together(joint, run))), walk(joint))
    attack = joint.log_likelihood(Y)
    found = both(
        lambda run: pgd(together(attack, run), X, radius=0.1, n_steps=1, generator=generator().manual_seed(1)).x
    )
    expected = pgd(attack, X, radius=0.1, n_steps=1, generator=generator().manual_seed(1)).x
    torch.testing.assert_close(found, expected)
    assert isinstance(together(joint, TwoInOne(torch.device("cpu"), 0)), SplitsFirstLayer)
    assert together(joint, Run(torch.device("cpu"), 0)) is joint
