"""What the paper says, and what we expect of its memory bank, as claims declared before the run.

Each endpoint is a difference with a value a run: shares right on test texts, cosines, logarithms of distances. Accuracy
is that of the weights of the best validation, the paper's rule. All else is measured on the weights after the last
update (``last``), under the attack of the largest radius, that of the paper's Table 4: the best validation may lie
before the contrast begins, and would then say nothing of it.

Source: Tables 2, 4 and 5 of the paper and Sections 4.4 and 4.5, after FreeLB (Zhu et al., 2020).
"""

from __future__ import annotations

from ebm_course.experiments.text.sets import RECORDED
from ebm_course.results.findings import Claim, Direction

ACCURACY, ROBUST, DISTANCE, COSINE = 0.005, 0.02, 0.04, 0.1
"""The smallest differences that matter: accuracy; accuracy under attack; log10 of a distance (10 %); cosines."""

Row = tuple[str, str, str, Direction, float, str]

ROWS: tuple[Row, ...] = (
    (
        "freelb-accuracy",
        "FreeLB is more accurate than plain training (92.16 and 93.23 on SST-2, 89.90 and 90.85 on AG News).",
        "freelb/accuracy - plain/accuracy",
        "higher",
        ACCURACY,
        "plain-longer/accuracy",
    ),
    (
        "carl-accuracy",
        "CARL is more accurate than FreeLB (93.77 and 93.23 on SST-2, 92.05 and 90.85 on AG News).",
        "carl/accuracy - freelb/accuracy",
        "higher",
        ACCURACY,
        "plain-longer/accuracy",
    ),
    (
        "rar-accuracy",
        "RAR is more accurate than FreeLB (93.73 and 93.23 on SST-2, 91.75 and 90.85 on AG News).",
        "rar/accuracy - freelb/accuracy",
        "higher",
        ACCURACY,
        "plain-longer/accuracy",
    ),
    (
        "freelb-robust",
        "FreeLB withstands the attack better than plain training (on AG News 78.0 and 70.2 at radius 0.1).",
        "freelb/last/pgd - plain/last/pgd",
        "higher",
        ROBUST,
        "noise/last/pgd",
    ),
    (
        "carl-robust",
        "CARL withstands it better than FreeLB (80.1 and 78.0).",
        "carl/last/pgd - freelb/last/pgd",
        "higher",
        ROBUST,
        "carl-fresh/last/pgd",
    ),
    (
        "rar-robust",
        "RAR withstands it better than FreeLB (78.6 and 78.0).",
        "rar/last/pgd - freelb/last/pgd",
        "higher",
        ROBUST,
        "carl/last/pgd",
    ),
    (
        "noise-robust",
        "The random start alone, without ascent, changes nothing (ours).",
        "noise/last/pgd - plain/last/pgd",
        "same",
        ROBUST,
        "freelb/last/pgd",
    ),
    (
        "carl-distance",
        "CARL keeps attacked representations nearer than FreeLB (Euclidean 5.34 and 6.48), as log10.",
        "log10 carl/last/euclidean - log10 freelb/last/euclidean",
        "lower",
        DISTANCE,
        "carl/last/other-label",
    ),
    (
        "rar-distance",
        "RAR keeps them nearer than CARL (5.12 and 5.34), as log10.",
        "log10 rar/last/euclidean - log10 carl/last/euclidean",
        "lower",
        DISTANCE,
        "carl/last/other-label",
    ),
    (
        "collapse",
        "CARL's negatives of the whole bank draw texts of other labels together: their cosine grows (ours).",
        "carl/last/other-label - freelb/last/other-label",
        "higher",
        COSINE,
        "carl-fresh/last/other-label",
    ),
    (
        "fresh-repairs",
        "With negatives of the last steps alone, as many losses and weights the same, it grows less (ours).",
        "carl-fresh/last/other-label - carl/last/other-label",
        "lower",
        COSINE,
        "freelb/last/other-label",
    ),
    (
        "fresh-accuracy",
        "That repair costs no accuracy (ours).",
        "carl-fresh/accuracy - carl/accuracy",
        "same",
        2 * ACCURACY,
        "freelb/accuracy",
    ),
    (
        "fresh-robust",
        "Repaired, CARL still withstands the attack better than FreeLB (ours).",
        "carl-fresh/last/pgd - freelb/last/pgd",
        "higher",
        ROBUST,
        "carl/last/pgd",
    ),
)
"""Claims are corrected together, so that few are made, the same on every set that is recorded."""


def claims() -> tuple[Claim, ...]:
    """Every claim on every recorded set: whoever runs one of them is judged as strictly as who runs all.

    >>> claims()[0].name, claims()[0].control, len(claims())  # 13 on each of four sets
    ('sst2/freelb-accuracy', 'sst2/plain-longer/accuracy', 52)
    """
    return tuple(
        Claim(f"{data}/{name}", f"{data}: {says}", f"claims/{data}/{name}", side, effect, control=f"{data}/{control}")
        for data in RECORDED
        for name, says, _, side, effect, control in ROWS
    )
