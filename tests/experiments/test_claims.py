"""Verdicts on claims: right where the effect is known, rarely false where there is none, and never from one run."""

from __future__ import annotations

import random
import statistics
from types import ModuleType

import pytest
import torch
from scipy import stats

from ebm_course.experiments.claims import LEVEL, _p_values, judge, judged
from ebm_course.experiments.images import declared as images
from ebm_course.experiments.structured import declared as structured
from ebm_course.experiments.text import declared as text
from ebm_course.results import ledger
from ebm_course.results.findings import Claim, Curve, Entry


def claim(name: str = "one", better: str = "higher", smallest: float = 0.1) -> Claim:
    return Claim(name, "says", f"claims/{name}", better, smallest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values, better, verdict",
    [
        ([0.30, 0.32, 0.28, 0.31, 0.29], "higher", "holds"),
        ([0.30, 0.32, 0.28, 0.31, 0.29], "lower", "reverses"),
        ([0.30, 0.32, 0.28, 0.31, 0.29], "same", "reverses"),
        ([-0.30, -0.32, -0.28, -0.31, -0.29], "lower", "holds"),
        ([-0.30, -0.32, -0.28, -0.31, -0.29], "higher", "reverses"),
        ([0.01, -0.01, 0.02, -0.02, 0.0], "higher", "no effect"),
        ([0.01, -0.01, 0.02, -0.02, 0.0], "same", "holds"),
        ([0.05, 0.052, 0.048, 0.051, 0.049], "higher", "no effect"),  # surely above 0, and too small to matter
        ([0.30, -0.25, 0.6, -0.1, 0.2], "higher", "undecided"),
        ([0.30], "higher", "undecided"),  # never from one run
        ([0.3, 0.1 + 0.2], "higher", "undecided"),  # equal up to rounding
        ([0.30, 0.30, 0.30], "higher", "undecided"),  # runs that cannot differ are no independent runs
    ],
)
def test_a_verdict_follows_from_the_interval_and_the_smallest_effect(
    values: list[float], better: str, verdict: str
) -> None:
    (found,) = judge({claim(better=better): values})
    assert found.verdict == verdict and found.mean == pytest.approx(statistics.fmean(values))
    assert found.n_runs == len(values)


def test_the_interval_is_students_at_a_level_shared_by_all_claims() -> None:
    values = [0.30, 0.32, 0.28, 0.31, 0.29]
    many = {claim(f"claim {k}"): values for k in range(10)}
    for measured in ({claim(): values}, many):
        found = judge(measured)[0]
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(1 - LEVEL / len(measured))
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    part = judge({claim(): values}, n_unmeasured=9)[0]  # claims that were declared and not measured count
    assert (part.low, part.high) == pytest.approx((found.low, found.high))


def test_one_claim_alone_has_the_whole_level_and_a_mean_at_the_smallest_effect_matters() -> None:
    values = [0.35, 0.1, 0.5, 0.2, 0.05]
    assert LEVEL / 2 < stats.ttest_1samp(values, 0.0).pvalue < LEVEL
    assert judge({claim(): values})[0].verdict == "holds"
    assert judge({claim(smallest=0.5): [0.375, 0.5, 0.625]})[0].verdict == "holds"


def test_more_claims_need_more_evidence() -> None:
    values = [0.30, 0.1, 0.45, 0.2, 0.15]  # p = 0.018 alone
    assert judge({claim(): values})[0].verdict == "holds"
    noise = {claim(f"noise {k}"): [0.5, -0.6, 0.4, -0.3, 0.1] for k in range(9)}
    assert judge({claim(): values, **noise})[0].verdict == "undecided"


def test_claims_decided_clearly_make_room_for_others() -> None:
    values = [0.30, 0.1, 0.45, 0.2, 0.15]
    # both hypotheses of a clear "holds" are never rejected together, so its place stays taken (Shaffer)
    clear = {claim(f"clear {k}"): [0.30, 0.301, 0.299, 0.3, 0.3005] for k in range(9)}
    assert judge({claim(): values, **clear})[0].verdict == "undecided"
    small = {claim(f"small {k}"): [0.05, 0.0501, 0.0499, 0.05, 0.05005] for k in range(9)}
    assert judge({claim(): values, **small})[0].verdict == "holds"  # above 0 and below what matters: both rejected


def wrong_verdicts(better: str, mean: float) -> tuple[str, ...]:
    """Of a claim whose true difference is known; the smallest effect is 0.1."""
    if better == "same":
        return ("reverses",) if abs(mean) <= 0.1 - 1e-9 else ("holds",)
    if mean == 0:
        return ("holds", "reverses")
    return ("reverses",) if mean < 0.1 else ("no effect", "reverses")


@pytest.mark.parametrize("better", ["higher", "same"])
@pytest.mark.parametrize("mean", [0.0, 0.05, 0.095, 0.1, "mixed"])
def test_a_paper_of_ten_claims_has_a_false_verdict_at_most_one_time_in_twenty(mean: float | str, better: str) -> None:
    draw, false, n_papers = random.Random(0), 0, 1_000
    for _ in range(n_papers):
        means = [draw.choice([0.0, 0.1, 0.2]) if mean == "mixed" else float(mean) for _ in range(10)]
        spread = draw.choice([0.02, 0.1, 0.3])
        rows = {claim(f"{k}", better): [draw.gauss(m, spread) for _ in range(6)] for k, m in enumerate(means)}
        wrong = [found.verdict in wrong_verdicts(better, m) for found, m in zip(judge(rows), means, strict=True)]
        false += any(wrong)
    assert false / n_papers <= LEVEL


@pytest.mark.parametrize("shared", [0.5, 0.9])
def test_so_it_does_where_the_claims_share_runs_as_ours_do(shared: float) -> None:
    """Eight runs whose effects all ten claims feel; half of the claims have no effect, half what matters."""
    draw, false, n_papers, means = random.Random(2), 0, 1_000, [0.0, 0.1] * 5
    for _ in range(n_papers):
        of_run = [draw.gauss(0, 1) for _ in range(8)]
        values = {
            claim(f"{k}"): [m + 0.1 * (shared**0.5 * u + (1 - shared) ** 0.5 * draw.gauss(0, 1)) for u in of_run]
            for k, m in enumerate(means)
        }
        false += any(
            found.verdict in wrong_verdicts("higher", m) for found, m in zip(judge(values), means, strict=True)
        )
    assert false / n_papers <= LEVEL


def test_a_known_effect_is_found() -> None:
    draw = random.Random(1)
    found = [judge({claim(f"{k}"): [draw.gauss(0.2, 0.03) for _ in range(8)] for k in range(10)}) for _ in range(100)]
    verdicts = [one.verdict for paper in found for one in paper]
    assert verdicts.count("holds") > 0.99 * len(verdicts)


def test_a_part_is_judged_as_strictly_as_the_whole() -> None:
    values, claims = [0.30, 0.1, 0.45, 0.2, 0.15], [claim(f"{k}") for k in range(4)]
    entries = [Entry.of("claims/0", "A difference.", values)]
    assert judged(claims[:1], entries)[0].verdict == "holds"
    assert judged(claims, entries)[0].verdict == "undecided"  # three more were declared


def test_a_claim_of_no_difference_reverses_only_where_more_than_what_matters_is_shown() -> None:
    near, far = [0.14, 0.16, 0.15, 0.155, 0.165, 0.15], [0.24, 0.26, 0.25, 0.255, 0.265, 0.25]
    assert judge({claim(better="same", smallest=0.15): near})[0].verdict == "undecided"
    assert judge({claim(better="same", smallest=0.15): far})[0].verdict == "reverses"


def test_only_claims_whose_endpoint_was_measured_are_judged() -> None:
    entries = [Entry.of("claims/one", "A difference.", [0.3, 0.31, 0.29])]
    assert [found.claim.name for found in judged([claim("two"), claim("one")], entries)] == ["one"]


@pytest.mark.parametrize("smallest", [0.0, -0.1, float("nan"), float("inf")])
def test_a_claim_names_a_smallest_effect_above_zero(smallest: float) -> None:
    with pytest.raises(ValueError, match="smallest difference that matters: expected a number above 0"):
        claim(smallest=smallest)


def test_the_p_values_are_those_of_scipys_t_tests() -> None:
    draw = random.Random(3)
    for _ in range(20):
        values, delta = [draw.gauss(0.05, 0.1) for _ in range(5)], 0.1
        found = _p_values(claim(smallest=delta), values)
        assert found["difference"] == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)
        sides = [
            stats.ttest_1samp(values, border, alternative=side).pvalue
            for border, side in ((delta, "less"), (-delta, "greater"))
        ]
        assert found["equivalence"] == pytest.approx(max(sides))


@pytest.mark.parametrize("declared", [images, text, structured], ids=lambda module: module.__name__.split(".")[2])
def test_what_a_record_was_judged_by_is_what_is_declared(declared: ModuleType) -> None:
    name = declared.__name__.split(".")[2]
    searched = getattr(declared, "search_claims", tuple)()  # those of a preset of its own
    now = {claim.name: claim for claim in (*declared.claims(), *searched)}
    found = [
        one.claim for record in ledger.names() if record.startswith(f"{name}-") for one in ledger.read(record).claims
    ]
    assert found and {claim.name: claim for claim in found} == {claim.name: now.get(claim.name) for claim in found}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_finding_that_is_not_finite_is_refused_by_its_name(bad: float) -> None:
    with pytest.raises(ValueError, match=r"the finding error, number 1 is .*: expected finite numbers"):
        Entry.of("error", "An error.", [0.5, bad])


def test_the_spread_over_runs_is_that_of_a_sample_and_a_curve_has_all_its_points_in_every_run() -> None:
    assert Entry.of("error", "An error.", [0.5, 0.7]).spread == pytest.approx(0.02**0.5)
    with pytest.raises(ValueError, match=r"needs one value for each of 2 x, got \[2, 1\]"):
        Curve("error", "step", [0.0, 1.0], "error", [[0.5, 0.7], [0.5]])


@pytest.mark.parametrize(
    "values, options, words",
    [
        ([0.3, float("nan"), 0.2], {}, "one finite number a run: got .0.3, nan, 0.2."),
        ([0.3, float("inf")], {}, "one finite number a run"),
        ([], {}, "one finite number a run"),
        ([0.3, 0.2], {"level": float("nan")}, "between 0 and 1"),  # no p-value is above it: all would be rejected
        ([0.3, 0.2], {"level": 5.0}, "between 0 and 1"),
        ([0.3, 0.2], {"n_unmeasured": -1}, "no fewer than 0 claims"),
    ],
)
def test_no_verdict_rests_on_what_is_no_number(values: list[float], options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        judge({claim(): values}, **options)  # type: ignore[arg-type]


def test_two_claims_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="a name of its own: got one, one"):
        judge({claim(): [0.3, 0.2], claim(smallest=0.2): [0.3, 0.2]})


@pytest.mark.parametrize("better", ["lower than", "Higher", ""])
def test_a_side_that_is_none_is_refused_and_not_taken_for_the_other(better: str) -> None:
    with pytest.raises(ValueError, match="one of higher, lower, same"):
        claim(better=better)


@pytest.mark.parametrize("smallest", ["0.1", None, torch.tensor(0.1), float("nan"), 0.0])
def test_the_smallest_effect_is_a_number(smallest: object) -> None:
    with pytest.raises(ValueError, match="expected a number above 0"):
        claim(smallest=smallest)  # type: ignore[arg-type]


def test_an_entry_takes_the_values_of_a_tensor() -> None:
    assert Entry.of("a", "A number.", torch.tensor([0.5, 1.0])).values == (0.5, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no values"):
        Entry.of("a", "A number.", torch.tensor([]))  # type: ignore[arg-type]
