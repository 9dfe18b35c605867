"""Every registered reward term, held to the same promises."""

import asyncio
import math
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from conf.reward_terms import (
    CalibrationTermConfig,
    CheckTermConfig,
    ChoiceTermConfig,
    ComparisonTermConfig,
    ConsistencyTermConfig,
    CustomTermConfig,
    FormatTermConfig,
    OpinionTermConfig,
    OverlongTermConfig,
    PerceptionTermConfig,
    ProbabilityDifferenceTermConfig,
    RemoteTermConfig,
    ScoreLineTermConfig,
    TermUnion,
    ThresholdTermConfig,
)
from rewards.rules import weighted_sum
from rewards.scorer import Scorer
from rewards.server import reward_app
from rewards.terms import FORCING_TERMS, JUDGED_TERMS, TERMS, TERMS_WITHOUT_JUDGE, build_term
from rewards.terms.base import EagerTerm
from rewards.terms.choice import ChoiceTerm
from rewards.types import Noted, Score
from rewards.wire import message_of
from rollout.types import Media, Prompt, RolloutGroup
from tests.builders import (
    make_answer,
    make_check_prompt,
    make_choice,
    make_defect_prompt,
    make_group,
    make_pair_prompt,
    make_prompt,
)
from tests.rewards.forcing import TableForcer
from tests.rewards.judges import RuleJudge
from tests.rewards.ranking import make_ranking_config
from tests.rewards.serving import serving

CHOICE = ChoiceTermConfig(kind="choice", weight=1.0, mode="strict")
EXAMPLE = Path(__file__).parents[2] / "docs/examples/custom_reward.py"
CONFIGS: dict[str, TermUnion] = {
    "calibration": CalibrationTermConfig(kind="calibration", weight=1.0),
    "check": CheckTermConfig(kind="check", weight=1.0),
    "choice": CHOICE,
    "comparison": ComparisonTermConfig(
        kind="comparison", weight=1.0, against="group", plan="ring", model="bradley_terry"
    ),
    "comparison with references": ComparisonTermConfig(
        kind="comparison", weight=1.0, against="references", plan="ring", model="thurstone"
    ),
    "consistency": ConsistencyTermConfig(kind="consistency", weight=1.0, mode="signed"),
    "custom": CustomTermConfig(kind="custom", weight=1.0, path=f"{EXAMPLE}:agreement"),
    "format": FormatTermConfig(kind="format", weight=1.0, mode="tolerant"),
    "opinion": OpinionTermConfig(kind="opinion", weight=1.0, form="paper", sigma_fraction=0.1),
    "overlong": OverlongTermConfig(kind="overlong", weight=1.0, max_tokens=60, cache_tokens=30),
    "perception": PerceptionTermConfig(kind="perception", weight=1.0, severity="graded"),
    "probability_difference": ProbabilityDifferenceTermConfig(
        kind="probability_difference", weight=1.0, digits="tenths", no_thinking_prompt="refine_iqa_no_thinking"
    ),
    "ranking": make_ranking_config(),
    "remote": RemoteTermConfig(kind="remote", weight=1.0, url="http://replaced", timeout_s=10.0),
    "score_line": ScoreLineTermConfig(kind="score_line", weight=1.0, mode="strict", full_fraction=0.125),
    "threshold": ThresholdTermConfig(
        kind="threshold", weight=1.0, mode="inclusive", full_fraction=0.1, half_fraction=None
    ),
}
FOR_SCORES = {"opinion", "probability_difference", "ranking", "score_line", "threshold"}
"""Terms that need opinion labels; all others but ``FOR_DEFECTS`` are held to pairwise questions."""
FOR_DEFECTS = {"perception"}
"""Terms that need questions about defects."""
FOR_CHECKS = {"calibration", "check"}
"""Terms that need yes/no questions."""
FORCER = TableForcer({"<think>": (0.5, 0.9, 0.5)}, otherwise=(0.5, 0.2, 0.5))
BLIND = {"overlong"}
"""Terms to which content means nothing."""
PICTURE = Media(kind="image", data=b"picture")
SCORED = [
    make_group(
        [make_answer(4.2), make_answer(3.9), "", make_answer(4.4)],
        prompt=make_prompt("a", opinion=4.5, source="one", media=PICTURE),
    ),
    make_group([make_answer(2.0), make_answer(3.0)], prompt=make_prompt("b", opinion=2.0, source="one", media=PICTURE)),
    make_group(
        ["plain 3", "<answer>" * 50, "é😀<answer>2</answer>"],
        prompt=make_prompt("c", opinion=1.0, source="one", media=PICTURE),
    ),
    make_group(
        [make_answer(3), make_answer("-7"), make_answer(999999)],
        prompt=make_prompt("d", opinion=3.0, source="one", media=PICTURE),
    ),
    make_group([make_answer(3), make_answer(4)], prompt=make_prompt("e", opinion=3.0, source="alone", media=PICTURE)),
]
CHOSEN = [
    make_group([make_choice(1), make_choice(2), "", make_choice(2, favoured=1)], prompt=make_pair_prompt("a/2")),
    make_group([make_choice(2), make_choice(2)], prompt=make_pair_prompt("b/2")),
    make_group(["Response 2", "<answer>" * 50, "é😀<answer>2</answer>"], prompt=make_pair_prompt("c/2")),
    make_group([make_choice(1), make_answer("1 or 2"), make_choice(1)], prompt=make_pair_prompt("d/2")),
    make_group([make_choice(2), make_choice(1)], prompt=make_pair_prompt("e/2")),
]
FOUND = [
    make_group(
        [make_answer("blur"), make_answer("haze"), "", make_answer("none")], prompt=make_defect_prompt("a/type")
    ),
    make_group([make_answer("strong"), make_answer("mild")], prompt=make_defect_prompt("a/severity", task="severity")),
    make_group(
        ["top left", "<answer>" * 50, "é😀<answer>top left</answer>"],
        prompt=make_defect_prompt("a/region", task="region"),
    ),
    make_group(
        [make_answer("[14, 0, 56, 28]"), make_answer("[0, 0, 999999, 999999]"), make_answer("[0]")],
        prompt=make_defect_prompt("a/area", task="area"),
    ),
    make_group(
        [make_answer("blur, mild"), make_answer("blur")],
        prompt=make_defect_prompt("b/both", task="type_and_severity"),
    ),
]
CHECKED = [
    make_group(["yes", "no", "", "Yes."], prompt=make_check_prompt("a/blur_none")),
    make_group(["no", "no"], prompt=make_check_prompt("a/haze_none", is_yes=False)),
    make_group(["perhaps", "<answer>" * 50, "é😀yes"], prompt=make_check_prompt("b/blur_none")),
    make_group(["yes", "yes", "no"], prompt=make_check_prompt("c/blur_none", is_yes=False)),
    make_group(["yes", "no"], prompt=make_check_prompt("d/blur_none")),
]

every_term = pytest.mark.parametrize("kind", sorted(CONFIGS))
Scoring = Callable[[str, Sequence[RolloutGroup]], list[list[Score]]]


def groups_for(kind: str) -> list[RolloutGroup]:
    if kind in FOR_CHECKS:
        return CHECKED
    return SCORED if kind in FOR_SCORES else FOUND if kind in FOR_DEFECTS else CHOSEN


@pytest.fixture(scope="module")
def score() -> Iterator[Scoring]:
    """Scores groups with a term built for the purpose; the remote one asks a server that grades choices."""
    served: Prompt = make_pair_prompt()
    grader = Scorer(
        {"choice": ChoiceTerm(CHOICE)},
        weights={"choice": 1.0},
        rule=lambda parts, *, weights: weighted_sum(parts, weights=weights, abstention="completion"),
        scale=None,
    )
    with serving(reward_app(grader, prompts={message_of(served): served})) as url:
        remote = CONFIGS["remote"].model_copy(update={"url": f"{url}/get_reward"})

        async def scored(kind: str, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
            term = build_term(
                remote if kind == "remote" else CONFIGS[kind], name=kind, judge=RuleJudge(), forcer=FORCER
            )
            try:
                return [list(row) for row in await term.score(groups)]
            finally:
                if isinstance(term, EagerTerm):
                    await term.close()

        yield lambda kind, groups: asyncio.run(scored(kind, groups))


def number(score: Score) -> float | None:
    return score.score if isinstance(score, Noted) else score


def reordered(group: RolloutGroup, order: Callable[[int], Sequence[int]]) -> RolloutGroup:
    completions = tuple(group.completions[c] for c in order(len(group.completions)))
    return RolloutGroup(prompt=group.prompt, completions=completions, prompt_token_ids=group.prompt_token_ids)


@every_term
def test_a_term_scores_every_completion(kind: str, score: Scoring) -> None:
    assert [len(row) for row in score(kind, groups_for(kind))] == [4, 2, 3, 3, 2]


@every_term
def test_a_score_is_finite_or_an_abstention(kind: str, score: Scoring) -> None:
    numbers = [number(s) for row in score(kind, groups_for(kind)) for s in row]
    assert all(n is None or (type(n) is float and math.isfinite(n)) for n in numbers)


@every_term
def test_scoring_again_gives_the_same(kind: str, score: Scoring) -> None:
    assert score(kind, groups_for(kind)) == score(kind, groups_for(kind))


@every_term
def test_permuting_groups_permutes_scores(kind: str, score: Scoring) -> None:
    backwards = score(kind, groups_for(kind)[::-1])[::-1]
    assert [pytest.approx(row) for row in score(kind, groups_for(kind))] == backwards


@every_term
def test_permuting_completions_permutes_scores(kind: str, score: Scoring) -> None:
    turned = [reordered(group, lambda size: range(size)[::-1]) for group in groups_for(kind)]
    assert [pytest.approx(row[::-1]) for row in score(kind, turned)] == score(kind, groups_for(kind))


@every_term
def test_no_groups_give_no_scores(kind: str, score: Scoring) -> None:
    assert score(kind, []) == []


@pytest.mark.parametrize("kind", sorted(set(CONFIGS) - BLIND))
def test_a_better_answer_earns_more_than_an_unreadable_one(kind: str, score: Scoring) -> None:
    scored = [
        make_group(
            [make_answer("Score: 4.50"), make_answer(4.4), "?"], prompt=make_prompt("a", opinion=4.5, media=PICTURE)
        ),
        make_group(
            [make_answer("Score: 2.00"), make_answer(2.1), "?"], prompt=make_prompt("b", opinion=2.0, media=PICTURE)
        ),
    ]
    chosen = [make_group([make_choice(2), make_choice(1), "?"], prompt=make_pair_prompt(better=2))]
    found = [make_group([make_answer("blur"), make_answer("haze"), "?"], prompt=make_defect_prompt())]
    checked = [make_group(["yes", "no", "?"], prompt=make_check_prompt())]
    if kind in FOR_CHECKS:
        groups = checked
    else:
        groups = scored if kind in FOR_SCORES else found if kind in FOR_DEFECTS else chosen
    right, _, unreadable = (number(s) for s in score(kind, groups)[0])
    assert right is not None
    assert unreadable is not None
    assert right > unreadable


def test_the_schema_and_the_registry_name_the_same_terms() -> None:
    sections = typing.get_args(typing.get_args(TermUnion)[0])
    kinds = {typing.get_args(section.model_fields["kind"].annotation)[0] for section in sections}
    assert kinds == TERMS == {config.kind for config in CONFIGS.values()}


def test_a_term_is_registered_once() -> None:
    assert len(TERMS) == len(TERMS_WITHOUT_JUDGE) + len(JUDGED_TERMS) + len(FORCING_TERMS)


@pytest.mark.parametrize("kind", sorted(JUDGED_TERMS))
def test_a_term_that_asks_says_so_where_there_is_nobody_to_ask(kind: str) -> None:
    with pytest.raises(ValueError, match=rf"rewards\.terms\.mine\.kind={kind} asks a judge"):
        build_term(CONFIGS[kind], name="mine", judge=None)
