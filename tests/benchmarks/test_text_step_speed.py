"""Updates of the text recipes against one another: what a pass, a contrast and a reconstruction cost.

Run with ``make bench``. Batches of 32 texts of 8 to 24 tokens, a vocabulary of 4,000, the small encoder of two layers,
width 128. A ratio is that of the shortest times, with the lowest and highest of single rounds beside it. FreeLB at n
passes is to cost at most 1.05 n plain updates; CARL with m = 16,000 negatives at most 1.3 of FreeLB, RAR at most 1.5.
From noise without a clean pass CARL makes one pass more than FreeLB, 3 for 2, so that 1.5 is the least there: its
measure is FreeLB with the same passes. Less than a tenth of the work is to be on pads, and the adapter of the library's
encoders is to be no slower than the encoder itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ebm_course.energies.bert import Bert
from ebm_course.energies.hugging_face_classifier import HuggingFaceClassifier
from ebm_course.energies.reconstruction_head import Reconstructing
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.recipes.text.carl import Contrast, Numbered
from ebm_course.recipes.text.parts import Learner
from ebm_course.recipes.text.sets import film_reviews
from ebm_course.samplers.memory_bank import MemoryBank
from ebm_course.tasks.text import Text, toy
from ebm_course.training.length_batches import LengthBatches

N, V, K, WIDTH, N_ROWS, ROUNDS = 32, 4_000, 4, 128, 60_000, 15
STARTS: dict[str, dict[str, Any]] = {
    "from the clean input": {"noise_size": 0.0, "n_passes": 3},
    "from noise": {"noise_size": 0.6, "n_passes": 2},
    "from noise, and a clean pass": {"noise_size": 0.6, "n_passes": 2, "clean_pass": True},
}


def batch() -> Numbered:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(24) < torch.randint(8, 25, (N, 1), generator=generator)
    x = torch.randint(5, V, mask.shape, generator=generator) * mask
    return Numbered(x, torch.arange(N) % K, mask, torch.arange(N))


def update(recipe: Any, n_rows: int = N_ROWS, **fields: Any) -> Callable[[], Any]:
    """One update to call again and again."""
    torch.manual_seed(0)
    net = TextClassifier(V, K, width=WIDTH, max_length=24)
    config = replace(recipe.PAPER, **fields)
    learner = Learner(Reconstructing(net) if recipe is rar else net, config)
    given = []
    if recipe is carl:
        y = torch.arange(n_rows) % K
        contrast = Contrast(y, WIDTH, replace(config, contrast_after=0), n_classes=K, fill_from=0)
        contrast.store(torch.arange(n_rows), *torch.randn(2, n_rows, WIDTH))
        contrast.updates = config.contrast_after
        given = [contrast]
    return partial(recipe.make_step(learner, *given), batch(), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_passes", [2, 3])
def test_freelb_against_plain_updates(times_faster: Callable[..., float], n_passes: int) -> None:
    name = f"plain update: times as fast as FreeLB of {n_passes} passes"
    times_faster(name, update(finetune), update(freelb, n_passes=n_passes), rounds=ROUNDS)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("n_rows, freshness", [(N_ROWS, "bank"), (6_920, "bank"), (N_ROWS, 16)])
def test_carl_against_freelb(times_faster: Callable[..., float], start: str, n_rows: int, freshness: Any) -> None:
    slow = update(carl, n_rows, **STARTS[start], freshness=freshness)
    name = f"FreeLB {start}: times as fast as CARL, {n_rows:,} rows, freshness {freshness}"
    times_faster(name, update(freelb, **STARTS[start]), slow, rounds=ROUNDS)


def test_carl_from_noise_against_freelb_of_as_many_passes(times_faster: Callable[..., float]) -> None:
    slow, fast = update(carl, **STARTS["from noise"]), update(freelb, **STARTS["from noise, and a clean pass"])
    times_faster("FreeLB from noise, of 3 passes: times as fast as CARL of 3", fast, slow, rounds=ROUNDS)


@pytest.mark.parametrize("start", STARTS)
def test_rar_against_freelb(times_faster: Callable[..., float], start: str) -> None:
    name = f"FreeLB {start}: times as fast as RAR"
    times_faster(name, update(freelb, **STARTS[start]), update(rar, **STARTS[start]), rounds=ROUNDS)


@pytest.mark.parametrize("megabytes", [1, 8, 64])
def test_a_bounded_gather_against_one_copy(times_faster: Callable[..., float], megabytes: int) -> None:
    bank = MemoryBank(N_ROWS, WIDTH, labels=torch.arange(N_ROWS) % K)
    rows = bank.draw(21_334, generator=torch.Generator().manual_seed(0))
    anchors = torch.randn(N, WIDTH, requires_grad=True)

    def product(max_bytes: float) -> None:
        bank.scores(anchors, rows, max_bytes=max_bytes).sum().backward()

    name = f"product with 21,334 rows in copies of {megabytes} MB: times as fast as in one"
    times_faster(name, partial(product, megabytes * 1e6), partial(product, float("inf")), rounds=ROUNDS)


NETS: dict[str, Callable[[], nn.Module]] = {
    "small encoder, width 128": lambda: TextClassifier(V, K, width=WIDTH, max_length=24),
    "three layers of MiniLM's size, width 384": lambda: Bert(V, K, n_layers=3),
}


@pytest.mark.parametrize("net", NETS)
def test_16_bits_against_float32(times_faster: Callable[..., float], net: str) -> None:
    def step(precision: str) -> Callable[[], Any]:
        torch.manual_seed(0)
        learner = Learner(NETS[net](), replace(freelb.PAPER, precision=precision))
        return partial(freelb.make_step(learner), batch(), torch.Generator().manual_seed(0))

    name = f"FreeLB, {net}: bfloat16, times as fast as float32"
    times_faster(name, step("bfloat16"), step("float32"), rounds=ROUNDS)


@pytest.mark.parametrize("kind", ["Albert", "Bert"])
def test_the_adapter_against_the_library_s_own_classifier(times_faster: Callable[..., float], kind: str) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra encoder is not installed")
    sizes = {"hidden_size": 384, "num_attention_heads": 12, "num_hidden_layers": 3, "intermediate_size": 1_536}
    theirs = getattr(transformers, f"{kind}ForSequenceClassification")(
        getattr(transformers, f"{kind}Config")(**sizes, vocab_size=V, num_labels=K)
    )
    ours, rows = HuggingFaceClassifier(getattr(theirs, kind.lower()), n_classes=K), batch()

    def backward(logits: Callable[[], torch.Tensor]) -> None:
        cross_entropy(logits(), rows.y).backward()

    def literal() -> torch.Tensor:
        found: torch.Tensor = theirs(input_ids=rows.x, attention_mask=rows.mask.long()).logits
        return found

    name = f"{kind}, forward and backward: the adapter, times as fast as the library's own classifier"
    times_faster(name, partial(backward, lambda: ours(rows.x, rows.mask)), partial(backward, literal), rounds=ROUNDS)


@pytest.mark.parametrize("texts", [toy, film_reviews], ids=["embedded language", "SST-2"])
def test_the_share_of_the_work_that_is_on_pads(benchmark: Any, texts: Callable[..., Text]) -> None:
    try:
        task = texts(seed=0)
    except FileNotFoundError as error:
        pytest.skip(f"the texts are not here: {error}")
    batches = LengthBatches(task.train, N, seed=0)

    def share() -> float:
        masks = [batches[i].mask for i in range(batches.steps_per_epoch)]
        return sum(int((~mask).sum()) for mask in masks) / sum(mask.numel() for mask in masks)

    pads, whole = benchmark.pedantic(share), float((~task.train.mask).double().mean())
    benchmark.extra_info["share of pads"] = pads
    print(f"\npads in minibatches of {N} of {task.name}: {pads:.1%} of all positions; in one block {whole:.1%}")
    assert pads < 0.1
