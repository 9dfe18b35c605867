"""The published recipes hold the published numbers (VisualQuality-R1's and Aes-R1's run scripts)."""

import pytest

from conf.data import OpinionScoreConfig
from conf.load import load_run_config
from conf.schema import RunConfig

FILES = ["data.image_folder=i", "data.train_labels=a", "data.test_labels=b"]


def _recipe(name: str, *overrides: str) -> RunConfig:
    own = ["model.path=sft"] if name == "rapo_15k" else []
    return load_run_config([f"recipe={name}", *FILES, *own, *overrides])


def _data(config: RunConfig) -> OpinionScoreConfig:
    assert isinstance(config.data, OpinionScoreConfig)
    return config.data


@pytest.mark.parametrize("name", ["rl2r_kadid", "rl2r_multi", "rapo_15k"])
def test_what_both_systems_publish(name: str) -> None:
    config = _recipe(name)
    learner, algorithm = config.learner, config.algorithm
    assert config.run.seed == 42
    assert (learner.learning_rate, learner.warmup_steps, learner.decay_steps) == (1e-6, 0, config.loop.num_steps)
    assert (learner.betas, learner.weight_decay, learner.max_grad_norm) == ((0.9, 0.999), 0.0, 1.0)
    assert (learner.zero_stage, learner.gradient_checkpointing) == (3, True)
    assert (config.rollout.sampling.temperature, config.rollout.sampling.top_p) == (1.0, 1.0)
    assert (algorithm.kind, algorithm.num_updates, algorithm.num_minibatches) == ("grpo", 1, 1)
    assert (algorithm.aggregation, algorithm.kl.estimator, algorithm.kl.placement) == (
        "seq_mean_token_mean",
        "k3",
        "loss",
    )
    assert config.loop.checkpoint_every == 50
    assert (config.warm_up.num_steps, config.cold_start.num_steps) == (0, 0)


@pytest.mark.parametrize("name", ["rl2r_kadid", "rl2r_multi"])
def test_rl2r_samples_64_pictures_6_times(name: str) -> None:
    config = _recipe(name)
    assert (config.rollout.prompts_per_step, config.rollout.num_completions) == (64, 6)
    assert config.rollout.sampling.max_tokens == 256
    assert config.algorithm.kl.coefficient == 0.04
    assert config.algorithm.kind == "grpo"
    assert (config.algorithm.clip_low, config.algorithm.clip_high, config.algorithm.scale_by_std) == (0.2, 0.2, True)
    assert config.model.path == "Qwen/Qwen2.5-VL-7B-Instruct"


def test_rl2r_on_kadid_lasts_10_epochs() -> None:
    config = _recipe("rl2r_kadid")
    assert config.loop.num_steps == 960
    assert config.loop.num_steps * 64 / 6125 == pytest.approx(10, abs=0.05)


def test_rl2r_on_several_data_sets_draws_eight_of_one_together_for_10_epochs() -> None:
    config = _recipe("rl2r_multi")
    assert (_data(config).mixture, _data(config).chunk_size) == ("proportional", 8)
    assert config.loop.num_steps == 10 * 229


def test_several_data_sets_are_compared_inside_each_only() -> None:
    ranking = _recipe("rl2r_multi").rewards.terms["ranking"]
    assert ranking.kind == "ranking"
    assert (ranking.partners, ranking.ties) == ("same_source", "half")


def test_rl2r_on_16_gpus_takes_128_pictures_in_half_the_steps() -> None:
    config = _recipe("rl2r_kadid", "rollout.prompts_per_step=128", "loop.num_steps=480")
    assert config.rollout.prompts_per_step * config.rollout.num_completions == 768


def test_rapo_samples_128_pictures_4_times() -> None:
    config = _recipe("rapo_15k")
    assert (config.rollout.prompts_per_step, config.rollout.num_completions) == (128, 4)
    assert config.rollout.sampling.max_tokens == 512
    assert config.algorithm.kind == "grpo"
    assert (config.algorithm.clip_low, config.algorithm.clip_high) == (0.2, 0.28)
    assert config.algorithm.kl.coefficient == 0.01
    assert (config.model.path, config.model.max_pixels) == ("sft", 262144)


def test_rapo_lasts_10_epochs_of_15000_pictures() -> None:
    assert _recipe("rapo_15k").loop.num_steps * 128 / 15000 == pytest.approx(10, abs=0.05)


def test_rapo_scores_on_0_to_1_with_a_sigma_of_a_tenth() -> None:
    config = _recipe("rapo_15k")
    data, opinion = _data(config), config.rewards.terms["opinion"]
    assert (data.scale.minimum, data.scale.maximum, data.label_range) == (0.0, 1.0, data.scale)
    assert (data.prompt, data.label_format) == ("aes_r1", "aes_r1")
    assert opinion.kind == "opinion"
    assert opinion.sigma_fraction == 0.1
    assert [term.weight for term in config.rewards.terms.values()] == [1.0, 1.0, 1.0]


def test_rapo_starts_from_the_checkpoint_of_the_cold_start() -> None:
    with pytest.raises(ValueError, match=r"model\.path: must be given"):
        load_run_config(["recipe=rapo_15k", *FILES])


def test_the_cold_start_of_aes_r1_is_one_epoch_with_the_eyes_frozen() -> None:
    config = _recipe("aes_cold_start", "cold_start.file=AesCoT-3K.jsonl")
    phase, learner = config.cold_start, config.learner
    assert (phase.num_steps, phase.batch_size, phase.learning_rate) == (47, 64, 1e-5)
    assert (phase.warmup_fraction, phase.final_fraction, phase.validation_fraction) == (0.0, 0.0, 0.0)
    assert (learner.frozen, learner.lora_rank) == (("vision", "projector"), None)
    assert (learner.world_size, learner.micro_batch_size, learner.zero_stage) == (8, 8, 3)
    assert (config.rollout.max_model_len, config.model.max_pixels) == (8192, 262144)
    assert (config.warm_up.num_steps, config.loop.num_steps) == (0, 0)


def _stage(name: str, *overrides: str) -> RunConfig:
    own = [*FILES, "loop.num_steps=100"] if name == "refine_stage2" else []
    return load_run_config([f"recipe={name}", *own, *overrides])


@pytest.mark.parametrize("name", ["refine_stage1", "refine_stage2"])
def test_refine_iqa_samples_8_pictures_8_times_at_a_rate_of_1e_7(name: str) -> None:
    config = _stage(name)
    assert (config.rollout.prompts_per_step, config.rollout.num_completions) == (8, 8)
    assert (config.rollout.sampling.temperature, config.rollout.sampling.max_tokens) == (1.0, 1024)
    assert (config.learner.learning_rate, config.learner.warmup_steps) == (1e-7, 0)
    assert config.learner.decay_steps == config.loop.num_steps
    assert (config.algorithm.kl.coefficient, config.algorithm.kl.estimator) == (0.04, "k3")
    assert config.algorithm.kind in ("grpo", "positive_grpo")
    assert (config.algorithm.clip_low, config.algorithm.clip_high) == (0.2, 0.2)
    assert (config.loop.checkpoint_every, config.loop.keep_checkpoints) == (200, 1)
    assert (config.learner.zero_stage, config.learner.gradient_checkpointing) == (3, True)


def test_refine_iqas_first_stage_asks_as_many_questions_as_published_five_times() -> None:
    config = _stage("refine_stage1")
    assert config.data.kind == "photo_defects"
    num_questions = config.data.num_train * config.data.num_questions
    assert num_questions == 55_000
    assert config.loop.num_steps * 8 == 5 * num_questions


def test_refine_iqas_second_stage_starts_from_the_first_and_rewards_thinking() -> None:
    config = _stage("refine_stage2")
    assert config.model.path == f"{_stage('refine_stage1').run.folder}/model"
    assert config.algorithm.kind == "positive_grpo"
    answer, thinking = config.rewards.terms["answer"], config.rewards.terms["probability_difference"]
    assert answer.kind == "score_line"
    assert answer.full_fraction * 4 == 0.5
    assert thinking.kind == "probability_difference"
    assert thinking.digits == "tenths"


def test_the_small_second_stage_starts_from_the_small_first() -> None:
    first, second = _stage("demo_refine_stage1"), _stage("demo_refine_stage2")
    assert second.model.path == f"{first.run.folder}/model"
    assert (second.model.min_pixels, second.model.max_pixels) == (first.model.min_pixels, first.model.max_pixels)


def test_the_small_checklist_is_trained_on_the_words_that_a_trained_judge_is_asked_in() -> None:
    data = load_run_config(["recipe=demo_checklist"]).data
    asked = load_run_config(["checklist=distortions"]).checklist
    assert data.kind == "photo_checklist"
    assert asked is not None
    assert (asked.questions, asked.wording) == ("distortions", data.prompt)


def test_the_small_checklist_is_evaluated_at_the_probabilities_it_is_trained_at() -> None:
    config = load_run_config(["recipe=demo_checklist"])
    assert (config.evaluation.sampling, config.evaluation.num_prompts) == (config.rollout.sampling, 640)
