"""The reward terms by ``kind``.

To add one: a module here, its section in ``conf.schema``, one entry in ``TERMS``, one YAML file and one test.
"""

import difflib
from collections.abc import Callable
from typing import Any

from conf.reward_terms import TermUnion
from rewards.terms.base import RewardTerm
from rewards.terms.format import FormatTerm
from rewards.terms.opinion import OpinionTerm
from rewards.terms.ranking import RankingTerm

TermClass = Callable[[Any], RewardTerm]
"""Takes the term's own config section; pydantic has paired the two by ``kind``."""

TERMS: dict[str, TermClass] = {
    "format": FormatTerm,
    "opinion": OpinionTerm,
    "ranking": RankingTerm,
}


def build_term(config: TermUnion) -> RewardTerm:
    """Make the term a config section describes."""
    return term_class(config.kind)(config)


def term_class(kind: str) -> TermClass:
    """Look a term up.

    Raises:
        ValueError: No term has this name.
    """
    if kind not in TERMS:
        near = difflib.get_close_matches(kind, TERMS, n=1, cutoff=0.0)[0]
        raise ValueError(f"unknown reward term {kind!r}; known: {', '.join(sorted(TERMS))}; nearest: {near}")
    return TERMS[kind]
