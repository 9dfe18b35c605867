"""``arbiter score`` and ``arbiter compare`` as a user starts them: engines once killed half way, and chat servers."""

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cluster.main import main
from conf.load import load_run_config
from rollout.datasets import build_data
from tests.cluster.chat_servers import ChatServer, chat_server
from tests.cluster.jobs import ROOT, assert_all_end, family_of, without_agents
from tests.refusals import refusal
from tests.rollout.teaching import make_taught_model, photographs

WORDING = "quality_no_thinking"
"""Asks about pictures and videos."""
NUM_GOOD = 45
CORRUPT = ("empty.png", "torn.png", "words.jpg")
CLIP = "clip.avi"
NUM_FILES = NUM_GOOD + len(CORRUPT) + 1
WINDOW = 3
RUN_LIMIT_S = 500.0
NOWHERE = "cluster.ray_address=127.0.0.1:1"
"""Ray's address leads nowhere: a command that started an engine would fail."""


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows the form of an answer."""
    folder = tmp_path_factory.mktemp("judge") / "model"
    make_taught_model(folder, wording=WORDING)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs and a video, and among them three files that are none."""
    folder = tmp_path_factory.mktemp("photos")
    test = build_data(photographs(f"data.num_test={NUM_GOOD}").data).test
    for number in range(NUM_GOOD):
        (media,) = test.prompt(number).media()
        (folder / f"{number:02d}.png").write_bytes(media.data or b"")
    (clip,) = build_data(load_run_config(["data=photo_videos"]).data).test.prompt(0).media()
    (folder / CLIP).write_bytes(clip.data or b"")
    (folder / "empty.png").write_bytes(b"")
    (folder / "torn.png").write_bytes((folder / "00.png").read_bytes()[:200])
    (folder / "words.jpg").write_text("no picture")
    return folder


def command(judge: Path, photos: Path, folder: Path, *overrides: str) -> list[str]:
    return [
        "score", str(photos), f"model.path={judge}", "model.size=null",
        f"run.folder={folder}", f"run.name={folder.name}", f"score.prompt={WORDING}", f"score.window={WINDOW}",
        "evaluation.sampling.max_tokens=16", "rollout.kv_cache_gib=0.25", *overrides,
    ]  # fmt: skip


def start(words: Sequence[str], log: Path) -> subprocess.Popen[str]:
    with log.open("a") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "cluster.main", *words], cwd=ROOT, stdout=output, stderr=output, text=True,
            start_new_session=True,
        )  # fmt: skip


def finish(words: Sequence[str], log: Path) -> str:
    """Run to the end; the output."""
    assert start(words, log).wait(timeout=RUN_LIMIT_S) == 0, log.read_text()[-4000:]
    return log.read_text()


def rows_of(folder: Path) -> list[dict[str, Any]]:
    path = folder / "score/scores.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def wait_for_rows(job: subprocess.Popen[str], folder: Path, *, count: int, log: Path) -> None:
    deadline = time.monotonic() + RUN_LIMIT_S
    while len(rows_of(folder)) < count:
        assert job.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(judge: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    output = finish(command(judge, photos, folder), folder.with_suffix(".log"))
    assert f"{NUM_FILES} to score" in output
    assert "sampling greedy (temperature 0, top_p 1), top_k off, repetition_penalty 1, 16 tokens at most" in output
    assert "not applied: the sampling of the checkpoint's generation_config.json (do_sample True" in output
    assert f"rows {NUM_FILES}: " in output
    assert "3 unreadable_image" in output
    return folder


def test_every_file_has_a_row_and_damaged_ones_say_so(whole: Path, photos: Path) -> None:
    rows = {Path(row["path"]).name: row for row in rows_of(whole)}
    assert sorted(rows) == sorted(path.name for path in photos.iterdir())
    assert {name for name, row in rows.items() if row["status"] == "unreadable_image"} == set(CORRUPT)
    assert all(str(photos / name) in rows[name]["error"] for name in CORRUPT)
    scored = [row for name, row in rows.items() if name not in CORRUPT]
    assert rows[CLIP]["status"] in ("ok", "out_of_range", "no_tag", "truncated")
    assert sum(row["status"] == "ok" for row in scored) >= 0.8 * NUM_GOOD
    assert all(1 <= row["score"] <= 5 for row in scored if row["status"] == "ok")
    assert {(row["model"], row["prompt"], row["seed"]) for row in scored} == {("model", WORDING, None)}


def test_the_table_and_the_legacy_lines_say_the_same(whole: Path) -> None:
    rows = rows_of(whole)
    with (whole / "score/scores.csv").open(newline="") as cells:
        table = list(csv.DictReader(cells))
    assert [(cell["path"], cell["status"]) for cell in table] == [(row["path"], row["status"]) for row in rows]
    lines = (whole / "score/scores.txt").read_text().splitlines()
    assert lines == [f"{row['path']} {row['score']}" for row in rows if row["score"] is not None]


def test_killed_half_way_and_started_again_it_loses_and_repeats_nothing(
    judge: Path, photos: Path, whole: Path, tmp_path: Path
) -> None:
    folder, log = tmp_path / "killed", tmp_path / "killed.log"
    words = command(judge, photos, folder)
    job = start(words, log)
    wait_for_rows(job, folder, count=2 * WINDOW, log=log)
    processes = without_agents(family_of(job))
    job.kill()
    job.wait(timeout=60)
    assert_all_end(processes)
    before = rows_of(folder)
    assert 2 * WINDOW <= len(before) < NUM_FILES
    with (folder / "score/scores.jsonl").open("a") as rows:
        rows.write('{"id": "torn')
    output = finish(words, log)
    assert f"{len(before)} were done before" in output
    # Every byte of every score, whoever was killed meanwhile.
    assert rows_of(folder) == rows_of(whole)


def test_what_is_scored_is_not_scored_again(judge: Path, photos: Path, whole: Path) -> None:
    before = rows_of(whole)
    assert main(command(judge, photos, whole, NOWHERE)) == 0
    assert rows_of(whole) == before


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("evaluation.sampling.max_tokens=9", "sampling: the folder has"),
        ("score.prompt=quality", "prompt: the folder has"),
        ("score.scale.maximum=4.0", "scale: the folder has [1.0, 5.0], this run has [1.0, 4.0]"),
        ("model.max_pixels=25088", "pixels: the folder has"),
    ],
)
def test_other_settings_need_another_folder(
    judge: Path, photos: Path, whole: Path, override: str, difference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(judge, photos, whole, NOWHERE, override)) == 2
    problems = capsys.readouterr().err
    assert "holds scores made under other settings; choose another run.folder" in problems
    assert difference in problems


def test_another_model_needs_another_folder(
    judge: Path, photos: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(judge, tmp_path / "model"))
    (other / "tokenizer_config.json").write_text((other / "tokenizer_config.json").read_text() + "\n")
    assert main(command(other, photos, whole, NOWHERE)) == 2
    assert "files: the folder has" in capsys.readouterr().err


def ask(server: ChatServer) -> list[str]:
    return ["judge=remote", f"judge.base_urls=[{server.url}]", "judge.max_attempts=1", "judge.breaker_failures=1000"]


def by_question(question: str) -> str | None:
    """The number in a question is the score; a question about a failure fails."""
    words = question.split()
    return None if words[0] == "Fail?" else f"<think>I see.</think><answer>{words[-1]}</answer>"


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A list of questions about pictures, some of which cannot be answered."""
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    (tmp_path / "bad.png").write_text("no picture")
    rows = [
        {"path": "red.png", "id": "a", "question": "How good? 4.25"},
        {"path": "red.png", "id": "b", "question": "How good? 9"},
        {"path": "red.png", "id": "c", "question": "How good? well"},
        {"path": "red.png", "id": "d", "question": "Fail? 3"},
        {"path": "bad.png", "id": "e", "question": "How good? 2"},
    ]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_an_endpoint_scores_and_what_failed_is_asked_again(
    asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with chat_server(by_question) as server:
        words = ["score", str(asked), f"run.folder={folder}", *ask(server)]
        assert main(words) == 0
        assert "the same command asks those that failed again" in capsys.readouterr().out
        rows = {row["id"]: row for row in rows_of(folder)}
        assert {name: (row["status"], row["score"]) for name, row in rows.items()} == {
            "a": ("ok", 4.25),
            "b": ("out_of_range", 9.0),
            "c": ("no_number", None),
            "d": ("failed", None),
            "e": ("unreadable_image", None),
        }
        assert (rows["a"]["reasoning"], rows["a"]["model"]) == ("I see.", "scripted")
        server.asked.clear()
        server.reply = lambda question: "<answer>3</answer>"
        assert main(words) == 0
        assert server.asked == ["Fail? 3"]
    assert sorted((row["id"], row["score"]) for row in rows_of(folder))[3] == ("d", 3.0)
    assert len(rows_of(folder)) == 5


def test_an_endpoint_gives_samples_with_seeds_of_their_own(asked: Path, tmp_path: Path) -> None:
    scores = iter("3344")
    with chat_server(lambda question: f"<answer>{next(scores)}</answer>") as server:
        words = ["score", str(asked.parent / "red.png"), f"run.folder={tmp_path / 'run'}", *ask(server)]
        assert main([*words, "score.num_samples=4", "evaluation.sampling.temperature=1.0"]) == 0
    (row,) = rows_of(tmp_path / "run")
    assert (row["score"], row["std"]) == (3.5, pytest.approx((1 / 3) ** 0.5))
    assert len({sample["seed"] for sample in row["samples"]}) == 4


def test_an_endpoint_that_names_likely_tokens_gives_an_expectation(asked: Path, tmp_path: Path) -> None:
    with chat_server(lambda question: "<think>1 of 2</think><answer>4.10</answer>") as server:
        server.digits = {"3": 0.379 / 2, "4": 0.621 / 2, "9": 0.5}
        words = ["score", str(asked.parent / "red.png"), f"run.folder={tmp_path / 'run'}", *ask(server)]
        assert main([*words, "score.answer=expectation"]) == 0
    (row,) = rows_of(tmp_path / "run")
    assert (row["status"], row["score"]) == ("ok", pytest.approx(3.621))


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ((), "model.path: name the judge"),
        (("score.num_samples=2",), "score.num_samples=2 at temperature 0 gives the same answer every time"),
        (("judge=remote", "judge.base_urls=[http://127.0.0.1:1/v1]", "score.repetition_penalty=1.05"), "no such field"),
        (("judge=remote", "judge.base_urls=[http://127.0.0.1:1/v1]", "score.answer=expectation_tenths"), "cannot"),
        (("judge=remote", "judge.base_urls=[http://h/v1]", "model.path=x", "model.size=null"), "both name a judge"),
        (("score.answer=expectation", "score.scale.maximum=100.0"), "scale must lie within 0 and 9.99"),
        (("score.promt=quality",), "score.promt: unknown key; did you mean score.prompt?"),
        (("score=aes_r2",), "score=aes_r2: expected one of aes_r1, visualquality_r1"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(
    words: Sequence[str], answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer in "\n".join(refusal(["score", str(tmp_path), *words], capsys))


def test_an_empty_folder_and_a_wording_that_knows_no_videos_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = ["judge=remote", "judge.base_urls=[http://127.0.0.1:1/v1]", f"run.folder={tmp_path / 'run'}"]
    (problem,) = refusal(["score", str(tmp_path), *server], capsys)
    assert problem.startswith("nothing to score there; of folders, files that end in")
    (tmp_path / "clip.mp4").write_bytes(b"")
    (problem,) = refusal(["score", str(tmp_path), *server], capsys)
    assert problem.startswith("score.prompt=visualquality_r1 asks about an image, not about a video")


def test_help_loads_no_model_and_no_ray() -> None:
    code = "import sys; from cluster.main import main; main(['score', '--help']); print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "score PATH ..." in done.stdout
    assert done.stdout.endswith("False\n")


def test_two_pictures_are_compared_by_their_scores(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = iter(["3.25", "4"])
    first, second = asked.parent / "red.png", asked.parent / "blue.png"
    Image.new("RGB", (40, 30), "blue").save(second)
    with chat_server(lambda question: f"<think>So.</think><answer>{next(scores)}</answer>") as server:
        words = ["compare", str(first), str(second), *ask(server), "judge.max_concurrent=1"]
        assert main(words) == 0
    output = capsys.readouterr().out
    assert f"A {first}: 3.250\n  So." in output
    assert output.endswith(f"B {second} is better by 0.750\n")


def test_a_picture_without_a_score_cannot_be_compared(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda question: "<answer>3</answer>") as server:
        assert main(["compare", str(asked.parent / "red.png"), str(asked.parent / "bad.png"), *ask(server)]) == 0
    output = capsys.readouterr().out
    assert "(unreadable_image: picture" in output
    assert output.endswith(f"cannot be compared: B {asked.parent / 'bad.png'}\n")


def good_first(question: str) -> str:
    return f"<answer>{1 if question.index('good') < question.index('poor') else 2}</answer>"


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (good_first, "answer 2 is better, in both orders"),
        (
            lambda question: "<answer>1</answer>",
            "undecided: the choice follows the order in which the answers are shown",
        ),
        (lambda question: "neither", "undecided: no majority in at least one order"),
    ],
)
def test_two_answers_are_compared_in_both_orders(
    reply: Any, verdict: str, asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (asked.parent / "second.txt").write_text("a good answer\n")
    words = [
        "compare",
        str(asked.parent / "red.png"),
        "Which colour?",
        "a poor answer",
        str(asked.parent / "second.txt"),
    ]
    with chat_server(reply) as server:
        assert main([*words, *ask(server), "benchmark.prompt=pairwise_brief"]) == 0
        assert sorted(question.index("a good answer") < question.index("a poor") for question in server.asked) == [
            False, True,
        ]  # fmt: skip
    assert capsys.readouterr().out.splitlines()[-1].startswith(verdict)


@pytest.mark.parametrize("words", [[], ["a.png"], ["a.png", "b.png", "c.png"]])
def test_a_comparison_is_of_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = refusal(["compare", *words], capsys)
    assert problem == f"compare takes two files, or a file, a question and two answers; got {len(words)} arguments"
