"""One step of each tagging recipe, line by line; what moves, what does not, and who is asked how often."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Batch, WrapsModule
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.recipes.structured import bilstm, crf, inference_network, spen_gradient, tag_language_model
from ebm_course.recipes.structured.game import (
    Anchor,
    Game,
    Updates,
    energy_loss,
    inference_loss,
    make_step,
    started_from,
)
from ebm_course.recipes.structured.parts import Learner, adam, sgd
from ebm_course.runtime import Run
from ebm_course.samplers.forward_algorithm import log_partition
from ebm_course.samplers.inference_network import InferenceNetworks

K = 3
SIZES = (4, 1, 3, 4)
CONFIG = replace(inference_network.SMOKE, parametrisation="stacked", perceptron_weight=0.7)
SINGLE: dict[str, Any] = {"parametrisation": "single"}


def batch(pad: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(0)
    x = [torch.randint(9, (n, 1), generator=generator) for n in SIZES]
    data = Batch.padded(x, [torch.randint(K, (n,), generator=generator) for n in SIZES])
    assert data.y is not None and data.mask is not None
    wider = [nn.functional.pad(t, (0, pad)) for t in (data.x[..., 0], data.y, data.mask)]
    return Batch(wider[0][..., None], wider[1], wider[2])


def encoder(seed: int) -> TokenEncoder:
    torch.manual_seed(seed)
    return TokenEncoder((9,), width=4, hidden=3)


def game(parametrisation: str = "stacked", kind: str | None = None) -> Game:
    second = encoder(2) if parametrisation == "separated" else None
    nets = InferenceNetworks(encoder(0), K, parametrisation=parametrisation, cost_encoder=second)
    chain = Spen(encoder(1), K)
    return Game(chain if kind is None else GlobalEnergy(chain, kind, width=3, hidden=4), nets)


def stepped(config: Any, played: Game, data: Batch, *, n: int = 1, n_updates: int = 10) -> dict[str, Tensor]:
    nets = Learner(played.nets, sgd(played.nets, rate=0.1), player="inference")
    energy = Learner(played.energy, adam(played.energy, rate=0.01), player="energy")
    given: dict[str, Any] = {"updates": Updates(), "n_updates": n_updates, "anchor": Anchor(played.nets, 0.0)}
    step = make_step(played, nets, None if config.trains == "nothing" else energy, config, **given)
    for _ in range(n):
        log = step(data, torch.Generator())
    return log


def same(one: nn.Module, two: nn.Module) -> bool:
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    return all(torch.allclose(p, q, rtol=1e-5, atol=1e-7) for p, q in pairs)


def test_one_step_of_the_bilstm_is_cross_entropy_written_out() -> None:
    nets, data = InferenceNetworks(encoder(0), K, parametrisation="single"), batch()
    other = copy.deepcopy(nets)
    log = bilstm.make_step(Learner(nets, sgd(nets, rate=0.1)))(data, torch.Generator())
    assert data.y is not None and data.mask is not None
    logits = other.head(other.encoder(data.x, data.mask))[data.mask]
    loss = nn.functional.cross_entropy(logits, data.y[data.mask], reduction="sum")
    (loss / 4).backward()
    sgd(other, rate=0.1).step()
    assert same(nets, other)
    assert log["loss"].item() == pytest.approx(loss.item() / 4)
    assert log["cross_entropy"].item() == pytest.approx(loss.item() / sum(SIZES))


def test_one_step_of_the_chain_is_its_likelihood_written_out() -> None:
    energy, data = Spen(encoder(0), K), batch()
    other = copy.deepcopy(energy)
    log = crf.make_step(Learner(energy, sgd(energy, rate=0.1)))(data, torch.Generator())
    assert data.y is not None
    log_z = log_partition(other.unary(data.x, data.mask), other.transitions, data.mask)
    loss = (other(data.x, data.mask, data.y) + log_z).mean()
    loss.backward()
    sgd(other, rate=0.1).step()
    assert same(energy, other) and log["loss"].item() == pytest.approx(loss.item())


def test_one_step_of_tags_as_a_language_is_the_mean_energy() -> None:
    torch.manual_seed(0)
    model, data = tag_language_model.TagLanguageModel(K, width=3, hidden=4), batch()
    assert data.y is not None
    expected = model(data.y, data.mask)
    log = tag_language_model.make_step(Learner(model, sgd(model, rate=0.1)))(data, torch.Generator())
    assert log["loss"].item() == pytest.approx(expected.mean().item())
    assert log["cross_entropy"].item() == pytest.approx(expected.sum().item() / (sum(SIZES) + 4))
    assert not any(value.requires_grad for value in log.values()), "a log keeps no graph"


@pytest.mark.parametrize("name", ["bilstm", "crf", "tag_language_model", "spen_gradient"])
def test_what_a_validation_left_in_eval_mode_learns_in_train_mode(name: str) -> None:
    played, data, modes = game("single"), batch(), list[tuple[bool, bool]]()
    model = tag_language_model.TagLanguageModel(K, width=3, hidden=4)
    module: Any = {"bilstm": played.nets, "tag_language_model": model}.get(name, played.energy)
    learner = Learner(module.eval(), sgd(module, rate=0.1))
    watched = model.lstm if module is model else module.encoder
    watched.register_forward_hook(lambda m, *_: modes.append((m.training, next(m.parameters()).requires_grad)))
    step = {
        "bilstm": lambda: bilstm.make_step(learner),
        "crf": lambda: crf.make_step(learner),
        "tag_language_model": lambda: tag_language_model.make_step(learner),
        "spen_gradient": lambda: spen_gradient.make_step(learner, spen_gradient.SMOKE),
    }[name]()
    step(data, torch.Generator())
    assert modes == ([(False, False)] if name == "spen_gradient" else []) + [(True, True)]  # the search sees it frozen


def test_descent_finds_what_costs_and_the_energy_learns_from_it_alone() -> None:
    energy, data = Spen(encoder(0), K), batch()
    assert data.y is not None
    config = replace(spen_gradient.SMOKE, n_descent_steps=50)
    with torch.no_grad():
        best = min(  # over the three tags of the sentence of one token
            float(energy(data.x[1:2, :1], None, torch.tensor([[k]]))) - 2 * (k != int(data.y[1, 0])) for k in range(K)
        )
        gold = float(energy(data.x[1:2, :1], None, data.y[1:2, :1]))
    log = spen_gradient.make_step(Learner(energy, sgd(energy, rate=0.1)), config)(data[1:2], torch.Generator())
    assert log["loss"].item() == pytest.approx(gold - best, abs=1e-3)
    assert all(p.grad is not None for p in energy.parameters()) and energy.training


def test_descent_is_the_configurations_and_the_energy_rises_at_what_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    energy, data, seen = Spen(encoder(0), K), batch(), list[tuple[Any, Tensor, dict[str, Any], Tensor]]()
    original = spen_gradient.relaxed_descent
    assert data.y is not None and data.mask is not None

    def noted(given: Any, start: Tensor, **options: Any) -> Any:
        found = original(given, start, **options)
        seen.append((given, start, options, found.x))
        return found

    monkeypatch.setattr(spen_gradient, "relaxed_descent", noted)
    how: dict[str, Any] = {"n_descent_steps": 7, "descent_step_size": 0.25, "descent_method": "softmax"}
    learner = Learner(energy, sgd(energy, rate=0.0))
    log = spen_gradient.make_step(learner, replace(spen_gradient.SMOKE, **how))(data, torch.Generator())
    ((given, start, options, y),) = seen
    assert torch.equal(start, torch.full((4, 4, K), 1 / K)) and torch.equal(options.pop("mask"), data.mask)
    del options["generator"]
    assert options == {"n_steps": 7, "step_size": 0.25, "method": "softmax"}
    wrong = (data.y + 1) % K  # descent goes down E - Delta
    expected = energy(data.x, data.mask, wrong) - 2 * torch.tensor(SIZES)
    torch.testing.assert_close(given(wrong), expected)
    right = y.gather(2, data.y[..., None])[..., 0]
    delta = 2 * ((1 - right) * data.mask).sum(dim=1)
    loss = (delta - energy(data.x, data.mask, y) + energy(data.x, data.mask, data.y)).relu().mean()
    assert log["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    for p, g in zip(energy.parameters(), torch.autograd.grad(loss, list(energy.parameters())), strict=True):
        torch.testing.assert_close(p.grad, g, rtol=1e-4, atol=1e-6)


def test_what_descent_is_given_names_the_net_that_has_to_be_frozen() -> None:
    energy, data = Spen(encoder(0), K), batch()
    assert data.y is not None and data.mask is not None
    given = spen_gradient.CostAugmented(energy.given(data.x, data.mask), data.y, data.mask)
    assert isinstance(given, WrapsModule) and given.module is energy


def test_both_losses_of_the_game_are_equation_6_written_out() -> None:
    played, data = game(), batch()
    assert data.y is not None and data.mask is not None
    config = replace(CONFIG, cross_entropy_a=0.3, cross_entropy_f=0.5)
    a = played.nets.test_time(data.x, data.mask)
    f = played.nets.cost_augmented(data.x, data.y, data.mask)
    e = played.energy.given(data.x, data.mask)
    real = data.mask.float()
    right_a, right_f = (p.gather(2, data.y[..., None])[..., 0] for p in (a, f))
    delta = 2 * ((1 - right_f) * real).sum(1)
    margin, perceptron = delta - e(f) + e(data.y), e(data.y) - e(a)
    expected = (margin.relu() + 0.7 * perceptron.relu()).mean()
    assert energy_loss(played, data, config).value.item() == pytest.approx(expected.item(), rel=1e-5)
    ce = [-(right.log() * real).sum() / 4 for right in (right_a, right_f)]
    entropy = [-(p * p.log() * real[..., None]).sum() / 4 for p in (a, f)]
    loss = -(margin + 0.7 * perceptron).mean() + 0.3 * ce[0] + 0.5 * ce[1] - 2.0 * sum(entropy)
    found = inference_loss(played, data, config, entropy_weight=2.0, anchor=Anchor(played.nets, 0.0))
    assert found.value.item() == pytest.approx(loss.item(), rel=1e-5)
    parameters = list(played.nets.parameters())
    for own, other in zip(*(torch.autograd.grad(x, parameters) for x in (found.value, loss)), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)
    assert found.terms["entropy_a"].item() == pytest.approx(4 * entropy[0].item() / sum(SIZES), rel=1e-5)
    assert found.terms["cross_entropy_f"].item() == pytest.approx(4 * ce[1].item() / sum(SIZES), rel=1e-5)
    truncated = inference_loss(
        played, data, replace(config, truncate=True), entropy_weight=2.0, anchor=Anchor(played.nets, 0.0)
    )
    expected = loss + (margin + 0.7 * perceptron).mean() - (margin.relu() + 0.7 * perceptron.relu()).mean()
    assert truncated.value.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss, absent", [("margin", "a"), ("perceptron", "f")])
def test_who_does_not_play_has_no_terms_and_no_part(loss: str, absent: str) -> None:
    played, data = game("single"), batch()
    config = replace(CONFIG, loss=loss, **SINGLE, **{f"cross_entropy_{absent}": 5.0})
    anchor = Anchor(played.nets, 0.0)
    found = inference_loss(played, data, config, entropy_weight=0.0, anchor=anchor)
    plain = inference_loss(
        played, data, replace(config, **{f"cross_entropy_{absent}": 0.0}), entropy_weight=0.0, anchor=anchor
    )
    assert found.value.item() == plain.value.item()
    assert not {f"entropy_{absent}", f"cross_entropy_{absent}", "a_minus_f"} & found.terms.keys()
    assert ("perceptron_loss" in found.terms) == (loss == "perceptron") != ("violations" in found.terms)


def test_what_f_loses_leaves_a_alone_where_stacked_and_moves_its_encoder_where_shared() -> None:
    data = batch()
    config = replace(CONFIG, perceptron_weight=0.0, cross_entropy_a=0.0, cross_entropy_f=1.0)
    for parametrisation, moves in (("stacked", False), ("shared", True), ("separated", False)):
        played = game(parametrisation)
        loss = inference_loss(played, data, config, entropy_weight=0.0, anchor=Anchor(played.nets, 0.0))
        loss.value.backward()
        grads = [p.grad for p in played.nets.encoder.parameters()]
        assert any(g is not None and bool((g != 0).any()) for g in grads) == moves
        assert played.nets.cost_head is not None and played.nets.cost_head.weight.grad is not None
        assert played.nets.head.weight.grad is None or not played.nets.head.weight.grad.any()


def test_a_trained_stack_moves_a_as_if_there_were_no_f() -> None:
    data = batch()
    config = replace(CONFIG, perceptron_weight=1.0, trains="nothing", entropy_weight=1.0)
    one, other = game("stacked"), game("stacked")
    stepped(config, one, data, n=5)
    stepped(replace(config, cross_entropy_f=0.0), other, data, n=5)
    assert same(one.nets.encoder, other.nets.encoder) and same(one.nets.head, other.nets.head)
    assert one.nets.cost_head is not None and other.nets.cost_head is not None
    assert not same(one.nets.cost_head, other.nets.cost_head)


@pytest.mark.parametrize("k", [1, 3])
def test_k_inference_steps_are_k_calls_and_one_of_the_energy(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    original = Learner.descend

    def counted(self: Learner, loss: Any) -> dict[str, Tensor]:
        calls.append(self.prefix)
        return original(self, loss)

    monkeypatch.setattr(Learner, "descend", counted)
    stepped(replace(CONFIG, n_inference_steps=k), game(), batch(), n=2)
    assert calls == [*["inference_"] * k, "energy_"] * 2


def test_each_player_is_frozen_in_eval_mode_while_the_other_moves() -> None:
    played, seen = game(kind="a"), list[tuple[str, bool, bool]]()
    played.eval()  # as a validation before leaves them
    modules = {"energy": played.energy.spen.encoder, "nets": played.nets.encoder}

    def look(name: str, module: nn.Module, *_: Any) -> None:
        seen.append((name, module.training, next(module.parameters()).requires_grad and torch.is_grad_enabled()))

    for name, module in modules.items():
        module.register_forward_hook(partial(look, name))
    stepped(CONFIG, played, batch())
    assert seen == [("nets", True, True), ("energy", False, False), ("nets", False, False), ("energy", True, True)]


def test_an_energy_that_is_given_stays_while_its_networks_move() -> None:
    data, fixed = batch(), game(kind="a")
    before = copy.deepcopy(fixed.energy)
    log = stepped(replace(CONFIG, trains="nothing"), fixed, data, n=2)
    assert same(fixed.energy, before) and not same(fixed.nets, game(kind="a").nets)
    assert "energy_loss" not in log and "inference_loss" in log


def test_pads_change_no_step() -> None:
    for kind in (None, "c"):
        one, other = game(kind=kind), game(kind=kind)
        logs = [stepped(CONFIG, played, data) for played, data in ((one, batch()), (other, batch(pad=3)))]
        assert same(one, other)
        assert {k: float(v) for k, v in logs[0].items()} == pytest.approx(
            {k: float(v) for k, v in logs[1].items()}, rel=1e-4, abs=1e-5
        )


@pytest.mark.parametrize("k", [1, 3])
def test_the_entropys_weight_falls_with_the_updates_that_were_made(k: int) -> None:
    config = replace(CONFIG, entropy_weight=4.0, entropy_until=0.5, trains="nothing", perceptron_weight=0.0)
    config = replace(config, cross_entropy_a=0.0, cross_entropy_f=0.0, n_inference_steps=k)
    played, data = game("separated"), batch()
    nets = Learner(played.nets, sgd(played.nets, rate=0.0), player="inference")
    updates = Updates()
    step = make_step(played, nets, None, config, updates=updates, n_updates=4, anchor=Anchor(played.nets, 0.0))
    losses = [float(step(data, torch.Generator())["inference_loss"]) for _ in range(4)]
    assert losses[0] < losses[1] < losses[2] == losses[3] and updates.state_dict() == {"done": 4}
    assert losses[1] - losses[0] == pytest.approx(losses[2] - losses[1], rel=1e-3)


def test_the_anchor_is_the_squared_distance_from_the_start() -> None:
    nets = nn.Linear(2, 1)
    anchor = Anchor(nets, 0.5)
    with torch.no_grad():
        assert anchor() == 0 and Anchor(nets, 0.0)() == 0.0
        nets.bias += 2.0
        assert float(anchor()) == pytest.approx(2.0)
    value = anchor()
    assert isinstance(value, Tensor)
    value.backward()
    assert nets.bias.grad is not None and nets.bias.grad.item() == pytest.approx(2.0)  # 2 * 0.5 * 2
    assert nets.weight.grad is not None and not nets.weight.grad.any()


def test_the_networks_lower_the_anchor_beside_their_loss() -> None:
    played, data = game(), batch()
    anchor, without = Anchor(played.nets, 0.5), Anchor(played.nets, 0.0)
    with torch.no_grad():
        played.nets.head.bias += 2.0
    tied, free = (inference_loss(played, data, CONFIG, entropy_weight=0.0, anchor=one) for one in (anchor, without))
    assert (tied.value - free.value).item() == pytest.approx(0.5 * K * 2.0**2, rel=1e-4)


def test_a_minus_f_is_how_many_more_real_tokens_a_has_right() -> None:
    played, data = game(), batch(pad=3)
    assert data.mask is not None
    with torch.no_grad():
        gold = played.nets.test_time(data.x, data.mask).argmax(dim=2)  # at pads too, where it does not count
        assert played.nets.cost_head is not None
        played.nets.cost_head.bias[(gold[0, 0] + 1) % K] += 9.0  # F says one tag everywhere
        f = played.nets.cost_augmented(data.x, gold, data.mask).argmax(dim=2)
    right = Batch(data.x, gold, data.mask)
    found = inference_loss(played, right, CONFIG, entropy_weight=0.0, anchor=Anchor(played.nets, 0.0))
    apart = [float((f == gold)[where].float().mean()) for where in (data.mask, ~data.mask)]
    assert found.terms["a_minus_f"].item() == pytest.approx(1 - apart[0], rel=1e-5) and apart[0] < 1
    assert apart[1] < 1, "or pads would change nothing"


def test_after_fine_tuning_the_f_that_is_asked_is_the_one_kept_aside() -> None:
    played = game("single")
    both = Game(played.energy, played.nets, cost_nets=game("single").nets)
    assert both.cost_augmenting is both.cost_nets is not both.nets and both.has_both and not played.has_both


@pytest.mark.parametrize("parametrisation", ["separated", "shared", "stacked", "single"])
def test_networks_start_from_a_pretrained_tagger_and_leave_it_alone(parametrisation: str) -> None:
    pretrained, data = InferenceNetworks(encoder(5), K, parametrisation="single"), batch()
    nets = started_from(game(parametrisation).nets, pretrained)
    assert data.y is not None
    expected = pretrained.test_time(data.x, data.mask)
    assert torch.equal(nets.test_time(data.x, data.mask), expected)
    f = nets.cost_augmented(data.x, data.y, data.mask)
    assert torch.equal(f, expected) == (parametrisation != "stacked")
    with torch.no_grad():
        nets.head.bias.add_(1.0)
    assert torch.equal(pretrained.test_time(data.x, data.mask), expected)


@pytest.mark.parametrize("name", ["bilstm", "crf", "spen_gradient", "game", "tag_language_model"])
def test_each_of_two_processes_reads_its_half_of_a_minibatch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, rows = Run(torch.device("cpu"), 0, rank=1, n_processes=2), list[Tensor]()
    monkeypatch.setattr("ebm_course.recipes.structured.parts.update", lambda *_, **__: {})
    played, data = game("single"), batch()
    for module in (played.nets.encoder, played.energy.encoder):  # type: ignore[union-attr]
        module.register_forward_pre_hook(lambda _, given: rows.append(given[0]))
    model = tag_language_model.TagLanguageModel(K, width=3, hidden=4)
    model.register_forward_pre_hook(lambda _, given: rows.append(given[0]))
    nets, energy, tags = (Learner(m, sgd(m, rate=0.1), run=run) for m in (played.nets, played.energy, model))
    given: dict[str, Any] = {"updates": Updates(), "n_updates": 1, "anchor": Anchor(played.nets, 0.0), "run": run}
    step = {
        "bilstm": lambda: bilstm.make_step(nets),
        "crf": lambda: crf.make_step(energy),
        "spen_gradient": lambda: spen_gradient.make_step(energy, spen_gradient.SMOKE),
        "game": lambda: make_step(played, nets, energy, replace(CONFIG, loss="margin", **SINGLE), **given),
        "tag_language_model": lambda: tag_language_model.make_step(tags),
    }[name]()
    step(data, torch.Generator())
    read = data.y if name == "tag_language_model" else data.x
    assert read is not None and rows and all(torch.equal(x, read[2:]) for x in rows)
