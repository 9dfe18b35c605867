"""The settings of a judge, and what is refused before anything is asked."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from conf.judge import JudgeConfig, RemoteJudgeConfig
from tests.judge_client.builders import judge_config

CHOICES = Path(__file__).parents[2] / "conf/judge"
ADAPTER: TypeAdapter[Any] = TypeAdapter(JudgeConfig)


def choice(name: str, **given: object) -> Any:
    """A shipped choice with the values that must be given."""
    values = yaml.safe_load((CHOICES / f"{name}.yaml").read_text(encoding="utf-8"))
    return ADAPTER.validate_json(json.dumps(values | given))


def test_every_file_is_a_choice() -> None:
    given = {"remote": {"base_urls": ["http://judge:8000/v1"]}}
    names = [path.stem for path in CHOICES.glob("*.yaml")]
    assert sorted(names) == ["remote", "rule_server"]
    assert [choice(name, **given.get(name, {})).kind for name in names] == names


def test_a_remote_judge_has_at_most_sixteen_settings() -> None:
    assert len(RemoteJudgeConfig.model_fields) <= 16


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"base_urls": ()}, "at least 1 item"),
        ({"base_urls": ("judge:8000/v1",)}, "is no base URL; expected one such as http://judge:8000/v1"),
        ({"base_urls": ("http:///v1",)}, "is no base URL"),
        ({"base_urls": ("http://a/v1", "http://a/v1")}, "a server is named twice"),
        ({"num_votes": 3}, "set temperature above 0, or num_votes=1"),
        ({"timeout_s": 0.0}, "greater than 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        judge_config(**({"base_urls": ("http://judge:8000/v1",)} | changes))


def test_a_password_in_a_url_is_refused_unseen() -> None:
    with pytest.raises(ValidationError, match="a base URL must hold no password"):
        judge_config(base_urls=("http://me:secret@judge/v1",))
