"""The rules of the house, checked on the source text: arrows between rooms, doors, sizes, docstrings."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import get_args

import pytest

from conf.effective import leaf_values
from conf.groups import group_choices
from conf.keys import all_knobs
from conf.load import compose_tree
from conf.machine import ModelConfig
from conf.reward_terms import RewardsConfig
from conf.schema import RunConfig
from learner.algorithms import ALGORITHMS
from rewards.terms import TERMS
from rollout.datasets import DATASETS
from rollout.families import FAMILIES

ROOT = Path(__file__).parents[1]
ORDER = {
    "conf": set[str](),
    "judge_client": {"conf"},
    "rollout": {"conf"},
    "rewards": {"conf", "judge_client", "rollout"},
    "evaluation": {"conf", "judge_client", "rollout", "rewards"},
    "learner": {"conf", "judge_client", "rollout", "rewards"},
    "cluster": {"conf", "judge_client", "rollout", "rewards", "evaluation", "learner"},
}
"""Which rooms a room may import."""
DOORS = {
    "ray": ("cluster/",),
    "vllm": ("rollout/engine.py", "rollout/engine_prompts.py", "rollout/weights/vllm_"),
    "deepspeed": ("learner/engine.py",),
    "hydra": ("conf/load.py",),
    "omegaconf": ("conf/load.py",),
    "openai": ("judge_client/endpoint.py",),
    "httpx": ("judge_client/endpoint.py",),
    "uvicorn": ("judge_client/rule_server.py", "rewards/server.py"),
    "starlette": ("judge_client/rule_server.py",),
    "fastapi": ("rewards/server.py", "rewards/checklist/server.py"),
    "aiohttp": ("rewards/terms/remote.py",),
    "av": ("rollout/videos.py", "rollout/datasets/clips.py"),
    "pyarrow": ("rollout/datasets/pair_files.py",),
    "matplotlib": ("cluster/plot.py", "cluster/scatter.py", "cluster/health_page.py", "cluster/bench/"),
    "tensorboardX": ("cluster/journal.py",),
    "rich": ("cluster/",),
    "scipy": ("rollout/datasets/distortions.py", "rollout/datasets/clips.py", "rewards/", "evaluation/"),
    "torch": ("learner/", "rollout/families/", "rollout/engine_prompts.py", "rollout/weights/"),
    "transformers": ("learner/", "rollout/families/"),
    "peft": ("learner/trainable.py",),
    "tokenizers": ("rollout/families/",),
    "qwen_vl_utils": ("rollout/families/",),
}
"""The only places that import these packages."""
LIGHT = ("learner/advantage.py", "learner/batching.py", "learner/credit.py", "learner/types.py")
"""Modules behind the door of torch that stay outside it."""
MODULES = sorted(path for room in ORDER for path in (ROOT / room).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """The path as a message shows it."""
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Every imported module with its line, and whether the import is relative."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.lineno, node.level > 0


def functions(path: Path) -> Iterator[Function]:
    """Every function and method of a file."""
    yield from (node for node in ast.walk(parsed(path)) if isinstance(node, Function))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a plain name."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node


def length(node: Function) -> int:
    """Lines of a function, decorators left out."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def each_module(modules: list[Path]) -> pytest.MarkDecorator:
    """Parametrise over files."""
    return pytest.mark.parametrize("path", modules, ids=name_of)


def test_every_room_is_checked() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests"} == set(ORDER)


@each_module(MODULES)
def test_a_room_imports_only_the_rooms_before_it(path: Path) -> None:
    room = name_of(path).partition("/")[0]
    for module, line, is_relative in imports(path):
        assert not is_relative, f"{name_of(path)}:{line}: import by full name"
        top = module.partition(".")[0]
        if top in ORDER and top != room:
            assert top in ORDER[room], f"{name_of(path)}:{line}: {room} may not import {top}"


@each_module(MODULES)
def test_a_package_with_a_door_is_imported_through_it_only(path: Path) -> None:
    for module, line, _ in imports(path):
        top = module.partition(".")[0]
        is_inside = name_of(path).startswith(DOORS.get(top, "")) and not (top == "torch" and name_of(path) in LIGHT)
        assert is_inside, f"{name_of(path)}:{line}: only {DOORS.get(top)} import {top}"


@each_module([*MODULES, *TESTS])
def test_a_file_fits_in_the_head(path: Path) -> None:
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines <= 400, f"{name_of(path)}: {num_lines} lines, split it"


@each_module([*MODULES, *TESTS])
def test_a_function_fits_on_a_screen(path: Path) -> None:
    long = [f"{name_of(path)}:{node.lineno} {node.name}" for node in functions(path) if length(node) >= 60]
    assert not long


def test_most_functions_are_short() -> None:
    assert median(length(node) for path in MODULES for node in functions(path)) <= 12


@each_module(MODULES)
def test_a_function_takes_at_most_eight_parameters(path: Path) -> None:
    for node in functions(path):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
        assert len(names) <= 8, f"{name_of(path)}:{node.lineno} {node.name} takes {len(names)}"


@each_module(MODULES)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    is_plug_in_folder = path.name == "__init__.py" and len(path.relative_to(ROOT).parts) > 2
    if not (is_plug_in_folder and not path.read_text(encoding="utf-8").strip()):
        assert ast.get_docstring(parsed(path)), f"{name_of(path)}: the first line must say what this is for"


@each_module([*MODULES, *TESTS])
def test_everything_is_typed(path: Path) -> None:
    for node in functions(path):
        assert node.returns is not None, f"{name_of(path)}:{node.lineno} {node.name} has no return type"


@each_module(MODULES)
def test_nothing_prints_and_nothing_guesses_attributes(path: Path) -> None:
    for name, call in calls(path):
        assert name not in ("print", "getattr", "setattr", "eval", "exec"), f"{name_of(path)}:{call.lineno}: {name}"


@each_module(MODULES)
def test_a_broad_except_says_why(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler) and broad(node.type):
            around = lines[max(node.lineno - 2, 0) : node.lineno + 1]
            assert any("#" in line for line in around), f"{name_of(path)}:{node.lineno}: say why in a comment"


def broad(kind: ast.expr | None) -> bool:
    """Whether an except clause catches everything."""
    return kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException"))


@each_module(MODULES)
def test_packages_are_quiet_at_import(path: Path) -> None:
    loud = [node for node in parsed(path).body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    assert not loud, f"{name_of(path)}:{loud[0].lineno}: a call at import"


TOOLS = ("benchmark", "rank", "critiques", "score", "checklist", "plan")
"""Sections that training does not read."""


def test_all_choices_together_have_at_most_200_knobs_and_the_tools_40() -> None:
    keys = {knob.key for knob in all_knobs()}
    of_tools = {key for key in keys if key.partition(".")[0] in TOOLS}
    assert len(keys - of_tools) <= 200
    assert len(of_tools) <= 40


@pytest.mark.parametrize("recipe", group_choices()["recipe"])
def test_a_run_has_at_most_150_knobs(recipe: str) -> None:
    tree = {section: part for section, part in compose_tree([f"recipe={recipe}"]).items() if section not in TOOLS}
    assert len(leaf_values(tree)) <= 150


def test_no_configuration_value_has_a_python_default() -> None:
    for path in (ROOT / "conf").glob("*.py"):
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith(("Config", "Section")):
                defaults = [item for item in node.body if isinstance(item, ast.AnnAssign) and has_default(item)]
                assert not defaults, f"{name_of(path)}:{node.lineno} {node.name}: values live in the YAML files"


def has_default(field: ast.AnnAssign) -> bool:
    """Whether a field of a section has a value of its own; ``Field(...)`` with bounds is none."""
    if field.value is None:
        return False
    if not isinstance(field.value, ast.Call):
        return True
    return bool(field.value.args) or any(k.arg in ("default", "default_factory") for k in field.value.keywords)


def kinds(section: str) -> set[str]:
    """The ``kind`` of every choice of a section's union, or of its only member."""
    annotation = RunConfig.model_fields[section].annotation
    members = get_args(annotation) or (annotation,)
    return {get_args(member.model_fields["kind"].annotation)[0] for member in members}


@pytest.mark.parametrize("section", ["data", "algorithm"])
def test_every_choice_of_the_schema_has_a_file_and_every_file_a_choice(section: str) -> None:
    assert set(group_choices()[section]) == kinds(section)


def test_schema_and_dictionaries_name_the_same_plug_ins() -> None:
    terms = get_args(get_args(RewardsConfig.model_fields["terms"].annotation)[1])[0]
    term_kinds = {get_args(member.model_fields["kind"].annotation)[0] for member in get_args(terms)}
    assert set(TERMS) == term_kinds
    assert set(DATASETS) == kinds("data")
    assert set(ALGORITHMS) == kinds("algorithm")
    assert set(FAMILIES) == set(get_args(ModelConfig.model_fields["family"].annotation))


def test_every_reward_term_is_used_by_a_shipped_choice() -> None:
    trees = [compose_tree([f"rewards={name}"])["rewards"] for name in group_choices()["rewards"]]
    shipped = [RewardsConfig.model_validate_json(json.dumps(tree)) for tree in trees]
    assert {term.kind for rewards in shipped for term in rewards.terms.values()} == set(TERMS)


def test_every_group_is_a_section_of_the_schema() -> None:
    assert set(group_choices()) - {"recipe"} <= set(RunConfig.model_fields)


def test_every_package_is_listed_by_name() -> None:
    listed = set(
        re.findall(r'^    "([a-z_.]+)",$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    )
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in MODULES}
    assert packages <= listed, f"add {sorted(packages - listed)} to tool.setuptools.packages"


HEAVY = ("torch", "vllm", "deepspeed", "ray", "transformers", "hydra")


@pytest.mark.parametrize(
    "module",
    [
        "conf.cli", "conf.schema", "conf.effective", "rollout.types", "rollout.prompts", "rollout.families.folders",
        "rewards.scorer",
        "learner.advantage", "learner.batching", "cluster.loop", "cluster.topology", "cluster.planning.measured",
        "cluster.main",
    ],
)  # fmt: skip
def test_importing_stays_light(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded == "[]\n"
