"""The error of an unusable configuration, and the valid name nearest a wrong one. Standard library only."""

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """A configuration that cannot be used; each line of it names a key, its value and what is allowed."""

    def __init__(self, problems: Iterable[str]) -> None:
        """One line per problem; repeated ones are kept once."""
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like a wrong one, by its whole spelling or its last part; None when far."""
    known = tuple(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return close[0]
    leaves = [key.rpartition(".")[2] for key in known]
    close_leaf = difflib.get_close_matches(name.rpartition(".")[2], leaves, n=1, cutoff=0.75)
    return known[leaves.index(close_leaf[0])] if close_leaf else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean KEY?"`` or nothing."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""
