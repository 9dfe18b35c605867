"""How a question of a checklist is put: the same message in training and when a trained judge is asked."""

from conf.data import QUESTION
from rollout.checklist.questions import Gate, Question
from rollout.types import Media, Message


def question_messages(
    question: Gate | Question, *, media: Media, wording: str, made_from: str | None
) -> tuple[Message, ...]:
    """One user turn: the picture or video, then the question as ``wording`` puts it.

    Raises:
        ValueError: The question quotes the text the media was made from, and there is none.
    """
    text = wording.replace(QUESTION, question.asked_of(made_from))
    return (Message(role="user", content=(media, text)),)
