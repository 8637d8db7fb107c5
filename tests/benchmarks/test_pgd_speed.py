"""Projected gradient descent against foolbox's and torchattacks', on one net, from the same images to the same images.

torchattacks knows images in [0, 1] alone, so its net maps them first. Pixels, radius and steps are multiples of 1 / 64:
then neither mapping nor clamping rounds, and no sign differs that decides where a pixel goes. torchattacks takes
gradients of the images alone, as ours does; foolbox takes those of the parameters too. None returns energies: ours is
asked for none, as in training. tests/samplers compares all three in double precision: they agree to 1e-5 in both norms.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.joint import Joint
from ebm_course.samplers.pgd import pgd

N_IMAGES, N_STEPS, RADIUS, STEP_SIZE, ROUNDS = 64, 10, 0.25, 1 / 16, 7
Attack = Callable[[], Tensor]


class Doubled(nn.Module):
    """From [0, 1] to [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x - 1


def with_foolbox(net: nn.Module, x0: Tensor, y: Tensor, norm: str) -> Attack:
    foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed: the extra test brings it")
    kind = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    attack = kind(abs_stepsize=STEP_SIZE, steps=N_STEPS, random_start=False)
    model = foolbox.PyTorchModel(net, bounds=(-1, 1))
    return partial(attack.run, model, x0, foolbox.criteria.Misclassification(y), epsilon=RADIUS)


def with_torchattacks(net: nn.Module, x0: Tensor, y: Tensor, norm: str) -> Attack:
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed: make bench brings it")
    kind = {"linf": torchattacks.PGD, "l2": torchattacks.PGDL2}[norm]
    settings = {"eps": RADIUS / 2, "alpha": STEP_SIZE / 2, "steps": N_STEPS, "random_start": False}
    attack, halved = kind(nn.Sequential(Doubled(), net).eval(), **settings), (x0 + 1) / 2
    return lambda: 2 * attack(halved, y) - 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("shape, width", [((1, 8, 8), 32), ((1, 14, 14), 32), ((3, 32, 32), 32)])
@pytest.mark.parametrize("other", [with_foolbox, with_torchattacks])
def test_pgd_against_another_library(
    times_faster: Callable[..., float], other: Callable[..., Attack], shape: tuple[int, int, int], width: int, norm: Any
) -> None:
    torch.manual_seed(0)
    net = ConvNet(shape, 10, width=width).eval()
    x0, y = torch.randint(-64, 65, (N_IMAGES, *shape)) / 64, torch.arange(N_IMAGES) % 10
    slow = other(net, x0, y, norm)
    options: dict[str, Any] = {"radius": RADIUS, "n_steps": N_STEPS, "step_size": STEP_SIZE, "norm": norm}
    options["with_energy"] = False
    fast = partial(pgd, Joint(net).log_likelihood(y), x0, random_start=False, generator=torch.Generator(), **options)
    # Lengths of gradients do round: in single precision a kink of a LeakyReLU may then lie on the other side.
    torch.testing.assert_close(fast().x, slow(), rtol=0, atol=1e-5 if norm == "linf" else 1e-4)
    library = other.__name__.removeprefix("with_")
    times_faster(f"PGD ({norm}) of images {shape}: times as fast as {library}", fast, slow, rounds=ROUNDS)
