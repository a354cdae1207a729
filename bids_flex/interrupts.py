"""SIGINT and SIGTERM: what they raise, and how a call knows afterwards that it was asked to stop."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal asked the call to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Interrupts:
    """The signals of one call, from its first line to its exit code.

    A signal raises :class:`Interrupted` where it arrives. It is kept as well, because Python drops an exception that is
    raised inside a destructor or a callback of the garbage collector: :meth:`check` raises what was lost.
    """

    def __init__(self) -> None:
        self._number = 0

    def __enter__(self) -> Self:
        for number in STOPPING:
            signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        # the exit code is decided and told: a signal between here and the end of the process must not change it
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self._number = number
        raise Interrupted(number)

    def check(self) -> None:
        """Raise what was asked for before.

        Raises
        ------
        Interrupted
            When a signal has come.
        """
        if self._number:
            raise Interrupted(self._number)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Raise what was asked for in place of an error that it has caused, as in modules of C that are being loaded.

        Raises
        ------
        Interrupted
            When a signal has come, and something has failed since.
        """
        try:
            yield
        except Exception:
            self.check()
            raise


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hear no further signal while a call that was asked to stop puts its things in order.

    Schedulers ask every process of a job, and scripts ask once more on behalf of theirs: the second signal must not
    break off what the first has begun.
    """
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
