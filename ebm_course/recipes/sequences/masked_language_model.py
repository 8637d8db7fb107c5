r"""Train a masked language model: hide some digits and predict them from what stands on both sides.

.. math:: \max_\theta \sum_{i \in M} \log p_\theta(x_i \mid x_{\setminus M})

The other way to pretrain the net of an energy: without a causal mask a pooled feature can say whether each digit fits
its neighbours. Source: Devlin et al. (2019); the baseline's notebook of Yin (2023) pretrains so, with one token in ten
hidden. Departure: hidden tokens are always replaced by one mask token, and only digits are hidden.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_epochs=1)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [sorted(row) for row in fitted.rows]
[['gradient_norm', 'loss', 'step', 'valid_nll']]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ebm_course.checks import at_least_single
from ebm_course.core import Batch, Loss, Step
from ebm_course.energies.pseudo_likelihood import PseudoLikelihoodEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.recipes.sequences import language_model
from ebm_course.recipes.sequences.pretraining import Schedule, pretrain, rows_for
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.tasks.arithmetic import UNKNOWN, VOCABULARY, Format
from ebm_course.training.update import update

MASK = VOCABULARY.index(UNKNOWN)


@dataclass(frozen=True)
class Config(language_model.Config):
    """Sizes of Table 1 of Yin (2023), column E, by default; the share of hidden digits is that of Devlin et al."""

    n_rows: int = 100_000
    width: int = 128
    n_layers: int = 2
    n_heads: int = 4
    dropout: float = 0.1
    rate: float = 6e-4
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    batch_size: int = 512
    mask_share: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, counts="n_heads", positive="mask_share", shares="mask_share")


PAPER = Config()
NOTEBOOK = Config(  # small batches: 512 rows an update leave one column at chance after as many rows
    n_digits=3, n_rows=50_000, width=64, dropout=0.0, rate=2e-3, batch_size=128, n_epochs=16, warm_up=0.1, decay=True
)  # fmt: skip
SMOKE = Config(n_digits=1, n_rows=20, width=16, batch_size=10, n_epochs=2)
PRESETS = {"paper": PAPER, "notebook": NOTEBOOK, "smoke": SMOKE}


def build(config: language_model.Config) -> PseudoLikelihoodEnergy:
    """The untrained net, an energy: minus the pseudo-likelihood of the answer's digits.

    >>> energy = build(SMOKE)
    >>> energy(Format(1).encode(["2+3=05"])).shape, energy.positions.tolist(), energy.net.causal  # both digits of c
    (torch.Size([1]), [5, 6], False)
    """
    layout = Format(config.n_digits)
    sizes = {"width": config.width, "n_layers": config.n_layers, "n_heads": config.n_heads, "dropout": config.dropout}
    net = Transformer(len(VOCABULARY), layout.length, **sizes, causal=False)  # type: ignore[arg-type]
    return PseudoLikelihoodEnergy(net, layout.answer_positions(), mask_value=MASK)


def make_step(
    model: PseudoLikelihoodEnergy,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    *,
    config: Config,
    run: Run = SINGLE_PROCESS,
) -> Step:
    """Minimise -log p of hidden digits, nats a hidden digit; each process of ``run`` takes its share of the batch.

    >>> model, batch = build(SMOKE), Batch(Format(1).encode(["2+3=05"]).repeat(20, 1))
    >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    >>> schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    >>> step = make_step(model, optimizer, schedule, config=SMOKE)
    >>> losses = [float(step(batch, torch.Generator().manual_seed(0))["loss"]) for _ in range(10)]
    >>> losses[-1] < losses[0]  # one equation is soon known by heart
    True
    """
    digits = Format(config.n_digits).digit_positions().to(model.positions.device)

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        model.train()
        noise = torch.rand(batch.x.shape, generator=generator, device=batch.x.device)
        hidden = run.share((noise < config.mask_share) & digits)
        x = run.share(batch.x)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            logits = at_least_single(model.net.logits(x.masked_fill(hidden, MASK)))
        nll = nn.functional.cross_entropy(logits.transpose(1, 2), x, reduction="none")  # (N, L)
        return update(
            Loss((nll * hidden).sum() / hidden.sum().clamp(min=1)),
            model,
            optimizer,
            clip=config.clip,
            scheduler=schedule,
            run=run,
        )

    return step


@torch.no_grad()
def nll_per_digit(model: PseudoLikelihoodEnergy, x: Tensor) -> float:
    """Mean -log p(x_i | all others) a digit of the answer (nats) in eval mode.

    >>> model, x = build(SMOKE), Format(1).encode(["2+3=05"])
    >>> abs(nll_per_digit(model, x) - float(model.eval()(x).detach()) / 2) < 1e-5  # the answer has two digits
    True
    """
    model.eval()
    return float(model(x).mean() / len(model.positions))


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train as ``config`` says; one row of the log an epoch, with ``valid_nll``, nats a digit of the answer."""
    train, valid = rows_for(config, run)
    model = build(config).to(run.device)
    return pretrain(
        config,
        run,
        fit=fit,
        model=model,
        rows=(train, valid),
        step=lambda optimizer, schedule: make_step(model, optimizer, schedule, config=config, run=run),
        validate=lambda: {"nll": nll_per_digit(model, valid.x)},
        folder=folder,
        progress=progress,
    )
