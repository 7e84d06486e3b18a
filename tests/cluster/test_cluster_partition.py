"""A node in a network namespace of its own, whose link to the database is taken down while the one to the
receiver stays up: it must have stopped sending when its leases end, since then others will send."""
import contextlib
import os
import subprocess
import threading
import time

import pytest

from herald import eventually, reply

import cluster as c
import proxy


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def namespace(links):
    """A network namespace with that many links to here. Gives its name and per link (name of our end, our
    address, its address)."""
    name = f"herald{os.getpid()}"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as e:  # root of a container, for example
        pytest.skip(f"no network namespaces: {e.stderr.strip()}")
    try:
        ip("-n", name, "link", "set", "lo", "up")
        made = []
        for n in range(links):
            ours, theirs = f"h{os.getpid()}a{n}", f"h{os.getpid()}b{n}"
            net = f"10.213.{os.getpid() % 250}.{4 * n}"
            stem, last = net.rpartition(".")[0], 4 * n
            ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
            ip("link", "set", theirs, "netns", name)
            ip("addr", "add", f"{stem}.{last + 1}/30", "dev", ours)
            ip("link", "set", ours, "up")
            ip("-n", name, "addr", "add", f"{stem}.{last + 2}/30", "dev", theirs)
            ip("-n", name, "link", "set", theirs, "up")
            made.append((ours, f"{stem}.{last + 1}", f"{stem}.{last + 2}"))
        yield name, made
    finally:
        ip("netns", "del", name)  # takes the links with it


def in_hand(database, node):
    """How many messages the node has claimed."""
    ((n,),) = database.rows("SELECT count(*) FROM herald_messages m JOIN herald_owners o ON o.id=m.owner"
                            f" WHERE m.state=1 AND o.owner LIKE '{node}/%'")
    return int(n)


@pytest.mark.only("postgres", "mysql")  # FerretDB is too slow for it to have much in hand
@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_a_node_cut_off_from_the_database(server, database, nodes, sink):
    slow = threading.Event()
    s = sink(lambda r: reply(delay=1.2 if slow.is_set() and "/n2" in r.line else 0.002))
    with namespace(2) as (name, ((link, db_address, _), (_, sink_address, _))), \
            proxy.Proxy(("127.0.0.1", server.port), host=db_address) as to_db, \
            proxy.Proxy(("127.0.0.1", s.port), host=sink_address) as to_sink:
        cl = nodes(2, database, start=False, SEND_CONCURRENCY=4, AUTO_START_SCHEDULER="false")
        here, there = cl.nodes
        here.env.update(WEBHOOK_URL=f"{s.url}/n1", SEND_CONCURRENCY=1)
        there.prefix = ["ip", "netns", "exec", name]
        there.env["WEBHOOK_URL"] = f"http://{sink_address}:{to_sink.port}/n2"
        there.env["DATABASE_URL"] = database.url(db_address, to_db.port)
        there.reachable = False  # not from here
        here.start()
        there.start(wait=False)
        eventually(lambda: there.log("herald is ready"), what="the other node")
        before = c.Created(here, 4000, "before")
        here.scheduler("start")
        eventually(lambda: sum("/n2" in r.line for r in s.requests) >= 300, 10, what="deliveries by n2")
        load = c.Load(cl, threads=1)
        with cl.fault("n2"):
            # It has many in hand while the receiver is fast, and some left when that becomes slow.
            def has_more_in_hand():
                slow.set()
                time.sleep(0.3)
                if in_hand(database, "n2") > 4 + 2:
                    return True
                slow.clear()
                return time.sleep(0.3)
            eventually(has_more_in_hand, 30, what="more in hand of n2 than it sends at a time")
            ip("link", "set", link, "down")
            cut = time.time()
            # Its own view: it goes on with what it has, as long as it may.
            eventually(lambda: any("/n2" in r.line and r.at > cut + 0.1 for r in s.requests), 8,
                       what="a delivery by n2 of what it had in hand")
            time.sleep(max(0, cut + c.LEASE + 2 - time.time()))
            healed = time.time()
            slow.clear()
            ip("link", "set", link, "up")
        cut_off = [r for r in s.requests if "/n2" in r.line and cut < r.at]
        assert max(r.at for r in cut_off) < cut + c.LEASE - c.WEBHOOK_TIMEOUT, \
            f"cut off at {cut}, sending at {max(r.at for r in cut_off)}"
        assert not [r for r in cut_off if r.at > healed]
        # It works again when the network does.
        eventually(lambda: any("/n2" in r.line and r.at > healed for r in s.requests), 25,
                   what="deliveries by n2 after the partition")
        load.stop()
        load.accepted.update(before.accepted)
        cl.drain()
        cl.stop()
        c.check_ledger(cl, load, s, strict=False)

    # No request was begun so late that it could have been under way when its lease ended.
    claims = {}
    for a in database.attempts():
        if a.node == "n2":
            claims.setdefault(a.message, []).append(a.started)
    ids = {content: i for i, content, _ in database.messages()}
    for r in s.requests:
        if "/n2" in r.line:
            assert any(0 <= r.at + 0.2 - at <= c.LEASE - c.WEBHOOK_TIMEOUT for at in claims[ids[r.json["content"]]]), r
