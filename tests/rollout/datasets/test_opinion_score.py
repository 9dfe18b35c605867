"""Label files and pictures of every condition: what is mapped how, and everything that is refused."""

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conf.data import OpinionScoreConfig
from rollout.datasets.base import Mixture
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.opinion_score import build_opinion_score, opinion_of
from rollout.datasets.problems import MAX_LISTED, REMEDIES, DatasetProblems, Problem, ProblemKind
from rollout.datasets.questions import rating_question
from rollout.types import Opinion, Scale

ONE_TO_FIVE = {"minimum": 1.0, "maximum": 5.0}
TRAIN = ("i1.png a.png 4.0 0.5", "i1.png b.png 2.0 0.5")
TEST = ("i2.png c.png 3.0 0.5",)


def _pictures(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(np.full((30, 40, 3), number, dtype=np.uint8)).save(folder / name)
    return folder


def _config(
    tmp_path: Path,
    *,
    train: Sequence[str] = TRAIN,
    test: Sequence[str] = TEST,
    changes: Mapping[str, object] | None = None,
) -> OpinionScoreConfig:
    """A folder with three pictures and two label files, as given."""
    images = _pictures(tmp_path / "images", "a.png", "b.png", "c.png")
    for name, lines in (("train", train), ("test", test)):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines))
    values: dict[str, object] = {
        "kind": "opinion_score",
        "scale": ONE_TO_FIVE,
        "image_folder": str(images),
        "train_labels": str(tmp_path / "train"),
        "test_labels": str(tmp_path / "test"),
        "label_format": "kadid",
        "test_label_format": "kadid",
        "label_range": ONE_TO_FIVE,
        "higher_is_better": True,
        "mixture": "proportional",
        "chunk_size": 1,
        "prompt": "visualquality_r1",
        "video": {"fps": 2.0, "max_frames": 8, "max_pixels": 784, "total_pixels": None},
    }
    return OpinionScoreConfig.model_validate({**values, **(changes or {})})


def _problems(config: OpinionScoreConfig) -> list[tuple[ProblemKind, str]]:
    """Kind and place (``file:line`` without folders) of each problem."""
    with pytest.raises(DatasetProblems) as caught:
        build_opinion_score(config)
    return [(problem.kind, Path(problem.where).name) for problem in caught.value.problems]


def _opinion(config: OpinionScoreConfig, *, label: float, std: float | None = None) -> Opinion:
    row = LabelRow(where="labels:1", media="a.png", label=label, std=std, content="a.png", dataset_name="mine")
    return opinion_of(row, config=config)


def _json_line(
    image: str, label: float, *, row_id: int | None = None, question: str = "", dataset_name: str = "mine"
) -> str:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": label}]
    return json.dumps({"id": row_id, "dataset_name": dataset_name, "image": image, "conversations": turns})


def _json_config(tmp_path: Path, *, train: Sequence[str]) -> OpinionScoreConfig:
    test = [_json_line("c.png", 3.0)]
    both = {"label_format": "visualquality_r1", "test_label_format": "visualquality_r1"}
    return _config(tmp_path, train=train, test=test, changes=both)


def test_a_row_becomes_a_prompt(tmp_path: Path) -> None:
    prompt = build_opinion_score(_config(tmp_path)).train.prompt(1)
    (media,) = prompt.media()
    assert (prompt.prompt_id, prompt.source, prompt.content_id) == ("KADID-10K/b.png", "KADID-10K", "i1.png")
    assert (prompt.opinion.score, prompt.opinion.std) == (2.0, 0.5)
    assert media.path == str(tmp_path / "images" / "b.png")


def test_both_splits_have_their_rows(tmp_path: Path) -> None:
    data = build_opinion_score(_config(tmp_path))
    assert (len(data.train), len(data.test)) == (2, 1)


def test_each_split_may_have_a_format_of_its_own(tmp_path: Path) -> None:
    train = [_json_line("a.png", 4.5), _json_line("b.png", 1.5)]
    data = build_opinion_score(_config(tmp_path, train=train, changes={"label_format": "visualquality_r1"}))
    assert [data.train.prompt(index).opinion.score for index in range(2)] == [4.5, 1.5]
    assert (data.test.prompt(0).opinion.score, data.test.prompt(0).content_id) == (3.0, "i2.png")


@pytest.mark.parametrize(("wording", "thinks"), [("visualquality_r1", True), ("visualquality_r1_no_thinking", False)])
def test_a_prompt_says_whether_it_asks_for_thinking(wording: str, *, thinks: bool, tmp_path: Path) -> None:
    data = build_opinion_score(_config(tmp_path, changes={"prompt": wording}))
    assert data.train.prompt(0).wants_thinking is thinks


def test_opinion_scores_offer_no_warm_up(tmp_path: Path) -> None:
    assert build_opinion_score(_config(tmp_path)).warm_up is None


def test_the_cold_start_shows_the_format_on_every_training_picture(tmp_path: Path) -> None:
    cold_start = build_opinion_score(_config(tmp_path)).cold_start
    assert cold_start is not None
    shown = [cold_start.demonstration(index) for index in range(len(cold_start))]
    assert [example.prompt.prompt_id for example in shown] == ["KADID-10K/a.png", "KADID-10K/b.png"]
    assert all(example.target.startswith("<think>") for example in shown)
    assert shown[0].target != shown[1].target


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_outside_the_split_is_an_error(index: int, tmp_path: Path) -> None:
    with pytest.raises(IndexError, match=r"KADID-10K has entries 0\.\.1"):
        build_opinion_score(_config(tmp_path)).train.prompt(index)


def test_kadids_first_label_maps_to_the_published_value(tmp_path: Path) -> None:
    config = _config(tmp_path, changes={"label_range": {"minimum": 1.0, "maximum": 4.93}})
    assert _opinion(config, label=4.57).score == 4.633587786259543


def test_the_spread_over_raters_is_scaled_like_the_label(tmp_path: Path) -> None:
    config = _config(tmp_path, changes={"label_range": {"minimum": 0.0, "maximum": 100.0}})
    assert _opinion(config, label=50.0, std=10.0).std == pytest.approx(0.4)


def test_difference_scores_are_turned_round(tmp_path: Path) -> None:
    changes = {"label_range": {"minimum": 0.0, "maximum": 1.0}, "higher_is_better": False}
    config = _config(tmp_path, changes=changes)
    assert [_opinion(config, label=label).score for label in (0.0, 0.25, 1.0)] == [5.0, 4.0, 1.0]


def test_a_label_a_rounding_error_outside_its_range_is_taken(tmp_path: Path) -> None:
    changes = {"label_range": {"minimum": 0.0, "maximum": 100.0}}
    data = build_opinion_score(_config(tmp_path, train=["r.png a.png 100.00000000000001 1"], changes=changes))
    assert data.train.prompt(0).opinion.score == 5.0


@pytest.mark.parametrize("label", ["0.25", "5.01", "-3"])
def test_a_label_outside_its_range_is_refused(label: str, tmp_path: Path) -> None:
    assert _problems(_config(tmp_path, train=[f"i1.png a.png {label} 0.1"])) == [("range", "train:1")]


def test_a_plain_row_is_read_on_the_scale_it_declares(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "image": "a.png", "score": 75.0, "std": 10.0, "scale": [0, 100], "content": "roof"},
        {"id": 2, "image": "b.png", "score": 3.0, "dataset": "mine"},
    ]
    lines = [json.dumps(row) for row in rows]
    data = build_opinion_score(_config(tmp_path, train=lines, changes={"label_format": "plain"}))
    declared, other = data.train.prompt(0), data.train.prompt(1)
    assert (declared.opinion.score, declared.opinion.std, declared.content_id) == (4.0, 0.4, "roof")
    assert (declared.source, other.source, other.opinion.score) == ("opinion_score", "mine", 3.0)


def test_a_label_outside_the_scale_its_row_declares_is_refused(tmp_path: Path) -> None:
    line = json.dumps({"id": 1, "image": "a.png", "score": 3.0, "scale": [0, 1]})
    assert _problems(_config(tmp_path, train=[line], changes={"label_format": "plain"})) == [("range", "train:1")]


def test_a_split_may_be_several_files(tmp_path: Path) -> None:
    config = _json_config(tmp_path, train=[_json_line("a.png", 3.0, row_id=1)])
    (tmp_path / "more").write_text(_json_line("b.png", 4.0, row_id=1) + "\n")
    config = config.model_copy(update={"train_labels": [str(tmp_path / "train"), str(tmp_path / "more")]})
    train = build_opinion_score(config).train
    assert [train.prompt(index).opinion.score for index in range(len(train))] == [3.0, 4.0]


def test_equal_names_in_two_data_sets_are_two_pictures(tmp_path: Path) -> None:
    config = _json_config(tmp_path, train=[_json_line("a.png", 3.0), _json_line("a.png", 4.0, dataset_name="other")])
    other = _pictures(tmp_path / "other", "a.png")
    folders = {"mine": str(tmp_path / "images"), "other": str(other)}
    train = build_opinion_score(config.model_copy(update={"image_folder": folders})).train
    prompts = [train.prompt(index) for index in range(2)]
    assert [media.path for prompt in prompts for media in prompt.media()] == [
        str(tmp_path / "images" / "a.png"),
        str(other / "a.png"),
    ]
    assert (train.source, [prompt.prompt_id for prompt in prompts]) == ("mine+other", ["mine/a.png", "other/a.png"])


def test_a_data_set_without_a_folder_is_refused(tmp_path: Path) -> None:
    config = _json_config(tmp_path, train=[_json_line("a.png", 3.0), _json_line("b.png", 4.0, dataset_name="other")])
    config = config.model_copy(update={"image_folder": {"mine": str(tmp_path / "images")}})
    assert _problems(config) == [("no_folder", "train:2")]


def _unnamed(tmp_path: Path, *, names: tuple[str | None, str | None]) -> OpinionScoreConfig:
    """Two training files in Aes-R1's format, of which each may name its data set."""
    files = []
    for image, name in zip(("a.png", "b.png"), names, strict=True):
        turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": "3.0"}]
        row = {"images": image, "messages": turns} | ({} if name is None else {"dataset_name": name})
        files.append(str(tmp_path / f"{image}.jsonl"))
        Path(files[-1]).write_text(json.dumps(row))
    return _config(tmp_path, changes={"train_labels": files, "label_format": "aes_r1"})


@pytest.mark.parametrize(
    ("names", "is_told"),
    [((None, None), True), ((None, "Aes-R1"), True), (("AVA", "TAD66K"), False), ((None, "AVA"), False)],
)
def test_several_files_that_name_no_data_set_are_told_to_be_one(
    names: tuple[str | None, str | None], *, is_told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build_opinion_score(_unnamed(tmp_path, names=names))
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [("split=train: 2 files" in one, "are all of Aes-R1" in one) for one in told] == [(True, True)] * is_told


def test_several_tables_of_one_data_set_are_as_they_should_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = [tmp_path / "first", tmp_path / "second"]
    for path, line in zip(files, TRAIN, strict=True):
        path.write_text(line)
    build_opinion_score(_config(tmp_path, changes={"train_labels": [str(path) for path in files]}))
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_the_data_sets_share_a_step_as_the_config_says(tmp_path: Path) -> None:
    config = _json_config(tmp_path, train=[_json_line("a.png", 3.0), _json_line("b.png", 4.0, dataset_name="other")])
    assert build_opinion_score(config).mixture is None
    config = config.model_copy(update={"mixture": "uniform"})
    expected = Mixture(names=("mine", "other"), rule="uniform", chunk_size=1)
    assert build_opinion_score(config).mixture == expected


def test_rows_may_ask_on_two_scales_which_the_data_tells(tmp_path: Path) -> None:
    percent = Scale(minimum=0.0, maximum=100.0)
    rows = [
        _json_line("a.png", 3.0, question=rating_question(Scale(minimum=1.0, maximum=5.0))),
        _json_line("b.png", 60.0, question=rating_question(percent), dataset_name="other"),
    ]
    config = _json_config(tmp_path, train=rows)
    config = config.model_copy(
        update={"label_range": config.label_range.model_copy(update={"minimum": 0.0, "maximum": 100.0})}
    )
    assert build_opinion_score(config).asked_scales == (percent, Scale(minimum=1.0, maximum=5.0))


def test_a_missing_label_file_is_refused(tmp_path: Path) -> None:
    config = _config(tmp_path, changes={"train_labels": str(tmp_path / "gone")})
    assert _problems(config) == [("missing_file", "gone")]


def test_an_empty_label_file_is_refused(tmp_path: Path) -> None:
    assert _problems(_config(tmp_path, test=[])) == [("empty_file", "test")]


def test_a_missing_image_folder_is_one_problem_not_one_per_row(tmp_path: Path) -> None:
    config = _config(tmp_path, changes={"image_folder": str(tmp_path / "gone")})
    assert _problems(config) == [("missing_folder", "gone")]


def test_missing_pictures_are_listed_with_their_lines(tmp_path: Path) -> None:
    config = _config(tmp_path, train=[*TRAIN, "i1.png x.png 3 0", "i1.png y.png 3 0"])
    assert _problems(config) == [("missing_image", "train:3"), ("missing_image", "train:4")]


def test_a_corrupt_picture_is_listed_with_file_and_line(tmp_path: Path) -> None:
    config = _config(tmp_path)
    picture = tmp_path / "images" / "b.png"
    picture.write_bytes(picture.read_bytes()[:-30])
    assert _problems(config) == [("unreadable_image", "train:2")]


def test_a_picture_too_long_for_the_model_is_listed(tmp_path: Path) -> None:
    config = _config(tmp_path)
    Image.new("RGB", (201, 1)).save(tmp_path / "images" / "c.png")
    assert _problems(config) == [("unreadable_image", "test:1")]


def test_a_picture_labelled_twice_is_refused(tmp_path: Path) -> None:
    config = _config(tmp_path, train=[*TRAIN, "i1.png ./a.png 3.0 0.1"])
    assert _problems(config) == [("duplicate", "train:3")]


def test_an_id_used_twice_is_refused(tmp_path: Path) -> None:
    lines = [_json_line("a.png", 3.0, row_id=1), _json_line("b.png", 3.0, row_id=1)]
    assert _problems(_json_config(tmp_path, train=lines)) == [("duplicate", "train:2")]


def test_rows_without_ids_are_taken(tmp_path: Path) -> None:
    config = _json_config(tmp_path, train=[_json_line("a.png", 3.0), _json_line("b.png", 3.0)])
    assert build_opinion_score(config).train.source == "mine"


def test_a_picture_in_both_splits_is_refused(tmp_path: Path) -> None:
    assert _problems(_config(tmp_path, test=["i9.png ./a.png 3.0 0.1"])) == [("leakage", "test:1")]


def test_a_scene_in_both_splits_is_refused(tmp_path: Path) -> None:
    assert _problems(_config(tmp_path, test=["i1.png c.png 3.0 0.1"])) == [("leakage", "test:1")]


def test_a_row_that_asks_another_question_is_refused(tmp_path: Path) -> None:
    lines = [_json_line("a.png", 3.0, question="How beautiful is this picture, from 1 to 5?")]
    assert _problems(_json_config(tmp_path, train=lines)) == [("question", "train:1")]


@pytest.mark.parametrize("top", [5.0, 10.0])
def test_a_row_may_ask_in_the_numbers_of_its_labels_or_of_the_scale(top: float, tmp_path: Path) -> None:
    question = rating_question(Scale(minimum=1.0, maximum=top))
    config = _json_config(tmp_path, train=[_json_line("a.png", 3.0, question="<image>" + question)])
    config = config.model_copy(update={"scale": config.scale.model_copy(update={"maximum": 10.0})})
    assert build_opinion_score(config).train.prompt(0).opinion.score == 5.5


def test_everything_wrong_is_listed_at_once(tmp_path: Path) -> None:
    train = ["i1.png a.png 9.0 0.1", "i1.png b.png", "i1.png x.png 3.0 0.1", "i1.png c.png nan 0.1"]
    found = _problems(_config(tmp_path, train=train, test=["i2.png c.png 3.0 0.1", "i2.png c.png 3.0 0.1"]))
    assert sorted(found) == [
        ("columns", "train:2"),
        ("duplicate", "test:2"),
        ("missing_image", "train:3"),
        ("number", "train:4"),
        ("range", "train:1"),
    ]


def test_a_single_problem_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetProblems) as caught:
        build_opinion_score(_config(tmp_path, train=["i1.png a.png 0.25 0.1"]))
    what = f"{tmp_path / 'train'}:1: label 0.25 of a.png lies outside data.label_range 1..5"
    assert str(caught.value) == f"{what}; {REMEDIES['range']}. Nothing was started."


def test_several_problems_are_listed_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetProblems, match="2 problems in the data; nothing was started") as caught:
        build_opinion_score(_config(tmp_path, train=["i1.png a.png 0.25 0.1", "i1.png b.png 9 0.1"]))
    message = str(caught.value)
    assert f"{tmp_path / 'train'}:2: label 9.0 of b.png lies outside data.label_range 1..5" in message
    assert f"range (2): {REMEDIES['range']}" in message


def test_a_long_list_is_cut_and_counted_with_rare_kinds_first() -> None:
    many = [Problem(kind="missing_image", where=f"labels:{line}", what="no picture") for line in range(500)]
    rare = Problem(kind="number", where="labels:501", what="score 'x' is not a finite number")
    lines = str(DatasetProblems([*many, rare])).splitlines()
    assert lines[1] == "  labels:501: score 'x' is not a finite number"
    assert lines[MAX_LISTED + 1] == f"  ... and {501 - MAX_LISTED} more"
    assert f"  missing_image (500): {REMEDIES['missing_image']}" in lines


def test_the_list_survives_the_way_between_processes() -> None:
    problems = DatasetProblems([Problem(kind="number", where="labels:1", what="bad")])
    back = pickle.loads(pickle.dumps(problems))
    assert (back.problems, str(back)) == (problems.problems, str(problems))
