"""Questions about local defects: what is asked and shown, how answers are balanced, what the teacher shows."""

import re
from collections import Counter
from itertools import product

import numpy as np
import pytest

from conf.data import PhotoDefectsConfig
from rollout.datasets.base import Data
from rollout.datasets.defect_questions import describe_finding
from rollout.datasets.local_defects import KIND_NAMES, PERIOD, REGIONS, SEVERITIES, LocalDefectRecipe
from rollout.datasets.on_demand import NUM_DEMONSTRATIONS
from rollout.datasets.photo_defects import NUM_CANDIDATES, build_photo_defects
from rollout.datasets.photographs import TEST_NAMES
from rollout.media import load_image
from rollout.types import Demonstration, Finding, Prompt

TASKS = ["type", "severity", "type_and_severity", "region", "area"]
NUM_SHOWN = 300


def _config(**changes: object) -> PhotoDefectsConfig:
    values = {"kind": "photo_defects", "crop_size": 84, "num_train": 20, "num_test": 20, "tasks": TASKS}
    return PhotoDefectsConfig.model_validate({**values, "reference": "both", "data_seed": 0, **changes})


def _data(**changes: object) -> Data:
    return build_photo_defects(_config(**changes))


def _trained(data: Data) -> list[Prompt]:
    return [data.train.prompt(index) for index in range(len(data.train))]


def _tested(data: Data) -> list[Prompt]:
    return [data.test.prompt(index) for index in range(len(data.test))]


def _text(prompt: Prompt) -> str:
    text = prompt.messages[0].content[-1]
    assert isinstance(text, str)
    return text


def _pixels(prompt: Prompt) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int16]]]:
    return [np.asarray(load_image(media)).astype(np.int16) for media in prompt.media()]


@pytest.fixture(scope="module")
def trained() -> list[Prompt]:
    return _trained(_data())


@pytest.fixture(scope="module")
def tested() -> list[Prompt]:
    return _tested(_data())


@pytest.fixture(scope="module")
def shown() -> list[Demonstration]:
    cold_start = _data().cold_start
    assert cold_start is not None
    return [cold_start.demonstration(index) for index in range(NUM_SHOWN)]


def test_two_builds_give_the_same_questions(trained: list[Prompt], tested: list[Prompt]) -> None:
    assert _trained(_data()) == trained
    assert _tested(_data()) == tested


def test_the_first_questions_do_not_depend_on_how_many_pictures_there_are(trained: list[Prompt]) -> None:
    assert _trained(_data(num_train=2)) == trained[:20]


def test_another_data_seed_gives_other_pictures(tested: list[Prompt]) -> None:
    one, other = (
        {next(prompt.media()).data for prompt in prompts} for prompts in (tested, _tested(_data(data_seed=1)))
    )
    assert not one & other


def test_every_picture_is_asked_about_once_per_task_and_view(tested: list[Prompt]) -> None:
    for first in range(0, len(tested), 10):
        neighbours = [prompt.defect for prompt in tested[first : first + 10]]
        assert len({defect.picture_id for defect in neighbours}) == 1
        assert [(defect.shows_reference, defect.task) for defect in neighbours] == list(product((False, True), TASKS))


@pytest.mark.parametrize(("reference", "views"), [("none", {False}), ("full", {True}), ("both", {False, True})])
def test_the_reference_is_shown_as_configured(reference: str, views: set[bool]) -> None:
    data = _data(reference=reference, tasks=["type"], num_test=2)
    assert {prompt.defect.shows_reference for prompt in _tested(data)} == views
    assert {len(list(prompt.media())) - 1 for prompt in _tested(data)} == views
    assert data.max_images == (2 if True in views else 1)


def test_only_the_configured_tasks_are_asked() -> None:
    assert {prompt.defect.task for prompt in _trained(_data(tasks=["area", "type"]))} == {"area", "type"}


def test_the_pictures_differ_inside_the_box_and_nowhere_else(tested: list[Prompt]) -> None:
    with_reference = [prompt for prompt in tested if prompt.defect.task == "area" and prompt.defect.shows_reference]
    for prompt in with_reference:
        clean, picture = _pixels(prompt)
        box = prompt.defect.finding.box
        if box is None:
            assert (clean == picture).all()
            continue
        left, top, right, bottom = map(int, box)
        assert np.abs(clean - picture)[top:bottom, left:right].mean() > 1.0
        picture[top:bottom, left:right] = clean[top:bottom, left:right]
        assert (clean == picture).all()


def test_all_questions_about_a_picture_ask_for_parts_of_one_finding(tested: list[Prompt]) -> None:
    for first in range(0, len(tested), 5):
        kind, severity, both, region, area = (prompt.defect.finding for prompt in tested[first : first + 5])
        assert (both.kind, both.severity) == (kind.kind, severity.severity)
        are_pristine = {finding == Finding() for finding in (kind, severity, both, region, area)}
        assert len(are_pristine) == 1


def test_the_middle_of_the_box_lies_in_the_region_that_is_named(tested: list[Prompt]) -> None:
    for region, area in zip(tested[3::5], tested[4::5], strict=True):
        box, name = area.defect.finding.box, region.defect.finding.region
        if box is not None:
            assert name is not None
            row, column = divmod(REGIONS.index(name), 3)
            assert 84 * column / 3 < (box[0] + box[2]) / 2 < 84 * (column + 1) / 3
            assert 84 * row / 3 < (box[1] + box[3]) / 2 < 84 * (row + 1) / 3


@pytest.mark.parametrize("crop_size", [56, 84, 112, 224])
def test_boxes_of_every_region_lie_on_the_grid_inside_the_picture(crop_size: int) -> None:
    recipe = LocalDefectRecipe(source="x", data_seed=0, crop_size=crop_size)
    found = [recipe.example(index, stage="train").found for index in range(100)]
    boxes = [one.box for one in found if one.box is not None]
    assert {one.region for one in found} == {None, *REGIONS}
    for left, top, right, bottom in boxes:
        assert all(edge % 14 == 0 and 0 <= edge <= crop_size for edge in (left, top, right, bottom))
        for side in (right - left, bottom - top):
            assert crop_size / 3 <= side <= crop_size / 2


def test_a_fifth_is_pristine_and_the_others_are_equally_severe(trained: list[Prompt]) -> None:
    severities = Counter(prompt.defect.finding.severity for prompt in trained if prompt.defect.task == "severity")
    assert severities == dict.fromkeys((None, *SEVERITIES), len(trained) // 5 // PERIOD)


@pytest.mark.parametrize("task", ["type", "type_and_severity", "region"])
def test_the_right_candidate_stands_in_every_place_equally_often(task: str) -> None:
    prompts = _trained(_data(num_train=80, tasks=[task], reference="none"))
    places = Counter(_place(prompt) for prompt in prompts)
    assert places == dict.fromkeys((None, *range(NUM_CANDIDATES)), 16)


def _place(prompt: Prompt) -> int | None:
    right = prompt.defect.finding.kind or prompt.defect.finding.region
    return None if right is None else prompt.defect.candidates.index(right)


def test_neither_severity_nor_photograph_tells_the_place() -> None:
    prompts = _tested(_data(num_test=80, tasks=["type_and_severity"], reference="none"))
    cells = Counter((prompt.content_id, prompt.defect.finding.severity, _place(prompt)) for prompt in prompts)
    defective = {cell: count for cell, count in cells.items() if cell[2] is not None}
    assert defective == dict.fromkeys(product(TEST_NAMES, SEVERITIES, range(NUM_CANDIDATES)), 1)


def test_candidates_are_four_different_words_of_their_kind(trained: list[Prompt]) -> None:
    for defect in (prompt.defect for prompt in trained):
        words = {"type": KIND_NAMES, "type_and_severity": KIND_NAMES, "region": REGIONS}.get(defect.task, ())
        assert set(defect.candidates) <= set(words)
        assert len(set(defect.candidates)) == len(defect.candidates) == (NUM_CANDIDATES if words else 0)


def test_the_question_shows_what_may_be_chosen(trained: list[Prompt]) -> None:
    for prompt in trained:
        defect, text = prompt.defect, _text(prompt)
        for words in (defect.candidates, defect.severities):
            assert ", ".join(words) in text
        assert "none" in text
        assert ("[x1, y1, x2, y2]" in text) == (defect.task == "area")
        assert "<think> </think>" in text


def test_every_task_and_view_has_a_wording_of_its_own(trained: list[Prompt]) -> None:
    openings = {_text(prompt).partition("Choose from")[0].partition("Answer with")[0] for prompt in trained[:10]}
    assert len(openings) == 10


def test_the_test_shows_photographs_that_no_other_stage_shows(trained: list[Prompt], tested: list[Prompt]) -> None:
    assert Counter(prompt.content_id for prompt in tested) == dict.fromkeys(TEST_NAMES, len(tested) // 4)
    assert not {prompt.content_id for prompt in trained} & set(TEST_NAMES)


def test_every_stage_makes_pictures_of_its_own() -> None:
    data = _data()
    assert data.warm_up is not None
    assert data.cold_start is not None
    prompts = [data.train.prompt(0), data.test.prompt(0)]
    prompts += [phase.demonstration(0).prompt for phase in (data.warm_up, data.cold_start)]
    assert len({list(prompt.media())[-1].data for prompt in prompts}) == 4


def test_the_warm_up_says_all_there_is_to_find() -> None:
    warm_up = _data().warm_up
    assert warm_up is not None
    for index in range(20):
        one = warm_up.demonstration(index)
        finding = one.prompt.defect.finding
        assert not one.prompt.wants_thinking
        assert "Please describe the defects" in _text(one.prompt)
        if finding == Finding():
            assert one.target == "This picture shows no defects."
        else:
            assert re.fullmatch(r"This picture shows \w+ \w+ [\w ]+ in \[\d+, \d+, \d+, \d+\]\.", one.target)
            assert all(part in one.target for part in (finding.kind, finding.severity, finding.region) if part)


def test_a_description_names_severity_kind_region_and_box() -> None:
    found = Finding(kind="blur", severity="strong", region="top left", box=(0.0, 14.0, 28.0, 56.0))
    assert describe_finding(found) == "This picture shows strong blur top left in [0, 14, 28, 56]."


def _said(one: Demonstration) -> str:
    found = re.fullmatch(r"<think>This picture shows [^<]+\.</think><answer>([^<]+)</answer>", one.target)
    assert found is not None
    return found[1]


def test_the_teacher_is_better_than_chance_and_leaves_something_to_learn(shown: list[Demonstration]) -> None:
    share_right = sum(_said(one) == one.prompt.defect.finding.words for one in shown) / NUM_SHOWN
    assert 0.4 < share_right < 0.65


def test_the_teacher_answers_in_the_words_of_the_question(shown: list[Demonstration]) -> None:
    for one in shown:
        defect = one.prompt.defect
        if defect.task in ("type", "region"):
            assert _said(one) in (*defect.candidates, "none")


def test_the_teacher_shows_every_task_and_view(shown: list[Demonstration]) -> None:
    cells = Counter((one.prompt.defect.task, one.prompt.defect.shows_reference) for one in shown)
    # 30 expected of each, standard deviation 5.2.
    assert len(cells) == 10
    assert min(cells.values()) > 10


def test_demonstrations_hardly_ever_come_again() -> None:
    cold_start = _data().cold_start
    assert cold_start is not None
    assert len(cold_start) == NUM_DEMONSTRATIONS
    first, last = (cold_start.demonstration(index).prompt for index in (0, NUM_DEMONSTRATIONS - 1))
    assert list(first.media())[-1].data != list(last.media())[-1].data


def test_crops_larger_than_a_photograph_are_refused_when_built() -> None:
    with pytest.raises(ValueError, match=r"data\.crop_size=308 is larger than the photograph .* use at most 280"):
        _data(crop_size=308)


def test_a_task_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="names a task twice"):
        _config(tasks=["type", "type"])


@pytest.mark.parametrize("index", [-1, 200])
def test_an_index_outside_the_split_is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match=r"photo_defects/test has entries 0\.\.199"):
        _data().test.prompt(index)
