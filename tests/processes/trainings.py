"""Launched by the tests in several processes: trains recipes of sequences, images and text, writes what came of it.

``trainings.py FOLDER`` writes ``weights.safetensors`` and ``facts.json`` into the folder.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.images import jem, robust_jem
from ebm_course.recipes.images.chains import pyld_steps
from ebm_course.recipes.images.parts import sgd
from ebm_course.recipes.sequences import adversarial, language_model, residual_nce
from ebm_course.recipes.text import carl, rar
from ebm_course.runtime import Run, setup

EPOCHS = 4
LM = replace(language_model.SMOKE, n_epochs=EPOCHS)
TRANSFORMER = replace(LM, n_heads=2, warm_up=0.2, decay=True)
RESIDUAL = replace(residual_nce.SMOKE, n_digits=1, n_epochs=EPOCHS, l2=0.01)
PRINTED = replace(adversarial.SMOKE, n_digits=1, n_epochs=EPOCHS)
DESCENT: dict[str, Any] = {"optimizer": sgd, "rate": 0.01, "n_steps": EPOCHS, "validate_every": EPOCHS, "pad": 1}
JOINT = replace(jem.SMOKE, sampler=pyld_steps, noise_std=0.01, **DESCENT)
ROBUST = replace(robust_jem.SMOKE, clean_share=0.5, l2=0.01, **DESCENT)
WITHOUT_DROPOUT = partial(TextClassifier, width=8, n_layers=1, n_heads=2, dropout=0.0)  # whose masks are others in two
TEXT: dict[str, Any] = {"net": WITHOUT_DROPOUT, "n_steps": 8, "validate_every": 2, "batch_size": 8}
CARL, RAR = replace(carl.SMOKE, contrast_after=3, **TEXT), replace(rar.SMOKE, **TEXT)
GROWN = replace(PRINTED, grow_every=2, grow_above=0.5, include_current=True, objective=logistic, l2=0.01)


def one_net_with_batch_norm(run: Run) -> bool:
    """Whether all processes end with the same net, running statistics among them, each having normalised its rows."""
    torch.manual_seed(run.seed)
    config = replace(ROBUST, net=partial(ConvNet, width=4, norm="batch"))
    net = robust_jem.fit(config, run, progress=False).module
    whole = torch.cat([t.flatten().float() for t in net.state_dict().values()])[None]
    return len(run.gather(whole).unique(dim=0)) == 1


def train_all(run: Run) -> tuple[dict[str, nn.Module], dict[str, list[dict[str, float]]]]:
    """Trained modules and rows of the log by name; each recipe starts from what the ones before it made."""
    torch.manual_seed(run.seed)
    noise, noise_rows, *_ = language_model.fit(LM, run, progress=False)
    pretrained, rows, *_ = language_model.fit(TRANSFORMER, run, progress=False)
    nets: dict[str, Any] = {"pretrained": pretrained, "noise": noise}
    residual, residual_rows, *_ = residual_nce.fit(RESIDUAL, run, **nets, progress=False)
    grown, grown_rows, *_ = adversarial.fit(GROWN, run, **nets, progress=False)
    printed, printed_rows, *_ = adversarial.fit(PRINTED, run, **nets, progress=False)
    joint, joint_rows, *_ = jem.fit(JOINT, run, progress=False)
    robust, robust_rows, *_ = robust_jem.fit(ROBUST, run, progress=False)
    contrasted, contrasted_rows, *_ = carl.fit(CARL, run, progress=False)
    rebuilt, rebuilt_rows, *_ = rar.fit(RAR, run, progress=False)
    logs = {
        "carl": contrasted_rows,
        "rar": rebuilt_rows,
        "joint": joint_rows,
        "robust": robust_rows,
        "lstm": noise_rows,
        "transformer": rows,
        "residual": residual_rows,
    }
    modules = {"lstm": noise, "transformer": pretrained, "residual": residual, "grown": grown, "printed": printed}
    modules |= {"joint": joint, "robust": robust, "carl": contrasted, "rar": rebuilt}
    return modules, logs | {"grown": grown_rows, "printed": printed_rows}


def parameters(modules: dict[str, nn.Module]) -> dict[str, Tensor]:
    """Every parameter by the name of its module and its own."""
    return {f"{name}.{key}": t.contiguous() for name, m in modules.items() for key, t in m.state_dict().items()}


def resumed_equals_straight(run: Run, folder: Path) -> bool:
    """Whether training in two sittings, the second from what the first saved, gives the weights of one, bit for bit."""

    def weights(where: Path | None) -> dict[str, Tensor]:
        torch.manual_seed(run.seed)
        config = replace(LM, n_epochs=3, keep_best=False)
        return language_model.fit(config, run, folder=where, progress=False).module.state_dict()

    update, calls = language_model.update, iter(range(3))

    def dying(*args: Any, **rest: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return update(*args, **rest)

    language_model.update = dying  # in the second of three epochs, on every process
    try:
        weights(folder)
    except KeyboardInterrupt:
        pass
    finally:
        language_model.update = update
    again, straight = weights(folder), weights(None)
    return all(torch.equal(again[name], straight[name]) for name in straight)


def blind_process_is_refused(run: Run, folder: Path) -> bool:
    """Whether training stops where each process looks into a folder of its own and only the main one finds a state."""
    torch.manual_seed(run.seed)
    mine = folder / str(run.rank)
    config = replace(LM, n_epochs=1)
    language_model.fit(config, run, folder=mine, progress=False)
    try:
        language_model.fit(config, run, folder=mine, progress=False)
    except ValueError as error:
        return "at the updates [2, 0]: expected one folder that all of them see" in str(error)
    return run.n_processes == 1


def collectives(run: Run) -> dict[str, bool]:
    """Facts on shares, gathers, means and gradients that hold in any number of processes."""
    x, n = torch.arange(48).view(4, 12), run.n_processes
    module = nn.Linear(3, 1, bias=False)
    module.weight.grad = torch.full((1, 3), float(run.rank))
    before = module.weight.grad.clone()
    run.average_gradients(module)
    return {
        "a gather of shares is the whole": torch.equal(run.gather(run.share(x)), x),
        "along the second axis as well": torch.equal(run.gather(run.share(x, 1), 1), x),
        "also of bools": torch.equal(run.gather(run.share(x % 3 == 0)), x % 3 == 0),
        "a mean is over ranks": float(run.mean(torch.tensor(float(run.rank)))) == (n - 1) / 2,
        "so are gradients": torch.equal(module.weight.grad, torch.full((1, 3), (n - 1) / 2)),
        "a mean leaves its argument": torch.equal(before, torch.full((1, 3), float(run.rank))),
    }


def main(folder: Path) -> None:
    run = setup(0)
    modules, logs = train_all(run)
    weights = parameters(modules)
    flat = torch.cat([t.flatten() for t in weights.values()])[None]
    facts = collectives(run)
    facts["all processes end with the same weights"] = len(run.gather(flat).unique(dim=0)) == 1
    facts["with batch norm, too, all processes end with one net"] = one_net_with_batch_norm(run)
    facts["a resumed run ends with the same weights"] = resumed_equals_straight(run, folder / "state")
    facts["a process that cannot see the state stops all"] = blind_process_is_refused(run, folder / "apart")
    facts = {name: all(run.gather(torch.tensor([fact])).tolist()) for name, fact in facts.items()}
    if run.is_main:
        save_file(weights, folder / "weights.safetensors")
        (folder / "facts.json").write_text(json.dumps({"processes": run.n_processes, "facts": facts, "logs": logs}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
