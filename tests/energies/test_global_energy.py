from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebm_course.energies.global_energy import KINDS, GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.token_encoder import TokenEncoder

K = 3


def energy_of(kind: str, **settings: float) -> GlobalEnergy:
    torch.manual_seed(0)
    spen = Spen(TokenEncoder((20,), width=8, hidden=6), K, init=1.0)
    return GlobalEnergy(spen, kind, width=4, hidden=6, **settings).eval()  # type: ignore[arg-type]


def batch() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(5) < torch.tensor([5, 2])[:, None]
    x = torch.randint(1, 20, (2, 5, 1), generator=generator) * mask[..., None]
    return x, mask, torch.randint(K, (2, 5), generator=generator) * mask


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_chain_and_the_weighted_sum_of_its_language_models(kind):
    net, (x, mask, y) = energy_of(kind, gamma=0.5, weight=0.25), batch()
    expected = net.spen(x, mask, y)
    for name, model in net.language_models.items():
        words = net.spen.encoder.embed(x) if "words" in name else None
        expected = expected + 0.25 * (0.5 if "words" in name else 1) * model(y, mask, words)
    torch.testing.assert_close(net(x, mask, y), expected)
    torch.testing.assert_close(net.given(x, mask)(y), expected)
    assert len(net.language_models) == {"a": 1, "b": 2, "c": 4}[kind]
    assert [m.backward for m in net.language_models.values()] == [False, True, False, True][: len(KINDS[kind])]


def test_gamma_zero_is_b_and_weight_zero_is_the_chain():
    x, mask, y = batch()
    c, b = energy_of("c", gamma=0.0), energy_of("b")
    b.load_state_dict(c.state_dict(), strict=False)
    torch.testing.assert_close(c(x, mask, y), b(x, mask, y))
    a = energy_of("a", weight=0.0)
    assert torch.equal(a(x, mask, y), a.spen(x, mask, y))


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_at_pads_changes_nothing_bit_for_bit(kind):
    net, (x, mask, y) = energy_of(kind), batch()
    found = net(torch.where(mask[..., None], x, 7), mask, torch.where(mask, y, 2))
    assert torch.equal(found, net(x, mask, y))


def test_rows_of_a_sentence_are_scored_in_one_call():
    net, (x, mask, y) = energy_of("c"), batch()
    rows = torch.stack([y, (y + 1) % K], dim=1).flatten(0, 1)
    expected = torch.stack([net(x, mask, y), net(x, mask, (y + 1) % K)], dim=1).flatten()
    torch.testing.assert_close(net.given(x, mask)(rows), expected)


def test_settings_that_are_none_are_refused():
    spen = energy_of("a").spen
    for settings in ({"kind": "d"}, {"kind": "a", "gamma": -1.0}, {"kind": "a", "weight": float("nan")}):
        with pytest.raises(ValueError, match="a global energy is of kind a, b, c, with weights of 0 or larger"):
            GlobalEnergy(spen, **settings)  # type: ignore[arg-type]
