"""What a teacher and a checker of critiques are asked (``critiques.py``)."""

from rollout.types import Media, Message, Prompt, Unlabelled


def critique_prompt(prompt: Prompt) -> Prompt:
    """For the teacher: picture and score, and a critique that leads from the one to the other."""
    scale, score = prompt.opinion.scale, prompt.opinion.score
    text = (
        f"People rated this on a scale from {scale.minimum:g} (worst) to {scale.maximum:g} (best); their mean is "
        f"{score:.2f}. The question they answered: {_question(prompt)}\nWrite the reasoning of a careful judge who "
        "arrives at this rating by looking alone: what is there, what is good and bad about it, how much each matters. "
        "End with a verdict in words that fits the rating. Name no number, and do not say or hint that you knew the "
        "rating. Plain sentences, no lists and no tags."
    )
    return _unlabelled(prompt, content=(picture_of(prompt), text))


def level_prompt(prompt: Prompt, critique: str) -> Prompt:
    """For the checker: the critique alone, and which level it leads to."""
    text = (
        "Below is a critique of something you cannot see. Which verdict does it lead to: bad, fair or good? Reply with "
        f"that one word.\n\n{critique}"
    )
    return _unlabelled(prompt, content=(text,))


def facts_prompt(prompt: Prompt, critique: str) -> Prompt:
    """For the checker: picture and critique, and whether the one shows what the other states."""
    text = (
        "Above is what the critique below is about. Judge its facts and not its taste: the things, places, colours, "
        "light and defects it says are there. Reply with one word: right if all of them are to be seen, wrong if any "
        f"is not there or is otherwise.\n\n{critique}"
    )
    return _unlabelled(prompt, content=(picture_of(prompt), text))


def picture_of(prompt: Prompt) -> Media:
    """The one picture or video that is asked about."""
    (picture,) = prompt.media()
    return picture


def _unlabelled(prompt: Prompt, *, content: tuple[str | Media, ...]) -> Prompt:
    return Prompt(
        prompt_id=prompt.prompt_id,
        messages=(Message(role="user", content=content),),
        reference=Unlabelled(),
        source=prompt.source,
        content_id=prompt.content_id,
        wants_thinking=False,
    )


def _question(prompt: Prompt) -> str:
    """The text of the question the policy is asked, media left out."""
    return "".join(part for message in prompt.messages for part in message.content if isinstance(part, str)).strip()
