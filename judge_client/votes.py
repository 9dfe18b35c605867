"""Several replies to one prompt become one verdict."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from judge_client.endpoint import Failure, Reply
from judge_client.prompt import Prompt
from judge_client.types import Verdict


def decide(prompt: Prompt, results: Sequence[Reply | Failure]) -> Verdict:
    """The outcome that most of the readable votes name; a tie abstains, and so does a lack of readable votes."""
    votes = [_read(prompt, result) for result in results]
    counts = Counter(vote.outcome for vote in votes if vote.cause is None).most_common(2)
    if not counts:
        chosen = votes[0]
    elif len(counts) == 2 and counts[0][1] == counts[1][1]:
        tie = " against ".join(f"{number} {outcome}" for outcome, number in counts)
        chosen = Verdict(outcome="abstained", cause="split", detail=tie)
    else:
        chosen = next(vote for vote in votes if vote.outcome == counts[0][0])
    return replace(
        chosen,
        votes=tuple(vote.outcome for vote in votes),
        prompt_tokens=sum(vote.prompt_tokens for vote in votes),
        completion_tokens=sum(vote.completion_tokens for vote in votes),
    )


def _read(prompt: Prompt, result: Reply | Failure) -> Verdict:
    """One vote as a verdict."""
    if isinstance(result, Failure):
        return Verdict(outcome="abstained", cause=result.cause, detail=result.detail)
    outcome = prompt.read(result.text)
    return Verdict(
        outcome=outcome or "abstained",
        cause=None if outcome else "unreadable",
        detail="" if outcome else f"{result.endpoint}: expected {prompt.expected}",
        text=result.text,
        prompt_tokens=result.prompt_tokens,
        completion_tokens=result.completion_tokens,
        endpoint=result.endpoint,
    )
