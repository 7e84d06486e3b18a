"""A receiver that does everything wrong costs herald neither memory nor time beyond its limits, and leaves each
message in the right state."""
import time

import pytest

from herald import SANITIZER, SLOW, certificate, eventually, hang, reply, reset, tls_context

N = 12
FIRST_BYTES = 4  # seconds, in which a receiver that may be kept waiting itself sends the status
OK = b"HTTP/1.1 202 Accepted\r\n"


def raw(*parts, keep=False):
    """A behaviour that sends these bytes as they are."""
    def behave(connection, _stop):
        for p in parts:
            connection.sendall(p)
        return keep
    return behave


def drip(head, each=b"x", step=1.0):
    """Sends the head, then one byte a second."""
    def behave(connection, stop):
        connection.sendall(head)
        while not stop.wait(step):
            connection.sendall(each)
        return False
    return behave


def flood(head, chunk, limit=10 << 30):
    """Sends the head, then up to 10 GB. behave.sent is what it could get rid of."""
    def behave(connection, stop):
        connection.sendall(head)
        left = limit
        while left > 0 and not stop.is_set():
            connection.sendall(chunk)
            behave.sent += len(chunk)
            left -= len(chunk)
        return False
    behave.sent = 0
    return behave


class Bounds:
    """Watches memory and time of a herald while it deals with a receiver."""

    def __init__(self, h, seconds, memory=48 << 20):
        self.h, self.seconds, self.memory = h, seconds * SLOW, memory

    def __enter__(self):
        self.rss, self.begin = self.h.rss(), time.monotonic()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            took, grown = time.monotonic() - self.begin, self.h.rss() - self.rss
            assert took < self.seconds, f"took {took:.1f} s"
            assert SANITIZER or grown < self.memory, f"grew by {grown >> 20} MiB"
            assert self.h.api.get("/readyz").status == 200


def settle(herald, s, final, attempts=2, n=N, **env):
    """Lets herald send n messages to s, twice at most; all have to end as `final`."""
    h = herald(**{"WEBHOOK_URL": s.url, "MAX_ATTEMPTS": 2, "RETRY_BACKOFF": "20ms", **env})
    with Bounds(h, 45):
        ids = h.create_many(n)
        h.wait_stats(timeout=45, **{final: n})
    for i in ids:
        m = h.get(i)
        assert m["attempts"] == attempts, m
        assert final == "sent" or m["lastError"]
        assert len(h.attempts(i)) == attempts
    # Nothing went over the wire more often than herald knows of: no hidden resending.
    assert all(n <= attempts for n in s.seen.values())
    return h, ids


# --- no answer: the outcome is unknown ---------------------------------------------------------------------


@pytest.mark.parametrize("what", ["reset", "close", "half a status line", "no HTTP", "HTTP/0.9", "empty lines"])
def test_broken_before_an_answer(herald, sink, what):
    behaviour = {
        "reset": reset,
        "close": raw(),
        "half a status line": raw(b"HTTP/1.1 2"),
        "no HTTP": raw(b"220 mail.example ESMTP\r\n"),
        "HTTP/0.9": raw(b"<html>welcome</html>"),
        "empty lines": raw(b"\r\n" * 10000),
    }[what]
    s = sink(lambda r: behaviour)
    settle(herald, s, "failed")
    assert sorted(s.seen.values()) == [2] * N


def test_reset_on_a_connection_that_was_good_before(herald, sink):
    """The trap of HTTP libraries: a reused connection that breaks is silently tried once more."""
    s = sink(lambda r: reset if r.json["content"].startswith("bad") else reply())
    h = herald(WEBHOOK_URL=s.url, MAX_ATTEMPTS=1, SEND_CONCURRENCY=1, AUTO_START_SCHEDULER="false")
    ids = []
    for i in range(10):
        ids += [h.create(f"good {i}")["id"], h.create(f"bad {i}")["id"]]
    h.scheduler("start")
    h.wait_stats(sent=10, failed=10)
    assert len(s.requests) == 20 and set(s.seen.values()) == {1}


def test_reset_in_strict_mode_parks(herald, sink):
    s = sink(lambda r: reset)
    settle(herald, s, "unknown", attempts=1, DELIVERY_MODE="strict")
    assert set(s.seen.values()) == {1}


def test_never_answers(herald, sink):
    s = sink(lambda r: hang)
    settle(herald, s, "failed", WEBHOOK_TIMEOUT_SECONDS=2)


def test_status_line_of_one_byte_a_second(herald, sink):
    s = sink(lambda r: drip(b"HTTP/1.1 202 A", b"c"))
    settle(herald, s, "failed", WEBHOOK_TIMEOUT_SECONDS=2)


def test_endless_interim_answers(herald, sink):
    s = sink(lambda r: flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500))
    settle(herald, s, "failed")


# --- a status: what it says counts, whatever becomes of the rest ---------------------------------------------


def test_headers_of_one_byte_a_second(herald, sink):
    s = sink(lambda r: drip(OK + b"X-Slow: ", b"z"))
    settle(herald, s, "sent", attempts=1, WEBHOOK_TIMEOUT_SECONDS=FIRST_BYTES)


def test_endless_headers(herald, sink):
    s = sink(lambda r: flood(OK, b"X-Pad: " + b"y" * 1000 + b"\r\n"))
    settle(herald, s, "sent", attempts=1)


def test_one_endless_header(herald, sink):
    s = sink(lambda r: flood(OK + b"X-Pad: ", b"y" * 65536))
    settle(herald, s, "sent", attempts=1)


def test_body_of_one_byte_a_second(herald, sink):
    s = sink(lambda r: drip(OK + b"Content-Length: 5000\r\n\r\n"))
    settle(herald, s, "sent", attempts=1, WEBHOOK_TIMEOUT_SECONDS=FIRST_BYTES)


def test_body_that_ends_early(herald, sink):
    s = sink(lambda r: raw(OK + b"Content-Length: 5000\r\n\r\n{\"messageId\":\"cut"))
    h, ids = settle(herald, s, "sent", attempts=1)
    assert "messageId" not in h.get(ids[0])


@pytest.mark.parametrize("chunks", [b"zz\r\nhello\r\n", b"5\r\nhelloXX", b"FFFFFFFFFFFFFFFFFF\r\n", b"-1\r\n\r\n",
                                    b"5;" + b"x" * 100000])
def test_bad_chunks(herald, sink, chunks):
    s = sink(lambda r: raw(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks))
    settle(herald, s, "sent", attempts=1)


def test_body_of_ten_gigabytes(herald, sink):
    floods = []

    def answer(_request):
        floods.append(flood(OK + b"Content-Length: 10737418240\r\n\r\n", b"\0" * 65536))
        return floods[-1]
    s = sink(answer)
    settle(herald, s, "sent", attempts=1)
    # It may have filled the buffers of the kernel, not more.
    assert len(floods) == N and max(f.sent for f in floods) < 64 << 20


def test_error_with_an_endless_body(herald, sink):
    s = sink(lambda r: flood(b"HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\n\r\n", b"no " * 20000))
    settle(herald, s, "failed", attempts=1)


def test_strange_bytes_in_the_answer(herald, sink):
    bodies = iter([b"\xff\xfe\0{}", b"{\"messageId\":\"\\ud800\"}", b"{\"messageId\":\"a\\u0000b\"}",
                   b"[" * 100000, b"{\"messageId\":\"" + b"x" * 3000 + b"\"}", b"{\"messageId\":\"\x01\"}",
                   b"{\"messageId\":null}", b"{\"messageId\":{}}", b"{\"messageId\":\"\"}"])
    s = sink(lambda r: reply(202, next(bodies)))
    h, ids = settle(herald, s, "sent", attempts=1, n=9, SEND_CONCURRENCY=1)
    for i in ids:
        assert len(h.get(i).get("messageId", "")) <= 255
        assert h.api.get("/api/v1/messages/sent?pageSize=100").status == 200


def test_strange_bytes_in_an_error(herald, sink):
    s = sink(lambda r: raw(b"HTTP/1.1 400 \xff\xfe\x01\x1b[31m\r\nContent-Length: 3\r\n\r\n\xff\0\xfe"))
    h, ids = settle(herald, s, "failed", attempts=1)
    assert "\x1b" not in h.get(ids[0])["lastError"]
    h.log()  # every line still parses


def test_redirect_is_not_followed(herald, sink):
    other = sink()
    s = sink(lambda r: reply(301, b"", {"Location": other.url}))
    settle(herald, s, "failed", attempts=1)
    assert not other.requests


def test_gone(herald, sink):
    s = sink(lambda r: reply(410, b""))
    h = herald(WEBHOOK_URL=s.url, SEND_CONCURRENCY=2)
    with Bounds(h, 45):
        h.create_many(100)
        eventually(lambda: not h.status()["running"])
        eventually(lambda: h.stats()["sending"] == 0)
    stats = h.stats()
    assert stats["failed"] == len(s.requests) and stats["failed"] + stats["pending"] == 100


def test_slow_down(herald, sink):
    s = sink(lambda r: reply(429, b"", {"Retry-After": "1"}) if r.nth == 1 else reply())
    h = herald(WEBHOOK_URL=s.url, RETRY_BACKOFF="10ms")
    with Bounds(h, 45):
        h.create_many(N)
        h.wait_stats(sent=N)
    by_key = {}
    for r in s.requests:
        by_key.setdefault(r.key, []).append(r.mono)
    assert all(len(at) == 2 and at[1] - at[0] >= 0.9 for at in by_key.values())


# --- impolite, but right ---------------------------------------------------------------------------------


def test_interim_answers_and_unannounced_ends_are_no_failure(herald, sink):
    interim = raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK +
                  b"Content-Length: 0\r\n\r\n", keep=True)
    old = raw(b"HTTP/1.0 202 OK\r\n\r\n{\"messageId\":\"till the end\"}")
    unannounced = raw(OK + b"Content-Length: 0\r\n\r\n")  # then closes, against what it said
    kinds = [interim, old, unannounced]
    s = sink(lambda r: kinds[r.n % 3])
    # A request may come to a connection between the answer and the end: with bad luck, several times.
    h = herald(WEBHOOK_URL=s.url, MAX_ATTEMPTS=50, RETRY_BACKOFF="20ms", SEND_CONCURRENCY=4)
    h.create_many(60)
    h.wait_stats(sent=60)


def test_bytes_behind_the_answer_belong_to_no_other(herald, sink):
    """A second answer that nobody asked for must not be taken for that of the next request."""
    def answer(r):
        good = OK + b"Content-Length: 0\r\n\r\n"
        bad = b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"
        return raw(good + bad, keep=True)
    s = sink(answer)
    h = herald(WEBHOOK_URL=s.url, MAX_ATTEMPTS=5, RETRY_BACKOFF="20ms", SEND_CONCURRENCY=1)
    h.create_many(20)
    h.wait_stats(sent=20)


# --- TLS -----------------------------------------------------------------------------------------------------


def test_wrong_certificate(herald, sink, tmp_path):
    cert, key = certificate(tmp_path)
    s = sink(tls=tls_context(cert, key))
    # The system's certificates are read for each connection, which takes its time.
    h, ids = settle(herald, s, "failed", n=3, WEBHOOK_TIMEOUT_SECONDS=60)
    assert not s.requests
    assert "certificate" in h.get(ids[0])["lastError"].lower()


def test_certificate_of_another_name(herald, sink, tmp_path):
    cert, key = certificate(tmp_path, "other.example", "192.0.2.1")
    s = sink(tls=tls_context(cert, key))
    settle(herald, s, "failed", WEBHOOK_CA_FILE=cert, WEBHOOK_TIMEOUT_SECONDS=60)
    assert not s.requests


def test_plain_text_where_tls_was_expected(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url.replace("http:", "https:"), MAX_ATTEMPTS=1, WEBHOOK_TIMEOUT_SECONDS=2)
    h.wait_status(h.create(), "failed")


def test_right_certificate(herald, sink, tmp_path):
    cert, key = certificate(tmp_path)
    s = sink(tls=tls_context(cert, key))
    h = herald(WEBHOOK_URL=s.url, WEBHOOK_CA_FILE=cert, SEND_CONCURRENCY=4)
    h.create_many(50)
    h.wait_stats(sent=50)
    assert s.connections <= 8
