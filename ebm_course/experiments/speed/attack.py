"""What an attack costs: one step as sizes grow, and 40 steps with and without what saves work.

Weights are drawn, not trained: the time of a step does not ask for trained ones. They are wide, so that candidates
differ by more than rounding and chains move and freeze as those of a trained energy do.

>>> from ebm_course.experiments.speed.config import SMOKE
>>> from ebm_course.runtime import SINGLE_PROCESS as run
>>> SMOKE.chains, step_of("batch", 1, SMOKE, run)().x.shape
((2, 4), torch.Size([4, 8]))
>>> len(seconds_of_steps("batch", SMOKE, run))
2
>>> fewer, more = bytes_of_steps("batch", SMOKE, run)
>>> fewer < more
True
>>> list(seconds_of_attacks(SMOKE, run))[:4]
['freezes/neither', 'freezes/dropping', 'freezes/prefix', 'freezes/both']
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from ebm_course.experiments.clock import Act, median_seconds, peak_bytes, seconds
from ebm_course.experiments.speed.config import Config, sizes
from ebm_course.experiments.speed.workload import random_equations, random_net
from ebm_course.runtime import Run
from ebm_course.samplers.substitution import substitution
from ebm_course.samplers.substitution_proposals import by_saliency, by_short_list
from ebm_course.tasks.arithmetic import VOCABULARY, Format, digit_synonyms

OPTIONS = {
    "neither": {"drop_fixed": False, "reuse_prefix": False},
    "dropping": {"drop_fixed": True, "reuse_prefix": False},
    "prefix": {"drop_fixed": False, "reuse_prefix": True},
    "both": {"drop_fixed": True, "reuse_prefix": True},
}
KINDS = {"freezes": True, "toggles": False}  # whether the current token is a candidate


def step_of(sweep: str, k: int, config: Config, run: Run) -> Act:
    """One attack step at size ``k`` of a sweep, ready to be called."""
    size = sizes(config)[sweep][k]
    if sweep == "length":
        return _on_digits(config.digits[k], config.length_chains, config, run, n_steps=1)
    if sweep == "batch":
        return _on_digits(config.n_digits, size, config, run, n_steps=1)
    if sweep == "max-rows":
        return _on_digits(config.n_digits, config.max_rows_chains, config, run, n_steps=1, max_rows=size)
    short = partial(by_short_list, n_candidates=config.n_candidates)
    return _on_values(size, config, run, propose=by_saliency if sweep == "vocabulary-all" else short)


def seconds_of_steps(sweep: str, config: Config, run: Run) -> list[float]:
    """Median seconds of one attack step at each size of a sweep."""
    numbers = range(len(sizes(config)[sweep]))
    acts = (step_of(sweep, k, config, run) for k in numbers)  # one net at a time
    return [median_seconds(act, run.device, n_repeats=config.n_repeats, long=config.long) for act in acts]


def bytes_of_steps(sweep: str, config: Config, run: Run) -> list[int]:
    """The most bytes of tensors that one attack step adds to the net and the chains, at each size of a sweep."""
    return [peak_bytes(step_of(sweep, k, config, run), run.device) for k in range(len(sizes(config)[sweep]))]


def seconds_of_attacks(config: Config, run: Run) -> dict[str, float]:
    """Seconds of a whole attack by ``kind/options``; all of a kind end in the same states."""
    taken = {}
    for kind, include_current in KINDS.items():
        for name, options in OPTIONS.items():
            attack = partial(_on_digits, config.n_digits, config.attack_chains, config, run)
            attack(n_steps=1, include_current=include_current, **options)()  # warms up
            act = attack(n_steps=config.attack_steps, include_current=include_current, **options)
            taken[f"{kind}/{name}"] = seconds(act, run.device)
    return taken


def _on_digits(n_digits: int, n: int, config: Config, run: Run, **options: Any) -> Act:
    x = random_equations(n, n_digits, run)
    energy = random_net(len(VOCABULARY), x.shape[1], config, run)
    free, synonyms = Format(n_digits).digit_positions(), digit_synonyms()
    return partial(substitution, energy, x, synonyms=synonyms, free=free, **options)


def _on_values(n_values: int, config: Config, run: Run, **options: Any) -> Act:
    """Every value may stand at the one free position, in the middle: the same share of every sequence is scored."""
    shape = (config.vocabulary_chains, config.vocabulary_length)
    x = torch.randint(n_values, shape, generator=run.generator("values"), device=run.device)
    free = torch.arange(x.shape[1]) == x.shape[1] // 2
    energy = random_net(n_values, x.shape[1], config, run)
    rows = config.vocabulary_rows
    return partial(substitution, energy, x, n_steps=1, synonyms=None, free=free, max_rows=rows, **options)
