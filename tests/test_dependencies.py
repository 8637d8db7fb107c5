"""The rules of the package that a reader of the sources would check by eye, checked by reading them with ``ast``."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ebm_course"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# A module may import what stands in a lower layer, and its own part.
LAYERS = [
    (
        *("core", "batch", "checks", "sentence_checks", "conditioned", "ambient", "processors", "idle_threads"),
        *("runtime", "origin", "storage", "files"),
    ),
    ("tasks", "energies", "samplers", "objectives", "metrics", "training", "figures", "results"),
    ("recipes",),
    ("experiments",),
    ("widgets", "exercises"),
    ("grading",),
    ("commands",),
    ("__main__",),
]
LAYER = {part: i for i, layer in enumerate(LAYERS) for part in layer}
DRAWS = {"rand", "randn", "randint", "randperm", "multinomial", "bernoulli", "normal"}
DRAWS_IN_PLACE = {
    "uniform_",
    "normal_",
    "exponential_",
    "random_",
    "bernoulli_",
    "log_normal_",
    "geometric_",
    "cauchy_",
}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# Methods whose meaning is the contract's or torch's, said there once.
SAID_ONCE = {"forward", "embed", "from_embeddings", "first_layer", "from_first_layer", "state_dict", "load_state_dict"}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
FORBIDDEN_WORDS = r"(?<![\w.])(/work/|/root/|/tmp/|/home/\w)|\bpypi\.org\b|\bfiles\.pythonhosted\b"


def part_of(path: Path) -> str:
    """The part a source belongs to: the name of its folder, or its own name at the top."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(tree: ast.AST, path: Path = PACKAGE / "core.py") -> Iterator[str]:
    """Full names of all that is imported anywhere in a source, inside functions and by name as well."""
    yield from (name for name in imports_by_name(tree, path) if name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = ["ebm_course", *path.relative_to(PACKAGE).parts[:-1]]
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports_by_name(tree: ast.AST, path: Path) -> Iterator[str]:
    """What ``import_module`` and ``__import__`` load, as far as it is written out: ``f"a.b.{c}"`` is ``a.b``."""
    for _, function, node in calls(tree):
        if function in {"import_module", "__import__"}:
            given = {k.arg: k.value for k in node.keywords}
            first, *rest = [*node.args, *([given["name"]] if "name" in given else [])]
            name, package = written(first), written(rest[0] if rest else given.get("package"))
            if name.startswith("."):
                here = (package or ".".join(["ebm_course", *path.relative_to(PACKAGE).parts[:-1]])).split(".")
                up = len(name) - len(name.lstrip("."))
                name = ".".join([*here[: len(here) - up + 1], name.lstrip(".")])
            yield name.rstrip(".")


def written(node: ast.expr | None) -> str:
    """How a text begins, as far as the source says it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.BinOp):
        return written(node.left)
    if isinstance(node, ast.JoinedStr):
        fixed = itertools.takewhile(lambda part: isinstance(part, ast.Constant), node.values)
        return "".join(written(part) for part in fixed)
    return ""


def dependency_faults(tree: ast.AST, path: Path) -> list[str]:
    part = part_of(path)
    faults = []
    if part != "commands" and any(name in {"", "ebm_course"} for name in imports_by_name(tree, path)):
        faults.append(f"{part} imports a module whose name is not written out: only commands choose by name")
    for name in imports(tree, path):
        if not name.startswith("ebm_course."):
            continue
        other = name.split(".")[1]
        if other in LAYER and other != part and LAYER[other] >= LAYER[part] and LAYER[part] > 0:
            faults.append(f"{part} imports {name}")
        if other in LAYER and LAYER[part] == 0 and LAYER[other] > 0:
            faults.append(f"{part} imports {name}")
    faults += experiment_faults(tree, path)
    if part == "figures":
        faults += [f"figures know no torch: {name}" for name in imports(tree, path) if name.split(".")[0] == "torch"]
    return faults


def experiment_faults(tree: ast.AST, path: Path) -> list[str]:
    """The engine knows what recipes share, no recipe and no experiment; an experiment knows no other."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[0] != "experiments":
        return []
    faults, engine = [], len(parts) == 2
    for name in imports(tree, path):
        other = name.split(".")[1:] if name.startswith("ebm_course.") else []
        room = other[1] if len(other) > 1 and (PACKAGE / other[0] / other[1]).is_dir() else None
        if other in (["recipes"], ["experiments"]):
            faults.append(f"{'the engine' if engine else f'experiment {parts[1]}'} imports all of {name}")
        elif engine and (
            (other[:1] == ["recipes"] and other[1] != "shared") or (other[:1] == ["experiments"] and room)
        ):
            faults.append(f"the engine imports {name}")
        elif not engine and other[:1] == ["experiments"] and room not in (None, parts[1]):
            faults.append(f"experiment {parts[1]} imports {name}")
    return faults


def init_faults(tree: ast.Module, path: Path) -> list[str]:
    """A part's ``__init__`` is one docstring; that of the package may hold more, and imports nothing of it."""
    if path.parent == PACKAGE:
        own = [name for name in imports(tree, path) if name.split(".")[0] == "ebm_course"]
        return [f"the package imports its own {name}: import by file" for name in own]
    return [] if [type(node) for node in tree.body] == [ast.Expr] else ["import by file, not by part"]


def import_graph(sources: Mapping[str, ast.AST]) -> dict[str, set[str]]:
    """Module of the package -> modules of it that it imports anywhere, for type checking too."""
    return {
        name: {
            module
            for found in imports(tree, PACKAGE.parent / Path(*name.split(".")).with_suffix(".py"))
            for module in (found, found.rpartition(".")[0])
            if module in sources and module != name
        }
        for name, tree in sources.items()
    }


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Modules that can be reached from themselves."""
    found = []
    for start in graph:
        seen, ahead = set(), list(graph[start])
        while ahead:
            name = ahead.pop()
            if name not in seen:
                seen.add(name)
                ahead += graph[name]
        found += [start] if start in seen else []
    return found


def calls(tree: ast.AST) -> Iterator[tuple[str, str, ast.Call]]:
    """Every call as (what the name hangs on, name, node): ``torch.randn(3)`` is ("torch", "randn", node)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func.value), node.func.attr, node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield "", node.func.id, node


def call_faults(tree: ast.AST, path: Path) -> list[str]:
    part, faults = part_of(path), []
    for base, name, node in calls(tree):
        keywords = {k.arg: k.value for k in node.keywords}
        if base == "torch" and name == "save":
            faults.append("torch.save writes a pickle: use files.save_checkpoint")
        if base == "torch" and name == "load":
            faults.append("torch.load reads a pickle: use files.load_checkpoint")
        if "allow_pickle" in keywords:
            faults.append("allow_pickle reads a pickle")
        if name == "squeeze" and base and not node.args and not keywords:
            faults.append(f"a bare {base}.squeeze() drops every axis of length 1: name the axis")
        if part != "runtime" and (base, name) in {("torch", "manual_seed"), ("random", "seed"), ("np.random", "seed")}:
            faults.append(f"{base}.{name}: only runtime.setup seeds a global stream")
        if part != "energies" and "generator" not in keywords and (
            (base == "torch" and name in DRAWS | {"rand_like", "randn_like", "randint_like"}) or name in DRAWS_IN_PLACE
        ):  # fmt: skip
            faults.append(f"{base}.{name} draws without generator=")
        if base in {"", "builtins"} and (
            name == "hasattr" or (name == "getattr" and isinstance(node.args[1], ast.Constant))
        ):
            faults.append(f"{ast.unparse(node)}: what a part may have is a Protocol, asked for by isinstance")
        if part == "samplers" and name in {"item", "tolist", "cpu", "numpy"} and base:
            faults.append(f"{base}.{name}() copies to the host inside a sampler")
    return faults


def other_faults(tree: ast.Module, path: Path, text: str) -> list[str]:
    part, faults = part_of(path), []
    private = re.compile(r"torch(\.\w+)*?\._(?!_)\w+")
    named = {found.group() for name in (*imports(tree, path), *attributes(tree)) if (found := private.match(name))}
    faults += [f"{name} is private to torch" for name in sorted(named)]
    faults += [f"{name} is a pickle" for name in imports(tree, path) if name.split(".")[0] in PICKLES]
    # OpenMP reads its settings once, when torch is loaded: the package's own file may set one that nobody has set.
    written = {"os.environ.setdefault", "os.environ"} if path == PACKAGE / "__init__.py" else set()
    if part != "runtime" and any(name.startswith("os.environ") and name not in written for name in attributes(tree)):
        faults.append("only runtime reads the environment")
    if part != "runtime" and any(base == "os" and name == "getenv" for base, name, _ in calls(tree)):
        faults.append("only runtime reads the environment")
    faults += [f"a path or address of one machine: {m.group()}" for m in re.finditer(FORBIDDEN_WORDS, text)]
    if len(text.splitlines()) > 250:
        faults.append(f"{len(text.splitlines())} lines: the limit is 250, the aim 150")
    return faults


def attributes(tree: ast.AST) -> Iterator[str]:
    return (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def docstring_faults(tree: ast.Module) -> list[str]:
    """Modules, public functions, public classes and their public methods say what they do."""
    faults = [] if ast.get_docstring(tree) else ["the module has no docstring"]
    owners: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree)]
    owners += [(node.name + ".", node) for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    for prefix, owner in owners:
        for node in owner.body:
            if isinstance(node, Definition) and not node.name.startswith("_") and not ast.get_docstring(node):
                faults += [] if prefix and node.name in SAID_ONCE else [f"{prefix}{node.name} has no docstring"]
    return faults


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_source_keeps_the_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    faults = docstring_faults(tree) + other_faults(tree, path, text)
    if path.name == "__init__.py":
        faults += init_faults(tree, path)
    else:
        assert "from __future__ import annotations" in text
        assert part_of(path) in LAYER, f"{part_of(path)} is in no layer: {LAYERS}"
        faults += dependency_faults(tree, path) + call_faults(tree, path)
    assert not faults, "\n".join(faults)


def test_no_module_imports_itself_by_a_detour() -> None:
    sources = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
        for path in SOURCES
        if path.name != "__init__.py"
    }
    assert circles(import_graph(sources)) == []


def test_a_circle_is_seen_where_an_import_is_for_type_checking_only() -> None:
    texts = {
        "ebm_course.a": "from ebm_course.b import f",
        "ebm_course.b": "from ebm_course import c",
        "ebm_course.c": "if TYPE_CHECKING:\n    from ebm_course.a import g",
        "ebm_course.d": "from ebm_course.a import f",
    }
    found = circles(import_graph({name: ast.parse(text) for name, text in texts.items()}))
    assert found == ["ebm_course.a", "ebm_course.b", "ebm_course.c"]


def test_the_package_holds_no_pickle() -> None:
    kinds = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}
    assert [p.name for p in PACKAGE.rglob("*") if p.suffix in kinds] == []


@pytest.mark.parametrize(
    "place, line",
    [
        ("samplers/a.py", "from ebm_course.energies.potts import Potts"),
        ("samplers/a.py", "from ..objectives import nce"),
        ("samplers/a.py", "def f():\n    import ebm_course.recipes.likelihood.potts"),
        ("core.py", "from ebm_course import training"),
        ("energies/a.py", "from ebm_course.results.ledger import read"),
        ("results/a.py", "from ebm_course.commands.choices import preset"),
        ("results/a.py", "from ebm_course.recipes.shared import Fitted"),
        ("recipes/a.py", "from ebm_course.experiments.variants import Variant"),
        ("experiments/a.py", "from ebm_course.recipes.sequences.adversarial import fit"),
        ("experiments/a.py", "from ebm_course.experiments.speed.config import Config"),
        ("experiments/speed/a.py", "from ebm_course.experiments.sequences.config import Config"),
        ("experiments/speed/a.py", "if TYPE_CHECKING:\n    from ebm_course.experiments.likelihood import config"),
        ("experiments/a.py", "from ebm_course.recipes import plain"),  # a recipe may be a file
        ("experiments/a.py", "from ebm_course.recipes.plain import fit"),
        ("experiments/a.py", "from ebm_course import recipes"),
        ("experiments/a.py", "from .. import recipes"),
        ("experiments/a.py", "import ebm_course.experiments"),
        ("experiments/a.py", "from ebm_course import experiments"),
        ("experiments/speed/a.py", "from ebm_course import recipes"),
        ("experiments/speed/a.py", "from ebm_course import experiments"),
        ("experiments/a.py", "importlib.import_module('ebm_course.recipes.sequences.adversarial')"),
        ("experiments/a.py", "importlib.import_module(f'ebm_course.recipes.{name}')"),
        ("experiments/a.py", "importlib.import_module('ebm_course.recipes.' + name)"),
        ("experiments/a.py", "import_module(f'ebm_course.experiments.{name}.experiment')"),
        ("experiments/a.py", "import_module(name='ebm_course.commands.choices')"),
        ("experiments/a.py", "importlib.import_module('..recipes.plain', __package__)"),
        ("experiments/a.py", "importlib.import_module('.speed.config', package='ebm_course.experiments')"),
        ("experiments/a.py", "importlib.import_module(f'ebm_course.{part}')"),
        ("experiments/a.py", "__import__(name)"),
        ("experiments/speed/a.py", "importlib.import_module('ebm_course.experiments.sequences.config')"),
        ("samplers/a.py", "importlib.import_module(f'ebm_course.energies.{name}')"),
        ("core.py", "importlib.import_module('ebm_course.training.fit')"),
        ("figures/a.py", "import torch"),
        ("figures/a.py", "from torch import Tensor"),
    ],
)
def test_a_forbidden_import_is_seen(place: str, line: str) -> None:
    assert len(dependency_faults(ast.parse(line), PACKAGE / place)) == 1


@pytest.mark.parametrize(
    "place, line",
    [
        ("samplers/a.py", "from ebm_course.core import frozen"),
        ("samplers/a.py", "from .proposals import f"),
        ("recipes/a.py", "from ebm_course.training.fit import fit\nfrom ebm_course.recipes.b import g"),
        ("files.py", "from ebm_course.runtime import data_folder"),
        ("__main__.py", "from ebm_course import files, recipes, results"),
        ("recipes/a.py", "from ebm_course.results.findings import Claim"),
        ("experiments/a.py", "from ebm_course.recipes.shared import Fit"),
        ("experiments/speed/a.py", "from ebm_course.experiments.stages import Stage"),
        ("experiments/speed/a.py", "from ebm_course.experiments.speed.config import Config"),
        ("experiments/a.py", "from ebm_course.recipes import shared\nfrom ebm_course.experiments import stages"),
        ("experiments/a.py", "importlib.import_module('ebm_course.recipes.shared')\nimport_module('accelerate')"),
        ("experiments/speed/a.py", "from ebm_course.recipes import likelihood"),
        ("commands/a.py", "importlib.import_module(f'ebm_course.recipes.{name}')"),
        ("commands/a.py", "importlib.import_module(f'ebm_course.experiments.{name}.experiment')"),
        ("objectives/a.py", "import torch"),
    ],
)
def test_a_permitted_import_is_not_a_fault(place: str, line: str) -> None:
    assert dependency_faults(ast.parse(line), PACKAGE / place) == []


@pytest.mark.parametrize(
    "place, line, n",
    [
        ("samplers/a.py", "e.max().item()", 1),
        ("samplers/a.py", "x.cpu()", 1),
        ("samplers/a.py", "torch.randn(3)", 1),
        ("samplers/a.py", "torch.randn(3, generator=g)", 0),
        ("samplers/a.py", "torch.randn_like(x)", 1),
        ("samplers/a.py", "x.exponential_()", 1),
        ("samplers/a.py", "torch.empty(3).exponential_(generator=g)", 0),
        ("energies/a.py", "torch.randn(3)", 0),
        ("tasks/a.py", "x.squeeze()", 1),
        ("tasks/a.py", "x.squeeze(-1)", 0),
        ("tasks/a.py", "torch.squeeze(x)", 0),
        ("tasks/a.py", "torch.load('a', weights_only=True)", 1),
        ("tasks/a.py", "np.load('a', allow_pickle=True)", 1),
        ("tasks/a.py", "torch.manual_seed(0)", 1),
        ("tasks/a.py", "torch.Generator().manual_seed(0)", 0),
        ("runtime.py", "torch.manual_seed(0)", 0),
        ("metrics/a.py", "e.item()", 0),
        ("core.py", "hasattr(energy, 'embed')", 1),
        ("core.py", "import builtins\nbuiltins.hasattr(energy, 'embed')", 1),
        ("core.py", "builtins.getattr(energy, 'embed', None)", 1),
        ("commands/a.py", "getattr(energy, 'n_values', None)", 1),
        ("commands/a.py", "getattr(config, name)", 0),
    ],
)
def test_a_forbidden_call_is_seen(place: str, line: str, n: int) -> None:
    assert len(call_faults(ast.parse(line), PACKAGE / place)) == n


@pytest.mark.parametrize(
    "line, n",
    [
        ("import pickle", 1),
        ("from torch.utils._pytree import tree_leaves", 1),
        ("import torch._dynamo", 1),
        ("import torch\ntorch._C._set_grad_enabled(False)", 1),
        ("import torch\nf = torch.nn.functional._verify_batch_size", 1),
        ("import torch\ntorch.__version__", 0),
        ("from joblib import dump", 1),
        ("import os\nos.environ['A']", 1),
        ("import os\nos.getenv('A')", 1),
        ("path = '/home/me/data'", 1),
        ("path = '/work/x'", 1),
        ("x = 1\n" * 251, 1),
        ("x = 'homework/rest'", 0),
    ],
)
def test_a_forbidden_word_is_seen(line: str, n: int) -> None:
    assert len(other_faults(ast.parse(line), PACKAGE / "tasks" / "a.py", line)) == n


@pytest.mark.parametrize(
    "place, text, n",
    [
        ("__init__.py", "'The package.'\n__version__ = '1'", 0),
        ("__init__.py", "'The package.'\nimport torch", 0),
        ("__init__.py", "'The package.'\nfrom ebm_course.core import Energy", 1),
        ("__init__.py", "'The package.'\nfrom . import core", 1),
        ("__init__.py", "'The package.'\nimport ebm_course.recipes.shared", 1),
        ("__init__.py", "'The package.'\ndef f():\n    importlib.import_module('ebm_course.core')", 1),
        ("energies/__init__.py", "'Energies.'", 0),
        ("energies/__init__.py", "'Energies.'\nfrom ebm_course.energies.potts import Potts", 1),
    ],
)
def test_a_part_that_is_imported_by_its_folder_is_seen(place: str, text: str, n: int) -> None:
    assert len(init_faults(ast.parse(text), PACKAGE / place)) == n


def test_a_missing_docstring_is_seen() -> None:
    source = "def f(): pass\ndef _g(): pass\nclass C:\n    def forward(self): pass\n    def h(self): pass\n"
    expected = ["the module has no docstring", "f has no docstring", "C has no docstring", "C.h has no docstring"]
    assert docstring_faults(ast.parse(source)) == expected
