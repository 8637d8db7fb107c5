r"""Repeated trainings inside independent runs: what spreads between runs, and what between trainings of one run.

Run k of K has :math:`n_k` trainings, such as fine-tunings of its pretrained net:

.. math:: y_{kj} = \mu + a_k + b_{kj}, \qquad \operatorname{Var} a = \sigma_B^2, \quad \operatorname{Var} b = \sigma_W^2

With :math:`N = \sum_k n_k` and :math:`n_0 = (N - \sum_k n_k^2 / N) / (K - 1)`, which is n where all have n,

.. math::
    \hat\sigma_W^2 &= \frac{1}{N - K} \sum_{kj} (y_{kj} - \bar y_k)^2 \\
    \hat\sigma_B^2 &= \frac{1}{n_0} \Bigl( \frac{1}{K - 1} \sum_k n_k (\bar y_k - \bar y)^2 - \hat\sigma_W^2 \Bigr),
    \quad \text{at least 0.}

Trainings of one net are no independent runs: Student's interval over all N would be too narrow by
:math:`\sqrt{1 + (n - 1) \rho}` with :math:`\rho = \sigma_B^2 / (\sigma_B^2 + \sigma_W^2)`. So what is judged is
:math:`\bar y_k`, one number a run. Source: analysis of variance of a random effect, Searle, Casella and McCulloch
(1992), Section 3.6. It knows no method.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Standard deviations: of trainings of one run, and of runs beyond what their trainings explain.

    >>> spread([[0.0, 2.0], [1.0, 1.0]]) == Spread(within=1.0, between=0.0)  # nets that differ by their trainings alone
    True
    """

    within: float
    between: float


def means(values: Sequence[Sequence[float]]) -> list[float]:
    """One number a run, the mean over its trainings.

    >>> means([[1.0, 3.0], [5.0]])
    [2.0, 5.0]
    """
    return [statistics.fmean(run) for run in values]


def spread(values: Sequence[Sequence[float]]) -> Spread | None:
    """The two standard deviations, None where no run was trained twice or there is one run only.

    >>> spread([[0.0, 2.0], [10.0, 12.0]])  # within: variance 2; between: (100 - 2) / 2
    Spread(within=1.4142135623730951, between=7.0)
    """
    sizes = [len(run) for run in values]
    if len(values) < 2 or max(sizes) < 2:
        return None
    (n_runs, total), centres = (len(values), sum(sizes)), means(values)
    mean = statistics.fmean(y for run in values for y in run)
    squares = sum((y - centre) ** 2 for run, centre in zip(values, centres, strict=True) for y in run)
    within = squares / (total - n_runs)
    among = sum(n * (centre - mean) ** 2 for n, centre in zip(sizes, centres, strict=True)) / (n_runs - 1)
    weight = (total - sum(n * n for n in sizes) / total) / (n_runs - 1)
    return Spread(within**0.5, max(0.0, (among - within) / weight) ** 0.5)
