"""Answers about defects: what counts as one, and what it is worth."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from rewards.findings import credit, intersection_over_union, is_right, read_finding
from rewards.tags import parse_answer, possible_statuses
from rollout.types import Box, DefectTask, Finding
from tests.builders import STRONG_BLUR, make_answer, make_defect_prompt

PRISTINE = Finding()
BLUR = Finding(kind="blur")
FIRST, NEAR, FAR = (886.0, 88.0, 1023.0, 648.0), (870.0, 100.0, 1010.0, 660.0), (700.0, 300.0, 950.0, 640.0)


@pytest.mark.parametrize(
    ("task", "answer", "finding"),
    [
        ("type", "blur", BLUR),
        ("type", " Blur.\n", BLUR),
        ("type", "none", PRISTINE),
        ("type", "NONE.", PRISTINE),
        ("type", "blur..", None),
        ("type", "strong blur", None),
        ("type", "blur or haze", None),
        ("type", "blur, strong", None),
        ("type", "mosaic", None),
        ("type", "", None),
        ("severity", "clear", Finding(severity="clear")),
        ("severity", "none", PRISTINE),
        ("severity", "blur", None),
        ("severity", "3", None),
        ("type_and_severity", "Blur,strong", Finding(kind="blur", severity="strong")),
        ("type_and_severity", "blur ,  strong.", Finding(kind="blur", severity="strong")),
        ("type_and_severity", "none", PRISTINE),
        ("type_and_severity", "strong, blur", None),
        ("type_and_severity", "blur", None),
        ("type_and_severity", "blur, none", None),
        ("type_and_severity", "blur, strong, mild", None),
        ("region", "Top  Left", Finding(region="top left")),
        ("region", "left", None),
        ("area", "[14, 0, 56, 28]", Finding(box=(14.0, 0.0, 56.0, 28.0))),
        ("area", " [14,0,56.5,28]. ", Finding(box=(14.0, 0.0, 56.5, 28.0))),
        ("area", "none", PRISTINE),
        ("area", "[56, 0, 14, 28]", None),
        ("area", "[14, 0, 14, 28]", None),
        ("area", "14, 0, 56, 28", None),
        ("area", "[14, 0, 56]", None),
        ("area", "[-14, 0, 56, 28]", None),
        ("area", "[1e1, 0, 56, 28]", None),
        ("area", "box [14, 0, 56, 28]", None),
    ],
)
def test_an_answer_is_read_in_the_words_of_its_question(task: DefectTask, answer: str, finding: Finding | None) -> None:
    assert read_finding(answer, defect=make_defect_prompt(task=task).defect) == finding


@pytest.mark.parametrize("task", ["type", "severity", "type_and_severity", "region", "area"])
def test_the_right_answer_in_words_is_read_as_itself(task: DefectTask) -> None:
    defect = make_defect_prompt(task=task).defect
    assert read_finding(defect.finding.words, defect=defect) == defect.finding
    assert is_right(defect.finding, defect=defect)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (make_answer("blur"), "ok"),
        (make_answer("fog"), "no_candidate"),
        ("<answer>blur</answer><answer>Blur</answer>", "ok"),
        ("<answer>blur</answer><answer>haze</answer>", "no_candidate"),
        ("It is blur.", "no_tag"),
    ],
)
def test_every_answer_has_a_status(answer: str, status: str) -> None:
    prompt = make_defect_prompt()
    assert parse_answer(answer, prompt=prompt).status == status
    assert status in possible_statuses(prompt)


def test_what_is_no_box_has_a_status_of_its_own() -> None:
    prompt = make_defect_prompt(task="area")
    assert parse_answer(make_answer("top left"), prompt=prompt).status == "no_box"
    assert possible_statuses(prompt) == ("ok", "no_tag", "no_box")


@pytest.mark.parametrize(
    ("given", "graded", "exact"),
    [("strong", 1.0, 1.0), ("extreme", 0.6, 0.0), ("clear", 0.6, 0.0), ("mild", 0.2, 0.0), (None, 0.0, 0.0)],
)
def test_a_severity_earns_less_the_further_it_is_off(given: str | None, graded: float, exact: float) -> None:
    defect = make_defect_prompt(task="severity").defect
    finding = Finding(severity=given)
    assert credit(finding, defect=defect, severity="graded") == graded
    assert credit(finding, defect=defect, severity="exact") == exact


def test_no_defect_is_one_step_below_the_least() -> None:
    pristine = make_defect_prompt(task="severity", found=PRISTINE).defect
    worths = [credit(Finding(severity=word), defect=pristine, severity="graded") for word in pristine.severities]
    assert worths == [0.6, 0.2, 0.0, 0.0]


@pytest.mark.parametrize(
    ("kind", "severity", "worth"),
    [("blur", "strong", 1.0), ("blur", "clear", 0.8), ("blur", "mild", 0.6), ("haze", "strong", 0.0)],
)
def test_the_severity_counts_only_with_the_right_type(kind: str, severity: str, worth: float) -> None:
    defect = make_defect_prompt(task="type_and_severity").defect
    finding = Finding(kind=kind, severity=severity)
    assert credit(finding, defect=defect, severity="graded") == pytest.approx(worth)
    assert is_right(finding, defect=defect) == (worth == 1.0)


@pytest.mark.parametrize("task", ["type", "severity", "type_and_severity", "region", "area"])
def test_a_pristine_picture_is_found_pristine_or_not(task: DefectTask) -> None:
    pristine, defect = make_defect_prompt(task=task, found=PRISTINE).defect, make_defect_prompt(task=task).defect
    assert credit(PRISTINE, defect=pristine, severity="graded") == 1.0
    assert credit(defect.finding, defect=pristine, severity="exact") == 0.0
    assert credit(PRISTINE, defect=defect, severity="exact") == 0.0


@pytest.mark.parametrize("task", ["type", "severity", "type_and_severity", "region", "area"])
def test_an_unreadable_answer_earns_nothing(task: DefectTask) -> None:
    for found in (STRONG_BLUR, PRISTINE):
        defect = make_defect_prompt(task=task, found=found).defect
        assert credit(None, defect=defect, severity="graded") == 0.0
        assert not is_right(None, defect=defect)


def test_the_order_of_the_candidates_changes_nothing() -> None:
    defect = make_defect_prompt().defect
    for order in itertools.permutations(defect.candidates):
        turned = replace(defect, candidates=order)
        assert [read_finding(word, defect=turned) for word in ("blur", "haze", "fog")] == [
            BLUR, Finding(kind="haze"), None,
        ]  # fmt: skip


def test_the_published_boxes_overlap_as_worked_out() -> None:
    assert intersection_over_union(FIRST, NEAR) == pytest.approx(0.7795521292217328, abs=1e-15)
    assert intersection_over_union(FIRST, FAR) == pytest.approx(0.15547299228350958, abs=1e-15)


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (2, 0, 4, 2), 0.0),
        ((0, 0, 2, 2), (5, 5, 6, 6), 0.0),
        ((0, 0, 4, 4), (1, 1, 3, 3), 0.25),
        ((0, 0, 2, 1), (1, 0, 3, 1), 1 / 3),
    ],
)
def test_overlap_is_shared_area_over_joint_area(one: Box, other: Box, share: float) -> None:
    assert intersection_over_union(one, other) == pytest.approx(share)


def test_overlap_is_what_counting_pixels_gives() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        boxes, masks = [], np.zeros((2, 14, 14), dtype=np.bool_)
        for mask in masks:
            left, top = (int(edge) for edge in rng.integers(0, 12, 2))
            right, bottom = left + int(rng.integers(1, 14 - left)), top + int(rng.integers(1, 14 - top))
            mask[top:bottom, left:right] = True
            boxes.append((float(left), float(top), float(right), float(bottom)))
        expected = masks.all(axis=0).sum() / masks.any(axis=0).sum()
        assert intersection_over_union(boxes[0], boxes[1]) == pytest.approx(expected)
        assert intersection_over_union(boxes[1], boxes[0]) == pytest.approx(expected)


def test_an_area_is_worth_its_overlap_and_found_from_one_half_on() -> None:
    defect = make_defect_prompt(task="area", found=Finding(box=(0.0, 0.0, 4.0, 2.0))).defect
    for right, worth, found in ((4.0, 1.0, True), (2.0, 0.5, True), (1.0, 0.25, False)):
        finding = Finding(box=(0.0, 0.0, right, 2.0))
        assert credit(finding, defect=defect, severity="graded") == worth
        assert is_right(finding, defect=defect) == found


def test_a_box_beyond_the_picture_is_not_cut() -> None:
    defect = make_defect_prompt(task="area", found=Finding(box=(0.0, 0.0, 10.0, 10.0))).defect
    assert credit(Finding(box=(0.0, 0.0, 100.0, 10.0)), defect=defect, severity="graded") == pytest.approx(0.1)
