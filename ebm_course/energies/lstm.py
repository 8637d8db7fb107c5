"""Torch's LSTM, under float16 autocast on a CPU too, where torch has no kernel for it: it computes in float32 there.

It knows no token and no energy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]


class LSTM(nn.LSTM):
    """``nn.LSTM`` of tensors, with the same parameters and numbers; sequences that are packed it does not read.

    >>> lstm, x = LSTM(2, 3, batch_first=True), torch.ones(1, 4, 2)
    >>> with torch.autocast("cpu", torch.float16):
    ...     states, (h, c) = lstm(x)
    >>> states.dtype, torch.equal(states, lstm(x)[0])
    (torch.float32, True)
    """

    def forward(self, input: Tensor, hx: State | None = None) -> tuple[Tensor, State]:  # type: ignore[override]
        half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.float16
        if not half or input.device.type != "cpu":
            return super().forward(input, hx)
        dtype = next(self.parameters()).dtype
        state = None if hx is None else (hx[0].to(dtype), hx[1].to(dtype))
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.to(dtype), state)
