"""What chains did on their way: frozen, toggling, moved. Knows paths of states, not the sampler that made them."""

from __future__ import annotations

from torch import Tensor

from ebm_course.checks import check_count, in_double
from ebm_course.metrics.inputs import check_real, finite


def moves(path: Tensor, *, window: int = 1) -> dict[str, float]:
    """Shares of chains that froze or toggle, the share of steps that moved, and how many entries moved.

    A greedy attack ends in one of two ways: it freezes at a fixed point, or it toggles, back to a state it has
    already left. A chain that does neither was still on its way.

    Args:
        path: every state visited (T + 1, N, *S), T > 0; tokens or numbers, compared exactly.
        window: steps without a move that count as frozen, 1 to T; 1 suits a deterministic attack without memory.

    Returns:
        ``frozen`` and ``toggling``: shares of chains (a frozen chain does not toggle); ``move_rate``: share of steps
        that changed the state, the acceptance rate of a sampler that proposes a new state each time;
        ``entries_moved``: mean number of entries that differ between start and end; ``entries_touched``: mean number
        that ever differed from the start.

    Raises:
        ValueError: no step or no chain in the path, a number in it that is not finite, or a window outside 1 to T.

    >>> import torch
    >>> moves(torch.tensor([[[1], [5]], [[2], [6]], [[1], [6]]]))  # two chains: 1 2 1 toggles, 5 6 6 freezes
    {'frozen': 0.5, 'toggling': 0.5, 'move_rate': 0.75, 'entries_moved': 0.5, 'entries_touched': 1.0}
    """
    check_real(path=path)
    window = check_count("window", window)
    if path.ndim < 3 or len(path) < 2 or path.shape[1] == 0 or not 1 <= window < len(path):
        raise ValueError(
            f"a path (T + 1, N, *S) with T, N > 0 and a window of 1 to T were expected: got shape {tuple(path.shape)} "
            f"and window {window}. Sample with keep_path=True."
        )
    if path.is_floating_point():
        finite("the path", path)  # a NaN differs from itself: a chain that froze there would count as moving
    path = path.flatten(2)  # (T + 1, N, D)
    moved = (path[1:] != path[:-1]).any(2)  # (T, N)
    frozen = ~moved[-window:].any(0)  # (N,)
    moves_later = moved.flip(0).cumsum(0).flip(0) > 0  # (T, N), leaves this state before the end
    returned = ((path[:-1] == path[-1]).all(2) & moves_later).any(0)  # (N,)
    differs = path != path[0]  # (T + 1, N, D)
    return {
        "frozen": _mean(frozen),
        "toggling": _mean(returned & ~frozen),
        "move_rate": _mean(moved),
        "entries_moved": _mean(differs[-1].sum(1)),
        "entries_touched": _mean(differs.any(0).sum(1)),
    }


def _mean(x: Tensor) -> float:
    return float(in_double(x).mean())
