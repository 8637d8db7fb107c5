"""The whole experiment at smoke size: fair arms, who sees which texts, its numbers, a part, a kill, several calls."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ebm_course.commands import reproduce as command
from ebm_course.commands.choices import RefusedError
from ebm_course.core import Batch
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.experiments.experiment import reproduce
from ebm_course.experiments.text import measurements
from ebm_course.experiments.text.arms import BEYOND, FRESHNESS, JUDGED, LIGHT, TABLE, WORDS
from ebm_course.experiments.text.config import CPU, JUDGE_WIDTH, NOTEBOOK, PAPER, PRESETS, SMOKE, Config
from ebm_course.experiments.text.declared import ROWS as DECLARED
from ebm_course.experiments.text.experiment import EXPERIMENT, stages
from ebm_course.experiments.text.measurements import Bench
from ebm_course.experiments.text.sets import DATA, PRETRAINED, RECORDED, TOY, encoder_of, texts_of
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.shared import rows_digest
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.results.findings import Findings
from ebm_course.runtime import Run, setup
from ebm_course.tasks.subwords import Subwords
from ebm_course.tasks.text import toy
from ebm_course.tasks.words import Words

RUN = Run(torch.device("cpu"), 0)
ROOT = Path(__file__).parents[3]
FAIR = ("task", "net", "batch_size", "optimizer", "rate", "weight_decay", "clip", "keep_best", "precision")
"""Fields that no arm on one set may have of its own."""
LENGTH = ("n_steps", "warm_up", "validate_every")
"""Likewise, but for the arm that makes as many updates as FreeLB makes passes."""
PERTURBED = ("n_passes", "step_size", "noise_size", "radius", "clean_pass")
CONTRAST = ("contrast_after", "temperature", "momentum", "n_negatives", "estimator", "bank_bytes")
MARKED: dict[str, dict[str, Any]] = {
    "noise": {"step_size": 0.0},
    "freelb-clean": {"clean_pass": True},
    "carl-light": {"contrast_weight": LIGHT},
    "carl-fresh": {"freshness": FRESHNESS},
    "carl-fresh-light": {"freshness": FRESHNESS, "contrast_weight": LIGHT},
    "carl-now": {"freshness": FRESHNESS, "momentum": 0.0},
    "carl-now-light": {"freshness": FRESHNESS, "momentum": 0.0, "contrast_weight": LIGHT},
    "carl-softmax": {"estimator": "softmax"},
}
"""What an arm is named for: it may have this, and nothing else, of its own."""


def run_smoke(folder: Path, config: Config = SMOKE, **options: Any) -> Findings:
    return reproduce(EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=folder, progress=False, **options)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Findings]:
    folder = tmp_path_factory.mktemp("text")
    return folder, run_smoke(folder)


def values_of(findings: Findings) -> dict[str, tuple[float, ...]]:
    return {entry.name: entry.values for entry in findings.entries}


def only(*names: str, n_runs: int = 1) -> Config:
    return replace(SMOKE, variants=tuple(SMOKE.variant(f"toy/{name}") for name in names), n_runs=n_runs)


# Fair arms


def value(variant: Variant, field: str) -> Any:
    found = getattr(variant.config, field, None)
    return (found.func, found.args, found.keywords) if isinstance(found, partial) else found


def unfair(config: Config) -> list[str]:
    """Arms that differ from the others on their set in what all have to share, but for what they are named for."""
    names = []
    for data in dict.fromkeys(variant.name.partition("/")[0] for variant in config.variants):
        arms = {arm.name.partition("/")[2]: arm for arm in config.arms(data)}
        plain, perturbed, contrast = arms["plain"], arms["freelb"], arms["carl"]
        n = perturbed.config.n_passes
        for name, arm in arms.items():
            expected = {field: value(plain, field) for field in (*FAIR, *LENGTH)}
            if name == "plain-longer":
                expected |= {field: n * expected[field] for field in LENGTH}
            if arm.fit is not finetune.fit:
                expected |= {field: value(perturbed, field) for field in PERTURBED}
            if arm.fit is carl.fit:
                expected |= {field: value(contrast, field) for field in (*CONTRAST, "contrast_weight", "freshness")}
            expected |= MARKED.get(name, {})
            if name == "freelb-clean" and not perturbed.config.noise_size:
                expected["clean_pass"] = False  # the first pass is clean already
            names += [arm.name for field, one in expected.items() if value(arm, field) != one]
        for setting in config.searched(data):
            fields = (*FAIR, *LENGTH, "n_passes", "radius", "clean_pass")
            names += [setting.name for field in fields if value(setting, field) != value(perturbed, field)]
    return names


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_every_arm_has_the_same_texts_updates_rates_perturbations_and_checkpoint_rule(config: Config) -> None:
    assert unfair(config) == []


@pytest.mark.parametrize("name", ["plain-longer", "rar", "carl-fresh", "search/step-0.1-noise-0"])
@pytest.mark.parametrize(
    "field, changed",
    [
        ("n_steps", 649),  # more updates
        ("warm_up", 1),
        ("keep_best", False),
        ("validate_every", 54),
        ("batch_size", 16),
        ("rate", 2e-3),
        ("weight_decay", 0.0),
        ("clip", 2.0),
        ("task", partial(toy, n_train=300)),
        ("net", partial(TextClassifier, width=64)),
    ],
)
def test_an_unfair_arm_is_seen(name: str, field: str, changed: Any) -> None:
    assert unfair(with_change(f"sst2/{name}", field, changed)) == [f"sst2/{name}"]


@pytest.mark.parametrize(
    "name, field, changed",
    [
        ("rar", "noise_size", 0.3),
        ("rar", "step_size", 0.2),
        ("carl", "n_passes", 3),
        ("freelb-clean", "radius", 0.1),
        ("noise", "noise_size", 0.1),
        ("carl-fresh", "contrast_after", 300),
        ("carl-light", "temperature", 0.1),
        ("carl-fresh-light", "momentum", 0.0),
        ("carl-now", "momentum", 0.5),
        ("carl-now", "freshness", "bank"),
        ("carl-now-light", "contrast_weight", 1.0),
        ("carl-softmax", "estimator", "nce"),
    ],
)
def test_an_arm_with_other_perturbations_or_another_contrast_is_seen(name: str, field: str, changed: Any) -> None:
    assert f"sst2/{name}" in unfair(with_change(f"sst2/{name}", field, changed))


def with_change(name: str, field: str, changed: Any) -> Config:
    arm = CPU.variant(name)
    other = replace(arm, config=replace(arm.config, **{field: changed}))
    return replace(CPU, variants=tuple(other if variant is arm else variant for variant in CPU.variants))


def test_every_row_of_the_paper_is_an_arm_and_controls_stand_where_claims_do() -> None:
    for config in (CPU, PAPER):
        for data in dict.fromkeys(variant.name.partition("/")[0] for variant in config.variants):
            arms = {arm.name.partition("/")[2] for arm in config.arms(data)}
            assert arms >= set(TABLE)
            if config is CPU and texts_of(data) == "ag-news":  # what claims compare and are read beside
                read = " ".join(f"{compared} {control}" for _, _, compared, *_, control in DECLARED)
                assert arms == set(JUDGED) == {arm for arm in WORDS if re.search(rf"(?<![\w-]){arm}/", read)}
            elif data in RECORDED or config is PAPER:
                assert arms == set(WORDS) - set(() if encoder_of(data) == "small" else BEYOND)
    recipes = {"plain": finetune, "freelb": freelb, "carl": carl, "rar": rar}
    assert all(CPU.variant(f"sst2/{name}").fit is recipe.fit for name, recipe in recipes.items())


def test_the_paper_s_perturbations_are_those_of_its_table_1() -> None:
    found = {
        texts_of(data): [getattr(PAPER.variant(f"{data}/rar").config, field) for field in PERTURBED[:4]]
        for data in PAPER.data
    }
    assert found == {
        "sst2": [2, 0.1, 0.6, 0.0],
        "yahoo": [3, 0.01, 0.0, 0.0],
        "yelp": [3, 0.05, 0.5, 0.0],
        "ag-news": [3, 0.01, 0.0, 0.0],
    }
    after = {texts_of(data): PAPER.variant(f"{data}/carl").config.contrast_after for data in PAPER.data}
    assert after == {"sst2": 6_315, "yahoo": 7_200, "yelp": 5_625, "ag-news": 7_750}
    assert {PAPER.variant(f"{data}/carl").config.batch_size for data in PAPER.data} == {16, 32}


def test_the_judge_of_a_small_encoder_is_another_net_and_sees_the_same_texts() -> None:
    for config in (CPU, SMOKE):
        for data in config.data:
            judge, plain = config.judge(data), config.arms(data)[0].config
            if encoder_of(data) in PRETRAINED:
                assert judge is None
                continue
            assert judge is not None and value(judge, "net") == (TextClassifier, (), {"width": JUDGE_WIDTH})
            assert all(value(judge, f) == getattr(plain, f, None) for f in (*FAIR, *LENGTH) if f not in ("net", "task"))
            assert value(judge, "task") == value(config.arms(data)[0], "task")


# Names of sets, and the command


def asked(*data: str, encoder: str | None = None, preset: str = "cpu") -> tuple[str, ...]:
    options = SimpleNamespace(preset=preset, data=list(data), encoder=encoder, set=[], variant=[], runs=None)
    return tuple(command.config_of(EXPERIMENT, options)[0].data)  # type: ignore[arg-type]


def test_a_record_of_some_arms_on_one_set_names_the_set_once() -> None:
    options = SimpleNamespace(
        preset="cpu", data=["sst2"], encoder=None, set=[], variant=["sst2/rar", "sst2/plain"], runs=None
    )
    assert command.config_of(EXPERIMENT, options)[1] == ("data=sst2", "variant=plain,rar")  # type: ignore[arg-type]
    options.data, options.variant = ["sst2", "ag-news"], ["sst2/plain", "ag-news/plain"]
    chosen = command.config_of(EXPERIMENT, options)[1]  # type: ignore[arg-type]
    assert chosen == ("data=sst2,ag-news", "variant=sst2_plain,ag-news_plain")


def test_an_encoder_ends_the_name_of_a_set() -> None:
    assert asked("sst2", encoder="minilm") == ("sst2-minilm",)
    assert asked("ag-news", "sst2", encoder="minilm") == ("sst2-minilm", "ag-news-minilm")
    assert asked("sst2", encoder="small") == asked("sst2") == ("sst2",)
    assert asked("yelp", encoder="albert-base-v2", preset="paper") == ("yelp-albert-base-v2",)


def test_an_encoder_alone_takes_the_preset_s_sets_that_it_reads() -> None:
    assert asked(encoder="minilm") == ("sst2-minilm", "ag-news-minilm")
    assert asked(encoder="small") == ("sst2", "ag-news")
    assert set(asked(encoder="albert-base-v2", preset="paper")) == set(PAPER.data)
    assert asked() == RECORDED


@pytest.mark.parametrize(
    "data, encoder, preset, message",
    [
        (["sst2"], "gpt", "cpu", "--encoder gpt: text can be given small, minilm, albert-base-v2."),
        ([], "minilm", "smoke", "--encoder minilm: preset smoke has no data set for it, add --data NAME."),
        (["yahoo"], "minilm", "cpu", f"--data yahoo-minilm: text works on {', '.join(DATA)}; MiniLM has learned from"),
        (["yelp"], "minilm", "cpu", f"--data yelp-minilm: text works on {', '.join(DATA)}; no preset has arms for"),
        (["imdb"], "minilm", "cpu", f"--data imdb-minilm: text works on {', '.join(DATA)}."),
        (
            ["sst2-minilm"],
            "small",
            "cpu",
            "--data sst2-minilm: beside --encoder, name the data set without its encoder.",
        ),
    ],
)
def test_an_encoder_that_cannot_read_is_refused_in_one_sentence(
    data: list[str], encoder: str, preset: str, message: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        asked(*data, encoder=encoder, preset=preset)
    assert str(refused.value).startswith(message) and str(refused.value).count(".") == 1


def test_every_set_has_arms_in_some_preset_and_each_preset_works_on_its_own() -> None:
    there = {variant.name.partition("/")[0] for config in PRESETS.values() for variant in config.variants}
    assert there == set(DATA)
    assert {texts_of(data) for data in DATA} == {"toy", "sst2", "ag-news", "yelp", "yahoo"}
    assert (CPU.n_runs, PAPER.n_runs, NOTEBOOK.n_runs) == (5, 3, 1)


def test_data_without_arms_in_a_preset_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no arms for yelp, expected one of toy\. Preset cpu has them\."):
        replace(NOTEBOOK, data=("yelp",))
    with pytest.raises(ValueError, match=r"no arms for ag-news-albert-base-v2.*Preset paper has them\."):
        replace(CPU, data=("ag-news-albert-base-v2",))
    with pytest.raises(ValueError, match=r"no arms for imdb, expected one of toy\.$"):
        replace(NOTEBOOK, data=("imdb",))


def test_every_set_of_the_small_encoder_has_a_smoke_run_on_a_few_texts() -> None:
    names = dict.fromkeys(variant.name.partition("/")[0] for variant in CPU.variants)
    for data in (name for name in names if encoder_of(name) == "small"):
        config = replace(SMOKE, data=(data,))
        assert {arm.name for arm in config.arms(data)} >= {f"{data}/{name}" for name in TABLE}
        assert config.judge(data) is not None
    assert SMOKE.data == (TOY,)


@pytest.mark.parametrize(
    "field, bad",
    [
        ("n_attacked", 0),
        ("n_attack_steps", 0),
        ("relative_step", 0.0),
        ("radii", ()),
        ("radii", (0.1, 0.02)),
        ("small_radii", (0.0, 0.1)),
        ("relative_radii", (0.1, 0.1)),
        ("reconstruction_radii", (0.1, 0.5)),
    ],
)
def test_settings_out_of_range_are_refused(field: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=field):
        replace(SMOKE, **{field: bad})


# Who sees which texts


def test_runs_on_the_embedded_language_share_no_text_and_those_of_a_run_all_arms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(SMOKE, RUN)
    tests = [bench.data(TOY, k).task.test for k in (0, 1)]
    assert not torch.equal(*(part.x[:, :8] for part in tests)) and bench.held_out(TOY, 0) != bench.held_out(TOY, 1)
    assert len({rows_digest(arm.config.task(seed=1).test) for arm in SMOKE.arms(TOY)}) == 1
    assert len(bench.first(TOY, 0)) == 20 and len(bench.test(TOY, 0)) == 30
    firsts = {tuple(row) for row in tests[0].x[:20].tolist()}
    assert all((*row, *[0] * (tests[0].x.shape[1] - len(row))) in firsts for row in bench.first(TOY, 0).x.tolist())


RECIPES = {"plain": finetune, "freelb": freelb, "carl": carl, "rar": rar}


def trained_with(name: str, n_test: int) -> tuple[Any, dict[str, torch.Tensor]]:
    """Log and weights of an arm whose test texts are so many; those to train on and to select by stay."""
    arm = SMOKE.variant(f"toy/{name}")
    config = replace(arm.config, task=partial(toy, n_train=40, n_valid=20, n_test=n_test))
    if name == "rar":  # else words that occur in test texts alone are among those that the head can name
        config = replace(config, whole_vocabulary=True)
    torch.manual_seed(0)
    fitted = arm.fit(config, RUN, folder=None, progress=False)
    return fitted.rows, fitted.module.state_dict()


def depends_on_test_texts(name: str) -> bool:
    (rows, weights), (others, other_weights) = trained_with(name, 30), trained_with(name, 36)
    if rows != others or weights.keys() != other_weights.keys():
        return True
    return any(not torch.equal(weights[key], other_weights[key]) for key in weights)


@pytest.mark.parametrize("name", RECIPES)
def test_no_arm_is_trained_or_selected_on_test_texts(name: str) -> None:
    assert not depends_on_test_texts(name)


@pytest.mark.parametrize("name", RECIPES)
def test_selection_on_test_texts_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = RECIPES[name].data_of

    def peeking(config: Any, run: Run) -> Any:
        data = original(config, run)
        return data._replace(valid=Batch(data.task.test.x, data.task.test.y, data.task.test.mask))

    monkeypatch.setattr(RECIPES[name], "data_of", peeking)
    assert depends_on_test_texts(name)


@pytest.mark.parametrize(
    "tokenizer",
    [Words(("good", "film")), Subwords.trained(["a good film"] * 9, n_tokens=270)],
    ids=["words", "subwords"],
)
def test_what_is_no_word_is_told_by_the_tokenizer(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "data", lambda self, name, k: SimpleNamespace(task=SimpleNamespace(tokenizer=tokenizer)))
    found = Bench(SMOKE, RUN).is_word(TOY, 0)
    assert found.tolist() == [False] * 5 + [True] * (len(tokenizer) - 5)


# The whole


def test_at_smoke_size_everything_is_measured(found: tuple[Path, Findings]) -> None:
    values = values_of(found[1])
    figures = {"accuracy", "confidence", "same-label", "other-label", "word-norm", "text-norm", "last/accuracy"}
    figures |= {f"{name}-{r:g}" for name in ("pgd", "cosine", "euclidean") for r in SMOKE.small_radii}
    figures |= {f"last/{name}" for name in ("same-label", "other-label", "pgd", "cosine", "euclidean")}
    figures |= {f"pgd-relative-{share:g}" for share in SMOKE.relative_radii}
    expected = {f"toy/{name}/{figure}" for name in WORDS for figure in figures}
    texts = ("recovered", "changed", "fooled", "meaning", "meaning-others")
    expected |= {f"toy/rar/reconstructed-{r:g}/{name}" for r in SMOKE.reconstruction_radii for name in texts}
    expected |= {f"{setting.name}/valid-accuracy" for setting in SMOKE.searched(TOY)}
    expected |= {f"toy/texts/{part}" for part in ("train", "valid", "test")}
    assert values.keys() == expected and len(SMOKE.searched(TOY)) == 6
    assert all(len(v) == (1 if "/search/" in name else 2) for name, v in values.items())
    assert {curve.name.partition("/")[0] for curve in found[1].curves} == {"attacked", "valid"}


def test_two_calls_that_join_find_the_numbers_of_one(found: tuple[Path, Findings], tmp_path: Path) -> None:
    # The other one is a process of its own, as a reader would start it.
    line = "-m ebm_course reproduce text --preset smoke --variant toy/plain --variant toy/rar --runs 1 --device cpu"
    options = ["--join", "--quiet", "--folder", str(tmp_path), "--out", str(tmp_path / "record.json")]
    other = subprocess.Popen([sys.executable, *line.split(), *options], cwd=ROOT, stdout=subprocess.DEVNULL)
    values = values_of(run_smoke(tmp_path, only("plain", "rar"), join=True))
    assert other.wait() == 0
    whole = values_of(found[1])
    assert len(values) > 50 and all(one[0] == whole[name][0] for name, one in values.items())


def test_a_part_finds_the_numbers_of_the_whole_in_its_folder(found: tuple[Path, Findings]) -> None:
    part, whole = values_of(run_smoke(found[0], only("carl", "freelb"))), values_of(found[1])
    assert part and all(one[0] == whole[name][0] for name, one in part.items())


def test_a_setting_of_the_search_can_be_asked_for_alone(tmp_path: Path, found: tuple[Path, Findings]) -> None:
    name = "toy/search/step-0.1-noise-0.6/valid-accuracy"
    assert values_of(run_smoke(tmp_path, only("search/step-0.1-noise-0.6"))) == {name: values_of(found[1])[name]}


def test_what_was_killed_is_found_again_without_doing_a_stage_twice(
    found: tuple[Path, Findings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(measurements.reconstruction, "reconstructed", killed)
        with pytest.raises(KeyboardInterrupt):
            run_smoke(tmp_path, only("plain", "rar"))
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    again, whole = values_of(run_smoke(tmp_path, only("plain", "rar"))), values_of(found[1])
    assert len(done) == 5 and all(path.stat().st_mtime_ns == at for path, at in done.items())
    assert any("reconstructed" in name for name in again)
    assert all(one[0] == whole[name][0] for name, one in again.items())


def test_other_test_texts_make_other_stages(found: tuple[Path, Findings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "rows_digest", lambda batch: rows_digest(batch)[::-1])
    with pytest.raises(ValueError, match=r"plain.*was made with another"):
        run_smoke(found[0], only("plain"))


@pytest.mark.parametrize("config", [CPU, SMOKE], ids=["cpu", "smoke"])
def test_every_arm_is_measured_after_it_is_trained_and_a_stage_names_all_that_it_reads(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "held_out", lambda self, data, k: data)
    found = {stage.name: stage for stage in stages(config, RUN)}
    for data in config.data:
        for k in range(config.n_runs):
            for arm in config.arms(data):
                assert found[arm.stage(k)].after == () and found[f"{arm.stage(k)}-measured"].after == (arm.stage(k),)
            judge = [f"run-{k}/{data}/judge"] if encoder_of(data) == "small" else []
            read = found[f"run-{k}/{data}/rar-reconstructed"].after
            assert list(read or ()) == [f"run-{k}/{data}/rar", f"run-{k}/{data}/plain", *judge]
    assert len(found) == len(stages(config, RUN))


@pytest.mark.parametrize(
    "name, made_anew",
    [
        ("rar", {"rar", "rar-measured", "rar-reconstructed"}),
        ("plain", {"plain", "plain-measured", "rar-reconstructed"}),
        ("judge", {"judge", "rar-reconstructed"}),
        ("search/step-0.1-noise-0.6", {"search/step-0.1-noise-0.6"}),
    ],
)
def test_another_arm_or_judge_makes_other_stages_of_all_that_rests_on_it(
    name: str, made_anew: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(arms: tuple[Variant, ...]) -> tuple[Variant, ...]:
        return tuple(
            replace(arm, config=replace(arm.config, rate=0.5)) if arm.name == f"{TOY}/{name}" else arm for arm in arms
        )

    monkeypatch.setattr(Bench, "held_out", lambda self, data, k: data)
    config = replace(SMOKE, n_runs=1)
    other = replace(config, variants=changed(config.variants), judges=changed(config.judges))
    before, after = ({stage.name: stage.of for stage in stages(one, RUN)} for one in (config, other))
    differ = {stage.removeprefix("run-0/").removeprefix(f"{TOY}/") for stage in before if before[stage] != after[stage]}
    assert differ == made_anew


def test_accuracy_is_of_the_best_weights_and_what_is_called_last_of_the_last(
    found: tuple[Path, Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, arm = Bench(SMOKE, RUN), SMOKE.variant("toy/plain")
    seen: list[str] = []

    def loading(folder: Path, module: Any, origin: Any, run: Run, *, name: str) -> Any:
        seen.append(name)
        return module

    monkeypatch.setattr(measurements, "load_net", loading)
    results: Any = SimpleNamespace(folder=lambda name: found[0] / name)
    bench.measure(arm, 0)(found[0], results)
    assert seen == [measurements.NET, measurements.LAST]
