"""recipe=r1_reward holds what R1-Reward published about its StableReinforce stage, and the overrides for its code."""

import math
from functools import cache

import pytest

from conf.algorithms import StableReinforceConfig
from conf.data import PreferencePairsConfig
from conf.effective import ineffective_options
from conf.errors import ConfigError
from conf.judge import RemoteJudgeConfig
from conf.load import load_run_config, show_with_hydra
from conf.reward_terms import ChoiceTermConfig, ConsistencyTermConfig, R1RewardRuleConfig
from conf.schema import RunConfig

GIVEN = (
    "data.image_folder=/media",
    "data.train_labels=train.jsonl",
    "data.test_labels=test.jsonl",
    "judge.base_urls=[http://judge:8000/v1]",
)
RELEASED = (
    "rewards=r1_reward_released",
    "rewards.terms.consistency.mode=signed",
    "algorithm.filter=released",
    "algorithm.kl.coefficient=0.001",
    "learner.learning_rate=3e-7",
    "loop.num_steps=67",
)
"""What train.sh and the code beside it have otherwise, as docs/algorithms.md writes it."""


@cache
def recipe(*overrides: str) -> RunConfig:
    """The recipe with the paths it asks for."""
    return load_run_config(["recipe=r1_reward", *GIVEN, *overrides])


def stable_reinforce(config: RunConfig) -> StableReinforceConfig:
    """The algorithm's settings."""
    assert isinstance(config.algorithm, StableReinforceConfig)
    return config.algorithm


def consistency(config: RunConfig) -> ConsistencyTermConfig:
    """The consistency term's settings."""
    term = config.rewards.terms["consistency"]
    assert isinstance(term, ConsistencyTermConfig)
    return term


def test_a_step_is_256_answers_in_two_optimizer_steps_of_128() -> None:
    config = recipe()
    assert (config.rollout.prompts_per_step, config.rollout.num_completions) == (256, 1)
    assert (config.algorithm.num_minibatches, config.algorithm.num_updates) == (2, 1)


def test_five_epochs_are_whole_batches_of_the_rows_first_released() -> None:
    assert recipe().loop.num_steps == 5 * (17_261 // 256)


def test_the_loss_is_the_published_one() -> None:
    algorithm = stable_reinforce(recipe())
    assert (algorithm.clip_low, algorithm.clip_high, algorithm.dual_clip) == (0.2, 0.2, None)
    assert algorithm.max_log_ratio == pytest.approx(math.log(1e3))
    assert (algorithm.aggregation, algorithm.statistics, algorithm.filter) == ("seq_mean_token_mean", "token", "paper")
    assert (algorithm.kl.coefficient, algorithm.kl.estimator, algorithm.kl.placement) == (0.0, "k1", "reward")
    assert (algorithm.entropy_coefficient, algorithm.anchor) == (0.0, "learner")


def test_the_optimizer_is_the_published_one() -> None:
    learner = recipe().learner
    assert (learner.learning_rate, learner.betas, learner.weight_decay) == (1e-6, (0.9, 0.95), 0.0)
    assert (learner.max_grad_norm, learner.zero_stage, learner.micro_batch_size) == (1.0, 3, 2)
    assert learner.warmup_steps == round(0.03 * recipe().loop.num_steps)


def test_answers_are_sampled_as_published() -> None:
    config = recipe()
    sampling = config.rollout.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (1.0, 1.0, 1024)
    assert config.rollout.max_model_len == 20480 + 1024
    assert (config.rollout.num_engines, config.rollout.tensor_parallel, config.run.seed) == (8, 1, 42)


def test_pictures_have_the_published_pixels_and_rows_are_shown_as_they_are() -> None:
    config = recipe()
    assert (config.model.min_pixels, config.model.max_pixels) == (4 * 28**2, 640 * 28**2)
    assert isinstance(config.data, PreferencePairsConfig)
    assert (config.data.label_format, config.data.prompt, config.data.order) == ("r1_reward", "as_given", "as_given")


def test_the_reward_is_the_papers() -> None:
    config = recipe()
    assert isinstance(config.rewards.rule, R1RewardRuleConfig)
    assert {name: term.weight for name, term in config.rewards.terms.items()} == {
        "format": 0.5, "choice": 1.0, "consistency": 0.5,
    }  # fmt: skip
    assert consistency(config).mode == "binary"


def test_the_judge_is_asked_as_published() -> None:
    judge = recipe().judge
    assert isinstance(judge, RemoteJudgeConfig)
    assert (judge.model, judge.template) == ("Qwen/Qwen2.5-VL-7B-Instruct", "released")
    assert (judge.temperature, judge.max_tokens, judge.structured) == (0.1, 4096, "never")


def test_the_cold_start_is_at_hand_with_the_published_numbers() -> None:
    config = recipe("cold_start.num_steps=782", "data.traces=traces.jsonl")
    assert (config.cold_start.batch_size, config.cold_start.learning_rate) == (256, 1e-5)


def test_the_released_side_is_a_few_overrides_away() -> None:
    config = recipe(*RELEASED)
    choice = config.rewards.terms["choice"]
    assert isinstance(choice, ChoiceTermConfig)
    assert (choice.mode, consistency(config).mode, config.rewards.rule.abstention) == ("lenient", "signed", "neutral")
    assert (stable_reinforce(config).filter, config.algorithm.kl.coefficient) == ("released", 0.001)
    assert config.learner.learning_rate == 3e-7


def test_no_loss_option_of_the_recipe_is_idle() -> None:
    idle = {key for key in ineffective_options(recipe()) if key.startswith("algorithm.")}
    assert idle == {
        "algorithm.correction.weight_low", "algorithm.dynamic_sampling.min_spread",
        "algorithm.kl.estimator", "algorithm.kl.placement",
    }  # fmt: skip


@pytest.mark.parametrize("missing", [GIVEN[1], GIVEN[2], GIVEN[3]])
def test_what_only_the_user_knows_must_be_given(missing: str) -> None:
    key = missing.partition("=")[0]
    with pytest.raises(ConfigError, match=key):
        load_run_config(["recipe=r1_reward", *(word for word in GIVEN if word != missing)])


def test_the_composed_recipe_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    show_with_hydra(["--cfg", "job"], ["recipe=r1_reward", *GIVEN])
    assert "max_pixels: 501760" in capsys.readouterr().out
