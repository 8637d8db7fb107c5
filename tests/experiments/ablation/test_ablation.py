"""The deciding experiment: fair arms, searches of equal cost, and a choice that does not see what is scored."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.commands import reproduce as command
from ebm_course.energies.sequence_energies import LikelihoodEnergy, excess_surprise
from ebm_course.energies.transformer import Transformer
from ebm_course.experiments.ablation import evaluation, measurements
from ebm_course.experiments.ablation.arms import PRINTED
from ebm_course.experiments.ablation.config import CPU, FRESH, GPU, GPU_FRESH, KINDS, PRETRAINED, SMOKE, Config
from ebm_course.experiments.ablation.evaluation import attacked, right_answers, searched
from ebm_course.experiments.ablation.experiment import EXPERIMENT, stages
from ebm_course.experiments.ablation.measurements import Bench, surprise_untrained
from ebm_course.experiments.ablation.searches import Search, searches
from ebm_course.experiments.ablation.ten_digits import TEN
from ebm_course.experiments.configs import shared
from ebm_course.experiments.experiment import reproduce
from ebm_course.experiments.nets import LAST, NET
from ebm_course.experiments.stages import Results
from ebm_course.results import ledger
from ebm_course.results.findings import Findings
from ebm_course.runtime import Run, setup
from ebm_course.tasks.arithmetic import Format, arithmetic
from ebm_course.tasks.arithmetic_score import correctness

RUN = Run(torch.device("cpu"), 0)
LAYOUT, N, BUDGET = Format(1), 12, 110
FAIR = (
    "n_digits",
    "n_rows",
    "n_noise",
    "n_epochs",
    "batch_size",
    "weight_decay",
    "betas",
    "clip",
    "keep_best",
    "replay",
    "ema",
    "l2",
    "bidirectional",
)
"""Fields that no arm may have of its own."""


class Truth(nn.Module):
    """20 nats for every wrong digit; counts rows scored, forward and backward."""

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self.n_values, self.rows, self.sign = 16, 0, sign

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        tokens = x if x.ndim == 2 else x.argmax(dim=2)
        e = self.sign * 40 * (1 - correctness(tokens, 1))
        if x.ndim == 3:
            e = e + 0.01 * x[:, LAYOUT.first_answer :, 5].sum(dim=1)
            if e.requires_grad:
                e.register_hook(self._count)
        return e

    def _count(self, grad: Tensor) -> None:
        self.rows += len(grad)


def starts(n: int = N, seed: int = 0) -> Tensor:
    x = arithmetic(1, n_train=n, n_valid=1, n_test=1, seed=seed).train.x.clone()
    x[:, LAYOUT.first_answer : -1] = 4 + torch.randint(10, (n, 2), generator=torch.Generator().manual_seed(seed))
    return x


def run_smoke(folder: Path, config: Config = SMOKE) -> Findings:
    return reproduce(EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=folder, progress=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Findings]:
    folder = tmp_path_factory.mktemp("ablation")
    return folder, run_smoke(folder)


def unfair(config: Config) -> list[str]:
    """Arms that differ from the printed one in what all have to share."""
    first = config.variants[0].config
    return [v.name for v in config.variants for field in FAIR if getattr(v.config, field) != getattr(first, field)]


@pytest.mark.parametrize("config", [CPU, TEN, SMOKE])
def test_every_arm_has_the_same_rows_updates_and_checkpoint_rule(config: Config) -> None:
    assert unfair(config) == []
    assert all(variant.config.keep_best for variant in config.variants)  # so both rules are recorded


def rates(config: Config) -> tuple[set[float], set[float]]:
    """Learning rates of the arms, and of the corrections of a likelihood."""
    of = [
        {v.config.rate for v in config.variants if ("corrected" in v.name) is corrected} for corrected in (False, True)
    ]
    return of[0], of[1]


def test_every_arm_has_the_same_rate_but_the_corrections_of_a_likelihood() -> None:
    assert rates(CPU) == ({PRINTED.rate}, {2e-4}) and rates(TEN) == ({PRINTED.rate}, set())
    for config in (CPU, TEN):
        changed = replace(config.variants[-1], config=replace(config.variants[-1].config, rate=1e-3))
        assert rates(replace(config, variants=(*config.variants[:-1], changed))) != rates(config)


OTHER = {"n_digits": 4, "n_rows": 999, "n_noise": 999, "n_epochs": 56, "batch_size": 50, "weight_decay": 0.0}
OTHER |= {"betas": (0.9, 0.99), "clip": 2.0, "keep_best": False, "replay": 0.5, "ema": 0.9, "l2": 0.1}
OTHER |= {"bidirectional": True}


@pytest.mark.parametrize("field", FAIR)
def test_an_unfair_arm_is_seen_whichever_it_is(field: str) -> None:
    for config in (CPU, TEN):
        for k, arm in enumerate(config.variants[1:], start=1):
            changed = replace(arm, config=replace(arm.config, **{field: OTHER[field]}))
            variants = (*config.variants[:k], changed, *config.variants[k + 1 :])
            assert unfair(replace(config, variants=variants)) == [arm.name]


@pytest.mark.parametrize("config", [CPU, TEN])
def test_the_two_kinds_of_pretraining_have_one_schedule(config: Config) -> None:
    def apart(one: Any, other: Any) -> dict[str, Any]:
        return {field: value for field, value in vars(other).items() if vars(one).get(field) != value}

    assert apart(config.next_token, config.masked) == {"mask_share": 0.15}
    longer = replace(config.masked, n_epochs=config.masked.n_epochs + 1)
    assert apart(config.next_token, longer) == {"mask_share": 0.15, "n_epochs": longer.n_epochs}


def test_arms_differ_from_algorithm_1_as_printed_in_what_they_are_named_for() -> None:
    def changes(name: str) -> set[str]:
        config = CPU.variant(f"next-token/{name}").config
        return {field for field, value in vars(config).items() if value != getattr(PRINTED, field)} - {"n_digits"}

    assert changes("printed/pooled") == set()
    assert changes("no-attack/pooled") == {"n_attack_steps"}
    assert changes("contrast/pooled") == {"n_attack_steps", "objective"}
    assert changes("printed/local") == {"head"}
    grown = {"objective", "include_current", "grow_every", "grow_above"}
    assert changes("grown/pooled") == grown
    assert changes("grown-memory/pooled") == grown | {"n_attack_steps", "position_memory", "answer_only"}


@pytest.mark.parametrize("config", [CPU, TEN, SMOKE])
def test_every_arm_of_every_kind_comes_after_the_nets_of_its_run_and_is_measured(config: Config) -> None:
    names = [stage.name for stage in stages(config, RUN)]
    for kind in config.data:
        for k in range(config.runs_of(kind)):
            net = names.index(f"run-{k}/{kind}/pretraining")
            assert names.index(f"run-{k}/lm") < net < names.index(f"run-{k}/{kind}/likelihood")
            for variant in config.variants:
                if variant.starts_from == f"{kind}/pretraining":
                    assert net < names.index(variant.stage(k)) < names.index(f"{variant.stage(k)}-measured")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("config", [CPU, GPU, TEN, SMOKE])
def test_a_stage_comes_after_stages_before_it_and_a_measurement_after_its_training_and_nets(config: Config) -> None:
    before: set[str] = set()
    for stage in stages(config, RUN):
        assert stage.after is not None and set(stage.after) <= before
        before.add(stage.name)
        if stage.name.endswith("-measured"):
            run, kind = stage.name.split("/")[:2]
            own = {f"{run}/lm", f"{run}/{kind}/pretraining", stage.name.removesuffix("-measured")}
            assert own <= set(stage.after)


def test_side_by_side_only_the_way_of_training_differs() -> None:
    assert replace(GPU, side_by_side=False, words=CPU.words) == CPU
    names = [{stage.name for stage in stages(config, RUN)} for config in (CPU, GPU)]
    assert names[0] == names[1]


def test_the_fresh_preset_has_what_claims_read_and_draws_rows_for_each_run_but_changes_nothing_else() -> None:
    read = {f"{claim.endpoint} {claim.control}" for claim in FRESH.claims}
    wanted = {arm.name for arm in CPU.variants if any(arm.name in words for words in read)}
    bases = {arm.replace("grown", "contrast") for arm in wanted if "grown" in arm and "surprise" not in arm}
    assert {arm.name for arm in FRESH.variants} == wanted | bases and len(FRESH.variants) == 10
    assert [CPU.variant(arm.name) for arm in FRESH.variants] == list(FRESH.variants)
    ours, before = shared(FRESH), shared(CPU)
    changed = {name for name, value in ours.items() if value != before[name]}
    assert changed == {"lm", "next_token", "masked"} and FRESH.claims == CPU.claims and FRESH.n_runs == 8
    assert all(ours[name] == before[name] | {"draw_rows": True} for name in changed)
    assert shared(GPU_FRESH) == ours | {"side_by_side": True}


def test_parts_of_pretraining_have_parts_of_its_updates() -> None:
    assert [CPU.pretraining(kind).config.n_epochs for kind in KINDS] == [16, 8, 4, 2, 1] * 2
    assert [CPU.runs_of(kind) for kind in KINDS] == [8, 5, 5, 5, 5] * 2


@pytest.mark.parametrize("name", sorted(searches(1)))
@pytest.mark.parametrize("budget", [0, 11, BUDGET])
def test_no_search_asks_more_often_than_it_may_nor_moves_operands(name: str, budget: int) -> None:
    energy, x = Truth(), starts()
    end = searches(1)[name](energy, x, budget, torch.Generator().manual_seed(0))
    assert energy.rows <= N * (budget + 22)  # besides: the state at both ends, of every part of an annealed chain
    assert torch.equal(end[:, : LAYOUT.first_answer], x[:, : LAYOUT.first_answer])


def test_right_answers_are_those_of_the_operands() -> None:
    x = Format(3).encode(["123+456=0000", "999+001=9999"])
    assert Format(3).decode(right_answers(x, 3)) == ["123+456=0579", "999+001=1000"]


def test_the_best_search_is_chosen_and_a_true_energy_is_never_fooled() -> None:
    options = {"n_digits": 1, "budget": BUDGET, "run": RUN, "name": "truth"}
    chosen_on, scored_on = starts(8, seed=1), starts(8, seed=2)
    scored_on = scored_on[~(chosen_on[:, None] == scored_on[None]).all(dim=2).any(dim=0)]
    (good,) = searched(Truth(), chosen_on, scored_on, **options)
    assert good["exact"] == 1.0 and good["fooled"] == 0.0 and good["nats_to_go"] == 0.0
    assert good["chosen"][good["search"]] == max(good["chosen"].values())
    (bad,) = searched(Truth(-1.0), chosen_on, scored_on, **options)
    assert bad["exact"] < 0.5 and bad["fooled"] > 0.5


def test_a_choice_on_what_is_scored_is_refused() -> None:
    x = starts()
    with pytest.raises(ValueError, match="chosen on other samples than those scored"):
        searched(Truth(), x[:5], x[4:], n_digits=1, budget=0, run=RUN, name="truth")


def test_a_search_is_chosen_by_what_it_finds_on_the_samples_to_choose_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen_on, scored_on = starts(40, seed=1)[:8], starts(40, seed=1)[20:]
    scored_on = scored_on[~(chosen_on[:, None] == scored_on[None]).all(dim=2).any(dim=0)]

    def right_where(choosing: bool) -> Search:
        def search(energy: object, x0: Tensor, budget: int, generator: torch.Generator) -> Tensor:
            return right_answers(x0, 1) if torch.equal(x0, chosen_on) == choosing else x0

        return search

    ways = {"good to score": right_where(False), "good to choose": right_where(True)}
    monkeypatch.setattr(evaluation, "searches", lambda n_digits: ways)
    (found,) = searched(Truth(), chosen_on, scored_on, n_digits=1, budget=0, run=RUN, name="truth")
    assert found["search"] == "good to choose" and found["chosen"]["good to choose"] == 1.0
    assert found["exact"] == float((scored_on == right_answers(scored_on, 1)).all(dim=1).float().mean()) < 1.0


@pytest.mark.parametrize("better", ["best", "last"])
def test_weights_are_chosen_on_the_samples_to_choose_on_of_the_own_run(
    monkeypatch: pytest.MonkeyPatch, better: str
) -> None:
    """Those that find more of the samples to choose on, even where the others find more of those that are scored."""
    asked: dict[str, Any] = {}
    found = {
        name: {"chosen": {"attack": 0.9 if name == better else 0.1}, "exact": 0.1 if name == better else 0.9}
        for name in ("best", "last")
    }
    monkeypatch.setattr(Bench, "noise", lambda self, results, k: k)
    monkeypatch.setattr(Bench, "samples", lambda self, noise, k: (noise, k))
    monkeypatch.setattr(Bench, "_arm", lambda self, results, variant, k, file: (file, k))

    def choose(self: Bench, energies: Any, samples: Any, k: int, name: str) -> list[Any]:
        asked["energies"], asked["samples"] = list(energies), list(samples)
        return [found["best"], found["last"]]

    def attack(self: Bench, energies: Any, samples: Any) -> list[Any]:
        asked["attacked"] = list(energies)
        return [{"rows": []}]

    monkeypatch.setattr(Bench, "_searched", choose)
    monkeypatch.setattr(Bench, "_attacked", attack)
    told = Bench(SMOKE, RUN).measure(SMOKE.variant("masked/grown/pooled"), 1)(Path(), Results(Path()))
    file = {"best": NET, "last": LAST}[better]
    assert told["weights"] == better and told["exact"] == 0.1 and asked["attacked"] == [(file, 1)]
    assert asked["energies"] == [(NET, 1), (LAST, 1)] and asked["samples"] == [(1, 1), (1, 1)]


def written(_: object, n: int, *, n_digits: int, generator: torch.Generator) -> Tensor:
    """Well-formed equations, many of them more than once."""
    rows = starts(40)
    return rows[torch.randint(len(rows), (n,), generator=generator)]


def test_samples_are_distinct_not_in_both_parts_and_others_in_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "sample_sequences", written)
    bench = Bench(replace(SMOKE, n_chosen_on=5, n_samples=10), RUN)
    (_, chosen_on, scored_on), again, other = (bench.samples(nn.Identity(), k) for k in (0, 0, 1))
    assert (len(chosen_on), len(scored_on)) == (5, 10)
    assert len(torch.cat([chosen_on, scored_on]).unique(dim=0)) == 15
    assert torch.equal(scored_on, again[2]) and not torch.equal(scored_on, other[2])


def test_a_language_model_that_writes_no_equations_is_refused() -> None:
    noise = LikelihoodEnergy(Transformer(16, LAYOUT.length, width=8, n_heads=2)).eval()
    with pytest.raises(ValueError, match="distinct samples of the language model are well formed"):
        Bench(replace(SMOKE, n_chosen_on=1, n_samples=1), RUN).samples(noise, 0)


def test_the_true_energy_tells_data_from_what_it_is_attacked_from() -> None:
    held_out = arithmetic(1, n_train=9, n_valid=1, n_test=1).train.x
    assert attacked(Truth(), starts(), held_out, n_digits=1)[0]["auroc_lm"] == 1.0


def test_the_untrained_surprise_is_the_excess_surprise_of_the_net() -> None:
    net = LikelihoodEnergy(Transformer(16, LAYOUT.length, width=8, n_heads=2)).eval()
    x = starts()
    torch.testing.assert_close(surprise_untrained(net)(x), excess_surprise(net.net.logits(x), x))


@pytest.mark.slow
def test_at_smoke_size_everything_is_measured_and_every_claim_of_the_kinds_asked_for_judged(found) -> None:
    values = {entry.name: entry.values for entry in found[1].entries}
    for variant in SMOKE.variants:
        kind = variant.name.partition("/")[0]
        if kind in SMOKE.data:
            assert len(values[f"{variant.name}/exact"]) == len(values[f"{variant.name}/last/exact"]) == 2
    assert {claim.claim.name for claim in found[1].claims} == {claim.name for claim in SMOKE.claims}
    assert [curve.name for curve in found[1].curves if curve.name.startswith("exact/masked")]
    assert all(torch.tensor(entry.values).isfinite().all() for entry in found[1].entries)


@pytest.mark.slow
def test_the_record_says_which_search_each_energy_was_scored_with(found: tuple[Path, Findings]) -> None:
    folder, findings = found
    values = {entry.name: entry.values for entry in findings.entries}
    scored = [name.removesuffix("/fooled") for name in values if name.endswith("/fooled")]
    assert len(scored) > 10
    for name in scored:
        shares = {key.rpartition("/")[2]: values[key] for key in values if key.startswith(f"{name}/search/")}
        for k in range(len(values[f"{name}/fooled"])):
            measured = folder / f"run-{k}" / f"{name}-measured"
            stage = measured if measured.is_dir() else folder / f"run-{k}" / name
            chosen = json.loads((stage / "result.json").read_text())["content"]["result"]["search"]
            assert {way: each[k] for way, each in shares.items() if each[k]} == {chosen: 1.0}


@pytest.mark.slow
def test_a_part_finds_the_numbers_of_the_whole_in_the_same_folder_and_in_its_own(found, tmp_path: Path) -> None:
    part = replace(SMOKE, data=("masked-2",), n_runs=1)
    same, own = run_smoke(found[0], part), run_smoke(tmp_path, part)
    assert same.entries and [entry.values for entry in same.entries] == [entry.values for entry in own.entries]
    whole = {entry.name: entry.values for entry in found[1].entries}
    assert all(entry.values[0] == whole[entry.name][0] for entry in own.entries if entry.name.startswith("masked-2"))


@pytest.mark.slow
def test_every_claim_names_an_endpoint_and_a_control_that_are_measured(found) -> None:
    names = {entry.name for entry in found[1].entries}
    assert len(CPU.claims) == 10 and CPU.claims == SMOKE.claims and set(PRETRAINED) <= set(KINDS)
    assert {claim.endpoint for claim in SMOKE.claims} | {claim.control for claim in SMOKE.claims} <= names


@pytest.mark.slow
def test_runs_trained_side_by_side_have_the_numbers_of_runs_trained_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawing_nothing(n_digits: int) -> dict[str, Search]:
        return {name: search for name, search in searches(n_digits).items() if name != "annealed"}

    monkeypatch.setattr(evaluation, "searches", drawing_nothing)  # side by side its draws are others
    torch.set_default_dtype(torch.float64)  # or rounding may decide between two candidates
    try:
        arms = [arm for arm in SMOKE.variants if arm.starts_from == "masked/pretraining" and "grown" in arm.name]
        longer = tuple(replace(arm, config=replace(arm.config, n_epochs=5, rate=0.1)) for arm in arms)
        few = replace(SMOKE, data=("masked",), masked=replace(SMOKE.masked, dropout=0.0), variants=longer)
        alone, together = (run_smoke(tmp_path / str(flag), replace(few, side_by_side=flag)) for flag in (False, True))
    finally:
        torch.set_default_dtype(torch.float32)
    assert [entry.name for entry in alone.entries] == [entry.name for entry in together.entries]
    for one, other in zip(alone.entries, together.entries, strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-8), one.name
    values = {entry.name: entry.values for entry in together.entries}
    pairs = [(values[f"{arm.name}/best/exact"], values[f"{arm.name}/last/exact"]) for arm in longer]
    assert any(best != last for best, last in pairs), "or nothing tells the two weights apart"


@pytest.mark.slow
def test_calls_that_join_in_one_folder_find_what_one_call_finds(found, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ebm_course", "reproduce", "ablation", "--preset", "smoke", "--device", "cpu"]
    command += ["--folder", str(tmp_path), "--join", "--quiet"]
    calls = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [call.wait(timeout=600) for call in calls] == [0, 0]
    record = ledger.read_file(tmp_path / "ablation-smoke.json")
    assert [entry.values for entry in record.entries] == [entry.values for entry in found[1].entries]
    assert [curve.runs for curve in record.curves] == [curve.runs for curve in found[1].curves]
    assert [work.name for work in record.work] == [work.name for work in found[1].work]


def test_many_arms_still_make_a_name_that_a_file_can_have() -> None:
    names = [variant.name for variant in EXPERIMENT.presets["gpu-tunings"].variants[:12]]
    options = SimpleNamespace(
        preset="gpu-tunings", data=[], encoder=None, set=[], runs=2, variant=list(reversed(names))
    )
    config, chosen = command.config_of(EXPERIMENT, options)  # type: ignore[arg-type]
    assert [variant.name for variant in config.variants] == names
    assert len(chosen) == 1 and re.fullmatch(r"variant=12-arms-[0-9a-f]{8}", chosen[0])
    fewer = SimpleNamespace(**{**vars(options), "variant": [*names[:11], "masked/grown/local"]})
    assert command.config_of(EXPERIMENT, fewer)[1] != chosen  # type: ignore[arg-type]
