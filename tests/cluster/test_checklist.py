"""``arbiter checklist`` as a user starts it: chat servers, answer files, published examples, and what is refused."""

import asyncio
import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cluster.checklist import checklist_config
from cluster.checklist_judge import opened_asker
from cluster.checklist_server import judge_items
from cluster.main import main
from evaluation.checklist.score_files import ScoreRule
from evaluation.checklist.setup import load_checklist
from rewards.checklist.scoring import ItemScore
from rewards.checklist.server import Judged, ShownItem
from rewards.checklist.weights import equal_weights, read_weights
from rollout.checklist.load import look_up, read_checklist
from tests.cluster.chat_servers import ChatServer, chat_server
from tests.cluster.jobs import ROOT
from tests.refusals import refusal, write_lines
from tests.rewards.checklists import FILES, published, shared_file

NOWHERE = ("judge=remote", "judge.base_urls=[http://127.0.0.1:1/v1]")
OWN = """
version: 1
kind: image
gates: [{id: has_cat, text: "Is there a cat?", closes: [cat_whole]}]
dimensions:
  - name: fidelity
    sub_dimensions:
      - {name: cat, is_graded: false, questions: [{id: cat_whole, text: "Is the cat whole?"}]}
  - name: quality
    sub_dimensions:
      - name: sharp
        is_graded: true
        questions: [{id: sharp_all, text: "Is all of it sharp?"}, {id: sharp_some, text: "Is some of it sharp?"}]
  - name: alignment
    sub_dimensions:
      - {name: shown, is_graded: false, questions: [{id: shown, text: 'Does it show "[[prompt]]"?'}]}
"""
QUESTIONS = ("has_cat", "cat_whole", "sharp_all", "sharp_some")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A checklist and two pictures."""
    (tmp_path / "own.yaml").write_text(OWN)
    for colour in ("red", "blue"):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{colour}.png")
    return tmp_path


def words(here: Path, tool: str, *given: str) -> list[str]:
    return ["checklist", tool, *given, f"checklist.questions={here / 'own.yaml'}", f"run.folder={here / 'run'}"]


def ask(server: ChatServer) -> list[str]:
    return ["judge=remote", f"judge.base_urls=[{server.url}]", "judge.max_attempts=1", "judge.breaker_failures=1000"]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_answers(path: Path, rows: Sequence[Mapping[str, object]]) -> str:
    write_lines(path, [json.dumps(row) for row in rows])
    return str(path)


def test_hard_answers_of_a_server_are_words_and_what_is_neither_is_unknown(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replies = {"Is there a cat?": "Yes", "Is the cat whole?": " NO.", "Is all of it sharp?": "Perhaps"}
    with chat_server(lambda text: replies.get(text.removesuffix(" Answer yes or no."), "yes")) as server:
        assert main(words(here, "ask", str(here / "red.png"), *ask(server))) == 0
        assert len(server.asked) == len(QUESTIONS)
    (row,) = lines_of(here / "run/checklist/answers.jsonl")
    # Without a prompt the question that quotes it is not asked.
    assert row["answers"] == {"has_cat": 1.0, "cat_whole": 0.0, "sharp_all": "Perhaps", "sharp_some": 1.0}
    assert (row["status"], row["model"], row["checklist"], row["version"]) == ("ok", "scripted", "own", 1)
    assert "answers 4 about 1 items: 3 ok, 1 unknown" in capsys.readouterr().out


def test_soft_answers_of_a_server_add_spellings_up(here: Path) -> None:
    with chat_server(lambda text: "Maybe") as server:
        server.first_tokens = lambda text: {"Maybe": 0.2, "Yes": 0.3, " yes": 0.3, "no": 0.2}
        assert main(words(here, "ask", str(here / "red.png"), *ask(server))) == 0
    (row,) = lines_of(here / "run/checklist/answers.jsonl")
    assert row["answers"] == {question: pytest.approx(0.75) for question in QUESTIONS}
    assert row["mass"] == {question: pytest.approx(0.8) for question in QUESTIONS}


def test_too_little_of_both_words_is_no_answer(here: Path) -> None:
    with chat_server(lambda text: "Maybe") as server:
        server.first_tokens = lambda text: {"Maybe": 0.9, "Yes": 0.08, "no": 0.02}
        given = words(here, "ask", str(here / "red.png"), *ask(server))
        assert main([*given, "checklist.min_mass=0.5"]) == 0
        (row,) = lines_of(here / "run/checklist/answers.jsonl")
        assert set(row["answers"].values()) == {"yes and no have a probability of 0.1 together"}
        # The likelier word is the answer however unlikely both are, unless told otherwise.
        assert main([*given, f"run.folder={here / 'other'}"]) == 0
    (row,) = lines_of(here / "other/checklist/answers.jsonl")
    assert row["answers"] == {question: pytest.approx(0.8) for question in QUESTIONS}


def test_prompts_of_a_list_are_quoted_and_kept(here: Path) -> None:
    listed = here / "list.jsonl"
    write_lines(listed, [json.dumps({"path": "red.png", "id": 7, "prompt": "a red cat"})])
    with chat_server(lambda text: "yes") as server:
        assert main(words(here, "ask", str(listed), *ask(server))) == 0
        assert 'Does it show "a red cat"? Answer yes or no.' in server.asked
    (row,) = lines_of(here / "run/checklist/answers.jsonl")
    assert (row["id"], row["prompt"], row["answers"]["shown"]) == ("7", "a red cat", 1.0)


def test_what_failed_is_asked_again_and_nothing_else(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.png").write_text("no picture")
    listed = here / "list.jsonl"
    write_lines(
        listed,
        [json.dumps({"path": f"{name}.png", "id": name, "prompt": name}) for name in ("red", "blue", "bad")],
    )
    with chat_server(lambda text: None if '"blue"' in text else "yes") as server:
        given = words(here, "ask", str(listed), *ask(server))
        assert main(given) == 0
        rows = {row["id"]: row for row in lines_of(here / "run/checklist/answers.jsonl")}
        assert {name: row["status"] for name, row in rows.items()} == {
            "red": "ok", "blue": "failed", "bad": "unreadable_image",
        }  # fmt: skip
        assert rows["blue"]["answers"]["shown"] is None
        server.asked.clear()
        server.reply = lambda text: "no"
        assert main(given) == 0
        assert len(server.asked) == 5
    rows = {row["id"]: row for row in lines_of(here / "run/checklist/answers.jsonl")}
    assert set(rows["blue"]["answers"].values()) == {0.0}
    assert set(rows["red"]["answers"].values()) == {1.0}
    assert "2 were done before" in capsys.readouterr().out


def test_other_questions_need_another_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda text: "yes") as server:
        given = words(here, "ask", str(here / "red.png"), *ask(server))
        assert main(given) == 0
        (here / "own.yaml").write_text(OWN.replace("Is there a cat?", "Is a cat there?"))
        assert main(given) == 2
    assert "questions: the folder has" in capsys.readouterr().err


def test_asked_and_scored_in_one_go(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda text: "no" if "some" in text else "yes") as server:
        assert main(words(here, "score", str(here / "red.png"), str(here / "blue.png"), *ask(server))) == 0
    rows = lines_of(here / "run/checklist/scores.jsonl")
    # Three questions of equal weight, two of them yes; the stricter yes contradicts the milder no.
    assert [row["score"] for row in rows] == [pytest.approx(2 / 3)] * 2
    assert rows[0]["dimensions"]["quality"]["score"] == pytest.approx(1 / 3)
    with (here / "run/checklist/scores.csv").open(newline="") as cells:
        table = list(csv.DictReader(cells))
    assert [float(row["question sharp_some"]) for row in table] == [0.0, 0.0]
    assert [float(row["dimension fidelity"]) for row in table] == [pytest.approx(1 / 3)] * 2
    output = capsys.readouterr().out
    assert ["all", "0.0", "2", "0.0", "2"] in [line.split() for line in output.splitlines()]
    assert "scores 2, without one 0\n" in output


def test_gates_and_unusable_answers_are_as_the_settings_say(here: Path) -> None:
    answers = {"has_cat": "no", "cat_whole": "yes", "sharp_all": 0.5, "sharp_some": "perhaps"}
    path = write_answers(here / "answers.jsonl", [{"id": "a", "answers": answers}])

    def score(*overrides: str) -> tuple[float | None, int]:
        assert main([*words(here, "score", path), "checklist.scale=paper", *overrides]) == 0
        (row,) = lines_of(here / "run/checklist/scores.jsonl")
        return row["score"], row["num_closed"]

    assert score() == (None, 1)
    assert score("checklist.unusable=leave_out") == pytest.approx((0.5 / 3, 1))


def video_row(name: str, no_at: Sequence[int], *, prompt: str = "a cat") -> dict[str, object]:
    order = published("video_select").file_order
    letters = {one: "no" if line in set(no_at) else "yes" for line, one in enumerate(order)}
    return {"id": name, "path": f"{name}.mp4", "prompt": prompt, "answers": letters}


A_NO, B_NO = (0, 7, 13, 16, 21, 23), (1, 4, 18, 20, 22, 24)
C_NO = (*A_NO, 22, 28)


def released() -> list[str]:
    questions, weights = FILES["video_select"]
    assert weights is not None
    named = (f"checklist.questions={shared_file(questions)}", f"checklist.weights={shared_file(weights)}")
    return ["checklist=video", *named]


def test_the_published_video_scores_come_out(tmp_path: Path) -> None:
    rows = [video_row("no", range(29)), video_row("a", A_NO), video_row("b", B_NO)]
    path = write_answers(tmp_path / "answers.jsonl", rows)
    given = ["checklist", "score", path, *released(), f"run.folder={tmp_path / 'run'}", "checklist.scale=mean"]
    assert main(given) == 0
    scores = [row["score"] for row in lines_of(tmp_path / "run/checklist/scores.jsonl")]
    expected = [-0.21645422762093175, 0.05787842334625105, 0.1687306963076622]
    assert scores == [pytest.approx(one, abs=1e-12) for one in expected]


def test_pairs_keeps_a_over_c_and_neither_of_a_and_b(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Lines of two prompts in turns: pairs are made within prompts all the same.
    rows = [
        video_row("a", A_NO), video_row("x", (), prompt="a dog"), video_row("b", B_NO),
        video_row("y", (), prompt="a dog"), video_row("c", C_NO),
    ]  # fmt: skip
    path = write_answers(tmp_path / "answers.jsonl", rows)
    given = ["checklist", "pairs", path, *released(), f"run.folder={tmp_path / 'run'}"]
    assert main([*given, "checklist.pairs.min_gap=0.6"]) == 0
    (pair,) = lines_of(tmp_path / "run/checklist/pairs.jsonl")
    assert (pair["chosen"], pair["rejected"], pair["gap"]) == ("a.mp4", "c.mp4", pytest.approx(0.662758, abs=5e-7))
    assert pair["chosen_dimensions"]["stability"] == pytest.approx(0.420213, abs=5e-7)
    assert lines_of(tmp_path / "run/checklist/pairs_trl.jsonl") == [
        {"prompt": "a cat", "chosen": "a.mp4", "rejected": "c.mp4"}
    ]
    assert (
        "pairs=4 kept=1 unscored=0 equal=1 not_dominating=2 small_gap=0 over_limit=0 prompts=1/2"
        in capsys.readouterr().out
    )


def labelled(here: Path) -> list[str]:
    """Forty pairs in which all but eight agree with sharp_all, and cat_whole is noise."""
    items, pairs = [], []
    for number in range(40):
        noise = number % 3 == 0
        for side, sharp in (("x", True), ("y", False)):
            answers = {"has_cat": "yes", "cat_whole": noise == sharp, "sharp_all": sharp, "sharp_some": True}
            items.append({"id": f"{number}{side}", "prompt": f"scene {number}", "answers": answers})
        pairs.append(
            {"first": f"{number}x", "second": f"{number}y", "better": "second" if number % 5 == 0 else "first"}
        )
    pairs.append({"first": "0x", "second": "0y", "better": "tie"})
    write_lines(here / "pairs.jsonl", [json.dumps(pair) for pair in pairs])
    return [write_answers(here / "answers.jsonl", items), str(here / "pairs.jsonl")]


def test_weights_are_fitted_told_and_used(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = labelled(here)
    assert main(words(here, "fit", *given)) == 0
    output = capsys.readouterr().out
    assert "40 pairs of 40 prompts; left out: 1 ties, 0 with an unusable answer" in output
    assert "weight 0, answered alike in every pair: sharp_some" in output
    folder = here / "run/checklist"
    assert (folder / "report.txt").read_text().strip() in output
    # The question that quotes the prompt was not asked, so it has no weight.
    asked = read_checklist(here / "own.yaml").without_prompt()
    weights = read_weights(folder / "weights.yaml", checklist=asked)
    assert weights.by_id["sharp_all"] > 0.5 > weights.by_id["sharp_some"] == 0.0
    scored = [*words(here, "score", given[0]), f"checklist.weights={folder / 'weights.yaml'}", "checklist.scale=paper"]
    assert main(scored) == 0
    rows = {row["id"]: row["score"] for row in lines_of(folder / "scores.jsonl")}
    assert rows["1x"] - rows["1y"] == pytest.approx(weights.by_id["sharp_all"] - weights.by_id["cat_whole"])


def test_two_pictures_are_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda text: "yes") as server:
        assert main(words(here, "compare", str(here / "red.png"), str(here / "blue.png"), *ask(server))) == 0
        assert len(server.asked) == 2 * len(QUESTIONS)
    output = capsys.readouterr().out
    assert ["share", "1.0000", "1.0000", "0.0000"] in [line.split() for line in output.splitlines()]
    assert output.endswith("the same score\n")
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ((), "checklist takes one of ask, score, compare, fit, pairs, reward-server and its files"),
        (("scroe", "a.png"), "got scroe; did you mean score?"),
        (("ask", "HERE/red.png"), "model.path: name the judge"),
        (
            ("ask", "HERE/red.png", *NOWHERE, "checklist.questions=imag"),
            "checklist 'imag' is unknown; did you mean image",
        ),
        (("ask", "HERE/red.png", *NOWHERE, "checklist=video"), "red.png: image, the checklist video asks about videos"),
        (("ask", "HERE/half.jsonl", *NOWHERE), "1 of 2 items have no prompt, which questions of image quote"),
        (("ask", "HERE/asked.jsonl", *NOWHERE), "asked.jsonl:1: expected"),
        (("compare", "HERE/red.png", *NOWHERE), "checklist compare takes two pictures or two videos, got 1 words"),
        (("score", "HERE/red.png", "HERE/a.jsonl", *NOWHERE), "either files of answers or what is to be asked about"),
        (
            ("score", "HERE/a.jsonl"),
            "a.jsonl:1: 1 answers are to no question of checklist image, the first to 'nothing'",
        ),
        (("score", "HERE/a.jsonl", "checklist.weights=gone.yaml"), "gone.yaml: cannot be read"),
        (("fit", "HERE/a.jsonl"), "got 1 of answers and none of pairs"),
        (("pairs", "HERE/red.png"), "red.png is none"),
        (("ask", "HERE/red.png", "--port", "1"), "--host, --port: belong to checklist reward-server, got ask"),
        (("reward-server", "a.png"), "takes no files, got a.png"),
        (("reward-server", "--port", "x", *NOWHERE), "--port=x: expected a port from 1 to 65535"),
        (("reward-server", "checklist.prompt=cat", *NOWHERE), "checklist.prompt: has no effect"),
        (("score", "HERE/a.jsonl", "checklist.wording=Well?"), "wording must hold [[question]] once, got 'Well?'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    given: Sequence[str], problem: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(here / "half.jsonl", ['{"path": "red.png", "prompt": "red"}', '{"path": "blue.png"}'])
    write_lines(here / "asked.jsonl", ['{"path": "red.png", "question": "Is it?"}'])
    write_answers(here / "a.jsonl", [{"id": "a", "answers": {"nothing": "yes"}}])
    found = [word.replace("HERE", str(here)) for word in given]
    (line,) = refusal(["checklist", *found, f"run.folder={here / 'run'}"], capsys)
    assert problem in line


def test_a_generator_gets_rewards_of_the_pictures_it_names(here: Path) -> None:
    async def judged(url: str) -> list[Judged]:
        settings = [f"checklist.questions={here / 'own.yaml'}", "judge=remote", f"judge.base_urls=[{url}]"]
        config, options = checklist_config([*settings, "judge.max_attempts=1"])
        own = load_checklist(options.questions)
        rule = ScoreRule(checklist=own, weights=equal_weights(own), unusable="no_score", scale="share")
        named = (("red.png", "a cat"), ("red.png", None), ("clip.mp4", "a cat"), ("own.yaml", "a dog"))
        items = [ShownItem(path=str(here / name), prompt=prompt) for name, prompt in named]
        async with opened_asker(config, options, checklist=own) as judge:
            return await judge_items(judge, items, rule=rule)

    with chat_server(lambda text: "no" if "Does it show" in text else "yes") as server:
        good, unprompted, clip, torn = asyncio.run(judged(server.url))
    assert isinstance(good, ItemScore)
    assert good.share == pytest.approx(0.75)
    assert unprompted == "no prompt, which questions of own quote"
    assert str(clip).endswith("clip.mp4: video, the checklist own asks about images")
    assert str(torn).startswith("unreadable_image: ")


@pytest.mark.parametrize("name", ["image", "video"])
def test_a_choice_names_the_checklist_of_its_name(name: str) -> None:
    _, options = checklist_config([f"checklist={name}"])
    assert look_up(options.questions).kind == name


def test_help_loads_no_model_and_no_ray() -> None:
    code = (
        "import sys; from cluster.main import main; main(['checklist', 'ask', '--help']); print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "checklist score PATH" in done.stdout
    assert done.stdout.endswith("False\n")
