from __future__ import annotations

import math

import pytest
import torch
from torch import tensor

from ebm_course.metrics.mmd import maximum_mean_discrepancy as mmd


def test_value_by_hand():
    # k(0, 1) = exp(-1/2), k(0, 2) = exp(-2): one pair within x, one within y, four across
    x, y = tensor([[0.0], [1.0]]), tensor([[1.0], [2.0]])
    within = 2 * math.exp(-0.5)
    across = (2 * math.exp(-0.5) + 1 + math.exp(-2)) / 4
    assert mmd(x, y, bandwidth=1.0)["mmd2"] == pytest.approx(within - 2 * across)


def test_equals_the_double_loop_and_takes_the_median_distance():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(5, 2, 3, generator=generator), 2 + torch.randn(4, 2, 3, generator=generator)
    a, b = x.flatten(1).double(), y.flatten(1).double()
    pooled = torch.cat([a, b])
    distances = [float((pooled[i] - pooled[j]).norm()) for i in range(9) for j in range(i)]
    result = mmd(x, y)
    assert result["bandwidth"] != pytest.approx(torch.pdist(a).median().item(), rel=0.05)  # not that of one set
    assert result["bandwidth"] == pytest.approx(torch.tensor(distances).median().item())

    def k(u, v):
        return math.exp(-float((u - v).square().sum()) / (2 * result["bandwidth"] ** 2))

    within = sum(k(u, v) for i, u in enumerate(a) for j, v in enumerate(a) if i != j) / 20
    within += sum(k(u, v) for i, u in enumerate(b) for j, v in enumerate(b) if i != j) / 12
    assert result["mmd2"] == pytest.approx(within - 2 * sum(k(u, v) for u in a for v in b) / 20)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_estimate_is_unbiased_for_two_gaussians_whose_mmd_is_known(shift):
    # x ~ N(0, I), y ~ N(m, I) in two dimensions, kernel width 1: MMD^2 = 2/3 (1 - exp(-|m|^2 / 6))
    exact = 2 / 3 * (1 - math.exp(-2 * shift**2 / 6))
    generator = torch.Generator().manual_seed(0)
    estimates = []
    for _ in range(40):
        x, y = torch.randn(2, 30, 2, generator=generator)
        estimates.append(mmd(x, y + shift, bandwidth=1.0)["mmd2"])
    estimates = tensor(estimates)
    assert estimates.mean().item() == pytest.approx(exact, abs=5 * estimates.std().item() / math.sqrt(40))


def test_blocks_of_pairs_give_what_one_table_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 3, generator=generator) + 1e6, torch.randn(30, 3, generator=generator) + 1e6
    whole = mmd(x, y)
    for pairs in (1, 100, 10_000):
        monkeypatch.setattr("ebm_course.metrics.mmd.PAIRS", pairs)
        assert mmd(x, y) == pytest.approx(whole, rel=1e-12)


def test_the_median_of_many_is_that_of_some_and_no_table_of_all_pairs_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 3_000, 2, generator=generator)
    sizes: list[int] = []

    def watched(a: torch.Tensor, b: torch.Tensor, **options: str) -> torch.Tensor:
        sizes.append(len(a) * len(b))
        return cdist(a, b, **options)

    cdist = torch.cdist
    monkeypatch.setattr(torch, "cdist", watched)
    monkeypatch.setattr("ebm_course.metrics.mmd.PAIRS", 1_000_000)
    found = mmd(x, y)
    assert max(sizes) <= 1_000_000 and sum(sizes) == 3 * 9_000_000
    # Half of the squared distance of two such points is exponential: the median is sqrt(4 log 2).
    assert found["bandwidth"] == pytest.approx(math.sqrt(4 * math.log(2)), rel=0.05)
    assert abs(found["mmd2"]) < 0.005


def test_numbers_are_samples_of_a_line_and_each_set_keeps_its_digits() -> None:
    x, y = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0])
    assert mmd(x, y) == mmd(x[:, None], y[:, None])
    whole = torch.tensor([[4097], [4099]])  # float16, the type of both together, has neither
    assert mmd(whole, torch.tensor([[4096.0], [4104.0]]).half()) == mmd(
        whole.double(), torch.tensor([[4096.0], [4104.0]])
    )


def test_bad_samples_and_bandwidths_are_refused():
    with pytest.raises(ValueError, match="two rows or more"):
        mmd(torch.zeros(1, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(3, 1\)"):
        mmd(torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="bandwidth is a length"):
        mmd(torch.zeros(3, 2), torch.zeros(3, 2))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -1.0])
def test_a_bandwidth_that_is_no_length_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="larger than 0, got"):
        mmd(torch.zeros(2, 1), torch.ones(2, 1), bandwidth=bad)


@pytest.mark.parametrize("bandwidth", [1e-200, 1e-151, 1e151, 1e200])
def test_a_bandwidth_whose_square_is_no_number_is_one_all_the_same(bandwidth: float) -> None:
    x, y = tensor([[0.0], [0.0], [1.0]]), tensor([[0.0], [1.0]])
    narrow = 1 / 3 + 0 - 2 * (2 + 1) / 6  # only pairs of equal points count
    assert mmd(x, y, bandwidth=bandwidth)["mmd2"] == pytest.approx(narrow if bandwidth < 1 else 0.0)
