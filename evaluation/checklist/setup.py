"""The checklist and the weights that settings name."""

from pathlib import Path

from rewards.checklist.published import load_published
from rewards.checklist.weights import Weights, equal_weights, kept_weights, read_weights
from rollout.checklist.load import look_up
from rollout.checklist.questions import Checklist

PUBLISHED_ENDING, PUBLISHED_WEIGHTS_ENDING = ".txt", ".json"


def load_checklist(questions: str) -> Checklist:
    """A checklist by name, from YAML, or VisionReward's.

    Raises:
        ValueError: There is no such checklist.
    """
    if questions.endswith(PUBLISHED_ENDING):
        return load_published(Path(questions), weights=None).checklist
    return look_up(questions)


def load_weights(weights: str | None, *, questions: str, asked: Checklist) -> Weights:
    """The weights of the questions that were ``asked``, all of those called ``questions`` or a part of them; all alike
    where no file is named.

    Raises:
        ValueError: They belong to other questions.
    """
    if weights is None:
        return equal_weights(asked)
    path = Path(weights)
    if questions.endswith(PUBLISHED_ENDING) and path.suffix == PUBLISHED_WEIGHTS_ENDING:
        published = load_published(Path(questions), weights=path).weights
        assert published is not None, "they were asked for"
        return kept_weights(published, checklist=asked)
    whole = load_checklist(questions)
    try:
        return read_weights(path, checklist=asked)
    except ValueError:  # learned for the whole, perhaps
        if asked == whole:
            raise
    return kept_weights(read_weights(path, checklist=whole), checklist=asked)
