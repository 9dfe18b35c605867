"""One process at a time in a run folder.

The operating system lets go of a lock when its holder dies, however it dies, so a file left behind locks nobody out.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conf.errors import ConfigError

logger = logging.getLogger(__name__)


@contextmanager
def held_alone(file: Path, *, holder: str) -> Iterator[None]:
    """Hold ``file`` while the body runs; it names this process for whoever comes second.

    Raises:
        ConfigError: A live process holds it.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(descriptor, 1000).decode().strip()
            found = f"{holder} is at work there already ({other})"
            advice = "wait for its end, stop it, or choose another run.name"
            raise ConfigError([f"{file.parent}: {found}; {advice}"]) from None
        except OSError as error:  # some network file systems have no locks, and runs must be possible there
            logger.warning("cannot lock, take care not to start a run twice file=%s error=%s", file, error)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
