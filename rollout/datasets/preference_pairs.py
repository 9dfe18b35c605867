"""The data set ``preference_pairs``: files of questions with two answers about pictures or videos.

    files --read_pairs--> PairRow --check all of it--> one or two Prompts per row   (or DatasetProblems before anything)

A training row is asked once, in the order ``data.order`` says, or twice; a test pair in both orders, as neighbours with
the same ``pair_id``, wherever its two answers are known.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from conf.data import PreferencePairsConfig
from rollout.datasets.balance import log_balance
from rollout.datasets.base import Data, check_index
from rollout.datasets.pair_checks import find_problems
from rollout.datasets.pair_files import read_pairs
from rollout.datasets.pair_media import content_of, find_media
from rollout.datasets.pair_questions import ask_pair
from rollout.datasets.pair_rows import MediaSource, PairRow
from rollout.datasets.problems import DatasetProblems, Problem
from rollout.datasets.traces import Trace, read_traces
from rollout.types import Choice, Demonstration, Media, Message, Preference, Prompt

logger = logging.getLogger(__name__)

Found = Mapping[MediaSource, Media]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A row, in one of its two orders."""

    row: PairRow
    is_swapped: bool
    reference_answers: tuple[str, ...] = ()

    @property
    def better(self) -> Choice:
        """The better answer as shown."""
        return 1 if (self.row.better == 2) == self.is_swapped else 2


class PreferencePairs:
    """One checked split; media are read from their files when a prompt is encoded."""

    def __init__(self, asked: Sequence[Asked], *, media: Found, config: PreferencePairsConfig) -> None:
        self._asked, self._media, self._config = tuple(asked), media, config
        self._source = "+".join(sorted({one.row.source for one in asked}))

    @property
    def source(self) -> str:
        """The data sets the rows name, joined by "+"."""
        return self._source

    def __len__(self) -> int:
        """Number of questions: one or two per row."""
        return len(self._asked)

    def prompt(self, index: int) -> Prompt:
        """The question at ``index``."""
        check_index(index, size=len(self), name=self._source)
        return _prompt(self._asked[index], media=self._media, config=self._config)


class TraceDemonstrations:
    """Training rows as they stand in the file, with what a teacher said who got them right."""

    def __init__(self, dataset: PreferencePairs, *, targets: Sequence[str]) -> None:
        self._dataset, self._targets = dataset, tuple(targets)

    def __len__(self) -> int:
        """One for every right trace."""
        return len(self._targets)

    def demonstration(self, index: int) -> Demonstration:
        """The example at ``index``."""
        return Demonstration(prompt=self._dataset.prompt(index), target=self._targets[index])


def build_preference_pairs(config: PreferencePairsConfig) -> Data:
    """Both splits, checked; the cold start where traces are given, and no warm-up: nobody says what is to be seen.

    Raises:
        DatasetProblems: Lists every problem of the files, rows, media and traces.
    """
    checked = _checked(config)
    asked = [_with_trace(one, traces=checked.traces) for one in _training_orders(checked.to_learn, config=config)]
    train = PreferencePairs(asked, media=checked.media, config=config)
    test = PreferencePairs(_test_orders(checked.test), media=checked.media, config=config)
    log_balance(train, split="train")
    log_balance(test, split="test")
    every_row = [*checked.train, *checked.test]
    return Data(
        train=train,
        test=test,
        warm_up=None,
        cold_start=_demonstrations(checked, config=config) if checked.traces else None,
        max_images=max(sum(source.kind == "image" for source in row.media) for row in every_row),
        max_videos=max(sum(source.kind == "video" for source in row.media) for row in every_row),
    )


def training_rows(config: PreferencePairsConfig) -> PreferencePairs:
    """Every training row once, as it stands in the file, whatever the options say: what traces are collected for.

    Raises:
        DatasetProblems: As ``build_preference_pairs``; existing traces are not looked at.
    """
    checked = _checked(config.model_copy(update={"order": "as_given", "traces": None, "difficulty": "all"}))
    return PreferencePairs(_as_given(checked.train), media=checked.media, config=config)


def pair_id_of(row: PairRow) -> str:
    """Names a pair in traces and reports."""
    return f"{row.source}/{row.row_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Checked:
    """Everything the configuration names, read and found to be in order."""

    train: Sequence[PairRow]
    to_learn: Sequence[PairRow]
    """Those of the training rows that reinforcement learning sees."""
    test: Sequence[PairRow]
    media: Found
    traces: Mapping[str, Trace]


def _checked(config: PreferencePairsConfig) -> _Checked:
    train, problems = read_pairs(Path(config.train_labels), label_format=config.label_format, split="train")
    test, test_problems = read_pairs(Path(config.test_labels), label_format=config.label_format, split="test")
    media, media_problems = find_media([*train, *test], config=config)
    problems = [*problems, *test_problems, *find_problems(train, test, config=config), *media_problems]
    traces: dict[str, Trace] = {}
    if config.traces is not None:
        traces, trace_problems = read_traces(Path(config.traces))
        problems += [*trace_problems, *_trace_problems(train, traces, config=config)]
    if problems:
        raise DatasetProblems(problems)
    to_learn = [row for row in train if config.difficulty == "all" or traces[pair_id_of(row)].is_hard]
    logger.info("pairs train=%d to_learn=%d test=%d", len(train), len(to_learn), len(test))
    return _Checked(train=train, to_learn=to_learn, test=test, media=media, traces=traces)


def _demonstrations(checked: _Checked, *, config: PreferencePairsConfig) -> TraceDemonstrations:
    traced = [row for row in checked.train if pair_id_of(row) in checked.traces]
    right = [row for row in traced if checked.traces[pair_id_of(row)].is_right]
    dataset = PreferencePairs(_as_given(right), media=checked.media, config=config)
    return TraceDemonstrations(dataset, targets=[checked.traces[pair_id_of(row)].text for row in right])


def _trace_problems(
    train: Sequence[PairRow], traces: Mapping[str, Trace], *, config: PreferencePairsConfig
) -> Iterable[Problem]:
    where = str(config.traces)
    traced = [(row, traces[pair_id_of(row)]) for row in train if pair_id_of(row) in traces]
    logger.info("traces file=%s rows=%d of=%d unused=%d", where, len(traced), len(train), len(traces) - len(traced))
    for row, trace in traced:
        if trace.better != row.better:
            what = f"the trace of {pair_id_of(row)!r} was collected with answer {trace.better} as the better one"
            yield Problem(kind="trace", where=row.where, what=what)
    if not any(trace.is_right for _, trace in traced):
        yield Problem(kind="trace", where=where, what="no right trace of any training row")
    if config.difficulty == "hard" and len(traced) < len(train):
        what = (
            f"{len(train) - len(traced)} of {len(train)} training rows have no trace, which data.difficulty=hard needs"
        )
        yield Problem(kind="trace", where=where, what=what)
    elif config.difficulty == "hard" and not any(trace.is_hard for _, trace in traced):
        what = "the teacher got every row right at once; data.difficulty=hard leaves none"
        yield Problem(kind="trace", where=where, what=what)


def _as_given(rows: Iterable[PairRow]) -> list[Asked]:
    return [Asked(row=row, is_swapped=False) for row in rows]


def _training_orders(rows: Sequence[PairRow], *, config: PreferencePairsConfig) -> list[Asked]:
    if config.order == "as_given":
        return _as_given(rows)
    if config.order == "both":
        return _both_orders(rows)
    # A permutation and not a coin for each row, so that neither answer is the better one more often.
    ranks = np.random.default_rng(config.data_seed).permutation(len(rows))
    return [
        Asked(row=row, is_swapped=(row.better == 1) == bool(rank % 2)) for row, rank in zip(rows, ranks, strict=True)
    ]


def _test_orders(rows: Sequence[PairRow]) -> list[Asked]:
    return [one for row in rows for one in (_both_orders([row]) if row.responses is not None else _as_given([row]))]


def _both_orders(rows: Sequence[PairRow]) -> list[Asked]:
    return [Asked(row=row, is_swapped=is_swapped) for row in rows for is_swapped in (False, True)]


def _with_trace(asked: Asked, *, traces: Mapping[str, Trace]) -> Asked:
    """With a right trace as its reference answer; a trace names the answers by their places in the file."""
    trace = traces.get(pair_id_of(asked.row))
    if trace is None or not trace.is_right or asked.is_swapped:
        return asked
    return replace(asked, reference_answers=(trace.text,))


def _prompt(asked: Asked, *, media: Found, config: PreferencePairsConfig) -> Prompt:
    row, better = asked.row, asked.better
    responses = (row.responses[1], row.responses[0]) if row.responses and asked.is_swapped else row.responses
    if config.prompt == "as_given":
        turns = row.swapped_turns if asked.is_swapped else row.turns
        contents = (tuple(part if isinstance(part, str) else media[part] for part in turn.content) for turn in turns)
        messages = tuple(
            Message(role=turn.role, content=content) for turn, content in zip(turns, contents, strict=True)
        )
    else:
        assert responses is not None, "rows without known answers were refused"
        shown = [media[source] for source in row.media]
        messages = ask_pair(config.prompt, media=shown, question=row.question, responses=responses)
    return Prompt(
        prompt_id=f"{pair_id_of(row)}/{better}",
        messages=messages,
        reference=Preference(better=better, pair_id=pair_id_of(row), question=row.question, responses=responses),
        reference_answers=asked.reference_answers,
        source=row.source,
        content_id=content_of(row.media[0]),
    )
