"""The stages of the sequence experiment: what each trains or measures, from the stages before it.

Every result is a JSON value; every trained net lies as a checkpoint in its stage's folder. It knows the configuration
and the order of the work, not what the numbers mean: that stands in ``sequence_findings``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ebm_course.energies.sequence_energies import LikelihoodEnergy, PooledEnergy
from ebm_course.experiments.sequences.equal_evaluations import quality_against_evaluations
from ebm_course.experiments.sequences.evaluation import POSITIONS, measure, novelty, positions
from ebm_course.experiments.stages import Stages
from ebm_course.files import load_checkpoint, save_checkpoint, write_atomically
from ebm_course.recipes.sequences import adversarial, language_model, residual_nce
from ebm_course.recipes.sequences.curves import attack_curve, resampling_curve
from ebm_course.recipes.sequences.parts import sample_sequences, task_for
from ebm_course.recipes.sequences.side_by_side import fit_side_by_side
from ebm_course.runtime import Run, setup
from ebm_course.samplers.ancestral import LanguageModel
from ebm_course.samplers.substitution_proposals import by_gain
from ebm_course.tasks.arithmetic_score import score, well_formed

if TYPE_CHECKING:
    from ebm_course.experiments.sequences.config import Config, Method

OPTIONS: dict[str, dict[str, Any]] = {
    "current": {"include_current": True},
    "only-improve": {"only_improve": True},
    "gain": {"propose": by_gain},
    "gain-improve": {"propose": by_gain, "only_improve": True},
    "gain-10-improve": {"propose": partial(by_gain, n_candidates=10), "only_improve": True},
}
"""Named options of the attack beside the two that every energy is measured with, compared at as many steps."""
COMPARED = ("residual-long", "adversarial", "grown")
NET = "net.safetensors"
ROWS = "rows.json"  # of a run that was trained beside others
SPARE = 4  # samples drawn for each that has to be well formed


class Experiment:
    """Runs the stages in order and holds their results by name.

    Args:
        config: the experiment.
        run: device and first seed.
        stages: where results are kept.
        progress: show a bar inside each training too.
    """

    def __init__(self, config: Config, run: Run, stages: Stages, *, progress: bool = False):
        self.config, self.run, self.stages, self.progress = config, run, stages, progress
        self.results: dict[str, Any] = {}
        self.n_digits = config.n_digits
        self._nets: dict[str, Any] = {}

    def work(self) -> dict[str, Any]:
        """Do what is not done yet; name of the stage -> its result."""
        for name, stage in self.in_order().items():
            self.results[name] = self.stages.do(name, stage)
        return self.results

    def in_order(self) -> dict[str, Callable[[Path], dict[str, Any]]]:
        """Every stage by its name; each takes the folder it may keep its state in."""
        config = self.config
        order: dict[str, Callable[[Path], dict[str, Any]]] = {
            "lm": self._lm,
            "energy": self._pretrain,
            "short": self._pretrain_short,
        }
        order["likelihood"] = lambda _: self._measured(self._pretrained())
        for k in range(config.n_runs):
            for name in config.methods:
                order[f"run-{k}/{name}"] = partial(self._train_run, name, k)
                order[f"run-{k}/{name}-measured"] = partial(self._measure_method, name, k)
        order |= {"options": self._options, "equal": self._equal, "memorised": self._memorised}
        for name, method in config.ideas.items():
            order[f"idea/{name}"] = partial(self._idea, method, "energy")
        order["short-likelihood"] = lambda _: self._measured(self._pretrained("short"))
        if "corrected" in config.ideas:
            order["short-corrected"] = partial(self._idea, config.ideas["corrected"], "short")
        return order

    def _lm(self, folder: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for kind, best in (("best", True), ("last", False)):  # the second call finds the training done
            config = dataclasses.replace(self.config.lm, keep_best=best)
            model, rows, task = language_model.fit_model(config, self._seeded(0), folder=folder, progress=self.progress)
            self._save(folder / f"{kind}.safetensors", model, config)
            x, train = self._samples(model, f"{kind} samples"), task.train.x.to(self.run.device)
            nll = language_model.nll_per_token(model, task.valid.x.to(self.run.device))
            result[kind] = {"nll": nll, **score(x, self.n_digits), **novelty(x, train[: config.n_rows])}
        return result | {"valid_nll": [row["valid_nll"] for row in rows if "valid_nll" in row]}

    def _pretrain(self, folder: Path) -> dict[str, Any]:
        return self._likelihood(self.config.energy, folder)

    def _pretrain_short(self, folder: Path) -> dict[str, Any]:
        return self._likelihood(self.config.short, folder)

    def _likelihood(self, config: language_model.Config, folder: Path) -> dict[str, Any]:
        model, rows, task = language_model.fit_model(config, self._seeded(0), folder=folder, progress=self.progress)
        assert isinstance(model, LikelihoodEnergy)
        self._save(folder / NET, model, config)
        x = task.valid.x.to(self.run.device)
        with torch.no_grad():
            log_p = model.net.logits(x)[:, :-1].log_softmax(dim=-1)
        columns = -log_p.gather(2, x[:, 1:, None])[..., 0].mean(dim=0)  # nats, one number a predicted token
        return {
            "nll": language_model.nll_per_token(model, x),
            "columns": columns[-self.n_digits - 2 : -1].tolist(),
            "valid_nll": [row["valid_nll"] for row in rows if "valid_nll" in row],
            "presentations": int(rows[-1]["step"]) * config.batch_size,
        }

    def _train_run(self, name: str, k: int, folder: Path) -> dict[str, Any]:
        """Run k of a method; where it is asked for and possible, together with all runs after it."""
        method = self.config.methods[name]
        possible = isinstance(method, adversarial.Config) and self.run.n_processes == 1
        if not (self.config.side_by_side and possible):
            return self._train(method, k, "energy", folder)
        if not (folder / ROWS).is_file():
            self._train_together(name, range(k, self.config.n_runs), folder)
        return {"rows": json.loads((folder / ROWS).read_text())}

    def _train_together(self, name: str, numbers: range, folder: Path) -> None:
        method: Any = self.config.methods[name]
        nets: dict[str, Any] = {"pretrained": self._pretrained(), "noise": self._noise()}
        runs, state = [self._seeded(k) for k in numbers], folder / f"with-{numbers[-1]}"
        trained = fit_side_by_side(method, runs, folder=state, progress=self.progress, **nets)
        for k, (energy, rows) in reversed(list(zip(numbers, trained, strict=True))):  # the first, which tells, at last
            own = self.stages.folder / f"run-{k}" / name
            self._save(own / NET, energy, method)
            write_atomically(own / ROWS, json.dumps(rows).encode())

    def _train(self, method: Method, k: int, base: str, folder: Path) -> dict[str, Any]:
        recipe: Any = residual_nce if isinstance(method, residual_nce.Config) else adversarial
        nets = {"pretrained": self._pretrained(base), "noise": self._noise()}  # before seeding: loading draws weights
        energy, rows = recipe.fit_energy(method, self._seeded(k), folder=folder, progress=self.progress, **nets)
        self._save(folder / NET, energy, method)
        return {"rows": rows}

    def _measure_method(self, name: str, k: int, _: Path) -> dict[str, Any]:
        energy = self._trained(name, k)
        result = self._measured(energy)
        if isinstance(self.config.methods[name], residual_nce.Config):
            proposals = self._samples(self._noise(), "proposals", self.config.n_proposals)
            result["resampling"] = resampling_curve(
                energy,
                proposals,
                n_digits=self.n_digits,
                sizes=self.config.group_sizes,
                generator=self._seeded(k).generator("resampling"),
            )
        return result

    def _measured(self, energy: Any, start: str = "best") -> dict[str, Any]:
        x = self._samples(self._noise(start), "test samples")
        valid = task_for(self.n_digits).valid.x.to(self.run.device)
        return measure(energy, x, valid, n_digits=self.n_digits, at=self.config.attack_steps, run=self.run)

    def _options(self, _: Path) -> dict[str, Any]:
        x, result = self._samples(self._noise(), "test samples"), {}
        for name in ("likelihood", "grown"):
            energy = self._energy(name)
            for option, settings in OPTIONS.items():
                for where in POSITIONS:
                    rows = attack_curve(
                        energy, x, n_digits=self.n_digits, at=self.config.attack_steps, run=self.run,
                        free=positions(where, self.n_digits), **settings,
                    )  # fmt: skip
                    result[f"{name}/{option}/{where}"] = rows
        return result

    def _equal(self, _: Path) -> dict[str, Any]:
        n, most = self.config.n_chains, max(self.config.group_sizes)
        x = self._samples(self._noise(), "equal", SPARE * n * most)
        x = x[well_formed(x, self.n_digits)][: n * most]
        if len(x) < n * most:
            raise ValueError(
                f"{len(x)} of {SPARE * n * most} samples of the language model are well formed, expected {n * most}: "
                f"train it longer, or compare fewer chains."
            )
        starts = x.view(n, most, -1)
        options: dict[str, Any] = {"n_digits": self.n_digits, "budgets": self.config.budgets, "run": self.run}
        return {
            name: quality_against_evaluations(self._energy(name), starts, name=name, **options)
            for name in ("likelihood", *COMPARED)
        }

    def _memorised(self, _: Path) -> dict[str, Any]:
        return {name: self._measured(self._energy(name), "last") for name in ("likelihood", "grown")}

    def _idea(self, method: Method, base: str, folder: Path) -> dict[str, Any]:
        trained = self._train(method, 0, base, folder)
        return trained | self._measured(self._load_energy(folder / NET, method, base))

    def _energy(self, name: str) -> Any:
        return self._pretrained() if name == "likelihood" else self._trained(name, 0)

    def _trained(self, name: str, k: int) -> PooledEnergy:
        path = self.stages.folder / f"run-{k}" / name / NET
        return self._load_energy(path, self.config.methods[name], "energy")

    def _load_energy(self, path: Path, method: Method, base: str) -> PooledEnergy:
        energy = residual_nce.start_energy(self._pretrained(base), method.head)
        energy.net.causal = not getattr(method, "bidirectional", False)
        load_checkpoint(path, energy)
        return energy.to(self.run.device).eval()

    def _pretrained(self, base: str = "energy") -> LikelihoodEnergy:
        if base not in self._nets:
            self._nets[base] = self._load_model(self.stages.folder / base / NET, getattr(self.config, base))
        found: LikelihoodEnergy = self._nets[base]
        return found

    def _noise(self, kind: str = "best") -> LanguageModel:
        if kind not in self._nets:
            self._nets[kind] = self._load_model(self.stages.folder / "lm" / f"{kind}.safetensors", self.config.lm)
        found: LanguageModel = self._nets[kind]
        return found

    def _load_model(self, path: Path, config: language_model.Config) -> Any:
        model = language_model.build(config)
        load_checkpoint(path, model)
        return model.to(self.run.device).eval()

    def _samples(self, model: Any, stream: str, n: int | None = None) -> Tensor:
        generator = self.run.generator(stream)
        return sample_sequences(model, n or self.config.n_samples, n_digits=self.n_digits, generator=generator)

    def _save(self, path: Path, module: torch.nn.Module, config: Any) -> None:
        if self.run.is_main:
            named = {f.name: str(getattr(config, f.name)) for f in dataclasses.fields(config)}
            save_checkpoint(path, module, meta={"config": named})
        self.run.wait()

    def _seeded(self, k: int) -> Run:
        """The random streams of run k; seeds initialisation and dropout too, so that no stage hangs on another."""
        return setup(self.run.seed + k, device=str(self.run.device), quiet=True)
