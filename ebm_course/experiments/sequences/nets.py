"""The nets of a sequence experiment: what each variant is given, and trained ones loaded once. It measures nothing."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ebm_course.energies.sequence_energies import LikelihoodEnergy, PooledEnergy
from ebm_course.experiments.nets import LAST, NET, load_net
from ebm_course.experiments.sequences.config import Config
from ebm_course.experiments.stages import Results
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.sequences import adversarial, language_model
from ebm_course.recipes.sequences.parts import sample_sequences, start_energy
from ebm_course.runtime import Run
from ebm_course.samplers.ancestral import LanguageModel


class Nets:
    """Nets by name, from the folders of finished stages.

    Args:
        config: the experiment's.
        run: device and first seed.

    >>> from ebm_course.experiments.sequences.config import SMOKE
    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> nets, untrained = Nets(SMOKE, SINGLE_PROCESS), language_model.build(SMOKE.lm)
    >>> first, again = (nets.samples(untrained, "test samples", n=3) for _ in range(2))
    >>> first.shape, first.equal(again)
    (torch.Size([3, 8]), True)
    """

    def __init__(self, config: Config, run: Run):
        self.config, self.run = config, run
        self._loaded: dict[tuple[str, str], Any] = {}

    def given(self, variant: Variant, results: Results) -> dict[str, Any]:
        """What a variant's recipe is handed."""
        return {"pretrained": self.pretrained(results, _base(variant)), "noise": self.noise(results)}

    def pretrained(self, results: Results, base: str = "energy") -> LikelihoodEnergy:
        """The transformer pretrained in the stage ``base``."""
        found: LikelihoodEnergy = self._model(results, base, NET)
        return found

    def noise(self, results: Results, kind: str = "best") -> LanguageModel:
        """P_LM with the weights of its best validation, or of its last update."""
        found: LanguageModel = self._model(results, "lm", {"best": NET, "last": LAST}[kind])
        return found

    def energy(self, results: Results, name: str, k: int = 0) -> Any:
        """The likelihood, or a variant's energy of run k."""
        return self.pretrained(results) if name == "likelihood" else self.trained(results, self.config.variant(name), k)

    def trained(self, results: Results, variant: Variant, k: int) -> PooledEnergy:
        """A variant's energy of run k."""
        bidirectional = isinstance(variant.config, adversarial.Config) and variant.config.bidirectional
        net = self.pretrained(results, _base(variant))
        energy = start_energy(net, variant.config.head, bidirectional=bidirectional)
        return load_net(results.folder(variant.stage(k)), energy, variant.origin(self.run, k), self.run)

    def samples(self, model: Any, stream: str, n: int | None = None) -> Tensor:
        """Sequences (n, L) of a language model, the same for every energy that starts from this stream."""
        generator, n = self.run.generator(stream), self.config.n_samples if n is None else n
        return sample_sequences(model, n, n_digits=self.config.n_digits, generator=generator)

    def _model(self, results: Results, stage: str, file: str) -> Any:
        folder = results.folder(stage)  # asked each time: it notes what a stage was made from
        if (stage, file) not in self._loaded:
            variant = self.config.pretraining[stage]
            model: Any = language_model.build(variant.config)
            origin = variant.origin(self.run, 0)
            self._loaded[stage, file] = load_net(folder, model, origin, self.run, name=file)
        return self._loaded[stage, file]


def _base(variant: Variant) -> str:
    return variant.starts_from or "energy"
