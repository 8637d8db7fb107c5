from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ebm_course.objectives.logistic import logistic
from ebm_course.objectives.nce import nce, ranking_nce, residual_nce

P = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
Q = torch.tensor([0.1, 0.2, 0.2, 0.5], dtype=torch.float64)
DATA, NOISE = (torch.arange(4).repeat_interleave((10 * w).round().long()) for w in (P, Q))  # exact shares


def minimise(loss_of, n_values: int = 4) -> Tensor:
    """The table of energies (V,) that minimises a convex loss, by L-BFGS in double precision."""
    table = torch.zeros(n_values, dtype=torch.float64, requires_grad=True)
    exact = {"max_iter": 500, "tolerance_grad": 1e-12, "tolerance_change": 0.0}
    optimiser = torch.optim.LBFGS([table], line_search_fn="strong_wolfe", **exact)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = loss_of(table)
        loss.backward()
        return loss

    optimiser.step(closure)
    return table.detach()


@pytest.mark.parametrize("nu", [1.0, 5.0])
def test_nce_recovers_a_known_log_density_and_its_normaliser(nu):
    def loss(table: Tensor) -> Tensor:
        return nce(table[DATA], table[NOISE], log_q_data=Q.log()[DATA], log_q_noise=Q.log()[NOISE], n_noise=nu).value

    energies = minimise(loss)
    torch.testing.assert_close(energies, -P.log(), atol=1e-6, rtol=0)
    assert torch.logsumexp(-energies, 0).abs() < 1e-6


def test_nce_learns_log_z_as_a_parameter_of_an_unnormalised_energy():
    unnormalised = -P.log() + 7.0  # exp(-E) sums to exp(-7)

    def loss(c: Tensor) -> Tensor:
        e = unnormalised + c
        return nce(e[DATA], e[NOISE], log_q_data=Q.log()[DATA], log_q_noise=Q.log()[NOISE]).value

    assert minimise(loss, n_values=1).item() == pytest.approx(-7.0, abs=1e-6)


def test_nce_from_samples_is_within_five_standard_errors_of_log_z():
    generator = torch.Generator().manual_seed(0)
    n = 20_000
    data, noise = (torch.multinomial(w, n, replacement=True, generator=generator) for w in (P, Q))

    def loss(c: Tensor) -> Tensor:
        e = -P.log() + c
        return nce(e[data], e[noise], log_q_data=Q.log()[data], log_q_noise=Q.log()[noise]).value

    h = P / (P + Q)  # the score of c is (1 - h) on data and h on noise; asymptotic variance of the estimate below
    variance_data, variance_noise = (P * (1 - h) ** 2).sum(), (Q * h**2).sum()
    mean, curvature = ((P * (1 - h)).sum(), (P * h * (1 - h)).sum() + (Q * h * (1 - h)).sum())
    error = ((variance_data + variance_noise - 2 * mean**2) / n).sqrt() / curvature
    assert abs(minimise(loss, n_values=1).item()) < 5 * error.item()


def test_residual_nce_has_its_optimum_at_log_q_minus_log_p():
    energies = minimise(lambda table: residual_nce(table[DATA], table[NOISE]).value)
    torch.testing.assert_close(energies, Q.log() - P.log(), atol=1e-6, rtol=0)


def test_residual_nce_is_nce_of_the_joint_model_because_log_q_cancels():
    e_data, e_noise, q_data, q_noise = torch.randn(4, 9, dtype=torch.float64)
    joint = nce(e_data - q_data, e_noise - q_noise, log_q_data=q_data, log_q_noise=q_noise)
    torch.testing.assert_close(residual_nce(e_data, e_noise).value, joint.value)
    assert residual_nce(e_data, e_noise).value == logistic(e_data, e_noise).value


def test_ranking_nce_recovers_the_log_density_up_to_a_constant():
    # every pair of noise values, weighted as it is drawn: the exact expectation with K = 2
    first, second = torch.cartesian_prod(NOISE, NOISE).T
    noise = torch.stack([first, second], 1)  # (100, 2)
    data, rows = torch.cartesian_prod(DATA, torch.arange(100)).T

    def loss(table: Tensor) -> Tensor:
        return ranking_nce(
            table[data], table[noise[rows]], log_q_data=Q.log()[data], log_q_noise=Q.log()[noise[rows]]
        ).value

    energies = minimise(loss)
    torch.testing.assert_close(energies - energies[0], P.log()[0] - P.log(), atol=1e-6, rtol=0)


def test_ranking_nce_by_hand_and_blind_to_a_constant():
    e_data, e_noise = torch.tensor([0.0]), torch.tensor([[0.0, math.log(2.0)]])
    zeros = {"log_q_data": torch.zeros(1), "log_q_noise": torch.zeros(1, 2)}
    loss = ranking_nce(e_data, e_noise, **zeros)
    assert loss.value.item() == pytest.approx(math.log(2.5))
    assert loss.terms["accuracy"].item() == 0.0, "a tie is not a datum ranked first"
    shifted = ranking_nce(e_data + 5, e_noise + 5, **zeros)
    torch.testing.assert_close(shifted.value, loss.value)
    assert ranking_nce(e_data - 1, e_noise, **zeros).terms["accuracy"].item() == 1.0


def test_hand_value_accuracy_and_terms_of_nce():
    log_q = torch.full((2,), math.log(0.5))
    loss = nce(log_q * -2, log_q * -2, log_q_data=log_q, log_q_noise=log_q, n_noise=3.0)
    odds = 2 * math.log(2) - math.log(2) + math.log(3)  # E + log q + log nu = log 6
    assert loss.value.item() == pytest.approx(math.log1p(math.exp(odds)) + 3 * math.log1p(math.exp(-odds)), rel=1e-6)
    assert loss.terms["accuracy"].item() == pytest.approx(0.75), "all called noise: the noise's share of the weight"
    assert loss.terms["e_data"].item() == pytest.approx(2 * math.log(2)), "the terms are of E, not of the log-odds"


@pytest.mark.parametrize("objective", ["nce", "residual", "ranking"])
def test_gradient_signs_and_stability_at_ten_thousand(objective):
    e_data = torch.tensor([1e4, -1e4, 0.3], requires_grad=True)
    e_noise = torch.tensor([[1e4, 1.0], [-1e4, 1.0], [0.1, 0.2]], requires_grad=True)
    if objective == "ranking":
        loss = ranking_nce(e_data, e_noise, log_q_data=torch.zeros(3), log_q_noise=torch.zeros(3, 2))
    elif objective == "nce":
        loss = nce(e_data, e_noise.flatten(), log_q_data=torch.zeros(3), log_q_noise=torch.zeros(6))
    else:
        loss = residual_nce(e_data, e_noise.flatten())
    loss.value.backward()
    assert torch.isfinite(loss.value) and torch.isfinite(e_data.grad).all() and torch.isfinite(e_noise.grad).all()
    assert (e_data.grad >= 0).all() and e_data.grad.sum() > 0
    assert (e_noise.grad <= 0).all() and e_noise.grad.sum() < 0


def test_shapes_that_would_broadcast_are_refused():
    one, two = torch.zeros(3), torch.zeros(3, 2)
    with pytest.raises(ValueError, match="log_q_data belongs to e_data"):
        nce(one, one, log_q_data=torch.zeros(3, 1), log_q_noise=one)
    with pytest.raises(ValueError, match="log_q_noise belongs to e_noise"):
        nce(one, one, log_q_data=one, log_q_noise=torch.zeros(1))
    with pytest.raises(ValueError, match="n_noise"):
        nce(one, one, log_q_data=one, log_q_noise=one, n_noise=0)
    with pytest.raises(ValueError, match=r"expected shape \(3, K\), got \(3,\)"):
        ranking_nce(one, one, log_q_data=one, log_q_noise=one)
    with pytest.raises(ValueError, match="log_q_noise belongs to e_noise"):
        ranking_nce(one, two, log_q_data=one, log_q_noise=one)


def test_gradcheck_in_double_precision():
    e = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    q = torch.randn(3, 4, dtype=torch.float64)

    def binary(e: Tensor) -> Tensor:
        return nce(e[0], e[1], log_q_data=q[0], log_q_noise=q[1], n_noise=2.0).value

    def ranking(e: Tensor) -> Tensor:
        return ranking_nce(e[0], e[1:].T, log_q_data=q[0], log_q_noise=q[1:].T).value

    assert torch.autograd.gradcheck(binary, e)
    assert torch.autograd.gradcheck(ranking, e)
