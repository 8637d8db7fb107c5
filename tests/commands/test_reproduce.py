"""``reproduce`` hands a preset to its recipe and writes what comes back into the ledger; ``results`` prints it."""

from __future__ import annotations

import dataclasses
import importlib
import math
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

import ebm_course
from ebm_course import __main__ as program
from ebm_course.commands import choices
from ebm_course.experiments import provenance
from ebm_course.experiments.configs import Settings
from ebm_course.experiments.experiment import Experiment
from ebm_course.experiments.stages import Results, Stage
from ebm_course.experiments.variants import Variant
from ebm_course.results import ledger
from ebm_course.results.findings import Claim, Curve, Entry, Findings
from ebm_course.runtime import Run


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Of the experiment below."""

    n_runs: int = 10
    variants: tuple[Variant, ...] = (Variant("one", "a method", 1.0, print), Variant("idea/two", "more", 2.0, print))  # type: ignore[arg-type]
    claims: tuple[Claim, ...] = (Claim("more", "It is substantial.", "correct", "higher", 0.1),)
    data: tuple[str, ...] = ("moons", "words")
    rates: tuple[float, ...] = (0.5, 0.25)
    value: float = 0.5


def stages(config: Config, run: Run) -> list[Stage]:
    def work(folder: Path, results: Results) -> list[float]:
        if config.value < 0:
            raise KeyboardInterrupt
        names = " ".join(variant.name for variant in config.variants)
        (folder / "seen.txt").write_text(f"{config.n_runs} {run.seed} {run.device} {results.progress} {names}")
        n_runs = config.n_runs - (config.data == ("ring",))  # of this one, a run less
        return [config.value + k / 10 if k < 1e9 else 0.0 for k in range(n_runs)]

    return [Stage("values", work, of=config.n_runs)]


def findings(config: Config, results: Results) -> Findings:
    values = [math.nan if config.value == 9 else value for value in results["values"]]
    entries = [Entry.of("correct", "Share of sums that are right.", values, paper="substantial")]
    entries.append(Entry.of("idea/one", "Share with another loss.", values))
    return Findings(entries, [Curve("by steps", "steps", [0.0, 1.0], "correct", [[v, v + 0.1] for v in values])])


PRESETS = {"paper": Config(), "cpu": Config(n_runs=3), "smoke": Config(n_runs=1)}
PRESETS |= {"stopped": Config(value=-1.0), "nan": Config(value=9)}
SETS = ("moons", "words", "ring", "words-large", "ring-large")
FAKE = Experiment("fake", "A fake.", PRESETS, stages, findings, data=SETS, encoders=("small", "large"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, an empty ledger, and one experiment."""
    (tmp_path / "ledger").mkdir()
    original = choices.experiment
    monkeypatch.setattr(choices, "EXPERIMENTS", ("fake",))
    monkeypatch.setattr(choices, "experiment", lambda name: FAKE if name == "fake" else original(name))
    monkeypatch.setattr(ledger, "FOLDER", tmp_path / "ledger")
    monkeypatch.setenv("EBM_COURSE_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        program.main(list(arguments))
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_the_record_holds_what_the_recipe_found_and_how_to_find_it_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["reproduce", "fake", "--preset", "cpu", "--seed", "4", "--quiet"]) == 0
    record = ledger.read("fake-cpu", folder=here / "ebm-course-runs" / "fake-cpu")
    seen = here / "ebm-course-runs" / "fake-cpu" / "values" / "seen.txt"
    assert seen.read_text() == "3 4 cpu False one idea/two"
    assert record.entry("correct").value == pytest.approx(0.6)
    assert record.entry("correct").spread == pytest.approx(0.1)
    assert record.curve("by steps").mean() == pytest.approx([0.6, 0.7])
    assert record.command == "python -m ebm_course reproduce fake --preset cpu --seed 4"
    assert (record.config["n_runs"], record.config["rates"], record.config["value"]) == (3, [0.5, 0.25], 0.5)
    assert record.variant("one") == 1.0 and record.choices == ()
    assert (record.seeds, record.torch) == ((4, 5, 6), str(torch.__version__))
    assert [(c.claim.name, c.verdict, c.n_runs) for c in record.claims] == [("more", "holds", 3)]
    (work,) = record.work
    assert work.name == "values" and record.seconds == work.seconds > 0 and work.commits == (record.commit,)
    assert "cpu" in record.hardware
    out = capsys.readouterr().out
    assert "substantial" in out
    assert "recorded in ebm-course-runs/fake-cpu/fake-cpu.json" in out


def test_a_record_names_the_seeds_that_its_numbers_rest_on(here: Path) -> None:
    few = ["--preset", "cpu", "--seed", "4", "--quiet", "--data", "ring"]
    assert program.main(["reproduce", "fake", *few, "--out", "few.json"]) == 0
    record = ledger.read_file(here / "few.json")
    assert record.config["n_runs"] == 3 and record.seeds == (4, 5)
    assert {len(entry.values) for entry in record.entries} == {2}


def test_runs_and_places_can_be_chosen(here: Path) -> None:
    chosen = ["--preset", "smoke", "--runs", "2", "--device", "cpu", "--folder", "work", "--notes", "a busy machine"]
    assert program.main(["reproduce", "fake", *chosen, "--out", "a/b.json"]) == 0
    record = ledger.read_file(here / "a" / "b.json")
    assert record.command == "python -m ebm_course reproduce fake --preset smoke --runs 2 --seed 0 --device cpu"
    assert len(record.entry("correct").values) == len(record.seeds) == record.config["n_runs"] == 2
    assert (here / "work" / "values" / "seen.txt").read_text() == "2 0 cpu True one idea/two"
    assert not (here / "ebm-course-runs").exists()
    assert record.notes == "a busy machine"


def test_a_record_goes_into_the_ledger_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["reproduce", "fake", "--preset", "smoke", "--record"]) == 0
    assert ledger.names() == ["fake-smoke"]
    capsys.readouterr()
    assert program.main(["results", "fake-smoke"]) == 0
    assert "by steps" not in (first := capsys.readouterr().out)
    assert program.main(["results", "--curves"]) == 0
    second = capsys.readouterr().out
    assert second.startswith(first.split("Further numbers")[0].rstrip())
    assert "by steps: correct against steps, 1 runs\n         0  0.5\n         1  0.6\n" in second
    for text in ("fake-smoke", "python -m ebm_course reproduce fake", "substantial", "minutes", "commit"):
        assert text in first


def test_numbers_of_which_the_paper_does_not_speak_are_printed_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["reproduce", "fake", "--preset", "smoke", "--record"]) == 0
    capsys.readouterr()
    assert program.main(["results"]) == 0
    assert "another loss" not in (first := capsys.readouterr().out)
    assert "Further numbers, printed by --only NAME: idea (1)." in first
    assert program.main(["results", "--only", "idea", "--curves"]) == 0
    second = capsys.readouterr().out
    assert "another loss" in second
    assert not any(text in second for text in ("substantial", "Further", "by steps"))
    message = "no number of fake-smoke begins with 'x': expected one of correct, idea."
    assert message in refused("results", "--only", "x", capsys=capsys)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing"], "there is no experiment 'nothing': expected one of fake."),
        (["fake", "--preset", "huge"], "there is no preset 'huge': expected one of paper, cpu, smoke, stopped, nan."),
        (["fake", "--runs", "0"], "--runs is 1 or larger, got 0."),
        (["fake", "--variant", "three"], "--variant three: expected one of one, idea/two."),
        (["fake", "--data", "mnist"], "--data mnist: fake works on moons, words, ring, words-large, ring-large."),
        (["fake", "--encoder", "huge"], "--encoder huge: fake can be given small, large."),
        (["fake", "--encoder", "large"], "--encoder large: preset cpu has no data set for it, add --data NAME."),
        (["fake", "--encoder", "large", "--data", "moons"], "--data moons-large: fake works on moons, words, ring, "),
        (
            ["fake", "--encoder", "large", "--data", "ring-large"],
            "--data ring-large: beside --encoder, name the data set without its encoder.",
        ),
        (["fake", "--set", "value=much"], "--set value=much: value is of type float, got 'much'."),
        (["fake", "--set", "value={[]: 1}"], "--set value={[]: 1}: value is of type float, got '{[]: 1}'."),
        (["fake", "--set", f"value={'-' * 20_000}1"], "value is of type float, got '-----"),
        (["fake", "--notes", "caf\udce9"], "expected text in the terminal's encoding, got 'caf\\udce9'."),
        (["fake", "--set", "value=\udce9"], "expected text in the terminal's encoding, got 'value=\\udce9'."),
        (["fake", "--set", "n_runs=0"], "--set n_runs=0: that is chosen by --runs, --data and --variant; claims stay."),
        (["fake", "--set", "claims=()"], "--set claims=()"),
        (["fake", "--out", "a.txt"], "--out names the record to write, NAME.json: got 'a.txt'."),
        (["fake", "--out", "."], "--out names the record to write, NAME.json: got '.' (a folder)."),
        (["fake", "--out", "a.json", "--record"], "not allowed with argument"),
    ],
)
def test_what_cannot_work_is_refused_before_the_work(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused("reproduce", *arguments, capsys=capsys)
    assert not (here / "ebm-course-runs").exists()


def test_a_device_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch sees no GPU" in refused("reproduce", "fake", "--device", "cuda", capsys=capsys)
    assert "and torch has none" in refused("reproduce", "fake", "--device", "privateuseone", capsys=capsys)
    assert "seed is a whole number: expected 0 or larger, got -1." in refused(
        "reproduce", "fake", "--seed", "-1", capsys=capsys
    )


def test_a_stopped_run_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["reproduce", "fake", "--preset", "stopped"]) == 130
    assert "The same command goes on with what is in ebm-course-runs/fake-stopped." in capsys.readouterr().out


def test_a_result_that_is_not_finite_is_not_recorded(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["reproduce", "fake", "--preset", "nan", "--out", "a.json"]) == 1
    assert "reproduce: the finding correct, number 0 is nan" in capsys.readouterr().err
    assert not (here / "a.json").exists()


def test_a_part_of_an_experiment_has_a_record_of_its_own(here: Path) -> None:
    part = ["--variant", "idea/two", "--data", "words", "--set", "value=0.25"]
    assert program.main(["reproduce", "fake", "--preset", "smoke", *part, "--record"]) == 0
    assert ledger.names() == ["fake-smoke-value=0.25-data=words-variant=idea_two"]
    record = ledger.read(ledger.names()[0])
    assert record.choices == ("value=0.25", "data=words", "variant=idea_two")
    assert record.config["data"] == ["words"] and [row["name"] for row in record.config["variants"]] == ["idea/two"]
    assert record.entry("correct").values == (0.25,)
    command = "python -m ebm_course reproduce fake --preset smoke --variant idea/two --data words --set value=0.25"
    assert record.command == f"{command} --seed 0"


def test_an_encoder_chooses_what_reads_the_data(here: Path) -> None:
    command = ["reproduce", "fake", "--preset", "smoke", "--record", "--encoder"]
    assert program.main([*command, "large", "--data", "ring", "--data", "words"]) == 0
    record = ledger.read("fake-smoke-data=words-large,ring-large")
    assert record.config["data"] == ["words-large", "ring-large"]
    assert record.command.endswith("--preset smoke --data ring --data words --encoder large --seed 0")
    assert program.main([*command, "small", "--data", "words"]) == 0
    assert program.main([*command, "small"]) == 0  # all that the preset has for it
    assert {"fake-smoke-data=words", "fake-smoke-data=moons,words"} <= set(ledger.names())


def test_an_experiment_without_a_choice_of_encoders_refuses_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(choices, "experiment", lambda name: dataclasses.replace(FAKE, encoders=()))
    message = "--encoder small: fake can be given nothing, for it has one encoder only."
    assert message in refused("reproduce", "fake", "--encoder", "small", capsys=capsys)


def test_what_is_no_record_is_not_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["reproduce", "fake", "--preset", "smoke", "--folder", "work"]) == 0
    (here / "other.json").write_text("{}")
    message = refused("reproduce", "fake", "--preset", "smoke", "--out", "other.json", capsys=capsys)
    assert "other.json is there and no record: name another file." in message
    inside = ["--folder", "fresh", "--out", "fresh/values/result.json"]
    message = refused("reproduce", "fake", "--preset", "smoke", *inside, capsys=capsys)
    assert "fresh/values/result.json lies in the folder of a stage" in message
    for folder in ("a.json", "a.json/run"):
        message = refused("reproduce", "fake", "--folder", folder, "--out", "a.json", capsys=capsys)
        assert f"--out a.json would lie where --folder {folder} is: name another file." in message
    message = refused("reproduce", "fake", "--stages", "a.json", "--out", "./a.json", capsys=capsys)
    assert "--out a.json is the archive of --stages, which it would replace: name another file." in message
    (here / "SHA256SUMS").write_text("no digits")
    assert program.main(["reproduce", "fake", "--preset", "smoke", "--folder", "next", "--checkpoints", "."]) == 1
    assert "line 1 of SHA256SUMS is 'no digits'" in capsys.readouterr().err and not (here / "next" / "values").exists()
    (here / "afile").write_text("")
    assert program.main(["reproduce", "fake", "--preset", "smoke", "--folder", "new", "--out", "afile/a.json"]) == 1
    assert "nothing can be written to afile" in capsys.readouterr().err and not (here / "new").exists()


def test_a_record_of_other_runs_is_replaced_only_when_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["reproduce", "fake", "--preset", "cpu", "--record"]
    assert program.main([*command, "--folder", "three"]) == 0
    other = [*command, "--runs", "1", "--seed", "9", "--folder", "one"]
    assert "the record fake-cpu has the seeds 0, 1, 2, this run would have 9: add --replace" in refused(
        *other, capsys=capsys
    )
    assert ledger.read("fake-cpu").seeds == (0, 1, 2)
    assert program.main([*command, "--runs", "4", "--folder", "four"]) == 0  # the same runs and one more
    assert program.main([*other, "--replace"]) == 0 and ledger.read("fake-cpu").seeds == (9,)


def test_a_record_says_at_which_commit_its_stages_were_done(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "commit", lambda: "then")
    assert program.main(["reproduce", "fake", "--preset", "smoke", "--folder", "work"]) == 0
    monkeypatch.setattr(provenance, "commit", lambda: "now")
    assert program.main(["reproduce", "fake", "--preset", "smoke", "--folder", "work", "--out", "again.json"]) == 0
    assert ledger.read_file(here / "again.json").commit == "then"


def test_finished_stages_are_taken_from_an_archive(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smoke = ["reproduce", "fake", "--preset", "smoke", "--quiet", "--stages", "kept/stages.tar.xz"]
    monkeypatch.setattr(provenance, "commit", lambda: "then")
    assert program.main([*smoke, "--folder", "work"]) == 0
    monkeypatch.setattr(provenance, "commit", lambda: "now")
    assert program.main([*smoke, "--folder", "elsewhere", "--out", "again.json"]) == 0
    assert ledger.read_file(here / "again.json").commit == "then"
    assert not (here / "elsewhere" / "values" / "seen.txt").exists(), "its work was not done again"


def test_a_folder_of_another_seed_is_refused_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["reproduce", "fake", "--preset", "smoke", "--folder", "work"]) == 0
    capsys.readouterr()
    assert program.main(["reproduce", "fake", "--preset", "smoke", "--folder", "work", "--seed", "4"]) == 1
    error = capsys.readouterr().err
    assert "was made with another seed: 0, expected 4" in error and "Traceback" not in error


def test_the_course_lists_its_experiments_and_every_one_has_the_presets_it_promises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    for name in choices.EXPERIMENTS:
        experiment = choices.experiment(name)
        assert experiment.name == name and {"cpu", "smoke"} <= experiment.presets.keys()


def test_results_say_what_to_run_where_nothing_is_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["results"]) == 0
    assert "Nothing is recorded yet. To make a record: python -m ebm_course reproduce" in capsys.readouterr().out
    assert "there is no record 'sums-cpu'" in refused("results", "sums-cpu", capsys=capsys)


def test_results_refuse_a_damaged_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "ledger" / "a-b.json").write_text("{")
    assert "a-b.json is no record of this course" in refused("results", capsys=capsys)
    assert "a-b.json is no record of this course" in refused("results", "ledger/a-b.json", capsys=capsys)


def git(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *names, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_the_checkout_and_says_if_files_differ(tmp_path: Path) -> None:
    package = tmp_path / "checkout" / "package"
    package.mkdir(parents=True)
    (package / "core.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q", "checkout")
    git(package, "commit", "-q", "--allow-empty", "-m", "none")
    assert provenance.commit(package).startswith("version ")  # lies in a checkout that does not hold it
    git(package, "add", ".")
    git(package, "commit", "-qm", "one")
    head = git(package, "rev-parse", "HEAD")
    (package / "new.py").write_text("")  # a file that git does not know changes nothing
    assert provenance.commit(package) == head
    (package / "core.py").write_text("x = 2\n")
    assert provenance.commit(package) == f"{head}+changes"


def test_a_package_outside_a_checkout_has_its_version_for_a_commit(tmp_path: Path) -> None:
    assert provenance.commit(tmp_path).startswith("version 0.")


def test_a_package_that_is_not_installed_has_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    again = importlib.reload(provenance)
    assert again.commit(tmp_path) == f"version {ebm_course.__version__}"


def test_the_hardware_line_names_processor_and_threads(tmp_path: Path) -> None:
    listing = tmp_path / "cpuinfo"
    listing.write_text("processor\t: 0\nmodel name\t: A Processor 3000\nmodel name\t: A Processor 3000\n")
    assert provenance.processor(listing) == "A Processor 3000"
    assert provenance.processor(tmp_path / "none")
    assert f"cpu, {torch.get_num_threads()} threads" in provenance.hardware(Run(torch.device("cpu"), 0))
