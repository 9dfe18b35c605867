"""Reward functions of the user's: what may be given, and what they may return."""

import asyncio
import textwrap
from pathlib import Path

import pytest
from pydantic import ValidationError

from conf.load import load_run_config
from conf.reward_terms import CustomTermConfig, RemoteTermConfig, RewardsConfig
from rewards.scorer import build_scorer
from rewards.server import reward_app
from rewards.terms.custom import CustomTerm
from rewards.terms.remote import RemoteTerm
from rewards.types import Score
from rewards.wire import message_of
from tests.builders import make_choice, make_group, make_pair_prompt
from tests.rewards.judges import RuleJudge
from tests.rewards.serving import serving

EXAMPLE = Path(__file__).parents[2] / "docs/examples/custom_reward.py"
GROUP = make_group([make_choice(1), make_choice(2), make_choice(2), "?"], prompt=make_pair_prompt())


def term(path: str) -> CustomTerm:
    return CustomTerm(CustomTermConfig(kind="custom", weight=1.0, path=path))


def score(folder: Path, body: str, *, head: str = "def reward(group):") -> list[float | None]:
    file = folder / "mine.py"
    file.write_text(f"import math\n{head}\n    {body}\n", encoding="utf-8")
    return asyncio.run(term(f"{file}:reward").score([GROUP]))[0]


def test_the_example_of_the_documentation() -> None:
    assert asyncio.run(term(f"{EXAMPLE}:agreement").score([GROUP])) == [[0.25, 0.5, 0.5, 0.0]]


def test_a_function_may_abstain(tmp_path: Path) -> None:
    assert score(tmp_path, "return [1, 0.5, None, True]") == [1.0, 0.5, None, 1.0]


def test_a_function_may_have_optional_arguments(tmp_path: Path) -> None:
    assert score(tmp_path, "return [scale] * 4", head="def reward(group, scale=2.0):") == [2.0] * 4


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("return [1.0, 2.0]", r"\[1\.0, 2\.0\]"),
        ("return [math.nan] * 4", r"\[nan, nan, nan, nan\]"),
        ("return [math.inf, 0, 0, 0]", r"\[inf, 0, 0, 0\]"),
        ("return ['1', 0, 0, 0]", r"\['1', 0, 0, 0\]"),
        ("return 1.0", r"1\.0"),
        ("return 'four'", "'four'"),
        ("pass", "None"),
    ],
)
def test_a_broken_promise_names_file_function_and_prompt(tmp_path: Path, body: str, shown: str) -> None:
    with pytest.raises(
        ValueError, match=rf"mine\.py:reward returned {shown} for prompt 'pair-0/2'; expected a list of 4"
    ):
        score(tmp_path, body)


def test_an_error_inside_the_function_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="no such thing"):
        score(tmp_path, "raise KeyError('no such thing')")


@pytest.mark.parametrize("head", ["def reward():", "def reward(prompts, completions):", "def reward(*, group):"])
def test_a_function_must_take_a_group(tmp_path: Path, head: str) -> None:
    with pytest.raises(ValueError, match="must take the rollout group as its only argument"):
        score(tmp_path, "return []", head=head)


def test_a_coroutine_function_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a plain one"):
        score(tmp_path, "return []", head="async def reward(group):")


def test_a_missing_function_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"has no function agree; its functions: agreement, parse_group"):
        term(f"{EXAMPLE}:agree")


def test_a_missing_file_is_named_in_full(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"there is no file {tmp_path / 'none.py'}"):
        term(f"{tmp_path / 'none.py'}:reward")


def test_a_path_without_a_function_is_no_setting() -> None:
    with pytest.raises(ValidationError, match="path"):
        term("mine.py")


def test_two_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    for folder, value in (("a", 1.0), ("b", 2.0)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "r.py").write_text(f"def reward(group):\n    return [{value}] * 4\n", encoding="utf-8")
    first, second = term(f"{tmp_path / 'a/r.py'}:reward"), term(f"{tmp_path / 'b/r.py'}:reward")
    assert [asyncio.run(t.score([GROUP]))[0][0] for t in (first, second)] == [1.0, 2.0]


PUBLISHED = """
    from rewards.tags import parse_group
    def reward(group):
        better, rewards = group.prompt.preference.better, []
        for completion, answer in zip(group.completions, parse_group(group)):
            text = completion.text
            well_formed = text.startswith("<think>") and text.endswith("</answer>")
            right = answer.choice == better
            consistent = 1 if f"Response {answer.choice} is better" in text else -1
            rewards.append(0.5 * well_formed + right * (1 + 0.5 * consistent))
        return rewards
"""
"""The rewards of R1-Reward, written down once more as a function."""
ANSWERS = make_group(
    [make_choice(2), make_choice(2, favoured=1), make_choice(1), make_choice(1, favoured=2), "no idea", make_choice(2)],
    prompt=make_pair_prompt(better=2),
)
EARNED = [2.0, 1.0, 0.5, 0.5, 0.0, 2.0]


def rewards_of(config: RewardsConfig) -> list[float | None]:
    scorer = build_scorer(config, scale=None, judge=RuleJudge())
    return [reward.total for reward in asyncio.run(scorer.score([ANSWERS]))[0].rewards]


def served_rewards_of(config: RewardsConfig) -> list[Score]:
    """The same answers, graded behind the reward protocol."""

    async def score(url: str) -> list[Score]:
        endpoint = RemoteTerm(RemoteTermConfig(kind="remote", weight=1.0, url=url, timeout_s=20.0))
        try:
            return (await endpoint.score([ANSWERS]))[0]
        finally:
            await endpoint.close()

    scorer = build_scorer(config, scale=None, judge=RuleJudge())
    with serving(reward_app(scorer, prompts={message_of(ANSWERS.prompt): ANSWERS.prompt})) as base:
        return asyncio.run(score(f"{base}/get_reward"))


@pytest.fixture
def own(tmp_path: Path) -> RewardsConfig:
    """The function, and nothing else."""
    file = tmp_path / "published.py"
    file.write_text(textwrap.dedent(PUBLISHED), encoding="utf-8")
    path = f"rewards.terms.custom.path='{file}:reward'"
    return load_run_config(["data=photo_pairs", "rewards=custom", path, "~rewards.terms.format"]).rewards


def test_a_function_here_earns_what_the_reward_server_pays(own: RewardsConfig) -> None:
    published = load_run_config(["data=photo_pairs", "rewards=r1_reward"]).rewards
    assert rewards_of(own) == served_rewards_of(published) == EARNED


def test_a_function_earns_the_same_behind_a_reward_server(own: RewardsConfig) -> None:
    assert rewards_of(own) == served_rewards_of(own) == EARNED
