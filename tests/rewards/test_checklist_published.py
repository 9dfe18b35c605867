"""VisionReward's files: what is in them, and what is refused."""

from pathlib import Path

import pytest

from rewards.checklist.published import ALIGNMENT, PublishedFilesProblem, PublishedName, load_published
from tests.rewards.checklists import FILES, published, shared_file


@pytest.mark.parametrize(
    ("name", "num_lines", "num_weights"),
    [("image", 59, 55), ("image_select", 30, 28), ("video", 64, None), ("video_select", 29, 29)],
)
def test_every_set_has_its_questions_and_weights(name: PublishedName, num_lines: int, num_weights: int | None) -> None:
    found = published(name)
    assert len(found.file_order) == num_lines
    assert (None if found.weights is None else len(found.weights.by_id)) == num_weights


@pytest.mark.parametrize("name", list(FILES))
def test_a_question_keeps_the_text_of_its_line(name: PublishedName) -> None:
    found = published(name)
    texts = {one.id: one.text for one in found.checklist.asked}
    lines = shared_file(FILES[name][0]).read_text(encoding="utf-8").splitlines()
    assert [texts[one] for one in found.file_order] == [line.strip() for line in lines]


@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_selected_question_has_the_id_of_the_same_text_in_the_full_list(kind: PublishedName) -> None:
    full, selected = (
        {one.text: one.id for one in published(name).checklist.asked}
        for name in (kind, "image_select" if kind == "image" else "video_select")
    )
    assert {text: full[text] for text in selected} == selected


def test_selected_image_weights_are_the_ones_above_zero_of_the_full_list() -> None:
    full, selected = published("image").weights, published("image_select").weights
    assert full is not None
    assert selected is not None
    assert {one: weight for one, weight in full.by_id.items() if weight} == selected.by_id


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("image", {"alignment": 1, "composition": 12, "quality": 12, "fidelity": 22, "safety_emotion": 8}),
        (
            "video",
            {
                "alignment": 4, "composition": 2, "quality": 14, "fidelity": 9, "stability": 12, "dynamic": 8,
                "physics": 4, "preservation": 7, "safety": 4,
            },
        ),
    ],
)  # fmt: skip
def test_dimensions_are_as_large_as_published(name: PublishedName, sizes: dict[str, int]) -> None:
    # The paper's counts, less the masks: one of composition (background), one of quality (lighting, which it counts
    # twice), three of fidelity (body, face, hands).
    checklist = published(name).checklist
    found = {one.name: sum(len(sub.questions) for sub in one.sub_dimensions) for one in checklist.dimensions}
    assert found == sizes


@pytest.mark.parametrize(("name", "num_subs"), [("image", 18), ("video", 20)])
def test_there_are_as_many_sub_dimensions_as_published(name: PublishedName, num_subs: int) -> None:
    assert sum(len(one.sub_dimensions) for one in published(name).checklist.dimensions) == num_subs


def test_the_selected_video_lines_lie_in_the_published_dimensions() -> None:
    found = published("video_select")
    lines: dict[str, list[int]] = {}
    for line, one in enumerate(found.file_order):
        lines.setdefault(one.partition(".")[0], []).append(line)
    assert lines == {
        "alignment": [0, 1, 2],
        "composition": [3, 4],
        "quality": [6, 7, 8, 9, 10, 11, 12],
        "fidelity": [21, 23, 24, 25, 26, 27],
        "stability": [5, 20, 22],
        "dynamic": [18, 19],
        "physics": [28],
        "preservation": [13, 14, 15, 16, 17],
    }


def test_the_first_weight_of_the_image_list_is_that_of_alignment() -> None:
    weights = published("image_select").weights
    assert weights is not None
    assert weights.by_id[ALIGNMENT] == 2.3542882631150923


def test_sixty_four_questions_with_twenty_nine_weights_are_refused() -> None:
    questions, weights = shared_file(FILES["video"][0]), shared_file(FILES["video_select"][1] or "")
    with pytest.raises(PublishedFilesProblem) as raised:
        load_published(questions, weights=weights)
    message = str(raised.value)
    assert "has 64 questions" in message
    assert "has 29 weights: they belong to VisionReward_video_qa_select.txt" in message
    assert "\n" not in message


def test_image_weights_do_not_go_with_video_questions() -> None:
    with pytest.raises(PublishedFilesProblem, match="they belong to VisionReward_image_qa_select"):
        load_published(shared_file(FILES["video_select"][0]), weights=shared_file(FILES["image_select"][1] or ""))


def test_weights_for_the_full_video_list_were_not_published(tmp_path: Path) -> None:
    own = tmp_path / "weight.json"
    own.write_text("[0.5, 0.5]")
    with pytest.raises(PublishedFilesProblem, match=r"has 2 weights: VisionReward published none for it"):
        load_published(shared_file(FILES["video"][0]), weights=own)


@pytest.mark.parametrize("text", ["{", '{"weights": [1.0]}', '["a"]', "3"])
def test_a_weight_file_without_weights_is_refused(tmp_path: Path, text: str) -> None:
    own = tmp_path / "weight.json"
    own.write_text(text)
    with pytest.raises(PublishedFilesProblem, match=r"weight\.json: expected a JSON list of weights"):
        load_published(shared_file(FILES["video_select"][0]), weights=own)


def test_a_file_that_lost_a_line_is_refused_with_both_counts(tmp_path: Path) -> None:
    original = shared_file(FILES["image_select"][0])
    copy = tmp_path / original.name
    copy.write_text("\n".join(original.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    with pytest.raises(PublishedFilesProblem, match=r"has 29 questions .* has 30 and 2b603df2f4e30fe8"):
        load_published(copy, weights=None)


def test_a_file_with_another_byte_is_refused(tmp_path: Path) -> None:
    original = shared_file(FILES["video_select"][0])
    copy = tmp_path / original.name
    copy.write_bytes(original.read_bytes() + b"\n")
    with pytest.raises(PublishedFilesProblem, match="has 29 questions and sha256"):
        load_published(copy, weights=None)


def test_a_changed_weight_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "weight.json"
    copy.write_text(shared_file(FILES["video_select"][1] or "").read_text().replace("0.9543", "0.9544"))
    with pytest.raises(PublishedFilesProblem, match="has 29 weights and sha256"):
        load_published(shared_file(FILES["video_select"][0]), weights=copy)


def test_questions_of_ones_own_are_sent_to_yaml(tmp_path: Path) -> None:
    own = tmp_path / "mine.txt"
    own.write_text("Is it nice?\n")
    with pytest.raises(PublishedFilesProblem, match=r"1 lines, sha256 .* is none of .* write questions of your own as"):
        load_published(own, weights=None)


@pytest.mark.parametrize("missing", ["questions", "weights"])
def test_a_missing_file_is_one_line(tmp_path: Path, missing: str) -> None:
    nowhere = tmp_path / "weight.json"
    questions = nowhere if missing == "questions" else shared_file(FILES["video_select"][0])
    with pytest.raises(PublishedFilesProblem, match=r"weight.json: cannot be read: No such file"):
        load_published(questions, weights=nowhere)
