"""Answer files into pairs for preference optimisation, prompt by prompt, whatever the order of the lines."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from evaluation.checklist.rows import AnsweredItem
from evaluation.checklist.score_files import ScoreRule
from rewards.checklist.pairs import Candidate, PairFormat, PairSelection, SelectedPair, write_pairs

FILES: dict[PairFormat, str] = {"trl": "pairs_trl.jsonl", "plain": "pairs.jsonl"}


def candidates(items: Iterable[AnsweredItem], *, rule: ScoreRule) -> Iterator[Candidate]:
    """Scored items, those of one prompt together, in the order in which prompts first come.

    Raises:
        ValueError: An item has no prompt, which pairs are formed by.
    """
    by_prompt: dict[str, list[AnsweredItem]] = {}
    for item in items:
        if item.prompt is None:
            raise ValueError(f"{item.place}: no prompt; pairs are made of items of one prompt, and written with it")
        by_prompt.setdefault(item.prompt, []).append(item)
    for prompt, members in by_prompt.items():
        for item in members:
            yield Candidate(prompt_id=prompt, prompt=prompt, content=item.path, score=rule.score(item))


def write_pair_files(selected: Sequence[SelectedPair], *, folder: Path) -> None:
    """The same pairs in every form."""
    for form, name in FILES.items():
        with (folder / name).open("w", encoding="utf-8", errors="surrogateescape") as stream:
            write_pairs(stream, pairs=selected, form=form)


def select_pairs(items: Iterable[AnsweredItem], *, rule: ScoreRule, selection: PairSelection, folder: Path) -> None:
    """Select, and write what is kept; ``selection`` counts."""
    write_pair_files(list(selection.select(candidates(items, rule=rule))), folder=folder)
