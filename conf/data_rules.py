"""What the data sets of a run demand of its other settings; each rule returns the problems it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, get_args

from conf.data import (
    WORDINGS_WITHOUT_THINKING,
    MixedConfig,
    OpinionScoreConfig,
    PartConfig,
    PhotoChecklistConfig,
    PhotoDefectsConfig,
    PhotoDistortionsConfig,
    PhotoPairsConfig,
    PhotoVideosConfig,
    PreferencePairsConfig,
    ScoredConfig,
    WordingName,
    is_own_text,
)
from conf.tasks import parts_of, task_of_part, task_of_term, tasks_of

if TYPE_CHECKING:
    from conf.schema import RunConfig

_WORDINGS_WITH_SCORE_LINE = frozenset(name for name in get_args(WordingName) if name.startswith("refine_iqa"))
"""Those that ask for "Score: " and a number."""


def data_disagreements(config: RunConfig) -> Iterator[str]:
    """One line per contradiction; the keys of a mixed run are those of its parts."""
    for key, part in parts_of(config.data).items():
        for rule in _RULES:
            yield from rule(config, key, part)
    yield from _the_terms_fit_the_tasks(config)
    yield from _all_parts_are_trained_and_judged(config)


def format_disagreements(config: RunConfig, *, key: str, wording: str, asks_for_thinking: bool) -> Iterator[str]:
    """Format rewards that want a think block where the wording asks for none, or refuse the one it asks for."""
    if not config.loop.num_steps:
        return
    for name, term in config.rewards.terms.items():
        if term.kind != "format" or (term.mode == "answer") != asks_for_thinking:
            continue
        if task_of_term(term) not in (None, "score"):
            continue  # it does not look at answers to this question
        mode = f"rewards.terms.{name}.mode"
        if asks_for_thinking:
            yield (
                f"{mode}=answer refuses the think block that {key}.prompt={wording} asks for; use "
                f"{mode}=number, or tolerant or strict"
            )
        else:
            yield (
                f"{mode}={term.mode} wants a think block, but {key}.prompt={wording} asks for the answer "
                f"alone, which would never be rewarded; use {mode}=answer"
            )


def _chunks_divide_the_step(config: RunConfig, key: str, part: PartConfig) -> Iterator[str]:
    if not isinstance(part, OpinionScoreConfig) or not config.loop.num_steps:
        return
    num_prompts, size = config.rollout.prompts_per_step, part.chunk_size
    if num_prompts % size:
        yield f"{key}.chunk_size={size} must divide rollout.prompts_per_step={num_prompts}, a step of whole chunks"


def _the_format_reward_wants_what_the_prompt_asks_for(config: RunConfig, key: str, part: PartConfig) -> Iterator[str]:
    if not isinstance(part, ScoredConfig) or is_own_text(part.prompt):
        return  # what a text of one's own asks for is known when it is read: cluster/preflight.py
    asks_for_thinking = part.prompt not in WORDINGS_WITHOUT_THINKING
    yield from format_disagreements(config, key=key, wording=part.prompt, asks_for_thinking=asks_for_thinking)


def _a_score_line_is_what_the_prompt_asks_for(config: RunConfig, key: str, part: PartConfig) -> Iterator[str]:
    if not config.loop.num_steps or not isinstance(part, ScoredConfig):
        return
    if part.prompt in _WORDINGS_WITH_SCORE_LINE or is_own_text(part.prompt):
        return
    for name, term in config.rewards.terms.items():
        if term.kind == "score_line" or (term.kind == "format" and term.mode in ("score_line", "refine_iqa")):
            yield (
                f'rewards.terms.{name} wants the answer "Score: d.dd", which {key}.prompt={part.prompt} does not '
                f"ask for; use {key}.prompt={min(_WORDINGS_WITH_SCORE_LINE)}"
            )


def _an_answer_of_one_word_has_no_tags(config: RunConfig, key: str, part: PartConfig) -> Iterator[str]:
    if not config.loop.num_steps or not isinstance(part, PhotoChecklistConfig):
        return
    for name, term in config.rewards.terms.items():
        if term.kind == "format" and task_of_term(term) is None:
            yield (
                f"rewards.terms.{name}.mode={term.mode} wants tags, but {key}.kind={part.kind} asks for yes or no "
                f"alone, which would never be rewarded; remove the term with ~rewards.terms.{name}"
            )


def _the_test_split_is_large_enough(config: RunConfig, key: str, part: PartConfig) -> Iterator[str]:
    if isinstance(config.data, MixedConfig):
        return  # all parts together: cluster/preflight.py
    num_prompts = config.evaluation.num_prompts
    makes_one_each = PhotoDistortionsConfig | PhotoVideosConfig | PhotoChecklistConfig
    if isinstance(part, makes_one_each) and num_prompts > part.num_test:
        yield (
            f"evaluation.num_prompts={num_prompts} is more than "
            f"{key}.num_test={part.num_test}; lower one or raise the other"
        )
    if isinstance(part, PhotoPairsConfig) and num_prompts > 2 * part.num_test:
        yield (
            f"evaluation.num_prompts={num_prompts} is more than both orders of "
            f"{key}.num_test={part.num_test} pairs; lower one or raise the other"
        )
    if isinstance(part, PhotoDefectsConfig) and num_prompts > part.num_test_prompts:
        yield (
            f"evaluation.num_prompts={num_prompts} is more than the {part.num_test_prompts} questions about "
            f"{key}.num_test={part.num_test} pictures; lower one or raise the other"
        )


def _frames_are_not_shrunk_below_the_smallest_picture(config: RunConfig, key: str, part: PartConfig) -> Iterator[str]:
    if not isinstance(part, OpinionScoreConfig | PreferencePairsConfig):
        return
    if part.video.max_pixels < config.model.min_pixels:
        yield (
            f"{key}.video.max_pixels={part.video.max_pixels} is below "
            f"model.min_pixels={config.model.min_pixels}, which every frame is enlarged to; "
            "raise the one or lower the other"
        )


def _boxes_are_in_pixels_the_model_sees(config: RunConfig, key: str, part: PartConfig) -> Iterator[str]:
    if not isinstance(part, PhotoDefectsConfig):
        return
    shown, limits = part.crop_size**2, (config.model.min_pixels, config.model.max_pixels)
    if not limits[0] <= shown <= limits[1]:
        yield (
            f"{key}.crop_size={part.crop_size} gives {shown} pixels, which the model would resize to its "
            f"{limits[0]}..{limits[1]}, so that boxes would be in other pixels than it sees; change {key}.crop_size, "
            "model.min_pixels or model.max_pixels"
        )


def _the_terms_fit_the_tasks(config: RunConfig) -> Iterator[str]:
    if not config.loop.num_steps:
        return
    tasks = tasks_of(config.data)
    asked = f"data.kind={config.data.kind} asks for a {' and a '.join(sorted(tasks))}"
    for name, term in config.rewards.terms.items():
        if task_of_term(term) not in (None, *tasks):
            if term.kind == "format":
                yield f"rewards.terms.{name}.mode={term.mode} is never met: {asked}"
            else:
                yield f"rewards.terms.{name}.kind={term.kind} has nothing to compare an answer with: {asked}"
        if term.kind == "overlong" and term.max_tokens != config.rollout.sampling.max_tokens:
            yield (
                f"rewards.terms.{name}.max_tokens={term.max_tokens} must be rollout.sampling.max_tokens="
                f"{config.rollout.sampling.max_tokens}, where completions are cut"
            )


def _all_parts_are_trained_and_judged(config: RunConfig) -> Iterator[str]:
    if "choice" in tasks_of(config.data) and config.evaluation.num_prompts % 2:
        yield (
            f"evaluation.num_prompts={config.evaluation.num_prompts} would ask the last pair in one order only; "
            "use an even number"
        )
    if not isinstance(config.data, MixedConfig):
        return
    if config.evaluation.num_prompts < 2 * len(config.data.parts):
        yield (
            f"evaluation.num_prompts={config.evaluation.num_prompts} leaves some of the {len(config.data.parts)} parts "
            f"of data.parts out; use at least {2 * len(config.data.parts)}"
        )
    if not config.loop.num_steps:
        return
    terms = config.rewards.terms.values()
    rewarded = {task_of_term(term) for term in terms if term.kind != "format"}
    for key, part in parts_of(config.data).items():
        if task_of_part(part) not in rewarded and not any(term.kind in _JUDGE_ANYTHING for term in terms):
            yield f"no reward term is for answers to {key}, which asks for a {task_of_part(part)}; add one"
    if config.algorithm.kind == "gdpo":
        yield (
            "algorithm=gdpo compares reward terms one by one, and the terms of a mixed run differ by task; "
            "use another algorithm"
        )


_JUDGE_ANYTHING = ("custom", "remote", "comparison")
"""Reward terms that may be all the reward an answer has, whatever it answers."""

_RULES: tuple[Callable[[RunConfig, str, PartConfig], Iterator[str]], ...] = (
    _chunks_divide_the_step,
    _the_format_reward_wants_what_the_prompt_asks_for,
    _a_score_line_is_what_the_prompt_asks_for,
    _an_answer_of_one_word_has_no_tags,
    _the_test_split_is_large_enough,
    _frames_are_not_shrunk_below_the_smallest_picture,
    _boxes_are_in_pixels_the_model_sees,
)
