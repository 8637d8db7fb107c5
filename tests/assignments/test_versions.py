"""What `make assignments` makes of a master notebook: students read nothing that they are to find; and the scores."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
HEADING = re.compile(
    r"^### Question (\d\.\d+) \((\d+) points?, (\d+) minutes; chapter (\d+), \"(.+)\"\)$",
    flags=re.MULTILINE,
)


@pytest.mark.slow
def test_the_solution_scores_everything_and_the_untouched_version_nothing(
    made: Callable[[str], Any], make: ModuleType, tmp_path: Path
):
    names = [path.stem for path in make.masters()]
    for name in names:
        for version in ("student", "autograder"):
            folder = tmp_path / name / version
            folder.mkdir(parents=True)
            shutil.copy(getattr(made(name), version) / f"{name}.ipynb", folder)
    places = [(str(tmp_path / name), str(made(name).autograder)) for name in names]
    program = (
        "from ebm_course.__main__ import main\n"
        f"for folder, assignment in {places!r}:\n"
        "    assert main(['grade', folder, '--assignment', assignment, '--seconds', '90', '--total', '300']) == 0\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=500)
    for name in names:
        with (tmp_path / name / "grades.csv").open(newline="", encoding="utf-8") as file:
            untouched, solved = sorted(csv.DictReader(file), key=lambda row: float(row["points"]))
        assert (solved["file"], solved["points"], solved["messages"]) == (f"autograder/{name}.ipynb", solved["of"], "")
        assert untouched["points"] == "0"
        assert all(line.endswith("not answered yet.") for line in untouched["messages"].splitlines())
        assert len(untouched["messages"].splitlines()) == len(made(name).assignment.questions)
        for question in made(name).assignment.manual:
            assert untouched[f"answer {question}"] == ""
            assert solved[f"answer {question}"]


def test_every_question_names_where_it_is_explained_its_minutes_and_its_points(name: str, made: Callable[[str], Any]):
    total_points = total_minutes = 0
    for question, (config, cells) in made(name).questions.items():
        (heading,) = HEADING.findall(cells[0].source)
        number, points, minutes, chapter, section = heading
        assert f"q{number.replace('.', '_')}" == question
        assert points == config["points"]
        assert number.split(".")[0] == name[0]
        (path,) = (ROOT / "book").glob(f"{int(chapter):02d}_*.ipynb")
        cells = nbformat.read(path, 4).cells
        headings = [line for cell in cells for line in cell.source.splitlines() if line.startswith("##")]
        assert section in [line.lstrip("#").strip() for line in headings]
        total_points, total_minutes = total_points + int(points), total_minutes + int(minutes)
    title = next(cell.source for cell in nbformat.read(made(name).master, 4).cells if cell.cell_type == "markdown")
    told = re.search(r"(\d+) points, about (\d+) minutes", title)
    assert told, "the first cell says how many points and minutes there are"
    assert int(told.group(1)) == total_points
    assert abs(int(told.group(2)) - total_minutes) <= 5


def test_the_page_on_assignments_has_its_row(name: str, made: Callable[[str], Any]):
    page = (ROOT / "book" / "assignments" / "README.md").read_text(encoding="utf-8")
    title = next(cell.source for cell in nbformat.read(made(name).master, 4).cells if cell.cell_type == "markdown")
    number, words = re.findall(r"^# Assignment (\d)\. (.+)$", title, flags=re.MULTILINE)[0]
    points, minutes = re.findall(r"(\d+) points, about (\d+) minutes", title)[0]
    questions = made(name).questions
    after = {heading[3] for _, cells in questions.values() for heading in HEADING.findall(cells[0].source)}
    chapters = ", ".join(sorted(after))
    assert re.findall(r"\d+", title.split("**")[1]) == sorted(after)
    assert f"| {number} | {words} | {chapters} | {len(questions)} | {points} | {minutes} |" in page


def test_the_page_shows_what_a_student_reads(made: Callable[[str], Any], solved: Callable[[str], dict[str, Any]]):
    page = (ROOT / "book" / "assignments" / "README.md").read_text(encoding="utf-8")
    name = "1_energies_and_inference"
    (question,) = (question for question in made(name).assignment.questions if question.name == "q1_4")
    told = question.grade({**solved(name), "infer": lambda table, x: table[x].argmax(1)}).message
    assert f"q1_4: {told}" in " ".join(page.split())


def test_an_assignment_has_code_derivations_and_a_question_for_a_person(name: str, made: Callable[[str], Any]):
    of_code = [q for q in made(name).assignment.questions if any("judge_function" in case for case in q.cases)]
    assert len(of_code) >= 3
    assert len(made(name).assignment.questions) > len(of_code)
    assert made(name).assignment.manual


def test_a_student_reads_no_solution_and_no_hidden_test(name: str, made: Callable[[str], Any]):
    one = made(name)
    handed_out = "".join(path.read_text(encoding="utf-8") for path in sorted(one.student.rglob("*")) if path.is_file())
    student = nbformat.read(one.student / f"{name}.ipynb", 4)
    lines = {line.strip() for cell in student.cells for line in cell.source.splitlines()}
    inside = None
    for cell in nbformat.read(one.master, 4).cells:
        if cell.cell_type == "raw":
            inside = cell.source.splitlines()[0]
        elif inside == "# BEGIN SOLUTION":
            kept = "def |# BEGIN|# END|$"
            secret = [line for line in cell.source.splitlines() if not re.match(rf"\s*({kept})", line)]
            assert secret
            assert not lines & {line.strip() for line in secret}
        elif cell.source.startswith("# HIDDEN"):
            longest = max((line.strip() for line in cell.source.splitlines()), key=len)
            assert longest not in handed_out
    assert "# HIDDEN" not in handed_out
    assert "SOLUTION" not in handed_out
    assert '"hidden": True' not in handed_out.replace("'", '"')
    assert len(list((one.autograder / "tests").iterdir())) == len(one.assignment.questions)


def test_a_students_notebook_holds_its_public_tests_and_works_without_its_folder(
    name: str, made: Callable[[str], Any], make: ModuleType, capsys: pytest.CaptureFixture
):
    one = made(name)
    student = nbformat.read(one.student / f"{name}.ipynb", 4)
    setup, holder = student.cells[1:3]
    assert setup.source == make.setup_source()
    names: dict[str, Any] = {}
    exec(holder.source, names)
    public = {path.stem: make.spec_of(path) for path in (one.student / "tests").glob("*.py")}
    assert names["grader"].questions == {name: make.question_of(spec) for name, spec in public.items()}
    checks = [cell.source for cell in student.cells if cell.source.startswith("grader.check")]
    assert sorted(checks) == sorted(f'grader.check("{question.name}")' for question in one.assignment.questions)
    exec(checks[0], names)
    assert "there is no" in capsys.readouterr().out


def test_made_again_the_files_are_the_same(made: Callable[[str], Any], make: ModuleType, tmp_path: Path):
    one = made(make.masters()[0].stem)
    make.make(one.master, tmp_path)
    for path in (path for path in one.student.parents[1].rglob(f"{one.master.stem}/**/*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / path.relative_to(one.student.parents[1])).read_bytes()


def test_a_master_holds_no_outputs(make: ModuleType):
    for master in make.masters():
        cells = nbformat.read(master, 4).cells
        assert not any(cell.get("outputs") for cell in cells)
        assert [cell.metadata.get("tags", []) for cell in cells].count(["setup", "hide-input"]) == 1
