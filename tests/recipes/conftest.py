"""A run that dies in the middle of its training, for the tests that it ends with the same numbers all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractContextManager[None]]:
    """``with killed_at(module, n):`` the n-th call of its ``update``, or of ``name``, is a ``KeyboardInterrupt``."""

    @contextmanager
    def act(module: ModuleType, call: int, name: str = "update") -> Iterator[None]:
        calls, original = iter(range(1, call)), getattr(module, name)

        def dying(*args: Any, **rest: Any) -> Any:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return original(*args, **rest)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, dying)
            yield

    return act
