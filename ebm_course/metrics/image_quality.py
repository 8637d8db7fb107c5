"""How good samples of images are, by four numbers, each with the way it can be deceived. Knows tensors alone.

None is to be read alone. Print beside them what a reader can judge them by: held-out images against other held-out
images, one Gaussian a class, class means, images of lower contrast, noise. Features and logits come from a *separate*
classifier, one that no sample was drawn from, and are compared with images that neither was trained on.

With a classifier of one's own the first two are the Frechet classifier distance and the classifier score. FID and IS
are their values for one net, Inception, trained on one data set: by those names they may be called for it alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from ebm_course.ambient import usual_settings
from ebm_course.checks import check_count
from ebm_course.metrics.inputs import check_real, power_of_two, rows_of_logits, vectors

PAIRS = 4_000_000  # in a block, of 8 bytes
SLACK = 1e-12  # of squared lengths, by far more than products round in float64


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    """d^2 = |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of the means and covariances of two sets of features.

    How it deceives: two sets of one law are apart by an amount that falls with their size (in 32 features, real digits
    against real digits: 101, 41 and 24 at 90, 180 and 360 images). Compare values of equal sizes only. It sees means
    and covariances in these features and nothing else: one Gaussian a class comes close to a trained model.

    Args:
        features_a: of one set of images (N, D), N > D: fewer rows have no covariance of full rank.
        features_b: of the other (M, D), M > D.

    Returns:
        The distance, 0 or larger up to rounding, in squared units of the features; the same either way round.

    Raises:
        ValueError: not two sets of one kind of features, too few rows, or not finite.

    Source: Dowson and Landau (1982); for images Heusel et al. (2017), Eq. 6. Computed by torchmetrics in float64.
    Departure: any features; their common mean is taken away first, which keeps the digits of the covariances.

    >>> a = torch.tensor([[-1.0], [1.0]])  # mean 0, variance 2
    >>> round(frechet_distance(a, 2 * a + 3), 3)  # 3^2 + (sqrt 8 - sqrt 2)^2
    11.0
    """
    check_real(features_a=features_a, features_b=features_b)
    if features_a.ndim != 2 or features_a.shape[1:] != features_b.shape[1:]:
        raise ValueError(
            f"two sets of features (N, D), (M, D) from one net were expected: got {tuple(features_a.shape)} and "
            f"{tuple(features_b.shape)}. Flatten what the net returns, with .flatten(1)."
        )
    least = features_a.shape[1] + 1
    a, b = (vectors(name, x, least=least).cpu() for name, x in (("features_a", features_a), ("features_b", features_b)))
    shift = torch.cat([a, b]).mean(0)
    with usual_settings():
        metric = FrechetInceptionDistance(feature=_AsTheyAre(a.shape[1]))
        metric.update(a - shift, real=True)
        metric.update(b - shift, real=False)
        return float(metric.compute())


class _AsTheyAre(nn.Module):
    """Stands where torchmetrics expects the net that makes features of images."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.num_features = n_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def classifier_score(logits: Tensor) -> float:
    """exp of the mean over images of KL(p(y | x) || p(y)), with p(y) the mean of p(y | x) over the same images.

    How it deceives: it asks for confident predictions of all classes and sees no image. The mean of each class (10
    images) scores higher than real digits, and what a plain classifier is driven to by Langevin steps scores the
    largest value there is. Near that value it tells nothing apart. Few images of K classes cannot reach K.

    Args:
        logits: of a separate classifier (N, K) for the samples.

    Returns:
        1 (every prediction the same) to K (all certain, all classes alike often).

    Raises:
        ValueError: not (N, K) with N > 0 and K > 1, or not finite.

    Source: Salimans et al. (2016), Section 4. Departure: any classifier, and all images at once, not ten parts.

    >>> round(classifier_score(100 * torch.eye(4)), 3)  # four certain predictions of four classes
    4.0
    """
    log_p = rows_of_logits("logits", logits).log_softmax(1)  # (N, K)
    log_marginal = log_p.logsumexp(0) - math.log(len(log_p))
    return float((log_p.exp() * (log_p - log_marginal)).sum(1).mean().exp())


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3) -> dict[str, float]:
    """Shares of fakes among the real ones, and of real ones among the fakes; to be among is to be in a ball.

    Each point of a set has a ball as large as the distance to its k-th neighbour in that set. Precision falls with
    samples unlike any image, recall with images that no sample is like.

    How it deceives: copies of training images have a precision of 1, and so may the few means of classes, whose recall
    is near 0. A single far point has a ball that holds everything: in features of a net that learned ImageNet,
    uniform noise has a precision of 0.99 among photographs. Both rise with k and depend on N and M: even two halves
    of one data set stay below 1.

    Args:
        real: features or images (N, *S), N > k.
        fake: of samples (M, *S), M > k.
        k: which neighbour reaches the edge of a ball, not counting the point itself.

    Returns:
        ``precision`` and ``recall``, 0 to 1. The time grows as (N + M)^2, the memory as N + M.

    Raises:
        ValueError: too few rows, rows of different shapes, or not finite.

    Source: Kynkäänniemi et al. (2019), Eqs. 1 and 2.

    >>> line = torch.arange(6.0)[:, None]
    >>> precision_recall(line, line[:3] + 0.5, k=1)  # fakes lie among the real ones, and only in their first half
    {'precision': 1.0, 'recall': 0.6666666666666666}
    """
    check_count("k", k, least=1)
    _check_one_space(("real", real), ("fake", fake))
    r, f = vectors("real", real, least=k + 1), vectors("fake", fake, least=k + 1)
    unit = power_of_two(r, f)
    r, f = r / unit, f / unit
    r, f = r - r.mean(0), f - r.mean(0)  # near the origin products round least
    return {"precision": _share_inside(f, r, _radii(r, k)), "recall": _share_inside(r, f, _radii(f, k))}


def nearest_ratio(fake: Tensor, train: Tensor, held_out: Tensor) -> float:
    """Mean distance of samples to their nearest training image over that of held-out images to theirs.

    How it deceives: below 1 the samples are copies or nearly so, but above 1 they may be anything, noise too, and half
    copies and half noise give what you like. Distances of pixels follow contrast: grey images are near to everything.

    Args:
        fake: images of samples, or features of them (N, *S), N > 0.
        train: of training images (T, *S), T > 0.
        held_out: of images from the same source that were not trained on (M, *S), M > 0.

    Returns:
        0 for copies, about 1 for samples as new as held-out images. It does not depend on N and M, and does on T.

    Raises:
        ValueError: rows of different shapes, not finite, or every held-out image is a training image.

    >>> train = torch.tensor([[0.0], [10.0]])
    >>> nearest_ratio(train + 0.5, train, train + 2.0)
    0.25
    """
    _check_one_space(("fake", fake), ("train", train), ("held_out", held_out))
    f, t, h = (vectors(n, x, least=1) for n, x in (("fake", fake), ("train", train), ("held_out", held_out)))
    unit = power_of_two(f, t, h)
    f, t, h = f / unit, t / unit, h / unit
    centre = t.mean(0)  # near the origin products round least
    f, t, h = f - centre, t - centre, h - centre
    apart = float(_to_nearest(h, t).mean())
    if apart == 0:
        raise ValueError("held-out images are not those trained on: got training images only. Pass other ones.")
    return float(_to_nearest(f, t).mean()) / apart


def _check_one_space(*sets: tuple[str, Tensor]) -> None:
    check_real(**dict(sets))
    if len({x.shape[1:] for _, x in sets}) > 1:
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in sets)
        raise ValueError(f"rows of one shape were expected: got {shapes}. Take features of all from one net.")


def _blocks(x: Tensor, n: int) -> tuple[Tensor, ...]:
    return x.split(max(1, PAIRS // n))


def _squares(a: Tensor, b: Tensor, *, slack: float = 0.0) -> Tensor:
    """Squared distances (N, M) by matrix products, less ``slack`` times the squared lengths of the pair."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    return lengths.mul_(1 - slack).addmm_(a, b.T, alpha=-2)


def _radii(x: Tensor, k: int) -> Tensor:
    """Squared distance of each row to the k-th of the others (N,): the point itself is the first of all, at 0."""
    return torch.cat([_squares(rows, x).topk(k + 1, largest=False).values[:, -1] for rows in _blocks(x, len(x))])


def _share_inside(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    """Share of points in a ball; one on an edge counts, so what products round away must not put it outside."""
    blocks = _blocks(points, len(centres))
    return int(torch.cat([(_squares(rows, centres, slack=SLACK) <= radii).any(1) for rows in blocks]).sum()) / len(
        points
    )


def _to_nearest(x: Tensor, others: Tensor) -> Tensor:
    """Distance of each row to the nearest other (N,): which one by matrix products, how far by subtraction."""
    nearest = torch.cat([_squares(rows, others).argmin(1) for rows in _blocks(x, len(others))])
    return (x - others[nearest]).norm(dim=1)
