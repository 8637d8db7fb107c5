"""The whole experiment at smoke size: fair arms, its numbers and claims, a part, a kill, two parts put together."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.core import Batch, Task
from ebm_course.energies.wide_resnet import WideResNet
from ebm_course.experiments.configs import shared
from ebm_course.experiments.experiment import reproduce, small_checkpoints
from ebm_course.experiments.images import combining, evaluation, measurements
from ebm_course.experiments.images import config as configs
from ebm_course.experiments.images import findings as findings_module
from ebm_course.experiments.images.arms import PLUS, is_step_10
from ebm_course.experiments.images.config import CPU, DATA, GPU, NOTEBOOK, PAPER, PRESETS, SMOKE, Config
from ebm_course.experiments.images.declared import ROWS
from ebm_course.experiments.images.experiment import EXPERIMENT, stages
from ebm_course.experiments.images.measurements import Bench
from ebm_course.experiments.variants import Variant
from ebm_course.files import load_checkpoint
from ebm_course.origin import plain
from ebm_course.recipes.images import robust_jem
from ebm_course.recipes.images.chains import pyld_steps
from ebm_course.recipes.shared import rows_digest
from ebm_course.results import ledger
from ebm_course.results.findings import Findings
from ebm_course.runtime import Run, setup
from ebm_course.storage import read_json, read_tensors
from ebm_course.tasks.images import digits, split

RUN = Run(torch.device("cpu"), 0)
FAIR = ("task", "net", "batch_size", "n_steps", "optimizer", "rate", "weight_decay", "warm_up", "milestones", "decay")
FAIR += ("pad", "flip", "image_noise_std", "keep_best", "validate_every", "precision", "compile", "channels_last")
"""Fields that no arm on one data set may have of its own."""
CHAINS = (
    "energy_weight",
    "l2",
    "n_sampler_steps",
    "start",
    "buffer_size",
    "restart_probability",
    "gap_limit",
    "restarts",
    "watch_every",
)
"""Fields that no joint model may have of its own."""
MOVES = tuple(PLUS)
"""Fields that only JEM++'s steps may have of their own."""
ATTACK = ("radius", "n_attack_steps", "attack_step_size", "norm", "random_start", "clean_share")
"""Fields that no robust arm may have of its own."""


def run_smoke(folder: Path, config: Config = SMOKE) -> Findings:
    return reproduce(EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=folder, progress=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Findings]:
    folder = tmp_path_factory.mktemp("images")
    return folder, run_smoke(folder)


def values_of(findings: Findings) -> dict[str, tuple[float, ...]]:
    return {entry.name: entry.values for entry in findings.entries}


def unfair(config: Config) -> list[str]:
    """Arms that differ from the first of their kind on their data set in what all of that kind have to share."""
    names = []
    for data in config.data:
        arms = config.arms(data)
        joint = [arm for arm in arms if hasattr(arm.config, "buffer_size")]
        plain = [arm for arm in joint if not arm.name.endswith("/jem-plus")]
        robust = [arm for arm in arms if hasattr(arm.config, "radius")]
        for rows, fields in ((arms, FAIR), (joint, CHAINS), (plain, MOVES), (robust, ATTACK)):
            for arm in rows:
                names += [arm.name for field in fields if _other(arm.config, rows[0].config, field)]
    return names


def _other(one: Any, other: Any, field: str) -> bool:
    a, b = (
        (value.func, value.args, value.keywords) if isinstance(value, partial) else value
        for value in (getattr(one, field), getattr(other, field))
    )
    return bool(a != b)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_arms_share_net_rows_updates_and_rate_joint_ones_their_chains_and_robust_ones_the_attack(
    config: Config,
) -> None:
    assert unfair(config) == []


@pytest.mark.parametrize(
    "field, value",
    [
        ("n_steps", 501),
        ("rate", 2e-3),
        ("keep_best", True),
        ("channels_last", False),
        ("l2", 0.1),
        ("watch_every", 1),
        ("step_size", 0.5),
        ("bounds", (-1.0, 1.0)),
        ("radius", 0.2),
        ("clean_share", 0.5),
    ],
)
def test_an_unfair_arm_is_seen(field: str, value: object) -> None:
    arm = CPU.variant("digits/robust-jem")
    changed = replace(arm, config=replace(arm.config, **{field: value}))
    arms = tuple(changed if variant is arm else variant for variant in CPU.variants)
    assert unfair(replace(CPU, variants=arms)) == [arm.name]


def test_arms_differ_from_robust_jem_in_what_they_are_named_for() -> None:
    def changes(one: str, other: str) -> set[str]:
        a, b = (vars(CPU.variant(f"digits/{name}").config) for name in (one, other))
        return {field for field in a.keys() & b.keys() if a[field] is not b[field] and a[field] != b[field]}

    assert changes("robust-jem-adversarial", "robust-jem") == {"energy_sees"}
    assert changes("jem-plus", "jem") == PLUS.keys() - {"n_inner_steps"}
    assert changes("robust-jem", "jem") == changes("robust-jem", "robust-classifier") == set()
    assert CPU.variant("digits/robust-jem").fit is robust_jem.fit


def test_runs_are_five_but_three_on_cifar_10_and_one_where_one_is_asked_for() -> None:
    assert [CPU.runs_of(data) for data in DATA] == [5, 5, 3]
    assert [replace(CPU, n_runs=1).runs_of(data) for data in DATA] == [1, 1, 1]
    assert [replace(CPU, n_runs=10).runs_of(data) for data in DATA] == [10, 10, 6]


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_nets_are_sampled_with_steps_as_long_as_those_of_their_chains_in_training(config: Config) -> None:
    """JEM++'s inner steps add up to one step."""
    for data in config.data:
        arms = [arm.config for arm in config.arms(data) if "sampler" in vars(arm.config)]
        inner = {arm: arm.n_inner_steps if arm.sampler is pyld_steps else 1 for arm in arms}
        assert arms and {arm.step_size * n for arm, n in inner.items()} == {config.on(data).step_size}
    assert CPU.on("mnist").step_size == 0.3 and replace(CPU, step_size=2.0).on("mnist").step_size == 0.6


@pytest.mark.parametrize(
    "key, preset, n_arms", [("images-cpu-data=digits", replace(CPU, data=("digits",)), 8), ("images-gpu", GPU, 4)]
)
def test_a_recorded_run_is_of_this_configuration_claims_and_stages(
    key: str, preset: Config, n_arms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "held_out", lambda self, data: data)  # CIFAR-10 may not be at hand
    record, config, [data] = ledger.read(key), plain(preset), preset.data
    other = {"variants"}  # those on other data are not in the record
    assert {f: v for f, v in record.config.items() if f not in other} == {
        f: v for f, v in config.items() if f not in other
    }
    rows, own = (
        [variant for variant in made["variants"] if variant["name"].startswith(f"{data}/")]
        for made in (record.config, config)
    )
    assert rows == own and len(rows) == n_arms
    assert [judged.claim for judged in record.claims] == [c for c in CPU.claims if c.name.startswith(f"{data}/")]
    assert [stage.name for stage in record.work] == [stage.name for stage in stages(preset, RUN)]


def test_the_stages_of_digits_are_known_by_what_they_were_when_they_were_recorded() -> None:
    """A word more in what a stage is made of, and whoever has the recorded folder can no longer go on in it."""
    of = {stage.name: set(stage.of) for stage in stages(replace(CPU, data=("digits",)), RUN)}
    assert of["run-0/digits/jem-measured"] == of["run-0/digits/jem"] == {"judge", "held out", "arm"}
    assert set(shared(CPU)) == {
        *("claims", "judges", "n_images", "radii", "n_attack_steps", "step_size", "noise_std", "n_few", "n_many"),
        *("radius", "contrast", "n_samples_of_grid", "grid_radii", "grid_contrasts"),
    }


@pytest.mark.parametrize(
    "name, made_anew",
    [
        ("digits/robust-jem", ("robust-jem", "robust-jem-measured", "robust-jem-combined")),
        ("digits/step-10/jem", ("step-10/jem",)),
    ],
)
def test_another_arm_makes_other_stages_of_all_that_is_found_of_it(name: str, made_anew: tuple[str, ...]) -> None:
    def of(config: Config) -> dict[str, Any]:
        return {stage.name: stage.of for stage in stages(config, RUN)}

    config = replace(SMOKE, n_runs=1)
    arm = config.variant(name)
    other = replace(arm, config=replace(arm.config, rate=2e-3))
    before, after = (
        of(config),
        of(replace(config, variants=tuple(other if variant is arm else variant for variant in config.variants))),
    )
    assert {stage for stage in before if before[stage] != after[stage]} == {f"run-0/digits/{one}" for one in made_anew}


def test_the_paper_trains_its_own_net_with_its_own_settings() -> None:
    arm = PAPER.variant("cifar10/robust-jem").config
    assert arm.net.keywords == {"depth": 28, "widen": 10, "norm": "batch"}
    own = {"restarts": 10, "precision": "bfloat16", "compile": True}
    assert arm == replace(robust_jem.PAPER, **own) and (PAPER.radius, PAPER.n_images) == (0.5, 10_000)


def photographs(*, seed: int = 0) -> Task:
    some = Batch(2 * torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 1, torch.arange(40) % 2)
    return split("photographs", some, some, n_classes=2, n_valid=20, seed=seed)


SHORT: dict[str, Any] = {"task": photographs, "batch_size": 4, "n_steps": 2, "validate_every": 1, "warm_up": 0}
SHORT |= {"net": partial(WideResNet, depth=10, widen=1, norm="batch"), "buffer_size": 20, "n_sampler_steps": 2}
SHORT |= {"n_attack_steps": 2, "compile": False}
"""The papers' size made small; their optimiser, augmentation, sampler, precision and batch norm stay."""


@pytest.mark.parametrize("variant", [*PAPER.arms("cifar10"), PAPER.judge("cifar10")], ids=lambda v: v.name)
def test_every_arm_of_the_papers_size_trains_in_small(variant: Variant) -> None:
    config = configs.changed(variant.config, SHORT)
    assert (config.precision, config.flip, config.pad) == ("bfloat16", True, 4)
    rows = variant.fit(config, RUN, progress=False).rows
    assert rows[-1]["step"] == 2 and all(math.isfinite(value) for row in rows for value in row.values())
    assert ("valid_energy_gap" in rows[-1]) == ("jem" in variant.name)
    assert ("valid_robust_accuracy" in rows[-1]) == ("/robust" in variant.name)


def test_each_run_has_a_judge_of_its_own_that_no_arm_shares_the_seed_of(found) -> None:
    folder, _ = found
    nets = {}
    for k in range(2):
        _, meta = load_checkpoint(folder / f"run-{k}/digits/judge/net.safetensors")
        _, arm = load_checkpoint(folder / f"run-{k}/digits/classifier/net.safetensors")
        assert meta["origin"]["seed"] == 10_000 + k and arm["origin"]["seed"] == k
        nets[k] = load_checkpoint(folder / f"run-{k}/digits/judge/net.safetensors")[0]["first.weight"]
    assert not torch.equal(nets[0], nets[1])


@pytest.mark.parametrize("config", [CPU, SMOKE])
def test_every_arm_comes_after_the_judge_of_its_run_and_is_measured_next(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "held_out", lambda self, data: data)
    names = [stage.name for stage in stages(config, RUN)]
    assert len(set(names)) == len(names)
    for data in config.data:
        for k in range(config.runs_of(data)):
            judge = names.index(f"run-{k}/{data}/judge")
            assert names[judge + 1] == f"run-{k}/{data}/anchors"
            for variant in config.arms(data):
                assert judge < names.index(variant.stage(k)) == names.index(f"{variant.stage(k)}-measured") - 1


def test_a_stage_waits_for_what_it_reads_alone_so_that_joined_calls_find_something_to_do() -> None:
    made = {stage.name: stage for stage in stages(replace(SMOKE, n_runs=1), RUN)}
    judge = "run-0/digits/judge"
    assert made[judge].after == () and made["run-0/digits/anchors"].after == (judge,)
    for variant in SMOKE.arms("digits"):
        arm = variant.stage(0)
        assert made[arm].after == ()
        assert {made[f"{arm}-{kind}"].after for kind in ("measured", "combined") if f"{arm}-{kind}" in made} == {
            (judge, arm)
        }
    assert all(made[variant.stage(0)].after == () for variant in SMOKE.lives("digits"))


def test_at_smoke_size_everything_is_measured_and_every_claim_of_the_data_judged(found) -> None:
    values = values_of(found[1])
    for variant in SMOKE.arms("digits"):
        for name in (
            "accuracy",
            "pgd-0.3",
            "calibration",
            "foreign/mixes/logsumexp",
            "long/distance",
            "combined/recall",
        ):
            assert len(values[f"{variant.name}/{name}"]) == 2
        assert ("jem" in variant.name) == (f"{variant.name}/restarts" in values)
    assert {claim.claim.name for claim in found[1].claims} == {f"digits/{row[0]}" for row in ROWS["digits"]}
    assert [curve.name for curve in found[1].curves if curve.name.startswith("alive/digits/step-10")]
    assert not [entry.name for entry in found[1].entries if "/buffer/" in entry.name]  # 32 chains, 40 images


def test_a_few_samples_of_every_way_are_kept_as_bytes_beside_images_of_the_same_classes(found) -> None:
    kept, note = read_tensors(found[0] / "run-0/digits/robust-jem-measured/samples.safetensors")
    assert sorted(kept) == ["combined", "data", "long", "noise", "short", "start", "towards"]
    assert {(x.dtype, tuple(x.shape)) for x in kept.values()} == {(torch.uint8, (20, 1, 8, 8))}
    task = digits()
    shown = [int((task.test.y == k).nonzero()[0]) for k in range(10)]
    assert torch.equal(kept["data"][:10].float() / 127.5 - 1, (task.test.x[shown] * 127.5 + 127.5).round() / 127.5 - 1)
    assert not torch.equal(kept["long"], kept["start"]) and note == {"arm": "digits/robust-jem"}


def test_every_claim_names_an_endpoint_and_a_control_that_are_measured(found) -> None:
    values, asked = values_of(found[1]), [claim for claim in SMOKE.claims if claim.name.startswith("digits/")]
    assert {claim.endpoint for claim in asked} | {claim.control for claim in asked} <= values.keys()
    assert PAPER.claims == GPU.claims == CPU.claims == NOTEBOOK.claims == SMOKE.claims and len(asked) == 12
    assert len(CPU.claims) == 12 + 7 + 7


def test_a_claim_is_the_difference_of_the_entries_that_it_names(found) -> None:
    values = values_of(found[1])
    one, other = (values[f"digits/{name}/long/recall"] for name in ("robust-jem", "jem"))
    assert values["claims/digits/diversity"] == tuple(a - b for a, b in zip(one, other, strict=True))
    one, other = (torch.tensor(values[f"digits/robust-jem/{name}/distance"]) for name in ("combined", "long"))
    ratio = (one / other).log10().tolist()
    assert values["claims/digits/combined-distance"] == pytest.approx(ratio, abs=1e-5)


def test_samples_are_compared_with_held_out_images_and_not_with_those_trained_on(found) -> None:
    values = values_of(found[1])
    assert values["digits/anchors/train/nearest"] == (0.0, 0.0)  # copies
    assert min(values["digits/anchors/train/distance"]) > 1e-3  # and yet others than what they are compared with


def test_the_rows_that_are_compared_with_are_the_held_out_ones_of_every_run() -> None:
    bench, task = Bench(SMOKE, RUN), digits()
    for k in range(2):
        rows = bench.rows("digits", k)
        assert torch.equal(rows.test.x, task.test.x[:40])
        assert not (rows.test.x[:, None] == rows.train.x[None]).flatten(2).all(dim=2).any()
    assert not torch.equal(bench.rows("digits", 0).train.x, bench.rows("digits", 1).train.x)


def test_class_gaussians_are_fitted_to_the_images_to_train_on() -> None:
    rows = Bench(SMOKE, RUN).rows("digits", 0)
    threes = rows.train.x[rows.train.y == 3]
    torch.testing.assert_close(rows.gaussians.means[3], threes.mean(dim=0))
    assert int(rows.gaussians.counts[3]) == len(threes)


def test_no_two_runs_and_purposes_begin_their_chains_with_one_stream() -> None:
    bench = Bench(SMOKE, RUN)
    noise = [bench.starts("digits", k, purpose, 5).noise for k in range(2) for purpose in ("samples", "choice")]
    assert len(torch.stack(noise).flatten(1).unique(dim=0)) == 4
    seeds = [bench.of_run(k).generator(name).initial_seed() for k in range(2) for name in ("chains", "foreign")]
    assert len(set(seeds)) == 4


def test_measures_see_held_out_images_and_the_choice_of_a_setting_sees_validation_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[torch.Tensor]] = {}

    def noted(module: Any, name: str, of: Callable[..., Any]) -> None:
        function = getattr(module, name)

        def call(*args: Any, **options: Any) -> Any:
            seen.setdefault(name, []).append(of(*args))
            return function(*args, **options)

        monkeypatch.setattr(module, name, call)

    noted(measurements, "classified", lambda joint, batch, *_: batch.x)
    noted(measurements, "told_apart", lambda joint, inside, _: inside)
    noted(measurements, "gap", lambda joint, held_out, _: held_out)
    noted(combining, "mean_energy", lambda joint, x, _: x)
    noted(combining, "grid", lambda joint, reference, *_: reference.held_out)
    noted(combining, "scored", lambda joint, setting, reference, *_: reference.held_out)
    run_smoke(tmp_path, replace(SMOKE, variants=(SMOKE.variant("digits/robust-jem"),), n_runs=1))
    task = digits(seed=0)
    *_, of_data = seen.pop("mean_energy")  # of the samples of every setting, and then of images
    assert torch.equal(of_data, task.valid.x[:40])
    assert {name: len(images) for name, images in seen.items()} == {
        "classified": 1,
        "told_apart": 1,
        "gap": 2,
        "grid": 1,
        "scored": 2,
    }
    for name, images in seen.items():
        expected = task.valid.x[:40] if name == "grid" else task.test.x[:40]
        assert all(torch.equal(x, expected) for x in images), name


def test_the_gap_is_that_to_the_samples_of_few_steps_and_that_of_the_buffer_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: torch.full((40, 1, 8, 8), value) for name, value in (("short", -0.25), ("long", 0.25))}
    monkeypatch.setattr(measurements, "ways", lambda *_: given.items())
    monkeypatch.setattr(measurements, "gap", lambda joint, held_out, samples: float(samples.mean()))
    run_smoke(tmp_path, replace(SMOKE, variants=(SMOKE.variant("digits/robust-jem"),), n_runs=1))
    [file] = tmp_path.glob("run-0/digits/robust-jem-measured/result.json")
    found = read_json(file)["result"]
    assert found["gap"] == -0.25 and found["buffer_gap"] not in (-0.25, 0.25)


def test_a_part_finds_the_numbers_of_the_whole_in_the_same_folder_and_in_its_own(found, tmp_path: Path) -> None:
    rows = tuple(SMOKE.variant(f"digits/{name}") for name in ("jem", "robust-jem"))
    part = replace(SMOKE, variants=rows, n_runs=1)
    same, own, whole = run_smoke(found[0], part), run_smoke(tmp_path, part), values_of(found[1])
    assert same.entries and values_of(same) == values_of(own)
    assert all(entry.values[0] == whole[entry.name][0] for entry in own.entries)


def test_what_was_killed_is_found_again_without_doing_a_stage_twice(
    found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    part = replace(SMOKE, variants=(SMOKE.variant("digits/robust-jem"),), n_runs=1)
    with monkeypatch.context() as patch:
        patch.setattr(Bench, "combine", lambda *_: killed)
        with pytest.raises(KeyboardInterrupt):
            run_smoke(tmp_path, part)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    again, whole = values_of(run_smoke(tmp_path, part)), values_of(found[1])
    assert again and all(value[0] == whole[name][0] for name, value in again.items())
    assert done and all(path.stat().st_mtime_ns == at for path, at in done.items())


def test_parts_of_two_folders_are_put_together_by_copying_them(tmp_path: Path) -> None:
    """Judges are of one configuration in both, so the second part finds the first one's stages valid."""
    arms = ("jem",)
    parts = {data: configs._smoke(data, digits) for data in ("digits", "mnist")}
    both = replace(
        configs.together(parts, **{f: getattr(SMOKE, f) for f in vars(SMOKE) if f.startswith(("grid", "n_", "radii"))}),
        n_runs=1,
    )
    both = replace(both, variants=tuple(v for v in both.variants if v.name.partition("/")[2] in arms))
    for data in both.data:
        run_smoke(tmp_path / data, replace(both, data=(data,)))
    shutil.copytree(tmp_path / "mnist" / "run-0" / "mnist", tmp_path / "digits" / "run-0" / "mnist")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "digits").rglob("result.json")}
    names = values_of(run_smoke(tmp_path / "digits", both)).keys()
    assert {"digits/jem/accuracy", "mnist/jem/accuracy"} <= names
    assert before and {path: path.stat().st_mtime_ns for path in before} == before


def test_on_mnist_nets_are_sampled_with_its_own_step_and_stages_and_words_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("n_images", "n_samples_of_grid", "n_attack_steps", "n_few", "n_many", "radii", "grid_radii")
    small = {name: getattr(SMOKE, name) for name in (*names, "grid_contrasts")}
    config = configs.together({"mnist": configs._smoke("mnist", digits)}, **small, n_runs=1)
    config = replace(config, variants=(config.variant("mnist/robust-jem"),))
    seen: dict[str, list[float]] = {}
    for module, name in ((measurements, "ways"), (combining, "grid"), (combining, "scored")):
        function = getattr(module, name)

        def noted(*args: Any, _name: str = name, _function: Any = function, **options: Any) -> Any:
            seen.setdefault(_name, []).extend(arg.step_size for arg in args if isinstance(arg, Config))
            return _function(*args, **options)

        monkeypatch.setattr(module, name, noted)
    found = run_smoke(tmp_path, config)
    assert seen == {"ways": [0.3], "grid": [0.3], "scored": [0.3, 0.3]}
    what = {entry.name: entry.what for entry in found.entries}
    assert "2 Langevin steps of 0.3 from class Gaussians" in what["mnist/robust-jem/long/distance"]
    assert "1 Langevin steps of 0.3 from class" in what["mnist/robust-jem/gap"]
    made = {stage.name.rpartition("-")[2]: stage.of.get("steps") for stage in stages(config, RUN)}
    assert made["measured"] == made["combined"] == 0.3


def test_real_foreign_images_are_measured_where_they_are_and_change_neither_the_mean_nor_other_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("n_images", "n_samples_of_grid", "n_attack_steps", "n_few", "n_many", "radii", "grid_radii")
    small = {name: getattr(SMOKE, name) for name in (*names, "grid_contrasts")}
    config = configs.together({"mnist": configs._smoke("mnist", digits)}, **small, n_runs=1)
    config = replace(config, variants=(config.variant("mnist/classifier"),))
    without = values_of(run_smoke(tmp_path / "without", config))
    there = {"mnist": ("fashion-mnist", lambda: True, lambda *, size: digits())}
    for module in (evaluation, findings_module):
        monkeypatch.setattr(module, "REAL", there)
    found = values_of(run_smoke(tmp_path / "with", config))
    own = {name for name in found if "/foreign/fashion-mnist/" in name}
    assert len(own) == 3 and {name: value for name, value in found.items() if name not in own} == without
    assert found["mnist/classifier/foreign/fashion-mnist/logsumexp"] == (0.5,)  # the held-out images themselves
    with pytest.raises(ValueError, match=r"classifier-measured.*was made with another config.of.foreign: 'nothing'"):
        run_smoke(tmp_path / "without", config)


def test_data_without_nets_in_a_preset_are_refused() -> None:
    with pytest.raises(ValueError, match="this preset has no nets for mnist, expected one of digits"):
        replace(SMOKE, data=("mnist",))


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("n_few", 2, "expected fewer steps than n_many"),
        ("radius", 0.4, r"grid_radii: expected the setting itself, 0.4"),
        ("contrast", 0.7, r"grid_contrasts: expected the setting itself, 0.7"),
        ("grid_radii", (0.5,), "the grid has Langevin steps alone in it"),
        ("n_images", 0, "n_images"),
        ("noise_std", -1.0, "noise_std"),
    ],
)
def test_settings_out_of_range_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMOKE, **{field: value})


def test_other_held_out_images_make_other_stages(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "rows_digest", lambda batch: rows_digest(batch)[::-1])
    with pytest.raises(ValueError, match=r"judge.*was made with another"):
        run_smoke(found[0], replace(SMOKE, variants=()))


def test_the_nets_that_ship_are_those_of_digits_and_small(found) -> None:
    names = [variant.ships_as for variant in CPU.variants if variant.ships_as]
    assert names == ["digits-classifier", "digits-jem", "digits-robust-jem"]
    arm = CPU.variant("digits/jem").config
    n = sum(p.numel() for p in arm.net((1, 8, 8), 10).parameters())
    assert 3 * 2 * n < 200_000
    assert small_checkpoints(EXPERIMENT, SMOKE, RUN, found[0]) == {}


def test_step_10_arms_are_watched_at_every_update_and_never_go_back() -> None:
    lives = [variant.config for variant in CPU.variants if is_step_10(variant)]
    assert [(c.step_size, c.watch_every, c.restarts, c.n_steps) for c in lives] == [(10.0, 1, 0, 1_000)] * 2


def test_an_arm_that_diverges_does_not_stop_the_others(tmp_path: Path) -> None:
    robust, jem = (SMOKE.variant(f"digits/{name}") for name in ("robust-jem", "jem"))
    dead = replace(robust, config=replace(robust.config, gap_limit=1e-6, restarts=0))
    part = replace(SMOKE, variants=(dead, jem), n_runs=1)
    values = values_of(run_smoke(tmp_path, part))
    assert values["digits/robust-jem/died"] == (1.0,) and values["digits/jem/accuracy"][0] > 0
    assert [name for name in values if name.startswith(("digits/robust-jem/", "claims/"))] == ["digits/robust-jem/died"]
    died = read_json(tmp_path / "run-0/digits/robust-jem/result.json")["result"]
    assert died["died"] and died["why"].startswith(f"update {died['updates']}: the largest energy gap")
    assert values_of(run_smoke(tmp_path, part)) == values


def test_each_run_of_an_arm_that_is_watched_until_it_dies_has_a_seed_of_its_own() -> None:
    seeds: list[int] = []
    arm = replace(SMOKE.variant("digits/step-10/jem"), fit=lambda config, run, **_: seeds.append(run.seed))
    results: Any = type("R", (), {"progress": False})()
    for k in range(2):
        Bench(SMOKE, RUN).live(arm, k)(Path(), results)
    assert seeds == [0, 1]


def test_an_arm_that_diverges_is_counted_dead_at_the_update_where_it_did() -> None:
    arm = SMOKE.variant("digits/step-10/jem")
    dead = replace(arm, config=replace(arm.config, gap_limit=1e-6))
    results: Any = type("R", (), {"progress": False})()
    assert Bench(SMOKE, RUN).live(dead, 0)(Path(), results) == {"updates": 1, "died": True}
    assert Bench(SMOKE, RUN).live(arm, 0)(Path(), results) == {"updates": 6, "died": False}
