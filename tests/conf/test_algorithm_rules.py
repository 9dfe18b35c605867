"""Settings of an algorithm that contradict one another are refused; those that do nothing are known."""

import pytest

from conf.effective import ineffective_options
from conf.errors import ConfigError
from conf.groups import group_choices
from conf.load import load_run_config

KL_IN_REWARD = ["algorithm.kl.coefficient=0.1", "algorithm.kl.placement=reward", "algorithm.kl.estimator=k1"]
THREE_MINIBATCHES = "algorithm.num_minibatches=3"


@pytest.mark.parametrize(
    ("overrides", "answer"),
    [
        (["algorithm=cispo", "algorithm.anchor=engine"], "correction.weight=token would do it twice"),
        (["algorithm=dppo_tv", "algorithm.correction.weight=icepop"], "use algorithm.correction.weight=none"),
        (["algorithm.correction.sequence_high=0.9"], "masks completions on which engine and learner agree"),
        (["algorithm.correction.sequence_mask=k3"], "sequence_mask=k3 use a small one"),
        (["algorithm.correction.sequence_mask=total_variation"], "sequence_mask=total_variation use a small one"),
        (["algorithm.correction.token_veto=[0,0.5]"], "give a bound below 1 and one above"),
        (["algorithm.correction.token_veto=[1,100]"], "give a bound below 1 and one above"),
        (["algorithm.kl.coefficient=0.1", "algorithm.kl.estimator=k1"], "has no gradient on average"),
        (["algorithm=rloo", *KL_IN_REWARD[:2]], "takes none; use algorithm.kl.estimator=k1 or k3"),
        (["algorithm=grpo", *KL_IN_REWARD], "set algorithm.scale_by_std=false, or use algorithm.kl.placement=loss"),
        (["algorithm=gdpo", *KL_IN_REWARD], "placement=reward is none of them; use algorithm.kl.placement=loss"),
        (["algorithm=positive_grpo", *KL_IN_REWARD], "tells success by the reward, .* use algorithm.kl.placement=loss"),
        (["rollout.prompts_per_step=8", THREE_MINIBATCHES], "must divide rollout.prompts_per_step=8"),
        (["algorithm=rloo", "rollout.num_completions=1"], "nothing to compare; use rollout.num_completions=2"),
        (
            ["algorithm=reinforce_pp", "rollout.num_completions=1", "algorithm.dynamic_sampling.max_rounds=2"],
            "use algorithm.dynamic_sampling.max_rounds=1",
        ),
    ],
)
def test_a_contradiction_says_what_to_change(overrides: list[str], answer: str) -> None:
    with pytest.raises(ConfigError, match=answer):
        load_run_config(overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["algorithm=cispo", "algorithm.anchor=engine", "algorithm.correction.weight=none"],
        ["algorithm.correction.sequence_mask=k3", "algorithm.correction.sequence_high=0.01"],
        ["algorithm.correction.sequence_mask=total_variation", "algorithm.correction.sequence_high=0.02"],
        ["algorithm.correction.token_veto=null"],
        ["algorithm.correction.token_veto=[0,100]"],
        ["algorithm=grpo", "algorithm.scale_by_std=false", *KL_IN_REWARD],
        ["algorithm=stable_reinforce", "algorithm.kl.coefficient=0.001"],
        ["algorithm=stable_reinforce", "rollout.num_completions=1", "rewards=error"],
        ["rollout.prompts_per_step=9", THREE_MINIBATCHES],
        ["algorithm=gdpo", *KL_IN_REWARD, "loop.num_steps=0"],
    ],
)
def test_what_only_looks_like_a_contradiction_is_accepted(overrides: list[str]) -> None:
    load_run_config(overrides)


@pytest.mark.parametrize("kind", group_choices()["algorithm"])
def test_a_file_and_its_section_have_the_same_name(kind: str) -> None:
    assert load_run_config([f"algorithm={kind}"]).algorithm.kind == kind


def idle(*overrides: str) -> set[str]:
    """Options of the algorithm that do nothing."""
    options = ineffective_options(load_run_config(overrides))
    return {key.removeprefix("algorithm.") for key in options if key.startswith("algorithm.")}


def test_with_one_optimizer_step_the_ratio_is_one_and_nothing_clips() -> None:
    assert {"clip_low", "clip_high", "dual_clip", "max_log_ratio"} <= idle("algorithm=grpo")
    assert "clip_low" not in idle("algorithm=grpo", "algorithm.num_updates=2")
    assert "clip_low" not in idle("algorithm=stable_reinforce")
    assert "clip_low" not in idle("algorithm=dppo_tv")


def test_a_penalty_of_nothing_has_no_kind() -> None:
    assert {"kl.estimator", "kl.placement"} <= idle()
    assert not {"kl.estimator", "kl.placement"} & idle("algorithm.kl.coefficient=0.1")


def test_bounds_that_bound_nothing_are_idle() -> None:
    assert {"correction.weight_low"} == {key for key in idle() if key.startswith("correction")}
    off = idle("algorithm.correction.weight=none", "algorithm.correction.sequence_mask=none")
    bounds = {"correction.weight_high", "correction.sequence_low", "correction.sequence_high"}
    assert bounds | {"correction.batch_normalise"} <= off
    assert "correction.weight_low" not in idle("algorithm.correction.weight=icepop")
    assert "correction.batch_normalise" not in idle()
    distance = ["algorithm.correction.sequence_mask=total_variation", "algorithm.correction.sequence_high=0.02"]
    assert "correction.sequence_low" in idle(*distance)


def test_without_further_rounds_there_is_no_tolerance() -> None:
    assert "dynamic_sampling.min_spread" in idle()
    assert "dynamic_sampling.min_spread" not in idle("algorithm=dapo")
