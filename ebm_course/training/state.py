"""Nested state dictionaries as named tensors and a JSON skeleton, and back.

What ``state_dict`` returns (modules, optimisers, schedulers, buffers) is made of dictionaries, lists, tuples, tensors
and plain values. Tensors are taken out under a name, the rest becomes a JSON value in which each container says what
it is, so that integer keys and tuples come back as they were. It knows nothing of files or of training.

>>> tensors, skeleton = pack({"rate": 0.1, 0: (torch.ones(2), None)})
>>> tensors, skeleton["dict"][0]
({'state/0/0': tensor([1., 1.])}, ['rate', 0.1])
>>> unpack(tensors, skeleton)
{'rate': 0.1, 0: (tensor([1., 1.]), None)}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def pack(state: Any, name: str = "state") -> tuple[dict[str, Tensor], Any]:
    """Take a nested state apart: tensors by name, and the skeleton that says where each belongs.

    Args:
        state: dictionaries, lists, tuples, tensors, numbers, text, booleans and None, nested; not changed, not copied.
        name: what the names of the tensors begin with.

    Returns:
        ``(tensors, skeleton)``; the skeleton is a JSON value.

    Raises:
        TypeError: the state holds something else, which could only be stored as code.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _pack(state, name, tensors)


def unpack(tensors: Mapping[str, Tensor], skeleton: Any) -> Any:
    """Put together again what :func:`pack` took apart."""
    if not isinstance(skeleton, dict):
        return skeleton
    ((kind, content),) = skeleton.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unpack(tensors, value) for key, value in content}
    values = [unpack(tensors, value) for value in content]
    return tuple(values) if kind == "tuple" else values


def outline(x: Any, state: Any) -> dict[str, Any]:
    """What an object is, with which settings: its class and its state as JSON, of tensors type and shape alone.

    Args:
        x: what is kept; of a module the classes of all its parts count, but not whether it is compiled; of a random
            stream its seed alone.
        state: its state, now or saved.

    >>> net = nn.Linear(2, 1)
    >>> outline(net, net.state_dict())["state"]
    {'weight': 'torch.float32 (1, 2)', 'bias': 'torch.float32 (1,)'}
    """
    if isinstance(x, torch.Generator):
        return {"class": "Generator", "state": {"seed": x.initial_seed()}}
    names = [type(part).__qualname__ for part in (x.modules() if isinstance(x, nn.Module) else [x])]
    return {"class": " ".join(name for name in names if name != "OptimizedModule"), "state": _settings(state)}


def _settings(value: Any) -> Any:
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return {str(key): _settings(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return {str(i): _settings(part) for i, part in enumerate(value)}
    return repr(value) if isinstance(value, float) else value  # as text a NaN is equal to itself


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[_key(k, name), _pack(v, f"{name}/{k!r}", tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_pack(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(
        f"{name} is of type {type(value).__name__}: a state that can be resumed holds tensors, numbers, text, "
        f"booleans, None, and dictionaries, lists and tuples of them. Convert it in state_dict()."
    )


def _key(key: Any, name: str) -> str | int:
    if type(key) not in (str, int):
        raise TypeError(f"{name} has the key {key!r} of type {type(key).__name__}: expected text or a whole number.")
    return key
