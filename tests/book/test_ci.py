"""What CI asks of the notebooks: numbers that are compared are those of any instruction set."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbformat import v4, write

ROOT = Path(__file__).parents[2]
# Torch 2.6 says NO AVX.
CODE = "import torch\n\nprint(torch.backends.cpu.get_cpu_capability().replace('NO AVX', 'DEFAULT'))"


@pytest.mark.slow
def test_kernels_of_ci_use_no_vector_instructions(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    shutil.copy(ROOT / "book" / "conftest.py", tmp_path / "book")
    shutil.copytree(ROOT / "book" / "_scripts", tmp_path / "book" / "_scripts")
    printed = v4.new_output("stream", name="stdout", text="DEFAULT\n")
    cell = v4.new_code_cell(CODE, execution_count=1, outputs=[printed])
    write(v4.new_notebook(cells=[cell]), tmp_path / "book" / "a.ipynb")
    environment = {k: v for k, v in os.environ.items() if k != "ATEN_CPU_CAPABILITY"} | {
        "CI": "1",
        "PYTEST_ADDOPTS": "",
    }
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", "book/a.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_script_of_ci_says_that_it_is_ci() -> None:
    assert "\nexport CI=1" in (ROOT / ".ci" / "run").read_text()
