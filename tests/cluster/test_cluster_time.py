"""Nodes that time has left behind, or that are wrong about it."""
import calendar
import collections
import os
import threading
import time

import pytest

from herald import eventually, reply

import cluster as c

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


@pytest.mark.long_on("mongodb")
@pytest.mark.parametrize("mode", ["at-least-once", pytest.param("strict", marks=pytest.mark.long)])
def test_a_node_is_frozen_beyond_its_lease(database, nodes, sink, mode):
    """SIGSTOP until others have taken its messages, then SIGCONT: what it has to say then is weighed by the
    fence, and it sends nothing of what is no longer its own."""
    slots, waiting, is_frozen = 4, set(), threading.Event()

    def answer(request):
        if "/n1" not in request.line:
            return reply(delay=0.05)

        def late(connection, stop):
            waiting.add(request)
            is_frozen.wait(1)
            waiting.discard(request)
            return reply()(connection, stop)
        return late

    s = sink(answer)
    cl = nodes(3, database, start=False, DELIVERY_MODE=mode)
    for node in cl.nodes:
        node.env["WEBHOOK_URL"] = f"{s.url}/{node.name}"
    frozen = cl.nodes[0]
    frozen.env["SEND_CONCURRENCY"] = slots
    cl.start()
    load = c.Load(cl, threads=2)
    eventually(lambda: waiting, what="a delivery by n1")
    time.sleep(1)
    # As many as it may send at a time: else it could be frozen between deciding to send and sending, and would send
    # when it thaws what it had in hand before. That moment is short, but nobody can make it none.
    eventually(lambda: len(waiting) == slots, 20, 0.005, "n1 waiting for answers to all that it may send")
    with cl.fault(frozen.name):
        frozen.freeze()
        at = time.time()
        is_frozen.set()
        time.sleep(7)
        # Its locks, if it held any, have been taken from it; the others go on.
        delivered = len(s.requests)
        eventually(lambda: len(s.requests) > delivered + 50, 15, what="deliveries by the others")
        time.sleep(max(0, at + c.LEASE + 4 - time.time()))
        thawed = time.time()
        frozen.thaw()
    eventually(lambda: any("n1" in r.line and r.at > thawed + 0.5 for r in s.requests),
               20, what="deliveries by n1 again")
    load.stop()
    stats = cl.drain()
    cl.stop()
    c.check_counts(cl, stats)
    c.check_ledger(cl, load, s, strict=mode == "strict")

    # What n1 sent after its sleep it had claimed after its sleep, too.
    ids = {content: i for i, content, _ in database.messages()}
    attempts = collections.defaultdict(list)
    for a in database.attempts():
        attempts[a.message].append(a)
    # Not whether any is parked, or was sent twice: an answer that waited for n1 still counts as a success.
    assert any(a.verdict == c.LOST for of_one in attempts.values() for a in of_one), \
        "nothing was in flight: the test shows nothing"
    for r in s.requests:
        if "n1" in r.line and r.at > thawed:
            of_this = attempts[ids[r.json["content"]]]
            assert any(a.node == "n1" and a.started > at for a in of_this), \
                f"{r} belonged to others by then: {of_this}, frozen from {at} to {thawed}"


@pytest.mark.long_on("mongodb")
def test_clocks_an_hour_apart(database, nodes, sink):
    """Three nodes that do not agree on the time, of which one dies: the pace is kept, nobody's lease ends
    early, and the dead node's messages are found when it is time."""
    assert os.path.exists(FAKETIME), "no package libfaketime"
    s = sink(lambda r: reply(delay=0.8))
    interval, n = database.interval, 120 if database.beats_survive else 60
    cl = nodes(3, database, start=False, WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL=c.ms(interval),
               MESSAGE_BATCH_SIZE=2, AUTO_START_SCHEDULER="false")
    for node, shift in zip(cl.nodes, ("+1h", "-1h", None)):
        if shift:
            node.env.update(LD_PRELOAD=FAKETIME, FAKETIME=shift, FAKETIME_DONT_FAKE_MONOTONIC=1)
    cl.start()
    ahead, behind, right = cl.nodes
    load = c.Created(behind, n)
    right.scheduler("start")
    # Killed when it has one in flight.
    eventually(lambda: [run["node"] for run in right.runs(1)] == [ahead.name], 20, 0.001, "a beat of the node ahead")
    cl.kill(ahead)
    died = time.time()
    stalls = c.Stalls()
    s.wait(len(s.requests) + n // 3, timeout=30)
    worked = time.time()
    stalls.stop()
    stats = cl.drain()
    assert time.time() - died < 2 * max(c.LEASE, n / 2 * interval) + 8, "its messages were not found in time"
    assert stats["sent"] == n
    # The log has the node's own idea of the time.
    assert abs(_hours(behind) + 1) < 0.1 and abs(_hours(ahead) - 1) < 0.1
    cl.stop()
    times = c.check_pace(cl, s, interval, 2)
    c.check_no_beat_left_out(cl, times, died, worked, interval, stalls)
    c.check_ledger(cl, load, s, strict=False)
    lost = [a for a in database.attempts() if a.verdict == c.LOST]
    assert lost and {a.node for a in lost} == {ahead.name}


def _hours(node):
    first = node.log()[0]["ts"]
    told = time.strptime(first[:19], "%Y-%m-%dT%H:%M:%S")
    return (calendar.timegm(told) - time.time()) / 3600
