"""Checklists as files: what is read, what is refused and how, and the two that are shipped."""

from pathlib import Path

import pytest

from rewards.checklist.weights import Weights, equal_weights, kept_weights, read_weights, write_weights
from rollout.checklist.load import ChecklistProblems, look_up, read_checklist, shipped
from rollout.checklist.questions import PROMPT, Checklist
from tests.rewards.checklists import FILES, make_checklist, shared_file

SMALL = """\
version: 1
kind: image
gates:
  - {id: has_face, text: "Is there a face?", closes: [face_good]}
dimensions:
  - name: fidelity
    sub_dimensions:
      - name: face
        is_graded: true
        questions:
          - {id: face_good, text: "Is the face good?"}
          - {id: face_fine, text: 'Is it the face of "[[prompt]]"?'}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path: Path) -> str:
    with pytest.raises(ChecklistProblems) as raised:
        read_checklist(path)
    return str(raised.value)


def test_a_file_becomes_a_checklist_of_its_name(tmp_path: Path) -> None:
    checklist = look_up(str(written(tmp_path, SMALL)))
    assert (checklist.name, checklist.ids) == ("mine", ("face_good", "face_fine"))
    assert [one.id for one in checklist.asked] == ["has_face", "face_good", "face_fine"]
    assert checklist.gates_of == {"face_good": ("has_face",), "face_fine": ()}
    assert checklist.placed[0].sub_dimension == "fidelity.face"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("id: face_fine", "id: face_good", "question ids must differ, face_good occurs more than once"),
        ("id: face_fine", "id: has_face", "question ids must differ, has_face occurs more than once"),
        ("closes: [face_good]", "closes: [face_god]", "gates.has_face.closes: face_god is no weighted question; did"),
        ("closes: [face_good]", "closes: []", "gates.0.closes: "),
        ("is_graded: true", "is_graded: true\n        grade: true", "dimensions.0.sub_dimensions.0.grade: Extra"),
        ("is_graded: true", 'is_graded: "yes"', "dimensions.0.sub_dimensions.0.is_graded: Input should be a valid"),
        ("Is the face good?", "The face is good.", "dimensions.0.sub_dimensions.0.questions.0.text: "),
        ("id: face_fine", "id: Face fine", "dimensions.0.sub_dimensions.0.questions.1.id: "),
        ("kind: image", "kind: sound", "kind: Input should be 'image' or 'video'"),
        ("version: 1\n", "", "version: Field required"),
        ("version: 1", "version: 1\nversion: 2", "line 2: the key version stands here again"),
        ("        is_graded: true", "        is_graded: true\n        is_graded: no", "line 10: the key is_graded"),
        ("version: 1", "version: [", "not YAML: "),
        (SMALL, "- a list", "expected a mapping with dimensions, got list"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_file_and_field(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in SMALL
    path = written(tmp_path, SMALL.replace(old, new))
    assert problems_of(path).startswith(f"{path}: {problem}")


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    faulty = SMALL.replace("version: 1", "version: 0").replace("is_graded: true", "graded: true")
    lines = problems_of(written(tmp_path, faulty)).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "version",
        "dimensions.0.sub_dimensions.0.is_graded",
        "dimensions.0.sub_dimensions.0.graded",
    ]


def test_a_missing_file_and_one_in_another_encoding_are_one_line(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "none.yaml").endswith("none.yaml: cannot be read: No such file or directory")
    path = written(tmp_path, "")
    path.write_bytes(b"name: \xe9\n")
    assert "not UTF-8" in problems_of(path)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="checklist 'imag' is unknown; did you mean image"):
        look_up("imag")


@pytest.mark.parametrize("name", ["image", "video"])
def test_shipped_checklists_have_the_dimensions_of_their_kind(name: str) -> None:
    checklist = look_up(name)
    expected = {
        "image": {"alignment", "composition", "quality", "fidelity", "safety_emotion"},
        "video": {
            "alignment", "composition", "quality", "fidelity", "stability", "dynamics", "preservation", "physics",
            "safety",
        },
    }  # fmt: skip
    assert checklist.kind == name
    assert {one.name for one in checklist.dimensions} == expected[name]


@pytest.mark.parametrize("name", ["image", "video"])
def test_shipped_questions_are_our_own(name: str) -> None:
    theirs = {
        line.strip().casefold() for file, _ in FILES.values() for line in shared_file(file).read_text().splitlines()
    }
    assert not theirs & {one.text.casefold() for one in look_up(name).asked}


def test_every_shipped_gate_closes_whole_sub_dimensions() -> None:
    for checklist in shipped().values():
        by_sub = {one.question.id: one.sub_dimension for one in checklist.placed}
        for gate in checklist.gates:
            subs = {by_sub[one] for one in gate.closes}
            assert set(gate.closes) == {one for one, sub in by_sub.items() if sub in subs}


@pytest.mark.parametrize("name", ["image", "video"])
def test_without_a_prompt_only_alignment_is_left_out(name: str) -> None:
    checklist = look_up(name)
    left = checklist.without_prompt()
    assert checklist.needs_prompt
    assert not left.needs_prompt
    assert [one.name for one in left.dimensions] == [
        one.name for one in checklist.dimensions if one.name != "alignment"
    ]
    assert left.gates == checklist.gates


def test_a_gate_goes_with_the_last_question_it_closes() -> None:
    checklist = make_checklist({"a": {"b": 2}}, gates={"gate": ("a.b.1",)})
    assert checklist.keeping({"gate", "a.b.2"}).gates == ()
    assert checklist.keeping({"gate", "a.b.1"}).gates == checklist.gates
    assert checklist.keeping({"a.b.1"}).gates == ()


def test_a_checklist_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no weighted question is left"):
        make_checklist({"a": {"b": 2}}).keeping({"gate"})


def test_the_prompt_is_put_in_as_it_is(tmp_path: Path) -> None:
    question = read_checklist(written(tmp_path, SMALL)).asked[-1]
    assert question.asked_of(f"a {PROMPT} {{cat}}") == f'Is it the face of "a {PROMPT} {{cat}}"?'


def test_a_question_about_a_missing_prompt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="question face_fine quotes the prompt and none is known"):
        read_checklist(written(tmp_path, SMALL)).asked[-1].asked_of(None)


LISTED = make_checklist({"a": {"b": 2}, "c": {"d": 1}})


@pytest.mark.parametrize("name", ["weights.json", "weights.yaml"])
def test_weights_are_written_and_read_back_to_the_bit(tmp_path: Path, name: str) -> None:
    weights = Weights(by_id={"a.b.1": 1e-7 / 3.0, "a.b.2": 2.0 / 3.0, "c.d.1": 0.0})
    write_weights(tmp_path / name, weights=weights, checklist=LISTED)
    assert read_weights(tmp_path / name, checklist=LISTED) == weights


def test_weights_that_are_no_yaml_are_named(tmp_path: Path) -> None:
    (tmp_path / "weights.yaml").write_text("weights: [")
    with pytest.raises(ValueError, match=r"weights\.yaml: expected weights as YAML: while parsing"):
        read_weights(tmp_path / "weights.yaml", checklist=LISTED)


def test_equal_weights_are_one_together() -> None:
    assert equal_weights(LISTED).by_id == dict.fromkeys(LISTED.ids, 1 / 3)


def test_a_part_of_a_checklist_keeps_its_weights() -> None:
    part = LISTED.keeping({"c.d.1"})
    assert kept_weights(equal_weights(LISTED), checklist=part).by_id == {"c.d.1": 1 / 3}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"checklist": "small", "version": 2, "weights": {}}', "weights of small version 2, the checklist is"),
        ('{"checklist": "small", "version": 1, "weights": {"a.b.1": 1.0}}', "2 questions have no weight: a.b.2, c.d.1"),
        ('{"checklist": "small", "version": 1, "weights": {"a.b.1": 1, "a.b.2": 1, "c.d.1": -1}}', "c.d.1=-1"),
        (
            '{"checklist": "small", "version": 1, "weights": {"a.b.1": 1, "a.b.2": 1, "c.d.1": 1, "c.d.2": 1}}',
            "1 questions have a weight and are not in the checklist: c.d.2; did you mean c.d.1",
        ),
        ('{"checklist": "small", "version": 1}', "weights: Field required"),
        ("[1, 2, 3]", "Input should be an object"),
        ("{", "Invalid JSON"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "weights.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"weights\.json") as raised:
        read_weights(path, checklist=LISTED)
    assert problem in str(raised.value)


def test_a_checklist_survives_its_own_json() -> None:
    assert Checklist.model_validate_json(LISTED.model_dump_json()) == LISTED
