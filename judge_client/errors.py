"""What can go wrong with a judge beyond a single question, which abstains instead."""


class JudgeError(Exception):
    """Base of every failure raised by this room; the message says what to change."""


class JudgeUnavailable(JudgeError):
    """No verdict can be expected: the start-up check failed, or too many questions in a row went unanswered."""


class CacheUnusable(JudgeError):
    """The file of kept verdicts cannot be read or written."""
