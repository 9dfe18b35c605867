"""The reward terms by ``kind``.

To add one: a module here, its section in ``conf.reward_terms``, one entry in ``TERMS`` (``JUDGED_TERMS`` when it asks
the judge, ``FORCING_TERMS`` when it asks the policy), one YAML file and its configuration in the contract test.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from conf.reward_terms import TermUnion
from judge_client.types import Judge
from rewards.terms.base import RewardTerm
from rewards.terms.calibration import CalibrationTerm
from rewards.terms.check import CheckTerm
from rewards.terms.choice import ChoiceTerm
from rewards.terms.comparison import comparison_term
from rewards.terms.consistency import ConsistencyTerm
from rewards.terms.custom import CustomTerm
from rewards.terms.format import FormatTerm
from rewards.terms.opinion import OpinionTerm
from rewards.terms.overlong import OverlongTerm
from rewards.terms.perception import PerceptionTerm
from rewards.terms.probability_difference import ProbabilityDifferenceTerm
from rewards.terms.ranking import RankingTerm
from rewards.terms.remote import RemoteTerm
from rewards.terms.score_line import ScoreLineTerm
from rewards.terms.threshold import ThresholdTerm
from rewards.types import TokenForcer


class JudgedTermClass(Protocol):
    """Takes the term's own config section, and whom to ask."""

    def __call__(self, config: Any, *, judge: Judge) -> RewardTerm: ...  # noqa: ANN401 - pydantic pairs it by kind


class ForcingTermClass(Protocol):
    """Takes the term's own config section, and who asks the policy."""

    def __call__(self, config: Any, *, forcer: TokenForcer) -> RewardTerm: ...  # noqa: ANN401 - pydantic pairs it by kind


TermClass = Callable[[Any], RewardTerm]
"""Takes the term's own config section; pydantic has paired the two by ``kind``."""

TERMS_WITHOUT_JUDGE: Mapping[str, TermClass] = {
    "check": CheckTerm,
    "choice": ChoiceTerm,
    "custom": CustomTerm,
    "format": FormatTerm,
    "opinion": OpinionTerm,
    "overlong": OverlongTerm,
    "perception": PerceptionTerm,
    "ranking": RankingTerm,
    "remote": RemoteTerm,
    "score_line": ScoreLineTerm,
    "threshold": ThresholdTerm,
}
JUDGED_TERMS: Mapping[str, JudgedTermClass] = {
    "comparison": comparison_term,
    "consistency": ConsistencyTerm,
}
FORCING_TERMS: Mapping[str, ForcingTermClass] = {
    "calibration": CalibrationTerm,
    "probability_difference": ProbabilityDifferenceTerm,
}
TERMS = frozenset({*TERMS_WITHOUT_JUDGE, *JUDGED_TERMS, *FORCING_TERMS})


def build_term(config: TermUnion, *, name: str, judge: Judge | None, forcer: TokenForcer | None = None) -> RewardTerm:
    """Make the term that ``rewards.terms.<name>`` describes.

    Raises:
        ValueError: It asks a judge, or the policy itself, and there is none.
    """
    if config.kind in TERMS_WITHOUT_JUDGE:
        return TERMS_WITHOUT_JUDGE[config.kind](config)
    if config.kind in FORCING_TERMS:
        if forcer is None:
            raise ValueError(
                f"rewards.terms.{name}.kind={config.kind} asks the policy for probabilities, which only a training run "
                f"can; remove the term with ~rewards.terms.{name}"
            )
        return FORCING_TERMS[config.kind](config, forcer=forcer)
    if judge is None:
        raise ValueError(
            f"rewards.terms.{name}.kind={config.kind} asks a judge, but this run has none; choose one with "
            f"judge=rule_server or judge=remote, or remove the term with ~rewards.terms.{name}"
        )
    return JUDGED_TERMS[config.kind](config, judge=judge)
