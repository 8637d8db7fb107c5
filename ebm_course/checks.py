"""What samplers and energies refuse, each in its own words: a missing generator, foreign tokens, impossible numbers.

It knows tensors and modules alone: no energy, no sampler, no task.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor


def check_generator(
    generator: torch.Generator | Sequence[torch.Generator] | None, x: Tensor, *, several: bool = False
) -> None:
    """Refuse states that are no tensor, no generator, one on another device than the states, and unequal blocks.

    Where a sampler takes ``several`` generators, each moves one of as many equal blocks of rows.

    >>> check_generator(None, torch.zeros(4, 2))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: this sampler draws: expected a torch.Generator, got None. Pass generator=run.generator(name), so that ...
    >>> check_generator([torch.Generator(), torch.Generator()], torch.zeros(4, 2), several=True)  # two rows each
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"states are a tensor (N, ...): got a {type(x).__name__}. Pass torch.as_tensor(x).")
    given = (generator,) if isinstance(generator, torch.Generator) else generator if several else None
    if not isinstance(given, Sequence) or not all(isinstance(one, torch.Generator) for one in given):
        raise TypeError(
            f"this sampler draws: expected a torch.Generator, got {generator!r}. "
            f"Pass generator=run.generator(name), so that the draw can be repeated."
        )
    if not given or len(x) % len(given):
        raise ValueError(
            f"several generators move as many equal blocks of rows: got {len(given)} for {len(x)} rows. "
            f"Pass one for all rows, or a number that divides them."
        )
    for one in given:
        if one.device.type != x.device.type:
            raise ValueError(
                f"the generator lives on {one.device}, the states on {x.device}: expected one device. "
                f"Make it with torch.Generator(device={str(x.device)!r}) or run.generator(name)."
            )


def check_energies(e: Any, x: Tensor) -> Tensor:
    """Energies as real numbers, one for each row of x, refused where they are something else; integers in float64.

    >>> check_energies(torch.tensor([3, 4]), torch.zeros(2, 5))
    tensor([3., 4.], dtype=torch.float64)
    """
    if not isinstance(e, Tensor) or e.is_complex():
        got = f"a tensor of {e.dtype}" if isinstance(e, Tensor) else type(e).__name__
        raise TypeError(
            f"an energy maps (N, ...) to a tensor (N,) of real numbers: got {got}. Compute it with torch operations."
        )
    if e.shape != (len(x),):
        hint = "Use e.squeeze(-1), not e.squeeze()." if e.ndim > 1 else "Sum over the state's axes, keep the rows."
        raise ValueError(
            f"an energy maps (N, ...) to (N,): x has shape {tuple(x.shape)}, so expected ({len(x)},), "
            f"got {tuple(e.shape)}. {hint}"
        )
    return e if e.is_floating_point() else e.to(torch.float32 if e.device.type == "mps" else torch.float64)


def check_tensors(**values: object) -> None:
    """Refuse lists and arrays, whose shape and gradient are not those of a tensor.

    Raises:
        TypeError: a value is no tensor.

    >>> check_tensors(e_data=[1.0, 2.0])
    Traceback (most recent call last):
    TypeError: e_data is a tensor: got a list. Pass torch.as_tensor(e_data).
    """
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is a tensor: got a {type(value).__name__}. Pass torch.as_tensor({name}).")


def check_tokens(x: Tensor, n_values: int, *, what: Literal["token", "tag"] = "token") -> None:
    """Refuse what are no tokens (N, L) of 0 .. n_values - 1 (waits for the device); ``what`` says what they are.

    >>> check_tokens(torch.tensor([[0, 3]]), 3)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: a token is out of the vocabulary: expected 0 to 2, got 0 to 3. Encode the text ...
    >>> check_tokens(torch.tensor([[0, 3]]), 3, what="tag")
    Traceback (most recent call last):
    ValueError: a tag is outside the set: expected 0 to 2, got 0 to 3. Number tags with one Vocabulary.
    """
    if x.ndim != 2 or x.shape[1] == 0:
        hint = "give each sequence a token at least" if x.ndim == 2 else "use x[None] for one sequence"
        raise ValueError(f"{what}s have shape (N, L), L > 0, got {tuple(x.shape)}: {hint}.")
    if x.dtype != torch.int64:
        raise TypeError(f"{what}s are int64, got {x.dtype}: use x.long(), or one-hot rows (N, L, {n_values}).")
    if x.numel() and (int(x.min()) < 0 or int(x.max()) >= n_values):
        outside, hint = {
            "token": ("out of the vocabulary", "Encode the text with this task's encode()."),
            "tag": ("outside the set", "Number tags with one Vocabulary."),
        }[what]
        raise ValueError(
            f"a {what} is {outside}: expected 0 to {n_values - 1}, got {int(x.min())} to {int(x.max())}. {hint}"
        )


def check_dtype(x: Tensor, dtype: torch.dtype, *, mixes: bool = False) -> None:
    """Refuse points of another type than the parameters', unless autocast, or arithmetic that mixes, brings them to it.

    >>> check_dtype(torch.zeros(1, 2).double(), torch.float32)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: this energy reads torch.float32, as its parameters are: got torch.float64. Use x.to(torch.float32), ...
    """
    if x.dtype == dtype:
        return
    cast = torch.is_autocast_enabled(x.device.type) and x.is_floating_point() and x.dtype != torch.float64
    if cast or (mixes and torch.promote_types(x.dtype, dtype) == dtype):
        return
    other = f", or energy.to({x.dtype})" if x.is_floating_point() else ""
    raise ValueError(f"this energy reads {dtype}, as its parameters are: got {x.dtype}. Use x.to({dtype}){other}.")


def check_count(name: str, value: int, *, least: int = 0) -> int:
    """Refuse what is no whole number, and one below ``least``: fewer than no steps would pass as none.

    Returns:
        The number as Python's own, which never overflows, of numpy's and torch's too.

    >>> check_count("n_steps", 2.5)
    Traceback (most recent call last):
    ValueError: n_steps is a whole number: expected 0 or larger, got 2.5. Pass n_steps=0.
    """
    try:
        number = operator.index(value)
        enough = number >= least and not isinstance(value, bool)
    except TypeError:
        enough = False
    if not enough:
        raise ValueError(f"{name} is a whole number: expected {least} or larger, got {value!r}. Pass {name}={least}.")
    return number


def check_number(name: str, value: Any) -> float:
    """The number as a float, without a graph; refused where it is none, such as text, True, or several numbers.

    Which numbers are allowed is for the caller to say. A float passes at once; a tensor is waited for.

    >>> check_number("radius", torch.tensor(2))
    2.0
    >>> check_number("radius", "a")
    Traceback (most recent call last):
    ValueError: radius is a number: expected a real one, got 'a'. Pass radius=0.1.
    """
    if type(value) is float:
        return value
    number = None
    is_bool = value.dtype == torch.bool if isinstance(value, Tensor) else isinstance(value, bool | np.bool_)
    if not is_bool and not isinstance(value, str | bytes):
        with suppress(TypeError, ValueError, RuntimeError, OverflowError):  # such as those of several numbers
            number = float(value.detach() if isinstance(value, Tensor) else value)
    if number is None:
        raise ValueError(f"{name} is a number: expected a real one, got {value!r}. Pass {name}=0.1.")
    return number


def check_bounds(bounds: tuple[float, float] | None) -> None:
    """Refuse a box that holds no interval; None is no box at all.

    >>> check_bounds((1.0, -1.0))
    Traceback (most recent call last):
    ValueError: bounds are (low, high), low < high: got (1.0, -1.0). Pass (-1.0, 1.0) for images, or None.
    """
    try:
        low, high = (-1.0, 1.0) if bounds is None else (check_number("bounds", b) for b in bounds)
        right = low < high
    except (TypeError, ValueError):  # no pair, or a pair of something else than numbers
        right = False
    if not right:
        raise ValueError(f"bounds are (low, high), low < high: got {bounds}. Pass (-1.0, 1.0) for images, or None.")


def box(bounds: tuple[float, float] | None, x: Tensor) -> tuple[float, float]:
    """The bounds for ``clamp``: infinite where there are none, or where x cannot hold numbers as large.

    >>> box((-1.0, 1e300), torch.zeros(1)), box(None, torch.zeros(1))
    ((-1.0, inf), (-inf, inf))
    """
    if bounds is None:
        return -torch.inf, torch.inf
    most = torch.finfo(x.dtype).max
    numbers = (check_number("bounds", b) for b in bounds)
    low, high = (b if abs(b) <= most else math.copysign(torch.inf, b) for b in numbers)
    return low, high


def check_share(name: str, value: float) -> None:
    """Refuse what is no number of [0, 1], a NaN among them.

    >>> check_share("dropout", 7.0)
    Traceback (most recent call last):
    ValueError: dropout is a share: expected 0 to 1, got 7.0.
    """
    if not 0 <= check_number(name, value) <= 1:
        raise ValueError(f"{name} is a share: expected 0 to 1, got {value}.")


def check_finite(name: str, values: Tensor, remedy: str) -> None:
    """Stop at the first NaN or infinity, naming it and what to try (waits for the device once).

    >>> check_finite("the energy", torch.tensor([0.0, torch.nan]), "Lower the step size.")
    Traceback (most recent call last):
    FloatingPointError: the energy is not finite in 1 of 2 entries. Lower the step size.
    """
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


def at_least_single(x: Tensor) -> Tensor:
    """x in float32, or in float64 where it is so already: a test or a weight in half precision would shift the law.

    >>> at_least_single(torch.zeros(1, dtype=torch.bfloat16)).dtype, at_least_single(torch.zeros(1).double()).dtype
    (torch.float32, torch.float64)
    """
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
