"""Algorithms as the driver sees them: rewards to a batch, without torch."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from conf.algorithms import AlgorithmConfig
from learner.algorithms import build_algorithm
from learner.algorithms.base import RunFacts
from learner.types import TrainingBatch
from rewards.types import Reward, ScoredGroup
from tests.builders import make_group, make_scored_group
from tests.learner.builders import UNCORRECTED, make_config, make_grpo

FACTS = RunFacts(max_tokens=100, term_weights={"term": 1.0})


def worth(batch: TrainingBatch) -> list[float]:
    """The advantage of each completion's first token."""
    return [float(sample.advantages_T[0]) for sample in batch.samples]


def build(kind: str, scored: list[ScoredGroup], **changes: Any) -> TrainingBatch:
    """A batch of an algorithm that knows the run."""
    return build_algorithm(make_config(kind, **changes), facts=FACTS).build_batch(scored)


def test_building_batches_does_not_import_torch() -> None:
    code = "import sys, learner.algorithms, learner.batching, learner.types; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_advantages_are_centred_group_by_group() -> None:
    scored = [make_scored_group([1.0, 3.0]), make_scored_group([10.0, 14.0])]
    batch = build_algorithm(make_grpo()).build_batch(scored)
    assert worth(batch) == [-1.0, 1.0, -2.0, 2.0]


def test_advantages_are_scaled_when_asked() -> None:
    batch = build_algorithm(make_grpo(scale_by_std=True)).build_batch([make_scored_group([1.0, 3.0])])
    # The unbiased standard deviation of 1 and 3 is the square root of 2.
    assert worth(batch)[1] == pytest.approx(1.0 / (2.0**0.5 + 1e-4))


def test_completions_know_their_group() -> None:
    batch = build_algorithm(make_grpo()).build_batch([make_scored_group([1.0, 3.0]), make_scored_group([0.0])])
    assert [sample.outcome.group_index for sample in batch.samples] == [0, 0, 1]


def test_completions_without_reward_are_counted() -> None:
    batch = build_algorithm(make_grpo()).build_batch([make_scored_group([1.0, None, 3.0, None])])
    assert batch.num_without_reward == 2


def test_a_reference_is_needed_only_for_a_penalty() -> None:
    needs = [build_algorithm(make_grpo(kl_coefficient=beta)).needs_reference for beta in (0.0, 0.01)]
    assert needs == [False, True]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Rewards 0, 3 and 6, 6: centred -1.5, 1.5, 0, 0, of standard deviation 1.0607 over the batch.
        ("dr_grpo", [-1.5, 1.5, 0.0, 0.0]),
        ("dppo_tv", [-1.5, 1.5, 0.0, 0.0]),
        ("rloo", [-3.0, 3.0, 0.0, 0.0]),
        ("reinforce_pp_baseline", [-1.414214, 1.414214, 0.0, 0.0]),
        # Around their mean 3.75, over 2.4875.
        ("reinforce_pp", [-1.507557, -0.301511, 0.904534, 0.904534]),
        ("stable_reinforce", [-1.507557, -0.301511, 0.904534, 0.904534]),
        # Scaled to -.7071, .7071, 0, 0, then over their deviation of a half.
        ("gdpo", [-1.414214, 1.414214, 0.0, 0.0]),
        ("grpo", [-0.707073, 0.707073, 0.0, 0.0]),
        ("positive_grpo", [0.0, 0.707073, 0.0, 0.0]),
    ],
)
def test_the_credit_of_two_groups(kind: str, expected: list[float]) -> None:
    group = make_group(["ab", "cd"])
    scored = [make_scored_group(totals, group=group) for totals in ([0.0, 3.0], [6.0, 6.0])]
    assert worth(build(kind, scored)) == pytest.approx(expected, abs=2e-6)


def test_groups_without_success_are_pushed_away_and_others_only_drawn() -> None:
    scored = [make_scored_group([1.0, 1.0]), make_scored_group([1.0, 2.0]), make_scored_group([None, 1.0])]
    assert worth(build("positive_grpo", scored)) == [-0.2, -0.2, 0.0, pytest.approx(0.707007, abs=1e-6), 0.0, 0.0]


def test_what_counts_as_success_is_configurable() -> None:
    assert worth(build("positive_grpo", [make_scored_group([1.0, 1.0])], success_reward=1.0)) == [0.0, 0.0]


def test_terms_that_cancel_in_the_sum_are_informative_to_gdpo() -> None:
    config: AlgorithmConfig = make_config("gdpo")
    facts = RunFacts(max_tokens=100, term_weights={"a": 1.0, "b": 1.0})
    rewards = (Reward(total=1.0, parts={"a": 1.0, "b": 0.0}), Reward(total=1.0, parts={"a": 0.0, "b": 1.0}))
    scored = replace(make_scored_group([1.0, 1.0]), rewards=rewards)
    assert build_algorithm(config, facts=facts).is_informative(scored)


def test_batches_that_depend_on_the_run_need_its_facts() -> None:
    with pytest.raises(ValueError, match="algorithm=gdpo builds batches of this run only with its RunFacts"):
        build_algorithm(make_config("gdpo")).build_batch([make_scored_group([0.0, 1.0])])


@pytest.mark.parametrize(
    "changes",
    [
        {"num_updates": 2},
        {"num_minibatches": 2},
        {"num_updates": 2, "anchor": "engine", "correction": {"weight": "none"}},
        {"scale_by_std": False, "kl": {"coefficient": 0.1, "estimator": "k1", "placement": "reward"}},
        {"correction": {"batch_normalise": True}},
    ],
)
def test_old_log_probs_are_recomputed_where_they_are_read(changes: dict[str, Any]) -> None:
    assert build_algorithm(make_config("grpo", **changes)).needs_old_logprobs


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_minibatches": 2, "anchor": "engine", **UNCORRECTED},
        {"kl": {"coefficient": 0.1}},
        {"correction": {"batch_normalise": True, "weight": "none"}},
    ],
)
def test_old_log_probs_that_nothing_reads_cost_no_pass(changes: dict[str, Any]) -> None:
    assert not build_algorithm(make_config("grpo", **changes)).needs_old_logprobs


def test_without_credit_a_charged_reward_is_a_gradient_only_where_nothing_divides_by_its_noise() -> None:
    charged = {"coefficient": 0.1, "estimator": "k1", "placement": "reward"}
    scored = [make_scored_group([1.0, 1.0])]
    assert build("rloo", scored, kl=charged).has_gradient
    assert not build("stable_reinforce", scored, kl=charged).has_gradient
