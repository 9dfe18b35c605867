"""How a run can end other than by finishing."""


class RunFailed(RuntimeError):
    """A run broke while it was under way."""


class RunStopped(Exception):
    """A run ended early because it was asked to; whoever started it should start nothing after it."""
