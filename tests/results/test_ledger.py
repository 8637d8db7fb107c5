"""The ledger: what is written is what is read, damaged files are named, and tables show the paper beside ours."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from ebm_course.results import ledger
from ebm_course.results.findings import Claim, Curve, Entry, Judged, Work
from ebm_course.results.record import Record

RECORD = Record(
    name="sums",
    preset="cpu",
    command="python -m ebm_course reproduce sums --preset cpu --seed 3",
    commit="0123abc",
    hardware="a processor, cpu, 2 threads",
    torch="2.13.0",
    seconds=90.0,
    seeds=(3, 4, 5),
    config={"rate": 0.5, "sizes": [1, 2], "head": "Linear", "inner": {"tied": True}},
    entries=(
        Entry.of("correct", "Share of sums that are right.", (0.9, 0.95, 1.0), paper="0.8 | more", seconds=12.0),
        Entry.of("speed", "Sums a second.", (1234.56,), "1/s"),
    ),
    curves=(Curve("by steps", "steps", [0.0, 10.0], "correct", [[0.1, 0.5], [0.3, 0.9]], "rises"),),
    notes="a note",
    claims=(
        Judged(Claim("more", "More is right.", "correct", "higher", 0.1, "speed"), "holds", 0.95, 0.9, 1.0, 3),
        Judged(Claim("once", "Seen once.", "speed", "same", 0.1), "undecided", 0.5, None, None, 1),
    ),
    work=(Work("one", 12.0, ("0123abc", "4567def"), ("a processor",), ("2.13.0",)),),
)


def changed(**values: object) -> Record:
    return dataclasses.replace(RECORD, **values)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = ledger.write(RECORD, tmp_path)
    assert path == tmp_path / "sums-cpu.json"
    assert ledger.read("sums-cpu", folder=tmp_path) == RECORD
    assert ledger.records(tmp_path) == [RECORD]
    assert [p.name for p in tmp_path.iterdir()] == ["sums-cpu.json"]


def test_a_list_of_numbers_is_one_line_of_the_file(tmp_path: Path) -> None:
    lines = ledger.write(RECORD, tmp_path).read_text().splitlines()
    assert '"values": [0.9, 0.95, 1.0],' in [line.strip() for line in lines]
    assert "[0.1, 0.5]," in [line.strip() for line in lines]


def test_the_package_reads_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "FOLDER", tmp_path)
    ledger.write(RECORD, tmp_path)
    assert ledger.read("sums-cpu") == RECORD
    assert ledger.names() == ["sums-cpu"]


def test_the_records_that_come_with_the_course_can_be_read() -> None:
    assert [record.key for record in ledger.records()] == ledger.names()


def test_an_absent_record_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'sums-gpu'.*none is recorded yet.*reproduce"):
        ledger.read("sums-gpu", folder=tmp_path)
    ledger.write(RECORD, tmp_path)
    with pytest.raises(FileNotFoundError, match="expected one of sums-cpu"):
        ledger.read("../sums-cpu", folder=tmp_path)


def test_a_file_of_brackets_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"deep\.json is no record of this course"):
        ledger.read_file(tmp_path / "deep.json")


def test_an_entry_is_the_mean_and_the_standard_deviation_over_runs() -> None:
    entry = RECORD.entry("correct")
    assert entry.value == pytest.approx(0.95)
    assert entry.spread == pytest.approx(0.05)  # sqrt((0.05^2 + 0^2 + 0.05^2) / 2)
    assert (entry.paper, entry.seconds) == ("0.8 | more", 12.0)
    assert RECORD.entry("speed").spread is None
    with pytest.raises(ValueError, match="'empty' has no values"):
        Entry.of("empty", "Nothing.", ())


def test_a_curve_is_averaged_at_each_x() -> None:
    curve = RECORD.curve("by steps")
    assert curve.mean() == pytest.approx([0.2, 0.7])
    assert curve.spread() == pytest.approx([0.2 / math.sqrt(2), 0.4 / math.sqrt(2)])
    assert Curve("one", "n", [1.0, 2.0], "y", [[3.0, 4.0]]).spread() is None
    with pytest.raises(ValueError, match="one value for each of 2 x"):
        Curve("short", "n", [1.0, 2.0], "y", [[3.0], [5.0]])
    with pytest.raises(ValueError, match=r"one value for each of 2 x, got \[2, 1\]"):
        Curve("ragged", "n", [1.0, 2.0], "y", [[3.0, 4.0], [5.0]])


def test_a_name_that_is_not_there_is_refused_with_near_ones() -> None:
    with pytest.raises(KeyError, match="no entry 'corect': expected one such as correct"):
        RECORD.entry("corect")
    with pytest.raises(KeyError, match="no curve 'x': expected one such as by steps"):
        RECORD.curve("x")


@pytest.mark.parametrize(
    "record, place",
    [
        (changed(seconds=math.inf), "the record, seconds is inf"),
        (changed(config={"inner": {"rate": math.nan}}), "config, inner, rate is nan"),
        (changed(entries=(dataclasses.replace(RECORD.entries[0], value=math.nan),)), "entries, correct, value is nan"),
        (changed(curves=(Curve("c", "n", [1.0], "y", [[-math.inf]]),)), "curves, c, runs, number 0, number 0 is -inf"),
    ],
)
def test_a_number_that_is_not_finite_is_not_written(record: Record, place: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=place):
        ledger.write(record, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_that_json_changes_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="use lists, not tuples"):
        ledger.write(changed(config={"sizes": (1, 2)}), tmp_path)


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("seconds", "long", "seconds: Input should be a valid number, got 'long'"),
        ("seconds", "1.5", "seconds: Input should be a valid number, got '1.5'"),
        ("seeds", [0.5], "seeds, 0: Input should be a valid integer, got 0.5"),
        ("seeds", [True], "seeds, 0: Input should be a valid integer, got True"),
        ("entries", [{"name": "a"}], "entries, 0, what: Field required"),
        ("speed", 1, "speed: Unexpected keyword argument"),
        ("seconds", math.nan, "seconds is nan"),
    ],
)
def test_a_damaged_file_is_refused_with_the_field_at_fault(
    field: str, value: object, message: str, tmp_path: Path
) -> None:
    path = ledger.write(RECORD, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(ValueError, match=message) as refusal:
        ledger.read("sums-cpu", folder=tmp_path)
    assert str(refusal.value).startswith("sums-cpu.json is no record of this course")


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = ledger.write(RECORD, tmp_path)
    path.write_text(path.read_text()[:100])
    words = r"sums-cpu\.json is no record of this course: .*[^.]\. Run its command again\.$"
    with pytest.raises(ValueError, match=words):
        ledger.records(tmp_path)


@pytest.mark.parametrize(
    "value, spread, text",
    [
        (0.94876, None, "0.9488"),
        (0.94876, 0.0523, "0.949 ± 0.052"),
        (1234.5, 17.0, "1234 ± 17"),
        (0.5, 0.0, "0.5"),
    ],
)
def test_a_number_has_the_digits_its_spread_warrants(value: float, spread: float | None, text: str) -> None:
    assert ledger.number(value, spread) == text


def test_a_record_of_an_earlier_layout_is_read(tmp_path: Path) -> None:
    plain = json.loads(ledger.write(RECORD, tmp_path).read_text())
    for new in ("choices", "claims", "work"):
        del plain[new]
    for entry in plain["entries"]:
        entry["holds"] = True
    plain["config"] |= {"methods": {"one": {"rate": 1.0}}, "ideas": {"two": {"rate": 2.0}}}
    (tmp_path / "old-cpu.json").write_text(json.dumps(plain))
    record = ledger.read("old-cpu", folder=tmp_path)
    assert record.entries == RECORD.entries and (record.claims, record.work, record.choices) == ((), (), ())
    assert (record.variant("one"), record.variant("idea/two")) == ({"rate": 1.0}, {"rate": 2.0})
    with pytest.raises(KeyError, match="no variant 'three': expected one of one, idea/two"):
        record.variant("three")


def test_a_part_has_a_key_of_its_own(tmp_path: Path) -> None:
    assert ledger.write(changed(choices=("data=potts",)), tmp_path).name == "sums-cpu-data=potts.json"


def test_a_pipe_table_keeps_bars_inside_cells() -> None:
    lines = ledger.markdown(ledger.rows(RECORD.entries), ledger.TITLES).splitlines()
    cells = [[cell.strip() for cell in line.replace(r"\|", "!").strip("|").split("|")] for line in lines]
    assert cells[0] == ["what", "paper", "here, mean ± SD", "runs"]
    assert cells[2] == ["Share of sums that are right.", "0.8 ! more", "0.950 ± 0.050", "3"]
    assert cells[3] == ["Sums a second.", "", "1235 1/s", "1"]


def test_a_claim_is_a_row_with_interval_verdict_and_control() -> None:
    first, second = ledger.claim_rows(RECORD)
    ours = "+0.95 [+0.9, +1], 3 runs; matters from +0.1"
    assert first == ("more", "More is right.", ours, "holds", "1235, speed")
    assert second == ("once", "Seen once.", "+0.5, 1 run; matters from ±0.1", "undecided", "")


def test_the_table_for_the_terminal_is_aligned_and_says_where_it_ran() -> None:
    lines = ledger.table(RECORD, columns=72).splitlines()
    assert "command   python -m ebm_course reproduce sums --preset cpu --seed 3" in lines
    assert "minutes   1.5" in lines
    start = next(k for k, line in enumerate(lines) if line.split()[:2] == ["what", "paper"])
    assert lines[start].index("here") == lines[start + 2].index("0.950")
    assert next(k for k, line in enumerate(lines) if line.startswith("claim")) < start


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_a_paper_s_number_may_have_a_comma(columns: int) -> None:
    entry = replace(RECORD.entries[0], paper="66,477")
    assert "66,477" in ledger.table(replace(RECORD, entries=(entry,)), columns=columns)


@pytest.mark.parametrize("columns", [50, 60, 80, 100, 132, 180, 250])
@pytest.mark.parametrize("name", ["made-up", *ledger.names()])
def test_no_line_of_the_table_is_longer_than_the_terminal_and_no_word_is_lost(name: str, columns: int) -> None:
    record = RECORD if name == "made-up" else ledger.read(name)
    text = ledger.table(record, ledger.headlines(record), columns=columns)
    assert max(map(len, text.splitlines())) <= columns
    said = [row[1] for row in ledger.claim_rows(record)] + [row[0] for row in ledger.rows(ledger.headlines(record))]
    words = {word for sentence in said for word in sentence.split() if len(word) < 20}
    assert words <= set(text.split())


def test_headlines_are_the_families_of_which_the_paper_speaks() -> None:
    named = [("claims/one", "0.8"), ("claims/two", None), ("idea/a", None), ("idea/b", None)]
    entries = tuple(Entry(name, "A sentence.", 0.0, paper=paper) for name, paper in named)
    record = changed(entries=entries, claims=())
    assert {name: len(family) for name, family in ledger.families(record).items()} == {"claims": 2, "idea": 2}
    assert [entry.name for entry in ledger.headlines(record)] == ["claims/one", "claims/two"]
    assert ledger.headlines(changed(entries=entries[2:], claims=())) == list(entries[2:])  # the paper is silent: all
    judged = (Judged(Claim("a", "says", "idea/a", "same", 0.1, control="claims/two"), "holds", 0.0, None, None, 1),)
    silent = tuple(dataclasses.replace(entry, paper=None) for entry in entries)
    found = ledger.headlines(changed(entries=silent, claims=judged))
    assert [entry.name for entry in found] == ["claims/two", "idea/a"]  # what decides a claim, and its control
