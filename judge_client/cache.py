"""Verdicts kept on disk by what was asked: an equal question is not paid for twice, also after a restart.

One SQLite file, in write-ahead mode: several processes of one machine may read and write it at the same time. Look-ups
and writes take tens of microseconds, so they are made on the event loop. Keep the file off network file systems when
more than one machine writes it.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from judge_client.errors import CacheUnusable
from judge_client.types import Verdict

FILE_NAME = "verdicts.sqlite"
_BUSY_TIMEOUT_S = 10.0
_VERDICT = TypeAdapter(Verdict)
Sampling = Literal["temperature", "max_tokens", "num_votes"]


def cache_key(*, prompt: str, template: str, model: str, sampling: dict[Sampling, float]) -> str:
    """Sha256 (hex) over everything a verdict depends on; ``prompt`` is the rendered text, the question included."""
    named = {"prompt": prompt, "template": template, "model": model, "sampling": sampling}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


class VerdictCache:
    """The verdicts in one folder."""

    def __init__(self, folder: Path) -> None:
        """Open or make the file.

        Raises:
            CacheUnusable: The folder cannot be written, or the file is damaged.
        """
        self._path = folder / FILE_NAME
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            with self._explained():
                self._connection.execute("PRAGMA journal_mode=WAL")
                # A power failure may cost the last verdicts, never the file.
                self._connection.execute("PRAGMA synchronous=NORMAL")
                self._connection.execute("CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, verdict TEXT)")
        except CacheUnusable:
            self._connection.close()
            raise

    def get(self, key: str) -> Verdict | None:
        """The kept verdict, marked as such; None when there is none."""
        with self._explained():
            with closing(self._connection.execute("SELECT verdict FROM verdicts WHERE key = ?", (key,))) as rows:
                row: tuple[str] | None = rows.fetchone()
            return None if row is None else _VERDICT.validate_json(row[0])

    def put(self, key: str, verdict: Verdict) -> None:
        """Keep a verdict unless one is kept already, as by another process that asked the same."""
        kept = _VERDICT.dump_json(replace(verdict, from_cache=True, latency_s=0.0)).decode()
        with self._explained():
            self._connection.execute("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", (key, kept))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValidationError) as error:
            raise CacheUnusable(
                f"the judge's cache {self._path} cannot be used: {' '.join(str(error).split())}; "
                "move the file away, or set judge.cache=false"
            ) from error
