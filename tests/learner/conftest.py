"""One tiny model, one process for a single rank and two for a pair, shared by every test that needs them."""

from collections.abc import Iterator

import pytest

from learner.types import TrainingBatch
from tests.learner import scenarios
from tests.learner.builders import make_batch, make_family, make_grpo, make_learner, make_model
from tests.learner.ranks import Ranks


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny Qwen2.5-VL on disk."""
    folder = tmp_path_factory.mktemp("learner") / "model"
    make_model(folder)
    return str(folder)


@pytest.fixture(scope="session")
def one_rank() -> Iterator[Ranks]:
    """A learner of one rank."""
    ranks = Ranks(1)
    yield ranks
    ranks.close()


@pytest.fixture(scope="session")
def two_ranks() -> Iterator[Ranks]:
    """A learner of two ranks."""
    ranks = Ranks(2)
    yield ranks
    ranks.close()


@pytest.fixture(scope="session")
def batch(model_folder: str, one_rank: Ranks) -> TrainingBatch:
    """Eight completions to two pictures, sampled by an engine that is a little off."""
    (scores,) = one_rank.run(scenarios.score, folder=model_folder, learner=make_learner(), algorithm=make_grpo())
    return make_batch(make_family(model_folder), logprobs=[score.logprobs for score in scores])


@pytest.fixture(scope="session")
def plain_outcome(model_folder: str, one_rank: Ranks, batch: TrainingBatch) -> scenarios.Outcome:
    """Three steps of one rank without ZeRO: what every other layout must repeat."""
    (outcome,) = one_rank.run(
        scenarios.policy_steps,
        folder=model_folder,
        learner=make_learner(),
        algorithm=make_grpo(),
        batch=batch,
    )
    assert isinstance(outcome, scenarios.Outcome)
    return outcome
