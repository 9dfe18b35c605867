"""Learned weights as text: which questions matter, how sure that is, and what was left out."""

from collections.abc import Iterator

from evaluation.checklist.learning import LearnedWeights, QuestionWeight
from evaluation.intervals import Estimate
from evaluation.tables import aligned, decimals, percent, percent_interval, points
from rollout.checklist.questions import Checklist


def format_weights(learned: LearnedWeights, *, checklist: Checklist) -> str:
    """A summary, the questions with a weight from the heaviest to the lightest, and the names of the others."""
    text = {one.question.id: one.question.text for one in checklist.placed}
    heaviest = sorted((one for one in learned.questions if one.weight > 0.0), key=lambda one: -one.weight)
    header = ("question", "weight", "95 %", "kept %", "differs", "agrees %", "text")
    table = aligned([header, *(_row(one, text=text[one.question_id]) for one in heaviest)])
    return "\n".join([*_summary(learned), "", *table, "", *_without(learned)])


def _summary(learned: LearnedWeights) -> Iterator[str]:
    yield (
        f"{learned.num_pairs} pairs of {learned.num_prompts} prompts; left out: {learned.num_ties} ties, "
        f"{learned.num_unusable} with an unusable answer"
    )
    gain = Estimate(value=100 * learned.gain.value, low=100 * learned.gain.low, high=100 * learned.gain.high)
    yield (
        f"accuracy on pairs held out {percent_interval(learned.accuracy)} %, best single question "
        f"{percent_interval(learned.best_single)} %, difference {points(gain)} points"
    )
    curve = ", ".join(f"{one.l2:g}: {decimals(one.log_loss, num_digits=4)}" for one in learned.strengths)
    yield f"l2 {learned.l2:g}, chosen by log loss on pairs held out ({curve}; 0.6931 is chance)"
    if learned.separating:
        yield (
            f"together speak against no pair, so only l2 bounds their weights: {', '.join(learned.separating)}; "
            "label more pairs before trusting their size"
        )


def _row(one: QuestionWeight, *, text: str) -> tuple[str, ...]:
    return (
        one.question_id,
        f"{one.weight:.4f}",
        "-" if one.interval is None else f"[{one.interval[0]:.4f}, {one.interval[1]:.4f}]",
        percent(one.kept_share),
        f"{one.num_differing}",
        percent(one.agreement),
        text,
    )


def _without(learned: LearnedWeights) -> Iterator[str]:
    unseen = [one.question_id for one in learned.questions if not one.num_differing]
    zero = [one.question_id for one in learned.questions if one.weight == 0.0 and one.num_differing]
    if zero:
        yield f"weight 0, they add nothing to the others: {', '.join(zero)}"
    if unseen:
        yield f"weight 0, answered alike in every pair: {', '.join(unseen)}"
