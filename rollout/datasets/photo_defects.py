"""The data set ``photo_defects``: what is wrong with a part of this photograph, how badly, and where?

    LocalDefect --> task, with or without its reference --> candidates in order --> Prompt | Demonstration

Every picture is asked about once per task. Prompt ``i`` depends on nothing but the data seed, the split and ``i``. The
right candidate stands in each of the four places equally often, and a fifth of the pictures is pristine, so that
guessing one place, or "none", is right for a fifth of the questions.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from conf.data import PhotoDefectsConfig
from rollout.datasets import photographs
from rollout.datasets.base import Data
from rollout.datasets.defect_questions import answer_finding, ask_about_defect, ask_for_defects, describe_finding
from rollout.datasets.distorted_photographs import encode_png
from rollout.datasets.local_defects import (
    KIND_NAMES,
    PERIOD,
    REGIONS,
    SEVERITIES,
    LocalDefect,
    LocalDefectRecipe,
    draw_box,
)
from rollout.datasets.on_demand import DemonstrationsOnDemand, PromptsOnDemand
from rollout.types import Defect, DefectTask, Demonstration, Finding, Prompt

SOURCE = "photo_defects"
NUM_CANDIDATES = 4

# The teacher of the cold start reasons well and often forgets what it found: to say it is what RL is for.
_TEACHER_MEANS_IT = 0.4
"""Share of demonstrations whose answer is what the reasoning found; the others are drawn without a look at anything."""

_NUM_TEST_PHOTOGRAPHS = len(photographs.TEST_NAMES)


def build_photo_defects(config: PhotoDefectsConfig) -> Data:
    """Both splits and both supervised phases.

    Raises:
        ValueError: ``crop_size`` is larger than the smallest photograph.
        FileNotFoundError: A package with photographs is not installed.
    """
    recipe = _recipe(config)

    def split(name: photographs.Split, num_pictures: int) -> PromptsOnDemand:
        def make(index: int) -> Prompt:
            # The questions about one picture are neighbours.
            picture, question = divmod(index, config.num_questions)
            example = recipe.example(picture, stage=name)
            rng = recipe.generator(picture, stage=name, purpose=1 + question)
            return _prompt(example, question=question, place=_place(picture, question), config=config, rng=rng)

        return PromptsOnDemand(source=SOURCE, split=name, size=num_pictures * config.num_questions, make=make)

    def demonstrations(stage: Literal["warm_up", "cold_start"]) -> DemonstrationsOnDemand:
        return DemonstrationsOnDemand(
            source=SOURCE, stage=stage, make=lambda index: _demonstration(recipe, index, stage=stage, config=config)
        )

    return Data(
        train=split("train", config.num_train),
        test=split("test", config.num_test),
        warm_up=demonstrations("warm_up"),
        cold_start=demonstrations("cold_start"),
        max_images=1 if config.reference == "none" else 2,
    )


def _demonstration(
    recipe: LocalDefectRecipe, index: int, *, stage: Literal["warm_up", "cold_start"], config: PhotoDefectsConfig
) -> Demonstration:
    example = recipe.example(index, stage=stage)
    rng = recipe.generator(index, stage=stage, purpose=1)
    question = int(rng.integers(config.num_questions))
    place = int(rng.integers(NUM_CANDIDATES))
    prompt = _prompt(example, question=question, place=place, config=config, rng=rng)
    thought = describe_finding(example.found)
    if stage == "warm_up":
        return Demonstration(prompt=_asked_for_all(prompt), target=thought)
    said = prompt.defect.finding
    if rng.random() >= _TEACHER_MEANS_IT:
        said = _guess(prompt.defect, crop_size=config.crop_size, rng=rng)
    return Demonstration(prompt=prompt, target=answer_finding(said, thought=thought))


def _recipe(config: PhotoDefectsConfig) -> LocalDefectRecipe:
    return LocalDefectRecipe(source=SOURCE, data_seed=config.data_seed, crop_size=config.crop_size)


def _place(picture: int, question: int) -> int:
    """Where the right candidate stands; with the severity and the photograph it takes turns, so that none tells it."""
    return (picture // (PERIOD * _NUM_TEST_PHOTOGRAPHS) + picture % PERIOD + question) % NUM_CANDIDATES


def _prompt(
    example: LocalDefect, *, question: int, place: int, config: PhotoDefectsConfig, rng: np.random.Generator
) -> Prompt:
    task = config.tasks[question % len(config.tasks)]
    shows_reference = config.reference == "full" or question >= len(config.tasks)
    finding = _asked_for(task, example.found)
    candidates = _candidates(task, finding, place=place, rng=rng)
    severities = SEVERITIES if task in ("severity", "type_and_severity") else ()
    view = "with_reference" if shows_reference else "alone"
    return Prompt(
        prompt_id=f"{example.name}/{task}/{view}",
        messages=ask_about_defect(
            task,
            picture=encode_png(example.pixels_HW3),
            reference=encode_png(example.clean_HW3) if shows_reference else None,
            candidates=candidates,
            severities=severities,
        ),
        reference=Defect(
            task=task,
            finding=finding,
            picture_id=example.name,
            candidates=candidates,
            severities=severities,
            shows_reference=shows_reference,
        ),
        source=SOURCE,
        content_id=example.content_id,
    )


def _asked_for(task: DefectTask, found: Finding) -> Finding:
    """The part of what there is to find that a task asks for."""
    names_kind, names_severity = task in ("type", "type_and_severity"), task in ("severity", "type_and_severity")
    return Finding(
        kind=found.kind if names_kind else None,
        severity=found.severity if names_severity else None,
        region=found.region if task == "region" else None,
        box=found.box if task == "area" else None,
    )


def _candidates(task: DefectTask, finding: Finding, *, place: int, rng: np.random.Generator) -> tuple[str, ...]:
    """The right kind or region at its place among others in random order; others only for a pristine picture."""
    if task in ("severity", "area"):
        return ()
    right, words = (finding.region, REGIONS) if task == "region" else (finding.kind, KIND_NAMES)
    others = [word for word in words if word != right]
    drawn = [others[int(number)] for number in rng.permutation(len(others))[:NUM_CANDIDATES]]
    if right is not None:
        drawn[place] = right
    return tuple(drawn)


def _asked_for_all(prompt: Prompt) -> Prompt:
    """The same pictures with the request for a description, which has no think block."""
    *references, picture = prompt.media()
    messages = ask_for_defects(picture=picture, reference=references[0] if references else None)
    return replace(prompt, messages=messages, wants_thinking=False)


def _guess(defect: Defect, *, crop_size: int, rng: np.random.Generator) -> Finding:
    """An answer in the words of the question, without a look at the picture; one of five is "none"."""
    if rng.random() < 1 / PERIOD:
        return Finding()
    return _asked_for(
        defect.task,
        Finding(
            kind=_draw(defect.candidates, rng=rng) if defect.candidates else None,
            severity=_draw(SEVERITIES, rng=rng),
            region=_draw(defect.candidates, rng=rng) if defect.candidates else None,
            box=draw_box(int(rng.integers(len(REGIONS))), crop_size=crop_size, rng=rng),
        ),
    )


def _draw(words: tuple[str, ...], *, rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
