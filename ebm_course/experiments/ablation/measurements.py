"""Stages: a run's language model, its pretrained nets, its arms, and what is measured of each energy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.core import Energy
from ebm_course.energies.sequence_energies import LikelihoodEnergy, SurpriseEnergy
from ebm_course.experiments.ablation.config import Config
from ebm_course.experiments.ablation.evaluation import attacked, searched
from ebm_course.experiments.nets import LAST, NET, load_net
from ebm_course.experiments.stages import Results
from ebm_course.experiments.together import trained_together
from ebm_course.experiments.variants import Variant, seeded, trained
from ebm_course.recipes.sequences import language_model, masked_language_model
from ebm_course.recipes.sequences.curves import resampling_curve
from ebm_course.recipes.sequences.parts import sample_sequences, start_energy, task_for
from ebm_course.recipes.sequences.side_by_side import fit_side_by_side
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic_score import score, well_formed

Work = Callable[[Path, Results], Any]
Samples = tuple[Tensor, Tensor, Tensor]
"""Of P_LM: as they come, and distinct well-formed ones to choose a search on and to score it on."""
SPARE = 4  # samples drawn for each that has to be well formed


def surprise_untrained(net: LikelihoodEnergy) -> SurpriseEnergy:
    """The head that is handed the likelihood with w = 1 and a pooled energy of 0: nothing is trained."""
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
    """

    def __init__(self, config: Config, run: Run):
        self.config, self.run = config, run

    def pretrain(self, variant: Variant, k: int) -> Work:
        """Train a language model or a net that energies start from."""
        return trained(variant, k, self.run)

    def train(self, variant: Variant, k: int) -> Work:
        """Train an arm on its run's pretrained net against samples of its run's language model.

        Where runs train side by side, the first that is not done trains all after it too.
        """
        kind = variant.starts_from.rpartition("/")[0]

        def given(results: Results, numbers: range) -> dict[str, list[Any]]:
            nets = [self.pretrained(results, kind, k) for k in numbers]
            return {"pretrained": nets, "noise": [self.noise(results, k) for k in numbers]}

        def given_one(results: Results) -> dict[str, Any]:
            return {name: nets[0] for name, nets in given(results, range(k, k + 1)).items()}

        if not self.config.side_by_side:
            return trained(variant, k, self.run, given=given_one)
        numbers = range(k, self.config.runs_of(kind))
        return trained_together(variant, numbers, self.run, fit=fit_side_by_side, given=given)

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
        work = self.pretrain(self.config.language_model, k)

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
            energy = surprise_untrained(net) if name == "surprise-untrained" else net
            samples = self.samples(self.noise(results, k), k)
            return {**self._searched(energy, samples, k, f"{kind}/{name}"), "attack": self._attacked(energy, samples)}

        return work

    def measure(self, variant: Variant, k: int) -> Work:
        """Measure an arm with the weights of its best validation and with its last ones, and choose between the two.

        The choice is made as that of the search is, on other samples than those scored.
        """
        kind = variant.starts_from.rpartition("/")[0]

        def work(_: Path, results: Results) -> dict[str, Any]:
            noise, net = self.noise(results, k), self.pretrained(results, kind, k)
            samples, energies, both = self.samples(noise, k), {}, {}
            for name, file in (("best", NET), ("last", LAST)):
                energy, folder = start_energy(net, variant.config.head), results.folder(variant.stage(k))
                energies[name] = load_net(folder, energy, variant.origin(self.run, k), self.run, name=file)
                both[name] = self._searched(energies[name], samples, k, variant.name)
            chosen = max(both, key=lambda name: max(both[name]["chosen"].values()))
            found = {**both[chosen], "weights": chosen, "attack": self._attacked(energies[chosen], samples), **both}
            if variant.name.endswith("contrast/pooled"):
                found["resampled"] = self._resampled(energies["best"], noise, k)
            return found

        return work

    def _attacked(self, energy: Energy, samples: Samples) -> dict[str, Any]:
        held_out = task_for(self.config.n_digits).test.x.to(self.run.device)
        return attacked(energy, samples[0], held_out, n_digits=self.config.n_digits)

    def _searched(self, energy: Energy, samples: Samples, k: int, name: str) -> dict[str, Any]:
        _, chosen_on, scored_on = samples
        options: dict[str, Any] = {"n_digits": self.config.n_digits, "budget": self.config.budget, "name": name}
        return searched(energy, chosen_on, scored_on, **options, run=Run(self.run.device, self.run.seed + k))

    def _resampled(self, energy: Energy, noise: Any, k: int) -> dict[str, float]:
        run, size = seeded(self.run, k), self.config.group_size
        proposals = sample_sequences(
            noise, size * self.config.n_samples, n_digits=self.config.n_digits, generator=run.generator("proposals")
        )
        options: dict[str, Any] = {"n_digits": self.config.n_digits, "sizes": (1, size)}
        first, last = resampling_curve(energy, proposals, **options, generator=run.generator("resampling"))
        return {"before": first["correctness"], "after": last["correctness"]}
