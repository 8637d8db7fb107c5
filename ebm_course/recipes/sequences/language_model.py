r"""Train a language model by maximum likelihood: the noise distribution P_LM, or the net an energy starts from.

.. math:: \max_\theta \sum_t \log p_\theta(x_{t+1} \mid x_{\le t})  \tag{7}

Source: Yin (2023), Eq. 7 and Table 1. The batch size and which epoch's weights are kept are not said there; both are
fields here, because the second decides the headline: a net that saw 1,000 rows 500 times recites them.

>>> config: Config = replace(SMOKE, rate=0.01, n_epochs=4)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [row["step"] for row in fitted.rows], fitted.rows[-1]["valid_nll"] < fitted.rows[0]["valid_nll"]
([2, 4, 6, 8], True)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.checks import at_least_single
from ebm_course.core import Batch, Loss, Step
from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.sequence_energies import LikelihoodEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.origin import LATER
from ebm_course.recipes.sequences.pretraining import pretrain, rows_for
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges, load_shipped
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.tasks.arithmetic import VOCABULARY, Format
from ebm_course.training.update import update

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Config:
    """Table 1 of Yin (2023), column P_LM, by default."""

    n_digits: int = 10
    n_rows: int = 1_000  # Table 1
    width: int = 256  # Table 1: embedding and hidden size
    n_layers: int = 1  # Table 1
    n_heads: int = 0  # 0: an LSTM; above: a causal transformer with so many heads
    dropout: float = 0.0
    rate: float = 1e-3  # Table 1
    weight_decay: float = 0.05  # Table 1
    betas: tuple[float, float] = (0.9, 0.999)  # unsaid: the library's default
    batch_size: int = 100  # unsaid
    n_epochs: int = 500  # Table 1
    clip: float = 1.0  # unsaid; as the baseline's notebook
    warm_up: float = 0.0  # share of updates with a rising rate
    decay: bool = False  # let the rate fall to 0 along a half cosine
    n_cycles: int = 1  # equal parts of training that each warm up and decay anew
    keep_best: bool = True  # unsaid: the weights of the best validation loss, or the last ones
    precision: str = "float32"  # of the training step; "bfloat16": autocast, the weights and their updates stay float32
    draw_rows: bool = field(default=False, metadata=LATER)  # rows drawn anew for each seed, or the task's first ones
    compile: bool = False  # torch.compile of the training step's two passes; on a CPU it needs a C++ compiler

    def __post_init__(self) -> None:
        check_ranges(
            self,
            counts="n_digits n_rows width n_layers batch_size n_cycles",
            whole="n_heads n_epochs",
            positive="clip",
            not_negative="rate weight_decay",
            shares="warm_up",
            shares_below_1="dropout",
            pairs="betas",
        )
        if self.dropout and not self.n_heads:
            raise ValueError(
                f"dropout: expected 0 in an LSTM, which has none, got {self.dropout}. Set n_heads for a transformer."
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is one of {', '.join(PRECISIONS)}: got {self.precision!r}.")


PAPER = Config()
PAPER_ENERGY = Config(
    n_rows=100_000, width=128, n_layers=2, n_heads=4, dropout=0.1, rate=6e-4, weight_decay=0.1, betas=(0.9, 0.95),
    batch_size=512,
)  # fmt: skip
NOTEBOOK = Config(n_digits=3, width=128, n_epochs=80)
NOTEBOOK_MEMORISED = replace(NOTEBOOK, n_epochs=400, keep_best=False)
NOTEBOOK_ENERGY = Config(
    n_digits=3, n_rows=50_000, width=64, n_layers=2, n_heads=4, rate=3e-3, weight_decay=0.1, betas=(0.9, 0.95),
    batch_size=512, n_epochs=20, warm_up=0.1, decay=True,
)  # fmt: skip
SMOKE = Config(n_digits=1, n_rows=20, width=16, batch_size=10, n_epochs=2)
PRESETS = {
    "paper": PAPER,
    "paper-energy": PAPER_ENERGY,
    "notebook": NOTEBOOK,
    "notebook-memorised": NOTEBOOK_MEMORISED,
    "notebook-energy": NOTEBOOK_ENERGY,
    "smoke": SMOKE,
}


def build(config: Config) -> LSTMLanguageModel | LikelihoodEnergy:
    """The untrained net, an energy E(x) = -log p(x) that can be advanced token by token.

    >>> [type(build(Config(n_digits=2, width=8, n_heads=n_heads))).__name__ for n_heads in (0, 2)]
    ['LSTMLanguageModel', 'LikelihoodEnergy']
    >>> build(SMOKE)(torch.zeros(3, 8, dtype=torch.int64)).shape
    torch.Size([3])
    """
    v, length = len(VOCABULARY), Format(config.n_digits).length
    if config.n_heads == 0:
        return LSTMLanguageModel(v, width=config.width, n_layers=config.n_layers)
    net = Transformer(
        v, length, width=config.width, n_layers=config.n_layers, n_heads=config.n_heads, dropout=config.dropout
    )
    return LikelihoodEnergy(net)


def make_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    *,
    clip: float,
    precision: str = "float32",
    compiled: bool = False,
    run: Run = SINGLE_PROCESS,
) -> Step:
    """Minimise -log p(x) a predicted token, in nats; each process of ``run`` takes its share of the batch.

    With ``precision="bfloat16"`` matrix products are taken in it. With ``compiled`` the first call compiles; ``model``
    itself and its parameters' names stay as they are.

    >>> model, batch = build(SMOKE), Batch(Format(1).encode(["2+3=05", "9+9=18"]))
    >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    >>> step = make_step(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0), clip=1.0)
    >>> losses = [float(step(batch, torch.Generator())["loss"]) for _ in range(10)]
    >>> losses[-1] < losses[0]
    True
    """
    forward: Callable[[Tensor], Tensor] = torch.compile(model) if compiled else model

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        model.train()
        with torch.autocast(batch.x.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            nll = at_least_single(forward(run.share(batch.x))).mean() / (batch.x.shape[1] - 1)
        return update(Loss(nll), model, optimizer, clip=clip, scheduler=schedule, run=run)

    return step


@a_recipe
def fit(
    config: Config,
    run: Run,
    *,
    folder: Path | None = None,
    progress: bool = True,
    data: tuple[Batch, Batch] | None = None,
) -> Fitted:
    """Train as ``config`` says; one row of the log an epoch, with ``valid_nll``, nats a predicted token.

    Args:
        data: rows to train on and rows to validate on; by default ``config.n_rows`` of the task's and its own.
    """
    train, valid = rows_for(config, run, data)
    model = build(config).to(run.device)
    options: dict[str, Any] = {"clip": config.clip, "precision": config.precision, "compiled": config.compile}
    return pretrain(
        config,
        run,
        fit=fit,
        model=model,
        rows=(train, valid),
        step=lambda optimizer, schedule: make_step(model, optimizer, schedule, **options, run=run),
        validate=lambda: {"nll": nll_per_token(model, valid.x)},
        folder=folder,
        progress=progress,
    )


def load(name: str) -> LSTMLanguageModel | LikelihoodEnergy:
    """A language model that ships with the package, for example ``"arithmetic-3-lm"``.

    >>> model = load("arithmetic-3-lm")
    >>> x = Format(3).encode(["123+456=0579", "123+456=0+79"])
    >>> e_right, e_malformed = model(x).tolist()
    >>> e_right + 3 < e_malformed
    True
    """

    def rebuilt(meta: dict[str, Any]) -> nn.Module:
        return build(Config(**meta["config"] | {"betas": tuple(meta["config"]["betas"])}))

    model = load_shipped(name, rebuilt)
    assert isinstance(model, LSTMLanguageModel | LikelihoodEnergy)
    return model


def shipped_nets(n_digits: int, run: Run) -> dict[str, Any]:
    """The two nets that other recipes are given where no others are: ``pretrained`` and ``noise``, on the device.

    Raises:
        FileNotFoundError: none of this many digits ship with the package.

    >>> nets = shipped_nets(3, Run(torch.device("cpu"), 0))
    >>> {part: type(net).__name__ for part, net in nets.items()}
    {'pretrained': 'LikelihoodEnergy', 'noise': 'LSTMLanguageModel'}
    """
    names = {"pretrained": f"arithmetic-{n_digits}-energy", "noise": f"arithmetic-{n_digits}-lm"}
    return {part: load(name).to(run.device) for part, name in names.items()}


@torch.no_grad()
def nll_per_token(model: nn.Module, x: Tensor) -> float:
    """Mean -log p(x) a predicted token (nats) in eval mode; exp of it is the perplexity.

    >>> class Fair(nn.Module):
    ...     def forward(self, x):
    ...         return torch.full((len(x),), 7 * 2.0)  # 2 nats for each of the 7 tokens after the first
    >>> nll_per_token(Fair(), Format(1).encode(["2+3=05"]))
    2.0
    """
    model.eval()
    return float(model(x).mean() / (x.shape[1] - 1))
