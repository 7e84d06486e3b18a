"""The orderly end: what has started may finish, what has not is given back, nothing is sent twice or lost."""
import http.client
import signal
import socket
import threading
import time

import pytest

from herald import after, eventually, hang, reply

# In this order, each with its own line at level info.
STEPS = ["stops accepting", "stops claiming", "requests are answered", "deliveries are settled", "writer",
         "the node has left", "the cache is closed", "the store is closed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_flight_finishes_and_the_rest_is_given_back(herald, sink, number):
    answer = threading.Event()
    s = sink(lambda r: after(answer))
    h = herald(WEBHOOK_URL=s.url, SEND_CONCURRENCY=2, WEBHOOK_TIMEOUT_SECONDS=60, LOG_LEVEL="info")
    h.create_many(10)
    s.wait(2)
    h.process.send_signal(number)
    h.logged("requests are answered")  # the step after that of giving back
    assert h.process.poll() is None, "it ended before its deliveries did"
    answer.set()
    assert h.wait(expect=0) == 0
    states = h.query("SELECT state, attempts, COUNT(*) FROM herald_messages GROUP BY 1, 2 ORDER BY 1")
    # 0 pending, 2 sent; nobody was charged for an attempt that was not made.
    assert states == [(0, 0, 8), (2, 1, 2)]
    assert len(s.requests) == 2
    h.start()
    h.wait_stats(sent=10, timeout=30)
    assert len(s.requests) == 10 and set(s.seen.values()) == {1}


def test_each_step_has_its_line_in_order(herald, sink):
    s = sink(lambda r: reply(delay=0.3))
    h = herald(WEBHOOK_URL=s.url, LOG_LEVEL="info")
    h.create_many(3)
    s.wait(1)
    h.stop()
    messages = [d["msg"] for d in h.log()]
    at = [next((i for i, m in enumerate(messages) if step in m), None) for step in STEPS]
    assert None not in at, (at, messages)
    assert at == sorted(at), messages


def test_no_new_connections_while_it_ends(herald, sink):
    answer = threading.Event()
    s = sink(lambda r: after(answer))
    h = herald(WEBHOOK_URL=s.url, WEBHOOK_TIMEOUT_SECONDS=60)
    h.create()
    s.wait(1)
    h.process.send_signal(signal.SIGTERM)

    def refused():
        try:
            socket.create_connection(("127.0.0.1", h.port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False
    eventually(refused)
    assert h.process.poll() is None, "it ended before the delivery did"
    answer.set()
    h.wait(expect=0)
    assert h.query("SELECT state FROM herald_messages") == [(2,)]


@pytest.mark.parametrize("mode,state", [("at-least-once", "pending"), ("strict", "unknown")])
def test_a_second_signal_hurries(herald, sink, mode, state):
    hanging = True
    s = sink(lambda r: hang if hanging else reply())
    h = herald(WEBHOOK_URL=s.url, WEBHOOK_TIMEOUT_SECONDS=60, DELIVERY_MODE=mode, MAX_ATTEMPTS=5)
    m = h.create()
    s.wait(1)
    h.process.send_signal(signal.SIGTERM)
    h.logged("shutdown begins")  # else the second signal might be the same as the first
    assert h.process.poll() is None
    begin = time.monotonic()
    h.process.send_signal(signal.SIGTERM)
    h.wait()
    assert time.monotonic() - begin < 30
    # What was in flight keeps its claim: only the next process may decide that its outcome is unknown.
    assert h.query("SELECT state FROM herald_messages") == [(1,)]
    hanging = False
    h.start()
    if state == "unknown":
        h.wait_status(m, "unknown")
        assert len(s.requests) == 1
    else:
        h.wait_status(m, "sent")
        assert len(s.requests) == 2 and len(s.seen) == 1


def test_the_whole_has_a_bound(herald, sink):
    s = sink(lambda r: hang)
    h = herald(WEBHOOK_URL=s.url, WEBHOOK_TIMEOUT_SECONDS=60, SHUTDOWN_TIMEOUT="2s")
    h.create()
    s.wait(1)
    begin = time.monotonic()
    h.process.send_signal(signal.SIGTERM)
    h.wait()
    assert 1.5 < time.monotonic() - begin < 30


def test_accepted_while_ending_is_stored(herald, sink):
    """Every create that got its 201 before the end is there after it; every other got none."""
    s = sink()
    h = herald(WEBHOOK_URL=s.url, AUTO_START_SCHEDULER="false")
    accepted, lock = [], threading.Lock()

    def load(n):
        client = h.client()
        i = 0
        while True:
            i += 1
            try:
                a = client.post("/api/v1/messages", {"phoneNumber": "+905551234567", "content": f"{n}-{i}"})
            except (OSError, http.client.HTTPException):
                return
            if a.status != 201:
                assert a.status == 503, a
                return
            with lock:
                accepted.append(a.data["id"])
    threads = [threading.Thread(target=load, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    eventually(lambda: len(accepted) > 100)
    h.stop()
    for t in threads:
        t.join()
    stored = {i for i, in h.query("SELECT id FROM herald_messages")}
    assert set(accepted) <= stored
    assert len(stored) - len(accepted) <= len(threads)  # at most the answers that were on their way


def test_ends_at_once_when_idle(herald, sink):
    h = herald(WEBHOOK_URL=sink().url)
    idle = socket.create_connection(("127.0.0.1", h.port))  # a client that says nothing delays nothing
    eventually(lambda: h.metric("herald_http_connections") == 2)
    h.stop()
    assert h.took_to_answer() < 4  # the bound of this step is 5 s
    idle.close()
