"""Torch's LSTM, on a CPU under autocast too where torch has no kernel for it: it computes in float32 there.

Torch has none for float16, and for bfloat16 on processors with AVX-512 alone. It knows no token and no energy.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]


@torch.compiler.assume_constant_result  # a compiled net does not trace it
def has_bfloat16_kernel() -> bool:
    """Whether torch's LSTM learns under bfloat16 autocast on this CPU: tried once, on one number.

    >>> has_bfloat16_kernel() in (False, True)
    True
    """
    return _tried()


@cache
def _tried() -> bool:
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
        try:
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))[0].sum().backward()
        except RuntimeError:  # "could not create a primitive descriptor"
            return False
    return True


class LSTM(nn.LSTM):
    """``nn.LSTM`` of tensors, with the same parameters and numbers; sequences that are packed it does not read.

    >>> lstm, x = LSTM(2, 3, batch_first=True), torch.ones(1, 4, 2)
    >>> with torch.autocast("cpu", torch.float16):
    ...     states, (h, c) = lstm(x)
    >>> states.dtype, torch.equal(states, lstm(x)[0])
    (torch.float32, True)
    """

    def forward(self, input: Tensor, hx: State | None = None) -> tuple[Tensor, State]:  # type: ignore[override]
        if input.device.type != "cpu" or not _lacks_kernel():
            return super().forward(input, hx)
        dtype = next(self.parameters()).dtype
        state = None if hx is None else (hx[0].to(dtype), hx[1].to(dtype))
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.to(dtype), state)


def _lacks_kernel() -> bool:
    if not torch.is_autocast_enabled("cpu"):
        return False
    dtype = torch.get_autocast_dtype("cpu")
    return dtype == torch.float16 or (dtype == torch.bfloat16 and not has_bfloat16_kernel())
