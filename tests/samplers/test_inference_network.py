from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.core import Conditioned
from ebm_course.energies.spen import Spen, chain_energy
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.objectives.tagging_terms import annealed, local_entropy
from ebm_course.samplers.inference_network import PARAMETRISATIONS, InferenceNetworks
from ebm_course.samplers.viterbi import viterbi

K = 4
every_parametrisation = pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)


def encoder() -> TokenEncoder:
    return TokenEncoder((20,), width=8, hidden=6)


def networks(parametrisation: str) -> InferenceNetworks:
    torch.manual_seed(0)
    second = encoder() if parametrisation == "separated" else None
    return InferenceNetworks(encoder(), K, parametrisation=parametrisation, cost_encoder=second)


def batch(lengths: list[int], longest: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    generator, length = torch.Generator().manual_seed(1), longest or max(lengths)
    mask = torch.arange(length) < torch.tensor(lengths)[:, None]
    x = torch.randint(1, 20, (len(lengths), length, 1), generator=generator) * mask[..., None]
    return x, mask, torch.randint(K, mask.shape, generator=generator) * mask


def touched(net: nn.Module) -> set[str]:
    """First names of the parameters that have a gradient other than 0."""
    return {n.split(".")[0] for n, p in net.named_parameters() if p.grad is not None and bool(p.grad.ne(0).any())}


@every_parametrisation
def test_both_give_a_distribution_at_each_position(parametrisation):
    net, (x, mask, y) = networks(parametrisation), batch([5, 2])
    for p in (net.test_time(x, mask), net.cost_augmented(x, y, mask)):
        assert p.shape == (2, 5, K) and p.min() > 0
        torch.testing.assert_close(p.sum(dim=2), torch.ones(2, 5))
    log_a, log_f = net.log_probabilities(x, y, mask)
    torch.testing.assert_close(log_a.exp(), net.test_time(x, mask))
    torch.testing.assert_close(log_f.exp(), net.cost_augmented(x, y, mask))


@pytest.mark.parametrize(
    "parametrisation, of_a, of_f",
    [
        ("separated", {"encoder", "head"}, {"cost_encoder", "cost_head"}),
        ("shared", {"encoder", "head"}, {"encoder", "cost_head"}),
        ("stacked", {"encoder", "head"}, {"cost_head"}),
        ("single", {"encoder", "head"}, {"encoder", "head"}),
    ],
)
def test_what_each_of_them_trains(parametrisation, of_a, of_f):
    net, (x, mask, y) = networks(parametrisation), batch([5, 2])
    weights = torch.randn(2, 5, K)
    (net.log_probabilities(x, y, mask)[0] * weights).sum().backward()
    assert touched(net) == of_a
    net.zero_grad()
    (net.log_probabilities(x, y, mask)[1] * weights).sum().backward()
    assert touched(net) == of_f


def test_in_stacked_the_gradient_of_f_is_exactly_zero_at_a_though_f_depends_on_a():
    net, (x, mask, y) = networks("stacked"), batch([5, 2])
    spen = Spen(encoder(), K)
    spen.given(x, mask)(net.cost_augmented(x, y, mask)).sum().backward()
    assert all(p.grad is None or p.grad.eq(0).all() for m in (net.encoder, net.head) for p in m.parameters())
    before = net.cost_augmented(x, y, mask)
    with torch.no_grad():
        net.head.bias.add_(torch.arange(K))
    assert not torch.allclose(net.cost_augmented(x, y, mask), before)


def test_stacked_is_an_affine_map_of_what_a_says_and_the_gold_tag():
    net, (x, mask, y) = networks("stacked"), batch([5, 2])
    w, b = net.cost_head.weight, net.cost_head.bias
    a, gold = net.test_time(x, mask), F.one_hot(y, K).float()
    torch.testing.assert_close(net.cost_augmented(x, y, mask), (a @ w[:, :K].T + gold @ w[:, K:].T + b).softmax(dim=2))


@every_parametrisation
def test_f_reads_the_gold_tags_in_stacked_alone(parametrisation):
    net, (x, mask, y) = networks(parametrisation), batch([5, 2])
    same = torch.equal(net.cost_augmented(x, y, mask), net.cost_augmented(x, (y + 1) % K, mask))
    assert same == (parametrisation != "stacked")


@every_parametrisation
def test_pads_and_other_sentences_change_nothing(parametrisation):
    net, (x, mask, y) = networks(parametrisation).double(), batch([5, 2, 4], longest=7)
    other = torch.where(mask[..., None], x, 7), torch.where(mask, y, 3), mask
    for found, expected in zip(net.log_probabilities(*other), net.log_probabilities(x, y, mask), strict=True):
        assert torch.equal(found[mask], expected[mask])
    for n, length in enumerate([5, 2, 4]):
        alone = net.log_probabilities(x[n : n + 1, :length], y[n : n + 1, :length])
        for part, whole in zip(alone, net.log_probabilities(x, y, mask), strict=True):
            torch.testing.assert_close(part[0], whole[n, :length], atol=1e-13, rtol=0)


def test_parameters_are_those_of_the_papers_table_without_peepholes_and_with_two_biases():
    vectors = torch.zeros(1000, 100)  # fixed: not counted, as in the paper

    def made() -> TokenEncoder:
        return TokenEncoder((1000,), width=100, hidden=100, vectors=vectors)

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    spen = count(Spen(made(), 25))
    lstm, theirs = 4 * 100 * (100 + 100 + 2), 4 * 100 * (100 + 100 + 1) + 3 * 100  # a direction
    assert spen == 2 * lstm + 200 * 25 + 26 * 26
    paper = {"single": 333_501, "separated": 499_926, "shared": 338_526, "stacked": 334_776}
    ours = {"single": 333_901, "separated": 500_526, "shared": 338_926, "stacked": 335_176}
    for name in PARAMETRISATIONS:
        second = made() if name == "separated" else None
        trained = count(InferenceNetworks(made(), 25, parametrisation=name, cost_encoder=second)) + spen
        n_encoders = 3 if name == "separated" else 2
        assert trained == ours[name]
        assert trained - n_encoders * 2 * (lstm - theirs) == paper[name]
    a = count(InferenceNetworks(made(), 25, parametrisation="single"))
    assert a == 166_625 and a - 2 * (lstm - theirs) == 166_425


class Table(nn.Module):
    """Logits of each sentence's tags: a network that can say anything."""

    n_features = K

    def __init__(self, n: int, length: int):
        super().__init__()
        self.logits = nn.Embedding(n, length * K)
        nn.init.zeros_(self.logits.weight)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.logits(x[:, 0, 0]).view(len(x), -1, K)


def test_a_network_that_can_say_anything_learns_the_lowest_of_all_tags(chain, enumerated):
    lengths = [5, 3, 4, 1, 5, 2]
    unary, w, mask = chain(lengths, K)
    energy = Conditioned(lambda u, m, y: chain_energy(u, w, m, y), unary.float(), mask)
    w = w.float()
    nets = InferenceNetworks(Table(6, 5), K, parametrisation="single")
    nn.init.eye_(nets.head.weight)
    x = torch.arange(6)[:, None, None].expand(6, 5, 1)
    optimizer, n_steps = torch.optim.Adam(nets.parameters(), lr=0.1), 300
    for step in range(n_steps):
        log_a, _ = nets.log_probabilities(x, torch.zeros(6, 5, dtype=torch.int64), mask)
        kept = annealed(3.0, step / n_steps) * local_entropy(log_a, mask)
        optimizer.zero_grad()
        (energy(log_a.exp()) - kept).mean().backward()
        optimizer.step()
    found = nets.test_time(x, mask).argmax(dim=2)
    for n, length in enumerate(lengths):
        states, energies = enumerated(unary[n, :length], w.double())
        assert found[n, :length].tolist() == states[energies.argmin()].tolist()
    assert torch.equal(found[mask], viterbi(unary.float(), w, mask)[0][mask])


def test_encoders_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"expected a parametrisation of .*got 'joined'"):
        InferenceNetworks(encoder(), K, parametrisation="joined")
    with pytest.raises(ValueError, match="got none for F of 'separated'"):
        InferenceNetworks(encoder(), K, parametrisation="separated")
    with pytest.raises(ValueError, match="got one for F of 'shared'"):
        InferenceNetworks(encoder(), K, parametrisation="shared", cost_encoder=encoder())
