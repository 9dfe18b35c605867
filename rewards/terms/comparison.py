"""Which completions are the better ones? The judge compares them two by two, with one another or with references.

texts -> plan -> questions -> verdicts -> strengths -> expected result of each text
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from conf.reward_terms import ComparisonTermConfig, StrengthModel
from judge_client.types import ComparisonQuestion, Judge
from rewards.comparisons.plans import Pair, both_orders, ring, round_robin
from rewards.comparisons.strengths import LOGITS_PER_UNIT, Strengths, fit_strengths, win_probabilities
from rewards.comparisons.verdicts import Comparison, merge_orders, tally
from rewards.eager import EagerScores, all_or_none
from rewards.questions import asked
from rewards.terms.base import RewardTerm
from rewards.types import Noted, Score
from rollout.types import Prompt, RolloutGroup

PRIOR_STD = 1.0
"""Of a strength, in logits: a text that wins every comparison is better, not infinitely so."""

_UNLINKED = Noted(score=None, note="unlinked")
_NO_REFERENCE = Noted(score=None, note="no_reference")


def comparison_term(config: ComparisonTermConfig, *, judge: Judge) -> RewardTerm:
    """The term that ``config.against`` names."""
    return (GroupComparison if config.against == "group" else ReferenceComparison)(config, judge=judge)


class GroupComparison:
    """Expected share of wins of a completion against an average sibling, in 0..1, a tie being half.

    Equal texts are one item. Scores are comparable only among texts that verdicts link, directly or through third
    ones. So the texts of the largest linked set are scored and the others abstain; all abstain when that set holds no
    majority of the group's texts, or when there are no two different texts.
    """

    def __init__(self, config: ComparisonTermConfig, *, judge: Judge) -> None:
        self._judge, self._model = judge, config.model
        self._plan = {"ring": ring, "round_robin": round_robin}[config.plan]

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return each completion's expected result."""
        return await all_or_none(self._score_group(group) for group in groups)

    async def _score_group(self, group: RolloutGroup) -> list[Score]:
        # Sorted, so that who is shown first does not depend on the order of the completions.
        texts = sorted({completion.text for completion in group.completions})
        if len(texts) < 2:
            return [None] * len(group.completions)
        verdicts = await _compare(self._judge, self._plan(len(texts)), texts=texts, question=asked(group.prompt))
        scores = _scores_of_largest_set(_fit(verdicts, num_texts=len(texts), model=self._model))
        by_text = dict(zip(texts, scores, strict=True))
        return [by_text[completion.text] for completion in group.completions]


class ReferenceComparison:
    """Expected share of wins of a completion against an average reference answer of its prompt, likewise.

    Siblings have no say, so that a completion can be judged as soon as it ends. Both orders of a pair count as one
    verdict, a tie where they disagree: with a single reference a liking for the first place would be all there is. A
    prompt without reference answers makes the term abstain, and so does a judge that gives no verdict.
    """

    def __init__(self, config: ComparisonTermConfig, *, judge: Judge) -> None:
        self._judge, self._model = judge, config.model
        self._scores = EagerScores(self._score_one)

    def begin(self, prompt: Prompt, text: str) -> None:
        """Ask about a completion now; ``score`` waits for the verdicts."""
        self._scores.begin(prompt, text)

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return each completion's expected result; equal texts of one prompt share their questions."""
        return await self._scores.score(groups)

    async def close(self) -> None:
        """Give up open questions; the judge itself belongs to whoever made it."""
        await self._scores.close()

    async def _score_one(self, prompt: Prompt, text: str) -> Score:
        texts = (text, *prompt.reference_answers)
        references = range(1, len(texts))
        if not references:
            return _NO_REFERENCE
        plan = both_orders([(0, reference) for reference in references])
        verdicts = await _compare(self._judge, plan, texts=texts, question=asked(prompt))
        fitted = _fit(merge_orders(verdicts).comparisons, num_texts=len(texts), model=self._model)
        expected = float(win_probabilities(fitted, against=references)[0])
        return _UNLINKED if np.isnan(expected) else expected


async def _compare(judge: Judge, plan: Sequence[Pair], *, texts: Sequence[str], question: str) -> list[Comparison]:
    """The verdicts there are, in the order of the plan; equal texts tie, and nobody is asked."""

    async def compare(first: int, second: int) -> Comparison | None:
        if texts[first] == texts[second]:
            return Comparison(first=first, second=second, outcome="tie", weight=1.0)
        verdict = await judge.ask(ComparisonQuestion(question=question, first=texts[first], second=texts[second]))
        if verdict.outcome in ("first", "second", "tie"):
            return Comparison(first=first, second=second, outcome=verdict.outcome, weight=1.0)
        return None

    verdicts = await all_or_none(compare(first, second) for first, second in plan)
    return [verdict for verdict in verdicts if verdict is not None]


def _fit(verdicts: Sequence[Comparison], *, num_texts: int, model: StrengthModel) -> Strengths:
    counts = tally(verdicts, num_items=num_texts)
    return fit_strengths(counts, model=model, prior_std=PRIOR_STD / LOGITS_PER_UNIT[model])


def _scores_of_largest_set(fitted: Strengths) -> list[Score]:
    component_N = fitted.structure.component_N
    (largest, size), *_ = Counter(component_N.tolist()).most_common(1)
    if 2 * size <= len(component_N):
        return [_UNLINKED] * len(component_N)
    is_linked_N = component_N == largest
    expected_N = win_probabilities(fitted, against=np.flatnonzero(is_linked_N).tolist())
    return [
        float(expected) if is_linked else _UNLINKED for expected, is_linked in zip(expected_N, is_linked_N, strict=True)
    ]
