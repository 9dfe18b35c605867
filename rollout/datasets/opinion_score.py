"""The data set ``opinion_score``: folders of pictures and videos, and label files in a published format or our own.

    label files --read--> LabelRow --check all of it--> Prompt     (or DatasetProblems before anything starts)

Labels are mapped linearly from the declared ``label_range``, or from the scale a row declares itself, to the declared
``scale``; difference scores (lower is better) are turned round. Every row and every picture of both splits is checked
first, and all that is wrong is listed at once.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np

from conf.data import OpinionScoreConfig
from rollout.datasets.base import Data, Mixture, check_index, declared_scale
from rollout.datasets.label_checks import (
    MediaFolders,
    find_duplicates,
    find_leakage,
    find_out_of_range,
    find_repeated_ids,
)
from rollout.datasets.label_files import read_labels, unnamed_in
from rollout.datasets.label_objects import named_scale
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.normalise import LinearMap
from rollout.datasets.problems import DatasetProblems, Problem
from rollout.datasets.questions import answer, ask, asks_for_thinking, uninformative_score
from rollout.media import inspect_image
from rollout.types import Demonstration, Media, Opinion, Prompt, Scale
from rollout.videos import open_video
from rollout.wordings import look_up

logger = logging.getLogger(__name__)

_COLD_START_SEED = 0
_NEUTRAL_THOUGHT = "I look at sharpness, noise, colour and compression."


class OpinionScores:
    """One checked split; media are read from their files when a prompt is encoded."""

    def __init__(self, rows: Sequence[LabelRow], *, media: Sequence[Media], config: OpinionScoreConfig) -> None:
        self._rows, self._media = tuple(rows), tuple(media)
        self._config = config
        self._scale = declared_scale(config.scale)
        self._source = "+".join(sorted({row.dataset_name for row in rows}))

    @property
    def source(self) -> str:
        """The data sets the rows name, joined by "+"."""
        return self._source

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def prompt(self, index: int) -> Prompt:
        """The row at ``index`` with the configured question; its label is on the declared scale."""
        check_index(index, size=len(self), name=self._source)
        row = self._rows[index]
        return Prompt(
            prompt_id=f"{row.dataset_name}/{row.media}",
            messages=ask(self._config.prompt, picture=self._media[index], scale=self._scale),
            reference=opinion_of(row, config=self._config),
            source=row.dataset_name,
            content_id=row.content,
            wants_thinking=asks_for_thinking(self._config.prompt),
        )


class RandomScoreDemonstrations:
    """The answer format on the training pictures, with scores drawn without a look at them."""

    def __init__(self, dataset: OpinionScores, *, config: OpinionScoreConfig) -> None:
        self._dataset = dataset
        self._config = config

    def __len__(self) -> int:
        """One for every training row."""
        return len(self._dataset)

    def demonstration(self, index: int) -> Demonstration:
        """The prompt at ``index`` with an answer of the right form and no information."""
        prompt = self._dataset.prompt(index)
        rng = np.random.default_rng((_COLD_START_SEED, index))
        score = uninformative_score(prompt.opinion.scale, rng=rng)
        return Demonstration(prompt=prompt, target=answer(self._config.prompt, thought=_NEUTRAL_THOUGHT, score=score))


def build_opinion_score(config: OpinionScoreConfig) -> Data:
    """Both splits, checked; no warm-up, because opinion scores do not say what is wrong with a picture.

    Raises:
        DatasetProblems: Lists every problem of all label files and of all pictures.
    """
    train, problems = read_split(config, split="train")
    test, test_problems = read_split(config, split="test")
    folders = MediaFolders(config.image_folder, called="data.image_folder")
    problems = [*problems, *test_problems, *_find_problems(train, test, folders=folders, config=config)]
    opened = list(_open_all([*train, *test], folders=folders, config=config)) if not _lacks_folder(problems) else []
    problems += [one for one in opened if isinstance(one, Problem)]
    if problems:
        raise DatasetProblems(problems)
    media = [one for one in opened if isinstance(one, Media)]
    for name, rows in (("train", train), ("test", test)):
        _log_labels(rows, split=name)
    dataset = OpinionScores(train, media=media[: len(train)], config=config)
    return Data(
        train=dataset,
        test=OpinionScores(test, media=media[len(train) :], config=config),
        warm_up=None,
        cold_start=RandomScoreDemonstrations(dataset, config=config),
        max_videos=int(any(one.kind == "video" for one in media)),
        mixture=mixture_of(train, config=config),
        asked_scales=asked_scales(train),
    )


def read_split(config: OpinionScoreConfig, *, split: Literal["train", "test"]) -> tuple[list[LabelRow], list[Problem]]:
    """The rows of a split's label files one after the other, and what is wrong with the others; opens no picture."""
    given = config.train_labels if split == "train" else config.test_labels
    label_format = config.label_format if split == "train" else config.test_label_format
    rows: list[LabelRow] = []
    problems: list[Problem] = []
    num_unnamed = 0
    for name in [given] if isinstance(given, str) else given:
        found, wrong = read_labels(Path(name), label_format=label_format, called=f"data.{split}_labels")
        rows += found
        problems += [*wrong, *find_repeated_ids(found)]
        num_unnamed += any(row.dataset_name == unnamed_in(label_format) for row in found)
    if num_unnamed > 1:
        logger.warning(
            "labels split=%s: %d files have rows without a name of their data set, which are all of %s and compared "
            "with one another; name them with arbiter data convert --dataset NAME",
            split, num_unnamed, unnamed_in(label_format),
        )  # fmt: skip
    return rows, problems


def mixture_of(rows: Sequence[LabelRow], *, config: OpinionScoreConfig) -> Mixture | None:
    """How the data sets of the rows share a step; None where all rows are shuffled together."""
    if config.mixture == "proportional" and config.chunk_size == 1:
        return None
    names = tuple(row.dataset_name for row in rows)
    return Mixture(names=names, rule=config.mixture, chunk_size=config.chunk_size)


def asked_scales(rows: Sequence[LabelRow]) -> tuple[Scale, ...]:
    """The scales that questions of the rows name, from the lowest."""
    named = {named_scale(question) for question in {row.question for row in rows}}
    return tuple(
        sorted((scale for scale in named if scale is not None), key=lambda scale: (scale.minimum, scale.maximum))
    )


def opinion_of(row: LabelRow, *, config: OpinionScoreConfig) -> Opinion:
    """The row's label and spread on the declared scale."""
    scale = declared_scale(config.scale)
    linear = LinearMap(
        given=row.scale or declared_scale(config.label_range), target=scale, higher_is_better=config.higher_is_better
    )
    return Opinion(score=linear.label(row.label), scale=scale, std=linear.std(row.std))


def _find_problems(
    train: Sequence[LabelRow], test: Sequence[LabelRow], *, folders: MediaFolders, config: OpinionScoreConfig
) -> Iterator[Problem]:
    questions = _accepted_questions(config)
    given = declared_scale(config.label_range)
    for rows in (train, test):
        yield from find_out_of_range(rows, given=given, called="data.label_range")
        for row in rows:
            yield from _check_question(row, accepted=questions)
        yield from find_duplicates(rows, folders=folders)
    yield from _check_kinds([*train, *test], config=config)
    yield from find_leakage(train, test, folders=folders)
    yield from folders.problems([*train, *test])


def _lacks_folder(problems: Sequence[Problem]) -> bool:
    """Whether looking for pictures would only repeat that their folder is not there."""
    return any(problem.kind in ("missing_folder", "no_folder") for problem in problems)


def _accepted_questions(config: OpinionScoreConfig) -> frozenset[str]:
    """What a row may ask: the configured question, in the numbers of the scale or of the labels."""
    labels_on = Scale(minimum=config.label_range.minimum, maximum=config.label_range.maximum)
    text = look_up(config.prompt)
    return frozenset({*text.in_rows(scale=declared_scale(config.scale)), *text.in_rows(scale=labels_on)})


def _check_question(row: LabelRow, *, accepted: frozenset[str]) -> Iterator[Problem]:
    if row.question is not None and row.question not in accepted:
        what = f"asks another question than data.prompt: {row.question[:80]!r}..."
        yield Problem(kind="question", where=row.where, what=what)


def _check_kinds(rows: Sequence[LabelRow], *, config: OpinionScoreConfig) -> Iterator[Problem]:
    """Refuse videos where the wording asks about pictures, and the other way round, at the first such row."""
    first_row: dict[str, LabelRow] = {}
    for row in rows:
        first_row.setdefault(row.kind, row)
    for row in first_row.values():
        try:
            look_up(config.prompt).text(row.kind, scale=None)
        except ValueError as error:
            yield Problem(kind="question", where=row.where, what=str(error))


def _open_all(
    rows: Sequence[LabelRow], *, folders: MediaFolders, config: OpinionScoreConfig
) -> Iterator[Media | Problem]:
    """The medium of each row, decoded once; decoding releases the interpreter lock, so threads help."""
    num_videos = sum(row.kind == "video" for row in rows)
    logger.info("checking pictures=%d videos=%d", len(rows) - num_videos, num_videos)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(lambda row: _open(row, path=folders.path(row), config=config), rows)


def _open(row: LabelRow, *, path: Path, config: OpinionScoreConfig) -> Media | Problem:
    return _open_picture(row, path=path) if row.kind == "image" else _open_video(row, path=path, config=config)


def _open_video(row: LabelRow, *, path: Path, config: OpinionScoreConfig) -> Media | Problem:
    if not path.exists():
        return Problem(kind="missing_video", where=row.where, what=f"no video {path}")
    try:
        return open_video(path, config=config.video)
    except ValueError as error:
        return Problem(kind="unreadable_video", where=row.where, what=str(error))


def _open_picture(row: LabelRow, *, path: Path) -> Media | Problem:
    if not path.is_file():
        return Problem(kind="missing_image", where=row.where, what=f"no picture {path}")
    media = Media(kind="image", path=str(path))
    try:
        inspect_image(media)
    except ValueError as error:
        return Problem(kind="unreadable_image", where=row.where, what=str(error))
    return media


def _log_labels(rows: Sequence[LabelRow], *, split: str) -> None:
    for name, count in Counter(row.dataset_name for row in rows).items():
        labels = [row.label for row in rows if row.dataset_name == name]
        logger.info(
            "labels split=%s source=%s rows=%d lowest=%g highest=%g", split, name, count, min(labels), max(labels)
        )
