"""What the sequence recipes share: the task, the optimiser, one update, and samples of the language model."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.core import Energy, Loss, Task
from ebm_course.files import load_checkpoint, shipped_checkpoint
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.samplers.ancestral import LanguageModel, ancestral
from ebm_course.tasks.arithmetic import BEGIN, VOCABULARY, Format, arithmetic, paper_arithmetic

Draw = Callable[[int, torch.Generator], Tensor]
"""n sequences (n, L) of a noise distribution."""


@lru_cache(maxsize=4)
def task_for(n_digits: int) -> Task:
    """The arithmetic task every sequence recipe of so many digits shares: the paper's own at ten digits."""
    if n_digits == 10:
        return paper_arithmetic()
    pairs = (9 * 10 ** (n_digits - 1)) ** 2
    held_out = min(350, pairs // 8)
    return arithmetic(n_digits, n_train=min(50_000, pairs // 2), n_valid=held_out, n_test=held_out)


def sample_sequences(model: LanguageModel, n: int, *, n_digits: int, generator: torch.Generator) -> Tensor:
    """n sequences (n, L) of a language model, begun with bos and drawn to full length."""
    begin = torch.full((n, 1), VOCABULARY.index(BEGIN), device=generator.device)
    return ancestral(model, begin, n_steps=Format(n_digits).length - 1, generator=generator).x


def fixed_dump(rows: Tensor) -> Draw:
    """Draw with replacement from sequences sampled once (M, L), as the paper's 1,000 synthetic samples are."""

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return rows[torch.randint(len(rows), (n,), generator=generator, device=rows.device)]

    return draw


def adamw(module: nn.Module, *, rate: float, weight_decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """AdamW that decays matrices of linear layers only: no biases, norms, embeddings or positions."""
    linear = {id(m.weight) for m in module.modules() if isinstance(m, nn.Linear)}
    decayed = [p for p in module.parameters() if id(p) in linear]
    others = [p for p in module.parameters() if id(p) not in linear]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=betas)


def update(
    loss: Loss, module: nn.Module, optimizer: torch.optim.Optimizer, *, clip: float, run: Run = SINGLE_PROCESS
) -> dict[str, Tensor]:
    """One step downhill with the gradient's norm clipped at ``clip``; returns the loss and its terms for the log.

    The loss is a mean over this process's share of rows; the mean of the gradients over processes, which is the
    gradient over all rows, is clipped.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.value.backward()
    run.average_gradients(module)
    norm = nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()
    return {"loss": loss.value.detach(), "gradient_norm": norm, **loss.terms}


def energies_of_both(energy: Energy, x_data: Tensor, x_negative: Tensor) -> tuple[Tensor, Tensor]:
    """E of data and negatives in one call, so that both see one batch."""
    e = energy(torch.cat([x_data, x_negative]))
    return e[: len(x_data)], e[len(x_data) :]


def load_shipped(name: str, build: Callable[[dict[str, Any]], nn.Module]) -> nn.Module:
    """A model of a recorded run: built from the note beside its weights, in eval mode.

    Raises:
        FileNotFoundError: no checkpoint of that name ships with the package.
        ValueError: its SHA-256 is not the recorded one.
    """
    path = shipped_checkpoint(name)
    _, meta = load_checkpoint(path)
    model = build(meta)
    load_checkpoint(path, model)
    return model.eval()
