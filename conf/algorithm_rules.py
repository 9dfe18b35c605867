"""What an algorithm's settings demand of one another, and which of them do nothing."""

from collections.abc import Callable, Iterator

from conf.algorithms import AlgorithmConfig, ReinforcePpConfig, ScaledConfig, StableReinforceConfig


def algorithm_disagreements(config: AlgorithmConfig) -> Iterator[str]:
    """One line per contradiction, naming the keys, their values, and what to change."""
    for rule in _RULES:
        yield from rule(config)


def compares_within_groups(config: AlgorithmConfig) -> bool:
    """Whether a completion is worth something only beside siblings."""
    return not isinstance(config, ReinforcePpConfig | StableReinforceConfig)


def idle_algorithm_options(config: AlgorithmConfig) -> Iterator[tuple[str, str]]:
    """Options that change nothing beside the others, and why."""
    yield from _idle_correction(config)
    if config.kl.coefficient == 0.0:
        yield "algorithm.kl.estimator", "algorithm.kl.coefficient=0 takes no penalty"
        yield "algorithm.kl.placement", "algorithm.kl.coefficient=0 takes no penalty"
    if config.dynamic_sampling.max_rounds == 1:
        yield "algorithm.dynamic_sampling.min_spread", "algorithm.dynamic_sampling.max_rounds=1 never samples again"
    if config.anchor == "learner" and config.num_updates * config.num_minibatches == 1:
        why = "one optimizer step per batch keeps the ratio to the learner's own log-probs at 1"
        for name in ("max_log_ratio", "clip_low", "clip_high", "dual_clip", "gate_sharpness", "max_ratio"):
            if name in type(config).model_fields:
                yield f"algorithm.{name}", why


def _idle_correction(config: AlgorithmConfig) -> Iterator[tuple[str, str]]:
    weight, mask = config.correction.weight, config.correction.sequence_mask
    if weight not in ("icepop", "mask"):
        yield "algorithm.correction.weight_low", f"algorithm.correction.weight={weight} has no lower bound"
    if weight == "none":
        yield "algorithm.correction.weight_high", "algorithm.correction.weight=none has no upper bound"
        yield "algorithm.correction.batch_normalise", "algorithm.correction.weight=none has nothing to normalise"
    if mask in ("none", *_DISTANCES):
        yield "algorithm.correction.sequence_low", f"algorithm.correction.sequence_mask={mask} has no lower bound"
    if mask == "none":
        yield "algorithm.correction.sequence_high", "algorithm.correction.sequence_mask=none has no upper bound"


def _a_ratio_to_the_engine_is_the_correction(config: AlgorithmConfig) -> Iterator[str]:
    if config.anchor == "engine" and config.correction.weight != "none":
        yield (
            f"algorithm.anchor=engine has the ratio correct for the engine already, and "
            f"algorithm.correction.weight={config.correction.weight} would do it twice; use "
            "algorithm.correction.weight=none or algorithm.anchor=learner"
        )


def _a_sequence_mask_keeps_equal_distributions(config: AlgorithmConfig) -> Iterator[str]:
    mask, high = config.correction.sequence_mask, config.correction.sequence_high
    if mask in ("geometric", "product") and high < 1.0:
        yield (
            f"algorithm.correction.sequence_high={high} masks completions on which engine and learner agree; "
            f"with algorithm.correction.sequence_mask={mask} use 1 or more"
        )
    if mask in _DISTANCES and high >= 1.0:
        yield (
            f"algorithm.correction.sequence_high={high} is no bound on a distance; "
            f"with algorithm.correction.sequence_mask={mask} use a small one, such as 0.01"
        )


def _a_veto_keeps_equal_probabilities(config: AlgorithmConfig) -> Iterator[str]:
    veto = config.correction.token_veto
    if veto is not None and not veto[0] < 1.0 < veto[1]:
        yield (
            f"algorithm.correction.token_veto={list(veto)} drops completions on which engine and learner agree; "
            "give a bound below 1 and one above, such as [1e-4,100], or null"
        )


def _a_kl_estimator_fits_its_place(config: AlgorithmConfig) -> Iterator[str]:
    kl = config.kl
    if kl.coefficient == 0.0:
        return
    if kl.placement == "loss" and kl.estimator == "k1":
        yield (
            "algorithm.kl.estimator=k1 has no gradient on average; with algorithm.kl.placement=loss use k2 or k3_k2, "
            "or use algorithm.kl.placement=reward"
        )
    if kl.placement == "reward" and kl.estimator == "k3_k2":
        yield (
            "algorithm.kl.estimator=k3_k2 differs from k3 in its gradient only, and algorithm.kl.placement=reward "
            "takes none; use algorithm.kl.estimator=k1 or k3"
        )


def _a_charged_reward_is_not_scaled(config: AlgorithmConfig) -> Iterator[str]:
    if config.kl.coefficient == 0.0 or config.kl.placement != "reward":
        return
    instead = "use algorithm.kl.placement=loss with algorithm.kl.estimator=k3_k2"
    if isinstance(config, ScaledConfig) and config.scale_by_std:
        yield (
            "algorithm.scale_by_std=true blows up the KL of a group with equal rewards to unit size when "
            f"algorithm.kl.placement=reward; set algorithm.scale_by_std=false, or {instead}"
        )
    if config.kind == "gdpo":
        yield f"algorithm=gdpo normalises reward terms, and algorithm.kl.placement=reward is none of them; {instead}"
    if config.kind == "positive_grpo":
        yield (
            "algorithm=positive_grpo divides by the group's deviation and tells success by the reward, both of which "
            f"algorithm.kl.placement=reward would blur; {instead}"
        )


_DISTANCES = ("k3", "total_variation")
"""Sequence masks that measure how far apart two distributions are, 0 for equal ones."""

_RULES: tuple[Callable[[AlgorithmConfig], Iterator[str]], ...] = (
    _a_ratio_to_the_engine_is_the_correction,
    _a_sequence_mask_keeps_equal_distributions,
    _a_veto_keeps_equal_probabilities,
    _a_kl_estimator_fits_its_place,
    _a_charged_reward_is_not_scaled,
)
