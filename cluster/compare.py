"""``arbiter compare``: two pictures by their scores, or two answers about one picture in both orders.

compare FILE FILE                    each is scored as by ``arbiter score``; the difference
compare FILE QUESTION ANSWER ANSWER  asked in the wording of ``benchmark.prompt``, each answer shown first once
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cluster.score import check_kinds, scoring_config
from cluster.scoring_judge import opened_judge
from conf.errors import ConfigError
from conf.schema import RunConfig
from conf.score import ScoreConfig
from evaluation.benchmarks.answers import Answer
from evaluation.benchmarks.questions import plan_requests
from evaluation.scoring.asking import SOURCE, media_of
from evaluation.scoring.items import Item
from evaluation.scoring.rows import ScoreRow
from rewards.tags import parse_choice
from rollout.datasets.pair_questions import ask_pair
from rollout.media import inspect_image
from rollout.types import Choice, Media, Prompt, Unlabelled

TEXT_ENDING = ".txt"
GIVEN, SWAPPED = "as given", "swapped"
NUM_PICTURES, NUM_WORDS_OF_A_PAIR = 2, 4


def compare(words: Sequence[str], overrides: Sequence[str], console: Console) -> int:
    """Print which is better; returns the exit status."""
    if len(words) not in (NUM_PICTURES, NUM_WORDS_OF_A_PAIR):
        raise ConfigError(
            [f"compare takes two files, or a file, a question and two answers; got {len(words)} arguments"]
        )
    for name in words[:1] if len(words) == NUM_WORDS_OF_A_PAIR else words:
        if not Path(name).exists():
            raise ConfigError([f"{name}: no such file"])
    config, options = scoring_config(overrides)
    ask = _compare_pictures if len(words) == NUM_PICTURES else _compare_answers
    console.print(asyncio.run(ask(config, options, words)), soft_wrap=True)
    return 0


async def _compare_pictures(config: RunConfig, options: ScoreConfig, words: Sequence[str]) -> str:
    items = [Item(item_id=f"{place} {name}", path=name) for place, name in zip("AB", words, strict=True)]
    kinds = frozenset(item.kind for item in items)
    check_kinds(config, options, kinds=kinds, asked_alike=kinds)
    rows: dict[str, ScoreRow] = {}
    async with opened_judge(config, options, kinds=kinds) as judge:
        await judge.start()
        async with aclosing(judge.scorer.score(items)) as parts:
            async for part in parts:
                rows |= {row.id: row for row in part}
    first, second = (rows[item.item_id] for item in items)
    return "\n".join([*judge.notes, _told(first), _told(second), difference(first, second)])


def difference(first: ScoreRow, second: ScoreRow) -> str:
    """Which of two pictures has the higher score, in words."""
    if first.score is None or second.score is None:
        return "cannot be compared: " + ", ".join(row.id for row in (first, second) if row.score is None)
    by = second.score - first.score
    if by == 0:
        return "the same score"
    better = second if by > 0 else first
    return f"{better.id} is better by {abs(by):.3f}"


def _told(row: ScoreRow) -> str:
    score = "no score" if row.score is None else f"{row.score:.3f}"
    spread = "" if row.std is None else f" +- {row.std:.3f}"
    why = f" ({row.status}{': ' + row.error if row.error else ''})" if row.status != "ok" else ""
    said = row.reasoning or row.text
    return f"{row.id}: {score}{spread}{why}" + (f"\n  {' '.join(said.split())}" if said else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ballot:
    """What was answered in one order, counted by the answers as they were given on the command line."""

    num_first: int
    num_second: int
    num_unreadable: int

    @property
    def winner(self) -> Choice | None:
        """The answer most votes are for; None for a tie."""
        if self.num_first == self.num_second:
            return None
        return 1 if self.num_first > self.num_second else 2


async def _compare_answers(config: RunConfig, options: ScoreConfig, words: Sequence[str]) -> str:
    item = Item(item_id=words[0], path=words[0])
    media = media_of(item, video=config.benchmark.video)
    if media.kind == "image":
        inspect_image(media)
    question, *answers = map(_text_of, words[1:])
    first, second = answers
    prompts = [
        _prompt(config, GIVEN, media, question, (first, second)),
        _prompt(config, SWAPPED, media, question, (second, first)),
    ]
    requests = plan_requests(prompts, num_votes=options.num_samples)
    given: dict[str, Answer] = {}
    async with opened_judge(config, options, kinds=frozenset({media.kind})) as judge:
        await judge.start()
        async with aclosing(judge.answerer.answer(requests)) as arriving:
            given = {answer.key: answer async for answer in arriving}
    failed = next((answer.error for answer in given.values() if answer.error is not None), None)
    if failed is not None:
        raise ConnectionError(failed)
    ballots = {
        prompt.prompt_id: count(
            [given[request.key].text or "" for request in requests if request.prompt is prompt],
            is_swapped=prompt.prompt_id == SWAPPED,
        )
        for prompt in prompts
    }
    return "\n".join(
        [*judge.notes, *(f"{order}: {_tally(ballot)}" for order, ballot in ballots.items()), verdict(ballots)]
    )


def count(texts: Sequence[str], *, is_swapped: bool) -> Ballot:
    """The votes of one order."""
    choices = [parse_choice(text).choice for text in texts]
    shown = [choices.count(1), choices.count(2)]
    first, second = reversed(shown) if is_swapped else shown
    return Ballot(num_first=first, num_second=second, num_unreadable=choices.count(None))


def verdict(ballots: Mapping[str, Ballot]) -> str:
    """What both orders say together."""
    winners = {ballot.winner for ballot in ballots.values()}
    if len(winners) == 1 and None not in winners:
        (winner,) = winners
        return f"answer {winner} is better, in both orders"
    if winners == {1, 2}:
        return "undecided: the choice follows the order in which the answers are shown"
    return "undecided: no majority in at least one order"


def _tally(ballot: Ballot) -> str:
    return f"answer 1 {ballot.num_first}, answer 2 {ballot.num_second}, unreadable {ballot.num_unreadable}"


def _prompt(config: RunConfig, order: str, media: Media, question: str, responses: tuple[str, str]) -> Prompt:
    return Prompt(
        prompt_id=order,
        messages=ask_pair(config.benchmark.prompt, media=[media], question=question, responses=responses),
        reference=Unlabelled(),
        source=SOURCE,
        content_id=order,
    )


def _text_of(word: str) -> str:
    """A text, or what stands in the text file of that name."""
    path = Path(word)
    return path.read_text(encoding="utf-8").strip() if word.endswith(TEXT_ENDING) and path.is_file() else word
