"""Files of pairs: which questions come of them, in which order and wording."""

import base64
import json
from collections import Counter
from pathlib import Path

from pyarrow import Table, parquet

from rollout.datasets.preference_pairs import build_preference_pairs
from rollout.types import Media
from tests.rollout.datasets.pair_builders import (
    TRAIN,
    VIDEO,
    make_config,
    message_of,
    pair_row,
    picture,
    prompts_of,
    published_config,
    published_row,
    text_of,
)


def test_a_plain_row_becomes_a_question_in_our_wording(tmp_path: Path) -> None:
    prompt = prompts_of(make_config(tmp_path, train=[pair_row("a", source="pets"), *TRAIN[1:]]))[0]
    (message,) = prompt.messages
    picture = Media(kind="image", path=str(tmp_path / "images" / "a.png"))
    assert message.content[0] == picture
    assert "Response 1: A cat.\nResponse 2: A dog." in text_of(prompt)
    assert (prompt.prompt_id, prompt.source, prompt.preference.pair_id) == ("pets/a/1", "pets", "pets/a")
    assert prompt.preference.responses == ("A cat.", "A dog.")


def test_several_pictures_come_in_their_order(tmp_path: Path) -> None:
    prompt = prompts_of(make_config(tmp_path, train=[pair_row("a", images=["b.png", "a.png"])]))[0]
    assert [Path(media.name).name for media in prompt.media()] == ["b.png", "a.png"]


def test_a_folder_of_frames_becomes_a_video(tmp_path: Path) -> None:
    config = make_config(tmp_path, train=[pair_row("a", video="clip")], video={**VIDEO, "max_frames": 4})
    (video,) = prompts_of(config)[0].media()
    assert [Path(name).name for name in video.frames] == ["0.png", "2.png", "5.png", "7.png"]
    assert (video.kind, video.fps, video.max_pixels) == ("video", 1.0, 10_000)


def test_the_data_say_how_much_media_a_prompt_holds(tmp_path: Path) -> None:
    rows = [pair_row("a", images=["a.png", "b.png", "c.png"]), pair_row("d", video="clip")]
    data = build_preference_pairs(make_config(tmp_path, train=rows))
    assert (data.max_images, data.max_videos) == (3, 1)


def test_training_pairs_are_asked_as_given(tmp_path: Path) -> None:
    assert [prompt.preference.better for prompt in prompts_of(make_config(tmp_path))] == [1, 2, 1, 1]


def test_random_orders_even_the_labels_out(tmp_path: Path) -> None:
    train = [pair_row(f"{index}", image="a.png", question=f"{index}?") for index in range(40)]
    orders = [
        [
            prompt.preference.better
            for prompt in prompts_of(make_config(tmp_path, train=train, order="random", data_seed=seed))
        ]
        for seed in (0, 0, 1)
    ]
    assert all(Counter(order) == {1: 20, 2: 20} for order in orders)
    assert orders[0] == orders[1] != orders[2]


def test_the_label_follows_the_better_answer_into_the_other_order(tmp_path: Path) -> None:
    train = [pair_row(f"{index}", image="a.png", question=f"{index}?", better=1 + index % 2) for index in range(10)]
    for prompt in prompts_of(make_config(tmp_path, train=train, order="random")):
        row = train[int(prompt.preference.pair_id.partition("/")[2])]
        assert prompt.preference.responses is not None
        assert prompt.preference.responses[prompt.preference.better - 1] == (
            "A cat." if row["better"] == 1 else "A dog."
        )


def test_both_orders_are_neighbours_in_training(tmp_path: Path) -> None:
    prompts = prompts_of(make_config(tmp_path, order="both"))
    assert [prompt.prompt_id for prompt in prompts[:4]] == [
        "preference_pairs/a/1", "preference_pairs/a/2", "preference_pairs/b/2", "preference_pairs/b/1",
    ]  # fmt: skip


def test_test_pairs_are_asked_in_both_orders(tmp_path: Path) -> None:
    asked = [prompt.preference for prompt in prompts_of(make_config(tmp_path), split="test")]
    assert [(one.pair_id[-1], one.better, one.responses) for one in asked] == [
        ("e", 2, ("A cat.", "A dog.")),
        ("e", 1, ("A dog.", "A cat.")),
        ("f", 1, ("A cat.", "A dog.")),
        ("f", 2, ("A dog.", "A cat.")),
    ]


def test_a_published_message_is_shown_as_it_is(tmp_path: Path) -> None:
    train = [published_row("a.png", better=2)]
    (prompt,) = prompts_of(published_config(tmp_path, train=train))
    text, picture = prompt.messages[0].content
    given = json.loads(str(train[0]["message"]))[0]["content"][0]["text"]
    assert (text, picture) == (given, Media(kind="image", path=str(tmp_path / "images" / "a.png")))
    assert prompt.preference.better == 2


def test_a_published_message_is_turned_round_for_the_test(tmp_path: Path) -> None:
    first, second = prompts_of(published_config(tmp_path, train=[published_row("a.png")]), split="test")
    assert "[Response 1]:\nA cat.\n#### [Response 2]:\nA dog." in text_of(first)
    assert "[Response 1]:\nA dog.\n#### [Response 2]:\nA cat." in text_of(second)
    assert (first.preference.better, second.preference.better) == (2, 1)


def test_a_published_message_without_sections_is_tested_as_given(tmp_path: Path) -> None:
    hidden = {**published_row("f.png"), "message": message_of(image="f.png").replace("[Response 2]", "the other")}
    config = published_config(tmp_path, train=[published_row("a.png")])
    Path(config.test_labels).write_text(json.dumps(hidden))
    (prompt,) = prompts_of(config, split="test")
    assert (prompt.preference.better, prompt.preference.responses) == (1, None)


def test_a_published_row_can_be_asked_in_our_wording(tmp_path: Path) -> None:
    (prompt,) = prompts_of(published_config(tmp_path, train=[published_row("a.png")], prompt="pairwise_brief"))
    assert isinstance(prompt.messages[0].content[0], Media)
    assert text_of(prompt).startswith("What is it?\nResponse 1: A cat.")


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / "images" / "a.png")
    (prompt,) = prompts_of(published_config(tmp_path, train=[published_row(path)]))
    (media,) = prompt.media()
    assert media.path == path


def test_a_picture_may_be_in_the_row_itself(tmp_path: Path) -> None:
    row = {**published_row(""), "message": message_of(image=None), "image": base64.b64encode(picture(9)).decode()}
    (prompt,) = prompts_of(published_config(tmp_path, train=[row]))
    assert next(prompt.media()).data == picture(9)


def test_a_json_file_holds_a_list_of_rows(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(TRAIN, indent=1))
    prompts = prompts_of(make_config(tmp_path, train_labels=str(tmp_path / "train.json")))
    assert [prompt.preference.pair_id[-1] for prompt in prompts] == ["a", "b", "c", "d"]


def test_a_folder_of_files_is_read_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "readme.md").write_text("about the rows")
    (folder / "2.jsonl").write_text(json.dumps(pair_row("a")))
    (folder / "1.json").write_text(json.dumps([pair_row("b"), pair_row("c")]))
    prompts = prompts_of(make_config(tmp_path, train_labels=str(folder)))
    assert [prompt.preference.pair_id[-1] for prompt in prompts] == ["b", "c", "a"]


def test_parquet_files_are_read(tmp_path: Path) -> None:
    row = {**published_row(""), "message": message_of(image="elsewhere.jpg")}
    rows = [{**row, "image": {"bytes": picture(9), "path": None}}]
    parquet.write_table(Table.from_pylist(rows), tmp_path / "train-00000.parquet")
    config = published_config(tmp_path, train=[], train_labels=str(tmp_path / "train-00000.parquet"))
    (prompt,) = prompts_of(config)
    assert next(prompt.media()).data == picture(9)


def test_there_is_no_warm_up_and_without_traces_no_cold_start(tmp_path: Path) -> None:
    data = build_preference_pairs(make_config(tmp_path))
    assert (data.warm_up, data.cold_start) == (None, None)
