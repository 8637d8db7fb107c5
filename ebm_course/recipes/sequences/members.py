"""What recipes of runs that train side by side share: which can, each one's clipped gradient, and each one's log.

It knows ensembles and runs; no task, no step and no loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ebm_course.energies.ensemble import Ensemble
from ebm_course.recipes.shared import Rows
from ebm_course.runtime import Run


def check_runs(runs: Sequence[Run]) -> None:
    """Refuse runs that cannot train side by side.

    Raises:
        ValueError: none, several devices, or several processes.

    >>> check_runs([])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: runs train side by side on one device in one process: got 0 runs on [], ...
    """
    devices = sorted({str(run.device) for run in runs})
    if len(devices) != 1 or any(run.n_processes > 1 for run in runs):
        most = max((run.n_processes for run in runs), default=0)
        raise ValueError(
            f"runs train side by side on one device in one process: got {len(runs)} runs on {devices}, of up to "
            f"{most} processes. Give every process runs of its own."
        )


def clip_each(ensemble: Ensemble, most: float) -> Tensor:
    """Scale every member's gradient to a norm of at most ``most``; the norms (R,) before. Changes ``.grad``.

    >>> ensemble = Ensemble([torch.nn.Linear(1, 1, bias=False) for _ in range(2)])
    >>> (weight,) = ensemble.module.parameters()
    >>> weight.grad = torch.tensor([[[4.0]], [[0.5]]])
    >>> clip_each(ensemble, 1.0), weight.grad.flatten()
    (tensor([4.0000, 0.5000]), tensor([1.0000, 0.5000]))
    """
    grads = [p.grad for p in ensemble.module.parameters() if p.grad is not None]
    norms = torch.stack([grad.reshape(ensemble.size, -1).norm(dim=1) for grad in grads]).norm(dim=0)
    scales = (most / (norms + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_
    for grad in grads:
        grad.mul_(scales.view(-1, *[1] * (grad.ndim - 1)))
    return norms


def rows_of_run(k: int, rows: Rows) -> Rows:
    """The log of run k, under the names it has alone.

    >>> rows_of_run(1, [{"step": 5, "loss/0": 0.5, "loss/1": 0.25}])
    [{'step': 5, 'loss': 0.25}]
    """
    end = f"/{k}"
    return [{n.removesuffix(end): v for n, v in row.items() if n == "step" or n.endswith(end)} for row in rows]
