"""Leaves a failing server alone for a while, then lets one request find out whether it is back.

    closed --failures in a row--> open --cool-down--> one probe --success--> closed
                                   ^------------------------failure

Time is an argument, so that nothing here waits.
"""


class Breaker:
    """The circuit breaker of one server; every ``start`` is followed by one ``finish``."""

    def __init__(self, *, max_failures: int, cooldown_s: float) -> None:
        self._max_failures, self._cooldown_s = max_failures, cooldown_s
        self._num_failures = 0
        self._opened_at_s: float | None = None
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether the server is being left alone or probed."""
        return self._opened_at_s is not None

    def allows(self, now_s: float) -> bool:
        """Whether a request may be sent."""
        if self._opened_at_s is None:
            return True
        return not self._is_probing and now_s >= self._opened_at_s + self._cooldown_s

    def start(self) -> bool:
        """Note that a request is sent; returns whether it is the probe, which ``finish`` wants to know."""
        self._is_probing = self.is_open
        return self._is_probing

    def finish(self, *, is_probe: bool, has_failed: bool | None, now_s: float) -> None:
        """Note how a request ended; ``has_failed=None`` for one that was given up and so tells nothing."""
        if is_probe:
            self._is_probing = False
        if has_failed is None:
            return
        if not has_failed:
            self._num_failures, self._opened_at_s = 0, None
            return
        self._num_failures += 1
        # Requests that left before the circuit opened may fail after it did; they do not prolong the rest.
        if is_probe or (self._num_failures >= self._max_failures and not self.is_open):
            self._opened_at_s = now_s
