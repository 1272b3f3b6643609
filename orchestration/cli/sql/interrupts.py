"""Ctrl-C and SIGTERM while a query runs: the query is closed first, then the command ends."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from orchestration.errors import MillraceError

if TYPE_CHECKING:
    from orchestration.flink.reading.stream import RowStream

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill`, and a terminal that was closed."""


class Interrupts:
    """Within the block a first signal cancels the watched stream, a second one raises; without a stream each raises.

    A KeyboardInterrupt in the middle of an HTTP call could come between the submit of a query and the moment when its
    handle is known, and leave its job running. A cancelled stream ends by itself, with the reason `cancelled`.
    """

    def __init__(self) -> None:
        self.was_interrupted = False
        self._stream: RowStream | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream = None
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType] - what signal.signal gave
        if self.was_interrupted and isinstance(error, MillraceError) and error.code == "cancelled":
            raise KeyboardInterrupt from error  # there was nothing to show yet

    def watch(self, stream: RowStream | None) -> None:
        """From now on a signal cancels this stream; None: it raises KeyboardInterrupt."""
        self._stream = stream

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        stream, is_second = self._stream, self.was_interrupted
        self.was_interrupted = True
        if stream is None or is_second:
            raise KeyboardInterrupt
        # Not here: the main thread may hold the lock that `cancel` needs.
        threading.Thread(target=stream.cancel, name="cancel-query", daemon=True).start()
