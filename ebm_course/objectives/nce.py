"""Noise contrast: learn a density by telling its data from noise whose log-probability is known.

Knows energies and log q of the noise. It draws no noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebm_course.checks import check_number
from ebm_course.core import Loss
from ebm_course.objectives.logistic import logistic
from ebm_course.objectives.terms import check_energies, check_real, check_same_shape, energy_terms


def nce(e_data: Tensor, e_noise: Tensor, *, log_q_data: Tensor, log_q_noise: Tensor, n_noise: float = 1.0) -> Loss:
    r"""mean softplus(D(data)) + nu mean softplus(-D(noise)), with D(x) = E(x) + log q(x) + log nu.

    -D is the log-odds of data against noise. At the optimum E = -log p exactly, so exp(-E) is normalised: the
    constant log Z is learned like any other parameter, and E must be free to shift by one.

    Args:
        e_data: energies of data (N,), nats.
        e_noise: energies of noise (M,), nats.
        log_q_data: log q of the noise distribution at the data (N,), nats.
        log_q_noise: log q at the noise (M,), nats.
        n_noise: nu, noise samples per datum, larger than 0. The weight is applied here, whatever N and M are.

    Returns:
        The loss; terms ``e_data``, ``e_negative``, ``gap`` of E itself and ``accuracy`` of the classifier.

    Raises:
        ValueError: shapes differ, or n_noise is not positive.

    Source: Gutmann and Hyvärinen (2010), with the ratio nu of Gutmann and Hyvärinen (2012). Departure: minimised, and
    without the factor 1/2 of a mean over both sets.

    >>> log_q = torch.tensor([0.5, 0.5]).log()
    >>> loss = nce(-log_q, -log_q, log_q_data=log_q, log_q_noise=log_q)  # E = -log q: nothing tells data from noise
    >>> round(float(loss.value), 3)  # 2 log 2
    1.386
    """
    check_energies(e_data=e_data, e_noise=e_noise)
    check_same_shape("log_q_data", log_q_data, "e_data", e_data)
    check_same_shape("log_q_noise", log_q_noise, "e_noise", e_noise)
    _check_log_q(log_q_data=log_q_data, log_q_noise=log_q_noise)
    n_noise = check_number("n_noise", n_noise)
    if not 0 < n_noise < math.inf:
        raise ValueError(f"n_noise is noise samples per datum: expected a number larger than 0, got {n_noise}.")
    shift = math.log(n_noise)
    loss = logistic(e_data + log_q_data + shift, e_noise + log_q_noise + shift, ratio=n_noise)
    return Loss(loss.value, {**energy_terms(e_data, e_noise), "accuracy": loss.terms["accuracy"]})


def residual_nce(e_data: Tensor, e_noise: Tensor, *, l2: float = 0.0) -> Loss:
    """NCE of the joint model p(x) = q(x) exp(-E(x)) / Z: log q cancels and the logistic loss of E remains.

    At the optimum E = log q - log p: the energy holds only what the noise distribution gets wrong, and Z = 1.

    Args:
        e_data: residual energies of data (N,), nats.
        e_noise: residual energies of noise drawn from q (M,), nats.
        l2: weight of the anchor on the scale, 0 or larger, 1 / nats.

    Returns:
        The loss; terms as in :func:`logistic`.

    Raises:
        ValueError: energies are not (N,).

    Source: Deng et al. (2020), "Residual energy-based models for text generation".

    >>> e_data, e_noise = torch.tensor([-1.0, 0.0]), torch.tensor([2.0, 0.0])
    >>> log_q = torch.tensor([-8.0, -16.0])
    >>> joint = nce(e_data - log_q, e_noise - log_q, log_q_data=log_q, log_q_noise=log_q)  # -log q(x) exp(-E(x))
    >>> bool(residual_nce(e_data, e_noise).value == joint.value)
    True
    """
    return logistic(e_data, e_noise, l2=l2)


def ranking_nce(e_data: Tensor, e_noise: Tensor, *, log_q_data: Tensor, log_q_noise: Tensor) -> Loss:
    r"""-mean log softmax_0 of w = -E - log q over one datum (entry 0) and its K noise samples.

    Finds the datum among its noise. A constant added to all energies of a row cancels, so E = -log p + const at the
    optimum: nothing is learned of log Z, and a conditional model needs no normaliser for each condition.

    Args:
        e_data: energies of data (N,), nats.
        e_noise: energies of K noise samples for each datum (N, K), nats.
        log_q_data: log q at the data (N,), nats.
        log_q_noise: log q at the noise (N, K), nats.

    Returns:
        The loss; terms ``e_data``, ``e_negative``, ``gap`` and ``accuracy``, the share of data ranked first.

    Raises:
        ValueError: shapes do not belong together.

    Source: Jozefowicz et al. (2016); its consistency: Ma and Collins (2018), the ranking objective.

    >>> log_q = {"log_q_data": torch.zeros(1), "log_q_noise": torch.zeros(1, 3)}
    >>> round(float(ranking_nce(torch.zeros(1), torch.zeros(1, 3), **log_q).value), 3)  # one of four: log 4
    1.386
    >>> ranking_nce(torch.tensor([-99.0]), torch.zeros(1, 3), **log_q).value  # the datum is found
    tensor(0.)
    """
    check_energies(e_data=e_data)
    check_real(e_noise=e_noise)
    if e_noise.ndim != 2 or len(e_noise) != len(e_data) or e_noise.shape[1] == 0:
        raise ValueError(
            f"e_noise holds K > 0 energies for each of {len(e_data)} data: expected shape ({len(e_data)}, K), "
            f"got {tuple(e_noise.shape)}. Reshape chains-major rows with e.view({len(e_data)}, -1)."
        )
    check_same_shape("log_q_data", log_q_data, "e_data", e_data)
    check_same_shape("log_q_noise", log_q_noise, "e_noise", e_noise)
    _check_log_q(log_q_data=log_q_data, log_q_noise=log_q_noise)
    data, noise = -e_data - log_q_data, -e_noise - log_q_noise  # (N,), (N, K)
    scores = torch.cat([data[:, None], noise], dim=1)  # (N, 1 + K)
    accuracy = (data.detach() > noise.detach().amax(1)).to(data).mean()
    return Loss((scores.logsumexp(1) - data).mean(), {**energy_terms(e_data, e_noise), "accuracy": accuracy})


def _check_log_q(**values: Tensor) -> None:
    for name, value in values.items():
        if value.is_complex():
            raise TypeError(f"{name} holds real numbers, got {value.dtype}: pass log-probabilities.")
