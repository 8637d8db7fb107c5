"""Launched by the tests in several processes: ``taggings.py FOLDER`` trains every tagging recipe and writes what came.

The folder gets ``weights.safetensors`` and ``losses.json``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ebm_course.recipes.structured import bilstm, crf, inference_network, spen_gradient, tag_language_model
from ebm_course.runtime import setup

CONFIGS: dict[str, Any] = {
    "bilstm": (bilstm, bilstm.SMOKE),
    "crf": (crf, crf.SMOKE),
    "tags": (tag_language_model, tag_language_model.SMOKE),
    "descent": (spen_gradient, replace(spen_gradient.SMOKE, global_terms="a")),
    "margin": (inference_network, replace(inference_network.SMOKE, **inference_network.MARGIN)),
    "stacked": (inference_network, replace(inference_network.SMOKE, entropy_weight=0.5, global_terms="b")),
}
LOSSES = ("loss", "energy_loss", "inference_loss", "gradient_norm", "valid_error", "valid_cross_entropy")
"""What is a mean over sentences, or measured on all; means over tokens are those of equal shares of sentences."""


def main(folder: Path) -> None:
    run = setup(0)
    weights, losses = {}, {}
    for name, (recipe, config) in CONFIGS.items():
        torch.manual_seed(run.seed)
        module, rows, *_ = recipe.fit(config, run, progress=False)
        weights |= {f"{name}.{key}": t.contiguous() for key, t in module.state_dict().items()}
        losses[name] = [{key: row[key] for key in LOSSES if key in row} for row in rows]
    flat = torch.cat([t.flatten() for t in weights.values()])[None]
    assert len(run.gather(flat).unique(dim=0)) == 1, "all processes end with the same weights"
    if run.is_main:
        save_file(weights, folder / "weights.safetensors")
        (folder / "losses.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
