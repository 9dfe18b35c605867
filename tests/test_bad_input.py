"""The table of bad inputs: each is refused with clear lines and status 2, and leaves nothing behind. Pictures that
are only unusual are taken, and seen as the policy of ``rollout/media.py`` says.

Every case runs the whole command in this process. Ray's address leads nowhere, so an input that slipped through
would end the test with another message instead of a training run.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conf.load import load_run_config
from rollout.datasets import build_data
from rollout.datasets.questions import rating_question
from rollout.families import build_family
from rollout.families.base import EncodedPrompt
from rollout.families.folders import check_model
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from rollout.types import Scale
from tests.refusals import Damage, given, refusal, write_lines

TRAIN = ("i1.png a.png 4.0 0.5", "i1.png b.png 2.0 0.5", "i2.png c.png 3.0 0.5")
TEST = ("i8.png d.png 4.5 0.5", "i9.png e.png 1.5 0.5")


@pytest.fixture(scope="module")
def good_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model folder; tests copy what they spoil."""
    folder = tmp_path_factory.mktemp("models") / "good"
    create_tiny_qwen_vl(folder, size=TinyModelSize(), seed=0)
    return folder


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder of good inputs: five pictures and two label files."""
    (tmp_path / "images").mkdir()
    for number, name in enumerate("abcde"):
        picture = np.full((30, 40, 3), 40 * number, dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "images" / f"{name}.png")
    for name, lines in (("train", TRAIN), ("test", TEST)):
        write_lines(tmp_path / name, lines)
    return tmp_path


def overrides(inputs: Path) -> list[str]:
    return [
        "data=opinion_score",
        f"data.image_folder={inputs / 'images'}",
        f"data.train_labels={inputs / 'train'}",
        f"data.test_labels={inputs / 'test'}",
        "warm_up.num_steps=0",
        "cold_start.num_steps=0",
        "rollout.prompts_per_step=2",
        "evaluation.num_prompts=2",
        f"run.folder={inputs / 'run'}",
        "cluster.ray_address=127.0.0.1:1",
    ]


def rows(file: str, *lines: str) -> Damage:
    """Other lines in a label file."""

    def write(inputs: Path) -> Sequence[str]:
        write_lines(inputs / file, lines)
        return []

    return write


def json_rows(*ids: int) -> Damage:
    """Training labels as jsonl, with these ids."""

    def write(inputs: Path) -> Sequence[str]:
        turns = [{"from": "human", "value": ""}, {"from": "gpt", "value": 3.0}]
        write_lines(
            inputs / "train",
            [
                json.dumps({"id": number, "dataset_name": "mine", "image": f"{name}.png", "conversations": turns})
                for number, name in zip(ids, "abc", strict=False)
            ],
        )
        return ["data.label_format=visualquality_r1", "data.test_label_format=kadid"]

    return write


def torn_picture(inputs: Path) -> Sequence[str]:
    whole = (inputs / "images" / "b.png").read_bytes()
    (inputs / "images" / "b.png").write_bytes(whole[:-30])
    return []


def text_as_picture(inputs: Path) -> Sequence[str]:
    (inputs / "images" / "b.png").write_text("<html>not found</html>")
    return []


def thin_picture(inputs: Path) -> Sequence[str]:
    Image.new("RGB", (402, 2)).save(inputs / "images" / "b.png")
    return []


def questions_on_two_scales(inputs: Path) -> Sequence[str]:
    json_rows(1, 2, 3)(inputs)
    lines = (inputs / "train").read_text().splitlines()
    scales = [Scale(minimum=0.0, maximum=100.0), *[Scale(minimum=1.0, maximum=5.0)] * 2]
    asking = [
        line.replace('"value": ""', f'"value": "{rating_question(scale)}"')
        for line, scale in zip(lines, scales, strict=True)
    ]
    write_lines(inputs / "train", asking)
    return [
        "data.label_format=visualquality_r1",
        "data.test_label_format=kadid",
        "data.label_range={minimum: 0.0, maximum: 100.0}",
        "rewards=rl2r_absolute",
    ]


def folder_that_is_a_file(inputs: Path) -> Sequence[str]:
    (inputs / "taken").write_text("notes")
    return [f"run.folder={inputs / 'taken'}"]


TABLE: Mapping[str, tuple[Damage, Sequence[str]]] = {
    "unknown key": (
        given("rollout.num_completion=4"),
        ["rollout.num_completion: unknown key; did you mean rollout.num_completions?"],
    ),
    "wrong type": (given("loop.num_steps=many"), ["loop.num_steps='many': expected integer >= 0"]),
    "out of bounds": (given("learner.learning_rate=0.0"), ["learner.learning_rate=0.0: expected number > 0 and <= 1"]),
    "group of one": (
        given("rollout.num_completions=1"),
        ["rollout.num_completions=1 gives a group-relative algorithm nothing to compare", "=2 or more"],
    ),
    "batch not divisible": (
        given("learner.world_size=3", "rollout.num_completions=4"),
        ["learner.world_size=3 must divide", "prompts_per_step * rollout.num_completions=8; try 6 or 9"],
    ),
    "format reward of another wording": (
        given("data.prompt=visualquality_r1_no_thinking"),
        ["rewards.terms.format.mode=number wants a think block", "use rewards.terms.format.mode=answer"],
    ),
    "image folder missing": (
        given("data.image_folder=HERE/gone"),
        ["HERE/gone: data.image_folder must be an existing folder, found nothing there; correct the path"],
    ),
    "image folder is a file": (
        given("data.image_folder=HERE/train"),
        ["HERE/train: data.image_folder", "found a file"],
    ),
    "label file missing": (
        given("data.test_labels=HERE/gone"),
        ["HERE/gone: data.test_labels cannot be read: No such file or directory; correct the path"],
    ),
    "label file is a folder": (
        given("data.train_labels=HERE/images"),
        ["HERE/images: data.train_labels cannot be read: Is a directory"],
    ),
    "label file empty": (rows("train"), ["HERE/train: data.train_labels holds no labels; give a label file"]),
    "label file of another format": (
        rows("test", TEST[0], "e.png 1.5 0.5"),
        ["HERE/test:2: expected 4 columns (reference image score std), found 3", "data.test_label_format"],
    ),
    "label out of range": (
        rows("train", *TRAIN[:2], "i2.png c.png 0.25 0.5"),
        ["HERE/train:3: label 0.25 of c.png lies outside data.label_range 1..5; declare the range"],
    ),
    "picture missing": (
        rows("test", *TEST, "i7.png gone.png 3.0 0.5"),
        ["HERE/test:3: no picture HERE/images/gone.png; correct data.image_folder, or remove the rows"],
    ),
    "picture torn": (
        torn_picture,
        ["HERE/train:2: picture HERE/images/b.png: cannot be decoded:", "replace the files"],
    ),
    "no picture at all": (text_as_picture, ["HERE/train:2: picture HERE/images/b.png: not an image"]),
    "picture too long": (
        thin_picture,
        ["HERE/train:2: picture HERE/images/b.png: 402x2 px is longer than 200 times its other side; crop it"],
    ),
    "duplicate id": (json_rows(1, 2, 1), ["HERE/train:3: id 1 was used before, at HERE/train:1", "renumber ids"]),
    "duplicate picture": (
        rows("train", *TRAIN, "i1.png a.png 3.5 0.5"),
        ["HERE/train:4: picture a.png was labelled before, at HERE/train:1; keep one row per picture"],
    ),
    "picture in both splits": (rows("test", *TEST, "i7.png a.png 3 0"), ["HERE/test:3: test picture a.png is also"]),
    "no demonstrations": (given("warm_up.num_steps=1"), ["no warm_up demonstrations; set warm_up.num_steps=0"]),
    "step larger than the data": (
        given("rollout.prompts_per_step=4"),
        ["rollout.prompts_per_step=4 is more than the 3 training prompts of KADID-10K; use 3 or fewer"],
    ),
    "phase larger than the data": (
        given("cold_start.num_steps=1", "cold_start.batch_size=8"),
        ["cold_start.batch_size=8 is more than the 3 demonstrations of data.kind=opinion_score; use 3 or fewer"],
    ),
    "labels on two scales with an absolute reward": (
        questions_on_two_scales,
        ["ask for scores on 0..100 and 1..5, but rewards.terms.opinion compares scores with labels; map all labels"],
    ),
    "evaluation larger than the data": (
        given("evaluation.num_prompts=3"),
        ["evaluation.num_prompts=3 is more than the 2 test prompts of KADID-10K; use 2 or fewer"],
    ),
    "model folder missing": (
        given("model.size=null", "model.path=HERE/gone"),
        ["model.path=HERE/gone: there is no such folder; give the folder of a Hugging Face model"],
    ),
    "model path with a tilde": (given("model.size=null", "model.path='~/models'"), ["~ is not expanded"]),
    "model path from the root": (
        given("model.size=null", "model.path=/gone"),
        ["model.path=/gone: there is no such folder"],
    ),
    "model path from here": (
        given("model.size=null", "model.path=./gone"),
        ["model.path=./gone: there is no such folder"],
    ),
    "model name without owner": (given("model.size=null", "model.path=judge"), ["model.path=judge: there is no such"]),
    "model folder is a file": (given("model.size=null", "model.path=HERE/train"), ["HERE/train: that is a file"]),
    "model folder empty": (
        given("model.size=null", "model.path=HERE/images"),
        ["model folder HERE/images: no config.json; no tokenizer (tokenizer.json or vocab.json + merges.txt)"],
    ),
    "model and size": (given("model.path=HERE/images"), ["give one of path and size and set the other to null"]),
    "run folder is a file": (folder_that_is_a_file, ["run.folder=HERE/taken: cannot be made (File exists)"]),
}


@pytest.mark.parametrize(("damage", "parts"), TABLE.values(), ids=TABLE.keys())
def test_a_bad_input_is_one_clear_line_and_leaves_nothing(
    damage: Damage, parts: Sequence[str], inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", *overrides(inputs), *damage(inputs)]
    before = sorted(inputs.rglob("*"))
    (line,) = refusal(words, capsys)
    for part in parts:
        assert part.replace("HERE", str(inputs)) in line
    assert sorted(inputs.rglob("*")) == before


def test_several_problems_are_one_line_each_and_what_to_do(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(inputs / "train", ["i1.png a.png 9 0.5", "i1.png b.png", *TRAIN[2:]])
    lines = refusal(["train", *overrides(inputs)], capsys)
    assert lines[0] == "2 problems in the data; nothing was started."
    assert [re.sub(r":.*", "", line.removeprefix(f"  {inputs / 'train'}:")) for line in lines[1:3]] == ["2", "1"]
    assert lines[3] == "What to do:"
    assert [line.partition(" (1): ")[0] for line in lines[4:]] == ["  columns", "  range"]


def test_looking_at_bad_data_gives_the_same_line(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torn_picture(inputs)
    words = overrides(inputs)
    assert refusal(["data", *words], capsys) == refusal(["train", *words], capsys)


def copy_of(folder: Path, target: Path, *, without: Sequence[str] = ()) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        if file.name not in without:
            (target / file.name).write_bytes(file.read_bytes())
    return target


def changed_config(folder: Path, **changes: object) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | changes))


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("processor_config.json", "no image processor (preprocessor_config.json or processor_config.json)"),
        ("tokenizer.json", "no tokenizer (tokenizer.json or vocab.json + merges.txt)"),
        ("tokenizer_config.json", "no tokenizer settings (tokenizer_config.json)"),
        ("chat_template.jinja", "no chat template (chat_template.jinja or chat_template.json)"),
        ("model.safetensors", "no weights (model.safetensors or "),
        ("config.json", "no config.json"),
    ],
)
def test_a_model_folder_without_a_file_it_needs_is_refused(
    file: str, part: str, good_model: Path, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy_of(good_model, inputs / "model", without=[file])
    (line,) = refusal(["train", *overrides(inputs), "model.size=null", f"model.path={model}"], capsys)
    assert line.startswith(f"model folder {model}: {part}")
    assert line.endswith("copy what is missing from the base model, or fetch the model again")
    assert not (inputs / "run").exists()


def test_a_hub_name_is_left_to_the_library() -> None:
    check_model(load_run_config(["model=qwen2_5_vl_7b"]).model)


def test_a_model_of_another_architecture_is_refused(
    good_model: Path, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy_of(good_model, inputs / "model")
    changed_config(model, model_type="qwen2")
    (line,) = refusal(["train", *overrides(inputs), "model.size=null", f"model.path={model}"], capsys)
    assert "config.json says model_type='qwen2', expected 'qwen2_5_vl'" in line


def test_a_download_that_was_cut_short_is_refused(
    good_model: Path, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy_of(good_model, inputs / "model", without=["model.safetensors"])
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (model / shards["a"]).write_bytes(b"")
    (line,) = refusal(["train", *overrides(inputs), "model.size=null", f"model.path={model}"], capsys)
    assert "1 of 2 weight files are missing, the first is model-00002-of-00002.safetensors" in line


def test_evaluating_a_folder_that_is_not_there_is_refused(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = refusal(["evaluate", str(inputs / "a, b"), *overrides(inputs)], capsys)
    assert line.startswith(f"{inputs / 'a, b'}: no such folder; give the folder of a finished model")


def test_evaluating_a_run_folder_names_the_model_in_it(
    good_model: Path, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inputs / "run").mkdir()
    copy_of(good_model, inputs / "run" / "model")
    (line,) = refusal(["evaluate", str(inputs / "run"), *overrides(inputs)], capsys)
    assert line.endswith(f"did you mean {inputs / 'run' / 'model'}?")


@pytest.mark.parametrize(("name", "found"), [("images", "is not empty"), ("train", "is a file")])
def test_a_model_is_never_made_over_what_is_there(
    name: str, found: str, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(inputs.rglob("*"))
    (line,) = refusal(["create-model", str(inputs / name)], capsys)
    assert line == f"{inputs / name} {found}; choose another folder or remove it first"
    assert sorted(inputs.rglob("*")) == before


def test_a_model_is_not_made_below_a_file(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(inputs.rglob("*"))
    (line,) = refusal(["create-model", str(inputs / "train" / "model")], capsys)
    assert line == f"{inputs / 'train' / 'model'} cannot be made (File exists); choose another folder"
    assert sorted(inputs.rglob("*")) == before


def as_trained(inputs: Path, model: Path) -> EncodedPrompt:
    """The first training picture, read by the data set and encoded by the family."""
    config = load_run_config([*overrides(inputs), "model.size=null", f"model.path={model}"])
    prompt = build_data(config.data).train.prompt(0)
    return build_family(config.model, folder=str(model)).encode(prompt)


def grid(encoded: EncodedPrompt) -> list[int]:
    """Patches of 14 px over time, height and width."""
    return [int(size) for size in encoded.features["image_grid_thw"][0]]


def test_a_picture_under_28_px_is_enlarged_alone(good_model: Path, inputs: Path) -> None:
    Image.new("RGB", (20, 10), "red").save(inputs / "images" / "a.png")
    encoded = as_trained(inputs, good_model)
    assert (grid(encoded), encoded.num_media_tokens) == ([1, 2, 4], 2)


def test_a_picture_turned_by_its_camera_is_turned_back(good_model: Path, inputs: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: 56 px wide and 112 px high
    Image.new("RGB", (112, 56), "red").save(inputs / "images" / "a.png", exif=exif)
    assert grid(as_trained(inputs, good_model)) == [1, 8, 4]


def test_transparency_is_seen_as_white(good_model: Path, inputs: Path) -> None:
    features = []
    for mode, colour in (("RGBA", (255, 0, 0, 0)), ("RGB", (255, 255, 255))):
        Image.new(mode, (56, 56), colour).save(inputs / "images" / "a.png")
        features.append(as_trained(inputs, good_model).features["pixel_values"])
    assert features[0].equal(features[1])
