r"""How an equation is scored, strictly, and what keeps the score honest.

The truth is recomputed from the operands of the equation itself, so the score can lie in two ways. A loose parse
gives full marks to text that is no equation: here every token is read by its position and a malformed row scores 0.
And trivial equations (all zeros) or recited training rows are correct: so correctness is reported beside the share in
the data's support, the share of distinct rows and, where training rows are given, the share recited.
Source: Yin (2023), Section 3.1 (correctness). Departure: strict parse by position, and the other six figures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebm_course.checks import check_count, check_tokens

# Ids as laid out in tasks/arithmetic.VOCABULARY: unk pad bos eos 0-9 + =
BEGIN_ID, END_ID, ZERO_ID, PLUS_ID, EQUALS_ID = 2, 3, 4, 14, 15


def well_formed(x: Tensor, n_digits: int) -> Tensor:
    """Bool (N,): bos, +, = and eos at their places and digits everywhere else.

    Raises:
        ValueError: x is not (N, 3 d + 5), or d is no whole number of 1 or more.

    >>> well_formed(torch.tensor([[2, 8, 14, 9, 15, 4, 4, 3], [2, 8, 8, 9, 15, 4, 4, 3]]), 1)  # "4+5=00", "445=00"
    tensor([ True, False])
    """
    d = check_count("n_digits", n_digits, least=1)
    if x.ndim != 2 or x.shape[1] != 3 * d + 5:
        raise ValueError(f"equations of {d} digits have shape (N, {3 * d + 5}), got {tuple(x.shape)}.")
    signs = (x[:, 0] == BEGIN_ID) & (x[:, d + 1] == PLUS_ID) & (x[:, 2 * d + 2] == EQUALS_ID) & (x[:, -1] == END_ID)
    digits = torch.cat([x[:, 1 : d + 1], x[:, d + 2 : 2 * d + 2], x[:, 2 * d + 3 : -1]], dim=1)
    return signs & ((digits >= ZERO_ID) & (digits < ZERO_ID + 10)).all(dim=1)


def true_answer(x: Tensor, n_digits: int) -> Tensor:
    """The digits (N, d + 1), 0 to 9, of a + b by column addition with carry; meaningless where not well formed.

    >>> true_answer(torch.tensor([[2, 12, 14, 11, 15, 4, 4, 3]]), 1)  # of "8+7=00"
    tensor([[1, 5]])
    """
    d = n_digits
    a, b = x[:, 1 : d + 1] - ZERO_ID, x[:, d + 2 : 2 * d + 2] - ZERO_ID
    carry, columns = torch.zeros_like(a[:, 0]), []
    for column in range(d - 1, -1, -1):
        total = a[:, column] + b[:, column] + carry
        columns.append(total % 10)
        carry = total // 10
    return torch.stack([carry, *reversed(columns)], dim=1)


def correctness(x: Tensor, n_digits: int) -> Tensor:
    """Float (N,): share of the answer's d + 1 digits that are right; 0 for a malformed row.

    >>> from ebm_course.tasks.arithmetic import Format
    >>> correctness(Format(1).encode(["8+7=15", "8+7=05", "8+7=00"]), 1)
    tensor([1.0000, 0.5000, 0.0000])
    """
    formed = well_formed(x, n_digits)
    answer = x[:, 2 * n_digits + 3 : -1] - ZERO_ID
    return (answer == true_answer(x, n_digits)).float().mean(dim=1) * formed


def in_support(x: Tensor, n_digits: int) -> Tensor:
    """Bool (N,): well formed, and both operands lead with a digit of at least 1, as every row of the data does.

    >>> from ebm_course.tasks.arithmetic import Format
    >>> in_support(Format(1).encode(["8+7=15", "0+0=00"]), 1)
    tensor([ True, False])
    """
    return well_formed(x, n_digits) & (x[:, 1] > ZERO_ID) & (x[:, n_digits + 2] > ZERO_ID)


def distance_to(x: Tensor, rows: Tensor, n_values: int = 16) -> Tensor:
    """Tokens (N,) by which each row of x differs from the nearest of ``rows`` (M, L), M > 0; 0 means recited.

    Raises:
        TypeError: x or rows are not int64.
        ValueError: rows are none or of another length than those of x, or a token is out of the vocabulary.

    >>> distance_to(torch.tensor([[4, 5, 6], [9, 9, 9]]), torch.tensor([[4, 5, 6], [4, 9, 9]]))
    tensor([0, 1])
    """
    for tokens in (x, rows):
        check_tokens(tokens, n_values)
    if len(rows) == 0 or rows.shape[1] != x.shape[1]:
        raise ValueError(
            f"rows are compared token by token with (M, {x.shape[1]}), M > 0: got {tuple(rows.shape)}. "
            f"Pass task.train.x of the same task."
        )
    hot = torch.nn.functional.one_hot(rows, n_values).flatten(1).float()  # (M, L V)
    nearest = [
        (torch.nn.functional.one_hot(part, n_values).flatten(1).float() @ hot.T).amax(dim=1) for part in x.split(1024)
    ]
    return x.shape[1] - torch.cat(nearest).round().long()


def score(x: Tensor, n_digits: int, *, train: Tensor | None = None, x0: Tensor | None = None) -> dict[str, float]:
    """Every figure of a set of equations x (N, 3 d + 5), each a mean over rows.

    Args:
        x: tokens (N, L), N at least 1.
        n_digits: digits d of an operand.
        train: training rows (M, L); adds ``recited``, the share of rows that stand among them, and ``distance``.
        x0: where an attack started from, (N, L); adds ``tokens_moved`` and ``operands_moved`` (tokens a row).

    Returns:
        correctness, exact (whole answer right), valid (well formed), support (leading digits too), honest (exact and
        in support) and unique (distinct rows over N), with the figures the arguments add.

    >>> from ebm_course.tasks.arithmetic import Format
    >>> score(Format(1).encode(["8+7=15", "0+0=00", "8+7=05", "8+7=05"]), 1)  # zeros are exact and not honest
    {'correctness': 0.75, 'exact': 0.5, 'valid': 1.0, 'support': 0.75, 'honest': 0.25, 'unique': 0.75}
    """
    if len(x) == 0:
        raise ValueError("a score is a mean over rows: got no rows, expected 1 or more.")
    right, support = correctness(x, n_digits), in_support(x, n_digits)
    figures = {
        "correctness": right.mean(),
        "exact": (right == 1).float().mean(),
        "valid": well_formed(x, n_digits).float().mean(),
        "support": support.float().mean(),
        "honest": ((right == 1) & support).float().mean(),
        "unique": torch.tensor(len(torch.unique(x, dim=0)) / len(x), device="cpu"),
    }
    if train is not None:
        distance = distance_to(x, train)
        figures |= {"recited": (distance == 0).float().mean(), "distance": distance.float().mean()}
    if x0 is not None:
        if x0.shape != x.shape:
            raise ValueError(
                f"x0 has the start of each row: expected {tuple(x.shape)}, got {tuple(x0.shape)}. Keep their order."
            )
        moved = x != x0
        figures["tokens_moved"] = moved.sum(dim=1).float().mean()
        figures["operands_moved"] = moved[:, : 2 * n_digits + 2].sum(dim=1).float().mean()
    return {name: float(value) for name, value in figures.items()}
