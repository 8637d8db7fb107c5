r"""Table 6 as numbers: attacked texts put back into words by RAR's head, and whom these words fool.

A sentence under attack has states :math:`h_i`; the head's most likely word at each real place makes a text again. It
counts as an adversarial example if plain training classifies the original rightly and the new text wrongly. Radius 0
is the control: no attack, and what the head alone gets wrong. Whether the meaning stayed is asked of an encoder that
nobody attacked, beside its cosine of the text with the reconstruction of another one.

>>> from ebm_course.energies.reconstruction_head import Reconstructing
>>> from ebm_course.energies.text_classifier import TextClassifier
>>> x, is_word = torch.tensor([[2, 5, 6, 3], [2, 7, 8, 3]]), torch.arange(10) >= 5
>>> rows = Batch(x, torch.tensor([0, 1]), x > 0)
>>> module = Reconstructing(TextClassifier(10, 2, width=8, n_layers=1, n_heads=2, max_length=4)).eval()
>>> attack, generator = Attack(n_steps=2, relative_step=0.5), torch.Generator().manual_seed(0)
>>> reconstructed(module, rows, 0.1, attack, generator, is_word)[:, [0, 3]].tolist()  # start and end stay
[[2, 3], [2, 3]]
>>> def meaning(part):
...     return part.y[:, None] * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
>>> found = judged(module, module.classifier, meaning, rows, 0.1, attack, generator, is_word=is_word)
>>> round(found["meaning"], 3), round(found["meaning-others"], 3)  # one label, and two
(1.0, 0.0)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ebm_course.core import Batch, frozen
from ebm_course.experiments.text.evaluation import Attack, attacked_embeddings, parts
from ebm_course.tasks.text import mask_of


def reconstructed(
    module: Any, part: Batch, radius: float, attack: Attack, generator: torch.Generator, is_word: Tensor
) -> Tensor:
    """Tokens (N, L) that the head names at the states of a part under attack; what is no word stays as it was."""
    moved = attacked_embeddings(module.classifier, part, radius, attack, generator)
    with torch.no_grad(), frozen(module):
        named = module.head.words(module.classifier.logits_and_states(moved, part.mask)[1])
    return torch.where(mask_of(part) & is_word[part.x], named, part.x)


def judged(
    module: Any,
    plain: Any,
    meaning: Callable[[Batch], Tensor],
    rows: Batch,
    radius: float,
    attack: Attack,
    generator: torch.Generator,
    *,
    is_word: Tensor,
) -> dict[str, float]:
    """What reconstructions of attacked rows are worth.

    Args:
        module: a classifier and its head, as the recipe ``rar`` returns it.
        plain: the classifier that the new texts are to fool.
        meaning: rows -> sentence vectors (N, H) of an encoder that was not attacked.
        rows: texts with labels, those of like lengths together.
        is_word: (V,) bool, which ids are words; the others stay as they were.

    Returns:
        ``recovered``, share of words; ``changed``, share of texts; ``fooled``, share of the texts that ``plain``
        classifies rightly; ``meaning`` and ``meaning-others``, mean cosines of texts with their own reconstruction and
        with that of a neighbour.

    Source: Qiu, Zhang and Zhou, Section 4.5 and Table 6, three examples there. Departure: numbers, over all texts.
    """
    n_words = n_back = n_changed = n_right = n_fooled = 0
    near, far, n = 0.0, 0.0, 0
    for part in parts(rows):
        tokens = reconstructed(module, part, radius, attack, generator, is_word)
        new = Batch(tokens, part.y, part.mask)
        counted = mask_of(part) & is_word[part.x]
        back = (tokens == part.x) & counted
        n_words += int(counted.sum())
        n_back += int(back.sum())
        n_changed += int((tokens != part.x).any(dim=1).sum())
        with torch.no_grad(), frozen(plain):
            right, still = (plain(batch.x, batch.mask).argmax(dim=1) == part.y for batch in (part, new))
        n_right += int(right.sum())
        n_fooled += int((right & ~still).sum())
        before, after = meaning(part), meaning(new)
        near += float(cosine_similarity(before, after).double().sum())
        far += float(cosine_similarity(before, after.roll(1, dims=0)).double().sum())
        n += len(part)
    return {
        "recovered": n_back / n_words,
        "changed": n_changed / n,
        "fooled": n_fooled / max(1, n_right),
        "meaning": near / n,
        "meaning-others": far / n,
    }
