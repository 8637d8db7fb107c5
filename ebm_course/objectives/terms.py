"""What every objective checks and logs: energies have one axis, and the mean on each side is worth a curve.

Knows shapes and means. It knows no loss.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ebm_course.checks import check_number, check_tensors


def check_energies(**energies: Tensor) -> None:
    """Refuse what is not a non-empty real tensor of shape (N,); the argument's name is the keyword's.

    Raises:
        ValueError: another shape, or no rows.
        TypeError: no tensor, or integers, which carry no gradient.

    >>> import torch
    >>> check_energies(e_data=torch.zeros(3, 1))
    Traceback (most recent call last):
    ValueError: e_data holds one energy a row: expected shape (N,), got (3, 1). Use e_data.squeeze(-1).
    """
    check_tensors(**energies)
    for name, e in energies.items():
        if e.ndim != 1:
            hint = f"Use {name}.squeeze(-1)" if e.ndim == 2 and e.shape[-1] == 1 else "Sum over the state's axes"
            raise ValueError(f"{name} holds one energy a row: expected shape (N,), got {tuple(e.shape)}. {hint}.")
        if len(e) == 0:
            raise ValueError(f"{name} is empty: expected at least one energy. Check the batch or the sampler.")
        if not e.is_floating_point():
            raise TypeError(f"{name} holds real energies, got {e.dtype}: pass a floating-point tensor.")


def check_real(**values: object) -> None:
    """Refuse what is no tensor of real numbers; whole ones, which have no mean of their own, among them.

    >>> import torch
    >>> check_real(e_other=torch.tensor([[1, 2]]))
    Traceback (most recent call last):
    TypeError: e_other holds real numbers, got torch.int64: pass a floating-point tensor.
    """
    check_tensors(**values)
    for name, value in values.items():
        if isinstance(value, Tensor) and not value.is_floating_point():
            raise TypeError(f"{name} holds real numbers, got {value.dtype}: pass a floating-point tensor.")


def scalar(name: str, value: Any) -> Any:
    """One number that losses can be multiplied by: a tensor () of a tensor, which keeps its graph, else a float.

    >>> from decimal import Decimal
    >>> import torch
    >>> scalar("weight", Decimal("0.5")), scalar("weight", torch.tensor([0.5]))
    (0.5, tensor(0.5000))
    """
    number = check_number(name, value)
    return value.reshape(()) if isinstance(value, Tensor) else number


def check_same_shape(name: str, values: Tensor, other_name: str, other: Tensor) -> None:
    """Refuse two tensors that belong row by row and differ in shape: broadcasting would mix rows in silence.

    Raises:
        ValueError: the shapes differ.

    >>> import torch
    >>> (torch.zeros(3) + torch.zeros(3, 1)).shape  # the mistake that would pass unseen
    torch.Size([3, 3])
    >>> check_same_shape("log_q", torch.zeros(3, 1), "e_data", torch.zeros(3))
    Traceback (most recent call last):
    ValueError: log_q belongs to e_data entry by entry: expected shape (3,), got (3, 1). Give both the same shape.
    """
    check_tensors(**{name: values, other_name: other})
    if values.shape != other.shape:
        raise ValueError(
            f"{name} belongs to {other_name} entry by entry: expected shape {tuple(other.shape)}, "
            f"got {tuple(values.shape)}. Give both the same shape."
        )


def energy_terms(e_data: Tensor, e_negative: Tensor) -> dict[str, Tensor]:
    """mean E(data), mean E(negative) and their gap E(negative) - E(data), detached; a good energy has a gap > 0.

    Args:
        e_data: energies of data, any shape, nats.
        e_negative: energies of negatives, any shape, nats.

    Returns:
        ``e_data``, ``e_negative``, ``gap``: scalars.

    >>> import torch
    >>> energy_terms(torch.tensor([0.0, 2.0]), torch.tensor([4.0]))
    {'e_data': tensor(1.), 'e_negative': tensor(4.), 'gap': tensor(3.)}
    """
    data, negative = e_data.detach().mean(), e_negative.detach().mean()
    return {"e_data": data, "e_negative": negative, "gap": negative - data}
