"""Commands and options that the pages show are understood as they stand."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.checklist import SERVER, TOOLS, checklist_config
from cluster.planning.configured import layout_of, scenario_of
from cluster.score import scoring_config
from conf.errors import ConfigError
from conf.groups import group_choices
from conf.load import load_run_config

DOCS = Path(__file__).parents[2] / "docs"
OF_A_USER = {
    "data.image_folder": "pictures", "data.train_labels": "train.jsonl", "data.test_labels": "test.jsonl",
    "model.path": "sft", "loop.num_steps": "10", "cold_start.file": "traces.jsonl",
    "judge.base_urls": "[http://judge:8000/v1]",
}  # fmt: skip
"""What only the user of a recipe knows."""


def commands(page: str, *, starts: str) -> Iterator[list[str]]:
    """Words of the shell commands on a page, continued lines joined, dots left out."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = [word for word in shlex.split(line, comments=True) if word != "..."]
            if " ".join(words).startswith(starts):
                yield words[2:]


@pytest.mark.parametrize(
    "words", [*commands("scoring.md", starts="arbiter score"), *commands("scoring.md", starts="arbiter compare")]
)
def test_documented_scoring_is_a_valid_configuration(words: list[str]) -> None:
    config, options = scoring_config([word for word in words if "=" in word])
    assert options.num_samples == 1
    # A published checkpoint, or a server, is not shown thumbnails.
    if "runs/" not in " ".join(words):
        assert config.model.max_pixels == 1_003_520


@pytest.mark.parametrize("words", [*commands("checklists.md", starts="arbiter checklist")])
def test_documented_checklist_commands_are_valid_configurations(words: list[str]) -> None:
    assert words[0] in (*TOOLS, SERVER)
    _, options = checklist_config([word for word in words if "=" in word])
    assert options.scale == "share"


@pytest.mark.parametrize("words", [*commands("planning.md", starts="arbiter plan")])
def test_documented_plans_are_valid_configurations(words: list[str]) -> None:
    config = load_run_config([word for word in words if "=" in word])
    assert scenario_of(config, num_cores=2).stages(layout_of(config)).total > 0


def released_options() -> list[str]:
    """What stands in the last column of the table of differences, where it is an option."""
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    table = text.partition("## Where the released code differs")[2].partition("## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("|")]
    return [" ".join(found) for row in rows if (found := re.findall(r"`([^`]*)`", row[3]))]


def composes(recipe: str, overrides: list[str]) -> bool:
    given = {override.partition("=")[0] for override in overrides}
    own = [f"{key}={value}" for key, value in OF_A_USER.items() if key not in given]
    try:
        load_run_config([f"recipe={recipe}", *(one for one in own if wanted(recipe, one)), *overrides])
    except ConfigError:
        return False
    return True


def wanted(recipe: str, own: str) -> bool:
    """Whether a recipe leaves a value to its user."""
    try:
        load_run_config([f"recipe={recipe}"])
    except ConfigError as error:
        return any(problem.startswith(f"{own.partition('=')[0]}:") for problem in error.problems)
    return False


@pytest.mark.parametrize("options", released_options())
def test_every_released_behaviour_is_an_option_of_a_published_recipe(options: str) -> None:
    published = [name for name in group_choices()["recipe"] if not name.startswith(("demo", "smoke"))]
    assert any(composes(recipe, shlex.split(options)) for recipe in published), options


def test_the_published_cold_start_is_documented_whole() -> None:
    (words,) = commands("cold-start.md", starts="arbiter train")
    assert load_run_config(words).cold_start.num_steps == 47
