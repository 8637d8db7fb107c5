r"""Claims judged: what a paper says, put as a difference over independent runs, against what would matter.

Each claim tests two hypotheses on the mean :math:`\mu` of its endpoint with Student's t over runs: *no difference*,
:math:`\mu = 0` (two-sided), and *a difference that matters*, :math:`|\mu| \ge \delta` (two one-sided tests, Schuirmann
1987), with :math:`\delta` the smallest effect declared before the run. All p-values of a paper are corrected together
by Holm's procedure (1979) in Shaffer's form (1986): at most one of a claim's two hypotheses can be true, so the number
of those that can still be true is the number of claims with a hypothesis not yet rejected. The chance of any false
verdict in a paper is then at most ``LEVEL``.

* ``no effect``: a difference that matters is rejected (for a claim of "same": ``holds``);
* ``holds`` or ``reverses``: no difference is rejected, and the mean is at least the smallest effect;
* ``undecided``: everything else, and every single run.

The interval shown is Student's at 1 - LEVEL / m for m claims. It knows no method.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from scipy.special import stdtr, stdtrit  # Student's distribution and its inverse

from ebm_course.results.findings import Claim, Entry, Judged, Verdict

LEVEL = 0.05


def judged(claims: Sequence[Claim], entries: Sequence[Entry]) -> tuple[Judged, ...]:
    """Every claim whose endpoint was measured, with its verdict, in the order declared."""
    values = {entry.name: entry.values for entry in entries}
    return judge({claim: values[claim.endpoint] for claim in claims if claim.endpoint in values})


def judge(measured: Mapping[Claim, Sequence[float]], *, level: float = LEVEL) -> tuple[Judged, ...]:
    """The verdicts on all claims of a paper together.

    Args:
        measured: claim -> its endpoint, one difference an independent run.
        level: the largest chance of any false verdict among them.

    >>> claim = Claim("lifts", "The attack lifts samples.", "difference", "higher", 0.05)
    >>> [found] = judge({claim: [0.21, 0.19, 0.22, 0.20]})
    >>> found.verdict, round(found.mean, 3), found.n_runs
    ('holds', 0.205, 4)
    >>> judge({claim: [0.21]})[0].verdict  # never from one run
    'undecided'
    """
    p_values = {claim: _p_values(claim, values) for claim, values in measured.items() if len(values) > 1}
    rejected = _rejected(p_values, level)
    found = []
    for claim, values in measured.items():
        low, high = _interval(values, level / max(1, len(p_values)))
        verdict = _verdict(claim, statistics.fmean(values), rejected.get(claim, set()))
        found.append(Judged(claim, verdict, statistics.fmean(values), low, high, len(values)))
    return tuple(found)


def _p_values(claim: Claim, values: Sequence[float]) -> dict[str, float]:
    mean, error, df = _mean_and_error(values)
    if error == 0:  # runs that cannot differ are no independent runs
        return {"difference": 1.0, "equivalence": 1.0}
    nearest = (abs(mean) - claim.smallest_effect) / error  # to the nearer of both borders
    return {"difference": 2 * float(stdtr(df, -abs(mean) / error)), "equivalence": float(stdtr(df, nearest))}


def _rejected(p_values: Mapping[Claim, Mapping[str, float]], level: float) -> dict[Claim, set[str]]:
    """The hypotheses rejected for each claim, by Shaffer's form of Holm's procedure."""
    ordered = sorted((p, claim.name, claim, test) for claim, both in p_values.items() for test, p in both.items())
    rejected: dict[Claim, set[str]] = {claim: set() for claim in p_values}
    for p, _, claim, test in ordered:
        still_possible = sum(len(tests) < 2 for tests in rejected.values())
        if p > level / max(1, still_possible):
            break
        rejected[claim].add(test)
    return rejected


def _verdict(claim: Claim, mean: float, rejected: set[str]) -> Verdict:
    if "equivalence" in rejected:
        return "holds" if claim.better == "same" else "no effect"
    if "difference" not in rejected or abs(mean) < claim.smallest_effect:
        return "undecided"
    as_the_paper_says = claim.better == ("higher" if mean > 0 else "lower")
    return "holds" if as_the_paper_says else "reverses"


def _interval(values: Sequence[float], level: float) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    mean, error, df = _mean_and_error(values)
    half = float(stdtrit(df, 1 - level / 2)) * error
    return mean - half, mean + half


def _mean_and_error(values: Sequence[float]) -> tuple[float, float, int]:
    """Mean, standard error and degrees of freedom."""
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values)), len(values) - 1
