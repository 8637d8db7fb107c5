r"""Claims judged: what a paper says, put as a difference over independent runs, against what would matter.

Each claim tests two hypotheses on the mean :math:`\mu` of its endpoint with Student's t over runs, with :math:`\delta`
the smallest effect declared before the run:

* *a difference that matters*, :math:`|\mu| \ge \delta`, by two one-sided tests (Schuirmann, 1987). Rejected, the
  verdict is ``no effect``, and ``holds`` for a claim of "same";
* *no difference*: :math:`\mu = 0`, two-sided, for a claim of "higher" or "lower". Rejected, and with a mean of at least
  :math:`\delta`, the verdict is ``holds`` or ``reverses`` by the sign. For a claim of "same" it is
  :math:`|\mu| \le \delta`, and its rejection is ``reverses``: more than what matters is then shown, not just seen.

Everything else is ``undecided``, and so is every single run. All p-values of a paper are corrected together by the
procedure of Holm (1979) in the form of Shaffer (1986): at most one of a claim's two hypotheses can be true, so those
that can still be true are as many as claims with a hypothesis not yet rejected, claims that were declared and not
measured among them.
The chance of calling a difference where there is none, or no effect where there is one that matters, in any claim of a
paper, is then at most ``LEVEL``; a true difference between 0 and :math:`\delta` may be called either way.

This rests on differences that are roughly normal over runs. With strongly skewed ones (a few runs that diverge) five
runs give false verdicts several times as often: declare the endpoint on another scale, such as a logarithm. The
interval shown beside a verdict is Student's at 1 - LEVEL / m for m claims, for orientation. It knows no method.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from scipy.special import stdtr, stdtrit  # Student's distribution and its inverse

from ebm_course.results.findings import Claim, Entry, Judged, Verdict

LEVEL = 0.05
ROUNDING = 1e-12
"""Runs whose standard error is below this share of their values differ by rounding alone."""


def judged(claims: Sequence[Claim], entries: Sequence[Entry]) -> tuple[Judged, ...]:
    """Every declared claim whose endpoint was measured, with its verdict, in the order declared.

    >>> from ebm_course.results.findings import Entry
    >>> claim = Claim("lifts", "The attack lifts samples.", "difference", "higher", 0.05)
    >>> differences = Entry.of("difference", "After the attack minus before.", [0.21, 0.19, 0.22, 0.20])
    >>> [found.verdict for found in judged([claim], [differences])], judged([claim], [])
    (['holds'], ())
    """
    values = {entry.name: entry.values for entry in entries}
    measured = {claim: values[claim.endpoint] for claim in claims if claim.endpoint in values}
    return judge(measured, n_unmeasured=len(claims) - len(measured))


def judge(
    measured: Mapping[Claim, Sequence[float]], *, n_unmeasured: int = 0, level: float = LEVEL
) -> tuple[Judged, ...]:
    """The verdicts on all claims of a paper together.

    Args:
        measured: claim -> its endpoint, one difference an independent run.
        n_unmeasured: claims declared beside them; a part of an experiment is judged as strictly as the whole.
        level: the largest chance of any false verdict among them, between 0 and 1.

    Raises:
        ValueError: a claim has no value or one that is not finite, two have one name, or another number is none.

    >>> claim = Claim("lifts", "The attack lifts samples.", "difference", "higher", 0.05)
    >>> [found] = judge({claim: [0.21, 0.19, 0.22, 0.20]})
    >>> found.verdict, round(found.mean, 3), found.n_runs
    ('holds', 0.205, 4)
    >>> judge({claim: [0.21]})[0].verdict  # never from one run
    'undecided'
    """
    _check(measured, n_unmeasured, level)
    p_values = {claim: _p_values(claim, values) for claim, values in measured.items()}
    rejected = _rejected(p_values, n_unmeasured, level)
    found = []
    for claim, values in measured.items():
        low, high = _interval(values, level / max(1, len(measured) + n_unmeasured))
        mean = statistics.fmean(values)
        found.append(Judged(claim, _verdict(claim, mean, rejected[claim]), mean, low, high, len(values)))
    return tuple(found)


def _check(measured: Mapping[Claim, Sequence[float]], n_unmeasured: int, level: float) -> None:
    if not 0 < level < 1 or not n_unmeasured >= 0:
        raise ValueError(
            f"verdicts have a level between 0 and 1 and no fewer than 0 claims beside them: got {level} and "
            f"{n_unmeasured}. Pass level=0.05."
        )
    if len({claim.name for claim in measured}) < len(measured):
        raise ValueError(f"each claim has a name of its own: got {', '.join(sorted(c.name for c in measured))}.")
    for claim, values in measured.items():
        if len(values) == 0 or not all(math.isfinite(value) for value in values):
            got = f"{[float(value) for value in values]}"
            raise ValueError(f"the claim {claim.name!r} is judged by one finite number a run: got {got}.")


def _p_values(claim: Claim, values: Sequence[float]) -> dict[str, float]:
    """Of the two hypotheses; 1 for a single run and for runs that cannot differ, which are no independent runs."""
    if len(values) < 2:
        return {"difference": 1.0, "equivalence": 1.0}
    mean, error, df = _mean_and_error(values)
    if error <= ROUNDING * max(map(abs, values)):
        return {"difference": 1.0, "equivalence": 1.0}
    beyond = abs(mean) - (claim.smallest_effect if claim.better == "same" else 0.0)
    nearest = (abs(mean) - claim.smallest_effect) / error  # to the nearer of both borders
    return {"difference": min(1.0, 2 * float(stdtr(df, -beyond / error))), "equivalence": float(stdtr(df, nearest))}


def _rejected(p_values: Mapping[Claim, Mapping[str, float]], n_unmeasured: int, level: float) -> dict[Claim, set[str]]:
    """The hypotheses rejected for each claim, by Shaffer's form of Holm's procedure."""
    ordered = sorted((p, claim.name, claim, test) for claim, both in p_values.items() for test, p in both.items())
    rejected: dict[Claim, set[str]] = {claim: set() for claim in p_values}
    for p, _, claim, test in ordered:
        still_possible = n_unmeasured + sum(len(tests) < 2 for tests in rejected.values())
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
