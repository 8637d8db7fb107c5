r"""Maximum likelihood of a Potts model from states whose law is known, so that every distance to it is exact.

The gradient's second term comes from enumeration, from chains, or is replaced by noise contrast: see ``ways``.
Source: Yin (2023), Eq. 3; Hinton (2002); Tieleman (2008); Gutmann and Hyvärinen (2010).

>>> config = Config(length=2, law=two_words, n_train=200, batch_size=50, n_steps=10, validate_every=5)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [row["step"] for row in fitted.rows], fitted.rows[1]["valid_kl"] < fitted.rows[0]["valid_kl"]
([5, 10], True)
>>> fitted.module.probabilities().shape
torch.Size([9])
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ebm_course.core import Batch
from ebm_course.energies.potts import Potts
from ebm_course.metrics.density import density_distance
from ebm_course.recipes.likelihood.noise_contrast import Noise
from ebm_course.recipes.likelihood.ways import Space, Way, persistent_chains
from ebm_course.recipes.shared import Fitted, a_recipe, check_memory, check_ranges, origin_of
from ebm_course.runtime import Run
from ebm_course.samplers.gibbs import gibbs
from ebm_course.training import fit as loop
from ebm_course.training.batches import Batches


def random_potts(config: Config, run: Run) -> Tensor:
    """Probabilities of all states under a Potts model with random parameters, (V^L,).

    >>> config, run = Config(length=2), Run(torch.device("cpu"), 0)
    >>> law = random_potts(config, run)
    >>> law.shape, round(float(law.sum()), 6), bool((law == random_potts(config, run)).all())  # the run's seed names it
    (torch.Size([9]), 1.0, True)
    """
    sizes = {"field_std": config.field_std, "coupling_std": config.coupling_std}
    truth = Potts.random(config.length, config.n_values, **sizes, generator=run.generator("truth"))
    return truth.probabilities().detach()


def two_words(config: Config, run: Run) -> Tensor:
    """Chapter 2's law: 0.8 the word of first letters, 0.2 that of last ones, each letter wrong with probability 0.05.

    No Potts model equals it quite.

    >>> law = two_words(Config(length=2, n_values=2), Run(torch.device("cpu"), 0))  # of aa, ab, ba, bb
    >>> [round(p, 4) for p in law.tolist()]  # aa: 0.8 * 0.95^2 + 0.2 * 0.05^2
    [0.7225, 0.0475, 0.0475, 0.1825]
    """
    states = Potts(config.length, config.n_values).states()

    def with_typos(letter: int) -> Tensor:
        right = (states == letter).double()
        return (right * 0.95 + (1 - right) * 0.05 / (config.n_values - 1)).prod(1)

    return (0.8 * with_typos(0) + 0.2 * with_typos(config.n_values - 1)).to(run.device)


@dataclass(frozen=True)
class Config:
    """What is trained, on what, and how. The defaults are the notebook's."""

    length: int = 4
    n_values: int = 3
    law: Callable[[Config, Run], Tensor] = random_potts  # of the data, the same for every way to train
    field_std: float = 0.5  # of random_potts, nats
    coupling_std: float = 1.0  # of random_potts, nats
    n_train: int = 5_000
    n_valid: int = 1_000
    batch_size: int = 200  # and number of chains
    way: Way = persistent_chains
    n_sampler_steps: int = 4  # positions redrawn in each chain an update
    sweep: bool = False  # redraw positions in order; otherwise each chain draws its own
    rate: float = 0.03  # Adam; falls linearly to a hundredth of it, so that the noise of the chains averages out
    n_steps: int = 1_000
    validate_every: int = 250

    def __post_init__(self) -> None:
        check_ranges(
            self,
            counts="length n_values n_train n_valid batch_size validate_every",
            whole="n_sampler_steps n_steps",
            not_negative="field_std coupling_std rate",
            functions="law way",
        )


PAPER = Config(length=8, n_values=4, n_train=60_000, batch_size=100, n_sampler_steps=8, rate=0.01, n_steps=60_000)
"""No paper of the course trains this model. This is PCD as Tieleman (2008) set it: minibatches of 100, as many chains,
one sweep an update, here for 100 epochs; 65,536 states keep log Z exact."""

NOTEBOOK = Config()
SMOKE = Config(length=3, n_train=200, n_valid=50, batch_size=50, n_steps=10, validate_every=5)
PRESETS = {"paper": PAPER, "notebook": NOTEBOOK, "smoke": SMOKE}


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Draw data from the law and train a Potts model that starts at zero, the uniform distribution.

    Returns:
        The model; rows with ``valid_nll`` of held-out data (nats), the exact distances of :func:`density_distance`
        from the law, and ``valid_evaluations``, energies of states computed so far.
    """
    row = 8 * (config.length + 1)  # tokens and the number of the state
    couplings = 16 * (config.length * config.n_values) ** 2
    check_memory(config, run, n_train=row * config.n_train, n_valid=row * config.n_valid, n_values=couplings)
    model, n = Potts(config.length, config.n_values).to(run.device), config.n_train + config.n_valid
    law = check_law(config.law(config, run), len(model.states()))
    codes = torch.multinomial(law, n, replacement=True, generator=run.generator("data"))
    train, valid = (Batch(model.states()[part]) for part in codes.split([config.n_train, config.n_valid]))
    optimizer = torch.optim.Adam(model.parameters(), lr=config.rate)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=config.n_steps)
    supplied = config.way(
        Space(
            model,
            optimizer,
            scheduler,
            run,
            config.batch_size,
            log_z=model.log_z,
            n_summed=config.n_values**config.length,
            sampler=functools.partial(
                gibbs, n_steps=config.n_sampler_steps, n_values=config.n_values, sweep=config.sweep
            ),
            sampler_evaluations=config.n_sampler_steps * config.n_values + 1,
            fresh=functools.partial(uniform_states, config),
            noise=independent_positions(train.x, config.n_values),
            n_chains=config.batch_size,
        )
    )

    def validate() -> dict[str, float]:
        done = scheduler.last_epoch * supplied.evaluations
        return {**scores(model, law, valid.x), "evaluations": done}

    origin = origin_of(fit, config, run, data={"train": train, "valid": valid})
    rows = loop.fit(
        supplied.step,
        Batches(train, config.batch_size, seed=run.seed),
        n_steps=config.n_steps,
        generator=run.generator("steps"),
        validate=validate,
        validate_every=config.validate_every,
        keep={"model": model, "optimizer": optimizer, "scheduler": scheduler, **supplied.keep},
        folder=folder,
        save_every=config.validate_every if folder is not None else 0,
        origin=origin,
        progress=progress,
        log_every=config.validate_every,
    )
    return Fitted(model.eval(), rows, origin=origin)


def check_law(law: Tensor, n_states: int) -> Tensor:
    """The law, refused where it is none of all states: another length, a negative or infinite entry, another sum.

    Raises:
        ValueError: says which of these it is.

    >>> check_law(torch.tensor([0.5, 0.6]), 2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: a law gives each of the 2 states a probability, with sum 1: got shape (2,), from 0.5 to 0.6, sum 1.1...
    """
    if law.shape == (n_states,) and law.min() >= 0 and (law.sum() - 1).abs() < 1e-4:  # a NaN fails both
        return law
    found = f"from {law.min():.4g} to {law.max():.4g}, sum {law.sum():.4g}" if law.numel() else "empty"
    raise ValueError(
        f"a law gives each of the {n_states} states a probability, with sum 1: got shape {tuple(law.shape)}, {found}. "
        "Lower field_std and coupling_std where they are large, or normalise what your function returns."
    )


def uniform_states(config: Config, n: int, generator: torch.Generator) -> Tensor:
    """n uniform states (n, L).

    >>> x = uniform_states(Config(length=4, n_values=3), 500, torch.Generator().manual_seed(0))
    >>> x.shape, x.unique().tolist()
    (torch.Size([500, 4]), [0, 1, 2])
    """
    return torch.randint(config.n_values, (n, config.length), generator=generator, device=generator.device)


def independent_positions(x: Tensor, n_values: int) -> Noise:
    """Noise with the frequencies of each position in tokens x (M, L), one count added to each, and no couplings.

    >>> noise = independent_positions(torch.tensor([[0, 1], [0, 1]]), n_values=2)  # with one count added: 3/4, 1/4
    >>> noise.log_prob(torch.tensor([[0, 1], [1, 1], [1, 0]])).exp().mul(16).round().tolist()
    [9.0, 3.0, 1.0]
    >>> noise.draw(5, torch.Generator().manual_seed(0)).shape
    torch.Size([5, 2])
    """
    counts = F.one_hot(x, n_values).sum(dim=0) + 1.0  # (L, V)
    log_p = (counts / counts.sum(dim=1, keepdim=True)).log()

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return torch.multinomial(log_p.exp(), n, replacement=True, generator=generator).T.contiguous()

    def log_prob(states: Tensor) -> Tensor:
        return log_p.T.gather(0, states).sum(dim=1)  # row v, column i of the transposed table

    return Noise(draw, log_prob)


@torch.no_grad()
def scores(model: Potts, law: Tensor, x: Tensor) -> dict[str, float]:
    """``nll`` of tokens x, nats, and the distances of :func:`density_distance` from the law, all exact.

    >>> found = scores(Potts(2, 2), torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.tensor([[0, 0]]))
    >>> {name: round(found[name], 3) for name in ("nll", "kl", "total_variation")}  # log 4, log 4, 3/4
    {'nll': 1.386, 'kl': 1.386, 'total_variation': 0.75}
    """
    return {"nll": float(-model.log_prob(x).mean()), **density_distance(law, model.probabilities())}
