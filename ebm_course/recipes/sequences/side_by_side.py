r"""Algorithm 1 for several runs at once: their energies are one ensemble, so that ten runs do not leave a GPU idle.

Run k has the rows, noise, order, initial head, attack budget, clipped gradient and log that ``adversarial.fit(config,
run_k, ...)`` would give it alone; the loss is the sum over runs of each run's own, and AdamW works entry by entry. So
every member equals the run alone up to rounding. With dropout above 0 the masks are others, as of another seed. A bare
difference of energies leaves their level to rounding; gaps are equal. Chains do not leave the batch and prefixes are
read again: where one run fills the device, as on a CPU, run after run is faster.
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

from ebm_course.ambient import usual_settings
from ebm_course.core import Batch
from ebm_course.energies.ensemble import Ensemble
from ebm_course.energies.pseudo_likelihood import PseudoLikelihoodEnergy
from ebm_course.energies.sequence_energies import LikelihoodEnergy
from ebm_course.metrics.separation import auroc
from ebm_course.recipes.sequences.adversarial import Config, attack
from ebm_course.recipes.sequences.algorithm_1 import Chains, make_step
from ebm_course.recipes.sequences.attack_budget import budget_of
from ebm_course.recipes.sequences.best_of_each import BestOfEach
from ebm_course.recipes.sequences.members import check_runs, clip_each, rows_of_run
from ebm_course.recipes.sequences.parts import data_and_noise, sample_sequences, start_energy, task_for
from ebm_course.recipes.shared import Fitted, origin_of
from ebm_course.runtime import Run, setup
from ebm_course.samplers.ancestral import LanguageModel
from ebm_course.samplers.substitution_proposals import by_short_list
from ebm_course.training import fit as loop
from ebm_course.training.batches import Batches
from ebm_course.training.update import adamw

Pretrained = LikelihoodEnergy | PseudoLikelihoodEnergy


class SideBySide:
    """R energies as one ensemble in the steps of Algorithm 1: each has the loss, clip and budget it would have alone.

    Args:
        average: follows the weights of all, None for no average.

    >>> from ebm_course.energies.potts import Potts
    >>> from ebm_course.recipes.sequences.adversarial import SMOKE
    >>> ensemble, x = Ensemble([Potts(8, 16), Potts(8, 16)]), torch.full((2, 8), 5)  # a row for each of two energies
    >>> side_by_side = SideBySide(ensemble, torch.optim.SGD(ensemble.module.parameters(), lr=1.0), SMOKE)
    >>> log = side_by_side.descend(*side_by_side.energies(x, 1 + x[:, None]))
    >>> log["loss"], bool((ensemble(x) < ensemble(x + 1)).all())
    (tensor([0., 0.]), True)
    """

    def __init__(
        self,
        ensemble: Ensemble,
        optimizer: torch.optim.Optimizer,
        config: Config,
        *,
        average: AveragedModel | None = None,
    ):
        self.ensemble, self.optimizer, self.config, self.average = ensemble, optimizer, config, average

    def attack(
        self, x: Tensor, n_steps: Sequence[int], streams: Sequence[torch.Generator]
    ) -> tuple[Tensor, Sequence[Tensor], dict[str, Tensor]]:
        """Negatives (R, N, L), the same apart, and shares (R,) of chains."""
        negatives, shares = attack_each(self.ensemble, x, n_steps=n_steps, config=self.config, streams=streams)
        return negatives, negatives.unbind(), shares

    def energies(self, x_data: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """E of data and negatives, (R, N) each, with a graph."""
        self.ensemble.module.train()
        both = torch.cat([self.ensemble.blocks(x_data), negatives], dim=1)  # (R, 2 N, L)
        e_data, e_negative = self.ensemble.blocks(self.ensemble(both.flatten(0, 1))).split(negatives.shape[1], dim=1)
        return e_data, e_negative

    def descend(self, e_data: Tensor, e_negative: Tensor) -> dict[str, Tensor]:
        """One step down the sum of all losses, each gradient clipped by its own norm; logs (R,)."""
        losses, terms = vmap(partial(_loss, self.config))(e_data, e_negative)
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        norms = clip_each(self.ensemble, self.config.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.ensemble.module)
        return {"loss": losses.detach(), "gradient_norm": norms, **terms}

    def whole(self, e: Tensor) -> Tensor:
        """The same without a graph."""
        return e.detach()

    def named(self, log: Mapping[str, Tensor], each: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scalars "name/k" of run k."""
        return {f"{name}/{k}": x for name, values in {**log, **each}.items() for k, x in enumerate(values.unbind())}


def attack_each(
    ensemble: Ensemble, x: Tensor, *, n_steps: Sequence[int], config: Config, streams: Sequence[torch.Generator] = ()
) -> tuple[Tensor, dict[str, Tensor]]:
    """The configured attack with a budget for every member: states (R, N, L), and shares (R,) of their chains.

    All chains go as far as the largest budget; a member's states are read off the path at its own, which is where they
    would have ended. A supplier that draws takes the draws of each member from its own stream. ``frozen``: the last
    step stayed (with position memory there may be positions left to try).

    >>> from ebm_course.energies.potts import Potts
    >>> ensemble, x = Ensemble([Potts(8, 16), Potts(8, 16)]), torch.full((2, 8), 5)
    >>> end, shares = attack_each(ensemble, x, n_steps=[0, 1], config=Config(n_digits=1))
    >>> end.shape, shares["tokens_moved"]
    (torch.Size([2, 1, 8]), tensor([0., 1.]))
    """
    found = attack(ensemble, x, n_steps=max(n_steps), config=config, streams=streams, keep_path=True)
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


@usual_settings()
def fit_side_by_side(
    config: Config,
    runs: Sequence[Run],
    *,
    noise: LanguageModel | Sequence[LanguageModel],
    pretrained: Pretrained | Sequence[Pretrained],
    folder: Path | None = None,
    progress: bool = True,
) -> list[Fitted]:
    """Run Algorithm 1 for all ``runs`` at once; for each what ``adversarial.fit`` would return.

    Args:
        runs: one device, a seed each. The global stream is seeded with each run's seed in turn, for its initial head.
        noise: the language model whose samples are attacked, shared by all or one for each run.
        pretrained: the net that gets a new head in every run, shared or one each; left as it is.
        folder: where the state of all runs is saved, to be resumed together.

    Raises:
        ValueError: no runs, several devices or processes, other numbers of nets, or a proposal that reads one table
            for all chains.

    >>> from ebm_course.recipes.sequences.language_model import shipped_nets
    >>> runs = [Run(torch.device("cpu"), seed) for seed in (0, 1)]
    >>> config = Config(n_digits=3, n_rows=4, n_noise=4, n_epochs=1, batch_size=2, n_attack_steps=1)
    >>> pair = fit_side_by_side(config, runs, **shipped_nets(3, runs[0]), progress=False)
    >>> [(type(each.module).__name__, [row["attack_steps"] for row in each.rows]) for each in pair]
    [('PooledEnergy', [1.0]), ('PooledEnergy', [1.0])]
    """
    _check(config, runs)
    models, nets = _one_each("noise", noise, runs), _one_each("pretrained", pretrained, runs)
    chains, parts, energies, data, held_out = [], [], [], {}, []
    valid = task_for(config.n_digits).valid.to(runs[0].device)
    for k, (run, model, net) in enumerate(zip(runs, models, nets, strict=True)):
        setup(run.seed, device=str(run.device), quiet=True)
        data[f"run {k}"], draw = data_and_noise(config, run, model)
        chains.append(Chains(draw, config, run))
        parts.append(Batches(data[f"run {k}"], config.batch_size, seed=run.seed))
        energies.append(start_energy(net, config.head, bidirectional=config.bidirectional).to(run.device))
        options: dict[str, Any] = {"n_digits": config.n_digits, "generator": run.generator("valid noise")}
        held_out.append(torch.cat([valid.x, sample_sequences(model, len(valid), **options)]))
    ensemble, n_epoch = Ensemble(energies), parts[0].steps_per_epoch
    average = AveragedModel(ensemble.module, multi_avg_fn=get_ema_multi_avg_fn(config.ema)) if config.ema else None
    optimizer = adamw(ensemble.module, rate=config.rate, weight_decay=config.weight_decay, betas=config.betas)
    budgets = [budget_of(config) for _ in runs]
    best = BestOfEach(ensemble, average=None if average is None else average.module) if config.keep_best else None
    kept: dict[str, Any] = {"ensemble": ensemble.module, "optimizer": optimizer, "average": average, "best": best}
    for k, (own, budget) in enumerate(zip(chains, budgets, strict=True)):
        kept |= {f"budget-{k}": budget, f"buffer-{k}": own.buffer, f"generator-{k}": own.generator}
    given = {f"{name}-{k}": net for name, each in (("net", nets), ("lm", models)) for k, net in enumerate(each)}
    origin = origin_of(fit_side_by_side, config, runs[0], data=data, **given)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        assert best is not None
        ensemble.module.eval()
        e_data, e_noise = ensemble.blocks(ensemble(torch.cat(held_out))).split(len(valid), dim=1)
        losses = [1 - float(auroc(*pair)) for pair in zip(e_data, e_noise, strict=True)]
        best.observe(losses)
        return {f"misranked/{k}": loss for k, loss in enumerate(losses)}

    rows = loop.fit(
        make_step(SideBySide(ensemble, optimizer, config, average=average), chains, budgets),
        lambda i: Batch(torch.cat([part[i].x for part in parts])),
        n_steps=config.n_epochs * n_epoch,
        generator=chains[0].generator,
        validate=None if best is None else validate,
        validate_every=0 if best is None else n_epoch,
        keep={name: part for name, part in kept.items() if part is not None},
        log_every=n_epoch,
        folder=folder,
        save_every=n_epoch if folder else 0,
        origin=origin,
        progress=progress,
    )
    last = [dict(energy.state_dict()) if best is not None else None for energy in ensemble.members()]
    if best is not None:
        best.restore()
    if average is not None:
        ensemble.module.load_state_dict(average.module.state_dict())
    members = enumerate(ensemble.members())
    return [Fitted(energy.eval(), rows_of_run(k, rows), last[k], origin) for k, energy in members]


def _loss(config: Config, e_data: Tensor, e_negative: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
    loss = config.objective(e_data, e_negative, l2=config.l2)
    return loss.value, loss.terms


def _one_each(name: str, given: Any, runs: Sequence[Run]) -> list[Any]:
    each = list(given) if isinstance(given, Sequence) else [given] * len(runs)
    if len(each) != len(runs):
        raise ValueError(f"{name}: expected one net for all runs or {len(runs)}, one each, got {len(each)}.")
    return each


def _check(config: Config, runs: Sequence[Run]) -> None:
    check_runs(runs)
    propose = config.propose.func if isinstance(config.propose, partial) else config.propose
    if propose is by_short_list:
        raise ValueError(
            "by_short_list reads one table of embeddings for all chains, and every run has its own: expected "
            "by_saliency or by_gain. Train such runs one after another."
        )
