"""What made a file: recipe, configuration, seed, data and version, written beside the numbers.

A state, a stage or a checkpoint carries its :class:`Origin` and is loaded only where the one asked for is the same, so
that nothing is resumed or read in silence that something else has made. Here too stands the one way in which a
configuration becomes JSON. It knows no method and no file.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course import __version__

PACKAGE = __name__.partition(".")[0] + "."
COMPILED = "_orig_mod."
"""What ``torch.compile`` puts before the names of a module's tensors."""


LATER: Mapping[str, bool] = types.MappingProxyType({"later": True})
"""``metadata`` of a configuration's field that came later: where it has its default it is left out of the JSON, so
that what was made before is still what it was."""


@dataclass(frozen=True)
class Origin:
    """What made a state, a stage or a checkpoint.

    Args:
        recipe: the name of what ran, such as ``"recipes.sequences.adversarial"``.
        config: its configuration as :func:`plain` writes it.
        seed: of the run.
        data: the data's name and digest, such as ``"arithmetic-3 1f0e..."``; empty where nothing was read.
        given: name -> digest of every net that the run was given.
        version: of this package.

    >>> made = Origin("recipes.likelihood.potts.fit", {"rate": 0.1}, seed=0)
    >>> made.check(made.as_json(), "the folder")
    >>> asked = Origin("recipes.likelihood.potts.fit", {"rate": 0.5}, seed=0)
    >>> asked.check(made.as_json(), "the folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: the folder was made with another config.rate: 0.1, expected 0.5. Give this run a folder of its own, ...
    """

    recipe: str
    config: Any
    seed: int
    data: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return dataclasses.asdict(self)

    def check(self, found: Mapping[str, Any] | None, place: object) -> None:
        """Refuse what another origin has made.

        Args:
            found: the fields as they were read, None where there were none.
            place: what they were read from, for the message.

        Raises:
            ValueError: a field differs; the message names it with both values.
        """
        if found is None:
            raise ValueError(
                f"{place} does not say what made it, expected {self.recipe} with seed {self.seed}. "
                f"Give this run a folder of its own, or delete it."
            )
        differing = list(differences(found, self.as_json()))
        if differing:
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise ValueError(
                f"{place} was made with another {'; '.join(differing[:3])}{more}. "
                f"Give this run a folder of its own, or ask for what the folder holds."
            )


def plain(value: Any) -> Any:
    """A configuration as JSON: functions and classes by their names, partials by theirs and their arguments.

    >>> from ebm_course.samplers.substitution_proposals import by_gain
    >>> plain({"propose": functools.partial(by_gain, n_candidates=10), "sizes": (1, 2)})["sizes"]
    [1, 2]
    >>> plain(by_gain)
    'samplers.substitution_proposals.by_gain'

    Raises:
        TypeError: a value has no name that would be the same in the next process, such as a lambda.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if not _left_out(f, getattr(value, f.name))]
        return {f.name: plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, Sequence):
        return [plain(part) for part in value]
    if isinstance(value, functools.partial):
        return {"partial": plain(value.func), "args": plain(value.args), "keywords": plain(value.keywords)}
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return name_of(value)
    if isinstance(value, torch.dtype | torch.device):
        return str(value)
    raise TypeError(
        f"a configuration holds numbers, text, dataclasses, functions by name and containers of them: got "
        f"{type(value).__name__}. Use a module-level function, functools.partial or a frozen dataclass."
    )


def _left_out(field: dataclasses.Field[Any], value: Any) -> bool:
    return "later" in field.metadata and value == field.default


def name_of(thing: Any) -> str:
    """The name of a class or function where it was defined, the package's own name left out.

    Raises:
        TypeError: it is a lambda or was made inside a function, so that its name says nothing.

    >>> name_of(Origin), name_of(nn.Linear)
    ('origin.Origin', 'torch.nn.modules.linear.Linear')
    """
    name = f"{thing.__module__}.{thing.__qualname__}"
    if "<" in name:
        raise TypeError(f"{name} has no name of its own: define it at the top of a module, or use functools.partial.")
    return name.removeprefix(PACKAGE)


def digest(source: nn.Module | Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values of tensors, on any device.

    >>> digest({"x": torch.zeros(2)}) == digest({"x": torch.zeros(2)}) != digest({"x": torch.zeros(3)})
    True
    """
    tensors, summed = weights_of(source), hashlib.sha256()
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        summed.update(f"{name} {t.dtype} {tuple(t.shape)}\n".encode())
        summed.update(t.reshape(-1).view(torch.uint8).numpy().data)
    return summed.hexdigest()


def in_order(content: bytes) -> bytes:
    """The bytes of a safetensors file with its header sorted: its library leaves the order of the note to chance.

    So equal contents have equal bytes, and a file made again has the SHA-256 that it had.

    >>> from safetensors.torch import save
    >>> len({in_order(save({"x": torch.zeros(2)}, {"note": "1", "sha256": "2", "by": "me"})) for _ in range(20)})
    1
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8
    return len(header).to_bytes(8, "little") + header + content[end:]


def weights_of(source: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, without the part of a name that ``torch.compile`` adds; of a module, its own and not copies.

    >>> list(weights_of({"_orig_mod.weight": torch.zeros(1), "head._orig_mod.bias": torch.zeros(1)}))
    ['weight', 'head.bias']
    """
    tensors = source.state_dict() if isinstance(source, nn.Module) else source
    return {name.replace(COMPILED, ""): t for name, t in tensors.items()}


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put weights under the names of :func:`weights_of` into a module, compiled or not; changes it.

    >>> net = nn.Linear(2, 1)
    >>> load_weights(net, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)})
    >>> net(torch.tensor([[3.0, 4.0]])).tolist()
    [[7.0]]
    """
    module.load_state_dict({name: weights[name.replace(COMPILED, "")] for name in module.state_dict()})


def differences(found: Any, expected: Any, name: str = "") -> Iterator[str]:
    """Every place where two JSON values differ, as ``config.rate: 0.1, expected 0.5``.

    >>> list(differences({"config": {"rate": 0.1, "width": 8}, "seed": 0}, {"config": {"rate": 0.5, "width": 8}}))
    ['config.rate: 0.1, expected 0.5', "seed: 0, expected 'nothing'"]
    """
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for key in found | expected:  # type: ignore[operator]
            yield from differences(found.get(key, "nothing"), expected.get(key, "nothing"), f"{name}.{key}".strip("."))
    elif found != expected:
        yield f"{name}: {_short(found)}, expected {_short(expected)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
