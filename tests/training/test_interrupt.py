import signal

import pytest

from fscl.training.interrupt import Interrupt


@pytest.fixture
def heard():
    """Take SIGINT and SIGTERM into a list for the test; give both back after it."""
    numbers = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, lambda number, frame: numbers.append(number)) for kind in kinds}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_gives_back_its_own_handler_alone(heard):
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.requested
        assert heard == []
        signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]


def test_both_handlers_are_given_back_at_the_end(heard):
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert interrupt.requested
    assert heard == [signal.SIGINT, signal.SIGTERM]
