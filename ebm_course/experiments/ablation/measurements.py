"""Stages: a run's language model, its pretrained nets, its arms, and what is measured of each energy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.core import Energy
from ebm_course.energies.ensemble import Ensemble
from ebm_course.energies.sequence_energies import LikelihoodEnergy, SurpriseEnergy
from ebm_course.experiments.ablation.config import Config, kind_of
from ebm_course.experiments.ablation.evaluation import attacked, searched
from ebm_course.experiments.configs import shared
from ebm_course.experiments.nets import LAST, NET, load_net
from ebm_course.experiments.stages import Results
from ebm_course.experiments.together import done_together, trained_together
from ebm_course.experiments.variants import Variant, seeded, trained
from ebm_course.origin import Origin
from ebm_course.recipes.sequences import language_model, masked_language_model
from ebm_course.recipes.sequences.curves import resampling_curve
from ebm_course.recipes.sequences.parts import sample_sequences, start_energy, task_for
from ebm_course.recipes.sequences.pretraining_side_by_side import fit_side_by_side as pretrained_together
from ebm_course.recipes.sequences.side_by_side import fit_side_by_side
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic_score import score, well_formed

Work = Callable[[Path, Results], Any]
Member = tuple[Variant, int]
"""An arm, its ``tuning`` saying which fine-tuning of its net, and the number of a run."""
Samples = tuple[Tensor, Tensor, Tensor]
"""Of P_LM: as they come, and distinct well-formed ones to choose a search on and to score it on."""
SPARE = 4  # samples drawn for each that has to be well formed


def surprise_untrained(net: LikelihoodEnergy) -> SurpriseEnergy:
    """The head that is handed the likelihood with w = 1 and a pooled energy of 0: nothing is trained.

    >>> from ebm_course.energies.sequence_energies import excess_surprise
    >>> from ebm_course.energies.transformer import Transformer
    >>> net = LikelihoodEnergy(Transformer(16, 8, width=8, n_layers=1, n_heads=2)).eval()
    >>> x = torch.tensor([[1, 5, 7, 2]])
    >>> torch.allclose(surprise_untrained(net)(x), excess_surprise(net.net.logits(x), x))
    True
    """
    energy = start_energy(net, SurpriseEnergy)
    assert isinstance(energy, SurpriseEnergy)
    with torch.no_grad():
        energy.weight.fill_(1.0)
        for p in energy.head.parameters():
            p.zero_()
    return energy.eval()


class Bench:
    """Nets and samples of every run, and the work of its stages.

    Args:
        config: the experiment's.
        run: device and first seed.

    >>> from ebm_course.experiments.ablation.config import SMOKE
    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> together = Bench(SMOKE, SINGLE_PROCESS).together  # of two runs, one after another
    >>> [(arm.label, k) for arm, k in together(SMOKE.variant("masked/grown/local"), 1)]
    [('masked/grown/local', 1)]
    """

    def __init__(self, config: Config, run: Run):
        self.config, self.run = config, run

    def pretrain(self, kind: str, k: int) -> Work:
        """Train the net that energies start from; side by side the first that is not done trains all after it too."""
        variant = self.config.pretraining(kind)
        if not self.config.side_by_side:
            return trained(variant, k, self.run)
        members = [(variant, j) for j in range(k, self.config.runs_of(kind))]
        return trained_together(members, self.run, fit=pretrained_together, given=lambda _: {})

    def train(self, variant: Variant, k: int) -> Work:
        """Train an arm on its run's pretrained net against samples of its run's language model.

        Where runs train side by side, the first that is not done trains all after it too, further fine-tunings of
        the runs' nets among them.
        """
        kind, members = kind_of(variant), self.together(variant, k)

        def given(results: Results) -> dict[str, Any]:
            nets = [self.pretrained(results, kind, j) for _, j in members]
            noise = [self.noise(results, j) for _, j in members]
            if self.config.side_by_side:
                return {"pretrained": nets, "noise": noise}
            return {"pretrained": nets[0], "noise": noise[0]}

        if not self.config.side_by_side:
            return trained(variant, k, self.run, given=given)
        return trained_together(members, self.run, fit=fit_side_by_side, given=given)

    def together(self, variant: Variant, k: int) -> list[Member]:
        """What the stage of an arm in run k works on: its own, and side by side all after it."""
        every = self.config.members(variant)
        return every[every.index((variant, k)) :] if self.config.side_by_side else [(variant, k)]

    def noise(self, results: Results, k: int) -> Any:
        """P_LM of run k, weights of its best validation."""
        variant = self.config.language_model
        net = language_model.build(self.config.lm)
        return load_net(results.folder(variant.stage(k)), net, variant.origin(self.run, k), self.run)

    def pretrained(self, results: Results, kind: str, k: int) -> Any:
        """The pretrained net of run k as an energy: its likelihood, or its pseudo-likelihood of the answer."""
        variant = self.config.pretraining(kind)
        masked = isinstance(variant.config, masked_language_model.Config)
        net: nn.Module = (masked_language_model if masked else language_model).build(variant.config)
        return load_net(results.folder(variant.stage(k)), net, variant.origin(self.run, k), self.run)

    def samples(self, noise: Any, k: int) -> Samples:
        """Samples of P_LM of run k: as they come, and distinct well-formed ones to choose on and to score on.

        They are drawn on the CPU, so that they are the same whatever device an arm is measured on.
        """
        config, run, noise = self.config, Run(torch.device("cpu"), self.run.seed + k), copy.deepcopy(noise).cpu()
        options = {"n_digits": config.n_digits}
        plain = sample_sequences(noise, config.n_samples, generator=run.generator("as they come"), **options)
        n = config.n_chosen_on + config.n_samples
        drawn = sample_sequences(noise, SPARE * n, generator=run.generator("well formed"), **options)
        drawn = drawn[well_formed(drawn, config.n_digits)]
        distinct = torch.tensor(list(dict.fromkeys(map(tuple, drawn.tolist()))), device=drawn.device)
        if len(distinct) < n:
            raise ValueError(
                f"{len(distinct)} distinct samples of the language model are well formed, expected {n}: train it "
                f"longer, or score fewer."
            )
        found = plain, distinct[: config.n_chosen_on], distinct[config.n_chosen_on : n]
        first, second, third = (x.to(self.run.device) for x in found)
        return first, second, third

    def language_model(self, k: int) -> Work:
        """Train P_LM and score its samples."""
        work = trained(self.config.language_model, k, self.run)

        def train_and_score(folder: Path, results: Results) -> dict[str, Any]:
            rows = work(folder, results)["rows"]
            variant, net = self.config.language_model, language_model.build(self.config.lm)
            noise = load_net(folder, net, variant.origin(self.run, k), self.run)
            plain, _, scored = self.samples(noise, k)
            scores = {"plain": score(plain, self.config.n_digits), "scored_on": score(scored, self.config.n_digits)}
            return {"rows": rows, **scores}

        return train_and_score

    def untrained(self, kind: str, k: int, name: str) -> Work:
        """Measure the pretrained net itself (``likelihood``) or the head that is handed it (``surprise-untrained``)."""

        def work(_: Path, results: Results) -> dict[str, Any]:
            net = self.pretrained(results, kind, k)
            energy = surprise_untrained(net).to(self.run.device) if name == "surprise-untrained" else net
            samples = [self.samples(self.noise(results, k), k)]
            (found,), (attack,) = (
                self._searched([energy], samples, k, f"{kind}/{name}"),
                self._attacked([energy], samples),
            )
            return {**found, "attack": attack}

        return work

    def measure(self, variant: Variant, k: int) -> Work:
        """Measure an arm with the weights of its best validation and with its last ones, and choose between the two.

        The choice is made as that of the search is, on other samples than those scored.
        """
        members = self.together(variant, k)

        def act(_: Path, results: Results) -> list[Any]:
            models = {j: self.noise(results, j) for j in dict.fromkeys(j for _, j in members)}
            drawn = {j: self.samples(own, j) for j, own in models.items()}
            samples = [drawn[j] for _, j in members]
            nets, last = ([self._arm(results, arm, j, file) for arm, j in members] for file in (NET, LAST))
            searched = self._searched([*nets, *last], [*samples, *samples], k, variant.label)
            both = [{"best": searched[r], "last": searched[len(nets) + r]} for r in range(len(nets))]
            names = [max(each, key=lambda name: max(each[name]["chosen"].values())) for each in both]
            chosen = [{"best": nets, "last": last}[name][r] for r, name in enumerate(names)]
            attacks, found = self._attacked(chosen, samples), []
            for r, (name, attack) in enumerate(zip(names, attacks, strict=True)):
                found.append({**both[r][name], "weights": name, "attack": attack, **both[r]})
                if variant.name.endswith("contrast/pooled"):
                    found[r]["resampled"] = self._resampled(nets[r], models[members[r][1]], members[r][1])
            return found

        if not self.config.side_by_side:
            return lambda folder, results: act(folder, results)[0]
        stages = {r: f"{arm.stage(j)}-measured" for r, (arm, j) in enumerate(members)}
        return done_together(stages, act, origin=lambda r: self._measured(*members[r]))

    def _measured(self, variant: Variant, k: int) -> Origin:
        config = {"arm": variant.identity, "measured": shared(self.config)}
        return Origin("experiments.ablation.measurements", config, self.run.seed + k)

    def _arm(self, results: Results, variant: Variant, k: int, file: str) -> Any:
        energy = start_energy(self.pretrained(results, kind_of(variant), k), variant.config.head)
        folder = results.folder(variant.stage(k))
        return load_net(folder, energy, variant.origin(self.run, k), self.run, name=file)

    def _attacked(self, energies: Sequence[Any], samples: Sequence[Samples]) -> list[dict[str, Any]]:
        held_out = task_for(self.config.n_digits).test.x.to(self.run.device)
        x0, size = torch.cat([own[0] for own in samples]), len(energies)
        return attacked(_one(energies), x0, held_out, n_digits=self.config.n_digits, size=size)

    def _searched(self, energies: Sequence[Any], samples: Sequence[Samples], k: int, name: str) -> list[dict[str, Any]]:
        """Of each energy on its own samples; weights of one run one after another where runs are not side by side."""
        if not self.config.side_by_side and len(energies) > 1:
            pairs = zip(energies, samples, strict=True)
            return [self._searched([energy], [own], k, name)[0] for energy, own in pairs]
        chosen_on, scored_on = (torch.cat([own[part] for own in samples]) for part in (1, 2))
        options: dict[str, Any] = {"n_digits": self.config.n_digits, "budget": self.config.budget, "name": name}
        options |= {"run": Run(self.run.device, self.run.seed + k), "size": len(energies)}
        options["chosen_by"] = self.config.chosen_by
        return searched(_one(energies), chosen_on, scored_on, **options)

    def _resampled(self, energy: Energy, noise: Any, k: int) -> dict[str, float]:
        run, size = seeded(self.run, k), self.config.group_size
        proposals = sample_sequences(
            noise, size * self.config.n_samples, n_digits=self.config.n_digits, generator=run.generator("proposals")
        )
        options: dict[str, Any] = {"n_digits": self.config.n_digits, "sizes": (1, size)}
        first, last = resampling_curve(energy, proposals, **options, generator=run.generator("resampling"))
        return {"before": first["correctness"], "after": last["correctness"]}


def _one(energies: Sequence[Any]) -> Energy:
    """Several energies as one of blocks of rows, in eval mode; one is itself."""
    if len(energies) == 1:
        one: Energy = energies[0]
        return one
    ensemble = Ensemble(energies)
    ensemble.module.eval()
    return ensemble
