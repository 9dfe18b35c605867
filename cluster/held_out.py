"""The held-out evaluation of a run: the test prompts through the engines, and what the judge says of the answers."""

from collections.abc import Sequence

from cluster.engines import RolloutPool
from conf.schema import RunConfig
from conf.tasks import tasks_of
from evaluation.checks import WATCHED, evaluate_checks
from evaluation.judge import evaluate
from evaluation.mixed import MixedReport, TaskReport
from evaluation.pairs import evaluate_pairs
from evaluation.perception import evaluate_perception
from evaluation.reports import Report
from judge_client.types import Judge
from rewards.eager import all_or_none
from rewards.questions import consistency_question
from rollout.datasets.base import Data, scale_of
from rollout.types import Prompt, RolloutGroup, Task
from rollout.worker_types import GenerationOrder


async def judge_test_split(config: RunConfig, *, data: Data, pool: RolloutPool, judge: Judge | None) -> Report:
    """Let the engines' current weights answer the test prompts, always the same ones."""
    num_prompts = min(config.evaluation.num_prompts, len(data.test))
    order = GenerationOrder(
        prompts=[data.test.prompt(index) for index in range(num_prompts)],
        num_completions=config.evaluation.num_completions,
        sampling=config.evaluation.sampling,
        seed=config.run.seed,
        needs_logprobs=False,
        watched_tokens=WATCHED if "check" in tasks_of(config.data) else (),
    )
    return await report_on(await pool.run(order), config=config, judge=judge)


async def report_on(groups: Sequence[RolloutGroup], *, config: RunConfig, judge: Judge | None) -> Report:
    """What the judge says of completions, task by task where they are of several."""
    by_task: dict[Task, list[RolloutGroup]] = {}
    for group in groups:
        by_task.setdefault(group.prompt.task, []).append(group)
    reports = {task: await _report_on(own, task=task, config=config, judge=judge) for task, own in by_task.items()}
    return next(iter(reports.values())) if len(reports) == 1 else MixedReport(by_task=reports)


async def _report_on(
    groups: Sequence[RolloutGroup], *, task: Task, config: RunConfig, judge: Judge | None
) -> TaskReport:
    if task == "check":
        return evaluate_checks(groups)
    if task == "defect":
        return evaluate_perception(groups)
    if task == "choice":
        verdicts = None if judge is None else await consistency_of(groups, judge=judge)
        return evaluate_pairs(groups, verdicts=verdicts)
    scale = scale_of(config.data)
    assert scale is not None, "a data set that asks for scores declares their scale"
    return evaluate(
        groups, scale=scale, min_spread=config.evaluation.min_spread, out_of_range=config.evaluation.out_of_range
    )


async def consistency_of(groups: Sequence[RolloutGroup], *, judge: Judge) -> list[list[bool | None]]:
    """Whether each completion means what it says; None where the judge abstained."""
    return await all_or_none(
        all_or_none(_is_consistent(group.prompt, completion.text, judge=judge) for completion in group.completions)
        for group in groups
    )


async def _is_consistent(prompt: Prompt, text: str, *, judge: Judge) -> bool | None:
    question = consistency_question(prompt, text)
    if question.is_empty:
        return False  # as the reward has it: no answer follows from nothing
    verdict = await judge.ask(question)
    return None if verdict.outcome == "abstained" else verdict.outcome == "consistent"
