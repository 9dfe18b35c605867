"""What a judge is told about a completion."""

from judge_client.types import ConsistencyQuestion
from rewards.tags import parse_answer
from rollout.types import Preference, Prompt


def asked(prompt: Prompt) -> str:
    """The words of everything the policy was told, without the media."""
    return "\n".join(part for message in prompt.messages for part in message.content if isinstance(part, str))


def consistency_question(prompt: Prompt, text: str) -> ConsistencyQuestion:
    """Ask whether a completion's answer says what its reasoning says.

    Without a think block the reasoning is everything before the first answer tag.
    """
    parsed = parse_answer(text, prompt=prompt)
    reference = prompt.reference
    return ConsistencyQuestion(
        question=reference.question if isinstance(reference, Preference) else asked(prompt),
        reasoning=text.partition("<answer>")[0] if parsed.think is None else parsed.think,
        answer=parsed.answer,
        completion=text,
        task="choice" if isinstance(reference, Preference) else "score",
    )
