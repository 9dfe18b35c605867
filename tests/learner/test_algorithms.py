"""Algorithms as the driver sees them: rewards to a batch, without torch."""

import subprocess
import sys
from typing import get_args

import pytest

from conf.algorithms import GrpoConfig
from learner.algorithms import ALGORITHMS, build_algorithm
from tests.builders import make_scored_group
from tests.learner.builders import make_grpo


def test_building_batches_does_not_import_torch() -> None:
    code = "import sys, learner.algorithms, learner.batching, learner.types; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_algorithm_has_a_section_in_the_schema() -> None:
    assert list(ALGORITHMS) == list(get_args(GrpoConfig.model_fields["kind"].annotation))


def test_advantages_are_centred_group_by_group() -> None:
    scored = [make_scored_group([1.0, 3.0]), make_scored_group([10.0, 14.0])]
    batch = build_algorithm(make_grpo()).build_batch(scored)
    assert [sample.advantage for sample in batch.samples] == [-1.0, 1.0, -2.0, 2.0]


def test_advantages_are_scaled_when_asked() -> None:
    batch = build_algorithm(make_grpo(scale_by_std=True)).build_batch([make_scored_group([1.0, 3.0])])
    # The unbiased standard deviation of 1 and 3 is the square root of 2.
    assert batch.samples[1].advantage == pytest.approx(1.0 / (2.0**0.5 + 1e-4))


def test_completions_know_their_group() -> None:
    batch = build_algorithm(make_grpo()).build_batch([make_scored_group([1.0, 3.0]), make_scored_group([0.0])])
    assert [sample.group_index for sample in batch.samples] == [0, 0, 1]


def test_completions_without_reward_are_counted() -> None:
    batch = build_algorithm(make_grpo()).build_batch([make_scored_group([1.0, None, 3.0, None])])
    assert batch.num_without_reward == 2


def test_a_reference_is_needed_only_for_a_penalty() -> None:
    needs = [build_algorithm(make_grpo(kl_coefficient=beta)).needs_reference for beta in (0.0, 0.01)]
    assert needs == [False, True]
