"""Bad inputs of pairwise judges: each is refused with one clear line and status 2, and leaves nothing behind."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image

from cluster.checkpoint import CheckpointFolder, RunState
from cluster.commands import library_versions
from conf.effective import config_digest
from conf.load import load_run_config
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from tests.cluster.chat_servers import chat_server
from tests.cluster.heads import free_port
from tests.judge_client.servers import always, rule_server
from tests.refusals import Damage, given, refusal

EXAMPLE = Path(__file__).parents[1] / "docs/examples/custom_reward.py"
LIMIT_S = 30.0
PAIR = {"id": "RLHF-V-1", "prompt": "Which?", "chosen": "a cat", "rejected": "a dog", "image": "cat.png"}
ROW = {"id": "1", "question": "Which?", "responses": ["a cat", "a dog"], "better": 1, "image": "cat.png"}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder of good inputs: pictures, a benchmark file, and rows to train on."""
    for name, colour in (("cat", "red"), ("dog", "blue")):
        Image.new("RGB", (56, 56), colour).save(tmp_path / f"{name}.png")
    for file, row in (("pairs.jsonl", PAIR), ("train.jsonl", ROW), ("test.jsonl", {**ROW, "image": "dog.png"})):
        (tmp_path / file).write_text(f"{json.dumps(row)}\n")
    return tmp_path


def only_line(words: Sequence[str], here: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command is refused with, in less than half a minute and without a trace in ``here``."""
    before, started = sorted(here.rglob("*")), time.monotonic()
    places = [f"run.folder={here / 'run'}", "cluster.ray_address=127.0.0.1:1"] if words[0] in STARTS_SOMETHING else []
    lines = refusal([word.replace("HERE", str(here)) for word in (*words, *places)], capsys)
    assert time.monotonic() - started < LIMIT_S
    assert sorted(here.rglob("*")) == before
    *headline, line = lines
    assert headline in ([], ["1 problem; nothing was asked"])  # the files of a benchmark have a list of their own
    return line


STARTS_SOMETHING = ("train", "benchmark", "reward-server", "collect-traces")
RECIPE: Mapping[str, tuple[Damage, str]] = {
    "term of another task": (
        given(
            "+rewards.terms.near={kind: threshold, weight: 1.0, mode: inclusive, full_fraction: 0.2, "
            "half_fraction: null}"
        ),
        "rewards.terms.near.kind=threshold has nothing to compare an answer with: data.kind=photo_pairs asks for",
    ),
    "format of another task": (
        given("rewards.terms.format.mode=number"),
        "rewards.terms.format.mode=number is never met: data.kind=photo_pairs asks for a choice",
    ),
    "rule without its factor": (
        given("~rewards.terms.consistency"),
        "rule.kind=r1_reward multiplies the terms named choice and consistency, but terms holds choice, format",
    ),
    "neutral beside binary": (
        given("rewards.rule.abstention=neutral", "rewards.terms.consistency.mode=binary"),
        "rule.abstention=neutral counts a missing verdict as 0",
    ),
    "custom reward missing": (
        given("rewards=custom", "rewards.terms.custom.path=HERE/gone.py:reward"),
        "HERE/gone.py:reward: there is no file HERE/gone.py; give FILE.py:FUNCTION",
    ),
    "custom reward without its function": (
        given("rewards=custom", f"rewards.terms.custom.path={EXAMPLE}:agrement"),
        "has no function agrement; its functions: agreement",
    ),
    "remote judge nowhere": (given("judge=remote"), "judge.base_urls: must be given, list"),
    "judge without a scheme": (
        given("judge=remote", "judge.base_urls=['judge:8000/v1']"),
        "'judge:8000/v1' is no base URL; expected one such as http://judge:8000/v1",
    ),
    "judge with a password": (
        given("judge=remote", "judge.base_urls=['http://me:secret@judge/v1']"),
        "a base URL must hold no password; name the variable that does in api_key_variable",
    ),
    "judge named twice": (
        given("judge=remote", "judge.base_urls=['http://judge/v1','http://judge/v1']"),
        "a server is named twice",
    ),
    "votes that cannot differ": (
        given("judge.num_votes=3"),
        "num_votes=3 asks for the same reply 3 times at temperature=0",
    ),
    "judge nobody asks": (
        given("rewards=choice", "judge.timeout_s=5.0"),
        "judge.timeout_s: has no effect, no reward term asks a judge; remove it",
    ),
    "odd evaluation": (
        given("evaluation.num_prompts=7"),
        "evaluation.num_prompts=7 would ask the last pair in one order only; use an even number",
    ),
    "evaluation of more than there is": (
        given("evaluation.num_prompts=386"),
        "evaluation.num_prompts=386 is more than both orders of data.num_test=192 pairs; lower one or raise the other",
    ),
    "veto that drops everything": (
        given("algorithm.correction.token_veto=[1.5,100]"),
        "algorithm.correction.token_veto=[1.5, 100.0] drops completions on which engine and learner agree",
    ),
    "gdpo with KL in the reward": (
        given(
            "algorithm=gdpo",
            "algorithm.kl.coefficient=0.1",
            "algorithm.kl.estimator=k1",
            "algorithm.kl.placement=reward",
        ),
        "algorithm=gdpo normalises reward terms, and algorithm.kl.placement=reward is none of them",
    ),
    "no round of sampling": (
        given("algorithm=dapo", "algorithm.dynamic_sampling.max_rounds=0"),
        "algorithm.dynamic_sampling.max_rounds=0: expected integer >= 1",
    ),
    "spread without rounds": (
        given("algorithm.dynamic_sampling.min_spread=0.1"),
        "algorithm.dynamic_sampling.min_spread: has no effect, algorithm.dynamic_sampling.max_rounds=1 never samples",
    ),
    "group of one": (
        given("algorithm=dapo", "rollout.num_completions=1"),
        "rollout.num_completions=1 gives a group-relative algorithm nothing to compare",
    ),
    "rounds for groups of one": (
        given("algorithm.dynamic_sampling.max_rounds=2", "rollout.num_completions=1"),
        "rollout.num_completions=1 leaves no group with a spread of rewards",
    ),
    "groups torn apart": (
        given("rollout.prompts_per_step=5"),
        "algorithm.num_minibatches=2 must divide rollout.prompts_per_step=5, because groups stay whole",
    ),
    "settings of a benchmark": (
        given("benchmark.orders=random"),
        "benchmark.orders: has no effect, only `arbiter benchmark` reads it; remove it",
    ),
    "choice reward for scores": (
        given("recipe=demo", "+rewards.terms.choice={kind: choice, weight: 1.0, mode: strict}"),
        "rewards.terms.choice.kind=choice has nothing to compare an answer with: data.kind=photo_distortions asks for",
    ),
}


@pytest.mark.parametrize(("damage", "part"), RECIPE.values(), ids=RECIPE.keys())
def test_a_bad_recipe_is_one_clear_line(
    damage: Damage, part: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = damage(here)
    recipe = [] if words[0].startswith("recipe=") else ["recipe=demo_pairs"]
    assert part.replace("HERE", str(here)) in only_line(["train", *recipe, *words], here, capsys)


ENDPOINT = ("benchmark.answerer=endpoint", "judge=remote", "judge.base_urls=['http://127.0.0.1:1/v1']")
TRAINING_ROWS = (
    "data=preference_pairs", "data.image_folder=HERE", "data.train_labels=HERE/train.jsonl",
    "data.test_labels=HERE/test.jsonl",
)  # fmt: skip
COMMANDS: Mapping[str, tuple[Sequence[str], str]] = {
    "benchmark unknown": (
        ("benchmark", "vl_rewardbnch", "HERE/pairs.jsonl", *ENDPOINT),
        "benchmark 'vl_rewardbnch' is unknown; did you mean vl_rewardbench?; known: vl_rewardbench, mm_",
    ),
    "benchmark without a file": (
        ("benchmark", "vl_rewardbench", *ENDPOINT),
        "benchmark takes a name and a file, got vl_rewardbench",
    ),
    "benchmark file missing": (
        ("benchmark", "vl_rewardbench", "HERE/gone.jsonl", *ENDPOINT),
        "HERE/gone.jsonl: cannot be read: No such file or directory",
    ),
    "benchmark file of another kind": (
        ("benchmark", "vl_rewardbench", "HERE/pairs.parquet", *ENDPOINT),
        "HERE/pairs.parquet: expected a file ending in .jsonl, .json, .csv",
    ),
    "file of another benchmark": (
        ("benchmark", "mm_rlhf_rewardbench", "HERE/pairs.jsonl", *ENDPOINT),
        "HERE/pairs.jsonl:1: image: ",
    ),
    "pictures elsewhere": (
        ("benchmark", "vl_rewardbench", "HERE/pairs.jsonl", "benchmark.media_folder=HERE/gone", *ENDPOINT),
        "HERE/gone: no such folder of pictures",
    ),
    "nobody to be tested": (
        ("benchmark", "vl_rewardbench", "HERE/pairs.jsonl"),
        "model.path: name the judge to be tested (and model.size=null), or ask a server with benchmark.answerer=",
    ),
    "model to be tested missing": (
        ("benchmark", "vl_rewardbench", "HERE/pairs.jsonl", "model.size=null", "model.path=HERE/gone"),
        "HERE/gone: no such folder; give the folder of a finished model",
    ),
    "rules to be tested": (
        ("benchmark", "vl_rewardbench", "HERE/pairs.jsonl", "benchmark.answerer=endpoint"),
        "judge=rule_server is no chat model; name one with judge=remote and judge.base_urls=[...]",
    ),
    "nobody at the endpoint": (
        ("benchmark", "vl_rewardbench", "HERE/pairs.jsonl", *ENDPOINT),
        "judge at http://127.0.0.1:1/v1: no connection",
    ),
    "results of one judge": (("compare-judges", "HERE"), "compare-judges takes two folders of results, got HERE"),
    "results missing": (
        ("compare-judges", "HERE", "HERE"),
        "HERE: holds no judgements.jsonl; give a folder of results",
    ),
    "rewards at no port": (
        ("reward-server", "data=photo_pairs", "rewards=choice", "--port=0"),
        "--port=0: expected a port from 1 to 65535",
    ),
    "rewards at a name": (
        ("reward-server", "data=photo_pairs", "rewards=choice", "--port=http"),
        "--port=http: expected a port from 1 to 65535",
    ),
    "training at a port": (
        ("train", "--port=8000"),
        "--port: belongs to the command reward-server or checklist, got train",
    ),
    "evaluation on a host": (
        ("evaluate", "HERE", "--host=127.0.0.1"),
        "--host: belongs to the command reward-server or checklist, got evaluate",
    ),
    "traces to nowhere": (("collect-traces", *TRAINING_ROWS), "collect-traces takes the file to write, got none"),
    "traces of scores": (
        ("collect-traces", "HERE/traces.jsonl", "data=photo_pairs", *ENDPOINT[1:]),
        "collect-traces needs data=preference_pairs or data=opinion_score, got data.kind=photo_pairs",
    ),
    "rules as a teacher": (
        ("collect-traces", "HERE/traces.jsonl", *TRAINING_ROWS),
        "judge=rule_server is no chat model",
    ),
    "words for data": (("data", "collect-traces"), "collect-traces: data takes KEY=VALUE and GROUP=CHOICE only"),
}


@pytest.mark.parametrize(("words", "part"), COMMANDS.values(), ids=COMMANDS.keys())
def test_a_bad_command_is_one_clear_line(
    words: Sequence[str], part: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert part.replace("HERE", str(here)) in only_line(words, here, capsys)


@pytest.fixture(scope="module")
def untaught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model folder."""
    folder = tmp_path_factory.mktemp("untaught") / "model"
    create_tiny_qwen_vl(folder, size=TinyModelSize(), seed=0)
    return folder


def evaluation_of(untaught: Path, here: Path) -> list[str]:
    """Evaluate on a short question and one of 800 words, where 900 tokens leave room for an answer."""
    long = {**ROW, "id": "long", "image": "long.png", "question": "Which?" + " blur" * 800}
    Image.new("RGB", (56, 56), "green").save(here / "long.png")
    (here / "test.jsonl").write_text(f"{json.dumps({**ROW, 'id': 'short', 'image': 'dog.png'})}\n{json.dumps(long)}\n")
    return [
        "evaluate", str(untaught), *(word.replace("HERE", str(here)) for word in TRAINING_ROWS), "rewards=choice",
        "rollout.max_model_len=1000", "evaluation.sampling.max_tokens=100", "evaluation.num_prompts=4",
        "cluster.ray_address=127.0.0.1:1",
    ]  # fmt: skip


def test_a_test_question_that_is_too_long_is_refused_before_anything_starts(
    untaught: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = refusal(evaluation_of(untaught, here), capsys)
    assert lines[0] == "2 problems in the data; nothing was started."
    assert "long/1: the prompt has " in lines[1]
    assert lines[1].endswith(" tokens, and 900 leave room for an answer")
    assert "data.too_long=drop" in lines[-1]


def test_a_test_question_that_is_too_long_is_left_out_and_counted(
    untaught: Path, here: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    command = [*evaluation_of(untaught, here), "data.too_long=drop"]
    (line,) = refusal(command, capsys)
    assert line == "evaluation.num_prompts=4 is more than the 2 test prompts of preference_pairs; use 2 or fewer"
    assert "lengths split=test source=preference_pairs kept=2 dropped=2 " in caplog.text


def test_a_judge_setting_without_effect_is_refused_by_every_command(
    untaught: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = "has no effect, the verdicts of judge=rule_server do not depend on it; remove it"
    for command in (["evaluate", str(untaught)], ["reward-server"]):
        words = [*command, "data=photo_pairs", "rewards=r1_reward", "judge.max_tokens=3"]
        assert refusal(words, capsys) == [f"judge.max_tokens: {idle}"]
    words = ["collect-traces", "HERE/traces.jsonl", *TRAINING_ROWS, *ENDPOINT[1:], "judge.template=released"]
    assert only_line(words, here, capsys).startswith("judge.template: has no effect, the servers are asked for answers")


def test_a_run_does_not_go_on_with_another_reward_function(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = here / "mine.py"
    mine.write_text("def reward(group):\n    return [1.0 for _ in group.completions]\n")
    words = ["data=photo_pairs", "rewards=custom", f"rewards.terms.custom.path={mine}:reward", f"run.folder={here}/run"]
    checkpoints = CheckpointFolder(here / "run", keep=1)
    digest = config_digest(load_run_config(words))
    state = RunState(
        phase="rl", next_step=1, global_step=1, policy_version=1, config_digest=digest, versions=library_versions()
    )
    checkpoints.commit(checkpoints.begin(1), state)
    mine.write_text(mine.read_text().replace("1.0", "2.0"))
    (line,) = refusal(["train", *words, "cluster.ray_address=127.0.0.1:1"], capsys)
    assert "written under another configuration, or other contents of the reward functions, labels or traces" in line


def test_a_port_that_is_taken_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda _: None) as other:
        words = ["reward-server", "data=photo_pairs", "rewards=choice", f"--port={other.server_address[1]}"]
        assert only_line(words, here, capsys).endswith("(Address already in use); choose another --port or --host")


def judged_by(url: str, *overrides: str) -> list[str]:
    return ["train", "recipe=demo_pairs", "judge=remote", f"judge.base_urls=[{url}]", *overrides]


def test_a_judge_that_is_down_is_noticed_before_anything_else(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    line = only_line(judged_by(url), here, capsys)
    assert line.startswith(f"judge at {url}: no connection: ")
    assert line.endswith("start the server, or correct judge.base_urls")


def test_a_judge_of_another_model_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with rule_server(model="qwen-judge") as server:
        line = only_line(judged_by(server.url, "judge.model=arbiter-rules"), here, capsys)
    assert "expected the model arbiter-rules, got a server of qwen-judge" in line


def test_a_judge_that_wants_a_key_is_refused_without_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with rule_server(key="k1") as server:
        line = only_line(judged_by(server.url), here, capsys)
    assert "HTTP 401" in line
    assert line.endswith("export the right key in the variable that judge.api_key_variable names")


def test_a_key_that_is_not_exported_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = judged_by("http://127.0.0.1:1/v1", "judge.api_key_variable=ARBITER_TEST_NO_SUCH_KEY")
    assert only_line(words, here, capsys).startswith("judge.api_key_variable=ARBITER_TEST_NO_SUCH_KEY: expected that")


def test_a_judge_that_hangs_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with rule_server(always("hang")) as server:
        line = only_line(judged_by(server.url, "judge.timeout_s=0.5", "judge.max_attempts=1"), here, capsys)
    assert "no reply within 0.5 s" in line


def test_a_chat_model_that_gives_no_verdict_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda _: "What a nice picture.") as server:
        line = only_line(judged_by(server.url), here, capsys)
    assert "expected consistent or inconsistent as the reply, got 'What a nice picture.'" in line


def test_a_judge_that_is_down_costs_nothing_of_what_was_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "run" / "evaluation").mkdir(parents=True)  # of a run that was killed before its first checkpoint
    (here / "run" / "evaluation" / "untrained.json").write_text("{}")
    only_line(judged_by("http://127.0.0.1:1/v1"), here, capsys)
