"""How a net is evaluated: memory layout, precision and compilation behind one face, and shares of several processes.

It knows modules, energies and processes; no data, no sampler, no loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.core import Energy, SplitsFirstLayer, WrapsModule, energy_grad, select
from ebm_course.runtime import Run

PRECISIONS = ("float32", "bfloat16")


class Passes(nn.Module):
    """The classifier ``net`` in another layout and precision; parameters, their names and modes stay the net's own.

    Args:
        net: images (N, C, H, W) -> logits (N, K), split at its first layer; changed to channels-last weights if asked.
        precision: "bfloat16": autocast, so that convolutions are taken in it; weights and logits stay float32.
        compiled: ``torch.compile`` of both passes; on a CPU it needs a C++ compiler.
        channels_last: images and weights are stored with the channels of a pixel side by side.

    >>> from ebm_course.energies.convnet import ConvNet
    >>> net = ConvNet((1, 8, 8), 10, width=4)
    >>> logits = Passes(net, precision="bfloat16", channels_last=True)(torch.zeros(2, 1, 8, 8))
    >>> logits.shape, logits.dtype
    (torch.Size([2, 10]), torch.float32)
    """

    def __init__(
        self, net: nn.Module, *, precision: str = "float32", compiled: bool = False, channels_last: bool = False
    ):
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last) if channels_last else net  # type: ignore[call-overload]
        self.layout = torch.channels_last if channels_last else None
        self.in_16_bits = precision == "bfloat16"
        passes: list[Callable[..., Tensor]] = [net.forward]
        if isinstance(net, SplitsFirstLayer):
            passes += [net.first_layer, net.from_first_layer]
        self.passes = tuple(torch.compile(one) if compiled else one for one in passes)

    def _run(self, which: int, x: Tensor) -> Tensor:
        if which >= len(self.passes):
            raise TypeError(
                f"{type(self.net).__name__} has no first layer apart: expected a net with first_layer and "
                f"from_first_layer, such as ConvNet. Use langevin, which does not split the net."
            )
        x = x if self.layout is None else x.contiguous(memory_format=self.layout)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.in_16_bits):
            y = self.passes[which](x)
        return y.float() if self.in_16_bits else y

    def forward(self, x: Tensor) -> Tensor:
        return self._run(0, x)

    def first_layer(self, x: Tensor) -> Tensor:
        return self._run(1, x)

    def from_first_layer(self, h: Tensor) -> Tensor:
        return self._run(2, h)

    def rows_mix(self) -> bool:
        """Whether in training rows of one call see one another, as batch norm makes them."""
        return any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in self.net.modules())


def together(energy: Energy, run: Run) -> Energy:
    """The same energy for samplers, each process of ``run`` computing its share of rows and all seeing every result.

    So all processes hold all chains and draw the same noise, and N of them walk as one does. One process gets the
    energy itself.

    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> energy, two = nn.Linear(2, 1), Run(torch.device("cpu"), 0, n_processes=2)
    >>> together(energy, SINGLE_PROCESS) is energy, together(energy, two) is energy
    (True, False)
    """
    if run.n_processes == 1:
        return energy
    return _SplitTogether(energy, run) if isinstance(energy, SplitsFirstLayer) else _Together(energy, run)


class _Together:
    def __init__(self, energy: Energy, run: Run):
        self.energy, self.run = energy, run
        self.module = energy.module if isinstance(energy, WrapsModule) else energy

    def __call__(self, x: Tensor) -> Tensor:
        return _Gathered.apply(x, self.energy, self.run)


class _SplitTogether(_Together):
    energy: Any

    def first_layer(self, x: Tensor) -> Tensor:
        h: Tensor = self.energy.first_layer(x)
        return h

    def from_first_layer(self, h: Tensor) -> Tensor:
        return _Gathered.apply(h, self.energy.from_first_layer, self.run)


class _Gathered(torch.autograd.Function):
    """Energies (N,) of which this process computes its share; their gradients are taken at once and gathered too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, energy: Energy, run: Run) -> Tensor:
        rows = run.share(torch.arange(len(x), device=x.device))
        mine = select(energy, rows)
        if not ctx.needs_input_grad[0]:
            return run.gather(mine(x[rows]))
        e, grad = energy_grad(mine, x[rows])
        ctx.save_for_backward(run.gather(grad.contiguous()))
        return run.gather(e)

    @staticmethod
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = ctx.saved_tensors
        return weights[0].view(-1, *[1] * (grad.ndim - 1)) * grad, None, None
