"""The engine on an experiment of its own: parts of it, added runs and variants, claims, nets, work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ebm_course.experiments.configs import Settings, changed
from ebm_course.experiments.experiment import Experiment, reproduce, small_checkpoints
from ebm_course.experiments.nets import load_net
from ebm_course.experiments.stages import Results, Stage
from ebm_course.experiments.variants import Variant, trained, variant_stages
from ebm_course.recipes.shared import Fitted
from ebm_course.results.findings import Claim, Curve, Entry, Findings
from ebm_course.runtime import Run

RUN = Run(torch.device("cpu"), 3)
CALLS: list[str] = []


@dataclass(frozen=True)
class Method:
    """Of the recipe below."""

    level: float = 0.0


def fit(config: Method, run: Run, *, folder: Path | None = None, progress: bool = True, **given: Any) -> Fitted:
    """A recipe with the face that all have: draws a weight."""
    CALLS.append(f"{config.level} {run.seed} {sorted(given)}")
    module = nn.Linear(1, 1)  # from the global stream, which the engine has seeded
    noise = torch.randn((), generator=run.generator(f"loss of {config.level}"))
    rows = [{"step": 1.0, "loss": config.level + float(noise) / 100}]
    return Fitted(module.eval(), rows, {name: t + 1 for name, t in module.state_dict().items()})


VARIANTS = (
    Variant("plain", "as it is", Method(0.0), fit, ships_as="fake-plain-0"),
    Variant("better", "one change", Method(-0.5), fit),
    Variant("idea/odd", "another change", Method(0.2), fit, once=True),
)
CLAIM = Claim("lower", "The change lowers the loss.", "claims/lower", "lower", 0.1, control="plain/loss")


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Of the experiment below."""

    n_runs: int = 3
    variants: tuple[Variant, ...] = VARIANTS
    claims: tuple[Claim, ...] = (CLAIM,)
    size: int = 2
    sizes: tuple[int, ...] = field(default=(1, 2))


def stages(config: Config, run: Run) -> list[Stage]:
    def training(variant: Variant, k: int) -> Stage:
        return Stage(variant.stage(k), trained(variant, k, run, given=lambda results: {"net": 1}), of=variant)

    def measured(variant: Variant, k: int, folder: Path, results: Results) -> float:
        net = load_net(results.folder(variant.stage(k)), nn.Linear(1, 1), variant.origin(run, k), run)
        return float(net.weight.detach())

    def measurement(variant: Variant, k: int) -> Stage:
        return Stage(f"{variant.stage(k)}-measured", partial(measured, variant, k), of=variant)

    first = Stage("data", lambda folder, results: config.size)
    return [first, *variant_stages(config.variants, config.n_runs, training, measurement)]


def findings(config: Config, results: Results) -> Findings:
    entries = []
    for variant in config.variants:
        names = [variant.stage(k) for k in range(1 if variant.once else config.n_runs)]
        losses = [results[name]["rows"][-1]["loss"] for name in names]
        entries.append(Entry.of(f"{variant.name}/loss", variant.words, losses, seconds=results.seconds(*names)))
    if config.has("plain", "better"):
        pairs = zip(entries[1].values, entries[0].values, strict=True)
        entries.append(Entry.of("claims/lower", "Difference.", [x - y for x, y in pairs]))
    return Findings(entries, [Curve("sizes", "n", [1.0], "y", [[float(results["data"])]])])


EXPERIMENT = Experiment("fake", "A fake.", {"cpu": Config()}, stages, findings)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def found(folder: Path, config: Config = Config(), run: Run = RUN) -> Findings:
    return reproduce(EXPERIMENT, config, run, folder=folder, progress=False)


def test_every_variant_is_trained_in_every_run_with_its_own_seed_and_ideas_once(tmp_path: Path) -> None:
    result = found(tmp_path)
    assert [f"{level} {seed} ['net']" for seed in (3, 4, 5) for level in (0.0, -0.5)] + ["0.2 3 ['net']"] == CALLS
    assert [len(entry.values) for entry in result.entries] == [3, 3, 1, 3]
    assert found(tmp_path) == result and len(CALLS) == 7  # nothing is done again


def test_claims_are_judged_and_the_work_keeps_commit_hardware_and_seconds(tmp_path: Path) -> None:
    result = found(tmp_path)
    (judged,) = result.claims
    assert (judged.claim, judged.verdict, judged.n_runs) == (CLAIM, "holds", 3)
    assert [stage.name for stage in result.work][:3] == ["data", "run-0/plain", "run-0/plain-measured"]
    assert all(stage.seconds > 0 and stage.commits and stage.hardware and stage.torch for stage in result.work)
    assert result.seconds == pytest.approx(sum(stage.seconds for stage in result.work))


def test_runs_and_variants_may_be_added_and_a_part_may_come_first(tmp_path: Path) -> None:
    part = found(tmp_path, Config(variants=VARIANTS[:1], n_runs=1))
    assert CALLS == ["0.0 3 ['net']"] and not part.claims
    whole = found(tmp_path, Config(n_runs=2))
    assert len(CALLS) == 1 + 4 and whole.entries[0].values[0] == part.entries[0].values[0]


@pytest.mark.parametrize(
    "config, run, message",
    [
        (Config(size=3), RUN, r"config\.shared\.size: 2, expected 3"),
        (Config(), replace(RUN, seed=4), "seed: 3, expected 4"),
        (Config(variants=(replace(VARIANTS[0], config=Method(9.0)),)), RUN, r"config\.of\.config\.level: 0\.0"),
        (Config(claims=(replace(CLAIM, smallest_effect=0.2),)), RUN, r"config\.shared\.claims"),
    ],
)
def test_what_would_mix_two_experiments_is_refused(config: Config, run: Run, message: str, tmp_path: Path) -> None:
    found(tmp_path)
    with pytest.raises(ValueError, match=message):
        found(tmp_path, config, run)


def test_a_net_that_another_configuration_has_made_is_not_loaded(tmp_path: Path) -> None:
    found(tmp_path)
    folder, other = tmp_path / "run-0" / "plain", replace(VARIANTS[0], config=Method(9.0))
    assert load_net(folder, nn.Linear(1, 1), VARIANTS[0].origin(RUN, 0), RUN).training is False
    with pytest.raises(ValueError, match=r"config\.level: 0\.0, expected 9\.0"):
        load_net(folder, nn.Linear(1, 1), other.origin(RUN, 0), RUN)
    with pytest.raises(ValueError, match="seed: 3, expected 4"):
        load_net(folder, nn.Linear(1, 1), VARIANTS[0].origin(RUN, 1), RUN)


def test_the_last_weights_are_kept_beside_the_best(tmp_path: Path) -> None:
    found(tmp_path)
    best, last = (
        load_net(tmp_path / "run-0" / "plain", nn.Linear(1, 1), VARIANTS[0].origin(RUN, 0), RUN, name=name)
        for name in ("net.safetensors", "last.safetensors")
    )
    assert torch.equal(best.weight + 1, last.weight)


def test_nets_that_ship_are_small_and_say_what_made_them(tmp_path: Path) -> None:
    found(tmp_path)
    ((name, (state, note)),) = small_checkpoints(EXPERIMENT, Config(), RUN, tmp_path).items()
    assert name == "fake-plain-0" and state["weight"].dtype == torch.float16
    assert (note["config"], note["seed"], note["precision"]) == ({"level": 0.0}, 3, "float16")
    assert note["recipe"].endswith("test_experiment.fit")


def test_settings_refuse_no_runs_and_two_rows_of_one_name() -> None:
    with pytest.raises(ValueError, match="n_runs counts independent runs: expected 1 to 10,000, got 0"):
        Config(n_runs=0)
    with pytest.raises(ValueError, match="variants are told apart by name"):
        Config(variants=VARIANTS[:1] * 2)
    with pytest.raises(KeyError, match="there is no variant 'x': expected one of plain, better, idea/odd"):
        Config().variant("x")


def test_changes_are_made_to_fields_that_exist_and_are_not_kept() -> None:
    assert changed(Method(), {"level": 1.0, "other": 2}) == Method(1.0)
    assert changed(Method(), {"level": 1.0}, keep=("level",)) == Method(0.0)
