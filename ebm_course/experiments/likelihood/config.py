"""Four ways to a likelihood gradient, each in a row, and what the literature says of them as claims.

>>> [row.name for row in variants(potts.Config(), plane.Config()) if row.name.startswith("words/")]
['words/exact', 'words/cd-1', 'words/pcd-1', 'words/nce']
>>> Config().claims == claims(), claims()[0].paper_says
(True, "On the two words of chapter 2, CD-1 ends further from the data's law than the exact gradient.")
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ebm_course.experiments.configs import Settings
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.likelihood import plane, potts
from ebm_course.recipes.likelihood.ways import (
    Way,
    contrastive_divergence,
    exact_gradient,
    noise_contrastive,
    persistent_chains,
)
from ebm_course.results.findings import Claim, Direction
from ebm_course.tasks.toy2d_densities import ring, two_moons

DATA = ("words", "moons", "ring")
WORDS = {"words": "the two words of chapter 2", "moons": "two moons", "ring": "a ring of eight spots"}
WAYS: dict[str, tuple[str, Way, int]] = {  # words, supplier, sweeps or steps of a chain an update
    "exact": ("the exact gradient", exact_gradient, 1),
    "cd-1": ("CD-1", contrastive_divergence, 1),
    "pcd-1": ("PCD-1", persistent_chains, 1),
    "cd-10": ("CD-10", contrastive_divergence, 10),
    "pcd-10": ("PCD-10", persistent_chains, 10),
    "nce": ("NCE", noise_contrastive, 1),
}
MATTERS = 0.1
"""The smallest difference that matters in log10 of the KL: a quarter more or a fifth less. In nats the runs of one way
spread over orders of magnitude where its chains are lost, and no mean says anything."""


def variants(on_words: potts.Config, on_plane: plane.Config) -> tuple[Variant, ...]:
    """Every way on every data set; chains of ten sweeps in the plane only, where a step is short."""
    rows = []
    for name, (words, way, k) in WAYS.items():
        if k == 1:
            config = replace(on_words, way=way)
            rows.append(Variant(f"words/{name}", f"{WORDS['words']}, {words}", config, potts.fit))
        for data, density in (("moons", two_moons), ("ring", ring)):
            moved = replace(on_plane, way=way, density=density, n_sampler_steps=k)
            rows.append(Variant(f"{data}/{name}", f"{WORDS[data]}, {words}", moved, plane.fit))
    return tuple(rows)


COMPARED: tuple[tuple[str, str, Direction, str], ...] = (
    ("cd-1", "exact", "higher", "CD-1 ends further from the data's law than the exact gradient"),
    ("pcd-1", "cd-1", "lower", "PCD-1 ends nearer to the data's law than CD-1"),
    ("pcd-10", "cd-10", "lower", "PCD-10 ends nearer to the data's law than CD-10"),
    ("nce", "exact", "same", "NCE ends as near to the data's law as the exact gradient"),
)
"""Pairs of ways, and what Hinton (2002), Tieleman (2008) and Gutmann and Hyvärinen (2010) lead one to expect."""


def claims() -> tuple[Claim, ...]:
    """The expectations on every data set, each a difference in log10 KL after the last update; control: exact KL."""
    found = []
    for data in DATA:
        for way, other, better, words in COMPARED:
            if data != "words" or WAYS[way][2] == 1:
                says, endpoint = f"On {WORDS[data]}, {words}.", f"claims/{data}/{way}-{other}"
                found.append(Claim(f"{data}/{way}", says, endpoint, better, MATTERS, control=f"{data}/exact/kl"))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Which ways on which data; all ways of a data set have the same rows, updates, batches, net and learning rate."""

    n_runs: int = 5
    data: tuple[str, ...] = DATA
    claims: tuple[Claim, ...] = claims()


_POTTS = potts.Config(
    length=6, law=potts.two_words, n_train=20_000, batch_size=500, n_sampler_steps=6, sweep=True, rate=0.01,
    n_steps=1_000, validate_every=50,
)  # fmt: skip
_PLANE = plane.Config(
    width=64, buffer_size=2_000, restart_probability=0.0, l2=0.0, n_points=72, rate=0.01, n_steps=1_200,
    validate_every=60,
)  # fmt: skip
CPU = Config(variants=variants(_POTTS, _PLANE), words="a Potts model and two densities of the plane")
SMOKE = Config(
    n_runs=2,
    variants=variants(
        replace(_POTTS, length=3, n_train=200, n_valid=50, batch_size=50, n_steps=4, validate_every=2),
        replace(plane.SMOKE, n_points=20),
    ),
)
PRESETS = {"cpu": CPU, "smoke": SMOKE}
