"""What the sequence recipes share: the task, samples of the language model, and a new energy on a pretrained net."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Batch, Task
from ebm_course.energies.pseudo_likelihood import PseudoLikelihoodEnergy
from ebm_course.energies.sequence_energies import LikelihoodEnergy, PooledEnergy
from ebm_course.recipes.shared import check_memory
from ebm_course.runtime import Run
from ebm_course.samplers.ancestral import LanguageModel, ancestral
from ebm_course.tasks.arithmetic import BEGIN, VOCABULARY, Format, arithmetic, paper_arithmetic
from ebm_course.training.batches import Draw, with_replacement


@lru_cache(maxsize=4)
def task_for(n_digits: int) -> Task:
    """The arithmetic task every sequence recipe of so many digits shares: the paper's own at ten digits.

    >>> task = task_for(1)
    >>> task.name, len(task.train), len(task.valid), task_for(1) is task  # of 81 pairs of digits
    ('arithmetic-1', 40, 10, True)
    """
    if n_digits == 10:
        return paper_arithmetic()
    pairs = (9 * 10 ** (n_digits - 1)) ** 2
    held_out = min(350, pairs // 8)
    return arithmetic(n_digits, n_train=min(50_000, pairs // 2), n_valid=held_out, n_test=held_out)


def sequence_bytes(config: Any, n: int) -> int:
    """What n sequences of a recipe's configuration take at least, tokens of 8 bytes.

    >>> from types import SimpleNamespace
    >>> sequence_bytes(SimpleNamespace(n_digits=10), 1_000)  # 35 tokens of 8 bytes each
    280000
    """
    return 8 * n * (3 * int(config.n_digits) + 5)


def rows_of(task: Task, n: int, *, first: int = 0) -> Batch:
    """n rows of the part to train on, from the first; all there are, where one in a hundred is missing at most.

    Raises:
        ValueError: fewer are there. (The paper's 100,000 are 99,299 in its own data.)

    >>> len(rows_of(task_for(1), 10, first=35))
    5
    >>> rows_of(task_for(1), 41)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: n_rows: 41 rows were asked for, expected 40 at most, which arithmetic-1 has. ...
    """
    there = len(task.train)
    if n > there * 1.01:
        raise ValueError(
            f"n_rows: {n} rows were asked for, expected {there:,} at most, which {task.name} has. "
            f"Ask for fewer rows or more digits."
        )
    return task.train[first : first + n]


def sample_sequences(model: LanguageModel, n: int, *, n_digits: int, generator: torch.Generator) -> Tensor:
    """n sequences (n, L) of a language model, begun with bos and drawn to full length.

    >>> from ebm_course.energies.language_model import LSTMLanguageModel
    >>> model, generator = LSTMLanguageModel(len(VOCABULARY), width=8), torch.Generator().manual_seed(0)
    >>> x = sample_sequences(model, 5, n_digits=1, generator=generator)
    >>> x.shape, (x[:, 0] == VOCABULARY.index(BEGIN)).all()
    (torch.Size([5, 8]), tensor(True))
    """
    begin = torch.full((n, 1), VOCABULARY.index(BEGIN), device=generator.device)
    return ancestral(model, begin, n_steps=Format(n_digits).length - 1, generator=generator).x


def start_energy(
    net: LikelihoodEnergy | PseudoLikelihoodEnergy, head: type[PooledEnergy], *, bidirectional: bool = False
) -> PooledEnergy:
    """A new energy on a copy of a pretrained transformer; the pretrained net itself is left as it is.

    All of the copy takes gradients, of a net too that was frozen, and the head has the type of its numbers.

    Raises:
        TypeError: the net holds no transformer, as what wraps it or an LSTM does not.

    >>> from ebm_course.energies.transformer import Transformer
    >>> pretrained = LikelihoodEnergy(Transformer(len(VOCABULARY), 8, width=8, n_heads=2))
    >>> energy = start_energy(pretrained, PooledEnergy, bidirectional=True)
    >>> type(energy).__name__, energy.net.causal, pretrained.net.causal
    ('PooledEnergy', False, True)
    """
    try:
        inner = net.net  # also of one that torch.compile has wrapped
    except AttributeError as error:
        raise TypeError(
            f"pretrained: expected an energy with a transformer, as language_model.load returns, got a "
            f"{type(net).__name__}. Pass the net itself, not what wraps it, trained with n_heads of 1 or more."
        ) from error
    energy = head(copy.deepcopy(inner)).to(next(inner.parameters()).dtype).requires_grad_()
    energy.net.causal = energy.net.causal and not bidirectional
    return energy


def data_and_noise(config: Any, run: Run, noise: LanguageModel) -> tuple[Batch, Draw]:
    """The rows of data of this run's seed, and a draw from sequences that the language model wrote once.

    Args:
        config: of a recipe: its ``n_digits``, ``n_rows`` and ``n_noise`` are read.

    >>> from types import SimpleNamespace
    >>> from ebm_course.energies.language_model import LSTMLanguageModel
    >>> config, model = SimpleNamespace(n_digits=1, n_rows=20, n_noise=6), LSTMLanguageModel(len(VOCABULARY), width=8)
    >>> data, draw = data_and_noise(config, Run(torch.device("cpu"), 0), model)
    >>> x = draw(50, torch.Generator().manual_seed(0))
    >>> len(data), x.shape, len(x.unique(dim=0)) <= 6  # written once, drawn again and again
    (20, torch.Size([50, 8]), True)
    """
    sizes = {name: sequence_bytes(config, getattr(config, name)) for name in ("n_rows", "n_noise")}
    check_memory(config, run, **sizes)
    task = task_for(config.n_digits)
    first = (run.seed * config.n_rows) % max(1, len(task.train) - config.n_rows)
    data = rows_of(task, config.n_rows, first=first).to(run.device)
    samples = sample_sequences(noise, config.n_noise, n_digits=config.n_digits, generator=run.generator("noise"))
    return data, with_replacement(samples)


def task_rows(config: Any) -> dict[str, Batch]:
    """The three parts of the task that a configuration names by its ``n_digits``: what an experiment depends on.

    >>> from types import SimpleNamespace
    >>> {part: len(rows) for part, rows in task_rows(SimpleNamespace(n_digits=1)).items()}
    {'train': 40, 'valid': 10, 'test': 10}
    """
    task = task_for(config.n_digits)
    return {"train": task.train, "valid": task.valid, "test": task.test}
