"""How well a classifier's numbers tell its own data from foreign images. Knows scores, not what made the images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ebm_course.metrics.inputs import check_real, rows_of_logits, vectors
from ebm_course.metrics.separation import auroc


def familiarity(logits: Tensor, gradient: Tensor | None = None) -> dict[str, Tensor]:
    """Three scores of each image, high for what looks like the data: logsumexp, max probability, approximate mass.

    Args:
        logits: of the classifier (N, K); their logsumexp is log p(x) up to a constant where it is an energy.
        gradient: of log p(x) for x (N, *S), to add the third score.

    Returns:
        ``logsumexp`` (N,), nats. ``max_probability`` (N,), the log of the largest, exact where it rounds to 1.
        ``approximate_mass`` (N,) where a gradient was given, -|grad_x log p(x)|: typical sets are flat, a single point
        of high density is not.

    Raises:
        ValueError: other shapes, not finite, or a gradient with other rows.

    Source: Grathwohl et al. (2020), Section 5.3; max probability from Hendrycks and Gimpel (2017).

    >>> {name: score.tolist() for name, score in familiarity(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).items()}
    {'logsumexp': [0.6931471805599453], 'max_probability': [-0.6931471805599453], 'approximate_mass': [-5.0]}
    """
    f = rows_of_logits("logits", logits)
    top, best = f.max(1, keepdim=True)
    others = f.scatter(1, best, -torch.inf).logsumexp(1, keepdim=True)
    scores = {"logsumexp": f.logsumexp(1), "max_probability": logsigmoid(top - others)[:, 0]}
    if gradient is not None:
        check_real(gradient=gradient)
        if gradient.ndim == 0 or len(gradient) != len(f):
            raise ValueError(
                f"the gradient has a row for each row of logits: expected {len(f)}, got "
                f"{len(gradient) if gradient.ndim else 'one number'}. "
                f"Take both from the same images."
            )
        scores["approximate_mass"] = -vectors("gradient", gradient, least=1).norm(dim=1)
    return scores


def out_of_distribution(inside: Mapping[str, Tensor], outside: Mapping[str, Tensor]) -> dict[str, float]:
    """AUROC = P(score inside > score outside) + 1/2 P(equal), for each score.

    How it deceives: which images are outside decides it. A model near 1 on noise and shuffled pixels can be at chance
    on mixes of two images; and flat images have a high density under many models, so that a value below 1/2 is a
    finding, not a fault of the sign. Print all sets.

    Args:
        inside: name -> scores of held-out data (N,), high for what looks like the data, as of :func:`familiarity`.
        outside: the same names -> scores of foreign images (M,).

    Returns:
        name -> AUROC, 0 to 1; 1/2 is chance.

    Raises:
        ValueError: other names, or scores that are not (N,), N > 0, and finite.

    Source: Hendrycks and Gimpel (2017), Section 2.

    >>> out_of_distribution({"logsumexp": torch.tensor([2.0, 3.0])}, {"logsumexp": torch.tensor([1.0, 2.0])})
    {'logsumexp': 0.875}
    """
    for side, given in (("inside", inside), ("outside", outside)):
        if not isinstance(given, Mapping):
            raise TypeError(f"{side} maps names to scores: got a {type(given).__name__}. Pass familiarity(...).")
    if set(inside) != set(outside):
        raise ValueError(
            f"both sides hold the same scores: got {sorted(inside)} inside and {sorted(outside)} outside. "
            f"Compute both with or both without a gradient."
        )
    for side, scores in (("inside", inside), ("outside", outside)):
        for name, score in scores.items():
            check_real(**{f"{side}[{name!r}]": score})
            if score.ndim != 1 or len(score) == 0 or not bool(torch.isfinite(score).all()):
                raise ValueError(
                    f"{side}[{name!r}] holds finite scores (N,), N > 0: got shape {tuple(score.shape)}, "
                    f"{int(score.isfinite().sum())} finite. Look for the net that diverged."
                )
    return {name: float(auroc(outside[name], inside[name])) for name in inside}
