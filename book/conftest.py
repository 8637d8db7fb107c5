"""How ``pytest --nbval`` runs the notebooks: in this very Python, without progress bars, versions left aside."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).with_name("_scripts")
SANITIZE = SCRIPTS / "compared_outputs.cfg"


def pytest_configure(config: pytest.Config) -> None:
    """Use the kernel of this environment, where nbval is installed."""
    if hasattr(config.option, "nbval_current_env"):
        config.option.nbval_current_env = True
        config.option.nbval_sanitize_with = config.option.nbval_sanitize_with or str(SANITIZE)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Kernels, which start here, inherit what no other test should see: bars print times, devices change digits.

    In CI they use none of the CPU's vector instructions: what is stored was computed with them, so every number that is
    compared is one that two instruction sets agree on.
    """
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("CI"):
            patch.setenv("ATEN_CPU_CAPABILITY", "default")
        patch.setenv("EBM_COURSE_DEVICE", "cpu")
        patch.setenv("TQDM_DISABLE", "1")
        patch.setenv("PYTHONSTARTUP", str(SCRIPTS / "quiet_kernel.py"))
        return (yield)
