"""Updates of the text recipes against one another: what a pass, a contrast and a reconstruction cost.

Run with ``make bench``. Batches of 32 texts of 8 to 24 tokens; the small encoder, two layers of width 128 that read
4,000 subwords, and one of MiniLM's size, three layers of width 384 that read 30,522. What an update costs beside
another is the median ratio of CPU seconds of one thread, paired round by round, so that a busy machine biases it
little; other ratios are those of the shortest times, with the lowest and highest of single rounds beside them. FreeLB
at n passes is to cost at most 1.05 n plain updates; CARL with m = 16,000 negatives at most 1.3 of FreeLB, RAR at most
1.5.

By count, with a pass of the small encoder forward F, its gradient in the activations B and in the weights W, about as
much each, 9 such units make FreeLB's update of three passes. From noise with a clean pass CARL makes the same passes;
from the clean input one B more, 10 units, for the ascent leaves the clean pass before the contrast's gradient in it is
known. The contrast is two products of 32 anchors with 21,334 rows (three quarters of them have another label) and two
of the slopes with the rows, 0.70 GFLOP of width 128 beside about 5.7 of FreeLB's; of width 384, 2.1 beside 74. RAR's
head makes 6 V D FLOP a token that is no pad, 3.1 million of 4,000 subwords and 6.1 of 8,000, beside 2.4 million of a
small encoder's pass at every token; a third of the tokens here are pads. From noise without a clean pass CARL makes one
pass more than FreeLB, 3 for 2, so that 1.5 is the least there: its measure is FreeLB with the same passes. Less than a
tenth of the work is to be on pads, and the adapter of the library's encoders is to be no slower than the encoder
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from ebm_course.energies.bert import Bert
from ebm_course.energies.hugging_face_classifier import HuggingFaceClassifier
from ebm_course.energies.reconstruction_head import Reconstructing
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.energies.text_energy import TextEnergy
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.recipes.text.carl import Contrast, Numbered
from ebm_course.recipes.text.parts import Learner
from ebm_course.recipes.text.sets import film_reviews
from ebm_course.samplers.memory_bank import MemoryBank
from ebm_course.tasks.text import Text, toy
from ebm_course.training.length_batches import LengthBatches

N, V, V_MINILM, K, WIDTH, N_ROWS, ROUNDS = 32, 4_000, 30_522, 4, 128, 60_000, 15
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


NETS: dict[str, Callable[[], TextEnergy]] = {
    "small encoder, width 128": lambda: TextClassifier(V, K, width=WIDTH, max_length=24),
    "three layers of MiniLM's size, width 384": lambda: Bert(V_MINILM, K, n_layers=3),
    "small encoder of 8,000 subwords": lambda: TextClassifier(8_000, K, width=WIDTH, max_length=24),
}
SMALL, DISTILLED, WORDY = NETS


def update(recipe: Any, n_rows: int = N_ROWS, encoder: str = SMALL, **fields: Any) -> Callable[[], Any]:
    """One update to call again and again."""
    torch.manual_seed(0)
    net = NETS[encoder]()
    config = replace(recipe.PAPER, **fields)
    learner = Learner(Reconstructing(net) if recipe is rar else net, config)
    given = []
    if recipe is carl:
        y = torch.arange(n_rows) % K
        contrast = Contrast(y, net.width, replace(config, contrast_after=0), n_classes=K, fill_from=0)
        contrast.store(torch.arange(n_rows), *torch.randn(2, n_rows, net.width))
        contrast.updates = config.contrast_after
        given = [contrast]
    return partial(recipe.make_step(learner, *given), batch(), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_passes", [2, 3])
def test_freelb_against_plain_updates(times_the_work: Callable[..., float], n_passes: int) -> None:
    name = f"FreeLB of {n_passes} passes, times the work of a plain update"
    times_the_work(name, update(freelb, n_passes=n_passes), update(finetune), rounds=2 * ROUNDS)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("n_rows, freshness", [(N_ROWS, "bank"), (6_920, "bank"), (N_ROWS, 16)])
def test_carl_against_freelb(times_the_work: Callable[..., float], start: str, n_rows: int, freshness: Any) -> None:
    one = update(carl, n_rows, **STARTS[start], freshness=freshness)
    name = f"CARL {start}, {n_rows:,} rows, freshness {freshness}, times the work of FreeLB"
    times_the_work(name, one, update(freelb, **STARTS[start]), rounds=2 * ROUNDS)


def test_carl_from_noise_against_freelb_of_as_many_passes(times_the_work: Callable[..., float]) -> None:
    one, other = update(carl, **STARTS["from noise"]), update(freelb, **STARTS["from noise, and a clean pass"])
    times_the_work("CARL from noise, times the work of FreeLB of as many passes, 3", one, other, rounds=2 * ROUNDS)


@pytest.mark.parametrize("start", STARTS)
def test_rar_against_freelb(times_the_work: Callable[..., float], start: str) -> None:
    name = f"RAR {start}, times the work of FreeLB"
    times_the_work(name, update(rar, **STARTS[start]), update(freelb, **STARTS[start]), rounds=2 * ROUNDS)


def test_rar_against_freelb_with_as_many_subwords_as_published_texts_have(times_the_work: Callable[..., float]) -> None:
    one, other = (update(recipe, encoder=WORDY, **STARTS["from noise"]) for recipe in (rar, freelb))
    times_the_work(f"RAR from noise, {WORDY}, times the work of FreeLB", one, other, rounds=ROUNDS)


@pytest.mark.parametrize("start", [start for start in STARTS if start != "from noise"])
def test_carl_against_freelb_in_minilm_s_size(times_the_work: Callable[..., float], start: str) -> None:
    one, other = (update(recipe, encoder=DISTILLED, **STARTS[start]) for recipe in (carl, freelb))
    times_the_work(f"CARL {start}, {DISTILLED}, times the work of FreeLB", one, other, rounds=ROUNDS)


@pytest.mark.parametrize("n_passes", [2, 3])
def test_freelb_against_plain_updates_in_minilm_s_size(times_the_work: Callable[..., float], n_passes: int) -> None:
    one, other = update(freelb, encoder=DISTILLED, n_passes=n_passes), update(finetune, encoder=DISTILLED)
    times_the_work(f"FreeLB of {n_passes} passes, {DISTILLED}, times a plain update", one, other, rounds=ROUNDS)


@pytest.mark.parametrize("megabytes", [1, 8, 64])
def test_a_bounded_gather_against_one_copy(times_faster: Callable[..., float], megabytes: int) -> None:
    bank = MemoryBank(N_ROWS, WIDTH, labels=torch.arange(N_ROWS) % K)
    rows = bank.draw(21_334, generator=torch.Generator().manual_seed(0))
    anchors = torch.randn(N, WIDTH, requires_grad=True)

    def product(max_bytes: float) -> None:
        bank.scores(anchors, rows, max_bytes=max_bytes).sum().backward()

    name = f"product with 21,334 rows in copies of {megabytes} MB: times as fast as in one"
    times_faster(name, partial(product, megabytes * 1e6), partial(product, float("inf")), rounds=ROUNDS)


@pytest.mark.parametrize("net", [SMALL, DISTILLED])
def test_16_bits_against_float32(times_faster: Callable[..., float], net: str) -> None:
    def step(precision: str) -> Callable[[], Any]:
        torch.manual_seed(0)
        learner = Learner(NETS[net](), replace(freelb.PAPER, precision=precision))
        return partial(freelb.make_step(learner), batch(), torch.Generator().manual_seed(0))

    name = f"FreeLB, {net}: bfloat16, times as fast as float32"
    times_faster(name, step("bfloat16"), step("float32"), rounds=ROUNDS)


@pytest.mark.parametrize("kind", ["Albert", "Bert"])
def test_the_adapter_against_the_library_s_own_classifier(times_faster: Callable[..., float], kind: str) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: make bench brings it")
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
