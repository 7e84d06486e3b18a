"""The database goes away under the nodes, or its connections do: what was accepted stays, nothing is doubled
quietly. While outcomes cannot be recorded they are kept and their leases renewed, so unlike the death of a
node none of this excuses a second delivery."""
import http.client
import random
import threading
import time

import pytest

from herald import SLOW, eventually, free_port, reply

import cluster as c
import proxy
import servers


def end(cl, load, s, strict=False, doubles=False):
    load.stop()
    stats = cl.drain()
    cl.stop()
    c.check_counts(cl, stats)
    return c.check_ledger(cl, load, s, strict=strict, doubles=doubles)


@pytest.mark.long_on("mongodb")
def test_the_server_is_killed_and_connections_are_cut(server, database, nodes, sink, long):
    """kill -9 of the database server and its start, and between that single connections ended by the server."""
    rng = random.Random(4)
    s = sink(lambda r: reply(delay=0.01))
    cl = nodes(3, database, WEBHOOK_URL=s.url)
    load = c.Load(cl, threads=3)
    for n in range(40 if long else 6):
        time.sleep(rng.uniform(0.2, 0.7) * SLOW)
        with cl.fault():
            if n % 3 == 2 or not hasattr(server, "cut_connections"):
                server.kill()
                time.sleep(rng.uniform(0, 0.5))
                server.start()
            else:
                assert server.cut_connections() > 0
        before = load.answers
        eventually(lambda: load.answers > before + 20, 20, what="creates after the fault")
        delivered = len(s.requests)
        eventually(lambda: len(s.requests) > delivered + 20, 20, what="deliveries after the fault")
    end(cl, load, s)
    assert all(node.process is None for node in cl.nodes)


@pytest.mark.only("postgres", "mysql")
@pytest.mark.parametrize("mode", ["at-least-once", "strict"])
def test_the_answer_to_a_commit_is_lost(server, database, nodes, sink, long, mode):
    """Of some commits the answer is cut off, and of others the commit itself: the same to herald."""
    s = sink(lambda r: reply(delay=0.01))
    with proxy.Proxy(("127.0.0.1", server.port), spots_commit=proxy.commits_of(server.name)) as p:
        cl = nodes(3, database, DATABASE_URL=database.url(port=p.port), WEBHOOK_URL=s.url, DELIVERY_MODE=mode)
        with cl.fault():
            load = c.Load(cl, threads=3)
            p.cut_answers(0.04)
            p.cut_requests(0.02)
            time.sleep((40 if long else 5) * SLOW)
            eventually(lambda: p.answers_cut > 5 and p.requests_cut > 2, 60, what="answers and requests that are cut")
            p.cut_answers(0)
            p.cut_requests(0)
        end(cl, load, s, strict=mode == "strict")
        # Of a claim, too, it is found out whether it was done, so no lease has to run out.
        assert not [a for a in database.attempts() if a.verdict == c.LOST]
        print(f"{p.commits} commits, {p.answers_cut} answers cut, {p.requests_cut} requests cut")


def spend_numbers(server, name, until):
    """Begins and commits transactions on a PostgreSQL up to that number; returns the first one's."""
    first = number = 0
    while number <= until:
        number = int(server.sql("CREATE TABLE IF NOT EXISTS noise(n xid8);"
                                "INSERT INTO noise VALUES(pg_current_xact_id()) RETURNING n", name))
        first = first or number
    return first


@pytest.mark.only("postgres", "mysql")
def test_a_commit_dies_with_the_server(server, database, nodes, sink):
    """Before it arrives. No answer may say that it was done. PostgreSQL even forgets that it has given the
    transaction's number away, and gives it to another one, which commits."""
    s, numbered = sink(), server.name == "postgres"
    if numbered:
        server.sql("ALTER SYSTEM SET wal_writer_delay='10s'")  # nothing is written before it must be
        server.restart()
    with proxy.Proxy(("127.0.0.1", server.port), spots_commit=proxy.commits_of(server.name)) as p:
        cl = nodes(1, database, DATABASE_URL=database.url(port=p.port), WEBHOOK_URL=s.url,
                   AUTO_START_SCHEDULER="false")
        node, given_again, number = cl.nodes[0], 0, 0

        def create(content):
            return node.api.post("/api/v1/messages", {"phoneNumber": "+905551234567", "content": content})
        with cl.fault():
            for n in range(6 if numbered else 2):
                eventually(lambda: create("before").status == 201, 15, what="a connection")
                answers, held = [], p.held
                p.holding = True
                thread = threading.Thread(target=lambda: answers.append(create(f"number {n}")))
                thread.start()
                eventually(lambda: p.held > held, what="a commit to hold")
                if numbered:
                    number = int(server.sql("SELECT max(backend_xid::text::bigint) FROM pg_stat_activity"))
                server.kill()
                server.start()
                if numbered:
                    given_again += spend_numbers(server, database.name, number) <= number
                p.holding = False
                thread.join()
                stored = {content: i for i, content, _ in database.messages()}
                if answers[0].status == 201:
                    assert stored[f"number {n}"] == answers[0].data["id"]
                else:  # the server was away for longer than a client is kept waiting
                    assert answers[0].json["code"] == 503003, answers[0]
        assert given_again or not numbered
        cl.stop()
    if numbered:
        server.sql("ALTER SYSTEM RESET wal_writer_delay")


@pytest.mark.only("postgres", "mysql")
def test_a_commit_arrives_after_the_connection_was_lost(server, database, nodes, sink):
    """The packets were on their way when the client heard that the connection was gone: whoever asks at once what
    became of the transaction must not be told that it is lost, and do it again."""
    s = sink()
    with proxy.Proxy(("127.0.0.1", server.port), spots_commit=proxy.commits_of(server.name)) as p:
        cl = nodes(1, database, DATABASE_URL=database.url(port=p.port), WEBHOOK_URL=s.url)
        node = cl.nodes[0]
        node.wait_status(node.create("before")["id"], "sent")
        for delay in (0.05, 0.3, 1):
            p.delays = delay
            delayed = p.delayed
            node.create(f"late by {delay}")  # which is told what became of it
            eventually(lambda: p.delayed > delayed, what="a late commit")
            p.delays = 0
            time.sleep(delay)
        eventually(lambda: node.api.get("/readyz").status == 200, 10, what="readiness")
        cl.drain()
        cl.stop()
        assert not [a for a in database.attempts() if a.verdict == c.LOST]
    contents = [content for _, content, _ in database.messages()]
    assert len(set(contents)) == len(contents), contents
    assert sorted(r.json["content"] for r in s.requests) == sorted(contents)


@pytest.mark.only("mysql")
def test_idle_connections_are_closed_with_a_last_word(server, database, nodes, sink):
    """As MySQL does to whoever was silent for as long as herald lets it wait: the next to use the connection
    begins anew on another, and nobody is told of it."""
    s = sink()
    with proxy.Proxy(("127.0.0.1", server.port)) as p:
        cl = nodes(1, database, DATABASE_URL=database.url(port=p.port), WEBHOOK_URL=s.url)
        node = cl.nodes[0]
        ids = []
        for n in range(5):
            closed = []  # of those who create, read and settle
            eventually(lambda: closed.append(p.dismiss()) or sum(closed) > 2, what="idle connections")
            ids.append(node.create(f"message {n}")["id"])
            for _ in range(4):  # each session has a connection
                assert node.api.get(f"/api/v1/messages/{ids[-1]}").status == 200
            node.wait_status(ids[-1], "sent")
        assert not [e for e in node.log() if e["level"] in ("warn", "error")]
        cl.stop()
    assert sorted(s.seen.values()) == [1] * 5


@pytest.mark.only("postgres", "mysql")
def test_a_node_hangs_in_a_transaction(server, database, nodes, sink):
    """With the row of the beat locked, by a node that says nothing more. The server takes the lock from it."""
    s = sink()
    with proxy.Proxy(("127.0.0.1", server.port), spots_commit=proxy.commits_of(server.name)) as p:
        cl = nodes(2, database, start=False, WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="200ms",
                   MESSAGE_BATCH_SIZE=2, AUTO_START_SCHEDULER="false")
        hangs, other = cl.nodes
        hangs.env["DATABASE_URL"] = database.url(port=p.port)
        cl.start()
        load = c.Created(other, 100)
        hangs.scheduler("start")
        s.wait(6)
        with cl.fault(hangs.name):
            p.holding = True
            eventually(lambda: p.held, what="a commit to hold")
            delivered = len(s.requests)
            # Not more: before its leases end, too, the one that hangs is to record what it has sent.
            eventually(lambda: len(s.requests) > delivered + 8, 14, what="deliveries by the other node")
            p.holding = False
        cl.drain()
        cl.stop()
        c.check_pace(cl, s, 0.2, 2)
        c.check_ledger(cl, load, s, strict=False, doubles=False)


@pytest.mark.only("postgres", "mysql")
def test_a_node_hangs_while_it_reads(server, database, nodes, sink):
    """In the middle of an answer that is larger than what lies between them, so that the server waits for it,
    with the row of the beat locked."""
    s = sink()
    with proxy.Proxy(("127.0.0.1", server.port)) as p:
        cl = nodes(2, database, start=False, WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="200ms",
                   MESSAGE_BATCH_SIZE=200, SEND_CONCURRENCY=200, AUTO_START_SCHEDULER="false",
                   MESSAGE_MAX_CONTENT_LENGTH=100000, WEBHOOK_TIMEOUT_SECONDS=30, LEASE_DURATION="60s")
        hangs, other = cl.nodes
        hangs.env["DATABASE_URL"] = database.url(port=p.port)
        cl.start()
        for n in range(180):
            hangs.create(f"{n} " + 90000 * "x")
        p.chokes_on = 1 << 20
        other.freeze()  # who would else notice the start within a second
        hangs.scheduler("start")
        eventually(lambda: p.choked, 20, what="a large claim")
        other.thaw()
        eventually(lambda: s.requests, 20, what="deliveries by the other node")
        cl.kill(hangs)
        cl.drain()
        cl.stop()
        c.check_pace(cl, s, 0.2, 200)
        assert len(s.requests) == 180


def test_the_database_is_down_at_the_start(server, database, nodes, sink):
    """Nodes start, say that they are not ready, refuse to take anything, and go to work when it is there."""
    server.stop()
    s = sink()
    cl = nodes(2, database, start=False, WEBHOOK_URL=s.url)
    for node in cl.nodes:
        node.start(wait=False)

    def answer(node, path):
        try:
            return node.api.get(path)
        except (OSError, http.client.HTTPException):
            return None
    for node in cl.nodes:
        a = eventually(lambda: answer(node, "/readyz"), 10, what="an API")
        assert a.status == 503
        assert node.api.get("/livez").status == 200
        health = node.api.get("/health").json
        assert (health["status"], health["components"]["database"]["status"]) == ("down", "down")
        a = node.api.post("/api/v1/messages", {"phoneNumber": "+905551234567", "content": "x"})
        assert a.status == 503 and int(a.headers["Retry-After"]) > 0
    time.sleep(1)
    server.start()
    for node in cl.nodes:
        eventually(lambda: (a := answer(node, "/readyz")) and a.status == 200, 15, what="readiness")
    ids = [node.create("hello " + node.name)["id"] for node in cl.nodes]
    for i in ids:
        cl.nodes[0].wait_status(i, "sent", timeout=30)
    cl.stop()
