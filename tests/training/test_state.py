"""Nested states: taken apart into tensors and JSON, and put together again as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.training.state import pack, unpack


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


def through_json(state: Any) -> Any:
    tensors, skeleton = pack(state)
    return unpack(tensors, json.loads(json.dumps(skeleton)))


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        None,
        {"a": {1: torch.ones(2), "1": torch.zeros(()), -1: []}, "b": (0.9, 0.999), "c": [True, None, "é", 2**70]},
        {"tensor": {"dict": {"list": [{"tuple": ()}]}}},
        {"best": float("inf"), "tenth": 0.1, "empty": torch.empty(0, 3), "bytes": torch.zeros(3, dtype=torch.uint8)},
        {"a/b": torch.ones(1), "a": {"b": torch.zeros(1)}, "'": {"'": torch.ones(2)}},
    ],
)
def test_a_state_comes_back_as_it_was(state: Any) -> None:
    assert equal(through_json(state), state)


def test_the_states_of_optimisers_and_schedulers_come_back() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, amsgrad=True)
    schedules = torch.optim.lr_scheduler
    schedulers = [
        schedules.OneCycleLR(optimizer, 0.1, total_steps=9),
        schedules.LambdaLR(optimizer, lambda i: 0.9**i),
        schedules.ReduceLROnPlateau(optimizer),
        schedules.MultiStepLR(optimizer, [2, 5]),
    ]
    net(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    for x in (net, optimizer, *schedulers):
        state = x.state_dict()
        x.load_state_dict(through_json(state))
        assert x.state_dict().keys() == state.keys()
    assert equal(through_json(optimizer.state_dict()), optimizer.state_dict())


@pytest.mark.parametrize("bad", [object(), {1, 2}, torch.float32, b"bytes", len, 1j])
def test_what_only_code_could_store_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"state/'a'/1 is of type .*Convert it in state_dict"):
        pack({"a": [0, bad]})


def test_a_key_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match=r"the key \(1, 2\) of type tuple: expected text or a whole number"):
        pack({(1, 2): 0})
