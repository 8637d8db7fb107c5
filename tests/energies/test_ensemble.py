"""An ensemble is its members side by side: their energies, gradients, attacks and updates, block by block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.core import CachesPrefix, Discrete, Embeds, can_select, energies_of, energy_grad, frozen
from ebm_course.energies.ensemble import Ensemble
from ebm_course.energies.mlp import MLP
from ebm_course.energies.potts import Potts
from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy, SurpriseEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.samplers.gibbs_with_gradients import gibbs_with_gradients
from ebm_course.samplers.substitution import substitution
from ebm_course.samplers.substitution_proposals import by_gain, by_saliency

R, N, L, V = 3, 4, 6, 5  # members, chains of each, positions, values


def net() -> Transformer:
    return Transformer(V, L, width=8, n_layers=2, n_heads=2, dropout=0.0)


MEMBERS: dict[str, Callable[[], nn.Module]] = {
    "pooled": lambda: PooledEnergy(net()),
    "corrected": lambda: CorrectedEnergy(net()),
    "surprise": lambda: SurpriseEnergy(net()),
    "likelihood": lambda: LikelihoodEnergy(net()),
    "potts": lambda: Potts(L, V),
}
every_kind = pytest.mark.parametrize("kind", MEMBERS)
with_embeddings = pytest.mark.parametrize("kind", ["pooled", "corrected", "surprise", "likelihood"])


def members(kind: str = "pooled") -> list[nn.Module]:
    """R energies in float64, wide enough that candidates differ by more than rounding."""
    torch.manual_seed(0)
    made = [MEMBERS[kind]().double().eval() for _ in range(R)]
    for p in (p for energy in made for p in energy.parameters()):
        nn.init.normal_(p, std=0.3)
    return made


def tokens(n: int = R * N) -> Tensor:
    return torch.randint(V, (n, L), generator=torch.Generator().manual_seed(1))


def one_by_one(energies: list[nn.Module], act: Callable[[nn.Module, Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([act(energy, rows) for energy, rows in zip(energies, x.split(len(x) // R), strict=True)])


@every_kind
def test_every_block_of_rows_has_the_energies_of_its_member(kind: str) -> None:
    energies, x = members(kind), tokens()
    ensemble = Ensemble(energies)
    torch.testing.assert_close(energies_of(ensemble, x), one_by_one(energies, energies_of, x))
    hot = F.one_hot(x, V).double()
    torch.testing.assert_close(ensemble(hot), ensemble(x))
    twice = x.repeat_interleave(2, dim=0)  # candidates: row m belongs to chain m // 2
    torch.testing.assert_close(ensemble(twice), ensemble(x).repeat_interleave(2))


def test_points_of_the_plane_have_the_energies_of_their_member_too() -> None:
    energies = [MLP(2, width=8, n_layers=2).double() for _ in range(R)]
    x = torch.randn(R * N, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(Ensemble(energies)(x), one_by_one(energies, energies_of, x))
    assert not isinstance(Ensemble(energies), Embeds) and not isinstance(Ensemble(energies), Discrete)


@with_embeddings
def test_every_block_has_the_embeddings_and_the_gradient_of_its_member(kind: str) -> None:
    energies, x = members(kind), tokens()
    ensemble = Ensemble(energies)
    assert isinstance(ensemble, Embeds) and isinstance(ensemble, Discrete) and not isinstance(ensemble, CachesPrefix)

    def gradient(energy: nn.Module | Ensemble, x: Tensor) -> Tensor:
        return energy_grad(lambda h: energy.from_embeddings(h, x), energy.embed(x))[1]

    torch.testing.assert_close(ensemble.embed(x), one_by_one(energies, lambda e, rows: e.embed(rows), x))
    torch.testing.assert_close(gradient(ensemble, x), one_by_one(energies, gradient, x))


@every_kind
def test_the_gradient_of_the_stacked_parameters_is_that_of_each_member(kind: str) -> None:
    energies, x = members(kind), tokens()
    ensemble = Ensemble(energies)
    ensemble(x).square().sum().backward()
    one_by_one(energies, lambda e, rows: e(rows), x).square().sum().backward()
    stacked = dict(ensemble.module.named_parameters())
    for r, energy in enumerate(energies):
        for name, p in energy.named_parameters():
            found = stacked[f"energy.{name}"].grad
            assert (found is None) == (p.grad is None), name  # such a parameter is not decayed
            if found is not None:
                torch.testing.assert_close(found[r], p.grad)


@pytest.mark.parametrize("propose", [by_saliency, by_gain])
@pytest.mark.parametrize("options", [{}, {"include_current": True}, {"position_memory": True}, {"max_rows": 5}])
@with_embeddings
def test_an_attack_moves_every_block_as_its_member_alone_would(kind: str, propose: Callable, options: dict) -> None:
    energies, x = members(kind), tokens()
    free = torch.arange(L) > 1
    attack = partial(substitution, n_steps=5, synonyms=None, free=free, propose=propose, **options)
    together = attack(Ensemble(energies), x)
    alone = [attack(e, rows) for e, rows in zip(energies, x.split(N), strict=True)]
    assert torch.equal(together.x, torch.cat([a.x for a in alone]))
    for name, values in together.info.items():
        torch.testing.assert_close(values, torch.cat([a.info[name] for a in alone]))
    assert bool((together.x != x).any())


def test_a_sampler_with_relaxed_tokens_runs_on_an_ensemble() -> None:
    generator = torch.Generator().manual_seed(0)
    ensemble = Ensemble(members("potts"))
    found = gibbs_with_gradients(ensemble, tokens(), n_steps=3, n_values=V, generator=generator)
    torch.testing.assert_close(found.info["energy"], one_by_one(members("potts"), energies_of, found.x))


def test_chains_may_not_leave_because_blocks_stay_equal() -> None:
    assert not can_select(Ensemble(members()))


def test_members_come_back_as_they_went_in_and_share_no_storage() -> None:
    energies = members("corrected")
    energies[0].net.causal = False
    ensemble = Ensemble([energy.train() for energy in energies])
    for before, after in zip(energies, ensemble.members(), strict=True):
        assert after.training and not after.net.causal and type(after) is type(before)
        assert all(torch.equal(p, q) for p, q in zip(before.parameters(), after.parameters(), strict=True))
    with torch.no_grad():
        for p in ensemble.module.parameters():
            p.zero_()
    assert all(bool(p.any()) for p in [*energies[1].parameters(), *after.parameters()])


def test_tied_parameters_stay_tied() -> None:
    energies = members("likelihood")
    for energy in energies:
        energy.net.to_logits.weight = energy.net.embedding.weight
    ensemble, x = Ensemble(energies), tokens()
    assert len(list(ensemble.module.parameters())) == len(list(energies[0].parameters()))
    torch.testing.assert_close(ensemble(x), one_by_one(energies, energies_of, x))
    one = ensemble.members()[0]
    assert one.net.to_logits.weight is one.net.embedding.weight


def test_it_can_be_frozen_and_dropout_differs_between_members() -> None:
    torch.manual_seed(0)
    energy = PooledEnergy(Transformer(V, L, width=8, n_layers=1, n_heads=2, dropout=0.5))
    ensemble, x = Ensemble([energy, energy]), tokens(N).repeat(2, 1)
    with frozen(ensemble):
        assert not ensemble(x).requires_grad and torch.equal(ensemble(x)[:N], ensemble(x)[N:])
    assert all(p.requires_grad for p in ensemble.module.parameters())
    e = ensemble(x)
    assert not bool((e[:N] == e[N:]).any())


def test_what_cannot_stand_side_by_side_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="one energy or more: got none"):
        Ensemble([])
    with pytest.raises(ValueError, match="energy 1, a CorrectedEnergy, has other parameters than energy 0"):
        Ensemble([*members()[:1], *members("corrected")[:1]])
    with pytest.raises(ValueError, match="3 equal blocks of rows: got 7 rows"):
        Ensemble(members())(tokens(7))


def test_a_token_out_of_the_vocabulary_is_not_read_in_the_next_members_table() -> None:
    x = tokens()
    x[0, 0] = V
    with pytest.raises(ValueError, match=f"out of the vocabulary: expected 0 to {V - 1}"):
        Ensemble(members())(x)


def test_spectral_norm_in_training_mode_is_refused_in_words_and_works_in_eval_mode() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)[:, 0]

    members, x = [Normed() for _ in range(2)], torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    ensemble = Ensemble(members)
    with pytest.raises(RuntimeError, match=r"spectral norm .* call ensemble\.module\.eval\(\)"):
        ensemble(x)
    ensemble.module.eval()
    apart = torch.cat([member.eval()(rows) for member, rows in zip(members, x.split(3), strict=True)])
    torch.testing.assert_close(ensemble(x), apart)
