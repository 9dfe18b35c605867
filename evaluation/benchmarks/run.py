"""Asking: what has no answer yet is asked, and each answer is on disk before the next is waited for."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import JsonValue

from conf.schema import SamplingConfig
from evaluation.benchmarks.answerers import Answerer
from evaluation.benchmarks.answers import Answer, AnswerFile, Settings, open_answers
from evaluation.benchmarks.load import Benchmark
from evaluation.benchmarks.questions import JudgeRequest, Plan
from evaluation.benchmarks.ranking import RankingPlan
from evaluation.benchmarks.ranking_tasks import TaskFile

logger = logging.getLogger(__name__)

NUM_PASSES = 2
"""A request that failed is asked once more when all others have been; a later run asks again what still failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is."""

    num_answered: int
    """Answers on disk, those of earlier runs included."""
    num_failed: int
    """Requests that failed in this pass."""
    num_requests: int


def settings_of(
    benchmark: Benchmark, *, plan: Plan, sampling: SamplingConfig, judge: Mapping[str, JsonValue]
) -> Settings:
    """Everything that decides an answer; ``judge`` names the model, and what else its answers depend on.

    The categories of VL-RewardBench are not among it: the same answers can be divided either way.

    Raises:
        ValueError: Several votes are wanted, and the sampling makes them copies of one.
    """
    refuse_copies(plan.num_votes, sampling=sampling)
    return {
        "benchmark": benchmark.name,
        "file_sha256": benchmark.sha256,
        **asdict(plan),
        "sampling": sampling.model_dump(mode="json"),
        "judge": dict(judge),
    }


def ranking_settings_of(
    file: TaskFile, *, plan: RankingPlan, sampling: SamplingConfig, judge: Mapping[str, JsonValue]
) -> Settings:
    """The same for answers to be ranked. Which pairs are asked and which model is fitted decides no answer.

    Raises:
        ValueError: As above.
    """
    refuse_copies(plan.num_votes, sampling=sampling)
    return {
        "file_sha256": file.sha256,
        "num_votes": plan.num_votes,
        "seed": plan.seed,
        "wording": plan.wording,
        "sampling": sampling.model_dump(mode="json"),
        "judge": dict(judge),
    }


def refuse_copies(num_votes: int, *, sampling: SamplingConfig) -> None:
    """Refuse votes that cannot differ.

    Raises:
        ValueError: Several are wanted, and the sampling makes them copies of one.
    """
    if num_votes > 1 and sampling.temperature == 0:
        raise ValueError(
            f"{num_votes} votes at temperature 0 are the same answer {num_votes} times; "
            "set a temperature above 0 (published: 1.0), or one vote"
        )


async def ask_unanswered(
    requests: Sequence[JudgeRequest],
    *,
    answerer: Answerer,
    path: Path,
    settings: Settings,
    on_progress: Callable[[Progress], None],
) -> Mapping[str, Answer]:
    """Ask what the file at ``path`` does not answer yet; all its answers by key.

    Raises:
        AnswersUnusable: The file was made under other settings.
    """
    with open_answers(path, settings=settings) as file:
        for _ in range(NUM_PASSES):
            unanswered = [request for request in requests if not file.has_text(request.key)]
            await _ask(unanswered, answerer=answerer, file=file, num_requests=len(requests), on_progress=on_progress)
        return file.answers


async def _ask(
    unanswered: Sequence[JudgeRequest],
    *,
    answerer: Answerer,
    file: AnswerFile,
    num_requests: int,
    on_progress: Callable[[Progress], None],
) -> None:
    num_answered, num_failed = num_requests - len(unanswered), 0
    async with aclosing(answerer.answer(unanswered)) as answers:
        async for answer in answers:
            file.add(answer)
            if answer.error is None:
                num_answered += 1
            else:
                num_failed += 1
                logger.warning("request failed key=%s error=%s", answer.key, answer.error)
            on_progress(Progress(num_answered=num_answered, num_failed=num_failed, num_requests=num_requests))
