r"""A mixture of Gaussians as an energy: its density, its normaliser and its samples are all exact.

.. math:: E(x) = c - \log \sum_k w_k \, \mathcal N(x;\, \mu_k, \Sigma_k), \qquad \log Z = -c

The constant c is free: the model p stays the same while Z moves, which is what noise contrastive estimation has to
find. It knows no data, sampler or loss.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ebm_course.checks import check_dtype


class GaussianMixture(nn.Module):
    """E(x), (N,), of points (N, d).

    Args:
        means: (K, d); copied.
        covariances: (K, d, d), or (d, d) for one shared by all; a number for variances alike in every direction.
        weights: (K,), above 0; scaled to sum to 1. By default all alike.
        constant: c = -log Z, nats.

    ``logits`` (K,), ``means`` (K, d), ``whitening`` (K, d, d) and ``constant`` () are its parameters. The lower
    triangle W of ``whitening`` gives the covariance as the inverse of W^T W.

    Raises:
        ValueError: means are no real numbers, shapes do not fit, a weight is not positive, or a covariance is not
            positive definite.

    >>> energy = GaussianMixture(torch.tensor([[0.0, 0.0]]), constant=1.0)
    >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> [round(e, 3) for e in energy(x).tolist()]  # 1 + log(2 pi) + |x|^2 / 2
    [2.838, 15.338]
    >>> [round(p, 3) for p in energy.log_prob(x).tolist()]  # the constant drops out
    [-1.838, -14.338]
    """

    def __init__(
        self, means: Tensor, covariances: Tensor | float = 1.0, weights: Tensor | None = None, *, constant: float = 0.0
    ):
        super().__init__()
        if not isinstance(means, Tensor) or not means.is_floating_point():
            got = means.dtype if isinstance(means, Tensor) else f"a {type(means).__name__}"
            raise ValueError(f"means are a tensor of real numbers: got {got}. Pass torch.as_tensor(means).float().")
        if means.ndim != 2 or 0 in means.shape:
            raise ValueError(f"means of K components in d dimensions are (K, d): got {tuple(means.shape)}.")
        k = len(means)
        weights = means.new_ones(k) if weights is None else weights.to(means)
        if weights.shape != (k,) or not bool((weights > 0).all()):
            raise ValueError(f"weights are ({k},) and above 0: got {tuple(weights.shape)}. Leave empty components out.")
        self.logits = nn.Parameter((weights / weights.sum()).log())
        self.means = nn.Parameter(means.detach().clone())
        self.whitening = nn.Parameter(_whitening(covariances, means))
        self.constant = nn.Parameter(means.new_tensor(constant))

    def forward(self, x: Tensor) -> Tensor:
        d = self.means.shape[1]
        if x.ndim != 2 or x.shape[1] != d:
            raise ValueError(f"this mixture reads points (N, {d}): got shape {tuple(x.shape)}.")
        check_dtype(x, self.means.dtype, mixes=True)
        white = self.whitening.tril()
        z = torch.einsum("kij,nkj->nki", white, x[:, None] - self.means)  # (N, K, d)
        log_det = white.diagonal(dim1=1, dim2=2).abs().log().sum(dim=1)
        log_p = log_det - 0.5 * (z.square().sum(dim=2) + d * math.log(2 * math.pi))  # (N, K)
        return self.constant - torch.logsumexp(self.logits.log_softmax(0) + log_p, dim=1)

    def log_z(self) -> Tensor:
        """log Z = -c, a scalar in nats."""
        return -self.constant

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) = -E(x) - log Z, (N,); the constant drops out."""
        return -self(x) - self.log_z()

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n independent exact draws (n, d)."""
        k = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)
        means = self.means[k]
        z = torch.randn(means.shape, generator=generator, device=means.device, dtype=means.dtype)[..., None]
        return means + torch.linalg.solve_triangular(self.whitening.tril()[k], z, upper=False)[..., 0]


def _whitening(covariances: Tensor | float, means: Tensor) -> Tensor:
    """Lower triangles W (K, d, d) with W Sigma W^T = 1."""
    (k, d), shared = means.shape, torch.as_tensor(covariances).detach().to(means)
    eye = torch.eye(d, device=means.device, dtype=means.dtype)
    shared = shared * eye if shared.ndim == 0 else shared
    if shared.shape not in ((d, d), (k, d, d)):
        raise ValueError(f"covariances are a number, ({d}, {d}) or ({k}, {d}, {d}): got {tuple(shared.shape)}.")
    root, failed = torch.linalg.cholesky_ex(shared.expand(k, d, d))
    if bool(failed.any()) or not torch.allclose(shared, shared.mT):
        raise ValueError("a covariance is symmetric and positive definite: this one is not. Add a multiple of eye(d).")
    return torch.linalg.solve_triangular(root, eye.expand(k, d, d), upper=False)
