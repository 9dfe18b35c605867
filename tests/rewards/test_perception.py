"""The perception term, and what the journal says of answers about defects."""

import asyncio
from collections.abc import Sequence

import pytest

from conf.reward_terms import PerceptionTermConfig
from rewards.findings import SeverityCredit
from rewards.metrics import reward_metrics
from rewards.tags import parse_group
from rewards.terms.perception import PerceptionTerm
from rewards.trust import trust_metrics
from rewards.types import Noted, Reward, Score, ScoredGroup
from rollout.types import DefectTask, Prompt
from tests.builders import make_answer, make_defect_prompt, make_group, make_prompt, make_scored_group


def score(prompt: Prompt, *texts: str, severity: SeverityCredit = "graded") -> list[Score]:
    term = PerceptionTerm(PerceptionTermConfig(kind="perception", weight=1.0, severity=severity))
    (row,) = asyncio.run(term.score([make_group(texts, prompt=prompt)]))
    return row


def scored(prompt: Prompt, texts: Sequence[str], totals: Sequence[float]) -> ScoredGroup:
    return make_scored_group(totals, group=make_group(texts, prompt=prompt))


@pytest.mark.parametrize(
    ("task", "answers", "scores"),
    [
        ("type", ("blur", "haze", "none"), [1.0, 0.0, 0.0]),
        ("severity", ("strong", "extreme", "mild", "none"), [1.0, 0.6, 0.2, 0.0]),
        ("type_and_severity", ("blur, strong", "blur, mild", "haze, strong"), [1.0, 0.6, 0.0]),
        ("region", ("top left", "top"), [1.0, 0.0]),
        ("area", ("[14, 0, 56, 28]", "[14, 0, 35, 28]", "none"), [1.0, 0.5, 0.0]),
    ],
)
def test_answers_earn_their_credit(task: DefectTask, answers: Sequence[str], scores: Sequence[float]) -> None:
    assert score(make_defect_prompt(task=task), *map(make_answer, answers)) == pytest.approx(scores)


def test_an_exact_severity_is_right_or_wrong() -> None:
    prompt = make_defect_prompt(task="severity")
    assert score(prompt, make_answer("strong"), make_answer("clear"), severity="exact") == [1.0, 0.0]


@pytest.mark.parametrize(
    ("task", "text", "note"),
    [
        ("type", make_answer("fog"), "no_candidate"),
        ("area", make_answer("top left"), "no_box"),
        ("area", "[14, 0, 56, 28]", "no_tag"),
    ],
)
def test_an_unreadable_answer_earns_nothing_and_says_why(task: DefectTask, text: str, note: str) -> None:
    assert score(make_defect_prompt(task=task), text) == [Noted(score=0.0, note=note)]


def test_a_question_of_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'picture-0' of 'photographs' asks for a score, not for a defect"):
        score(make_prompt(), make_answer(3))


def test_right_answers_are_counted_by_task() -> None:
    metrics = reward_metrics(
        [
            scored(make_defect_prompt("a/type"), [make_answer("blur"), make_answer("fog")], [1.0, 0.0]),
            scored(make_defect_prompt("b/type"), [make_answer("blur"), make_answer("blur")], [1.0, 1.0]),
            scored(make_defect_prompt("a/area", task="area"), [make_answer("[14, 0, 34, 28]")], [0.4]),
        ]
    )
    assert {key: value for key, value in metrics.items() if key.endswith("/right")} == {
        "answers/type/right": 0.75,
        "answers/area/right": 0.0,
    }


def test_only_statuses_a_question_can_have_are_counted() -> None:
    prompts = [make_defect_prompt("a/type"), make_defect_prompt("a/area", task="area")]
    metrics = reward_metrics([scored(prompt, [make_answer("fog")], [0.0]) for prompt in prompts])
    counts = {key: value for key, value in metrics.items() if key.startswith("answers/") and key.endswith("/count")}
    assert counts == {
        "answers/ok/count": 0.0,
        "answers/no_tag/count": 0.0,
        "answers/no_candidate/count": 1.0,
        "answers/no_box/count": 1.0,
    }


def test_notes_are_counted_by_term() -> None:
    group = make_group([make_answer("fog")], prompt=make_defect_prompt())
    reward = Reward(total=0.0, parts={"perception": 0.0}, notes={"perception": "no_candidate"})
    metrics = reward_metrics([ScoredGroup(group=group, rewards=(reward,), answers=parse_group(group))])
    assert metrics["rewards/perception/num_no_candidate"] == 1.0


def test_a_reward_for_a_wrong_answer_is_for_its_format() -> None:
    step = [
        scored(make_defect_prompt(), [make_answer("blur"), make_answer("haze"), make_answer("fog")], [2.0, 1.0, 1.0])
    ]
    assert trust_metrics(step)["rewards/format_only/fraction"] == pytest.approx(2 / 3)
