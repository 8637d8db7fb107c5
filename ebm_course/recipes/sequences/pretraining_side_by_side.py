"""Pretraining for several runs at once, by next tokens or by hidden ones: their transformers are one ensemble.

Run k has the initial weights, order of rows, hidden tokens, clipped gradient, best validation and log that the recipe's
``fit(config, run_k)`` would give it alone, up to rounding; with dropout above 0 the masks are others, as of another
seed. It pays where one run leaves a device idle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.ambient import usual_settings
from ebm_course.core import Batch
from ebm_course.energies.ensemble import Ensemble
from ebm_course.recipes.sequences import language_model, masked_language_model
from ebm_course.recipes.sequences.best_of_each import BestOfEach
from ebm_course.recipes.sequences.members import check_runs, clip_each, rows_of_run
from ebm_course.recipes.sequences.pretraining import rows_for, scheduled
from ebm_course.recipes.shared import Fitted, origin_of
from ebm_course.runtime import Run, setup
from ebm_course.tasks.arithmetic import Format
from ebm_course.training import fit as loop
from ebm_course.training.batches import Batches
from ebm_course.training.update import adamw

Losses = Callable[[Ensemble, Tensor, Sequence[torch.Generator]], Tensor]
"""(ensemble, tokens (R N, L), a random stream a run) -> (R,)."""


@usual_settings()
def fit_side_by_side(
    config: language_model.Config, runs: Sequence[Run], *, folder: Path | None = None, progress: bool = True
) -> list[Fitted]:
    """Pretrain all ``runs`` at once; for each what the ``fit`` of its recipe would return.

    Args:
        config: of a transformer, in single precision; that of a masked language model hides tokens.
        runs: one device, a seed each, which the global stream is seeded with in turn for the initial weights.
        folder: where the state of all runs is saved, to be resumed together.

    Raises:
        ValueError: no runs, several devices or processes, an LSTM, or a setting that the ensemble has not.

    >>> from dataclasses import replace
    >>> config = replace(language_model.SMOKE, n_heads=2, n_epochs=1)
    >>> runs = [Run(torch.device("cpu"), seed) for seed in (0, 1)]
    >>> both = fit_side_by_side(config, runs, progress=False)
    >>> _ = setup(1, device="cpu", quiet=True)
    >>> alone = language_model.fit(config, runs[1], progress=False)
    >>> abs(both[1].rows[-1]["valid_nll"] - alone.rows[-1]["valid_nll"]) < 1e-3
    True
    """
    check_runs(runs)
    if config.n_heads == 0 or config.precision != "float32" or config.compile:
        raise ValueError(
            f"side by side transformers are pretrained as they are, in float32: got n_heads={config.n_heads}, "
            f"precision={config.precision}, compile={config.compile}. Train such runs one after another."
        )
    masked = isinstance(config, masked_language_model.Config)
    build = masked_language_model.build if masked else language_model.build
    drawn, models = [rows_for(config, run) for run in runs], list[nn.Module]()
    valid = drawn[0][1]
    for run in runs:
        setup(run.seed, device=str(run.device), quiet=True)
        models.append(build(config).to(run.device))
    fit = masked_language_model.fit if masked else language_model.fit
    generators = [run.generator(fit.__module__.rpartition(".")[2]) for run in runs]
    parts = [Batches(train, config.batch_size, seed=run.seed) for run, (train, _) in zip(runs, drawn, strict=True)]
    ensemble, n_epoch = Ensemble(models), parts[0].steps_per_epoch
    optimizer = adamw(ensemble.module, rate=config.rate, weight_decay=config.weight_decay, betas=config.betas)
    schedule = scheduled(optimizer, config.n_epochs * n_epoch, config)
    losses_of = _hidden(config) if isinstance(config, masked_language_model.Config) else _next
    per = len(Format(config.n_digits).answer_positions().nonzero()) if masked else valid.x.shape[1] - 1
    best = BestOfEach(ensemble) if config.keep_best else None

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        ensemble.module.train()
        losses = losses_of(ensemble, batch.x, generators)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        norms = clip_each(ensemble, config.clip)
        optimizer.step()
        schedule.step()
        named = {"loss": losses.detach(), "gradient_norm": norms}
        return {f"{name}/{k}": x for name, values in named.items() for k, x in enumerate(values.unbind())}

    @torch.no_grad()
    def validate() -> dict[str, float]:
        ensemble.module.eval()
        nll = ensemble.blocks(ensemble(valid.x.repeat(len(runs), 1))).mean(dim=1) / per
        if best is not None:
            best.observe(nll.tolist())
        return {f"nll/{k}": loss for k, loss in enumerate(nll.tolist())}

    kept: dict[str, Any] = {"ensemble": ensemble.module, "optimizer": optimizer, "schedule": schedule, "best": best}
    kept |= {f"generator-{k}": generator for k, generator in enumerate(generators)}
    origin = origin_of(fit_side_by_side, config, runs[0], data={"train": drawn[0][0], "valid": valid})
    rows = loop.fit(
        step,
        lambda i: Batch(torch.cat([part[i].x for part in parts])),
        n_steps=config.n_epochs * n_epoch,
        generator=generators[0],
        validate=validate,
        validate_every=n_epoch,
        log_every=n_epoch,
        keep={name: part for name, part in kept.items() if part is not None},
        folder=folder,
        save_every=n_epoch if folder else 0,
        origin=origin,
        progress=progress,
    )
    last = [dict(model.state_dict()) if best is not None else None for model in ensemble.members()]
    if best is not None:
        best.restore()
    members = enumerate(ensemble.members())
    return [Fitted(model.eval(), rows_of_run(k, rows), last[k], origin) for k, model in members]


def _next(ensemble: Ensemble, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """-log p a predicted token, (R,)."""
    return ensemble.blocks(ensemble(x)).mean(dim=1) / (x.shape[1] - 1)


def _hidden(config: masked_language_model.Config) -> Losses:
    digits = Format(config.n_digits).digit_positions()

    def losses(ensemble: Ensemble, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """-log p of hidden digits, nats a hidden digit, (R,)."""
        shape = len(x) // len(generators), x.shape[1]
        noise = torch.cat([torch.rand(shape, generator=one, device=x.device) for one in generators])
        hidden = (noise < config.mask_share) & digits.to(x.device)
        logits = ensemble.call("logits", x.masked_fill(hidden, masked_language_model.MASK))  # (R N, L, V)
        nll = nn.functional.cross_entropy(logits.transpose(1, 2), x, reduction="none")
        total, n = (ensemble.blocks(t).sum(dim=(1, 2)) for t in (nll * hidden, hidden))
        return total / n.clamp(min=1)

    return losses
