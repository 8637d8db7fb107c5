r"""Table 6 as numbers: attacked texts put back into words by RAR's head, and whom these words fool.

A sentence under attack has states :math:`h_i`; the head's most likely word at each real place makes a text again. It
counts as an adversarial example if plain training classifies the original rightly and the new text wrongly. Radius 0
is the control: no attack, and what the head alone gets wrong. Whether the meaning stayed is asked of an encoder that
nobody attacked, beside its cosine of the text with the reconstruction of another one.
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
        named = module.head(module.classifier.logits_and_states(moved, part.mask)[1]).argmax(dim=2)
    tokens = named if module.head.kept is None else module.head.kept[named]
    return torch.where(mask_of(part) & is_word[part.x], tokens, part.x)


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
        is_word: (V,) bool, which ids are words; the others stay as they were.
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
