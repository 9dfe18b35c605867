"""The run's numbers as Ray metrics: the dashboard's Prometheus endpoint exports them as ``ray_arbiter_...``."""

from collections.abc import Mapping

from ray.util.metrics import Gauge


class RayGauges:
    """One gauge a journal key, tagged with the run's name."""

    def __init__(self, *, run_name: str) -> None:
        self._tags = {"run": run_name}
        self._gauges: dict[str, Gauge] = {}

    def set(self, values: Mapping[str, float]) -> None:
        """Show the latest values."""
        for key, value in values.items():
            self._gauge(key).set(value, tags=self._tags)

    def _gauge(self, key: str) -> Gauge:
        if key not in self._gauges:
            self._gauges[key] = Gauge(metric_name(key), description=key, tag_keys=("run",))
        return self._gauges[key]


def metric_name(key: str) -> str:
    """``loop/push/seconds`` -> ``arbiter_loop_push_seconds``; Ray puts ``ray_`` before it."""
    return "arbiter_" + "".join(letter if letter.isalnum() else "_" for letter in key)
