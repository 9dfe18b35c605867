"""The wording of pairwise questions, and of the answers demonstrations show.

Media come first, then the text: every published pairwise judge is asked in that order at inference. The full wording
says what R1-Reward's does (arXiv 2505.02835, table 1) in words of our own; the brief one keeps a tiny model's prompts
short.
"""

from collections.abc import Sequence

from conf.data import PairWording
from rollout.types import Choice, Media, Message

_FULL = """\
You are an impartial evaluator of answers to a question about the given image or video. Compare the two responses \
side by side: how accurate they are about what is shown, how complete, how clear and how relevant to the question. \
Their order, length and style must not sway you. A tie is not allowed.

# Question
{question}

# Response 1
{first}

# Response 2
{second}

# Output format
First reason step by step inside <think> </think> tags. Then give the better response inside <answer> </answer> tags, \
as 1 or 2 and nothing else. For example: <think>...</think><answer>1</answer>"""

_BRIEF = """\
{question}
Response 1: {first}
Response 2: {second}
Which response is better? Think in <think> </think> tags, then answer 1 or 2 in <answer> </answer> tags."""

PAIR_WORDINGS: dict[PairWording, str] = {"pairwise": _FULL, "pairwise_brief": _BRIEF}
"""``data.prompt`` -> the user text, with ``{question}``, ``{first}`` and ``{second}`` to be filled in."""


def ask_pair(
    wording: PairWording, *, media: Sequence[Media], question: str, responses: tuple[str, str]
) -> tuple[Message, ...]:
    """One user turn: the media, the question, and the two answers in the order given."""
    text = PAIR_WORDINGS[wording]
    # Filled in one pass, so that a response that holds "{first}" stays as it is.
    filled = text.format(question=question, first=responses[0], second=responses[1])
    return (Message(role="user", content=(*media, filled)),)


def choose(choice: Choice, *, thought: str) -> str:
    """The assistant text that chooses an answer."""
    return f"<think>{thought}</think><answer>{choice}</answer>"


def conclude(choice: Choice) -> str:
    """The sentence with which reasoning ends that favours an answer."""
    return f"Response {choice} is better."
