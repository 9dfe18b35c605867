"""Prompt texts of the user's, as far as a configuration and its checks go."""

from pathlib import Path

import pytest

from cluster.preflight import check_rewards
from conf.errors import ConfigError
from conf.load import load_run_config
from conf.schema import RunConfig


def configured(tmp_path: Path, text: str, *overrides: str) -> RunConfig:
    (tmp_path / "mine.txt").write_text(text)
    return load_run_config([f"data.prompt={tmp_path / 'mine.txt'}", *overrides])


def test_an_unknown_wording_is_refused_with_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError) as caught:
        load_run_config(["data.prompt=visualquality"])
    (line,) = caught.value.problems
    assert line.startswith("data.prompt: 'visualquality' is no wording; did you mean visualquality_r1?")
    assert "refine_iqa_published" in line
    assert line.endswith("or a text file of your own, whose name ends in .txt")


def test_a_text_that_wants_thinking_earns_a_format_reward_that_wants_it(tmp_path: Path) -> None:
    check_rewards(configured(tmp_path, "In <think>, then in <answer>."))


def test_a_format_reward_that_a_text_never_earns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"wants a think block, but data\.prompt=.*mine\.txt asks for the answer alone"
    ):
        check_rewards(configured(tmp_path, "In <answer>."))
    check_rewards(configured(tmp_path, "In <answer>.", "rewards.terms.format.mode=answer"))


def test_a_format_reward_that_refuses_the_block_a_text_asks_for_is_refused(tmp_path: Path) -> None:
    thinking = configured(tmp_path, "In <think>, then in <answer>.", "rewards.terms.format.mode=answer")
    with pytest.raises(ConfigError, match="mode=answer refuses the think block"):
        check_rewards(thinking)


def test_a_text_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.txt: cannot be read"):
        check_rewards(load_run_config([f"data.prompt={tmp_path / 'gone.txt'}"]))
