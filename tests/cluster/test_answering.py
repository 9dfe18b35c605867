"""The configuration of commands that ask the judge of ``benchmark.answerer``."""

import pytest

from cluster.answering import answering_config
from conf.load import load_run_config

SERVER = ("benchmark.answerer=endpoint", "judge=remote", "judge.base_urls=[http://judge:8000/v1]")


def test_a_server_is_shown_no_thumbnails_and_knows_its_own_limits() -> None:
    config = answering_config(SERVER)
    assert (config.model.max_pixels, config.rollout.max_model_len) == (1_003_520, 1_000_000)


def test_what_is_given_holds_for_a_server_too() -> None:
    config = answering_config([*SERVER, "model.max_pixels=200704", "rollout.max_model_len=4096"])
    assert (config.model.max_pixels, config.rollout.max_model_len) == (200_704, 4096)


@pytest.mark.parametrize("overrides", [[], ["benchmark.answerer=engines"], ["model=qwen2_5_vl_7b"]])
def test_engines_keep_to_the_model_they_run(overrides: list[str]) -> None:
    config, plain = answering_config(overrides), load_run_config([*overrides, "loop.num_steps=0"])
    assert config.model.max_pixels == plain.model.max_pixels
    assert config.rollout.max_model_len == plain.rollout.max_model_len


def test_an_answer_too_long_for_a_tiny_engine_is_no_matter_to_a_server() -> None:
    assert answering_config([*SERVER, "evaluation.sampling.max_tokens=4096"]).evaluation.sampling.max_tokens == 4096
