"""Verdicts that are kept: what makes two questions equal, and who may read and write."""

import subprocess
import sys
from pathlib import Path

import pytest

from conf.judge import RemoteJudgeConfig
from judge_client.cache import FILE_NAME, VerdictCache, cache_key
from judge_client.client import JudgeClient
from judge_client.errors import CacheUnusable
from judge_client.types import Verdict
from tests.judge_client.builders import ask_all, judge_config, make_question
from tests.judge_client.servers import Listener, at_first, rule_server

ROOT = Path(__file__).parents[2]
VERDICT = Verdict(
    outcome="consistent", text="1", votes=("consistent",), prompt_tokens=9, completion_tokens=1, latency_s=0.5,
    endpoint="http://judge:8000/v1",
)  # fmt: skip


def cached(url: str, **changes: object) -> RemoteJudgeConfig:
    return judge_config(url, cache=True, **changes)


def test_an_abstention_is_never_kept(tmp_path: Path) -> None:
    with rule_server(at_first(1, "garbage")) as server:
        [first], _ = ask_all(cached(server.url), [make_question()], cache_folder=tmp_path)
        [again], _ = ask_all(cached(server.url), [make_question()], cache_folder=tmp_path)
    assert (first.cause, again.outcome, again.from_cache) == ("unreadable", "consistent", False)


def test_a_majority_that_misses_votes_is_not_kept(tmp_path: Path) -> None:
    with rule_server(at_first(1, "garbage")) as server:
        config = cached(server.url, num_votes=3, temperature=1.0)
        [first], _ = ask_all(config, [make_question()], cache_folder=tmp_path)
        [again], _ = ask_all(config, [make_question()], cache_folder=tmp_path)
    assert sorted(first.votes) == ["abstained", "consistent", "consistent"]
    assert (again.from_cache, again.votes) == (False, ("consistent",) * 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"template": "released"},
        {"structured": "always"},
        {"temperature": 0.5},
        {"max_tokens": 17},
        {"num_votes": 3, "temperature": 0.5},
    ],
)
def test_another_way_to_ask_is_another_question(server: Listener, tmp_path: Path, changes: dict[str, object]) -> None:
    ask_all(cached(server.url), [make_question()], cache_folder=tmp_path)
    [verdict], _ = ask_all(cached(server.url, **changes), [make_question()], cache_folder=tmp_path)
    assert not verdict.from_cache


def test_another_model_is_another_judge(tmp_path: Path) -> None:
    with rule_server(model="one") as one, rule_server(model="two") as two:
        ask_all(cached(one.url, model="one"), [make_question()], cache_folder=tmp_path)
        [verdict], _ = ask_all(cached(two.url, model="two"), [make_question()], cache_folder=tmp_path)
    assert not verdict.from_cache


def test_the_key_is_the_digest_of_all_that_matters() -> None:
    key = cache_key(prompt="p", template="t-1", model="m", sampling={"temperature": 0.0})
    assert key == cache_key(prompt="p", template="t-1", model="m", sampling={"temperature": 0.0})
    assert len(key) == 64
    assert key != cache_key(prompt="p", template="t-2", model="m", sampling={"temperature": 0.0})


def test_without_a_cache_every_question_is_asked(tmp_path: Path) -> None:
    with rule_server() as server:
        for _ in range(2):
            ask_all(judge_config(server.url), [make_question()], cache_folder=tmp_path)
        assert server.num_requests == 2
    assert not [*tmp_path.iterdir()]


def test_a_cache_without_a_folder_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"judge\.cache=true needs a cache_folder"):
        JudgeClient(cached("http://judge:8000/v1"), cache_folder=None)


def test_the_first_verdict_stays(tmp_path: Path) -> None:
    one, two = VerdictCache(tmp_path), VerdictCache(tmp_path)
    one.put("key", VERDICT)
    two.put("key", Verdict(outcome="inconsistent"))
    kept = two.get("key")
    one.close()
    two.close()
    assert kept is not None
    assert kept.outcome == "consistent"


def test_processes_write_side_by_side(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from judge_client.cache import VerdictCache; "
        "from judge_client.types import Verdict; cache = VerdictCache(Path(sys.argv[1])); "
        "[cache.put(f'{sys.argv[2]}-{n}', Verdict(outcome='tie', text=sys.argv[2])) for n in range(300)]; cache.close()"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], cwd=ROOT) for name in ("a", "b", "c")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    cache = VerdictCache(tmp_path)
    kept = [cache.get(f"{name}-{n}") for name in ("a", "b", "c") for n in range(300)]
    cache.close()
    assert [verdict.text for verdict in kept if verdict] == ["a"] * 300 + ["b"] * 300 + ["c"] * 300


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("no database at all, but long enough to be taken for one" * 40)
    with pytest.raises(CacheUnusable, match=rf"{tmp_path / FILE_NAME} cannot be used: .*; move the file away"):
        VerdictCache(tmp_path)
