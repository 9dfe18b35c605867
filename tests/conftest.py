"""What the processes of tests begin with, however the suite was started."""

import os
import signal

# Engines in the tests' own process compile nothing either (cluster/start.py).
os.environ["TORCH_COMPILE_DISABLE"] = "1"


def pytest_configure() -> None:
    """Give children the usual signals where nohup or a script's background has ours ignored.

    What is ignored is inherited, and tests that send such a signal would wait for nothing. What has a handler is not,
    and ours changes nothing for the suite itself.
    """
    for one in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(one) == signal.SIG_IGN:
            signal.signal(one, lambda *_: None)
