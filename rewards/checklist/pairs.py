"""Preference pairs in which one item is better on every side: multi-objective selection (arXiv 2412.21059, 3.3).

    items of one prompt --all pairs--> the higher score R --dominates?--> --gap?--> --largest--> chosen, rejected

One item dominates another when none of its dimensions (sub-dimensions, questions) scores lower, on the paper's scale.
Two equal items dominate each other; the gap, which must be above 0 whatever the threshold, keeps them out.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import IO, Literal, get_args

from rewards.checklist.scoring import ItemScore

Level = Literal["dimension", "sub_dimension", "question", "total"]
"""Where the better item may not be worse; "total" asks for the gap alone, which is plain DPO."""
Outcome = Literal["kept", "unscored", "equal", "not_dominating", "small_gap", "over_limit"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
PairFormat = Literal["trl", "plain"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One scored item."""

    prompt_id: str
    prompt: str
    content: str
    """What stands in the files: a path, or a text."""
    score: ItemScore


@dataclass(frozen=True, kw_only=True, slots=True)
class PairRule:
    """Which pairs are kept."""

    level: Level
    min_gap: float
    """Of R, in the weights' units; the published ones are 0.6 for dimensions, 0.5, 0.4 and, for the total, 0.8."""
    max_pairs_per_prompt: int | None
    """Those of the largest gaps."""

    def __post_init__(self) -> None:
        if not self.min_gap >= 0.0:
            raise ValueError(f"expected a min_gap of at least 0, got {self.min_gap}")
        if self.max_pairs_per_prompt is not None and self.max_pairs_per_prompt < 1:
            raise ValueError(f"expected at least one pair per prompt, got {self.max_pairs_per_prompt}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectedPair:
    """A pair to learn from."""

    chosen: Candidate
    rejected: Candidate
    gap: float


class PairSelection:
    """Pairs of any number of prompts, one prompt at a time, and what became of the others."""

    def __init__(self, rule: PairRule) -> None:
        self._rule = rule
        self.num_by_outcome: Counter[Outcome] = Counter(dict.fromkeys(OUTCOMES, 0))
        """Pairs by what became of them, every outcome named."""
        self.num_prompts = 0
        self.num_prompts_kept = 0
        """With a pair at least."""

    def select(self, candidates: Iterable[Candidate]) -> Iterator[SelectedPair]:
        """The pairs kept, in the order of the prompts; items of one prompt must stand together.

        Raises:
            ValueError: A prompt comes again after another, or with another text.
        """
        seen = set[str]()
        for prompt_id, members in groupby(candidates, key=lambda one: one.prompt_id):
            if prompt_id in seen:
                raise ValueError(f"prompt {prompt_id!r} comes again after others; sort the items by prompt")
            seen.add(prompt_id)
            yield from self._select_one(list(members))

    def _select_one(self, candidates: Sequence[Candidate]) -> list[SelectedPair]:
        texts = {one.prompt for one in candidates}
        if len(texts) > 1:
            raise ValueError(f"prompt {candidates[0].prompt_id!r} has {len(texts)} texts; give each an id of its own")
        kept: list[SelectedPair] = []
        for first, second in combinations(candidates, 2):
            outcome, pair = judge_pair(first, second, rule=self._rule)
            if pair is None:
                self.num_by_outcome[outcome] += 1
            else:
                kept.append(pair)
        kept = sorted(kept, key=lambda pair: -pair.gap)
        taken = kept[: self._rule.max_pairs_per_prompt]
        self.num_by_outcome["kept"] += len(taken)
        self.num_by_outcome["over_limit"] += len(kept) - len(taken)
        self.num_prompts += 1
        self.num_prompts_kept += bool(taken)
        return taken


def judge_pair(first: Candidate, second: Candidate, *, rule: PairRule) -> tuple[Outcome, SelectedPair | None]:
    """What becomes of one pair, and the pair if it is kept. Items with answers left out are not compared."""
    scores = [one.score.paper if one.score.is_complete else None for one in (first, second)]
    if scores[0] is None or scores[1] is None:
        return "unscored", None
    gap = scores[0] - scores[1]
    better, worse = (first, second) if gap > 0 else (second, first)
    if gap == 0.0:
        return "equal", None
    if not dominates(better.score, worse.score, level=rule.level):
        return "not_dominating", None
    if abs(gap) < rule.min_gap:
        return "small_gap", None
    return "kept", SelectedPair(chosen=better, rejected=worse, gap=abs(gap))


def dominates(one: ItemScore, other: ItemScore, *, level: Level) -> bool:
    """Whether no part of one scores lower than the same part of the other.

    Raises:
        ValueError: Parts have no score, or are those of different checklists.
    """
    parts, others = _parts(one, level=level), _parts(other, level=level)
    if parts.keys() != others.keys():
        raise ValueError("the scores are those of different checklists")
    return all(score >= others[name] for name, score in parts.items())


def describe(selection: PairSelection) -> str:
    """What was kept and why the rest was not, in one line."""
    counts = " ".join(f"{outcome}={count}" for outcome, count in selection.num_by_outcome.items())
    num_pairs, num_prompts = selection.num_by_outcome.total(), selection.num_prompts
    return f"pairs={num_pairs} {counts} prompts={selection.num_prompts_kept}/{num_prompts}"


def write_pairs(stream: IO[str], *, pairs: Iterable[SelectedPair], form: PairFormat) -> int:
    """Write one JSON line per pair as it comes, and count them.

    "trl" has the three columns of TRL's preference type and no other: prompt, chosen and rejected as texts. "plain" has
    ids, scores, gap and dimensions as well.
    """
    num_pairs = 0
    for pair in pairs:
        row = trl_row(pair) if form == "trl" else plain_row(pair)
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        num_pairs += 1
    return num_pairs


def trl_row(pair: SelectedPair) -> dict[str, object]:
    """A row of TRL's preference type with an explicit prompt."""
    return {"prompt": pair.chosen.prompt, "chosen": pair.chosen.content, "rejected": pair.rejected.content}


def plain_row(pair: SelectedPair) -> dict[str, object]:
    """A row that tells all."""
    scores = {"chosen": pair.chosen.score, "rejected": pair.rejected.score}
    return {
        "prompt_id": pair.chosen.prompt_id,
        **trl_row(pair),
        **{f"{name}_score": score.paper for name, score in scores.items()},
        "gap": pair.gap,
        **{f"{name}_dimensions": _parts(score, level="dimension") for name, score in scores.items()},
    }


def _parts(score: ItemScore, *, level: Level) -> dict[str, float]:
    if level == "question":
        found = {one.question_id: one.paper for one in score.contributions if one.weight > 0.0}
    elif level == "total":
        found = {"total": score.paper}
    else:
        parts = score.dimensions if level == "dimension" else score.sub_dimensions
        found = {name: part.score for name, part in parts.items()}
    known = {name: points for name, points in found.items() if points is not None}
    if len(known) < len(found):
        raise ValueError(f"{', '.join(found.keys() - known.keys())}: no score, so nothing can be said about dominance")
    return known
