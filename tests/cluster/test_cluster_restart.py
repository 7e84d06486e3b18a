"""Nodes that leave in order, one after the other, and one that does not: what the others make of it."""
import time

from herald import eventually, reply

import cluster as c


def test_a_rolling_restart(database, nodes, sink):
    """Each of three nodes is shut down and started again, as for an upgrade: no beat is left out, nothing is
    lost or sent twice, and nobody has to wait for the end of a lease."""
    s = sink(lambda r: reply(delay=0.05))
    interval = database.interval
    cl = nodes(3, database, WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL=c.ms(interval), MESSAGE_BATCH_SIZE=2,
               AUTO_START_SCHEDULER="false")
    many = 120 if database.beats_survive else 60
    load = c.Created(cl.nodes[0], many)
    cl.nodes[0].scheduler("start")
    s.wait(14)  # by then, a second later, all know that it was started
    stalls, since = c.Stalls(), time.time()
    for n, node in enumerate(cl.nodes):
        if cl.stats()["pending"] < many / 2:  # on a busy machine a restart takes its time
            load.accepted.update(c.Created(node, many, f"more {n}").accepted)
        assert node.stop() == 0
        sent = len(s.requests)
        eventually(lambda: len(s.requests) > sent + 2, what="deliveries by the others")
        node.start()
    s.wait(len(s.requests) + 4)
    until = time.time()
    stalls.stop()
    cl.drain()
    cl.stop()
    times = c.check_pace(cl, s, interval, 2)
    c.check_no_beat_left_out(cl, times, since, until, interval, stalls)
    c.check_ledger(cl, load, s, strict=False, doubles=False)


def test_what_a_dead_node_had_is_found_within_one_lease(database, nodes, sink):
    """A node dies with requests in flight. The others know nothing of it but the end of its leases."""
    s = sink(lambda r: reply(delay=1.5 if "/n1" in r.line else 0.01))
    cl = nodes(3, database, start=False, SEND_CONCURRENCY=8)
    for node in cl.nodes:
        node.env["WEBHOOK_URL"] = f"{s.url}/{node.name}"
    dead, *others = cl.nodes
    dead.start()  # alone, or the others could take them all before it takes one
    load = c.Created(dead, 200)
    eventually(lambda: dead.metric("herald_in_flight"), what="requests of n1")
    cl.kill(dead)
    died = time.time()
    for node in others:
        node.start(wait=False)
    for node in others:
        node.wait_ready(20)
    cl.drain()
    cl.stop()
    c.check_ledger(cl, load, s, strict=False)
    attempts = database.attempts()
    lost = [a for a in attempts if a.verdict == c.LOST]
    assert lost and {a.node for a in lost} == {"n1"}
    for a in lost:
        (again,) = [b for b in attempts if b.message == a.message and b.attempt == a.attempt + 1]
        # Half of another lease is for a machine that is busy.
        assert a.started + c.LEASE - 0.1 <= again.started <= died + 1.5 * c.LEASE, (a, again, died)
