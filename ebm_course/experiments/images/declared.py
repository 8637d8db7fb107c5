"""What the papers say, as claims declared before the run: eleven or twelve on digits, the paper's own on other data.

Each endpoint is a difference with a value a run, on a scale where runs differ by similar amounts: distances as log10.
"""

from __future__ import annotations

from ebm_course.results.findings import Claim, Direction

ACCURACY, DISTANCE, SCORE, RECALL, CALIBRATION, FOREIGN, LIFE = 0.05, 0.05, 0.1, 0.05, 0.01, 0.02, 0.05
"""The smallest differences that matter: shares, log10 (12 %), the score's own unit, log10 again for updates lived."""

Row = tuple[str, str, str, Direction, float, str]

PAPER: tuple[Row, ...] = (
    (
        "robust-0.1",
        "Robust JEM is more accurate than JEM under attacks of radius 0.1.",
        "robust-jem/pgd-0.1 - jem/pgd-0.1",
        "higher",
        ACCURACY,
        "robust-classifier/pgd-0.1",
    ),
    (
        "distance",
        "Samples of robust JEM by Langevin steps are nearer to the data than those of JEM (FID 41.17, 48.25).",
        "log10 robust-jem/long/distance - log10 jem/long/distance",
        "lower",
        DISTANCE,
        "anchors/gaussians/distance",
    ),
    (
        "classifier-distance",
        "They are nearer than images that a robust classifier is attacked towards (FID 41.17, 85.12).",
        "log10 robust-jem/long/distance - log10 robust-classifier/towards/distance",
        "lower",
        DISTANCE,
        "anchors/gaussians/distance",
    ),
    (
        "score",
        "They have a higher score than those of JEM (IS 8.71, 7.54).",
        "robust-jem/long/score - jem/long/score",
        "higher",
        SCORE,
        "anchors/means/score",
    ),
    (
        "combined-score",
        "Combined inference has a higher score than Langevin steps alone (IS 9.28, 8.71).",
        "robust-jem/combined/score - robust-jem/long/score",
        "higher",
        SCORE,
        "anchors/means/score",
    ),
    (
        "combined-distance",
        "Combined inference is further from the data than Langevin steps alone (FID 47.92, 41.17).",
        "log10 robust-jem/combined/distance - log10 robust-jem/long/distance",
        "higher",
        DISTANCE,
        "anchors/paler/distance",
    ),
    (
        "diversity",
        "Robust JEM generates less diverse images than other energy-based models: lower recall than JEM.",
        "robust-jem/long/recall - jem/long/recall",
        "lower",
        RECALL,
        "anchors/gaussians/recall",
    ),
)
"""Name, sentence, endpoint in words, side, smallest effect and control; every data set has these."""

MORE: tuple[Row, ...] = (
    (
        "robust-0.3",
        "Robust JEM is more accurate than JEM under attacks of the radius it was trained at, 0.3.",
        "robust-jem/pgd-0.3 - jem/pgd-0.3",
        "higher",
        ACCURACY,
        "robust-classifier/pgd-0.3",
    ),
    (
        "stability",
        "Adversarial training makes JEM more stable: it lives longer with Langevin steps of 10.",
        "log10 step-10/robust-jem/updates - log10 step-10/jem/updates",
        "higher",
        LIFE,
        "step-10/jem/updates",
    ),
    (
        "calibration",
        "JEM is better calibrated than the classifier (Grathwohl et al., 2020).",
        "jem/calibration - classifier/calibration",
        "lower",
        CALIBRATION,
        "classifier/calibration",
    ),
    (
        "foreign",
        "Robust JEM tells foreign images by their density as well as JEM or better (Lee et al., 2020).",
        "robust-jem/foreign/logsumexp - jem/foreign/logsumexp",
        "higher",
        FOREIGN,
        "classifier/foreign/logsumexp",
    ),
    (
        "best-combined",
        "Some setting of combined inference is nearer to the data than Langevin steps alone.",
        "log10 robust-jem/best-combined/distance - log10 robust-jem/best-alone/distance",
        "lower",
        DISTANCE,
        "anchors/gaussians/distance",
    ),
)
"""Of digits alone, where the runs are most."""

NEARER = (
    "an attack before Langevin steps brings samples nearer to the data than the best setting without one, each with "
    "its best contrast, energy, length, noise and number of steps at no more gradients"
)
SEARCHED: tuple[Row, ...] = tuple(
    (
        f"search-{arm}",
        f"{words}: {NEARER}.",
        f"log10 {arm}/with-attack/distance - log10 {arm}/without-attack/distance",
        "lower",
        DISTANCE,
        "anchors/gaussians/distance",
    )
    for arm, words in (("robust-jem", "robust JEM"), ("robust-classifier", "robust classifier"))
)
"""Of the preset ``search``, which judges no other claim."""

ROWS: dict[str, tuple[Row, ...]] = {"digits": PAPER + MORE, "mnist": PAPER, "cifar10": PAPER}


def claims() -> tuple[Claim, ...]:
    """Every claim on every data set: whoever runs one of them is judged as strictly as who runs all.

    >>> claims()[0].endpoint, claims()[0].control, len(claims())  # 12 on digits, 7 on each other set
    ('claims/digits/robust-0.1', 'digits/robust-classifier/pgd-0.1', 26)
    """
    return _claims_of(ROWS)


def search_claims() -> tuple[Claim, ...]:
    """Those of the search for a setting in which combined inference helps.

    >>> [(claim.name, claim.better) for claim in search_claims()]
    [('digits/search-robust-jem', 'lower'), ('digits/search-robust-classifier', 'lower')]
    """
    return _claims_of({"digits": SEARCHED})


def _claims_of(every: dict[str, tuple[Row, ...]]) -> tuple[Claim, ...]:
    return tuple(
        Claim(f"{data}/{name}", f"{data}: {says}", f"claims/{data}/{name}", side, effect, control=f"{data}/{control}")
        for data, rows in every.items()
        for name, says, _, side, effect, control in rows
    )
