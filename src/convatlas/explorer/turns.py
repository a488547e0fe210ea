"""Turns: who may run a network. One at a time, in the order of asking; a long computation passes its turn on."""

from __future__ import annotations

import threading
from types import TracebackType


class Turns:
    """A lock that is handed on in the order in which it was asked for. Not reentrant."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asked = 0  # number of the next that asks
        self._served = 0  # number of the one whose turn it is

    def __enter__(self) -> Turns:
        with self._changed:
            number = self._asked
            self._asked += 1
            self._changed.wait_for(lambda: self._served == number)
        return self

    def __exit__(self, *of: type[BaseException] | BaseException | TracebackType | None) -> None:
        with self._changed:
            self._served += 1
            self._changed.notify_all()

    def pass_on(self) -> None:
        """Let all who wait go first; called by the one whose turn it is, at a point where the networks are at rest."""
        with self._changed:
            alone = self._asked == self._served + 1
        if not alone:
            self.__exit__()
            self.__enter__()
