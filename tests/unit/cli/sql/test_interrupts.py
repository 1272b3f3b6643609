"""Ctrl-C and SIGTERM while a query runs."""

from __future__ import annotations

import os
import signal
import threading
from typing import cast

import pytest

from orchestration.cli.sql.interrupts import SIGNALS, Interrupts
from orchestration.errors import FlinkError, StatementError
from orchestration.flink.reading.stream import RowStream


class Stream:
    """A stream that only waits to be cancelled."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_cancels_the_stream_and_the_second_one_raises(number: signal.Signals) -> None:
    stream = Stream()
    with Interrupts() as interrupts:
        interrupts.watch(cast(RowStream, stream))
        os.kill(os.getpid(), number)
        assert stream.cancelled.wait(5)
        assert interrupts.was_interrupted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_without_a_stream_a_signal_raises() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts():
        os.kill(os.getpid(), signal.SIGTERM)


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_query_that_was_cancelled_before_its_first_row_is_an_interruption() -> None:
    stream = Stream()
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        interrupts.watch(cast(RowStream, stream))
        os.kill(os.getpid(), signal.SIGINT)
        stream.cancelled.wait(5)
        raise FlinkError("stopped before its first page", context={"code": "cancelled"})


def test_an_error_without_a_signal_stays_what_it_is() -> None:
    with pytest.raises(StatementError), Interrupts():
        raise StatementError("no table")
