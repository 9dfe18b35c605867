"""The data set ``opinion_score``: a folder of pictures and label files in one of the published formats.

    label files --read--> LabelRow --check all of it--> Prompt     (or DatasetProblems before anything starts)

Labels are mapped linearly from the declared ``label_range`` to the declared ``scale``; difference scores
(lower is better) are turned round. Every row and every picture of both splits is checked first, and all that
is wrong is listed at once.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from conf.data import OpinionScoreConfig
from rollout.datasets.base import Data, check_index, declared_scale
from rollout.datasets.label_files import LabelRow, read_labels
from rollout.datasets.problems import DatasetProblems, Problem
from rollout.datasets.questions import answer, ask, asks_for_thinking, rating_question, uninformative_score
from rollout.media import inspect_image
from rollout.types import Demonstration, Media, Opinion, Prompt, Scale

logger = logging.getLogger(__name__)

_ROUNDING = 1e-9
"""Share of the label range a label may lie outside: published files hold 100.00000000000001."""
_COLD_START_SEED = 0
_NEUTRAL_THOUGHT = "I look at sharpness, noise, colour and compression."


class OpinionScores:
    """One checked split; pictures are read from their files when a prompt is encoded."""

    def __init__(self, rows: Sequence[LabelRow], *, config: OpinionScoreConfig) -> None:
        self._rows = tuple(rows)
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
        picture = Media(kind="image", path=str(Path(self._config.image_folder) / row.image))
        return Prompt(
            prompt_id=f"{row.dataset_name}/{row.image}",
            messages=ask(self._config.prompt, picture=picture, scale=self._scale),
            reference=rescale(row.label, std=row.std, config=self._config),
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
        DatasetProblems: Lists every problem of both label files and of all pictures.
    """
    train, problems = read_labels(Path(config.train_labels), label_format=config.label_format, split="train")
    test, test_problems = read_labels(Path(config.test_labels), label_format=config.test_label_format, split="test")
    problems = [*problems, *test_problems, *_find_problems(train, test, config=config)]
    if problems:
        raise DatasetProblems(problems)
    for name, rows in (("train", train), ("test", test)):
        labels = [row.label for row in rows]
        logger.info("labels split=%s rows=%d lowest=%g highest=%g", name, len(rows), min(labels), max(labels))
    dataset = OpinionScores(train, config=config)
    return Data(
        train=dataset,
        test=OpinionScores(test, config=config),
        warm_up=None,
        cold_start=RandomScoreDemonstrations(dataset, config=config),
    )


def rescale(label: float, *, std: float | None, config: OpinionScoreConfig) -> Opinion:
    """A label of ``label_range`` on the declared scale, best at its maximum; ``std`` shrinks alike."""
    low, high = config.label_range.minimum, config.label_range.maximum
    scale = declared_scale(config.scale)
    span = scale.maximum - scale.minimum
    share = (label - low) / (high - low) if config.higher_is_better else (high - label) / (high - low)
    return Opinion(
        # The bounds cut rounding noise only: labels outside the range were refused.
        score=min(max(share * span + scale.minimum, scale.minimum), scale.maximum),
        scale=scale,
        std=None if std is None else std * span / (high - low),
    )


def _find_problems(
    train: Sequence[LabelRow], test: Sequence[LabelRow], *, config: OpinionScoreConfig
) -> Iterator[Problem]:
    folder = Path(config.image_folder)
    questions = _accepted_questions(config)
    for rows in (train, test):
        for row in rows:
            yield from _check_label(row, config=config)
            yield from _check_question(row, accepted=questions)
        yield from _find_duplicates(rows, folder=folder)
    yield from _find_leakage(train, test, folder=folder)
    if folder.is_dir():
        yield from _check_pictures([*train, *test], folder=folder)
    else:
        yield Problem(kind="missing_folder", where=str(folder), what=_no_folder(folder))


def _no_folder(folder: Path) -> str:
    found = "a file" if folder.exists() else "nothing"
    return f"data.image_folder must be an existing folder, found {found} there"


def _check_label(row: LabelRow, *, config: OpinionScoreConfig) -> Iterator[Problem]:
    low, high = config.label_range.minimum, config.label_range.maximum
    slack = _ROUNDING * (high - low)
    if not low - slack <= row.label <= high + slack:
        what = f"label {row.label} of {row.image} lies outside data.label_range {low:g}..{high:g}"
        yield Problem(kind="range", where=row.where, what=what)


def _accepted_questions(config: OpinionScoreConfig) -> frozenset[str]:
    """What a row may ask: the configured question, in the numbers of the scale or of the labels."""
    labels_on = Scale(minimum=config.label_range.minimum, maximum=config.label_range.maximum)
    return frozenset({rating_question(declared_scale(config.scale)), rating_question(labels_on)})


def _check_question(row: LabelRow, *, accepted: frozenset[str]) -> Iterator[Problem]:
    if row.question is not None and row.question not in accepted:
        what = f"asks another question than data.prompt: {row.question[:80]!r}..."
        yield Problem(kind="question", where=row.where, what=what)


def _find_duplicates(rows: Sequence[LabelRow], *, folder: Path) -> Iterator[Problem]:
    first_by_path: dict[Path, str] = {}
    first_by_id: dict[int | str, str] = {}
    for row in rows:
        first = first_by_path.setdefault(_resolved(row, folder=folder), row.where)
        if first != row.where:
            yield Problem(
                kind="duplicate", where=row.where, what=f"picture {row.image} was labelled before, at {first}"
            )
        if row.row_id is None:
            continue
        first = first_by_id.setdefault(row.row_id, row.where)
        if first != row.where:
            yield Problem(kind="duplicate", where=row.where, what=f"id {row.row_id!r} was used before, at {first}")


def _find_leakage(train: Sequence[LabelRow], test: Sequence[LabelRow], *, folder: Path) -> Iterator[Problem]:
    trained_pictures = {_resolved(row, folder=folder): row.where for row in train}
    trained_contents = {(row.dataset_name, row.content): row.where for row in train}
    for row in test:
        picture = trained_pictures.get(_resolved(row, folder=folder))
        content = trained_contents.get((row.dataset_name, row.content))
        if picture is not None:
            what = f"test picture {row.image} is also trained on, at {picture}"
            yield Problem(kind="leakage", where=row.where, what=what)
        elif content is not None:
            what = f"test picture {row.image} shows {row.content}, a scene also trained on, at {content}"
            yield Problem(kind="leakage", where=row.where, what=what)


def _check_pictures(rows: Sequence[LabelRow], *, folder: Path) -> Iterator[Problem]:
    """Decode every picture once; decoding releases the interpreter lock, so threads help."""
    logger.info("checking pictures=%d folder=%s", len(rows), folder)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda row: _check_picture(row, folder=folder), rows)
        yield from (problem for problem in found if problem is not None)


def _check_picture(row: LabelRow, *, folder: Path) -> Problem | None:
    path = folder / row.image
    if not path.is_file():
        return Problem(kind="missing_image", where=row.where, what=f"no picture {path}")
    try:
        inspect_image(Media(kind="image", path=str(path)))
    except ValueError as error:
        return Problem(kind="unreadable_image", where=row.where, what=str(error))
    return None


def _resolved(row: LabelRow, *, folder: Path) -> Path:
    return (folder / row.image).resolve()
