"""The parity gate: engine and trainer must see the same tokens and pixels and agree on log-probs.

    prompts -> engine.view ------> prompt ids, media tokens, grids, log-probs --+
            -> learner.score ----> the same, by the trainer --------------------+--> ParityReport or ParityError

A silent difference here (a processor option, a position id, a stale image embedding) trains the wrong model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conf.rules import effective_dtype
from conf.schema import RunConfig
from learner.types import ScoringRequest, TrainerScore
from rollout.worker_types import EngineView

BOUND = {"float32": 1e-3, "bfloat16": 0.1}
"""Largest tolerated difference by dtype, in nats, unless the configuration says otherwise."""


class ParityError(RuntimeError):
    """Engine and trainer disagree; training would be on something else than what was sampled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParityReport:
    """How well the two sides agree."""

    num_prompts: int
    num_tokens: int
    max_difference: float
    """Largest |engine - trainer| log-probability of a sampled token, in nats."""
    mean_difference: float

    def metrics(self) -> Mapping[str, float]:
        """For the journal."""
        return {
            "parity/logprob_difference/max": self.max_difference,
            "parity/logprob_difference/mean": self.mean_difference,
        }


def parity_bound(config: RunConfig) -> float:
    """The bound of a run: as configured, or by the dtype it computes in."""
    given = config.parity.max_logprob_difference
    return BOUND[effective_dtype(config)] if given is None else given


def scoring_requests(views: Sequence[EngineView]) -> list[ScoringRequest]:
    """Ask the trainer about every completion the engine sampled, in order."""
    return [
        ScoringRequest(prompt=view.group.prompt, token_ids=completion.token_ids)
        for view in views
        for completion in view.group.completions
    ]


def compare(views: Sequence[EngineView], scores: Sequence[TrainerScore], *, bound: float) -> ParityReport:
    """Hold the engine's views against the trainer's scores of ``scoring_requests(views)``.

    Raises:
        ParityError: Names the first prompt and what differs there, or the worst token.
    """
    pairs = [(view, index) for view in views for index in range(len(view.group.completions))]
    differences = []
    for (view, index), score in zip(pairs, scores, strict=True):
        _check_inputs(view, score)
        differences.append(np.abs(view.group.completions[index].logprobs - score.logprobs))
    every = np.concatenate(differences)
    report = ParityReport(
        num_prompts=len(views),
        num_tokens=len(every),
        max_difference=float(every.max()),
        mean_difference=float(every.mean()),
    )
    if not report.max_difference <= bound:  # also catches NaN
        (view, index), worst = max(
            zip(pairs, differences, strict=True),
            key=lambda pair: float(np.nan_to_num(pair[1], nan=np.inf).max()),
        )
        position = int(worst.argmax())
        raise ParityError(
            f"parity gate: engine and trainer log-probs differ by {report.max_difference:.3g} nats, bound {bound:g} "
            f"(prompt {view.group.prompt.prompt_id}, completion {index}, token {position} of {len(worst)}); "
            "prompt ids, media tokens and grids agree, so look at dtype, attention, sampling options or stale caches"
        )
    return report


def _check_inputs(view: EngineView, score: TrainerScore) -> None:
    name = view.group.prompt.prompt_id
    engine_ids = view.group.prompt_token_ids
    if len(engine_ids) != len(score.prompt_token_ids):
        raise ParityError(
            f"parity gate: prompt {name} has {len(engine_ids)} tokens in the engine and "
            f"{len(score.prompt_token_ids)} in the trainer ({score.num_media_tokens} of them media tokens); "
            "check that both use the same processor and pixel bounds"
        )
    if (unequal := np.flatnonzero(engine_ids != score.prompt_token_ids)).size:
        at = int(unequal[0])
        raise ParityError(
            f"parity gate: prompt {name} differs at token {at}: engine {engine_ids[at]}, "
            f"trainer {score.prompt_token_ids[at]}; check tokenizer and chat template"
        )
    if view.media_grids != score.media_grids:
        raise ParityError(
            f"parity gate: prompt {name} has media grids {view.media_grids} beside the engine and "
            f"{score.media_grids} in the trainer; check pixel bounds and image decoding"
        )
