"""The tagging recipes whole: they learn, resume, keep the best, and refuse what they cannot do."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from ebm_course.commands import choices
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.recipes.shared import Fitted
from ebm_course.recipes.structured import bilstm, crf, inference_network, parts, spen_gradient, tag_language_model
from ebm_course.recipes.structured.data import data_of, language, newswire
from ebm_course.recipes.structured.decoding import Decoder, answered, cost_augmented, descended, measured
from ebm_course.recipes.structured.evaluation import evaluation
from ebm_course.recipes.structured.game import Game
from ebm_course.recipes.structured.parts import sgd, with_language_model
from ebm_course.runtime import Run
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.tasks.agreement import agreement

RECIPES = (bilstm, crf, tag_language_model, spen_gradient, inference_network)
RUN = Run(torch.device("cpu"), 0)
MARGIN: dict[str, Any] = inference_network.MARGIN


def fitted(recipe: ModuleType, config: Any, *, run: Run = RUN, folder: Path | None = None, **given: Any) -> Fitted:
    torch.manual_seed(run.seed)
    found: Fitted = recipe.fit(config, run, folder=folder, progress=False, **given)
    return found


VARIANTS = [
    *((recipe, recipe.SMOKE) for recipe in RECIPES),
    (spen_gradient, replace(spen_gradient.SMOKE, global_terms="c", descent_method="softmax")),
    (inference_network, replace(inference_network.SMOKE, dropout=0.2, entropy_weight=1.0, n_inference_steps=2)),
    (inference_network, replace(inference_network.SMOKE, **MARGIN, optimizer=sgd, rate=0.01)),
    (inference_network, replace(inference_network.SMOKE, global_terms="b", trains="chain", energy_sees="sentence")),
]


@pytest.mark.parametrize("recipe, config", VARIANTS)
def test_a_killed_run_ends_with_the_same_net_and_rows(
    recipe: ModuleType, config: Any, tmp_path: Path, killed_at: Callable
) -> None:
    config = replace(config, n_epochs=3, task=partial(agreement, n_train=80, n_valid=20, n_test=1))
    straight = fitted(recipe, config)
    # In the third epoch, or in the second of a game, whose updates have two calls or three.
    with killed_at(parts, 5), pytest.raises(KeyboardInterrupt):
        fitted(recipe, config, folder=tmp_path)
    with killed_at(parts, 10), contextlib.suppress(KeyboardInterrupt):  # where there is fine-tuning, in it
        fitted(recipe, config, folder=tmp_path)
    torch.manual_seed(99)  # what is drawn before the state is loaded does not matter
    resumed = recipe.fit(config, RUN, folder=tmp_path, progress=False)
    assert resumed.rows == straight.rows
    for name, value in straight.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[name], value)


def test_every_validation_reports_what_the_recipe_promises() -> None:
    figures = ("accuracy", "fillers", "closers")
    for recipe, names in zip(
        RECIPES, ("network", "exact", "", "descent exact", "network exact cost_augmented"), strict=True
    ):
        last = fitted(recipe, recipe.SMOKE).rows[-1]
        expected = {f"valid_{name}_{part}" for name in names.split() for part in figures} | {"valid_error"}
        if recipe is tag_language_model:
            expected = {"valid_cross_entropy"}
        if recipe is inference_network:
            expected |= {"valid_a_minus_f"}
        assert {name for name in last if name.startswith("valid")} == expected
    logged = {"energy_loss", "energy_gradient_norm", "inference_loss", "inference_gradient_norm", "violations", "gap"}
    logged |= {"margin_loss", "augmented", "perceptron_loss", "entropy_a", "entropy_f", "cross_entropy_a", "a_minus_f"}
    assert logged <= last.keys()


def test_the_best_net_is_returned_where_asked_for_and_the_last_beside_it() -> None:
    config = replace(bilstm.SMOKE, n_epochs=12, rate=0.3)
    nets, rows, last, _ = fitted(bilstm, config)
    data = data_of(config, RUN)
    errors = [row["valid_error"] for row in rows]

    def error() -> float:
        found = measured({"network": Decoder(answered(nets), data.valid)}, data.score)  # type: ignore[arg-type]
        return 1 - found["network"]["accuracy"]

    assert error() == min(errors) < errors[-1]
    nets.load_state_dict(last or {})
    assert error() == errors[-1]
    without, _, last, _ = fitted(bilstm, replace(config, keep_best=False))
    assert last is None and all(map(torch.equal, without.state_dict().values(), nets.state_dict().values()))


def test_a_minus_f_is_how_much_better_a_is_than_f() -> None:
    rows = fitted(inference_network, replace(inference_network.SMOKE, cross_entropy_f=0.0)).rows
    apart = [row["valid_network_accuracy"] - row["valid_cost_augmented_accuracy"] for row in rows]
    assert [row["valid_a_minus_f"] for row in rows] == pytest.approx(apart) and any(apart)


@pytest.mark.parametrize("select, name", [("network", "valid_network_accuracy"), ("exact", "valid_exact_accuracy")])
def test_the_weights_are_chosen_by_the_decoder_that_is_named(select: str, name: str) -> None:
    rows = fitted(inference_network, replace(inference_network.SMOKE, select=select)).rows
    assert all(row["valid_error"] == 1 - row[name] for row in rows)


def test_training_ends_when_no_validation_is_better_for_as_long_as_asked() -> None:
    rows = fitted(bilstm, replace(bilstm.SMOKE, rate=1e-9, n_epochs=9, patience=2)).rows
    assert len(rows) == 3


def test_at_most_a_tenth_of_the_work_is_on_pads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("ebm_course.training.fit.fit", lambda step, batches, **_: seen.append(batches) or [])
    fitted(bilstm, replace(bilstm.NOTEBOOK, keep_best=False))
    (batches,) = seen
    masks = [batches[i].mask for i in range(batches.steps_per_epoch)]
    assert sum(int((~mask).sum()) for mask in masks) <= 0.1 * sum(mask.numel() for mask in masks)


def test_what_is_given_is_copied_and_an_energy_that_is_not_trained_stays() -> None:
    chain, pretrained = fitted(crf, crf.SMOKE).module, fitted(bilstm, bilstm.SMOKE).module
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    config = replace(inference_network.SMOKE, trains="nothing", anchor=0.1)
    found = fitted(inference_network, config, energy=chain, pretrained=pretrained)
    assert isinstance(found.module, Game) and found.module.energy is not chain
    assert all(torch.equal(found.module.energy.state_dict()[name], value) for name, value in before.items())
    assert found.origin is not None and set(found.origin.given) == {"energy", "pretrained"}
    fitted(inference_network, inference_network.SMOKE, energy=chain)
    assert all(torch.equal(chain.state_dict()[name], value) for name, value in before.items())


def test_language_models_beside_a_trained_chain_stay_where_asked_for() -> None:
    model = TagLanguageModel(7, width=4, hidden=5)
    chain = fitted(crf, crf.SMOKE).module
    assert isinstance(chain, Spen)
    energy = with_language_model(chain, model, weight=0.5)
    config = replace(inference_network.SMOKE, trains="chain", global_terms="a")
    trained = fitted(inference_network, config, energy=energy).module
    assert isinstance(trained, Game) and isinstance(trained.energy, GlobalEnergy)
    assert torch.equal(trained.energy.language_models["tags"].start, model.start)  # type: ignore[arg-type]
    assert not torch.equal(trained.energy.spen.transitions, energy.spen.transitions)
    held = list(trained.energy.language_models.parameters())
    assert all(p.grad is None and p.requires_grad for p in held), "nothing was computed for them, and flags are back"


def test_after_a_margin_loss_a_is_tuned_and_f_stays() -> None:
    config = replace(inference_network.SMOKE, **MARGIN)
    joint = fitted(inference_network, replace(config, fine_tune_epochs=0))
    tuned = fitted(inference_network, replace(config, fine_tune_epochs=2))
    assert isinstance(joint.module, Game) and isinstance(tuned.module, Game) and tuned.module.cost_nets is not None
    state = joint.module.nets.state_dict()
    assert all(torch.equal(tuned.module.cost_nets.state_dict()[name], value) for name, value in state.items())
    assert not torch.equal(tuned.module.nets.head.weight, joint.module.nets.head.weight)
    assert torch.equal(tuned.module.energy.transitions, joint.module.energy.transitions)  # type: ignore[arg-type]
    assert [row["step"] for row in tuned.rows] == [5, 10, 15, 20] and tuned.rows[:2] == joint.rows
    assert tuned.rows[-1]["perceptron_loss"] and "energy_loss" not in tuned.rows[-1]
    data = data_of(config, RUN)
    f = measured({"f": Decoder(cost_augmented(tuned.module.cost_nets), data.valid)}, data.score)["f"]["accuracy"]
    assert (
        [row["valid_cost_augmented_accuracy"] for row in tuned.rows[2:]]
        == [f, f]
        != [row["valid_network_accuracy"] for row in tuned.rows[2:]]
    )
    has_difference = ["valid_a_minus_f" in row and "valid_cost_augmented_accuracy" in row for row in tuned.rows]
    assert has_difference == [False, False, True, True]  # before, F is A


def test_what_tunes_a_after_a_margin_loss_is_its_own_perceptron_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, played = list[tuple[Any, Any]](), list[Fitted]()
    original = inference_network._play

    def noted(game: Any, config: Any, run: Any, data: Any, given: Any, *rest: Any) -> Fitted:
        seen.append((config, given))
        played.append(original(game, config, run, data, given, *rest))
        return played[-1]

    monkeypatch.setattr(inference_network, "_play", noted)
    config = replace(
        inference_network.SMOKE, **MARGIN, fine_tune_epochs=1, entropy_weight=1.0, n_inference_steps=2, anchor=0.1,
        perceptron_weight=3.0, cross_entropy_a=0.5, fine_tune_cross_entropy=0.25, select="exact",
    )  # fmt: skip
    found = fitted(inference_network, config, pretrained=fitted(bilstm, bilstm.SMOKE).module)
    (joint, _), (tuning, given) = seen
    assert found.origin == played[0].origin != played[1].origin, "what it came from is what was asked for"
    assert joint == config and set(given) == {"energy", "networks"}
    assert isinstance(found.module, Game)
    assert given["energy"] is found.module.energy and given["networks"] is found.module.cost_nets
    alone = {"loss": "perceptron", "trains": "nothing", "select": "network", "perceptron_weight": 1.0, "anchor": 0.0}
    without: dict[str, Any] = {"entropy_weight": 0.0, "n_inference_steps": 1, "cross_entropy_a": 0.25, "n_epochs": 1}
    assert tuning == replace(config, **alone, **without)


@pytest.mark.parametrize("recipe", [spen_gradient, inference_network])
def test_the_search_of_a_validation_is_the_configurations(recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[dict[str, Any]] = []
    original = recipe.exact_decoder

    def noted(energy: Any, valid: Any, **given: Any) -> Decoder:
        options.append(given)
        return original(energy, valid, **given)

    monkeypatch.setattr(recipe, "exact_decoder", noted)
    fitted(recipe, replace(recipe.SMOKE, n_epochs=0, beam_width=3, n_searched=7))
    assert options == [{"beam_width": 3, "n_searched": 7}]


def test_descent_of_a_validation_is_the_configurations_and_chooses_what_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: list[dict[str, Any]] = []
    original = spen_gradient.descended

    def noted(energy: Any, **given: Any) -> Any:
        options.append(given)
        return original(energy, **given)

    monkeypatch.setattr(spen_gradient, "descended", noted)
    how: dict[str, Any] = {"n_descent_steps": 0, "descent_step_size": 0.25, "descent_method": "softmax"}
    row = fitted(spen_gradient, replace(spen_gradient.SMOKE, n_epochs=1, **how)).rows[-1]
    assert options == [{"n_steps": 0, "step_size": 0.25, "method": "softmax"}]
    assert row["valid_error"] == 1 - row["valid_descent_accuracy"] != 1 - row["valid_exact_accuracy"]


def test_a_model_of_tags_is_the_configurations_and_measured_on_validation_tags_and_their_ends() -> None:
    config = replace(tag_language_model.SMOKE, n_epochs=1, keep_best=False, tag_width=3, tag_hidden=5, backward=True)
    model, rows, *_ = fitted(tag_language_model, config)
    valid = data_of(config, RUN).valid
    assert isinstance(model, TagLanguageModel) and valid.y is not None and valid.mask is not None
    assert (model.embedding.embedding_dim, model.lstm.hidden_size, model.backward) == (3, 5, True)
    nats = float(model(valid.y, valid.mask).detach().sum()) / int(valid.mask.sum() + len(valid))
    assert rows[-1]["valid_cross_entropy"] == pytest.approx(nats, rel=1e-5)


def test_a_step_is_given_the_updates_of_all_epochs_an_anchor_of_the_networks_and_its_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[dict[str, Any]] = []
    original = inference_network.make_step

    def noted(game: Game, *args: Any, **rest: Any) -> Any:
        given.append({"game": game, **rest})
        return original(game, *args, **rest)

    monkeypatch.setattr(inference_network, "make_step", noted)
    pretrained = fitted(bilstm, bilstm.SMOKE).module
    rows = fitted(inference_network, replace(inference_network.SMOKE, anchor=0.25), pretrained=pretrained).rows
    (found,) = given
    assert found["n_updates"] == rows[-1]["step"] == 10  # two epochs of five: the entropy's weight falls over them
    assert found["anchor"].nets is found["game"].nets and found["anchor"].weight == 0.25
    assert found["run"] is RUN  # of whose minibatches each process takes its share


def test_networks_that_are_given_are_where_training_starts() -> None:
    pretrained = fitted(bilstm, bilstm.SMOKE).module
    game = fitted(inference_network, replace(inference_network.SMOKE, n_epochs=0), pretrained=pretrained).module
    assert isinstance(game, Game) and isinstance(pretrained, InferenceNetworks)
    valid = data_of(inference_network.SMOKE, RUN).valid
    assert torch.equal(game.nets.test_time(valid.x, valid.mask), pretrained.test_time(valid.x, valid.mask))


RATES: list[tuple[str, float]] = []


def of_networks(net: torch.nn.Module, *, rate: float) -> torch.optim.Optimizer:
    RATES.append(("networks", rate))
    return sgd(net, rate=rate)


def of_energies(net: torch.nn.Module, *, rate: float) -> torch.optim.Optimizer:
    RATES.append(("energy", rate))
    return sgd(net, rate=rate)


def test_each_player_has_its_own_optimiser_and_rate() -> None:
    RATES.clear()
    config = replace(inference_network.SMOKE, n_epochs=1, optimizer=of_networks, energy_optimizer=of_energies)
    fitted(inference_network, replace(config, rate=0.02, energy_rate=0.003))
    assert RATES == [("networks", 0.02), ("energy", 0.003)]


@pytest.mark.parametrize("recipe", [bilstm, crf, tag_language_model, spen_gradient])
def test_a_recipe_without_a_game_has_the_optimiser_and_the_rate_of_its_configuration(recipe: ModuleType) -> None:
    RATES.clear()
    fitted(recipe, replace(recipe.SMOKE, n_epochs=0, optimizer=of_networks, rate=0.02))
    assert RATES == [("networks", 0.02)]


@pytest.mark.parametrize("sees", crf.SEEN)
def test_the_numbers_of_a_configuration_reach_its_nets(sees: str) -> None:
    numbers: dict[str, Any] = {"global_terms": "c", "gamma": 0.25, "global_weight": 0.5, "dropout": 0.4}
    config = replace(inference_network.SMOKE, **numbers, energy_sees=sees, tag_width=3, tag_hidden=5)
    data = data_of(config, RUN)
    energy, nets = parts.energy_of(config, data), inference_network.fresh_networks(config, data)
    assert isinstance(energy, GlobalEnergy)
    assert (energy.weight_of("tags"), energy.weight_of("words_backward")) == (0.5, 0.125)
    model = energy.language_models["tags"]
    assert isinstance(model, TagLanguageModel)
    assert (model.embedding.embedding_dim, model.lstm.hidden_size) == (3, 5)
    for encoder in (energy.spen.encoder, nets.encoder):
        assert {m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)} == {0.4}
    assert with_language_model(energy.spen, model, weight=0.75).weight_of("tags") == 0.75


@pytest.mark.parametrize("sees", crf.SEEN)
def test_widths_and_fixed_vectors_of_a_configuration_reach_its_encoders(sees: str) -> None:
    config = replace(crf.SMOKE, energy_sees=sees, width=3, hidden=5)
    learned = parts.chain_energy_of(config, data_of(config, RUN)).encoder
    assert isinstance(learned.table, torch.nn.EmbeddingBag) and learned.vectors is None
    assert (learned.table.weight.shape, learned.n_features) == ((20, 3), 10 if sees == "sentence" else 3)
    config = replace(config, vectors=lambda vocabulary: torch.ones(len(vocabulary.values[0]) + 1, 4))
    fixed = parts.chain_energy_of(config, data_of(config, RUN)).encoder
    assert fixed.table is None and torch.equal(fixed.vectors, torch.ones(20, 4))  # words alone, none of them learned


@pytest.mark.parametrize("recipe", [crf, spen_gradient, inference_network])
def test_a_validation_measures_validation_sentences(recipe: ModuleType) -> None:
    config = replace(recipe.SMOKE, n_epochs=1, keep_best=False)
    module, rows, *_ = fitted(recipe, config)
    data = data_of(config, RUN)
    found, of_training = (evaluation(module, some, data.score) for some in (data.valid, data.train))
    if recipe is spen_gradient:
        how: dict[str, Any] = {"n_steps": config.n_descent_steps, "step_size": config.descent_step_size}
        decode = descended(module, **how, method=config.descent_method)  # type: ignore[arg-type]
        for values, some in ((found, data.valid), (of_training, data.train)):
            values["descent_accuracy"] = measured({"": Decoder(decode, some)}, data.score)[""]["accuracy"]
    for name, value in found.items():
        if name.endswith("accuracy"):
            assert rows[-1][f"valid_{name}"] == value != of_training[name], name


def test_a_validation_comes_after_as_many_epochs_as_the_configuration_says() -> None:
    rows = fitted(bilstm, replace(bilstm.SMOKE, n_epochs=4, validate_every=2)).rows
    assert [row["step"] for row in rows] == [10, 20]  # five updates an epoch


@pytest.mark.parametrize(
    "recipe, field, bad",
    [
        (bilstm, "dropout", 1.0),
        (bilstm, "patience", 0),
        (bilstm, "rate", 0.0),
        (bilstm, "rate", math.inf),
        (bilstm, "keep_best", "no"),
        (tag_language_model, "backward", 1),
        (crf, "energy_sees", "all"),
        (spen_gradient, "descent_method", "newton"),
        (spen_gradient, "descent_step_size", 0.0),
        (spen_gradient, "descent_step_size", math.inf),
        (spen_gradient, "global_terms", "d"),
        (spen_gradient, "gamma", -1.0),
        (inference_network, "loss", "hinge"),
        (inference_network, "energy_rate", math.inf),
        (inference_network, "truncate", "yes"),
        (inference_network, "trains", "all"),
        (inference_network, "select", "best"),
        (inference_network, "parametrisation", "single"),
        (inference_network, "n_inference_steps", 0),
        (inference_network, "entropy_until", 0.0),
        (inference_network, "beam_width", 0),
    ],
)
def test_a_field_out_of_its_range_is_refused_by_name(recipe: ModuleType, field: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        replace(recipe.SMOKE, **{field: bad})


def test_a_margin_loss_has_one_network_and_the_refusal_says_so() -> None:
    with pytest.raises(ValueError, match="expected one of single for the loss 'margin', got 'stacked'"):
        replace(inference_network.SMOKE, loss="margin")


def test_what_is_missing_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match=r"^anchor: 0\.5 ties networks to pretrained ones"):
        fitted(inference_network, replace(inference_network.SMOKE, anchor=0.5))
    with pytest.raises(ValueError, match=r"^trains: .* got a chain"):
        fitted(inference_network, replace(inference_network.SMOKE, trains="chain"))
    with pytest.raises(ValueError, match="got one that reads backwards"):
        with_language_model(Spen(InferenceEncoder(), 7), TagLanguageModel(7, width=4, hidden=5, backward=True))


def test_given_nets_of_other_sizes_are_refused_by_the_arguments_name() -> None:
    config, encoder = inference_network.SMOKE, TokenEncoder((20,), width=6, hidden=5)
    wider = InferenceNetworks(encoder, 7, parametrisation="single")
    with pytest.raises(ValueError, match=r"^pretrained: .* with forwards\.weight_ih_l0 \(24, 6\), got \(20, 6\)\."):
        fitted(inference_network, config, pretrained=wider)
    fixed = TokenEncoder((20,), width=6, hidden=6, vectors=torch.zeros(20, 6))
    with pytest.raises(ValueError, match=r"^pretrained: .* with table\.weight \(20, 6\), got none"):
        fitted(inference_network, config, pretrained=InferenceNetworks(fixed, 7, parametrisation="single"))
    with pytest.raises(ValueError, match=r"^energy: expected one of 7 tags, as the task has, got one of 5\."):
        fitted(inference_network, config, energy=Spen(encoder, 5))


class InferenceEncoder(torch.nn.Module):
    n_features = 3


def test_newswire_is_asked_for_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EBM_COURSE_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"set EBM_COURSE_DATA to one that holds a folder conll2003 with"):
        newswire(seed=0)


def test_one_recipe_differs_from_another_by_the_fields_it_adds() -> None:
    names = [{f.name for f in fields(recipe.Config)} for recipe in (bilstm, crf, spen_gradient)]
    assert names[0] < names[1] < names[2]
    assert names[1] < {f.name for f in fields(inference_network.Config)}
    for preset in ("PAPER", "NOTEBOOK", "SMOKE"):
        base, *others = (getattr(recipe, preset) for recipe in RECIPES)
        kept = names[0] - {"optimizer", "rate"}
        assert all(getattr(other, name) == getattr(base, name) for other in others for name in kept)


def test_the_papers_settings_are_the_defaults() -> None:
    paper = inference_network.PAPER
    assert (paper.hidden, paper.batch_size, paper.n_epochs, paper.optimizer, paper.rate) == (100, 10, 500, sgd, 0.05)
    assert (paper.energy_rate, paper.perceptron_weight, paper.cross_entropy_a, paper.truncate) == (1e-3, 10, 1, False)
    ner = inference_network.NER
    assert (ner.hidden, ner.tag_hidden, ner.dropout, ner.rate, ner.energy_rate) == (128, 128, 0.3, 5e-4, 5e-4)


def test_the_papers_configuration_has_the_sizes_that_its_networks_counts_rest_on() -> None:
    torch.manual_seed(0)
    data = data_of(inference_network.SMOKE, RUN)
    for parametrisation, expected in {"separated": 500_526, "shared": 338_926, "stacked": 335_176}.items():
        config = replace(inference_network.PAPER, parametrisation=parametrisation)
        nets = inference_network.fresh_networks(config, Wide(data))
        tables = [m for m in nets.modules() if isinstance(m, torch.nn.EmbeddingBag)]
        energy = 166_625 - 25 + 26 * 26  # a second encoder and U without bias, and W
        assert sum(p.numel() for p in nets.parameters()) - sum(t.weight.numel() for t in tables) + energy == expected


class Wide:
    """The toy's words with the 25 tags of tweets."""

    def __init__(self, data: Any):
        self.vocabulary, self.vectors, self.n_tags = data.vocabulary, None, 25


def test_recipes_and_their_fields_are_named_on_the_command_line() -> None:
    recipe = choices.recipe("structured.inference_network")
    config = choices.changed(recipe.NOTEBOOK, ["parametrisation=shared", "global_terms=c"], recipe.PRESETS)
    assert config.parametrisation == "shared" and config.global_terms == "c"
    assert choices.changed(recipe.NOTEBOOK, ["task=tweets", "optimizer=sgd"], recipe.PRESETS).optimizer is sgd
    with pytest.raises(choices.RefusedError, match="global_terms"):
        choices.changed(recipe.NOTEBOOK, ["global_terms=d"], recipe.PRESETS)


def test_seeds_draw_the_language_anew_and_the_same_seed_repeats_a_run() -> None:
    one, two = (fitted(inference_network, inference_network.SMOKE) for _ in "12")
    other = fitted(inference_network, inference_network.SMOKE, run=replace(RUN, seed=1))
    assert one.rows == two.rows != other.rows
    assert language(seed=0) is language(seed=0) and isinstance(other.module.nets, InferenceNetworks)
    assert language(seed=0).train.tokens != language(seed=1).train.tokens
