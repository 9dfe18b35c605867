"""The command line: commands, overrides, switches, and Hydra's own answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conf.cli import DATA_TOOLS, parse_command_line, usage, without_command
from conf.errors import ConfigError
from conf.explain import describe, listing
from conf.groups import group_choices
from conf.keys import all_knobs
from conf.load import show_with_hydra

ROOT = Path(__file__).parents[2]


def test_train_is_meant_when_no_command_is_given() -> None:
    line = parse_command_line(["recipe=demo", "loop.num_steps=3"])
    assert line.command == "train"
    assert line.overrides == ("recipe=demo", "loop.num_steps=3")


def test_a_command_may_stand_after_overrides() -> None:
    line = parse_command_line(["run.seed=1", "explain", "loop.max_lag"])
    assert (line.command, line.words, line.overrides) == ("explain", ("loop.max_lag",), ("run.seed=1",))


def test_deletions_and_additions_are_overrides() -> None:
    line = parse_command_line(["train", "~rewards.terms.format", "+rewards.terms.o={kind: opinion}"])
    assert len(line.overrides) == 2


@pytest.mark.parametrize("switch", ["--multirun", "-m"])
def test_multirun_is_recognised_in_both_spellings(switch: str) -> None:
    assert parse_command_line([switch, "run.seed=0,1"]).is_multirun


@pytest.mark.parametrize(
    ("arguments", "switches"),
    [
        (["--cfg", "job"], ("--cfg", "job")),
        (["-c", "job", "-p", "loop"], ("-c", "job", "-p", "loop")),
        (["--cfg=job", "--resolve"], ("--cfg=job", "--resolve")),
        (["--info", "defaults"], ("--info", "defaults")),
        (["-sc", "install=bash"], ("-sc", "install=bash")),
    ],
)
def test_switches_of_hydra_are_passed_on(arguments: list[str], switches: tuple[str, ...]) -> None:
    line = parse_command_line(["train", *arguments, "run.seed=1"])
    assert line.hydra_switches == switches
    assert line.overrides == ("run.seed=1",)


def test_an_address_goes_with_submit() -> None:
    assert parse_command_line(["submit", "--address", "http://h:8265"]).address == "http://h:8265"


def test_patience_goes_with_keep_running() -> None:
    line = parse_command_line(["keep-running", "--attempts", "3", "recipe=demo", "--hang-after=60", "--start-within=9"])
    assert (line.command, line.overrides) == ("keep-running", ("recipe=demo",))
    assert (line.attempts, line.hang_after, line.start_within) == ("3", "60", "9")


def test_a_dry_run_is_of_a_training_run() -> None:
    assert parse_command_line(["recipe=demo", "--dry-run"]).is_dry_run
    assert not parse_command_line(["recipe=demo"]).is_dry_run


@pytest.mark.parametrize("tool", [*DATA_TOOLS, "--help", "-h"])
def test_a_tool_of_data_gets_its_arguments_as_they_are(tool: str) -> None:
    line = parse_command_line(["data", tool, "in.txt", "--from", "kadid", "--images", "A=b", "--help"])
    assert (line.command, line.overrides, line.wants_help) == ("data", (), False)
    assert line.words == (tool, "in.txt", "--from", "kadid", "--images", "A=b", "--help")


@pytest.mark.parametrize("words", [["data"], ["data", "show"]])
def test_data_without_a_tool_takes_a_configuration(words: list[str]) -> None:
    line = parse_command_line([*words, "data=photo_pairs"])
    assert (line.command, line.words, line.overrides) == ("data", (), ("data=photo_pairs",))


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["trian", "recipe=demo"], "trian: neither a command nor KEY=VALUE; did you mean train?"),
        (["train", "demo"], "demo: train takes KEY=VALUE and GROUP=CHOICE only"),
        (["--multrun"], "--multrun: unknown switch; did you mean --multirun?"),
        (["--cfg"], "--cfg: needs a value"),
        (["submit", "--address"], "--address: needs a value"),
        (["--address", "http://h:8265"], "--address: belongs to the command submit, got train"),
        (["train", "--attempts", "3"], "--attempts: belongs to the command keep-running, got train"),
        (["keep-running", "--dry-run"], "--dry-run: belongs to the command train, got keep-running"),
        (["explain", "--dry-run"], "--dry-run: belongs to the command train, got explain"),
        (["data", "splitt"], "splitt: data takes KEY=VALUE and GROUP=CHOICE only; did you mean split?"),
    ],
)
def test_a_mistake_is_one_readable_line(arguments: list[str], answer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_command_line(arguments)
    assert caught.value.problems == (answer,)


def test_the_usage_names_every_group_and_choice() -> None:
    text = usage()
    assert all(word in text for name, choices in group_choices().items() for word in (name, *choices))


def test_the_usage_fits_a_terminal() -> None:
    assert max(len(line) for line in usage().splitlines()) <= 110


def test_every_knob_has_a_meaning() -> None:
    silent = [knob.key for knob in all_knobs() if not knob.meaning and not knob.key.endswith(".kind")]
    assert not silent


def test_a_knob_is_explained_with_value_type_and_meaning() -> None:
    assert describe("loop.max_lag").splitlines() == [
        "  loop.max_lag = 0  (integer >= 0 and <= 8)",
        "      Steps generation may run ahead of learning; 0 is strictly on-policy.",
    ]


def test_a_section_is_explained_with_its_choices() -> None:
    assert "choices: model=qwen2_5_vl_3b, qwen2_5_vl_7b, small, tiny" in describe("model")


def test_explaining_an_unknown_key_suggests_one() -> None:
    with pytest.raises(ConfigError, match=r"loop\.lag: unknown key; did you mean loop\.max_lag\?"):
        describe("loop.lag")


def test_the_listing_holds_every_knob() -> None:
    text = listing()
    assert all(knob.key.split(".")[-1] in text for knob in all_knobs())


def test_the_composed_configuration_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    show_with_hydra(["--cfg", "job", "--package", "loop"], ["recipe=smoke"])
    assert "num_steps: 2" in capsys.readouterr().out


def test_a_wrong_key_is_readable_beside_hydras_switches() -> None:
    with pytest.raises(ConfigError, match=r"loop\.num_step: unknown key"):
        show_with_hydra(["--cfg", "job"], ["loop.num_step=2"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("arbiter train recipe=d", "arbiter recipe=d"),
        ("arbiter recipe=d", "arbiter recipe=d"),
        ("arbiter keep-running recipe=d", "arbiter recipe=d"),
        (".venv/bin/arbiter submit ", ".venv/bin/arbiter "),
        ("arbiter tra", "arbiter tra"),
    ],
)
def test_the_command_is_taken_out_of_a_line_to_complete(line: str, expected: str) -> None:
    assert without_command(line) == expected


def test_a_shell_completes_choices() -> None:
    code = "from conf.load import show_with_hydra; show_with_hydra(['-sc', 'query=bash'], [])"
    environment = {**os.environ, "COMP_LINE": "arbiter train recipe=d", "COMP_POINT": "22"}
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == [
        f"recipe=demo{name}" for name in ("", "_checklist", "_pairs", "_refine_stage1", "_refine_stage2", "_videos")
    ]
