"""What every objective checks and logs: energies have one axis, and the mean on each side is worth a curve.

Knows shapes and means. It knows no loss.
"""

from __future__ import annotations

from torch import Tensor


def check_energies(**energies: Tensor) -> None:
    """Refuse what is not a non-empty real tensor of shape (N,); the argument's name is the keyword's.

    Raises:
        ValueError: another shape, or no rows.
        TypeError: integers, which carry no gradient.
    """
    for name, e in energies.items():
        if e.ndim != 1:
            hint = f"Use {name}.squeeze(-1)" if e.ndim == 2 and e.shape[-1] == 1 else "Sum over the state's axes"
            raise ValueError(f"{name} holds one energy a row: expected shape (N,), got {tuple(e.shape)}. {hint}.")
        if len(e) == 0:
            raise ValueError(f"{name} is empty: expected at least one energy. Check the batch or the sampler.")
        if not e.is_floating_point():
            raise TypeError(f"{name} holds real energies, got {e.dtype}: pass a floating-point tensor.")


def check_same_shape(name: str, values: Tensor, other_name: str, other: Tensor) -> None:
    """Refuse two tensors that belong row by row and differ in shape: broadcasting would mix rows in silence.

    Raises:
        ValueError: the shapes differ.
    """
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
    """
    data, negative = e_data.detach().mean(), e_negative.detach().mean()
    return {"e_data": data, "e_negative": negative, "gap": negative - data}
