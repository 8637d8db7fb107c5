r"""The best tree of a grammar and the log of the sum over all its trees, exactly, for a batch of different lengths.

.. math:: \beta_{i,j}(a) = \log \sum_{a \to b\,c} \sum_{i < m < j} e^{s(a \to b\,c) + \beta_{i,m}(b) + \beta_{m,j}(c)}

with the scores of words at :math:`\beta_{i,i+1}`. With a maximum in the place of the sums it is the score of the best
tree, whose constituents are those with a gradient of 1. Cubic in the length; cells of one width are filled together.
It knows scores, no words and no net.
Source: Younger (1967), the algorithm of Cocke, Kasami and Younger; inside algorithm: Baker (1979).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.ambient import recording_gradients
from ebm_course.checks import at_least_single, check_finite
from ebm_course.sentence_checks import check_mask


def log_sum_of_trees(words: Tensor, rules: Tensor, scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """log sum over trees of exp(score), (N,), differentiable; minus infinity where the grammar has no tree.

    Args:
        words: scores (N, L, A) of each symbol at each word, minus infinity where it has none; not changed.
        rules: (R, 3) int64, parent, left and right symbol of each; symbol 0 is the root.
        scores: of the rules, (R,).
        mask: (N, L) bool, True from position 0 on; None where all are real.

    Raises:
        TypeError: a part is no tensor.
        ValueError: shapes do not belong together, a symbol is out of 0 to A - 1, or scores are no real numbers.
        FloatingPointError: a sum is NaN or plus infinity (on a CPU; elsewhere the question would wait for the device).

    It is summed in float32 at least: 16 bits have no digits for the sum of a sentence.

    >>> words = torch.zeros(1, 4, 1)  # one symbol, S -> S S: as many trees as there are ways to put brackets, 5
    >>> log_sum_of_trees(words, torch.tensor([[0, 0, 0]]), torch.zeros(1)).exp().round()
    tensor([5.])
    """
    _check(words, rules, scores, mask)
    total = _root(words, rules, scores, mask, best=False)
    if total.device.type == "cpu":
        _check_scores(total.detach())
    return total


def cky(words: Tensor, rules: Tensor, scores: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The best tree of each sentence and its score; of equal ones any.

    Args, Raises: as of :func:`log_sum_of_trees`, and FloatingPointError where a score of a tree is NaN or infinite.

    Returns:
        Symbols (N, L, L) int64: at [n, i, j] that of the constituent of words i to j, both included, -1 where the tree
        has none; and scores (N,), minus infinity where there is no tree, whose symbols are all -1.

    >>> words = torch.tensor([[[-torch.inf, 0.0], [-torch.inf, 0.0]]])
    >>> cky(words, torch.tensor([[0, 1, 1]]), torch.tensor([-0.5]))[0].tolist()
    [[[1, 0], [-1, 1]]]
    """
    _check(words, rules, scores, mask)
    n, length, n_symbols = words.shape
    with recording_gradients():
        spans = at_least_single(words).new_zeros(n, length, length, n_symbols).requires_grad_()
        found = _root(words.detach(), rules, scores.detach(), mask, best=True, spans=spans)
        _check_scores(found.detach())
        (used,) = torch.autograd.grad(torch.where(found.isfinite(), found, 0.0).sum(), spans)
    weight, symbols = used.max(dim=3)
    return torch.where(weight > 0.5, symbols, -1), found.detach()


def _root(
    words: Tensor, rules: Tensor, scores: Tensor, mask: Tensor | None, *, best: bool, spans: Tensor | None = None
) -> Tensor:
    """beta of the root over each whole sentence; ``spans`` (N, L, L, A) is added to every cell, last word included."""
    words, scores = at_least_single(words), at_least_single(scores)
    (n, length, n_symbols), parents = words.shape, rules[:, 0]
    wide = [words if spans is None else words + spans.diagonal(dim1=1, dim2=2).transpose(1, 2)]  # [w]: (N, L - w, A)
    for width in range(1, length):
        starts = length - width
        left = torch.stack([wide[k][:, :starts] for k in range(width)], dim=2)  # (N, starts, splits, A)
        right = torch.stack([wide[width - 1 - k][:, k + 1 : k + 1 + starts] for k in range(width)], dim=2)
        of_rules = scores + left[..., rules[:, 1]] + right[..., rules[:, 2]]  # (N, starts, splits, R)
        cells = []
        for a in range(n_symbols):
            own = of_rules[..., parents == a].flatten(2)  # splits and rules of this parent
            cells.append(_joined(own, best) if own.shape[2] else words.new_full((n, starts), -torch.inf))
        cell = torch.stack(cells, dim=2)
        wide.append(cell if spans is None else cell + spans.diagonal(width, 1, 2).transpose(1, 2))
    whole = torch.stack([cell[:, 0, 0] for cell in wide], dim=1)  # (N, L): the root over the first 1, 2, ... words
    if mask is None:
        return whole[:, -1]
    return whole.gather(1, mask.sum(dim=1, keepdim=True) - 1)[:, 0]


def _joined(own: Tensor, best: bool) -> Tensor:
    """The largest of the last dimension, or the log of its sum, whose gradient is 0 where all are minus infinity."""
    if best:
        return own.max(dim=2).values  # the gradient goes to one of equal ones
    none = own.isneginf().all(dim=2)
    return own.masked_fill(none[..., None], 0.0).logsumexp(dim=2).masked_fill(none, -torch.inf)


def _check_scores(found: Tensor) -> None:
    some = found.masked_fill(found.isneginf(), 0.0)  # what has no tree is no fault
    check_finite("the score of a tree", some, "Look for the scores that diverged.")


def _check(words: Tensor, rules: Tensor, scores: Tensor, mask: Tensor | None) -> None:
    for name, part in (("scores of words", words), ("rules", rules), ("scores of rules", scores)):
        if not isinstance(part, Tensor):
            raise TypeError(f"{name} are a tensor: got a {type(part).__name__}. Pass torch.as_tensor of it.")
    if words.ndim != 3 or 0 in words.shape[1:] or scores.ndim != 1 or rules.shape != (len(scores), 3):
        raise ValueError(
            f"a grammar has scores of words (N, L, A), L and A above 0, rules (R, 3) and their scores (R,): got "
            f"{tuple(words.shape)}, {tuple(rules.shape)} and {tuple(scores.shape)}."
        )
    if rules.dtype != torch.int64 or (len(rules) and not 0 <= int(rules.min()) <= int(rules.max()) < words.shape[2]):
        raise ValueError(
            f"rules are int64 numbers of symbols, 0 to {words.shape[2] - 1}: got {rules.dtype}. "
            f"Give words a score for every symbol."
        )
    if not words.is_floating_point() or not scores.is_floating_point():
        raise ValueError(
            f"scores are real numbers: got {words.dtype} of words and {scores.dtype} of rules. Use .float()."
        )
    check_mask(mask, tuple(words.shape[:2]))
