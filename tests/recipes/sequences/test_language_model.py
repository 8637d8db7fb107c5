"""The training step in bfloat16 and compiled: the same weights within their rounding, under the same names."""

from __future__ import annotations

import shutil
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ebm_course.core import Batch
from ebm_course.recipes.sequences import language_model
from ebm_course.recipes.sequences.parts import task_for
from ebm_course.runtime import Run

HEADER = Path(sysconfig.get_path("include"), "Python.h")
RUN = Run(torch.device("cpu"), 0)
CONFIG = replace(language_model.SMOKE, n_heads=2, n_layers=2, width=64, clip=1e9)


def gradient(precision: str) -> tuple[Tensor, Tensor]:
    """The loss and the gradient of one step from wide weights, as one vector."""
    torch.manual_seed(0)
    model = language_model.build(CONFIG)
    for p in model.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.1)
    sgd = torch.optim.SGD(model.parameters(), lr=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(sgd, lambda i: 1.0)
    step = language_model.make_step(model, sgd, schedule, clip=CONFIG.clip, precision=precision)
    log = step(Batch(task_for(1).train.x[:10]), RUN.generator("step"))
    return log["loss"], torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_a_step_in_bfloat16_stays_close_to_one_in_float32() -> None:
    (loss, exact), (rough_loss, rough) = gradient("float32"), gradient("bfloat16")
    assert rough.dtype == rough_loss.dtype == torch.float32
    # bfloat16 rounds to 1 part in 512; a few roundings follow one another in a pass.
    assert 1e-4 < (rough - exact).norm() / exact.norm() < 0.02
    assert float(rough_loss) == pytest.approx(float(loss), rel=0.005)


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="torch.compile needs a C++ compiler")
@pytest.mark.skipif(not HEADER.is_file(), reason="torch.compile needs Python.h: on Debian, apt install python3-dev")
@pytest.mark.skipif(torch.__version__.startswith("2.6."), reason="torch 2.6 fails an assertion of its own compiler")
@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile names its own folder without quotes: it has a space")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, on importing its compiler
def test_a_compiled_step_trains_the_same_weights_under_the_same_names() -> None:
    def trained(compiled: bool) -> dict[str, Tensor]:
        torch.manual_seed(0)
        config = replace(CONFIG, compile=compiled, keep_best=False)
        return language_model.fit(config, RUN, progress=False).module.state_dict()

    plain, compiled = trained(False), trained(True)
    assert list(compiled) == list(plain) == list(language_model.build(CONFIG).state_dict())
    for name in plain:
        # Adam divides rounding by rounding where a gradient is 0 but for it: a tenth of one update, 1e-3.
        torch.testing.assert_close(compiled[name], plain[name], rtol=1e-4, atol=1e-4)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="precision is one of float32, bfloat16: got 'float16'"):
        replace(CONFIG, precision="float16")
