"""Settings of samplers that are no numbers, or tensors with a graph, and states that are no tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Negatives
from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.joint import Joint
from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.potts import Potts
from ebm_course.samplers.ancestral import ancestral
from ebm_course.samplers.class_gaussians import ClassGaussians
from ebm_course.samplers.combined import combined
from ebm_course.samplers.gibbs import gibbs
from ebm_course.samplers.gibbs_with_gradients import gibbs_with_gradients
from ebm_course.samplers.langevin import langevin
from ebm_course.samplers.memory_bank import MemoryBank
from ebm_course.samplers.pgd import pgd
from ebm_course.samplers.pgd_embeddings import pgd_embeddings
from ebm_course.samplers.pyld import pyld
from ebm_course.samplers.relaxed_descent import relaxed_descent
from ebm_course.samplers.replay_buffer import ReplayBuffer

X, TAGS = torch.zeros(4, 1, 8, 8), torch.full((4, 3, 2), 0.5)
TOKENS = torch.zeros(4, 3, dtype=torch.int64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def bowl(x: Tensor) -> Tensor:
    return x.flatten(1).square().sum(dim=1) / 2


def split() -> nn.Module:
    torch.manual_seed(0)
    return Joint(ConvNet((1, 8, 8), 2, width=4))


def language_model() -> LSTMLanguageModel:
    torch.manual_seed(0)
    return LSTMLanguageModel(5, width=8)


def potts() -> Potts:
    return Potts.random(3, 4, generator=generator())


STATES: dict[str, tuple[Callable[..., Negatives], Tensor, dict[str, Any]]] = {
    "langevin": (lambda x, **s: langevin(bowl, x, **s), X, {"n_steps": 2, "step_size": 0.1}),
    "pgd": (lambda x, **s: pgd(bowl, x, **s), X, {"n_steps": 2, "radius": 0.1}),
    "pgd_embeddings": (
        lambda x, **s: pgd_embeddings(bowl, x, random_start=True, **s),
        X,
        {"n_steps": 2, "radius": 0.1},
    ),
    "pyld": (lambda x, **s: pyld(split(), x, **s), X, {"n_outer": 1, "n_inner": 2, "step_size": 0.1}),
    "combined": (
        lambda x, **s: combined(bowl, x, attack=bowl, **s),
        X,
        {"radius": 0.1, "n_pgd_steps": 1, "contrast": 0.5, "n_steps": 1, "step_size": 0.1},
    ),
    "relaxed_descent": (
        lambda x, **s: relaxed_descent(lambda y: y[..., 0].sum(dim=1), x, **s),
        TAGS,
        {"n_steps": 2, "step_size": 0.5},
    ),
    "gibbs_with_gradients": (
        lambda x, **s: gibbs_with_gradients(potts(), x, n_values=4, **s),
        TOKENS,
        {"n_steps": 2},
    ),
    "gibbs": (lambda x, **s: gibbs(potts(), x, n_values=4, **s), TOKENS, {"n_steps": 2}),
    "ancestral": (
        lambda x, **s: ancestral(language_model(), x, **s),
        TOKENS,
        {"n_steps": 1},
    ),
}
SETTINGS = [
    *(("langevin", name) for name in ("step_size", "noise_std", "max_grad_norm", "max_grad_value")),
    *(("pgd", name) for name in ("radius", "step_size")),
    *(("pgd_embeddings", name) for name in ("radius", "step_size")),
    *(("pyld", name) for name in ("step_size", "noise_std", "max_grad_value")),
    *(("combined", name) for name in ("contrast", "radius", "step_size")),
    ("relaxed_descent", "step_size"),
    ("gibbs_with_gradients", "temperature"),
    ("ancestral", "temperature"),
]
NO_NUMBERS = ["a", True, torch.tensor(True), np.True_, [0.1], torch.tensor([0.1, 0.2]), 1j]


def drawn(name: str, **settings: Any) -> Negatives:
    sample, x0, usual = STATES[name]
    return sample(x0, **usual | {"generator": generator()} | settings)


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_a_setting_that_is_no_number_is_refused_by_its_name(name: str, setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{setting} is a number: expected a real one, got .*\. Pass {setting}=0\.1"):
        drawn(name, **{setting: value})


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_a_number_may_be_a_tensor_whose_graph_the_states_do_not_take(name: str, setting: str) -> None:
    expected = drawn(name, **{setting: 0.25})
    for value in (torch.tensor(0.25, requires_grad=True), np.float32(0.25), torch.tensor(0.25).double()):
        found = drawn(name, **{setting: value})
        assert not found.x.requires_grad and torch.equal(found.x, expected.x)
        assert not any(value.requires_grad for value in found.info.values())


@pytest.mark.parametrize("name", STATES)
def test_states_that_are_no_tensor_are_refused_with_the_way_to_make_them_one(name: str) -> None:
    sample, x0, usual = STATES[name]
    for states in (x0.numpy(), x0.tolist()):
        with pytest.raises(TypeError, match=r"states are a tensor \(N, \.\.\.\): got a .*\. Pass torch\.as_tensor"):
            sample(states, **usual, generator=generator())


@pytest.mark.parametrize("name", sorted(STATES.keys() - {"gibbs_with_gradients"}))
def test_a_sampler_of_one_stream_takes_no_list_of_them(name: str) -> None:
    for several in ([generator()], [generator(), generator()]):
        with pytest.raises(TypeError, match=r"expected a torch\.Generator, got \[.* Pass generator=run"):
            drawn(name, generator=several)


def test_other_shares_and_weights_are_numbers_too() -> None:
    buffer, labels = ReplayBuffer(X), torch.tensor([0, 0, 1, 1])
    for value in ("a", True):
        with pytest.raises(ValueError, match="restart_probability is a number"):
            buffer.sample(1, restart_probability=value, fresh=X[:1], generator=generator())  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="momentum is a number"):
            MemoryBank(4, 2, labels=labels, momentum=value)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="jitter is a number"):
            ClassGaussians.fit(torch.eye(4) - 0.5, labels, 2, jitter=value)  # type: ignore[arg-type]
