"""Stages that train the language models and say how well they know the task. It knows no fine-tuning.

>>> from dataclasses import replace
>>> from tempfile import TemporaryDirectory
>>> from ebm_course.experiments.sequences.config import SMOKE
>>> from ebm_course.experiments.stages import Stage, run_stages
>>> from ebm_course.origin import Origin
>>> from ebm_course.runtime import SINGLE_PROCESS as run
>>> nets = Nets(replace(SMOKE, lm=replace(SMOKE.lm, n_epochs=1)), run)
>>> stages = [Stage("lm", language_models(nets)), Stage("short", likelihood(nets, "short"))]
>>> with TemporaryDirectory() as root:
...     results = run_stages(stages, Path(root), origin=Origin("example", {}, 0), run=run, progress=False)
>>> len(results["lm"]["valid_nll"]), results["short"]["presentations"], len(results["short"]["columns"])
(1, 20, 2)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ebm_course.experiments.sequences.evaluation import novelty
from ebm_course.experiments.sequences.nets import Nets
from ebm_course.experiments.stages import Results
from ebm_course.experiments.variants import trained
from ebm_course.recipes.sequences import language_model
from ebm_course.recipes.sequences.parts import task_for
from ebm_course.tasks.arithmetic_score import score

Work = Callable[[Path, Results], Any]


def language_models(nets: Nets) -> Work:
    """Train P_LM; its samples with the weights of the best validation and with those of the last update."""
    config, run = nets.config, nets.run

    def work(folder: Path, results: Results) -> dict[str, Any]:
        rows = trained(config.pretraining["lm"], 0, run)(folder, results)["rows"]
        task, result = task_for(config.n_digits), {}
        for kind in ("best", "last"):
            model: Any = nets.noise(results, kind)
            x, train = nets.samples(model, f"{kind} samples"), task.train.x.to(run.device)
            nll = language_model.nll_per_token(model, task.valid.x.to(run.device))
            figures = {**score(x, config.n_digits), **novelty(x, train[: config.lm.n_rows])}
            result[kind] = {"nll": nll, **figures}
        return result | {"valid_nll": [row["valid_nll"] for row in rows if "valid_nll" in row]}

    return work


def likelihood(nets: Nets, name: str) -> Work:
    """Train a transformer that energies start from; its likelihood of held-out data, column by column."""
    config, run = nets.config, nets.run

    def work(folder: Path, results: Results) -> dict[str, Any]:
        rows = trained(config.pretraining[name], 0, run)(folder, results)["rows"]
        model, x = nets.pretrained(results, name), task_for(config.n_digits).valid.x.to(run.device)
        with torch.no_grad():
            log_p = model.net.logits(x)[:, :-1].log_softmax(dim=-1)
        columns = -log_p.gather(2, x[:, 1:, None])[..., 0].mean(dim=0)  # nats, one number a predicted token
        return {
            "nll": language_model.nll_per_token(model, x),
            "columns": columns[-config.n_digits - 2 : -1].tolist(),
            "valid_nll": [row["valid_nll"] for row in rows if "valid_nll" in row],
            "presentations": int(rows[-1]["step"]) * config.pretraining[name].config.batch_size,
        }

    return work
