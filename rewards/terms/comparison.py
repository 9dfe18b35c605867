"""Which completions of a group are the better ones? The judge compares them two by two.

group -> distinct texts -> plan -> questions -> verdicts -> Bradley-Terry -> expected result of each text
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from conf.reward_terms import ComparisonTermConfig
from judge_client.types import ComparisonQuestion, Judge
from rewards.comparisons.plans import Pair, ring, round_robin
from rewards.comparisons.strengths import fit_strengths, win_probabilities
from rewards.comparisons.verdicts import Comparison, tally
from rewards.eager import all_or_none
from rewards.questions import asked
from rewards.types import Noted, Score
from rollout.types import RolloutGroup

PRIOR_STD = 1.0
"""Of a strength, in logits: a text that wins every comparison is better, not infinitely so."""


class ComparisonTerm:
    """Expected share of wins of a completion against an average sibling, in 0..1, a tie being half.

    Equal texts are one item. Scores are comparable only among texts that verdicts link, directly or through third
    ones. So the texts of the largest linked set are scored and the others abstain; all abstain when that set holds no
    majority of the group's texts, or when there are no two different texts.
    """

    def __init__(self, config: ComparisonTermConfig, *, judge: Judge) -> None:
        self._judge = judge
        self._plan = {"ring": ring, "round_robin": round_robin}[config.plan]

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return each completion's expected result."""
        return await all_or_none(self._score_group(group) for group in groups)

    async def _score_group(self, group: RolloutGroup) -> list[Score]:
        # Sorted, so that who is shown first does not depend on the order of the completions.
        texts = sorted({completion.text for completion in group.completions})
        if len(texts) < 2:
            return [None] * len(group.completions)
        question = asked(group.prompt)
        verdicts = await all_or_none(
            self._compare(pair, texts=texts, question=question) for pair in self._plan(len(texts))
        )
        results = _expected_results([v for v in verdicts if v is not None], num_texts=len(texts))
        by_text = dict(zip(texts, results, strict=True))
        return [by_text[completion.text] for completion in group.completions]

    async def _compare(self, pair: Pair, *, texts: Sequence[str], question: str) -> Comparison | None:
        first, second = pair
        asked_now = ComparisonQuestion(question=question, first=texts[first], second=texts[second])
        outcome = (await self._judge.ask(asked_now)).outcome
        if outcome in ("first", "second", "tie"):
            return Comparison(first=first, second=second, outcome=outcome, weight=1.0)
        return None


def _expected_results(verdicts: Sequence[Comparison], *, num_texts: int) -> list[Score]:
    fitted = fit_strengths(tally(verdicts, num_items=num_texts), model="bradley_terry", prior_std=PRIOR_STD)
    (largest, size), *_ = Counter(fitted.structure.component_N.tolist()).most_common(1)
    if 2 * size <= num_texts:
        return [Noted(score=None, note="unlinked")] * num_texts
    is_linked_N = fitted.structure.component_N == largest
    expected_N = win_probabilities(fitted, against=np.flatnonzero(is_linked_N).tolist())
    return [
        float(expected) if is_linked else Noted(score=None, note="unlinked")
        for expected, is_linked in zip(expected_N, is_linked_N, strict=True)
    ]
