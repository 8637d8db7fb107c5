"""The whole experiment at smoke size: fair arms, who sees which sentences, its numbers and claims, a part, a kill."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.experiments.configs import shared
from ebm_course.experiments.experiment import reproduce
from ebm_course.experiments.structured import measurements, sets, speed
from ebm_course.experiments.structured.arms import ENTROPY, GLOBAL, JOINT, LIGHT, LONGER, TABLE_1, TIMES, WORDS, game_of
from ebm_course.experiments.structured.config import (
    CPU,
    NER_PLUS_ROWS,
    NOTEBOOK,
    PAPER,
    PRESETS,
    SMOKE,
    SMOKE_ROWS,
    TABLES,
    VECTOR_ROWS,
    Config,
)
from ebm_course.experiments.structured.declared import DATA, ROWS, TOY
from ebm_course.experiments.structured.evaluation import Rows
from ebm_course.experiments.structured.experiment import EXPERIMENT, stages
from ebm_course.experiments.structured.measurements import Bench
from ebm_course.experiments.structured.speed import sentences_a_second
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.shared import rows_digest
from ebm_course.recipes.structured import bilstm, crf, inference_network, spen_gradient, tag_language_model
from ebm_course.recipes.structured.parts import adam
from ebm_course.results.findings import Findings
from ebm_course.runtime import Run, setup
from ebm_course.tasks.agreement import agreement

RUN = Run(torch.device("cpu"), 0)
FAIR = ("task", "vectors", "width", "hidden", "dropout", "batch_size", "keep_best", "patience", "validate_every")
"""Fields that no arm on one set may have of its own."""
GAMES = ("energy_sees", "energy_optimizer", "energy_rate", "perceptron_weight", "select", "anchor", "entropy_until")
GAMES += ("tag_width", "tag_hidden", "gamma", "global_weight", "beam_width", "n_searched", "fine_tune_cross_entropy")
"""Fields that no game on one set may have of its own."""


def run_smoke(folder: Path, config: Config = SMOKE) -> Findings:
    return reproduce(EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=folder, progress=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Findings]:
    folder = tmp_path_factory.mktemp("structured")
    return folder, run_smoke(folder)


def values_of(findings: Findings) -> dict[str, tuple[float, ...]]:
    return {entry.name: entry.values for entry in findings.entries}


def is_game(variant: Variant) -> bool:
    return variant.fit is inference_network.fit


def has_ce(variant: Variant) -> bool:
    return bool(variant.config.cross_entropy_a or variant.config.cross_entropy_f)


def n_epochs(variant: Variant) -> int:
    """Of updates of the networks: fine-tuning counts."""
    tuned = is_game(variant) and variant.config.loss == "margin"
    total: int = variant.config.n_epochs + (variant.config.fine_tune_epochs if tuned else 0)
    return total


def at_usual_length(variant: Variant) -> Variant:
    """One that is trained longer as it were without that, if it is longer by ``TIMES`` in all of it."""
    if variant.name.partition("/")[2] not in LONGER:
        return variant
    fields = {field: getattr(variant.config, field) for field in ("n_epochs", "fine_tune_epochs", "validate_every")}
    if any(n % TIMES for n in fields.values()):
        return variant
    return replace(variant, config=replace(variant.config, **{field: n // TIMES for field, n in fields.items()}))


def at_usual_lambda(variant: Variant, usual: float) -> Variant:
    """One with lambda 1 as it were with that of the other games."""
    if variant.name.partition("/")[2] not in LIGHT or variant.config.perceptron_weight != 1.0:
        return variant
    return replace(variant, config=replace(variant.config, perceptron_weight=usual))


def unfair(config: Config) -> list[str]:
    """Arms that differ from the others on their set in what all have to share."""
    names = []
    for data in dict.fromkeys(source.name.partition("/")[0] for source in config.sources):
        usual = next((arm.config.perceptron_weight for arm in config.arms(data) if is_game(arm)), 1.0)
        arms = tuple(at_usual_lambda(at_usual_length(arm), usual) for arm in config.arms(data))
        games = [arm for arm in arms if is_game(arm)]
        groups = [(arms, FAIR), (games, GAMES)]
        groups += [([arm for arm in games if has_ce(arm) is ce], ("optimizer", "rate")) for ce in (True, False)]
        for rows, fields in groups:
            names += [row.name for row in rows for field in fields if vars_of(row, field) != vars_of(rows[0], field)]
        names += [arm.name for arm in arms if n_epochs(arm) != n_epochs(arms[0])]
        names += [arm.name for arm in arms if arm.config.n_epochs % arm.config.validate_every]
        margins = [arm for arm in games if arm.config.loss == "margin"]
        names += [arm.name for arm in margins if arm.config.fine_tune_epochs % arm.config.validate_every]
        names += [arm.name for arm in games if arm.config.entropy_weight not in (0, ENTROPY)]
    return names


def vars_of(variant: Variant, field: str) -> Any:
    value = getattr(variant.config, field, None)
    return (value.func, value.args, value.keywords) if isinstance(value, partial) else value


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_every_arm_has_the_same_sentences_updates_and_checkpoint_rule_and_every_game_the_same_rates(
    config: Config,
) -> None:
    assert unfair(config) == []


@pytest.mark.parametrize(
    "field, value",
    [
        ("n_epochs", 26),  # more updates
        ("keep_best", False),
        ("select", "exact"),
        ("batch_size", 10),
        ("patience", 3),
        ("rate", 2e-2),
        ("perceptron_weight", 10.0),
        ("entropy_weight", 1.0),
        ("task", partial(agreement, n_train=300)),
    ],
)
def test_an_unfair_arm_is_seen(field: str, value: Any) -> None:
    arm = CPU.variant("toy/shared")
    changed = replace(arm, config=replace(arm.config, **{field: value}))
    arms = tuple(changed if variant is arm else variant for variant in CPU.variants)
    assert set(unfair(replace(CPU, variants=arms))) == {arm.name}


@pytest.mark.parametrize("field, value", [("n_epochs", 241), ("fine_tune_epochs", 5), ("validate_every", 1)])
def test_an_arm_that_is_longer_in_part_is_seen(field: str, value: int) -> None:
    arm = CPU.variant("toy/margin-no-ce-longer")
    changed = replace(arm, config=replace(arm.config, **{field: value}))
    arms = tuple(changed if variant is arm else variant for variant in CPU.variants)
    assert set(unfair(replace(CPU, variants=arms))) == {arm.name}


@pytest.mark.parametrize("field, value", [("perceptron_weight", 2.0), ("rate", 0.1), ("n_epochs", 75)])
def test_an_arm_with_another_lambda_than_1_or_more_than_another_lambda_is_seen(field: str, value: float) -> None:
    arm = PAPER.variant("twitter-pos/shared-lambda-1")
    assert (arm.config.perceptron_weight, PAPER.variant("twitter-pos/shared").config.perceptron_weight) == (1.0, 10.0)
    changed = replace(arm, config=replace(arm.config, **{field: value}))
    arms = tuple(changed if variant is arm else variant for variant in PAPER.variants)
    assert set(unfair(replace(PAPER, variants=arms))) == {arm.name}


def test_fine_tuning_is_a_part_of_the_margin_s_updates() -> None:
    arm = CPU.variant("toy/margin")
    longer = replace(arm, config=replace(arm.config, n_epochs=CPU.variant("toy/stacked").config.n_epochs))
    arms = tuple(longer if variant is arm else variant for variant in CPU.variants)
    assert unfair(replace(CPU, variants=arms)) == [arm.name]
    assert all(arm.config.fine_tune_epochs > 0 for arm in CPU.arms(TOY) if "margin" in arm.name)


@pytest.mark.parametrize(
    "one, other, fields",
    [
        ("margin-truncated", "margin", {"truncate"}),
        ("margin-no-ce", "margin", {"cross_entropy_a", "cross_entropy_f"}),
        ("margin-truncated-no-ce", "margin-truncated", {"cross_entropy_a", "cross_entropy_f"}),
        ("margin-entropy", "margin-no-ce", {"entropy_weight"}),
        ("perceptron-no-ce", "perceptron", {"cross_entropy_a", "cross_entropy_f"}),
        ("shared", "stacked", {"parametrisation"}),
        ("separated", "stacked", {"parametrisation"}),
        ("stacked-ce-a", "stacked", {"cross_entropy_f"}),
        ("k-5", "k-1", {"n_inference_steps"}),
        ("k-20", "k-1", {"n_inference_steps"}),
        ("ge-a", "stacked", {"global_terms"}),
        ("ge-c", "ge-b", {"global_terms"}),
        ("network-of-global", "network-of-chain", set()),
    ],
)
def test_arms_differ_in_what_they_are_named_for(one: str, other: str, fields: set[str]) -> None:
    a, b = (vars(CPU.variant(f"toy/{name}").config) for name in (one, other))
    assert {field for field in a if a[field] != b[field]} == fields


def test_a_network_fitted_without_tags_has_no_cross_entropy_and_an_energy_that_stays() -> None:
    for name in ("network-of-chain", "network-of-global"):
        game = game_of(name, 10)
        assert (game["cross_entropy_a"], game["cross_entropy_f"], game["trains"]) == (0, 0, "nothing")
        assert game["loss"] == "perceptron" and game["parametrisation"] == "single"


def test_without_cross_entropy_the_paper_has_adam_and_with_it_descent_with_momentum() -> None:
    for arm in PAPER.arms("twitter-pos"):
        if is_game(arm):
            assert (arm.config.optimizer is adam) == (not has_ce(arm)), arm.name
    assert PAPER.variant("twitter-pos/stacked").config.batch_size == 10
    assert CPU.variant("twitter-pos/stacked").config.batch_size == 32


def test_runs_are_five_but_three_on_entities_and_one_where_one_is_asked_for() -> None:
    assert [CPU.runs_of(data) for data in DATA] == [5] * 4 + [3] * 6
    assert [replace(CPU, n_runs=1).runs_of(data) for data in DATA] == [1] * 10


def test_every_row_of_the_tables_is_an_arm_on_the_paper_s_sets() -> None:
    for config in (CPU, PAPER):
        names = {variant.name for variant in config.variants}
        assert names >= {f"twitter-pos/{row}" for row in TABLES}
        for data in ("wnut17", "wnut17-vectors", "conll2003", "conll2003-vectors"):
            assert names >= {f"{data}/{row}" for row in ("bilstm", *TABLE_1, *JOINT, "ge-a", "ge-b", "ge-c")}
    assert {variant.name for variant in SMOKE.arms(TOY)} == {f"toy/{name}" for name in WORDS}


def test_sets_whose_rows_are_given_no_net_are_part_of_no_other_stage() -> None:
    """What all stages depend on holds the sources; a set that only adds rows leaves finished stages as they are."""
    more = ("wnut17-features", "conll2003-vectors", "conll2003-features")
    for config in (CPU, PAPER):
        text = json.dumps(shared(config))
        assert not any(name in text for name in more) and "wnut17-vectors/crf" in text
        assert [arm.name.partition("/")[2] for arm in config.arms("twitter-pos-features")] == [*VECTOR_ROWS]
        assert "twitter-pos-features" not in text
        for data in more:
            rows = NER_PLUS_ROWS if data == "conll2003-vectors" else (*VECTOR_ROWS, *GLOBAL)
            assert [arm.name.partition("/")[2] for arm in config.arms(data)] == [*rows]
            assert config.task(data).__name__ == config.variant(f"{data}/stacked").config.task.__name__
    assert {source.name.partition("/")[0] for source in SMOKE.sources} == {TOY}


def test_sets_with_more_features_have_the_columns_that_their_words_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[dict[str, Any]]()
    monkeypatch.setattr(sets, "made", lambda task, **how: asked.append(how))
    sets.tweets_with_features(seed=0), sets.posts_with_vectors(seed=0), sets.posts_with_features(seed=0)
    assert asked == [
        {"affixes": True, "shape": True, "vectors": True},
        {"shape": True, "vectors": True},
        {"affixes": True, "shape": True, "case": True, "vectors": True},
    ]


def test_a_smoke_run_has_the_first_sentences_and_the_whole_vocabulary() -> None:
    made = sets.few(partial(agreement, n_train=100, n_valid=50, n_test=60), seed=0)
    whole = agreement(n_train=100, n_valid=50, n_test=60)
    parts = [(made.task.train, whole.task.train, 80), (made.task.valid, whole.task.valid, 30)]
    for some, all_rows, n in [*parts, (made.task.test, whole.task.test, 40)]:
        assert torch.equal(some.x, all_rows.x[:n]) and torch.equal(some.y, all_rows.y[:n])  # type: ignore[arg-type, index]
    assert made.vocabulary.values == whole.vocabulary.values
    assert [arm.name for arm in SMOKE.arms("wnut17")] == [f"wnut17/{name}" for name in SMOKE_ROWS]


def test_every_set_of_the_cpu_preset_has_a_smoke_run() -> None:
    assert {arm.name.partition("/")[0] for arm in SMOKE.variants} == {
        arm.name.partition("/")[0] for arm in CPU.variants
    }


# Who sees which sentences


RECIPES = {
    "bilstm": bilstm,
    "crf": crf,
    "spen-gradient": spen_gradient,
    "tag-lm": tag_language_model,
    "stacked": inference_network,
    "margin": inference_network,
}


def trained_with(n_test: int, name: str) -> tuple[Any, dict[str, torch.Tensor]]:
    """Log and weights of an arm whose test sentences are so many; those to train on and to select by stay."""
    arm = SMOKE.variant(f"toy/{name}") if name != "tag-lm" else SMOKE.sources[1]
    config = replace(arm.config, task=partial(agreement, n_train=80, n_valid=30, n_test=n_test))
    torch.manual_seed(0)
    fitted = arm.fit(config, RUN, folder=None, progress=False)
    return fitted.rows, fitted.module.state_dict()


def depends_on_test_sentences(name: str) -> bool:
    """Whether another test part makes another log or keeps other weights."""
    (rows, weights), (others, other_weights) = trained_with(25, name), trained_with(30, name)
    return rows != others or any(not torch.equal(weights[key], other_weights[key]) for key in weights)


@pytest.mark.parametrize("name", RECIPES)
def test_no_arm_is_trained_or_selected_on_test_sentences(name: str) -> None:
    assert not depends_on_test_sentences(name)


@pytest.mark.parametrize("name", RECIPES)
def test_selection_on_test_sentences_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = RECIPES[name]
    original = module.data_of  # type: ignore[attr-defined]

    def peeking(config: Any, run: Run) -> Any:
        return original(config, run)._replace(valid=config.task(seed=run.seed).task.test)

    monkeypatch.setattr(module, "data_of", peeking)
    assert depends_on_test_sentences(name)


def test_measures_see_test_sentences_and_the_difference_of_a_and_f_validation_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Rows] = []
    original = measurements.answers

    def noted(module: Any, rows: Rows, config: Config, **search: int) -> Any:
        seen.append(rows)
        return original(module, rows, config, **search)

    monkeypatch.setattr(measurements, "answers", noted)
    run_smoke(tmp_path, replace(SMOKE, variants=(SMOKE.variant("toy/stacked"),)))
    assert len(seen) == 4  # two runs, the best weights and the last
    for k, rows in enumerate(seen[::2]):
        task = agreement(n_train=80, n_valid=30, n_test=40, seed=k).task
        assert torch.equal(rows.test.x, task.test.x) and torch.equal(rows.valid.x, task.valid.x)
    assert not torch.equal(seen[0].test.y[:, 0], seen[2].test.y[:, 0])  # type: ignore[index]


# The whole


@pytest.mark.parametrize("config", [CPU, SMOKE])
def test_every_arm_comes_after_those_it_is_given_and_is_measured_next(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "held_out", lambda self, data, k: data)
    names = [stage.name for stage in stages(config, RUN)]
    assert len(set(names)) == len(names)
    for data in config.data:
        for k in range(config.runs_of(data)):
            for variant in config.measured(data):
                at = names.index(variant.stage(k))
                assert names[at + 1] == f"{variant.stage(k)}-measured"
                assert all(names.index(source.stage(k)) < at for source in config.given(variant))
            assert names.count(f"run-{k}/{data}/speed-{'+'.join(JOINT)}") == 1


def changed(variants: tuple[Variant, ...], name: str) -> tuple[Variant, ...]:
    """With another rate in the arm of this name."""
    return tuple(replace(arm, config=replace(arm.config, rate=0.5)) if arm.name == name else arm for arm in variants)


@pytest.mark.parametrize(
    "name, made_anew",
    [
        ("toy/crf", {"crf", "network-of-chain", "network-of-global"}),
        ("toy/tag-lm", {"tag-lm", "network-of-global"}),
        ("toy/stacked", {"stacked", f"speed-{'+'.join(JOINT)}"}),
    ],
)
def test_another_arm_makes_other_stages_of_all_that_rests_on_it(
    name: str, made_anew: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "held_out", lambda self, data, k: data)
    config = replace(SMOKE, n_runs=1)
    other = replace(config, variants=changed(config.variants, name), sources=changed(config.sources, name))
    before, after = ({stage.name: stage.of for stage in stages(one, RUN)} for one in (config, other))
    differ = {stage for stage in before if before[stage] != after[stage]}
    assert {stage.removeprefix("run-0/toy/").removesuffix("-measured") for stage in differ} == made_anew
    assert all(f"{stage}-measured" in differ for stage in differ if f"{stage}-measured" in before)


def test_at_smoke_size_everything_is_measured_and_every_claim_of_the_language_judged(found) -> None:
    values = values_of(found[1])
    for variant in SMOKE.measured(TOY):
        ways = {name.split("/")[2] for name in values if name.startswith(f"{variant.name}/")}
        game = {"network", "exact", "gap", "last"} if is_game(variant) else set()
        own = {"bilstm": {"network"}, "crf": {"exact", "descent"}, "spen-gradient": {"exact", "descent"}}
        assert ways >= own.get(variant.name.partition("/")[2], game) | {"parameters"}, variant.name
        both = is_game(variant) and variant.config.loss != "perceptron"
        assert ("a-minus-f" in ways) == ("cost_augmented" in ways) == both, variant.name
        assert ("searched" in ways) == variant.name.endswith(("ge-a", "ge-b", "ge-c", "network-of-global"))
    assert {claim.claim.name for claim in found[1].claims} == {f"toy/{row[0]}" for row in ROWS[TOY]}
    assert {f"toy/{name}/speed" for name in JOINT} <= values.keys()


def test_every_claim_names_an_endpoint_and_a_control_that_are_measured(found) -> None:
    values, asked = values_of(found[1]), [claim for claim in SMOKE.claims if claim.name.startswith("toy/")]
    assert {claim.endpoint for claim in asked} | {claim.control for claim in asked} <= values.keys()
    assert PAPER.claims == CPU.claims == NOTEBOOK.claims == SMOKE.claims and len(asked) == 10
    assert len(CPU.claims) == 10 + 13 + 5 + 5


def test_every_claim_is_about_arms_that_its_set_has() -> None:
    for config in (CPU, PAPER):
        for data, rows in ROWS.items():
            there = {variant.name for variant in config.arms(data)} | {f"{data}/ceilings"}
            for _, _, words, _, _, control in rows:
                terms = [term.rpartition(" ")[2] for term in words.split(" - ")]
                assert {f"{data}/{term.split('/')[0]}" for term in (*terms, control)} <= there


def test_a_claim_is_the_difference_of_the_entries_that_it_names(found) -> None:
    values = values_of(found[1])
    one, other = values["toy/margin-entropy/network/accuracy"], values["toy/margin-no-ce/network/accuracy"]
    assert values["claims/toy/entropy-repairs"] == tuple(a - b for a, b in zip(one, other, strict=True))


def test_the_networks_fitted_to_a_chain_meet_the_energy_of_the_crf_of_their_run(found) -> None:
    values = values_of(found[1])
    assert values["toy/network-of-chain/exact/accuracy"] == values["toy/crf/exact/accuracy"]


def test_a_part_finds_the_numbers_of_the_whole_in_the_same_folder_and_in_its_own(found, tmp_path: Path) -> None:
    rows = tuple(SMOKE.variant(f"toy/{name}") for name in ("network-of-chain", "margin"))
    part = replace(SMOKE, variants=rows, n_runs=1)
    same, own, whole = run_smoke(found[0], part), run_smoke(tmp_path, part), values_of(found[1])
    assert same.entries and values_of(same) == values_of(own)
    assert all(entry.values[0] == whole[entry.name][0] for entry in own.entries)
    assert "toy/crf/exact/accuracy" in values_of(own)  # whose net the other is given


def test_what_was_killed_is_found_again_without_doing_a_stage_twice(
    found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    part = replace(SMOKE, variants=tuple(SMOKE.variant(f"toy/{name}") for name in ("stacked", "margin")), n_runs=1)
    with monkeypatch.context() as patch:
        patch.setattr(measurements, "difference", killed)
        with pytest.raises(KeyboardInterrupt):
            run_smoke(tmp_path, part)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    again, whole = values_of(run_smoke(tmp_path, part)), values_of(found[1])
    same = {name: value for name, value in again.items() if not name.endswith("/speed")}
    assert same and all(value[0] == whole[name][0] for name, value in same.items())
    assert done and all(path.stat().st_mtime_ns == at for path, at in done.items())


def test_other_test_sentences_make_other_stages(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "rows_digest", lambda batch: rows_digest(batch)[::-1])
    with pytest.raises(ValueError, match=r"bilstm.*was made with another"):
        run_smoke(found[0], replace(SMOKE, variants=(SMOKE.variant("toy/bilstm"),)))


def test_speeds_are_of_the_same_minibatches_and_of_games_alone() -> None:
    timed = SMOKE.timed(TOY)
    assert [variant.name for variant in timed] == [f"toy/{name}" for name in JOINT]
    speeds = sentences_a_second(timed, 0, RUN, SMOKE)
    assert list(speeds) == [f"toy/{name}" for name in JOINT] and min(speeds.values()) > 0
    assert sentences_a_second([], 0, RUN, SMOKE) == {}


def test_a_speed_is_that_of_the_sentences_that_were_there(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 3
    monkeypatch.setattr(speed, "LengthBatches", lambda rows, size, seed: [rows[: 1 + i] for i in range(n + 2)])
    repeats: list[int] = []

    def timed(acts: Any, device: torch.device, n_repeats: int) -> dict[str, float]:
        repeats.append(n_repeats)
        return dict.fromkeys(acts, 2.0)

    monkeypatch.setattr(speed, "medians_in_turn", timed)
    found = sentences_a_second(SMOKE.timed(TOY), 0, RUN, replace(SMOKE, n_speed_batches=n, n_speed_repeats=7))
    assert set(found.values()) == {n * (n + 1) / 2 / 2.0} and repeats == [7]


def test_each_run_is_timed_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(measurements, "sentences_a_second", lambda variants, k, run, config: seen.append(k))
    for k in range(2):
        Bench(SMOKE, RUN).time(TOY, k)(tmp_path, None)  # type: ignore[arg-type]
    assert seen == [0, 1]


def test_data_without_arms_in_a_preset_are_refused() -> None:
    with pytest.raises(ValueError, match="this preset has no arms for wnut17, expected one of toy"):
        replace(NOTEBOOK, data=("wnut17",))


@pytest.mark.parametrize(
    "field", ["n_searched", "n_searched_entities", "n_descent_steps", "n_speed_batches", "n_speed_repeats"]
)
def test_settings_out_of_range_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        replace(SMOKE, **{field: 0})
