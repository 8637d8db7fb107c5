"""What samplers and energies refuse, each in its own words: a missing generator, foreign tokens, impossible numbers.

It knows tensors alone: no energy, no sampler, no task.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor


def check_generator(generator: torch.Generator | None, x: Tensor) -> None:
    """Refuse no generator, and one that lives on another device than the states it should move."""
    if generator is None:
        raise TypeError("this sampler draws: pass generator=run.generator(name), so that the draw can be repeated.")
    if generator.device.type != x.device.type:
        raise ValueError(
            f"the generator lives on {generator.device}, the states on {x.device}: expected one device. "
            f"Make it with torch.Generator(device={str(x.device)!r}) or run.generator(name)."
        )


def check_tokens(x: Tensor, n_values: int) -> None:
    """Refuse what are no tokens (N, L) of 0 .. n_values - 1 (waits for the device)."""
    if x.ndim != 2:
        raise ValueError(f"tokens have shape (N, L), got {tuple(x.shape)}: use x[None] for one sequence.")
    if x.dtype != torch.int64:
        raise TypeError(f"tokens are int64, got {x.dtype}: use x.long(), or one-hot rows (N, L, {n_values}).")
    if x.numel() and (int(x.min()) < 0 or int(x.max()) >= n_values):
        raise ValueError(
            f"a token is out of the vocabulary: expected 0 to {n_values - 1}, got {int(x.min())} to {int(x.max())}. "
            f"Encode the text with this task's encode()."
        )


def check_count(name: str, value: int, *, least: int = 0) -> None:
    """Refuse what is no whole number, and one below ``least``: fewer than no steps would pass as none."""
    try:
        enough = operator.index(value) >= least
    except TypeError:
        enough = False
    if not enough:
        raise ValueError(f"{name} is a whole number: expected {least} or larger, got {value!r}. Pass {name}={least}.")


def check_finite(name: str, values: Tensor, remedy: str) -> None:
    """Stop at the first NaN or infinity, naming it and what to try (waits for the device once)."""
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        bad = int((~finite).sum())
        raise FloatingPointError(f"{name} is not finite in {bad} of {values.numel()} entries. {remedy}")


def in_double(x: Tensor) -> Tensor:
    """x in float64, without its graph; from MPS, which has no float64, on the CPU.

    >>> in_double(torch.ones(1)).dtype
    torch.float64
    """
    return (x.cpu() if x.device.type == "mps" else x).detach().double()
