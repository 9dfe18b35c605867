"""Conversations from files, and everything that can be wrong with them."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from conf.data import VideoConfig
from rollout.datasets.demonstration_files import FileDemonstrations, read_demonstrations
from rollout.datasets.problems import DatasetProblems
from rollout.types import Media, Message, Unlabelled

PUBLISHED = Path(__file__).parents[3] / "../shared/data/aes_r1/example.json"
PLAIN = {"image": "a.png", "question": "How good?", "response": "<think>Sharp.</think><answer>4.00</answer>"}
VIDEO = VideoConfig(fps=2.0, max_frames=8, max_pixels=56 * 56, total_pixels=None)


def write(folder: Path, *rows: Mapping[str, object], name: str = "rows.jsonl") -> Path:
    """A file of rows beside the pictures a.png, b.png and c.png."""
    for number, picture in enumerate("abc"):
        Image.new("RGB", (56, 56), (number * 40, 0, 0)).save(folder / f"{picture}.png")
    path = folder / name
    if name.endswith("l"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(list(rows)))
    return path


def read(path: Path) -> FileDemonstrations:
    """The file, which may show videos."""
    return read_demonstrations(path, video=VIDEO)


def said(demonstrations: FileDemonstrations, index: int) -> list[tuple[str, tuple[str, ...]]]:
    """Roles and contents of a prompt, pictures by the names of their files."""
    messages = demonstrations.demonstration(index).prompt.messages
    return [(message.role, tuple(_shown(part) for part in message.content)) for message in messages]


def _shown(part: str | Media) -> str:
    return part if isinstance(part, str) else Path(part.name).name


def problems_of(path: Path) -> list[str]:
    """Kind, place and complaint of everything wrong with a file."""
    with pytest.raises(DatasetProblems) as caught:
        read(path)
    return [f"{one.kind} {Path(one.where).name}: {one.what}" for one in caught.value.problems]


def test_a_plain_row_shows_its_picture_before_the_question(tmp_path: Path) -> None:
    demonstrations = read(write(tmp_path, PLAIN))
    assert said(demonstrations, 0) == [("user", ("a.png", "How good?"))]
    only = demonstrations.demonstration(0)
    assert (only.target, only.prompt.wants_thinking) == (PLAIN["response"], True)
    assert only.prompt.reference == Unlabelled()


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_sharegpt_in_both_spellings_is_read_from_both_kinds_of_file(name: str, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Look <image>here"}, {"role": "assistant", "content": "good"}]
    conversations = [{"from": "human", "value": "Look <image>here"}, {"from": "gpt", "value": "good"}]
    path = write(
        tmp_path,
        {"messages": messages, "images": "a.png"},
        {"conversations": conversations, "image": ["b.png"]},
        name=name,
    )
    demonstrations = read(path)
    assert [said(demonstrations, index) for index in range(2)] == [
        [("user", ("Look ", "a.png", "here"))],
        [("user", ("Look ", "b.png", "here"))],
    ]
    assert demonstrations.demonstration(1).target == "good"


def test_every_answer_of_a_conversation_is_imitated_with_what_was_said_before(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Judge."},
        {"role": "user", "content": "<image>First?"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "And this? <image>"},
        {"role": "assistant", "content": "two"},
    ]
    demonstrations = read(write(tmp_path, {"messages": turns, "images": ["b.png", "a.png"]}))
    assert [demonstrations.demonstration(index).target for index in range(len(demonstrations))] == ["one", "two"]
    assert said(demonstrations, 0) == [("system", ("Judge.",)), ("user", ("b.png", "First?"))]
    assert said(demonstrations, 1)[2:] == [("assistant", ("one",)), ("user", ("And this? ", "a.png"))]


def test_a_folder_of_frames_is_a_video(tmp_path: Path) -> None:
    frames = tmp_path / "clip"
    frames.mkdir()
    for number in range(4):
        Image.new("RGB", (56, 56), (number, 0, 0)).save(frames / f"{number}.png")
    row = {"video": "clip", "question": "<video>How steady?", "response": "<answer>3</answer>"}
    (message,) = read(write(tmp_path, row)).demonstration(0).prompt.messages
    assert isinstance(message, Message)
    video = message.content[0]
    assert isinstance(video, Media)
    assert (video.kind, len(video.frames)) == ("video", 4)


def test_videos_are_refused_where_nothing_says_how_much_of_them_is_shown(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    row = {"video": "clip.mp4", "question": "How steady?", "response": "well"}
    with pytest.raises(DatasetProblems, match=r"shows a video, but this data set has no section data\.video"):
        read_demonstrations(write(tmp_path, row), video=None)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({**PLAIN, "image": "z.png"}, "missing_image rows.jsonl:1: no image HERE/z.png"),
        ({**PLAIN, "images": ["b.png"]}, "field rows.jsonl:1: has both image and images; keep one"),
        ({**PLAIN, "question": "<image><image>"}, "field rows.jsonl:1: 2 <image> in the text, but 1 files are named"),
        ({**PLAIN, "question": "<video>"}, "field rows.jsonl:1: 0 <image> in the text, but 1 files are named"),
        ({**PLAIN, "response": ""}, "field rows.jsonl:1: response: String should have at least 1 character"),
        ({"image": "a.png", "question": "?"}, "field rows.jsonl:1: response: Field required"),
        (
            {"messages": [{"role": "user", "content": "?"}, {"role": "critic", "content": "!"}]},
            "field rows.jsonl:1: role 'critic' is none of system, user, human, assistant, gpt",
        ),
        (
            {"messages": [{"role": "assistant", "content": "?"}, {"role": "assistant", "content": "!"}]},
            "field rows.jsonl:1: messages must begin with a question and end with an answer of the assistant",
        ),
        (
            {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": " "}]},
            "field rows.jsonl:1: messages.1: an answer must be text, and not empty",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_line(
    row: Mapping[str, object], complaint: str, tmp_path: Path
) -> None:
    assert problems_of(write(tmp_path, row)) == [complaint.replace("HERE", str(tmp_path))]


def test_everything_wrong_with_a_file_is_listed_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, {**PLAIN, "response": ""}, PLAIN, {**PLAIN, "image": "y.png"}, {**PLAIN, "image": "z.png"})
    assert len(problems_of(path)) == 3


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("rows.csv", "", "file_type rows.csv: cold_start.file has the ending '.csv'"),
        ("rows.jsonl", "", "empty_file rows.jsonl: cold_start.file holds no rows"),
        ("rows.json", "{}", "json rows.json: expected a list of rows, got dict; one row per line is .jsonl"),
        ("rows.jsonl", "[1]", "json rows.jsonl:1: expected an object with named fields, got list"),
    ],
)
def test_a_file_that_holds_no_rows_is_refused(name: str, content: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert problems_of(tmp_path / name) == [complaint]


def test_what_shows_the_same_picture_is_held_out_together_whatever_the_order(tmp_path: Path) -> None:
    rows = [{**PLAIN, "image": f"{picture}.png", "response": f"{number}"} for number in range(2) for picture in "abc"]
    held_out = []
    for order in (rows, rows[::-1]):
        learned, validated = read(write(tmp_path, *order)).hold_out(0.4)
        assert validated is not None
        shown = [{said(part, index)[0][1][0] for index in range(len(part))} for part in (learned, validated)]
        assert (len(learned), len(validated)) == (4, 2)
        assert not shown[0] & shown[1]
        held_out.append(shown[1])
    assert held_out[0] == held_out[1]


def test_nothing_is_held_out_unless_asked(tmp_path: Path) -> None:
    learned, validated = read(write(tmp_path, PLAIN)).hold_out(0.0)
    assert (len(learned), validated) == (1, None)


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_a_division_that_leaves_one_side_empty_is_refused(fraction: float, tmp_path: Path) -> None:
    demonstrations = read(write(tmp_path, PLAIN, {**PLAIN, "image": "b.png"}))
    with pytest.raises(ValueError, match="each needs one"):
        demonstrations.hold_out(fraction)


def test_demonstrations_without_room_are_named(tmp_path: Path) -> None:
    demonstrations = read(write(tmp_path, PLAIN, {**PLAIN, "response": "a longer answer"}))
    (problem,) = demonstrations.longer_than(40, count=lambda one: 30 + len(one.target.split()) * 5)
    assert (Path(problem.where).name, problem.what) == ("rows.jsonl:2", "45 tokens, room is for 40")


@pytest.mark.skipif(not PUBLISHED.exists(), reason="published files are not here")
def test_the_published_example_of_aes_r1_is_read(tmp_path: Path) -> None:
    rows = json.loads(PUBLISHED.read_text())
    for row in rows:
        Image.new("RGB", (56, 56)).save(tmp_path / f"{row['images']}.png")
        row["images"] = f"{row['images']}.png"
    demonstrations = read(write(tmp_path, *rows, name="rows.json"))
    assert [demonstrations.demonstration(index).target for index in range(2)] == ["0.25", "0.80"]
    before, shown, after = said(demonstrations, 0)[0][1]
    assert before.endswith("aesthetic of this picture ")
    assert (shown, after[:2]) == ("image_path_1.png", " ?")
