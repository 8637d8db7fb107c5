"""What a memory bank refuses to take over as its state, each in one sentence. It knows tensors, no bank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from ebm_course.checks import check_count, check_finite

ROUNDING = 1e-2
"""How far the norm of a saved row may be from 1, where it was kept in 16 bits."""


def check_state(own: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Refuse a state that is not of a bank like the one whose state is ``own``; labels may be missing.

    Raises:
        ValueError: it is that of a bank of other size or labels, of something else, or says impossible things.
        FloatingPointError: a feature is not finite.

    >>> own = {"features": torch.zeros(2, 3), "written_at": torch.tensor([0, -1]), "n_updates": 1}
    >>> check_state(own | {"labels": torch.zeros(2, dtype=torch.int64)}, own)
    """
    given = state.keys() if isinstance(state, Mapping) else set[str]()
    if missing := own.keys() - given - {"labels"}:
        raise ValueError(f"this is no state of a bank: {', '.join(sorted(missing))} missing. Pass state_dict().")
    found, written_at, labels = state["features"], state["written_at"], state.get("labels", own["labels"])
    parts = {"features": found, "written_at": written_at, "labels": labels}
    if wrong := [f"{name} {type(part).__name__}" for name, part in parts.items() if not isinstance(part, Tensor)]:
        raise ValueError(f"a state of a bank holds tensors: got {', '.join(wrong)}. Pass state_dict().")
    if found.shape != own["features"].shape or written_at.shape != own["written_at"].shape:
        raise ValueError(
            f"this bank holds features {tuple(own['features'].shape)}: got {tuple(found.shape)}. Build it with as "
            "many rows and the width that were saved."
        )
    if not found.is_floating_point() or written_at.dtype != torch.int64:
        raise ValueError(
            f"a bank holds real features and whole numbers of updates: got {found.dtype} and {written_at.dtype}. "
            "Pass state_dict()."
        )
    if not torch.equal(labels.to(own["labels"]), own["labels"]):
        raise ValueError("this state is of a bank with other labels: expected this one's. Build it for that data set.")
    check_count("n_updates", state["n_updates"])
    if len(written_at) and not -1 <= int(written_at.min()) <= int(written_at.max()) < max(1, state["n_updates"]):
        raise ValueError(
            f"rows were written in updates 0 to {state['n_updates'] - 1}, or never, -1: got "
            f"{int(written_at.min())} to {int(written_at.max())}. Pass state_dict() of one moment."
        )
    check_finite("a feature for the memory bank", found, "Take a state from before it diverged.")
    norms = vector_norm(found.detach().double() if found.device.type != "mps" else found.detach().float(), dim=1)
    if bool(((norms != 0) & ((norms - 1).abs() > ROUNDING)).any()):
        raise ValueError(
            f"rows of a bank have norm 1, or 0 where never written: got norms from {float(norms.min()):.3g} to "
            f"{float(norms.max()):.3g}. Pass state_dict()."
        )
