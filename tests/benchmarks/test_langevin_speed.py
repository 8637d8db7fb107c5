"""Langevin steps of 10,000 chains, and of 64 images, against torchebm's, from the same states with the same noise.

Its noise is sqrt(2 a) s and its noise_scale s; s = 1 is our default. Both draw the numbers of a step in one call, so
with generators of one seed they walk the same way. It returns no energies: ours is asked for none, as in training.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.joint import Joint
from ebm_course.energies.mlp import MLP
from ebm_course.samplers.langevin import langevin

core = pytest.importorskip("torchebm.core", reason="torchebm is not installed: make bench brings it")
samplers = pytest.importorskip("torchebm.samplers", reason="torchebm is not installed: make bench brings it")

N_CHAINS, N_IMAGES, N_STEPS, STEP_SIZE, ROUNDS = 10_000, 64, 10, 0.01, 7
OPTIONS = {"n_steps": N_STEPS, "step_size": STEP_SIZE, "with_energy": False}


class Wrapped(core.BaseModel):  # type: ignore[name-defined, misc]
    """The same net as the other library wants it."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@pytest.mark.parametrize("n_dimensions, width", [(2, 128), (64, 256)])
def test_langevin_against_torchebm(times_faster: Callable[..., float], n_dimensions: int, width: int) -> None:
    torch.manual_seed(0)
    net = MLP(n_dimensions, width=width, confinement=1.0)
    x0 = torch.randn(N_CHAINS, n_dimensions)
    theirs = samplers.LangevinDynamics(Wrapped(net), step_size=STEP_SIZE, noise_scale=1.0, device="cpu")
    ours, other = torch.Generator(), torch.Generator()
    fast = partial(langevin, net, x0, **OPTIONS, generator=ours.manual_seed(1))
    slow = partial(theirs.sample, x=x0, n_steps=N_STEPS, generator=other.manual_seed(1))
    torch.testing.assert_close(fast().x, slow(), rtol=0, atol=1e-4)  # rounding of float32 over 10 steps of about 0.14
    times_faster(f"Langevin in {n_dimensions} dimensions: times as fast as torchebm", fast, slow, rounds=ROUNDS)


@pytest.mark.parametrize("shape, width", [((1, 8, 8), 16), ((1, 14, 14), 32), ((3, 32, 32), 32)])
def test_langevin_of_images_against_torchebm(
    times_faster: Callable[..., float], shape: tuple[int, int, int], width: int
) -> None:
    torch.manual_seed(0)
    net = Joint(ConvNet(shape, 10, width=width)).eval()
    x0 = 2 * torch.rand(N_IMAGES, *shape) - 1
    theirs = samplers.LangevinDynamics(Wrapped(net), step_size=STEP_SIZE, noise_scale=1.0, device="cpu")
    ours, other = torch.Generator(), torch.Generator()
    fast = partial(langevin, net, x0, **OPTIONS, generator=ours.manual_seed(1))
    slow = partial(theirs.sample, x=x0, n_steps=N_STEPS, generator=other.manual_seed(1))
    torch.testing.assert_close(fast().x, slow(), rtol=0, atol=1e-4)
    times_faster(f"Langevin of images {shape}: times as fast as torchebm", fast, slow, rounds=ROUNDS)
