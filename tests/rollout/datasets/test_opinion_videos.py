"""Label files that name videos: files, folders of frames, and pictures beside them."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from conf.data import OpinionScoreConfig
from rollout.datasets.label_files import read_labels
from rollout.datasets.opinion_score import build_opinion_score
from rollout.datasets.problems import DatasetProblems
from rollout.types import Media
from rollout.wordings import look_up
from tests.rollout.datasets.published import published
from tests.videos import write_video

SCALE = {"minimum": 1.0, "maximum": 5.0}
VIDEO = {"fps": 2.0, "max_frames": 4, "max_pixels": 1568, "total_pixels": 3136}


def write_frames(folder: Path, *, num: int) -> None:
    folder.mkdir()
    for index in range(num):
        Image.new("RGB", (40, 30), (index, 0, 0)).save(folder / f"{index}.png")


def config(tmp_path: Path, *rows: Mapping[str, object], prompt: str = "quality") -> OpinionScoreConfig:
    """Training rows as given, and one test row; the media they may name are there."""
    media = tmp_path / "media"
    media.mkdir(exist_ok=True)
    if not (media / "a.mp4").exists():
        write_video(media / "a.mp4")
        write_video(media / "test.mp4", brightness=90)
        write_frames(media / "clip", num=8)
        Image.new("RGB", (40, 30)).save(media / "b.png")
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "test.jsonl").write_text(json.dumps({"video": "test.mp4", "score": 3.0}) + "\n")
    return OpinionScoreConfig.model_validate(
        {
            "kind": "opinion_score",
            "scale": SCALE,
            "image_folder": str(media),
            "train_labels": str(tmp_path / "train.jsonl"),
            "test_labels": str(tmp_path / "test.jsonl"),
            "label_format": "plain",
            "test_label_format": "plain",
            "label_range": SCALE,
            "higher_is_better": True,
            "mixture": "proportional",
            "chunk_size": 1,
            "prompt": prompt,
            "video": VIDEO,
        }
    )


def problems(wanted: OpinionScoreConfig) -> list[tuple[str, str]]:
    with pytest.raises(DatasetProblems) as caught:
        build_opinion_score(wanted)
    return [(one.kind, one.what) for one in caught.value.problems]


def test_videos_and_pictures_stand_side_by_side_and_are_asked_about_as_what_they_are(tmp_path: Path) -> None:
    rows = ({"video": "a.mp4", "score": 2.0}, {"image": "b.png", "score": 4.0}, {"video": "clip", "score": 5.0})
    data = build_opinion_score(config(tmp_path, *rows))
    prompts = [data.train.prompt(index) for index in range(3)]
    media = [next(prompt.media()) for prompt in prompts]
    assert [one.kind for one in media] == ["video", "image", "video"]
    texts = [str(prompt.messages[0].content[1]) for prompt in prompts]
    assert [text.partition("?")[0].split()[-1] for text in texts] == ["video", "image", "video"]
    assert [prompt.opinion.score for prompt in prompts] == [2.0, 4.0, 5.0]
    assert (data.max_images, data.max_videos) == (1, 1)


def test_the_configured_frames_of_a_file_are_shown(tmp_path: Path) -> None:
    data = build_opinion_score(config(tmp_path, {"video": "a.mp4", "score": 2.0}))
    assert next(data.train.prompt(0).media()) == Media(
        kind="video",
        path=str(tmp_path / "media" / "a.mp4"),
        indices=(0, 4, 7, 11),
        fps=2.0,
        max_pixels=1568,
        total_pixels=3136,
    )


def test_a_folder_of_frames_is_thinned_out_evenly(tmp_path: Path) -> None:
    data = build_opinion_score(config(tmp_path, {"video": "clip", "score": 2.0}))
    video = next(data.train.prompt(0).media())
    assert [Path(frame).name for frame in video.frames] == ["0.png", "2.png", "5.png", "7.png"]
    assert video.fps == 1.0


def test_missing_and_torn_videos_are_listed_together(tmp_path: Path) -> None:
    wanted = config(tmp_path, {"video": "gone.mp4", "score": 2.0}, {"video": "torn.mp4", "score": 2.5})
    whole = (tmp_path / "media" / "a.mp4").read_bytes()
    (tmp_path / "media" / "torn.mp4").write_bytes(whole[: len(whole) // 2])
    found = dict(problems(wanted))
    assert found["missing_video"].endswith("gone.mp4")
    assert "torn.mp4" in found["unreadable_video"]


def test_a_wording_about_pictures_is_refused_at_the_first_video(tmp_path: Path) -> None:
    wanted = config(
        tmp_path, {"image": "b.png", "score": 4.0}, {"video": "a.mp4", "score": 2.0}, prompt="visualquality_r1"
    )
    ((kind, what),) = problems(wanted)
    assert kind == "question"
    assert "visualquality_r1 asks about an image, not about a video" in what


def test_pictures_alone_need_no_engine_for_videos(tmp_path: Path) -> None:
    wanted = config(tmp_path, {"image": "b.png", "score": 4.0})
    (tmp_path / "test.jsonl").write_text(json.dumps({"image": "c.png", "score": 3.0}) + "\n")
    Image.new("RGB", (40, 30), (9, 9, 9)).save(tmp_path / "media" / "c.png")
    assert build_opinion_score(wanted).max_videos == 0


QUESTION = (
    "What is your overall rating on the quality of this {}? The rating should be a float between 1 and 5, rounded to "
    "two decimal places, with 1 representing very poor quality and 5 representing excellent quality."
)
REFINE_IQA_ROWS = (
    {
        "video": "yfcc-batch1/653.mp4",
        "solution": 5.0,
        "question": QUESTION.format("video"),
        "type": "scoring_video",
    },
    {
        "image": "koniq/10004473376.jpg",
        "solution": 4.400806947958697,
        "question": QUESTION.format("picture"),
        "type": "scoring_image",
    },
)
"""The two rows Refine-IQA publishes (RL_examples.json, one list)."""


def refine_iqa(tmp_path: Path, *, folders: object = None, prompt: str = "refine_iqa") -> OpinionScoreConfig:
    """The published rows, their video and their picture in folders of their own."""
    videos, pictures = tmp_path / "videos" / "yfcc-batch1", tmp_path / "pictures" / "koniq"
    videos.mkdir(parents=True)
    pictures.mkdir(parents=True)
    write_video(videos / "653.mp4")
    Image.new("RGB", (40, 30)).save(pictures / "10004473376.jpg")
    wanted = config(tmp_path, *REFINE_IQA_ROWS, prompt=prompt)
    (tmp_path / "train.jsonl").write_text(json.dumps(REFINE_IQA_ROWS))
    (tmp_path / "test.jsonl").write_text(json.dumps({"video": str(tmp_path / "media/test.mp4"), "score": 3.0}))
    apart = {"image": str(tmp_path / "pictures"), "video": str(tmp_path / "videos")}
    return wanted.model_copy(update={"label_format": "refine_iqa", "image_folder": folders or apart})


@pytest.mark.parametrize("prompt", ["refine_iqa", "refine_iqa_published"])
def test_the_two_published_rows_of_refine_iqa_are_read_end_to_end(prompt: str, tmp_path: Path) -> None:
    data = build_opinion_score(refine_iqa(tmp_path, prompt=prompt))
    shown = [data.train.prompt(index) for index in range(len(data.train))]
    media = [next(one.media()) for one in shown]
    assert [(one.kind, Path(str(one.path)).name) for one in media] == [
        ("video", "653.mp4"), ("image", "10004473376.jpg"),
    ]  # fmt: skip
    assert [one.opinion.score for one in shown] == [5.0, 4.400806947958697]
    assert {one.source for one in shown} == {"Refine-IQA"}
    assert (data.max_images, data.max_videos) == (1, 1)
    for prompt_shown, row, kind in zip(shown, REFINE_IQA_ROWS, ("video", "image"), strict=True):
        text = str(prompt_shown.messages[0].content[0])
        assert text.startswith(f'Answer the question: "{row["question"]}"')
        wanted = "image" if prompt == "refine_iqa_published" else kind
        assert f"according to the content of the {wanted}" in text
    assert prompt_shown.wants_thinking
    assert look_up(prompt).target(thought="Crisp.", score=4.4).endswith("<answer>Score: 4.40</answer>")


def test_the_published_file_of_refine_iqa_holds_these_rows() -> None:
    path = published("RL_examples.json", of="refine_iqa")
    assert json.loads(path.read_text()) == list(REFINE_IQA_ROWS)
    rows, problems = read_labels(path, label_format="refine_iqa", called="the file")
    assert (len(rows), problems) == (2, [])


def test_folders_by_kind_may_be_given_for_one_data_set_of_several(tmp_path: Path) -> None:
    wanted = refine_iqa(tmp_path)
    apart = wanted.image_folder
    by_name = {"Refine-IQA": apart, "opinion_score": str(tmp_path)}
    data = build_opinion_score(wanted.model_copy(update={"image_folder": by_name}))
    assert [next(data.train.prompt(index).media()).path for index in range(2)] == [
        str(tmp_path / "videos/yfcc-batch1/653.mp4"), str(tmp_path / "pictures/koniq/10004473376.jpg"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("folders", "kind", "said"),
    [
        (
            {"image": "."},
            "no_folder",
            "data.image_folder has no folder for videos, only one for image",
        ),
        ({"image": ".", "video": "gone"}, "missing_folder", "data.image_folder.video must be an existing folder"),
        (
            {"Refine-IQA": {"video": "."}, "opinion_score": "."},
            "no_folder",
            "data.image_folder.Refine-IQA has no folder for pictures, only one for video",
        ),
        ({"Refine-IQA": "."}, "no_folder", "data.image_folder has no folder for 'opinion_score', only for Refine-IQA"),
    ],
)
def test_a_kind_without_a_folder_is_one_problem(folders: object, kind: str, said: str, tmp_path: Path) -> None:
    found = problems(refine_iqa(tmp_path, folders=folders))
    assert [one for one, _ in found] == [kind]
    assert found[0][1].startswith(said)


def test_folders_of_other_kinds_are_refused(tmp_path: Path) -> None:
    values = refine_iqa(tmp_path).model_dump() | {"image_folder": {"Refine-IQA": {"images": "."}}}
    with pytest.raises(ValueError, match="folders of Refine-IQA are for image and video, not for images"):
        OpinionScoreConfig.model_validate(values)
