"""Learner ranks in processes that run one scenario after another: importing torch is the slow part."""

import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from learner.types import Rendezvous

Scenario = Callable[..., Any]
"""A module-level function of a rendezvous and keyword arguments."""

DEADLINE_S = 240.0


class Ranks:
    """``world_size`` processes; ``run`` calls a scenario on all of them and returns one result per rank."""

    def __init__(self, world_size: int) -> None:
        self._world_size = world_size
        context = get_context("spawn")
        pairs = [context.Pipe() for _ in range(world_size)]
        self._connections = [ours for ours, _ in pairs]
        self._processes = [context.Process(target=_serve, args=(theirs,), daemon=True) for _, theirs in pairs]
        for process in self._processes:
            process.start()

    def run(self, scenario: Scenario, **arguments: Any) -> list[Any]:
        """Results by rank; raises what a rank raised."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for rank, connection in enumerate(self._connections):
            place = Rendezvous(
                master_address="127.0.0.1",
                master_port=port,
                rank=rank,
                world_size=self._world_size,
                timeout_s=60.0,
            )
            connection.send((scenario, place, arguments))
        answers = [_receive(connection) for connection in self._connections]
        for is_error, value in answers:
            if is_error:
                raise AssertionError(value)
        return [value for _, value in answers]

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections:
            connection.send(None)
        for process in self._processes:
            process.join(1.0)
            process.kill()


def _receive(connection: Connection) -> tuple[bool, Any]:
    if not connection.poll(DEADLINE_S):
        raise TimeoutError(f"a rank did not answer within {DEADLINE_S} s")
    answer: tuple[bool, Any] = connection.recv()
    return answer


def _serve(connection: Connection) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    while (job := connection.recv()) is not None:
        scenario, place, arguments = job
        try:
            connection.send((False, scenario(place, **arguments)))
        except Exception:  # noqa: BLE001 - the process edge: the parent raises it again
            connection.send((True, traceback.format_exc()))
