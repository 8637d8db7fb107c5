"""What the page of known limits says of structured prediction is what the records and presets have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebm_course.commands.choices import EXPERIMENTS, experiment
from ebm_course.experiments.images import config as images
from ebm_course.experiments.images.search_presets import SEARCH
from ebm_course.experiments.structured import published
from ebm_course.experiments.structured.arms import LIGHT
from ebm_course.experiments.structured.config import CPU, NER_PLUS_ROWS, PAPER
from ebm_course.results import ledger

PAGE = Path(__file__).parents[2] / "book" / "limits.md"
NER_PLUS = "structured-cpu-data=wnut17-vectors"
SETS = ("toy", *(f"{data}{more}" for data in ("twitter-pos", "wnut17") for more in ("", "-vectors", "-features")))


def section() -> str:
    """The section on structured prediction, on one line."""
    return " ".join(PAGE.read_text(encoding="utf-8").split("## Structured prediction\n")[1].split("\n## ")[0].split())


def arms(data: str, key: str = "") -> dict[str, dict[str, Any]]:
    """Name of an arm -> its configuration in the record of a set, or in another record, by its key."""
    variants = ledger.read(key or f"structured-cpu-data={data}").config["variants"]
    return {v["name"].partition("/")[2]: v["config"] for v in variants if v["name"].startswith(f"{data}/")}


@pytest.mark.parametrize("data", SETS)
def test_all_arms_of_a_record_share_rates_lambda_gamma_and_tau(data: str):
    assert "all games have lambda 1, gamma 1 and, where entropy is annealed, tau 2" in section()
    found = {
        name: {config[name] for config in arms(data).values() if name in config}
        for name in ("rate", "energy_rate", "perceptron_weight", "gamma", "entropy_weight")
    }
    assert len(found["rate"]) == len(found["energy_rate"]) == 1
    assert found["perceptron_weight"] == found["gamma"] == {1.0} and found["entropy_weight"] <= {0.0, 2.0}


def test_the_preset_paper_takes_the_lambda_of_stacked_networks_on_tweets():
    assert (
        "for stacked ones it has 10, which the preset `paper` takes on tweets for all games, separated ones too, but "
        "for three more arms with lambda 1" in section()
    )
    light = [arm.name for arm in PAPER.arms("twitter-pos") if getattr(arm.config, "perceptron_weight", 10.0) == 1.0]
    assert light == [f"twitter-pos/{name}" for name in LIGHT] and len(light) == 3
    for arm in PAPER.arms("twitter-pos"):
        assert arm.name in light or getattr(arm.config, "perceptron_weight", 10.0) == 10.0


def test_beams_are_as_narrow_and_sentences_as_few_as_the_page_says():
    words = "of width 4 on the first 200 test sentences of the language, of width 2 on the first 20 of posts"
    assert words in section() and (CPU.searched("toy"), CPU.searched("wnut17")) == (200, 20)
    for data, width in {"toy": 4, "wnut17": 2, "wnut17-vectors": 2, "wnut17-features": 2}.items():
        assert {arms(data)[ge]["beam_width"] for ge in ("ge-a", "ge-b", "ge-c")} == {width}


def rows(key: str) -> set[str]:
    """Names of the arms on posts that a record measures."""
    return {e.name.split("/")[1] for e in ledger.read(key).entries if e.name.startswith("wnut17")}


def test_the_rows_of_ner_plus_plus_are_those_that_the_page_names():
    assert rows("structured-cpu-data=wnut17-features") == {"bilstm", "margin", "stacked", "ge-a", "ge-b", "ge-c", "crf"}
    assert (
        "**NER++ on posts** has the BiLSTM, the margin, stacked, the three tag language models and a CRF." in section()
    )


def test_ner_plus_on_posts_has_every_row_of_the_papers_tables_and_no_claim():
    (later,) = (key for key in ledger.names() if key.startswith(f"{NER_PLUS}-variant="))
    assert rows(NER_PLUS) | rows(later) == {"crf", *published.MORE_FEATURES["conll2003-vectors"]} == {*NER_PLUS_ROWS}
    assert "has every row of the paper's tables 1, 2 and 4, and a CRF, in two records" in section()
    assert not rows(NER_PLUS) & rows(later) and len(rows(later)) == 7
    assert "Seven rows were trained later; of no row was anything declared" in section()
    claims = [*ledger.read(NER_PLUS).claims, *ledger.read(later).claims]
    assert not any(judged.claim.name.startswith("wnut17-vectors/") for judged in claims)


def test_the_two_records_of_ner_plus_have_the_same_settings():
    assert "in two records with the same sentences, seeds and settings" in section()
    assert "All have 14 epochs, where the paper's early stopping chose about 25" in section()
    (later,) = (key for key in ledger.names() if key.startswith(f"{NER_PLUS}-variant="))
    first, second = ({**ledger.read(key).config, "seeds": ledger.read(key).seeds} for key in (NER_PLUS, later))
    assert first | {"variants": ()} == second | {"variants": ()}
    of_first, of_second = arms("wnut17-vectors"), arms("wnut17-vectors", later)
    assert of_first.keys() == rows(NER_PLUS) and of_second.keys() == rows(later)
    free = {"loss", "parametrisation", "cross_entropy_a", "cross_entropy_f", "truncate", "n_epochs", "fine_tune_epochs"}
    for config in of_second.values():
        assert {name for name, value in config.items() if of_first["stacked"][name] != value} <= free
    for config in (*of_first.values(), *of_second.values()):
        assert config["n_epochs"] + (config["fine_tune_epochs"] if config.get("loss") == "margin" else 0) == 14


def test_newswire_was_not_run():
    assert "Neither was run on newswire: CoNLL-2003 is not at hand" in section()
    assert not any("conll2003" in key for key in ledger.names())


def test_one_run_on_tweets_was_less_than_half_as_fast_as_any_other():
    record = ledger.read("structured-cpu-data=twitter-pos")
    speeds = np.array([record.entry(f"twitter-pos/{kind}/speed").values for kind in ("separated", "shared", "stacked")])
    assert (2 * speeds[:, :1] < speeds[:, 1:]).all()
    assert "in one of five runs on tweets each of the three is less than half as fast as in any" in section()


def test_the_ratios_of_parametrisations_are_those_of_the_record_on_tweets():
    record = ledger.read("structured-cpu-data=twitter-pos")
    separated, shared, stacked = (
        np.array(record.entry(f"twitter-pos/{kind}/speed").values) for kind in ("separated", "shared", "stacked")
    )
    first, second = (f"{ratios.min():.2f} to {ratios.max():.2f}" for ratios in (stacked / shared, stacked / separated))
    words = f"stacked has {first} of the sentences a second of shared and {second} of those of separated"
    assert words in PAGE.read_text(encoding="utf-8")


def test_the_timings_that_the_page_names_are_there():
    text = PAGE.read_text(encoding="utf-8").split("## Speed of the tagging parts\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(test_\w+\.py)`", text))
    assert named == {f"test_{name}_speed.py" for name in ("chain", "inference", "tagger_step", "padding")}
    assert all((PAGE.parents[1] / "tests" / "benchmarks" / name).is_file() for name in named)


def test_the_experiments_with_a_preset_paper_are_those_that_the_page_names():
    scale = " ".join(PAGE.read_text(encoding="utf-8").split("## Scale\n")[1].split("- **Images")[0].split())
    named = scale.split("where NAME is ")[1]
    assert {f"`{name}`" in named for name in EXPERIMENTS if "paper" in experiment(name).presets} == {True}
    assert {f"`{name}`" in named for name in EXPERIMENTS if "paper" not in experiment(name).presets} == {False}


def test_robust_jem_ends_at_the_radii_and_has_the_judges_and_nets_that_the_page_names():
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert "at 16 by 16 pixels with nets of 160 thousand weights and at 32 by 32 with 900 thousand, three runs" in page
    assert "is right on 0.555 and 0.595 of the held-out images only" in page
    assert "on digits and on CIFAR-10 at 32 by 32; on MNIST and on CIFAR-10 at 16 by 16 they end at 0.5" in page
    assert "at 0.5, and so they do in the second search" in page and max(SEARCH.grid_radii) == 0.5
    small, large = (ledger.read(key) for key in ("images-cpu-data=cifar10", "images-gpu"))
    judges = [round(record.entry("cifar10/judge/accuracy").value, 3) for record in (small, large)]
    assert judges == [0.555, 0.595] and len(small.seeds) == len(large.seeds) == 3
    for preset, side, weights in ((images.CPU, 16, 160_000), (images.GPU, 32, 900_000)):
        net = preset.variant("cifar10/robust-jem").config.net((3, side, side), 10)
        assert sum(p.numel() for p in net.parameters()) == pytest.approx(weights, rel=0.01)
    ends = {"images-cpu-data=digits": 1.0, "images-gpu": 1.0}
    for key in (*ends, "images-cpu-data=mnist", "images-cpu-data=cifar10"):
        assert max(ledger.read(key).config["grid_radii"]) == ends.get(key, 0.5)


def test_the_time_of_a_record_adds_up_its_trainings_and_measurements():
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert "*Took* adds up all trainings and measurements of a record" in page
    found = [record for record in ledger.records() if record.work]
    assert "images-gpu" in {record.key for record in found}
    for record in found:
        assert record.seconds == pytest.approx(sum(stage.seconds for stage in record.work)), record.key


def test_no_record_of_texts_has_an_arm_of_training_against_pgd_and_attacks_are_as_short_as_the_page_says():
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert "FreeLB was not compared with training against PGD" in page and "five steps of half the radius" in page
    keys = [key for key in ledger.names() if key.startswith("text-")]
    for config in (ledger.read(key).config for key in keys):
        recipes = {v["fit"].split(".")[2] for v in config["variants"]}
        assert recipes <= {"finetune", "freelb", "carl", "rar"}
        assert (config["n_attack_steps"], config["relative_step"]) == (5, 0.5)
