"""The variants that the reproduction of Yin (2023) trains: what every run trains, and ideas trained once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ebm_course.energies.sequence_energies import CorrectedEnergy, SurpriseEnergy
from ebm_course.experiments.configs import changed
from ebm_course.experiments.variants import Variant
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.sequences import adversarial, residual_nce
from ebm_course.samplers.substitution_proposals import by_gain

_ADVERSARIAL = adversarial.PAPER
_GROWN = replace(_ADVERSARIAL, objective=logistic, include_current=True, grow_every=60, grow_above=0.7)


def methods(n_digits: int = 10, **changes: Any) -> tuple[Variant, ...]:
    """What every run trains, from the paper's settings with ``changes`` made to all of them that have such a field.

    ``residual`` and ``residual-long``: the baseline at 5 epochs and at as many as Algorithm 1; ``no-attack``: Algorithm
    1 with S = 0, the ablation; ``adversarial``: Algorithm 1 as printed; ``grown``: with the logistic loss, the current
    token among the candidates and a budget that grows with the energy's strength.

    >>> [variant.name for variant in methods(n_digits=3)]
    ['residual', 'residual-long', 'no-attack', 'adversarial', 'grown']
    >>> [variant.config.n_attack_steps for variant in methods(n_attack_steps=2)[2:]]
    [0, 2, 2]
    """
    no_attack = replace(_ADVERSARIAL, n_attack_steps=0)
    residual, algorithm_1, ships = residual_nce.fit, adversarial.fit, f"arithmetic-{n_digits}"
    rows = (
        (Variant("residual", "residual noise contrast, 5 epochs", residual_nce.PAPER, residual), ("n_epochs",)),
        (
            Variant(
                "residual-long",
                "residual noise contrast, as many epochs as Algorithm 1",
                residual_nce.PAPER_LONG,
                residual,
                ships_as=f"{ships}-residual-0",
            ),
            (),
        ),
        (Variant("no-attack", "Algorithm 1 without attack (S = 0)", no_attack, algorithm_1), ("n_attack_steps",)),
        (
            Variant(
                "adversarial", "Algorithm 1 as printed", _ADVERSARIAL, algorithm_1, ships_as=f"{ships}-adversarial-0"
            ),
            (),
        ),
        (
            Variant(
                "grown",
                "Algorithm 1, logistic loss, budget grown with the energy's strength",
                _GROWN,
                algorithm_1,
                ships_as=f"{ships}-grown-0",
            ),
            (),
        ),
    )
    return _with(rows, n_digits, changes)


def ideas(n_fresh: int = 55_000, n_digits: int = 10, **changes: Any) -> tuple[Variant, ...]:
    """One change at a time, trained by the first run only; a name begins with the method that was changed.

    ``logistic`` and ``l2`` change ``adversarial``, and so does ``corrected`` by its head and all that the head needs.
    ``grown-fresh`` sees ``n_fresh`` rows and as many samples of P_LM once each, so that nothing can be memorised.
    ``grown-surprise-memory`` may take twelve steps whatever the others take, enough for every digit of the answer.
    ``short-corrected`` starts from the net that was pretrained for less.

    >>> by_name = {variant.name: variant for variant in ideas(n_fresh=20_000, n_epochs=7)}
    >>> [(by_name[name].config.n_rows, by_name[name].config.n_epochs) for name in ("idea/l2", "idea/grown-fresh")]
    [(1000, 7), (20000, 1)]
    """
    fresh: dict[str, Any] = {"n_epochs": 1, "n_rows": n_fresh, "n_noise": n_fresh}
    corrected = replace(_ADVERSARIAL, head=CorrectedEnergy, rate=2e-4, include_current=True)
    near = replace(_GROWN, head=SurpriseEnergy, position_memory=True, answer_only=True, n_attack_steps=12)
    correction = "likelihood plus a correction trained against position memory on the answer"
    sees = "a head that sees surprises"
    rows: tuple[tuple[str, str, Any, tuple[str, ...]], ...] = (
        ("logistic", "as printed, but with the logistic loss", replace(_ADVERSARIAL, objective=logistic), ()),
        ("l2", "as printed, with an L2 on energies", replace(_ADVERSARIAL, l2=0.01), ()),
        ("grown-memory", "grown, trained against position memory", replace(_GROWN, position_memory=True), ()),
        ("grown-gain", "grown, proposals by gain", replace(_GROWN, propose=by_gain), ()),
        ("grown-replay", "grown, half of the chains go on from earlier negatives", replace(_GROWN, replay=0.5), ()),
        ("grown-ema", "grown, averaged weights", replace(_GROWN, ema=0.99), ()),
        ("grown-bidirectional", "grown, without the causal mask", replace(_GROWN, bidirectional=True), ()),
        ("corrected", "likelihood plus a trained correction", corrected, ()),
        ("corrected-memory", correction, replace(corrected, position_memory=True, answer_only=True), ()),
        ("residual-surprise", f"long residual noise contrast, {sees}", _sees(residual_nce.PAPER_LONG), ()),
        ("adversarial-surprise", f"as printed, {sees}", _sees(_ADVERSARIAL), ()),
        ("grown-surprise", f"grown, {sees}", _sees(_GROWN), ()),
        ("grown-fresh", "grown, every row seen once", replace(_GROWN, **fresh), tuple(fresh)),
        (
            "grown-surprise-memory",
            f"grown to 12 steps of position memory on the answer, {sees}",
            near,
            ("n_attack_steps",),
        ),
    )
    ships = {"residual-surprise": f"arithmetic-{n_digits}-surprise-0"}
    variants = [(_idea(f"idea/{name}", words, c, ships.get(name, "")), keep) for name, words, c, keep in rows]
    short = "likelihood of a net pretrained for less, plus a trained correction"
    variants.append((replace(_idea("short-corrected", short, corrected, ""), starts_from="short"), ()))
    return _with(variants, n_digits, changes)


def _idea(name: str, words: str, config: Any, ships_as: str) -> Variant:
    fit = residual_nce.fit if isinstance(config, residual_nce.Config) else adversarial.fit
    return Variant(name, words, config, fit, once=True, ships_as=ships_as)


def _sees(config: Any) -> Any:
    return replace(config, head=SurpriseEnergy)


def _with(rows: Any, n_digits: int, changes: Mapping[str, Any]) -> tuple[Variant, ...]:
    """The rows with the changes made to their configurations, but for the fields that each keeps."""
    every = {**changes, "n_digits": n_digits}
    return tuple(replace(variant, config=changed(variant.config, every, keep)) for variant, keep in rows)
