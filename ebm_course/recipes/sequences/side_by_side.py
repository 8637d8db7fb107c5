r"""Algorithm 1 for several runs at once: their energies are one ensemble, so that ten runs do not leave a GPU idle.

Run k has the rows, noise, order, initial head, attack budget, clipped gradient and log that
``adversarial.fit_energy(config, run_k, ...)`` would give it alone; the loss is the sum over runs of each run's
own, and AdamW works entry by entry. So every member equals the run alone up to rounding. With dropout above 0 the masks
are others, as of another seed. A bare difference of energies leaves their level to rounding; gaps are equal.
Chains do not leave the batch and prefixes are read again: where one run fills the device, as on a CPU, run after run
is faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ebm_course.core import Batch, Step
from ebm_course.energies.ensemble import Ensemble
from ebm_course.energies.sequence_energies import LikelihoodEnergy, PooledEnergy
from ebm_course.recipes.sequences.adversarial import AttackBudget, Config, attack
from ebm_course.recipes.sequences.parts import Draw, adamw
from ebm_course.recipes.sequences.residual_nce import data_and_noise, start_energy
from ebm_course.runtime import Run, setup
from ebm_course.samplers.ancestral import LanguageModel
from ebm_course.samplers.replay_buffer import ReplayBuffer
from ebm_course.samplers.substitution_proposals import by_short_list
from ebm_course.training.batches import Batches
from ebm_course.training.fit import fit

Rows = list[dict[str, float]]


class Chains:
    """Where the chains of one run start: samples of its language model, a share of them replaced by its own replay."""

    def __init__(self, draw: Draw, config: Config, run: Run):
        self.draw, self.config, self.generator = draw, config, run.generator("adversarial_sequence")
        self.buffer = ReplayBuffer(draw(config.n_noise, run.generator("replay"))) if config.replay else None
        self.slots: Tensor | None = None

    def start(self, n: int) -> Tensor:
        """n sequences (n, L)."""
        x = self.draw(n, self.generator)
        if self.buffer is not None:
            options: dict[str, Any] = {"restart_probability": 1 - self.config.replay, "generator": self.generator}
            x, self.slots = self.buffer.sample(n, fresh=x, **options)
        return x

    def store(self, x: Tensor) -> None:
        """Keep where the chains that were started last have ended, (n, L)."""
        if self.buffer is not None and self.slots is not None:
            self.buffer.push(self.slots, x)


def make_step(
    ensemble: Ensemble,
    optimizer: torch.optim.Optimizer,
    chains: Sequence[Chains],
    budgets: Sequence[AttackBudget],
    config: Config,
    *,
    average: AveragedModel | None = None,
) -> Step:
    """Lines 4 to 18 of Algorithm 1 for a minibatch of every run, (R B, L) block by block; logs "name/k" of run k."""
    size = len(chains)

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        n, steps = len(batch) // size, [budget.steps for budget in budgets]
        x_lm = torch.cat([own.start(n) for own in chains])  # lines 4-5
        negatives, shares = attack_each(ensemble, x_lm, n_steps=steps, config=config)  # lines 6-15
        for own, x in zip(chains, negatives, strict=True):
            own.store(x)
        ensemble.module.train()
        both = torch.cat([ensemble.blocks(batch.x), negatives], dim=1)  # (R, 2 B, L)
        e_data, e_negative = ensemble.blocks(ensemble(both.flatten(0, 1))).split(n, dim=1)  # (R, B) each
        losses, terms = vmap(partial(_loss, config))(e_data, e_negative)  # line 17
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        norms = clip_each(ensemble, config.clip)
        optimizer.step()  # line 18
        if average is not None:
            average.update_parameters(ensemble.module)
        for budget, right in zip(budgets, (e_data < e_negative).float().mean(dim=1), strict=True):
            budget.observe(right)
        log = {"loss": losses.detach(), "gradient_norm": norms, **terms, **shares}
        named = {f"{name}/{k}": value for name, values in log.items() for k, value in enumerate(values.unbind())}
        return named | {f"attack_steps/{k}": torch.tensor(float(count)) for k, count in enumerate(steps)}

    return step


def attack_each(
    ensemble: Ensemble, x: Tensor, *, n_steps: Sequence[int], config: Config
) -> tuple[Tensor, dict[str, Tensor]]:
    """The configured attack with a budget for every member: states (R, N, L), and shares (R,) of their chains.

    All chains go as far as the largest budget; a member's states are read off the path at its own, which is where they
    would have ended. ``frozen``: the last step stayed (with position memory there may be positions left to try).
    """
    found = attack(ensemble, x, n_steps=max(n_steps), config=config, keep_path=True)
    assert found.path is not None
    blocks = found.path.unflatten(1, (ensemble.size, -1)).unbind(dim=1)  # R of (T + 1, N, L)

    def back(k: int) -> Tensor:
        return torch.stack([block[max(0, t - k)] for block, t in zip(blocks, n_steps, strict=True)])

    end, before = back(0), back(1)
    stayed = (end == before).all(dim=2)  # (R, N)
    shares = {
        "tokens_moved": (end != ensemble.blocks(x)).sum(dim=2),
        "frozen": torch.stack([rows & (t > 0) for rows, t in zip(stayed, n_steps, strict=True)]),
        "toggling": ~stayed & (end == back(2)).all(dim=2),
    }
    return end, {name: values.float().mean(dim=1) for name, values in shares.items()}


def clip_each(ensemble: Ensemble, most: float) -> Tensor:
    """Scale every member's gradient to a norm of at most ``most``; the norms (R,) before. Changes ``.grad``."""
    grads = [p.grad for p in ensemble.module.parameters() if p.grad is not None]
    norms = torch.stack([grad.reshape(ensemble.size, -1).norm(dim=1) for grad in grads]).norm(dim=0)
    scales = (most / (norms + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_
    for grad in grads:
        grad.mul_(scales.view(-1, *[1] * (grad.ndim - 1)))
    return norms


def fit_side_by_side(
    config: Config,
    runs: Sequence[Run],
    *,
    noise: LanguageModel,
    pretrained: LikelihoodEnergy,
    folder: Path | None = None,
    progress: bool = True,
) -> list[tuple[PooledEnergy, Rows]]:
    """Run Algorithm 1 for all ``runs`` at once; for each its energy in eval mode and one row an epoch.

    Args:
        runs: one device, a seed each. The global stream is seeded with each run's seed in turn, for its initial head.
        noise: the language model whose samples are attacked, shared by all.
        pretrained: the net that gets a new head in every run; left as it is.
        folder: where the state of all runs is saved, to be resumed together.

    Raises:
        ValueError: no runs, several devices or processes, or a proposal that reads one table for all chains.
    """
    _check(config, runs)
    chains, parts, energies = [], [], []
    for run in runs:
        setup(run.seed, device=str(run.device), quiet=True)
        data, draw = data_and_noise(config, run, noise)
        chains.append(Chains(draw, config, run))
        parts.append(Batches(data, config.batch_size, seed=run.seed))
        energies.append(start_energy(pretrained, config.head).to(run.device))
        energies[-1].net.causal = energies[-1].net.causal and not config.bidirectional
    ensemble, n_epoch = Ensemble(energies), parts[0].steps_per_epoch
    average = AveragedModel(ensemble.module, multi_avg_fn=get_ema_multi_avg_fn(config.ema)) if config.ema else None
    optimizer = adamw(ensemble.module, rate=config.rate, weight_decay=config.weight_decay, betas=config.betas)
    budgets = [AttackBudget(config.n_attack_steps, config.grow_every, config.grow_above) for _ in runs]
    kept: dict[str, Any] = {"ensemble": ensemble.module, "optimizer": optimizer, "average": average}
    for k, (own, budget) in enumerate(zip(chains, budgets, strict=True)):
        kept |= {f"budget-{k}": budget, f"buffer-{k}": own.buffer, f"generator-{k}": own.generator}
    rows = fit(
        make_step(ensemble, optimizer, chains, budgets, config, average=average),
        lambda i: Batch(torch.cat([part[i].x for part in parts])),
        n_steps=config.n_epochs * n_epoch,
        generator=chains[0].generator,
        keep={name: part for name, part in kept.items() if part is not None},
        log_every=n_epoch,
        folder=folder,
        save_every=n_epoch if folder else 0,
        progress=progress,
    )
    if average is not None:
        ensemble.module.load_state_dict(average.module.state_dict())
    return [(energy.eval(), _rows_of(k, rows)) for k, energy in enumerate(ensemble.members())]  # type: ignore[misc]


def _loss(config: Config, e_data: Tensor, e_negative: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
    loss = config.objective(e_data, e_negative, l2=config.l2)
    return loss.value, loss.terms


def _rows_of(k: int, rows: Rows) -> Rows:
    """The log of run k, under the names it has alone."""
    end = f"/{k}"
    return [{n.removesuffix(end): v for n, v in row.items() if n == "step" or n.endswith(end)} for row in rows]


def _check(config: Config, runs: Sequence[Run]) -> None:
    devices = sorted({str(run.device) for run in runs})
    if len(devices) != 1 or any(run.n_processes > 1 for run in runs):
        most = max((run.n_processes for run in runs), default=0)
        raise ValueError(
            f"runs train side by side on one device in one process: got {len(runs)} runs on {devices}, of up to "
            f"{most} processes. Give every process runs of its own."
        )
    if getattr(config.propose, "func", config.propose) is by_short_list:
        raise ValueError(
            "by_short_list reads one table of embeddings for all chains, and every run has its own: expected "
            "by_saliency or by_gain. Train such runs one after another."
        )
