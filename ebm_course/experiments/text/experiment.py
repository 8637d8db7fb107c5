"""FreeLB, CARL and RAR: Tables 2, 4, 5, 6 and 8, with the controls that say what their numbers are worth."""

from __future__ import annotations

from typing import Any

from ebm_course.experiments.experiment import Experiment
from ebm_course.experiments.stages import Stage
from ebm_course.experiments.text.config import PRESETS, Config
from ebm_course.experiments.text.findings import findings
from ebm_course.experiments.text.measurements import Bench
from ebm_course.experiments.text.sets import ABSENT, DATA, ENCODERS
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.text import carl, finetune, rar
from ebm_course.runtime import Run


def stages(config: Config, run: Run) -> list[Stage]:
    """Set by set and run by run: the judge of meaning, then every arm, trained and measured; the search comes last.

    >>> from dataclasses import replace
    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> smoke = PRESETS["smoke"]
    >>> config = replace(smoke, n_runs=1, variants=(smoke.variant("toy/plain"), smoke.variant("toy/rar")))
    >>> [stage.name for stage in stages(config, SINGLE_PROCESS)][:3]
    ['run-0/toy/judge', 'run-0/toy/plain', 'run-0/toy/plain-measured']
    >>> stages(config, SINGLE_PROCESS)[-1].after  # reconstructions, which are to fool plain training
    ('run-0/toy/rar', 'run-0/toy/plain', 'run-0/toy/judge')
    """
    bench, found = Bench(config, run), []
    for data in config.data:
        for k in range(config.n_runs):
            of: dict[str, Any] = {"held out": bench.held_out(data, k)}
            judge, arms = config.judge(data), {arm.name.partition("/")[2]: arm for arm in config.arms(data)}
            if judge is not None and {"plain", "rar"} <= arms.keys():
                found.append(
                    Stage(
                        judge.stage(k), bench.train(judge, k), _cost(judge), of=of | {"judge": judge.identity}, after=()
                    )
                )
            for name, arm in arms.items():
                of_arm = of | {"arm": arm.identity}
                found.append(Stage(arm.stage(k), bench.train(arm, k), _cost(arm), of=of_arm, after=()))
                found.append(
                    Stage(f"{arm.stage(k)}-measured", bench.measure(arm, k), 200.0, of=of_arm, after=(arm.stage(k),))
                )
                if name == "rar" and "plain" in arms:
                    given = of_arm | {"plain": arms["plain"].identity, "judge": judge and judge.identity}
                    work = bench.reconstruct(arm, arms["plain"], k)
                    read = tuple(one.stage(k) for one in (arm, arms["plain"], judge) if one is not None)
                    found.append(Stage(f"{arm.stage(k)}-reconstructed", work, 100.0, of=given, after=read))
        for variant in config.searched(data):
            of_setting = {"held out": bench.held_out(data, 0), "arm": variant.identity}
            found.append(Stage(variant.stage(0), bench.train(variant, 0), _cost(variant), of=of_setting, after=()))
    return found


def _cost(variant: Variant) -> float:
    """Passes of a training, roughly; a contrast costs one more an update, a reconstruction half of one."""
    config: Any = variant.config
    if variant.fit is finetune.fit:
        return float(config.n_steps)
    more = {carl.fit: 1.0, rar.fit: 0.5}.get(variant.fit, float(config.clean_pass))
    return float(config.n_steps * (config.n_passes + more))


EXPERIMENT = Experiment(
    name="text",
    title="Text classifiers trained against perturbed embeddings: accuracy, attacks, representations (after Qiu, Zhang "
    "and Zhou; FreeLB by Zhu et al., 2020).",
    presets=PRESETS,
    stages=stages,
    findings=findings,
    data=DATA,
    absent=ABSENT,
    encoders=ENCODERS,
    figures=tuple(f"{kind}/{data}/.*" for data in DATA for kind in ("attacked", "valid")),
    shared="On published sets runs share all texts, those to train on, to select by and to test on; starts of nets, "
    "order, dropout, noise and attacks are drawn anew in each, so that a verdict says nothing of other texts. Runs on "
    "the embedded language share nothing. Arms of one run share texts and their order. One rate, one number of updates "
    "and one perturbation serve all arms: an arm tuned by itself may end elsewhere.",
)
