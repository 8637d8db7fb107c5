"""What every energy promises. Energies are found: every ``nn.Module`` class that a file of ``energies/`` defines.

A new energy needs one line in ``ENERGIES``; a class that is only a part of one is named in ``PARTS``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course import energies
from ebm_course.core import Conditioned, Discrete, Embeds, energies_of, energy_grad, frozen
from ebm_course.energies.gaussian_mixture import GaussianMixture
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.joint import Joint
from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.local_energy import LocalEnergy
from ebm_course.energies.mlp import MLP
from ebm_course.energies.potts import Potts
from ebm_course.energies.pseudo_likelihood import PseudoLikelihoodEnergy
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy, SurpriseEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.energies.transformer import Transformer

N, L, V, D = 5, 4, 6, 3  # rows, positions, values, dimensions of points
PARTS = {
    "Block",
    "Transformer",
    "TextEnergy",
    "TextClassifier",
    "BertLayer",
    "Bert",
    "HuggingFaceClassifier",
    "SequenceEnergy",
    "LSTM",
    "TokenEncoder",
    "WordEncoder",
    "ConvNet",
    "ResidualBlock",
    "WideResNet",
    "ReconstructionHead",
    "Reconstructing",
}


def transformer(*, causal: bool = True) -> Transformer:
    return Transformer(V, L, width=8, n_layers=1, n_heads=2, dropout=0.3, causal=causal)


class OfOneSentence(nn.Module):
    """E(x, .) of a conditional energy, every row with the same sentence x."""

    def __init__(self, energy: nn.Module):
        super().__init__()
        self.energy, self.n_values = energy, V
        self.x = torch.arange(L)[None, :, None] % 3

    def forward(self, y: Tensor) -> Tensor:
        e: Tensor = self.energy(self.x.expand(len(y), -1, -1), None, y)
        return e


def spen() -> Spen:
    return Spen(TokenEncoder((3,), width=4, hidden=4, dropout=0.3), V)


def filled(model: nn.Module) -> nn.Module:
    """Parameters that start at zero would make many promises empty."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    return model


ENERGIES: dict[str, Callable[[], nn.Module]] = {
    "Potts": lambda: filled(Potts(L, V)),
    "GaussianMixture": lambda: filled(GaussianMixture(torch.randn(2, D))),
    "Joint": lambda: filled(Joint(nn.Sequential(nn.Linear(D, 8), nn.Tanh(), nn.Linear(8, V)))),
    "MLP": lambda: filled(MLP(D, width=8, n_layers=2, confinement=0.1)),
    "LSTMLanguageModel": lambda: filled(LSTMLanguageModel(V, width=8)),
    "LikelihoodEnergy": lambda: filled(LikelihoodEnergy(transformer())),
    "PooledEnergy": lambda: filled(PooledEnergy(transformer())),
    "CorrectedEnergy": lambda: filled(CorrectedEnergy(transformer())),
    "SurpriseEnergy": lambda: filled(SurpriseEnergy(transformer())),
    "LocalEnergy": lambda: filled(LocalEnergy(transformer())),
    "Spen": lambda: filled(OfOneSentence(spen())),
    "TagLanguageModel": lambda: filled(TagLanguageModel(V, width=4, hidden=4, backward=True)),
    "GlobalEnergy": lambda: filled(OfOneSentence(GlobalEnergy(spen(), "c", width=4, hidden=4))),
    "PseudoLikelihoodEnergy": lambda: filled(
        PseudoLikelihoodEnergy(transformer(causal=False), torch.tensor([False, True, False, True]), mask_value=0)
    ),
}


def found() -> set[str]:
    """Names of all public modules that the files of ``energies/`` define."""
    names = set()
    for info in pkgutil.iter_modules(energies.__path__):
        module = importlib.import_module(f"ebm_course.energies.{info.name}")
        for name, thing in vars(module).items():
            own = inspect.isclass(thing) and thing.__module__ == module.__name__ and issubclass(thing, nn.Module)
            names |= {name} if own and not name.startswith("_") else set()
    return names


def discrete(energy: nn.Module) -> bool:
    return isinstance(energy, Discrete)


def states(energy: nn.Module, n: int = N) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if discrete(energy):
        return torch.randint(V, (n, L), generator=generator)
    return torch.randn(n, D, generator=generator)


def one_hot(x: Tensor) -> Tensor:
    return F.one_hot(x, V).float()


every_energy = pytest.mark.parametrize("name", sorted(ENERGIES))
discrete_ones = pytest.mark.parametrize("name", sorted(name for name, make in ENERGIES.items() if discrete(make())))
with_embeddings = pytest.mark.parametrize(
    "name", sorted(name for name, make in ENERGIES.items() if isinstance(make(), Embeds))
)


def test_every_energy_of_the_package_is_tested_here():
    missing = found() - set(ENERGIES) - PARTS
    assert not missing, f"add {sorted(missing)} to ENERGIES with a small example, or to PARTS if it scores no states."
    assert set(ENERGIES) | PARTS <= found()


AUTOCASTS = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])


@every_energy
@AUTOCASTS
def test_under_autocast_its_energies_and_gradients_are_near_those_without(name, dtype):
    energy = ENERGIES[name]().eval()
    x = states(energy)
    soft = (one_hot(x) + 0.25) / (1 + V / 4) if discrete(energy) else x
    expected, (relaxed, slope) = energies_of(energy, x), energy_grad(energy, soft)
    with torch.autocast("cpu", dtype):
        found, (of_relaxed, of_slope) = energies_of(energy, x), energy_grad(energy, soft)
    for a, b in ((found, expected), (of_relaxed, relaxed), (of_slope, slope)):
        torch.testing.assert_close(a.to(b), b, atol=0.1, rtol=0.1)


@every_energy
def test_it_gives_one_finite_number_a_row(name):
    energy = ENERGIES[name]().eval()
    for n in (N, 1, 0):
        assert energies_of(energy, states(energy, n)).isfinite().all()
    x = states(energy)
    torch.testing.assert_close(energy(x.T.contiguous().T), energy(x))  # strides do not matter


@every_energy
def test_rows_do_not_see_one_another_and_the_state_is_not_changed(name):
    energy = ENERGIES[name]().eval()
    x = states(energy)
    before = x.clone()
    torch.testing.assert_close(torch.cat([energy(x[i : i + 1]) for i in range(N)]), energy(x))
    torch.testing.assert_close(energy(x.flip(0)), energy(x).flip(0))
    assert torch.equal(x, before)


@every_energy
def test_every_parameter_that_matters_has_a_gradient(name):
    energy = ENERGIES[name]()
    energy(states(energy)).square().sum().backward()
    touched = {key for key, p in energy.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
    unused = {"net.to_logits.weight"} if name in ("PooledEnergy", "LocalEnergy") else set()
    assert touched == {key for key, _ in energy.named_parameters()} - unused


@every_energy
def test_its_gradient_in_the_state_is_that_of_finite_differences(name):
    energy = ENERGIES[name]().double().eval()
    x = one_hot(states(energy)).double() if discrete(energy) else states(energy).double()
    _, grad = energy_grad(energy, x)
    direction = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    step = 1e-5
    with torch.no_grad():
        slope = (energy(x + step * direction) - energy(x - step * direction)) / (2 * step)
    torch.testing.assert_close((grad * direction).flatten(1).sum(1), slope, atol=1e-6, rtol=1e-5)


@every_energy
def test_it_can_be_frozen_and_is_itself_again_after(name):
    energy = ENERGIES[name]().train()
    flags = [m.training for m in energy.modules()] + [p.requires_grad for p in energy.parameters()]
    with frozen(energy):
        x = states(energy)
        assert not energy(x).requires_grad
        assert torch.equal(energy(x), energy(x)), "in eval mode an energy is a function"
    assert flags == [m.training for m in energy.modules()] + [p.requires_grad for p in energy.parameters()]


@every_energy
def test_as_part_of_a_conditional_energy_row_m_belongs_to_condition_m_over_k(name):
    energy = ENERGIES[name]().eval()
    conditions, x = torch.arange(2.0), states(energy, 6)
    given = Conditioned(lambda c, y: energy(y) + 100 * c, conditions, module=energy)
    torch.testing.assert_close(given(x) - energy(x), torch.tensor([0.0, 0, 0, 100, 100, 100]), atol=1e-3, rtol=0)


@every_energy
def test_a_saved_energy_is_the_same_energy(name):
    energy, other = ENERGIES[name]().eval(), ENERGIES[name]().eval()
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    other.load_state_dict(energy.state_dict())
    assert torch.equal(energy(states(energy)), other(states(energy)))


@discrete_ones
def test_tokens_and_their_one_hot_rows_have_one_energy(name):
    energy = ENERGIES[name]().eval()
    x = states(energy)
    assert energy.n_values == V
    torch.testing.assert_close(energy(one_hot(x)), energy(x))


@discrete_ones
@pytest.mark.parametrize("token", [-1, V])
def test_a_token_out_of_the_vocabulary_is_refused_in_words(name, token):
    x = torch.zeros(2, L, dtype=torch.int64)
    x[1, 2] = token
    with pytest.raises(
        ValueError, match=f"(out of the vocabulary|outside the set): expected 0 to {V - 1}, got .*{token}"
    ):
        ENERGIES[name]()(x)


@discrete_ones
@pytest.mark.parametrize("x", [torch.zeros(L).long(), torch.zeros(2, L), torch.zeros(2, L, V + 1)])
def test_tokens_of_another_shape_or_kind_are_refused_in_words(name, x):
    with pytest.raises(
        ValueError, match=r"reads (tokens|tags) \(N, .* of integers or relaxed (tokens|tags) .*: got \("
    ):
        ENERGIES[name]()(x)


@with_embeddings
def test_an_energy_can_start_from_its_embeddings(name):
    energy = ENERGIES[name]().eval()
    x = states(energy)
    assert energy.embed(x).shape[:2] == x.shape
    torch.testing.assert_close(energy.from_embeddings(energy.embed(x), x), energy(x))
    torch.testing.assert_close(energy.embed(one_hot(x)), energy.embed(x))
