"""No path, host or login of anybody's machines stands in the sources, settings or documentation."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = (
    "cluster", "conf", "docs", "evaluation", "judge_client", "learner", "rewards", "rollout", "requirements", ".ci",
    "Makefile", "README.md", "pyproject.toml",
)  # fmt: skip
BINARY = (".pyc", ".png")

_SYSTEM = "dev|etc|home|media|mnt|opt|proc|root|scratch|srv|tmp|usr|Users|var|work|workspace"
PATH = re.compile(rf"(?<![\w.~:/<>(){{}}*-])/(?:(?:{_SYSTEM})\b|\w[\w.-]*/\w)[\w./-]*")
"""An absolute path of two parts, or below a folder of the system; parts of URLs and closing tags are none."""
USUAL_PATHS = ("/bin/bash", "/usr/bin/env", "/proc", "/v1/", "/data/")
"""Shells, what Linux says of processes, routes of the chat protocol, and where readers keep their data."""
HOST = re.compile(r"https?://([\w.-]+)")
USUAL_HOSTS = ("127.0.0.1", "localhost", "HOST", "HEAD", "judge", "gpu1", "gpu2", "api.openai.com")
ADDRESS = re.compile(r"(?<![\d.=])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
USUAL_ADDRESSES = ("127.0.0.1", "0.0.0.0")
LOGIN = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
PLACEMENT = re.compile(r"\w+@(?:data\.)?parts\.\w+")
"""Where Hydra puts a choice; it looks like a login."""
PRIVATE_NAME = re.compile(r"\b[\w-]+\.(?:corp|internal|intranet|lan)\b")


def findings(text: str) -> Iterator[str]:
    """What a reader elsewhere could not use, or should not see."""
    yield from (path for path in PATH.findall(text) if not path.startswith(USUAL_PATHS))
    yield from (host for host in HOST.findall(text) if host not in USUAL_HOSTS)
    yield from (address for address in ADDRESS.findall(text) if address not in USUAL_ADDRESSES)
    yield from LOGIN.findall(PLACEMENT.sub("", text))
    yield from PRIVATE_NAME.findall(text)


def files(place: Path) -> Iterator[Path]:
    """A file, or every text file below a folder."""
    below = place.rglob("*") if place.is_dir() else [place]
    yield from (path for path in below if path.is_file() and path.suffix not in BINARY)


@pytest.mark.parametrize("place", PLACES)
def test_no_path_host_or_login_is_anybodys_own(place: str) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in files(ROOT / place)}
    assert texts
    assert not {str(path): found for path, text in texts.items() if (found := [*findings(text)])}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("open('/home/ada/models/judge')", "/home/ada/models/judge"),
        ("dir=/tmp", "/tmp"),
        ("prompts: /big_disk/ids.txt", "/big_disk/ids.txt"),
        ("base_url='http://10.82.120.96:8000/v1'", "10.82.120.96"),
        ("--index-url https://packages.lab.example/simple", "packages.lab.example"),
        ("ssh ada@gpu7.lab.example", "ada@gpu7.lab.example"),
        ("ping gpu7.internal", "gpu7.internal"),
    ],
)
def test_what_must_not_stand_there_is_found(text: str, found: str) -> None:
    assert found in [*findings(text)]


@pytest.mark.parametrize(
    "text", ["a // b", "<think></think><answer>", "runs/demo/model", "{root}/a/b", "POST /v1/chat", "cuda==13.1.0.3"]
)
def test_what_may_stand_there_is_not(text: str) -> None:
    assert not [*findings(text)]
