"""When an endpoint is asked again, with the clock in hand."""

from __future__ import annotations

import pytest

from finemem_env.backends import Failure
from finemem_env.backends.retry import Refused, RetryPolicy, Stop, retry_after

POLICY = RetryPolicy(draw=lambda: 0.5)


def _waits(refused: Refused, most: int = 12) -> list[float]:
    waits: list[float] = []
    while len(waits) < most:
        wait = POLICY.wait(refused, len(waits) + 1)
        if wait is None:
            break
        waits.append(wait)
    return waits


def test_back_off_doubles_to_a_limit() -> None:
    waits = _waits(Refused(Failure.CONNECTION))
    assert waits[:4] == [0.375, 0.75, 1.5, 3.0]
    assert waits[-1] == 22.5
    assert len(waits) == 12


def test_jitter_spreads_over_half_the_wait() -> None:
    low = RetryPolicy(draw=lambda: 0.0).wait(Refused(Failure.SERVER, status=503), 1)
    high = RetryPolicy(draw=lambda: 1.0).wait(Refused(Failure.SERVER, status=503), 1)
    assert (low, high) == (0.25, 0.5)


@pytest.mark.parametrize("failure", [Failure.EMPTY, Failure.MALFORMED, Failure.SERVER])
def test_faults_are_asked_five_times(failure: Failure) -> None:
    assert len(_waits(Refused(failure, status=500))) == 4


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_is_asked_until_the_deadline(status: int) -> None:
    assert len(_waits(Refused(Failure.SERVER, status=status))) == 12


@pytest.mark.parametrize("failure", [Failure.REJECTED, Failure.TOO_LONG])
def test_what_stays_wrong_is_not_asked_again(failure: Failure) -> None:
    assert _waits(Refused(failure)) == []


def test_the_servers_wait_is_kept_and_never_undercut() -> None:
    wait = POLICY.wait(Refused(Failure.RATE_LIMIT, wait=7.0), 1)
    assert wait is not None
    assert 7.0 <= wait <= 8.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=10.0) == seconds


def test_a_batch_stops_when_nobody_was_heard_for_a_deadline() -> None:
    stop = Stop(deadline=10.0, heard=0.0)
    assert not stop.over(9.0)
    assert stop.over(10.0)
    stop.hear(8.0)
    stop.hear(5.0)
    assert not stop.over(17.0)
    assert stop.over(18.0)


def test_failure_record_says_how_often() -> None:
    record = Refused(Failure.TIMEOUT, "no complete reply within 1 s").completion(3)
    assert (record.text, record.failure) == ("", Failure.TIMEOUT)
    assert record.detail == "no complete reply within 1 s (3 attempts)"
