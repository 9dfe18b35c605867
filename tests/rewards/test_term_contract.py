"""Every registered reward term, held to the same promises."""

import asyncio
import math
import typing
from collections.abc import Callable, Sequence

import pytest

from conf.reward_terms import FormatTermConfig, OpinionTermConfig, RankingTermConfig, TermUnion
from rewards.terms import TERMS, build_term, term_class
from rollout.types import RolloutGroup
from tests.builders import make_answer, make_group, make_prompt

CONFIGS: dict[str, TermUnion] = {
    "format": FormatTermConfig(kind="format", weight=1.0, mode="tolerant"),
    "opinion": OpinionTermConfig(kind="opinion", weight=1.0, sigma_fraction=0.1),
    "ranking": RankingTermConfig(kind="ranking", weight=1.0, form="released", ties="half", out_of_range="keep"),
}
GROUPS = [
    make_group(
        [make_answer(4.2), make_answer(3.9), "", make_answer(4.4)],
        prompt=make_prompt("a", opinion=4.5, source="one"),
    ),
    make_group([make_answer(2.0), make_answer(3.0)], prompt=make_prompt("b", opinion=2.0, source="one")),
    make_group(
        ["plain 3", "<answer>" * 50, "é😀<answer>2</answer>"],
        prompt=make_prompt("c", opinion=1.0, source="one"),
    ),
    make_group(
        [make_answer(3), make_answer("-7"), make_answer(999999)],
        prompt=make_prompt("d", opinion=3.0, source="one"),
    ),
    make_group([make_answer(3), make_answer(4)], prompt=make_prompt("e", opinion=3.0, source="alone")),
]

every_term = pytest.mark.parametrize("kind", sorted(TERMS))


def score(kind: str, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
    return asyncio.run(build_term(CONFIGS[kind]).score(groups))


def reordered(group: RolloutGroup, order: Callable[[int], Sequence[int]]) -> RolloutGroup:
    completions = tuple(group.completions[c] for c in order(len(group.completions)))
    return RolloutGroup(prompt=group.prompt, completions=completions, prompt_token_ids=group.prompt_token_ids)


@every_term
def test_a_term_scores_every_completion(kind: str) -> None:
    assert [len(row) for row in score(kind, GROUPS)] == [4, 2, 3, 3, 2]


@every_term
def test_a_score_is_finite_or_an_abstention(kind: str) -> None:
    assert all(s is None or (type(s) is float and math.isfinite(s)) for row in score(kind, GROUPS) for s in row)


@every_term
def test_scoring_again_gives_the_same(kind: str) -> None:
    assert score(kind, GROUPS) == score(kind, GROUPS)


@every_term
def test_permuting_groups_permutes_scores(kind: str) -> None:
    backwards = score(kind, GROUPS[::-1])[::-1]
    assert [pytest.approx(row) for row in score(kind, GROUPS)] == backwards


@every_term
def test_permuting_completions_permutes_scores(kind: str) -> None:
    turned = [reordered(group, lambda size: range(size)[::-1]) for group in GROUPS]
    assert [pytest.approx(row[::-1]) for row in score(kind, turned)] == score(kind, GROUPS)


@every_term
def test_no_groups_give_no_scores(kind: str) -> None:
    assert score(kind, []) == []


@every_term
def test_a_better_answer_never_earns_less_than_an_unreadable_one(kind: str) -> None:
    groups = [
        make_group([make_answer(4.5), make_answer(4.4), "?"], prompt=make_prompt("a", opinion=4.5)),
        make_group([make_answer(2.0), make_answer(2.1), "?"], prompt=make_prompt("b", opinion=2.0)),
    ]
    right, _, unreadable = score(kind, groups)[0]
    assert right is not None
    assert unreadable is not None
    assert right > unreadable


def test_the_schema_and_the_registry_name_the_same_terms() -> None:
    sections = typing.get_args(typing.get_args(TermUnion)[0])
    kinds = {typing.get_args(section.model_fields["kind"].annotation)[0] for section in sections}
    assert kinds == set(TERMS) == set(CONFIGS)


def test_an_unknown_term_lists_the_names_and_the_nearest() -> None:
    with pytest.raises(ValueError, match="known: format, opinion, ranking; nearest: ranking"):
        term_class("rankings")
