"""The search for a setting in which an attack before Langevin steps helps, on digits: see ``searching``.

Steps of length a and noise sigma are those of the density exp(-2 a E / sigma^2), of p itself where sigma^2 = 2 a. The
first eight moves are of colder densities, as those in training; the last two of p.

>>> [(length, noise) for length, noise in SEARCH.moves if abs(noise**2 - 2 * length) < 1e-4]
[(0.01, 0.1414), (0.001, 0.0447)]
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from ebm_course.experiments.images.config import CPU, SMOKE
from ebm_course.experiments.images.declared import search_claims

SEARCH = replace(
    CPU,
    data=("digits",),
    variants=tuple(CPU.variant(f"digits/{name}") for name in ("robust-classifier", "robust-jem")),
    claims=search_claims(),
    grid_radii=(0.0, 0.1, 0.3, 0.5),
    grid_contrasts=(1.0, 0.8),
    moves=(
        *itertools.product((0.1, 0.3, 1.0, 3.0), (0.01, 0.1)),
        (0.01, 0.1414),
        (0.001, 0.0447),
    ),
    words="does an attack before Langevin steps help with steps of some other length and noise, at equal gradients?",
)
SEARCH_SMOKE = replace(
    SMOKE,
    variants=tuple(SMOKE.variant(variant.name) for variant in SEARCH.variants),
    claims=search_claims(),
    moves=((0.3, 0.01), (1.0, 0.01)),
    words="the search's parts",
)
PRESETS = {"search": SEARCH, "search-smoke": SEARCH_SMOKE}
