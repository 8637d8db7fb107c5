"""One update of each text recipe: what it minimises, what steers its perturbations, and that each is one change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.core import Batch, Loss
from ebm_course.energies.reconstruction_head import Reconstructing
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.objectives.info_nce import frozen_nce
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.recipes.text.carl import Contrast, Numbered
from ebm_course.recipes.text.parts import Learner, Passed, rate_factor
from ebm_course.runtime import SINGLE_PROCESS

V, K, N, L, WIDTH = 20, 3, 6, 7, 8
MASK = torch.arange(L) < torch.tensor([7, 5, 2, 4, 7, 1])[:, None]
X = torch.randint(1, V, (N, L), generator=torch.Generator().manual_seed(0)) * MASK
Y = torch.arange(N) % K
BATCH = Numbered(X, Y, MASK, torch.arange(N))
CLEAN: dict[str, Any] = {"noise_size": 0.0, "n_passes": 3}
NOISY: dict[str, Any] = {"noise_size": 0.6, "n_passes": 2}


def plain(net: nn.Module, *, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=rate)


COMMON: dict[str, Any] = {"optimizer": plain, "rate": 0.1, "warm_up": 0, "clip": math.inf, "step_size": 0.3}
CONFIGS: dict[ModuleType, Any] = {
    freelb: replace(freelb.SMOKE, **COMMON),
    rar: replace(rar.SMOKE, **COMMON, reconstruction_weight=0.7),
    carl: replace(carl.SMOKE, **COMMON, contrast_weight=0.7, contrast_after=0, temperature=0.5, n_negatives=40),
}

WEIGHTS: dict[ModuleType, str] = {rar: "reconstruction_weight", carl: "contrast_weight"}


def net(dropout: float = 0.3) -> TextClassifier:
    torch.manual_seed(0)
    made = TextClassifier(V, K, width=WIDTH, n_layers=1, n_heads=2, max_length=L, dropout=dropout)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    return made


def learner_of(recipe: ModuleType, config: Any) -> Learner:
    torch.manual_seed(0)
    return Learner(Reconstructing(net()) if recipe is rar else net(), config)


def contrast_of(config: Any) -> Contrast:
    """Banks of 30 rows, filled with anything."""
    g = torch.Generator().manual_seed(5)
    y = torch.randint(K, (30,), generator=g)
    y[:N] = Y
    made = Contrast(y, WIDTH, config, n_classes=K, fill_from=0)
    made.store(torch.arange(30), *torch.randn(2, 30, WIDTH, generator=g))
    return made


def step_of(recipe: ModuleType, learner: Learner) -> Any:
    return recipe.make_step(learner, *([contrast_of(learner.config)] if recipe is carl else []))


def updated(recipe: ModuleType, config: Any) -> tuple[Learner, dict[str, Tensor]]:
    learner = learner_of(recipe, config)
    torch.manual_seed(7)
    return learner, step_of(recipe, learner)(BATCH, torch.Generator().manual_seed(2))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The perturbations of an update."""
    found: list[Tensor] = []
    original = freelb.freelb

    def watched(*args: Any, **options: Any) -> Iterator[Tensor]:
        for delta in original(*args, **options):
            found.append(delta.detach().clone())
            yield delta

    monkeypatch.setattr(freelb, "freelb", watched)
    return found


def same(one: nn.Module, two: nn.Module) -> bool:
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    return all(torch.allclose(p, q, rtol=1e-5, atol=1e-6) for p, q in pairs)


def expected_gradients(recipe: ModuleType, config: Any, deltas: list[Tensor]) -> list[Tensor | None]:
    """Of the mean loss over passes and the recipe's own term, all graphs at once, every pass with one dropout mask."""
    learner = learner_of(recipe, config)
    module, model = learner.module.train(), learner.net

    def passed(delta: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        torch.manual_seed(7)
        return model.logits_and_states(model.embed(X) + delta, MASK)

    passes = [passed(delta) for delta in deltas]
    without = passes[0] if config.noise_size == 0 else passed(0.0)
    scored = [*passes, without] if config.clean_pass else passes
    loss = torch.stack([F.cross_entropy(logits, Y) for logits, _, _ in scored]).mean()
    if recipe is rar:
        assert isinstance(module, Reconstructing)
        loss = loss + config.reconstruction_weight * module.head.loss(passes[-1][1], X, MASK)[0]
    if recipe is carl:
        banks = contrast_of(config)
        r_adv, r = (F.normalize(s, dim=1) for s in (passes[-1][2], without[2]))
        pair = (r_adv * r).sum(dim=1) / config.temperature
        for anchors, bank in ((r_adv, banks.clean), (r, banks.perturbed)):
            others = anchors @ bank.features.T / config.temperature
            others = others.masked_fill(bank.labels == Y[:, None], -torch.inf)
            scores = torch.cat([pair[:, None], others], dim=1)
            loss = loss + config.contrast_weight * F.cross_entropy(scores, torch.zeros(N, dtype=torch.int64))
    return list(torch.autograd.grad(loss, list(module.parameters())))


@pytest.mark.parametrize("how", [CLEAN, NOISY, {**NOISY, "clean_pass": True}], ids=["clean", "noisy", "clean pass"])
@pytest.mark.parametrize("recipe", [freelb, rar, carl], ids=lambda r: r.__name__.rpartition(".")[2])
def test_the_gradient_that_adds_up_is_that_of_the_whole_loss(
    recipe: ModuleType, how: dict[str, Any], seen: list[Tensor]
) -> None:
    config = replace(CONFIGS[recipe], **how, **({"estimator": "softmax"} if recipe is carl else {}))
    learner, _ = updated(recipe, config)
    assert len(seen) == config.n_passes
    expected = expected_gradients(recipe, config, seen)
    for (name, p), g in zip(learner.module.named_parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, g, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("how", [CLEAN, NOISY], ids=["clean", "noisy"])
def test_each_perturbation_climbs_the_classifiers_loss_alone(how: dict[str, Any], seen: list[Tensor]) -> None:
    found = {}
    for recipe in (freelb, rar, carl):
        for weight in (0.0, 50.0):
            changed = {WEIGHTS[recipe]: weight} if recipe in WEIGHTS else {}
            config = replace(CONFIGS[recipe], **how, **changed)
            seen.clear()
            updated(recipe, config)
            found[recipe.__name__, weight] = torch.stack(seen)
    first = found.pop((freelb.__name__, 0.0))
    assert (first[-1] - first[0]).flatten(1).norm(dim=1).min() > 0.1
    for other in found.values():
        torch.testing.assert_close(other, first, rtol=1e-5, atol=1e-6)


def test_no_perturbation_is_longer_than_the_radius_of_the_configuration(seen: list[Tensor]) -> None:
    updated(freelb, replace(CONFIGS[freelb], **NOISY, radius=0.05))
    for delta in seen:
        torch.testing.assert_close(delta.flatten(1).norm(dim=1), torch.full((N,), 0.05))  # both would be longer


def test_one_step_of_the_classifier_is_written_out() -> None:
    config = replace(finetune.SMOKE, **{k: v for k, v in COMMON.items() if k != "step_size"})
    learner, log = updated(finetune, config)
    other = net().train()
    torch.manual_seed(7)
    loss = F.cross_entropy(other(X, MASK), Y)
    loss.backward()
    torch.optim.SGD(other.parameters(), lr=0.1).step()
    assert same(learner.module, other) and log["loss"].item() == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("recipe", [finetune, freelb, rar, carl], ids=lambda r: r.__name__.rpartition(".")[2])
def test_what_a_validation_left_in_eval_mode_learns_in_train_mode(recipe: ModuleType) -> None:
    learner, modes = learner_of(recipe, CONFIGS.get(recipe, CONFIGS[freelb])), list[bool]()
    learner.module.eval()
    learner.net.norm.register_forward_hook(lambda module, *_: modes.append(module.training))  # type: ignore[operator]
    step_of(recipe, learner)(BATCH, torch.Generator().manual_seed(2))
    assert modes and all(modes) and learner.module.training, "a head too"


@pytest.mark.parametrize("recipe", [finetune, freelb])
def test_gradients_that_are_left_are_no_part_of_an_update(recipe: ModuleType) -> None:
    learner = learner_of(recipe, CONFIGS[freelb])
    for p in learner.module.parameters():
        p.grad = torch.ones_like(p)
    torch.manual_seed(7)
    step_of(recipe, learner)(BATCH, torch.Generator().manual_seed(2))
    assert same(learner.module, updated(recipe, CONFIGS[freelb])[0].module)


def test_the_rate_follows_its_schedule_from_update_to_update() -> None:
    learner = learner_of(finetune, replace(CONFIGS[freelb], warm_up=4, n_steps=10))
    rates = []
    for _ in range(3):
        rates.append(learner.optimizer.param_groups[0]["lr"])
        step_of(finetune, learner)(BATCH, torch.Generator())
    assert rates == pytest.approx([0.025, 0.05, 0.075])


def test_the_optimiser_has_the_rate_and_the_decay_of_the_configuration() -> None:
    seen: list[tuple[float, float]] = []

    def noted(net: nn.Module, *, rate: float, weight_decay: float) -> torch.optim.Optimizer:
        seen.append((rate, weight_decay))
        return plain(net, rate=rate, weight_decay=weight_decay)

    learner_of(finetune, replace(finetune.SMOKE, optimizer=noted, rate=0.02, weight_decay=0.3))
    assert seen == [(0.02, 0.3)]


def test_no_update_is_longer_than_the_clip_of_the_configuration_allows() -> None:
    config = replace(finetune.SMOKE, **{k: v for k, v in COMMON.items() if k != "step_size"})
    found = updated(finetune, replace(config, clip=0.01))[0].module
    away = [(p - q).flatten() for p, q in zip(found.parameters(), net().parameters(), strict=True)]
    assert torch.cat(away).norm().item() == pytest.approx(0.1 * 0.01, rel=1e-3)


@pytest.mark.parametrize("how", [CLEAN, NOISY, {**NOISY, "clean_pass": True}], ids=["clean", "noisy", "clean pass"])
def test_what_is_logged_is_the_whole_loss_and_the_rise_from_the_first_pass_to_the_last(
    how: dict[str, Any], seen: list[Tensor]
) -> None:
    config = replace(CONFIGS[rar], **how)
    _, log = updated(rar, config)
    module = learner_of(rar, config).module.train()
    assert isinstance(module, Reconstructing)
    passes = []
    for delta in [*([torch.zeros(())] if config.clean_pass else []), *seen]:
        torch.manual_seed(7)
        passes.append(module.classifier.logits_and_states(module.classifier.embed(X) + delta, MASK))
    losses = torch.stack([F.cross_entropy(logits, Y) for logits, _, _ in passes])
    named = module.head.loss(passes[-1][1], X, MASK)[0]
    torch.testing.assert_close(log["loss"], losses.mean() + 0.7 * named, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(log["cross_entropy"], losses.mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(log["rise"], losses[-1] - losses[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(log["reconstruction"], named, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_passes", [1, 2, 4])
def test_without_noise_and_ascent_freelb_is_the_classifier_dropout_on(n_passes: int) -> None:
    config = replace(CONFIGS[freelb], noise_size=0.0, step_size=0.0, n_passes=n_passes)
    assert same(updated(freelb, config)[0].module, updated(finetune, config)[0].module)
    assert not same(updated(freelb, replace(config, noise_size=0.6))[0].module, updated(finetune, config)[0].module)


@pytest.mark.parametrize("how", [CLEAN, NOISY], ids=["clean", "noisy"])
@pytest.mark.parametrize("recipe, weight", [(rar, "reconstruction_weight"), (carl, "contrast_weight")])
def test_without_its_term_a_recipe_is_freelb(recipe: ModuleType, weight: str, how: dict[str, Any]) -> None:
    config = replace(CONFIGS[recipe], **how)
    base = updated(freelb, config)[0]
    assert same(updated(recipe, replace(config, **{weight: 0.0}))[0].net, base.net)
    assert not same(updated(recipe, config)[0].net, base.net)


def test_before_its_time_carl_is_freelb_and_stores_nothing() -> None:
    config = replace(CONFIGS[carl], contrast_after=5)
    learner = learner_of(carl, config)
    contrast = Contrast(torch.arange(30) % K, WIDTH, config, n_classes=K, fill_from=1)
    step = carl.make_step(learner, contrast)
    torch.manual_seed(7)
    log = step(BATCH, torch.Generator().manual_seed(2))
    assert same(learner.net, updated(freelb, config)[0].net)
    assert contrast.clean.n_updates == 0 and "pair" not in log
    log = step(BATCH, torch.Generator().manual_seed(3))  # the banks are filled, L_D waits
    assert contrast.clean.n_updates == 1 and contrast.clean.fresh().sum() == N and "pair" not in log


def test_the_banks_hold_the_sentences_of_the_clean_and_of_the_last_pass(seen: list[Tensor]) -> None:
    config = replace(CONFIGS[carl], **NOISY, contrast_after=9)
    learner = learner_of(carl, config)
    contrast = Contrast(torch.arange(30) % K, WIDTH, config, n_classes=K, fill_from=0)
    start = net().train()
    torch.manual_seed(7)
    carl.make_step(learner, contrast)(BATCH, torch.Generator().manual_seed(2))
    for delta, bank in ((0.0, contrast.clean), (seen[-1], contrast.perturbed)):
        torch.manual_seed(7)
        sentence = start.logits_and_states(start.embed(X) + delta, MASK)[2]
        torch.testing.assert_close(bank.features[:N], F.normalize(sentence, dim=1).detach())


@pytest.mark.parametrize("how, extra", [(CLEAN, 0), (NOISY, 1), ({**NOISY, "clean_pass": True}, 1)])
def test_carl_passes_once_more_than_freelb_only_where_no_pass_is_clean(
    how: dict[str, Any], extra: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    original = TextClassifier.logits_and_states

    def counted(self: TextClassifier, *args: Any) -> Any:
        calls.append(1)
        return original(self, *args)

    monkeypatch.setattr(TextClassifier, "logits_and_states", counted)
    config = replace(CONFIGS[carl], **how)
    updated(carl, config)
    assert len(calls) == config.n_passes + extra
    calls.clear()
    updated(freelb, config)
    assert len(calls) == config.n_passes + config.clean_pass


def test_each_side_of_the_contrast_has_its_own_bank_and_normaliser() -> None:
    config = CONFIGS[carl]
    contrast, g = contrast_of(config), torch.Generator().manual_seed(3)
    r_adv, r = F.normalize(torch.randn(2, N, WIDTH, generator=g), dim=2)
    last, clean = (Passed(torch.zeros(N, K), torch.zeros(N, L, WIDTH), 3 * s) for s in (r_adv, r))
    pair, sides, mask = (r_adv * r).sum(dim=1), [], contrast.clean.labels != Y[:, None]
    contrast.loss(last, clean, Y, N, g)
    for anchors, bank, z in (
        (r_adv, contrast.clean, contrast.of_perturbed), (r, contrast.perturbed, contrast.of_clean)
    ):  # fmt: skip
        others = anchors @ bank.features.T
        each = torch.cat([pair, others[mask]]).div(config.temperature)
        torch.testing.assert_close(z.value, each.exp().mean().log() + math.log(30))
        options: dict[str, Any] = {"mask": mask, "normaliser": z, "n_rows": 30, "temperature": config.temperature}
        sides.append(frozen_nce(pair, others, **options))
    found = contrast.loss(last, clean, Y, N, g)  # now with both normalisers frozen
    torch.testing.assert_close(found.value, 0.7 * (sides[0].value + sides[1].value))
    expected = {"contrast_perturbed": sides[0].value, "contrast_clean": sides[1].value}
    expected |= {"pair": pair.mean(), "others": sides[0].terms["negative"]}
    torch.testing.assert_close(found.terms, expected)


def test_fresh_negatives_are_those_of_the_last_updates_alone() -> None:
    config = replace(CONFIGS[carl], freshness=1)
    contrast = contrast_of(config)
    contrast.store(torch.arange(10, 20), *torch.randn(2, 10, WIDTH))
    learner = learner_of(carl, config)
    rows = contrast._rows(10, torch.Generator())
    assert rows is not None and sorted(rows.tolist()) == list(range(10, 20))
    seen_by = contrast.clean.negatives_of(Y, rows=rows, last_k=1)
    assert seen_by.any() and not (seen_by & (contrast.clean.labels[rows] == Y[:, None])).any()
    log = carl.make_step(learner, contrast)(BATCH, torch.Generator().manual_seed(2))
    assert log["others"].isfinite()


def test_a_normaliser_of_drawn_rows_is_that_of_the_whole_bank() -> None:
    config = CONFIGS[carl]
    contrast, rows = contrast_of(config), torch.arange(5, 17)
    r_adv, r = F.normalize(torch.randn(2, N, WIDTH, generator=torch.Generator().manual_seed(3)), dim=2)
    pair, mask = (r_adv * r).sum(dim=1), contrast.clean.labels[rows] != Y[:, None]
    contrast._both(pair, r_adv, r, Y, rows)
    each = torch.cat([pair, (r_adv @ contrast.clean.features[rows].T)[mask]]).div(config.temperature)
    torch.testing.assert_close(contrast.of_perturbed.value, each.exp().mean().log() + math.log(30))


def test_a_contrast_goes_on_from_its_state_with_both_banks_and_normalisers() -> None:
    first = contrast_of(CONFIGS[carl])
    second = Contrast(first.clean.labels, WIDTH, CONFIGS[carl], n_classes=K, fill_from=0)
    r_adv, r = torch.randn(2, N, WIDTH, generator=torch.Generator().manual_seed(3))
    last, clean = (Passed(torch.zeros(N, K), torch.zeros(N, L, WIDTH), s) for s in (r_adv, r))
    first.loss(last, clean, Y, N, torch.Generator())
    first.updates = 17
    second.load_state_dict(first.state_dict())
    assert second.updates == 17 and second.of_clean.known and second.of_perturbed.known
    torch.testing.assert_close(
        second.loss(last, clean, Y, N, torch.Generator()).value, first.loss(last, clean, Y, N, torch.Generator()).value
    )


def test_both_banks_have_the_momentum_of_the_configuration() -> None:
    contrast = contrast_of(replace(CONFIGS[carl], momentum=0.25))
    assert contrast.clean.momentum == contrast.perturbed.momentum == 0.25


def test_of_fresh_rows_too_no_more_are_taken_than_are_needed() -> None:
    contrast = contrast_of(replace(CONFIGS[carl], freshness=2, n_negatives=4))
    rows = contrast._rows(10, torch.Generator())
    assert rows is not None and len(rows) == 6  # of 20 written in two updates; two thirds of six have another label


def test_rows_that_are_older_are_no_fresh_negatives_where_the_last_updates_wrote_fewer() -> None:
    config = replace(CONFIGS[carl], freshness=2)
    contrast, rows = contrast_of(config), torch.arange(10, 20)
    for _ in range(2):  # the same rows twice, so that the 20 newest are these and ten of the first update
        contrast.store(rows, *torch.randn(2, 10, WIDTH, generator=torch.Generator().manual_seed(1)))
    sentence = torch.randn(N, WIDTH, generator=torch.Generator().manual_seed(2))
    passed = Passed(torch.zeros(N, K), torch.zeros(N, L, WIDTH), sentence)
    found = contrast.loss(passed, passed, Y, 10, torch.Generator().manual_seed(0)).terms["others"]
    scores = F.normalize(sentence, dim=1) @ contrast.clean.features[rows].T
    torch.testing.assert_close(found, scores[contrast.clean.labels[rows] != Y[:, None]].mean())


def test_of_a_large_bank_as_many_rows_are_drawn_as_are_needed() -> None:
    config = replace(CONFIGS[carl], n_negatives=8)
    contrast = contrast_of(config)
    rows = contrast._rows(N, torch.Generator().manual_seed(0))
    assert rows is not None and len(rows.unique()) == 12  # two thirds of them have another label
    assert contrast_of(replace(config, n_negatives=20))._rows(N, torch.Generator()) is None  # all rows


def test_the_rate_rises_and_falls_linearly() -> None:
    config = replace(finetune.SMOKE, n_steps=100, warm_up=10)
    factors = [rate_factor(i, config) for i in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == factors[9] == 1.0
    assert factors[55] == pytest.approx(0.5) and 0 < factors[-1] < 0.02


def test_one_process_of_two_takes_half_of_the_rows_and_of_one_noise(seen: list[Tensor]) -> None:
    config = replace(CONFIGS[freelb], **NOISY)
    updated(freelb, config)
    whole = seen[0].clone()
    seen.clear()

    class Second(type(SINGLE_PROCESS)):  # type: ignore[misc]
        def average_gradients(self, module: nn.Module) -> None:
            pass

    learner = Learner(net(), config, run=Second(torch.device("cpu"), 0, rank=1, n_processes=2))
    torch.manual_seed(7)
    given: list[Tensor] = []

    def noted(last: Passed, clean: Passed | None, rows: Batch) -> Loss:
        given.append(rows.x)
        return Loss(last.logits.sum(), {})

    learner.descend(freelb.climb(learner, BATCH, torch.Generator().manual_seed(2), also=noted).loss)
    torch.testing.assert_close(seen[0], whole[N // 2 :])
    assert len(given) == 1 and torch.equal(given[0], X[N // 2 :])


def test_one_process_of_two_contrasts_its_rows_and_stores_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    config, asked, stored = CONFIGS[carl], list[tuple[Tensor, int]](), list[tuple[Tensor, ...]]()

    class Second(type(SINGLE_PROCESS)):  # type: ignore[misc]
        def average_gradients(self, module: nn.Module) -> None:
            pass

        def gather(self, x: Tensor) -> Tensor:
            return torch.cat([torch.ones_like(x), x])

    learner = Learner(net(), config, run=Second(torch.device("cpu"), 0, rank=1, n_processes=2))
    contrast = contrast_of(config)
    original = contrast.loss

    def noted(last: Passed, clean: Passed | None, y: Tensor, n: int, generator: torch.Generator) -> Any:
        asked.append((y, n))
        return original(last, clean, y, n, generator)

    monkeypatch.setattr(contrast, "loss", noted)
    monkeypatch.setattr(contrast, "store", lambda *given: stored.append(given))
    carl.make_step(learner, contrast)(BATCH, torch.Generator().manual_seed(2))
    ((y, n),), ((rows, *sentences),) = asked, stored
    assert torch.equal(y, Y[N // 2 :]) and n == N  # an update stores all rows of the minibatch
    assert contrast.of_clean.gather == contrast.of_perturbed.gather == learner.run.gather  # one log Z of all rows
    assert torch.equal(rows, torch.arange(N))
    for of_all in sentences:
        assert of_all.shape == (N, WIDTH) and not of_all.requires_grad
        assert of_all[: N // 2].eq(1).all() and not of_all[N // 2 :].eq(1).any()


def test_what_cannot_be_is_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"^clean_pass: expected False where noise_size is 0"):
        replace(freelb.PAPER, noise_size=0.0, clean_pass=True)
    with pytest.raises(ValueError, match=r"^n_passes: expected 2 or more where noise_size is 0"):
        replace(carl.PAPER, noise_size=0.0, n_passes=1)
    for bad in (True, 0, 1.0, "banks"):
        with pytest.raises(ValueError, match=r"^freshness: expected 'bank', the paper's, or a whole number"):
            replace(carl.PAPER, freshness=bad)
    config = CONFIGS[carl]
    with pytest.raises(ValueError, match=r"^n_classes: expected 2 or more, got 1: negatives differ in label"):
        Contrast(torch.zeros(4).long(), WIDTH, config, n_classes=1, fill_from=0)
    with pytest.raises(TypeError, match=r"which rows a minibatch holds: got a Batch without numbers"):
        step_of(carl, learner_of(carl, config))(Batch(X, Y, MASK), torch.Generator())
    with pytest.raises(ValueError, match=r"learns from labels \(N,\): got a batch without"):
        step_of(freelb, learner_of(freelb, CONFIGS[freelb]))(Batch(X, None, MASK), torch.Generator())
    small = Contrast(torch.arange(4) % K, WIDTH, config, n_classes=K, fill_from=0)
    with pytest.raises(ValueError, match=r"a bank of 4 rows of width 8 takes features"):
        carl.make_step(learner_of(carl, replace(config, contrast_after=9)), small)(BATCH, torch.Generator())
