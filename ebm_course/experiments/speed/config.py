"""What the speed experiment measures, at three sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ebm_course.experiments.configs import Settings
from ebm_course.recipes.sequences import adversarial, language_model
from ebm_course.recipes.shared import check_ranges
from ebm_course.tasks.arithmetic import Format

TRAINING = replace(adversarial.PAPER, n_rows=100, n_noise=100, n_epochs=2, n_attack_steps=5)
MODES: Mapping[str, Mapping[str, Any]] = {
    "float32": {"precision": "float32", "compile": False},
    "bfloat16": {"precision": "bfloat16", "compile": False},
    "compiled": {"precision": "float32", "compile": True},
    "bfloat16-compiled": {"precision": "bfloat16", "compile": True},
}
SWEEPS = ("length", "batch", "vocabulary-all", "vocabulary-short", "max-rows")


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Sizes for two CPU cores by default: all of it in about eight minutes.

    >>> replace(CPU, chains=(16, 8))
    Traceback (most recent call last):
        ...
    ValueError: chains rises from 1 or more, one value at least: got (16, 8).
    """

    n_runs: int = 3
    n_repeats: int = 3  # timed calls of a measurement
    long: float = 3.0  # seconds; what takes longer is timed once
    width: int = 128  # Yin (2023), Table 1, as the next two
    n_layers: int = 2
    n_heads: int = 4
    n_digits: int = 10
    matrix_side: int = 2_048
    digits: tuple[int, ...] = (4, 10, 20, 40, 80)  # sequences of 3 d + 5 tokens
    length_chains: int = 16
    chains: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512)
    vocabularies: tuple[int, ...] = (16, 64, 256, 1_024, 4_096, 16_384, 50_000)
    vocabulary_length: int = 4  # a likelihood reads V logits a token for each of V candidates
    vocabulary_chains: int = 1
    vocabulary_rows: int = 64  # sequences scored at once: what bounds the memory
    n_candidates: int = 8  # of the short list
    max_rows: tuple[int, ...] = (16, 64, 256, 1_024, 4_096)
    max_rows_chains: int = 128
    attack_chains: int = 16
    attack_steps: int = 40
    pretraining: language_model.Config = language_model.PAPER_ENERGY
    modes: tuple[str, ...] = ("float32", "bfloat16", "compiled")  # of pretraining
    pretraining_updates: int = 2
    processes: tuple[int, ...] = (1, 2)
    training: adversarial.Config = TRAINING

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self,
            counts="n_repeats width n_layers n_heads n_digits matrix_side length_chains vocabulary_length "
            "vocabulary_chains vocabulary_rows n_candidates max_rows_chains attack_chains pretraining_updates",
            whole="attack_steps",
            not_negative="long",
        )
        for name in ("digits", "chains", "vocabularies", "max_rows", "processes"):
            values = getattr(self, name)
            if not values or list(values) != sorted(set(values)) or values[0] < 1:
                raise ValueError(f"{name} rises from 1 or more, one value at least: got {values}.")
        if not self.modes or not set(self.modes) <= MODES.keys() or len(set(self.modes)) < len(self.modes):
            raise ValueError(f"modes: expected some of {', '.join(MODES)}, each once, got {self.modes}.")


CPU = Config(words="two CPU cores")
PAPER = Config(
    n_repeats=20,
    matrix_side=8_192,
    digits=(4, 10, 20, 40, 80, 160),
    length_chains=256,
    chains=(8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096),
    vocabulary_length=16,
    vocabulary_chains=4,
    vocabulary_rows=1_024,
    max_rows=(64, 256, 1_024, 4_096, 16_384, 65_536),
    max_rows_chains=4_096,
    attack_chains=1_024,
    modes=("float32", "bfloat16", "compiled", "bfloat16-compiled"),
    pretraining_updates=20,
    processes=(1, 2, 4),
)
SMOKE = Config(
    n_runs=2,
    n_repeats=1,
    width=8,
    n_layers=1,
    n_heads=2,
    n_digits=1,
    matrix_side=16,
    digits=(1, 2, 3),
    length_chains=2,
    chains=(2, 4),
    vocabularies=(16, 32),
    n_candidates=2,
    max_rows=(2, 4),
    max_rows_chains=2,
    attack_chains=2,
    attack_steps=2,
    pretraining=replace(language_model.SMOKE, n_heads=2, width=8),
    modes=("float32", "bfloat16"),
    pretraining_updates=1,
    processes=(1,),
    training=replace(adversarial.SMOKE, n_digits=1),
)
PRESETS = {"cpu": CPU, "paper": PAPER, "smoke": SMOKE}


def sizes(config: Config) -> Mapping[str, tuple[int, ...]]:
    """What each sweep changes: tokens L, chains N, the vocabulary V, or the sequences scored at once.

    >>> sizes(CPU)["length"], sizes(CPU)["max-rows"]
    ((17, 35, 65, 125, 245), (16, 64, 256, 1024, 4096))
    """
    return {
        "length": tuple(Format(d).length for d in config.digits),
        "batch": config.chains,
        "vocabulary-all": config.vocabularies,
        "vocabulary-short": config.vocabularies,
        "max-rows": config.max_rows,
    }
