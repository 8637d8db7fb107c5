from __future__ import annotations

import pytest
import torch

from ebm_course.metrics.moves import moves


def paths(*chains: list[list[int]]) -> torch.Tensor:
    return torch.tensor(chains).transpose(0, 1)  # (T + 1, N, L)


FROZEN = [[1, 1], [2, 1], [2, 2], [2, 2]]
TOGGLING = [[1, 1], [1, 5], [1, 1], [1, 5]]
WALKING = [[1, 1], [1, 2], [3, 2], [3, 4]]
NEVER_MOVED = [[7, 7]] * 4


def test_each_kind_of_chain_is_told_from_the_others():
    def kind(chain: list[list[int]]) -> tuple[float, float]:
        result = moves(paths(chain))
        return result["frozen"], result["toggling"]

    assert kind(FROZEN) == (1.0, 0.0)
    assert kind(TOGGLING) == (0.0, 1.0)
    assert kind(WALKING) == (0.0, 0.0)
    assert kind(NEVER_MOVED) == (1.0, 0.0)


def test_all_numbers_by_hand():
    result = moves(paths(FROZEN, TOGGLING, WALKING, NEVER_MOVED))
    assert result == {
        "frozen": 0.5,
        "toggling": 0.25,
        "move_rate": (2 + 3 + 3 + 0) / 12,
        "entries_moved": (2 + 1 + 2 + 0) / 4,
        "entries_touched": (2 + 1 + 2 + 0) / 4,
    }


def test_an_entry_that_came_back_was_touched_and_not_moved():
    result = moves(paths([[1, 1], [2, 1], [1, 1], [1, 3]]))
    assert (result["entries_moved"], result["entries_touched"]) == (1.0, 2.0)


def test_a_cycle_longer_than_two_is_toggling_too():
    assert moves(paths([[0], [1], [2], [0], [1]]))["toggling"] == 1.0


def test_a_window_asks_for_several_still_steps():
    assert moves(paths(FROZEN), window=2)["frozen"] == 0.0
    assert moves(paths(NEVER_MOVED), window=3)["frozen"] == 1.0


def test_standing_still_is_not_coming_back():
    result = moves(paths([[1], [2], [2], [2]]), window=3)
    assert (result["frozen"], result["toggling"]) == (0.0, 0.0)


def test_states_of_any_shape_and_real_numbers_count():
    path = torch.zeros(3, 2, 4, 5)
    path[1:, 0, 2, 3] = 0.1
    assert moves(path) == {
        "frozen": 1.0,
        "toggling": 0.0,
        "move_rate": 0.25,
        "entries_moved": 0.5,
        "entries_touched": 0.5,
    }


def test_a_missing_path_and_a_window_too_long_are_refused():
    with pytest.raises(ValueError, match="keep_path=True"):
        moves(torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="window 4"):
        moves(paths(FROZEN), window=4)
