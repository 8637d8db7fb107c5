"""An update of JEM against the machine: the share of its matrix rate and of its convolution rate, images a second.

Run with ``make bench``. The two are timed in turn in one run; the share is that of the shortest times, with the lowest
and highest of single rounds beside it. The matrix rate is that of a product of two square matrices of 2,048, the
convolution rate that of a 3 x 3 convolution of 64 to 64 channels of 64 images of 16 x 16, forward, both layouts tried.

Useful FLOPs of an update, two a multiply-add, with F those of one pass forward of B images, convolutions and matrices
alone: a step of a chain takes F and as much again back to the pixels, K of them 2 K F; the loss passes data and
samples, 2 F, and goes back to pixels' layers and to weights, 4 F. Activations, logsumexp, noise, buffer and optimiser
count as nothing. What a net computes of F decides how much of the rate it reaches: sixteen channels of 8 x 8 pixels are
too few, see the printed shares.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ebm_course.core import Batch
from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.wide_resnet import WideResNet
from ebm_course.recipes.images import jem
from ebm_course.recipes.images.chains import Chains, langevin_steps, uniform
from ebm_course.recipes.images.parts import Learner
from ebm_course.samplers.replay_buffer import ReplayBuffer

N, SIDE, ROUNDS = 64, 2_048, 5
NETS: dict[str, tuple[tuple[int, int, int], Callable[..., nn.Module]]] = {
    "16 channels, 8 x 8": ((1, 8, 8), partial(ConvNet, width=16)),
    "32 channels, 8 x 8": ((1, 8, 8), partial(ConvNet, width=32)),
    "32 channels, 14 x 14": ((1, 14, 14), partial(ConvNet, width=32)),
    "32 channels, 28 x 28": ((1, 28, 28), partial(ConvNet, width=32)),
    "WRN-10-1, 16 x 16": ((3, 16, 16), partial(WideResNet, depth=10, widen=1)),
    "WRN-10-2, 32 x 32": ((3, 32, 32), partial(WideResNet, depth=10, widen=2)),
}


def updates(name: str, *, n_sampler_steps: int = 10, channels_last: bool = True) -> tuple[Callable[[], Any], float]:
    """One update to call again and again, and its useful FLOPs."""
    shape, build = NETS[name]
    torch.manual_seed(0)
    net, generator = build(shape, 10), torch.Generator().manual_seed(0)
    config = replace(jem.NOTEBOOK, n_sampler_steps=n_sampler_steps, channels_last=channels_last)
    batch = Batch(torch.rand(N, *shape, generator=generator) * 2 - 1, torch.arange(N) % 10)
    fresh = uniform(batch, 10)
    chains = Chains(
        langevin_steps(config), fresh, buffer=ReplayBuffer(fresh(1_000, generator)), restart_probability=0.05
    )
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        net(batch.x)
    step = jem.make_step(Learner(net, config), chains)
    return partial(step, batch, generator), counted.get_total_flops() * (2 * n_sampler_steps + 6)


def product() -> tuple[Callable[[], Tensor], float]:
    """A product of two square matrices, and its FLOPs."""
    a = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return lambda: a @ a, 2 * SIDE**3


def convolution() -> tuple[Callable[[], Tensor], float]:
    """Ten convolutions in the faster of two layouts, and their FLOPs."""
    candidates = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(N, 64, 16, 16, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
        weight = torch.randn(64, 64, 3, 3, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=layout)
        act = partial(torch.nn.functional.conv2d, x, weight, padding=1)
        candidates.append((min(seconds(act) for _ in range(5)), act))
    best = min(candidates, key=lambda c: c[0])[1]

    def ten() -> Tensor:
        return [best() for _ in range(10)][-1]

    return ten, 10 * 2.0 * N * 16 * 16 * 64 * 64 * 9


def seconds(act: Callable[[], Any]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def shares(
    benchmark: Any, name: str, act: Callable[[], Any], flops: float, unit: Callable[[], Any], unit_flops: float
) -> None:
    """Time an update and the unit in turn, and print the share of the unit's rate that the update reaches."""
    unit_seconds: list[float] = []
    benchmark.pedantic(act, setup=lambda: unit_seconds.append(seconds(unit)), rounds=ROUNDS, warmup_rounds=1)
    found = benchmark.stats.stats.data
    of_rounds = [flops / t / (unit_flops / u) for t, u in zip(found, unit_seconds[-len(found) :], strict=True)]
    share = flops / min(found) / (unit_flops / min(unit_seconds[-len(found) :]))
    benchmark.extra_info[name] = {"of_shortest": share, "lowest": min(of_rounds), "highest": max(of_rounds)}
    print(f"\n{name}: {share:.2f} ({min(of_rounds):.2f} to {max(of_rounds):.2f} over {len(found)} rounds)")
    print(f"{N / min(found):,.0f} images a second, {flops / min(found) / 1e9:.0f} GFLOP/s")


@pytest.mark.parametrize("channels_last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("net", NETS)
def test_an_update_against_the_matrix_rate(benchmark: Any, net: str, channels_last: bool) -> None:
    layout = "channels last" if channels_last else "channels first"
    shares(
        benchmark, f"{net}, {layout}: share of the matrix rate", *updates(net, channels_last=channels_last), *product()
    )


@pytest.mark.parametrize("net", NETS)
def test_an_update_against_the_convolution_rate(benchmark: Any, net: str) -> None:
    shares(benchmark, f"{net}: share of the convolution rate", *updates(net), *convolution())


@pytest.mark.parametrize("n_sampler_steps", [1, 5, 10, 20, 40])
def test_how_the_cost_grows_with_the_sampler_steps(benchmark: Any, n_sampler_steps: int) -> None:
    act, flops = updates("32 channels, 14 x 14", n_sampler_steps=n_sampler_steps)
    shares(benchmark, f"{n_sampler_steps} steps: share of the matrix rate", act, flops, *product())


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_how_the_cost_grows_with_the_width(benchmark: Any, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setitem(NETS, "wide", ((1, 14, 14), partial(ConvNet, width=width)))
    shares(benchmark, f"{width} channels, 14 x 14: share of the convolution rate", *updates("wide"), *convolution())


@pytest.mark.parametrize("side", [8, 14, 20, 28])
def test_how_the_cost_grows_with_the_image(benchmark: Any, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    monkeypatch.setitem(NETS, "large", ((1, side, side), partial(ConvNet, width=16)))
    shares(benchmark, f"16 channels, {side} x {side}: share of the convolution rate", *updates("large"), *convolution())
