"""The arms of the experiment: what supplies the negatives, and what the energy can see. One recipe trains them all.

All arms have the same rows, updates, batch, optimiser and checkpoint rule; the baseline's alone differ in rows and
epochs, which are what they ask about. Noise contrast is Algorithm 1 without attack steps and with the logistic loss,
which is its own: see ``objectives.nce.residual_nce``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ebm_course.energies.local_energy import LocalEnergy
from ebm_course.energies.sequence_energies import CorrectedEnergy, PooledEnergy, SurpriseEnergy
from ebm_course.experiments.variants import Variant
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.sequences import adversarial
from ebm_course.recipes.sequences.distance import NEAR
from ebm_course.recipes.sequences.suppliers import by_gibbs

PRINTED = adversarial.Config(n_attack_steps=5, batch_size=100, keep_best=True)
CONTRAST = replace(PRINTED, n_attack_steps=0, objective=logistic)
GROWN = replace(PRINTED, objective=logistic, include_current=True, grow_every=30, grow_above=0.7)
MEMORY = replace(GROWN, n_attack_steps=8, position_memory=True, answer_only=True)
DISTANCE = replace(GROWN, grow_above=0.0, grow_beyond=NEAR)
GIBBS = replace(GROWN, supply=by_gibbs)
CORRECTED = replace(PRINTED, head=CorrectedEnergy, rate=2e-4)  # as printed: a likelihood lies far from the level 0

ARMS: dict[str, tuple[str, adversarial.Config]] = {
    "contrast": ("residual noise contrast", CONTRAST),
    "no-attack": ("Algorithm 1 with S = 0", replace(PRINTED, n_attack_steps=0)),
    "printed": ("Algorithm 1 as printed", PRINTED),
    "grown": ("logistic loss, current token among the candidates, a budget that grows", GROWN),
    "grown-memory": ("the same against position memory on the answer", MEMORY),
}
MORE: dict[str, tuple[str, adversarial.Config]] = {
    "grown-distance": ("a budget that grows by distance to the data", DISTANCE),
    "gibbs": ("negatives by Gibbs with gradients, a budget that grows", GIBBS),
}
"""Arms of ten digits alone: the arm ``grown`` but for who supplies negatives, or what its budget follows."""
ALL_ROWS = 55_000
BASELINES: dict[str, tuple[str, adversarial.Config]] = {
    "contrast": ARMS["contrast"],
    "baseline-rows": (
        "residual noise contrast on 55 times the rows, seen once",
        replace(CONTRAST, n_rows=ALL_ROWS, n_noise=ALL_ROWS, n_epochs=1),
    ),
    "baseline-epochs": (
        "residual noise contrast on 55 times the rows, seen ten times",
        replace(CONTRAST, n_rows=ALL_ROWS, n_noise=ALL_ROWS, n_epochs=10),
    ),
}
"""From the course's noise contrast to the baseline notebook's: rows at equal updates, then epochs."""
CORRECTIONS: dict[str, tuple[str, adversarial.Config]] = {
    "corrected-contrast": (
        "likelihood plus a correction, trained without attack",
        replace(CORRECTED, n_attack_steps=0),
    ),
    "corrected-memory": (
        "likelihood plus a correction, against position memory on the answer",
        replace(CORRECTED, n_attack_steps=8, include_current=True, position_memory=True, answer_only=True),
    ),
}
HEADS: dict[str, tuple[str, type[PooledEnergy]]] = {
    "pooled": ("pooled head", PooledEnergy),
    "surprise": ("head that is handed the likelihood", SurpriseEnergy),
    "local": ("fresh net on what is known and what came", LocalEnergy),
}


def arms_of(kind: str, *, heads: tuple[str, ...], arms: tuple[str, ...], corrections: bool) -> tuple[Variant, ...]:
    """A row for each arm with each head after one kind of pretraining, and where asked for the two corrections.

    >>> rows = arms_of("masked", heads=("pooled", "local"), arms=("grown",), corrections=False)
    >>> [(row.name, row.config.head.__name__) for row in rows]
    [('masked/grown/pooled', 'PooledEnergy'), ('masked/grown/local', 'LocalEnergy')]
    >>> {row.starts_from for row in rows}
    {'masked/pretraining'}
    """
    every = {**ARMS, **MORE, **BASELINES}
    rows = [
        _arm(kind, f"{arm}/{head}", f"{every[arm][0]}, {HEADS[head][0]}", _with(every[arm][1], HEADS[head][1]))
        for head in heads
        for arm in arms
    ]
    rows += [_arm(kind, name, words, config) for name, (words, config) in CORRECTIONS.items() if corrections]
    return tuple(rows)


def _with(config: adversarial.Config, head: type[PooledEnergy]) -> adversarial.Config:
    return replace(config, head=head)


def _arm(kind: str, name: str, words: str, config: Any) -> Variant:
    return Variant(f"{kind}/{name}", words, config, adversarial.fit, starts_from=f"{kind}/pretraining")
