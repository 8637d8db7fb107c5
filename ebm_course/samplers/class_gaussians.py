r"""One Gaussian a class, with its whole covariance: what is known of the images before any net, and where chains start.

.. math:: x \mid y \sim \mathcal N(\mu_y, \Sigma_y), \qquad x = \mu_y + L_y z, \quad L_y L_y^\top = \Sigma_y

The mean and covariance of a class are those of its rows; a small multiple of the identity makes every covariance
positive definite, also where pixels never change or rows are fewer than pixels.
It holds tensors on one device and knows neither energy nor sampler.
Source: Yang and Ji (2021), JEM++, the informative start of its chains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_course.batch import ranks_in_class
from ebm_course.checks import check_bounds, check_count, check_generator, check_number, in_double
from ebm_course.processors import usable_memory

MARGIN = 1e-3
"""How far a state may leave the bounds by rounding."""


@dataclass(frozen=True)
class ClassGaussians:
    """K Gaussians of states (*S) with D entries; made by :meth:`fit`.

    ``means`` (K, *S), ``factors`` (K, D, D) with the Cholesky factors L_y, ``counts`` (K,) the rows of each class,
    ``bounds`` what samples are clamped to, or None.

    >>> x, y = 2 * torch.rand(60, 1, 2, 2, generator=torch.Generator().manual_seed(0)) - 1, torch.arange(60) % 3
    >>> gaussians, generator = ClassGaussians.fit(x, y, 3), torch.Generator().manual_seed(0)
    >>> labels = gaussians.draw_labels(10, generator=generator)
    >>> gaussians.sample(labels, generator=generator).shape, gaussians.log_prob(x, y).shape
    (torch.Size([10, 1, 2, 2]), torch.Size([60]))
    """

    means: Tensor
    factors: Tensor
    counts: Tensor
    bounds: tuple[float, float] | None = None

    @classmethod
    def fit(
        cls,
        x: Tensor,
        y: Tensor,
        n_classes: int,
        *,
        jitter: float = 1e-4,
        bounds: tuple[float, float] | None = (-1.0, 1.0),
    ) -> ClassGaussians:
        """Mean and covariance of the rows of each class; no pixel is treated as independent of another.

        Args:
            x: states (M, *S), real-valued and finite; not changed. D^2 numbers a class are kept: 38 MB at 32 x 32 x 3.
            y: labels (M,), int64 of 0 to ``n_classes`` - 1.
            n_classes: K, 1 or more.
            jitter: above 0, squared unit of x, added to every variance.
            bounds: low and high of the states, which samples are clamped to; None for states without any.

        Raises:
            TypeError: integer states, whose means would be rounded.
            ValueError: states have no axis but M, are not finite, leave the bounds or need more memory than there is,
                images (M, C, H, W) have no pixel below 0 though the bounds reach there, as those of [0, 1], a class has
                no rows, labels are of another shape or range, jitter is not positive or too small to be added
                to these variances, or the bounds hold no interval.

        Source: the maximum likelihood covariance, 1 / n, plus jitter 1e-4, as in the code of Yang and Ji (2021).
        """
        check_count("n_classes", n_classes, least=1)
        check_bounds(bounds)
        _check_states(x, n_classes, bounds)
        _check_labels(y, n_classes, len(x))
        jitter = check_number("jitter", jitter)
        if not 0 < jitter < torch.inf:
            raise ValueError(f"jitter is added to variances: expected a number above 0, got {jitter}. Pass 1e-4.")
        counts = y.bincount(minlength=n_classes)
        if not bool(counts.all()):
            empty = [k for k in range(n_classes) if not counts[k]]
            raise ValueError(f"every class needs rows to be fitted to: got none of {empty}. Pass data of all classes.")
        fitted = [_mean_and_factor(in_double(x[y == k].flatten(1)), jitter) for k in range(n_classes)]
        means, factors = (torch.stack(parts).to(x) for parts in zip(*fitted, strict=True))
        return cls(means.view(n_classes, *x.shape[1:]), factors, counts, bounds)

    def draw_labels(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n labels (n,), drawn by the share of rows that each class had."""
        check_generator(generator, self.means)
        check_count("n", n)
        if n == 0:
            return self.counts.new_zeros(0)
        shares = self.counts.to(torch.promote_types(self.means.dtype, torch.float32))  # float16 ends at 65,504
        return torch.multinomial(shares, n, replacement=True, generator=generator)

    def sample(self, y: Tensor, *, generator: torch.Generator) -> Tensor:
        """One state a label: x (N, *S) for labels y (N,), clamped to the bounds.

        Raises:
            ValueError: labels are of another shape or range.
        """
        check_generator(generator, self.means)
        _check_labels(y, len(self.means))
        z = torch.randn(
            len(y), self.factors.shape[1], generator=generator, device=self.means.device, dtype=self.means.dtype
        )
        by_class, where = self._by_class(y, z)
        with torch.autocast(z.device.type, enabled=False):  # products of 16 bits are draws of another law
            moved = (by_class @ self.factors.mT)[where]
        x = self.means[y] + moved.view(len(y), *self.means.shape[1:])
        return x if self.bounds is None else x.clamp(*self.bounds)

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """log N(x; mean, covariance of class y), (N,) in nats: the density before any clamping to the bounds.

        In float32 where the Gaussians have 16 bits.

        Raises:
            ValueError: states or labels are of another shape, or labels of another range.
        """
        if not isinstance(x, Tensor) or x.is_complex() or x.shape[1:] != self.means.shape[1:]:
            expected = ("N", *self.means.shape[1:])
            got = f"{tuple(x.shape)} of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise ValueError(f"states have shape {expected}: got {got}. Pass real states like those fitted to.")
        _check_labels(y, len(self.means), len(x))
        means, factors = (t.to(torch.promote_types(t.dtype, torch.float32)) for t in (self.means, self.factors))
        by_class, where = self._by_class(y, (x.to(means) - means[y]).flatten(1))
        z = torch.linalg.solve_triangular(factors, by_class.mT, upper=False).mT[where]  # (N, D)
        log_det = factors.diagonal(dim1=1, dim2=2).log().sum(dim=1)[y]
        return -z.square().sum(dim=1) / 2 - log_det - z.shape[1] * math.log(2 * math.pi) / 2

    def _by_class(self, y: Tensor, rows: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Rows (N, D) as (K, M, D), padded by zeros, and where each of them stands: one product a class."""
        k = len(self.means)
        rank = ranks_in_class(y, k)
        most = int(y.bincount(minlength=k).max())  # one wait for the device
        grouped = rows.new_zeros(k, most, rows.shape[1])
        grouped[y, rank] = rows
        return grouped, (y, rank)


def _mean_and_factor(rows: Tensor, jitter: float) -> tuple[Tensor, Tensor]:
    mean = rows.mean(dim=0)
    away = rows - mean
    covariance = away.T @ away / len(rows)
    covariance.diagonal().add_(jitter)
    try:
        return mean, torch.linalg.cholesky(covariance)
    except torch.linalg.LinAlgError as error:
        raise ValueError(
            f"jitter is lost beside variances up to {float(covariance.diagonal().max()):.3g}: expected a larger one, "
            f"got {jitter}. Pass 1e-4 for images in [-1, 1]."
        ) from error


def _check_states(x: Tensor, n_classes: int, bounds: tuple[float, float] | None) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"states are a tensor (M, *S): got a {type(x).__name__}. Pass torch.as_tensor(x).")
    if x.ndim < 2:
        raise ValueError(f"states have shape (M, *S), got {tuple(x.shape)}: use x[:, None] for points on a line.")
    if not x.is_floating_point():
        raise TypeError(f"Gaussians are fitted to real-valued states, got {x.dtype}: pass images as float32.")
    needed = 8 * n_classes * x.shape[1:].numel() ** 2  # in float64
    if x.device.type == "cpu" and needed > usable_memory():
        raise ValueError(
            f"whole covariances of {n_classes} classes ask for {needed / 1e9:,.0f} GB of memory, expected what fits "
            f"into {usable_memory() / 1e9:,.0f} GB. Make the images smaller than {tuple(x.shape[1:])}."
        )
    if not bool(x.isfinite().all()):
        bad = int((~x.isfinite()).sum())
        raise ValueError(f"states are finite numbers: got {bad} of {x.numel()} that are not. Leave their rows out.")
    if bounds is not None and len(x):
        low, high = float(x.detach().min()), float(x.detach().max())
        if low < bounds[0] - MARGIN or high > bounds[1] + MARGIN:  # every sample would be clamped to a face
            raise ValueError(
                f"states lie in the bounds that samples are clamped to: expected {bounds}, got {low:.6g} to "
                f"{high:.6g}. Bring them there, or pass the bounds of these states."
            )
        if x.ndim == 4 and bounds[0] < 0 <= low and high > 0:  # the rule of ``tasks.image_checks``
            raise ValueError(
                f"images lie in the bounds {bounds}: got none below 0, from {low:g} to {high:g}, as of the range "
                f"[0, 1]. Use 2 * x - 1, or pass the bounds of these images."
            )


def _check_labels(y: Tensor, n_classes: int, n: int | None = None) -> None:
    expected = f"({'N' if n is None else n},)"
    if not isinstance(y, Tensor):
        raise TypeError(f"labels are a tensor {expected}: got a {type(y).__name__}. Pass torch.as_tensor(y).")
    if y.ndim != 1 or y.dtype != torch.int64 or (n is not None and len(y) != n):
        got = f"{tuple(y.shape)} of {y.dtype}"
        raise ValueError(f"labels have shape {expected} of torch.int64: got {got}. Pass y.long(), one label a row.")
    if len(y) and bool(((y < 0) | (y >= n_classes)).any()):
        raise ValueError(
            f"labels are 0 to {n_classes - 1}: got {int(y.min())} to {int(y.max())}. Number the classes from 0."
        )
