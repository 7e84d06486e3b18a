"""Several herald nodes on one database, and the checks that hold whatever happened to them.

    c = nodes(3, database, WEBHOOK_URL=s.url)
    load = Load(c)                      # clients that go from node to node
    c.kill(c.nodes[0])                  # written down, as what explains an outcome that is not known
    c.nodes[0].start()
    load.stop()
    c.drain()
    c.stop()
    check_ledger(c, load, s, strict=False)

The database is read past herald, with its own client program.
"""
import collections
import contextlib
import http.client
import datetime
import pathlib
import random
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse

import crash_test
import herald as h
import servers
from crash_test import UNREAD

SLOW = h.SLOW
STATES = ("pending", "sending", "sent", "failed", "cancelled", "unknown", "pending")  # as stored
VERDICTS = ("sent", "retry", "failed", "unknown", "release", "lost")  # of attempts, as stored
LOST = VERDICTS.index("lost")
UNANSWERED = VERDICTS.index("retry"), VERDICTS.index("unknown")
WEBHOOK_TIMEOUT = 2
LEASE = 12.1  # as short as a webhook timeout of 2 s allows


def ms(seconds):
    """A duration as herald's options take it."""
    return f"{round(seconds * 1000)}ms"


class Attempt:
    def __init__(self, message, attempt, verdict, run, started, duration, owner):
        self.message, self.attempt, self.verdict, self.run = message, attempt, verdict, run
        self.started, self.duration, self.node = started, duration, owner.partition("/")[0]

    def is_unknown(self):
        """Whether nobody can know how it ended: lost with its node, or without an answer for too long, as may
        happen where the receiver has to wait for the processor."""
        return self.verdict == LOST or self.verdict in UNANSWERED and self.duration > WEBHOOK_TIMEOUT - 0.1

    def __repr__(self):
        return f"<attempt {self.attempt} of {self.message} by {self.node} at {self.started:.3f}: {self.verdict}>"


class Database:
    """One database on a server of servers.py."""

    separator, maintenance = "|", None
    # A beat is opened and its messages are claimed in one transaction. Without them, the beat of a node that
    # dies in between is left out.
    beats_survive = True
    interval = 0.2  # a beat that the server can keep up with, in seconds
    # From the moment a message is claimed until its outcome is committed, when nothing is wrong: how long before a
    # kill an attempt may have begun that the kill has made unknown. Wide, as the machine may be busy; less than LEASE.
    in_hand = 3.0

    def __init__(self, server, name):
        self.server, self.name = server, name

    def rows(self, sql):
        out = self.server.sql(sql, self.name)
        return [line.split(self.separator) for line in out.splitlines()]

    def messages(self):
        """[(id, content, status)]"""
        return [(int(i), content, STATES[int(state)])
                for i, content, state in self.rows("SELECT id, content, state FROM herald_messages")]

    def runs(self):
        """[(number, start, node, claimed)] in order; times in seconds by the database's clock."""
        return [(int(i), int(at) / 1e6, node, int(n)) for i, at, node, n in
                self.rows("SELECT id, started_at, node, claimed FROM herald_runs ORDER BY id")]

    def attempts(self):
        return [Attempt(int(m), int(a), int(v), int(r), int(at) / 1e6, int(took) / 1e6, owner)
                for m, a, v, r, at, took, owner in
                self.rows("SELECT a.message, a.attempt, a.verdict, a.run, a.started_at, a.duration,"
                          " coalesce(o.owner,'') FROM herald_attempts a LEFT JOIN herald_owners o ON o.id=a.owner"
                          " ORDER BY a.message, a.seq")]


class PostgresDatabase(Database):
    maintenance = "postgres"

    def url(self, host="127.0.0.1", port=None):
        return (f"postgresql://{servers.USER}:{servers.PASSWORD}@{host}:{port or self.server.port}"
                f"/{self.name}")


class MariaDatabase(Database):
    maintenance, separator = "mysql", "\t"

    def url(self, host="127.0.0.1", port=None):
        return f"mysql://{servers.USER}:{servers.PASSWORD}@{host}:{port or self.server.port}/{self.name}"


class MongoDatabase(Database):
    """There is no client program for it here, so a herald that only serves the API tells what is stored."""

    beats_survive = False
    interval = 0.5  # FerretDB needs a tenth of a second for a claim, and a late beat moves the next
    in_hand = 8.0  # and as long for each step of a settlement; ten times that when it has to wait for the processor
    settings = {}  # of the scheduler: another node with others would change them

    def url(self, host="127.0.0.1", port=None):
        return f"mongodb://{host}:{port or self.server.port}/{self.name}"

    @contextlib.contextmanager
    def reader(self):
        with tempfile.TemporaryDirectory() as place:
            node = Node(pathlib.Path(place), "reader", ROLE="api", DATABASE_URL=self.url(), **self.settings)
            node.start()
            try:
                yield node
            finally:
                node.stop()

    @staticmethod
    def pages(node, path):
        cursor = ""
        while True:
            a = node.api.get(f"{path}?pageSize=100{cursor}")
            assert a.status == 200, a
            yield from a.data
            if not a.json.get("nextCursor"):
                return
            cursor = "&cursor=" + urllib.parse.quote(a.json["nextCursor"])

    def messages(self):
        with self.reader() as node:
            return [(m["id"], m["content"], m["status"]) for m in self.pages(node, "/api/v1/messages")]

    def runs(self):
        with self.reader() as node:
            return sorted((r["id"], _seconds(r["startedAt"]), r["node"], r["claimed"])
                          for r in self.pages(node, "/api/v1/scheduler/runs"))

    def attempts(self):
        with self.reader() as node:
            ids = [m["id"] for m in self.pages(node, "/api/v1/messages")]
            return [Attempt(i, a["attempt"], VERDICTS.index(a["status"]), a.get("run", 0),
                            _seconds(a["startedAt"]), a.get("durationMs", 0) / 1e3, a.get("node", ""))
                    for i in ids for a in node.attempts(i)]


def _seconds(text):
    return datetime.datetime.fromisoformat(text).timestamp()


DATABASES = {"postgres": PostgresDatabase, "mysql": MariaDatabase, "mongodb": MongoDatabase}


def database(server, name):
    """A new one."""
    one = DATABASES[server.name](server, name)
    if one.maintenance:  # MongoDB makes them when they are used
        server.sql(f"CREATE DATABASE {name}", one.maintenance)
    return one


class Node(h.Herald):
    """One of several: with a name, and with what it may be started under (a list of words)."""

    def __init__(self, directory, name, prefix=(), **env):
        super().__init__(directory, NODE_ID=name, **env)
        self.name, self.prefix = name, list(prefix)
        self.reachable = True  # whether clients may try its API

    def start(self, wait=True, **env):
        assert self.process is None, "already started"
        self.env.update(env)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.prefix, h.BIN, "serve"], cwd=self.dir,
                                            env=h.environment(**self.env), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        if wait:
            self.wait_ready(20)
        return self

    def freeze(self):
        self.reachable = False
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)
        self.reachable = True


class Cluster:
    """The nodes n1, n2, … and what was done to them: faults is [(name of the node or None for all, from, to)]."""

    def __init__(self, directory, database, n, **env):
        self.database, self.faults = database, []
        self.lock = threading.Lock()
        self.stalls = Stalls()
        defaults = {"DATABASE_URL": database.url(), "SEND_CONCURRENCY": 16, "RETRY_BACKOFF": "10ms",
                    "MAX_ATTEMPTS": 100, "MAX_LOST_CLAIMS": 100, "WEBHOOK_TIMEOUT_SECONDS": WEBHOOK_TIMEOUT,
                    "LEASE_DURATION": ms(LEASE), "LOG_LEVEL": "info"}
        database.settings = {name: value for name, value in env.items()
                             if name.startswith("MESSAGE_") or name == "AUTO_START_SCHEDULER"}
        self.nodes = []
        for i in range(1, n + 1):
            place = directory / f"n{i}"
            place.mkdir()
            self.nodes.append(Node(place, f"n{i}", **{**defaults, **env}))

    def start(self):
        """All at once: they meet in migrating the empty database."""
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_ready(30)

    def stop(self):
        """In order. Afterwards nothing writes to the database."""
        up = [node for node in self.nodes if node.process]
        for node in up:
            node.process.terminate()
        for node in up:
            node.wait(30, expect=0)

    def cleanup(self):
        for node in self.nodes:
            with contextlib.suppress(ProcessLookupError, AttributeError):
                node.thaw()
        for node in self.nodes:
            node.cleanup()
        self.stalls.stop()

    def kill(self, node):
        at = time.time()
        node.kill()
        with self.lock:
            self.faults.append((node.name, at, time.time()))

    @contextlib.contextmanager
    def fault(self, name=None):
        """Whatever is done in the block may have lost outcomes: those of a node, or of all."""
        at = time.time()
        yield
        self.faults.append((name, at, time.time()))

    def up(self):
        return [node for node in self.nodes if node.process]

    def client(self, **options):
        return AnyNode(self, **options)

    def stats(self):
        return self.up()[0].stats()

    def drain(self, timeout=LEASE + 30):
        """Waits until every message has ended: what was lost with its node is found again by the others
        when its lease ends."""
        end = time.monotonic() + timeout * SLOW
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
                stats = self.stats()
                if not stats["pending"] + stats["sending"]:
                    return stats
            if time.monotonic() > end:
                raise AssertionError(f"not drained: {self.stats()}\n" + self.log_ends())
            time.sleep(0.1)

    def log_ends(self):
        return "\n".join(f"--- {n.name}\n{n.log_text()[-1500:]}" for n in self.nodes)


class AnyNode:
    """A client that talks to one node after the other."""

    def __init__(self, cluster, timeout=30):
        self.cluster, self.timeout = cluster, timeout
        self.clients = {node.name: node.client(timeout=timeout) for node in cluster.nodes}
        self.rng = random.Random(id(self))

    def post(self, path, body):
        node = self.rng.choice([n for n in self.cluster.nodes if n.reachable])
        a = self.clients[node.name].post(path, body)
        if a.status == 503 and a.json.get("code") == 503003:
            raise ConnectionError("not known whether it was done")
        return a


class Load(crash_test.Load):
    """The same clients as for one node, but each request goes to another one."""


class Created:
    """Messages that were created before, in place of a Load."""

    def __init__(self, node, n, prefix="message"):
        self.accepted = dict(zip((f"{prefix} {i}" for i in range(n)), node.create_many(n, prefix)))


class Stalls:
    """How late the machine itself is: the longest that a thread which wants to run every 10 ms had to wait (`worst`),
    and how long it had to wait in all between two times."""

    def __init__(self):
        self.worst, self.stopping = 0.0, threading.Event()
        self.seen = []  # (when it ran again, how late it was)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping.is_set():
            before = time.monotonic()
            time.sleep(0.01)
            late = time.monotonic() - before - 0.01
            self.worst = max(self.worst, late)
            self.seen.append((time.time(), late))

    def stop(self):
        self.stopping.set()
        self.thread.join()

    def sum(self, since, until):
        """Of what it had to wait between the two times."""
        return sum(late for at, late in self.seen if since <= at and at - late <= until)


# --- checks -------------------------------------------------------------------------------------------------


def explained(attempt, faults, in_hand):
    """Whether something happened to the attempt's node while it could have had this attempt in hand."""
    return any(name in (None, attempt.node) and attempt.started - UNREAD <= until and
               since - attempt.started <= in_hand * SLOW for name, since, until in faults)


def check_ledger(c, load, sink, strict, doubles=True):
    """What the API accepted, what the receiver got and what the database holds, against each other. All
    messages have ended and all nodes are stopped. doubles=False: nothing happened that could excuse a
    second delivery. Returns (contents that were delivered twice, contents that are parked)."""
    rows = c.database.messages()
    by_content = {content: (i, status) for i, content, status in rows}
    assert len(by_content) == len(rows), "a create was stored twice"
    assert load.accepted, "no load"
    for content, i in load.accepted.items():
        assert content in by_content, f"{content} was accepted as {i} and is gone"
        assert by_content[content][0] == i

    deliveries = collections.defaultdict(list)
    for r in sink.requests:
        deliveries[r.json["content"]].append(r)
    assert set(deliveries) <= set(by_content), "delivered without being stored"
    for content, (_, status) in by_content.items():
        assert status in (("sent", "unknown") if strict else ("sent",)), (content, status)
        if status == "sent":
            assert content in deliveries, f"{content} counts as sent, but nobody got it"

    keys = {content: {r.key for r in requests} for content, requests in deliveries.items()}
    assert all(len(k) == 1 for k in keys.values()), "one message under two keys"
    assert len({k for of_one in keys.values() for k in of_one}) == len(keys), "two messages under one key"

    lost = collections.defaultdict(list)
    for a in c.database.attempts():
        if a.is_unknown():
            assert a.verdict != LOST or explained(a, c.faults, c.database.in_hand), \
                f"{a} was lost, and nothing had happened: {c.faults}"
            lost[a.message].append(a)
    twice = [content for content, requests in deliveries.items() if len(requests) > 1]
    for content in twice:
        again = len(deliveries[content]) - 1
        assert again <= len(lost[by_content[content][0]]), \
            f"{content} was delivered {again + 1} times: {deliveries[content]}, {lost[by_content[content][0]]}"
    parked = [content for content, (_, status) in by_content.items() if status == "unknown"]
    for content in parked:
        assert lost[by_content[content][0]], f"{content} is parked, and its outcome was not lost"
    if strict:
        assert not twice, f"delivered twice in strict mode: {twice}"
    by_faults = [content for content in twice + parked
                 if any(a.verdict == LOST for a in lost[by_content[content][0]])]
    assert doubles or not by_faults, f"delivered twice for no reason: {by_faults}"
    # A process takes back no more than it can have had in hand.
    in_hand = 4 * max(int(node.env["SEND_CONCURRENCY"]) for node in c.nodes)
    assert len(by_faults) <= len(c.faults) * in_hand * len(c.nodes)
    print(f"{len(rows)} messages, {len(load.accepted)} acknowledged, {len(sink.requests)} deliveries, "
          f"{len(twice)} twice, {len(parked)} parked, {sum(map(len, lost.values()))} attempts lost")
    return twice, parked


def check_counts(c, stats):
    """The counts kept beside the messages are those of the messages."""
    recount = collections.Counter(status for _, _, status in c.database.messages())
    assert {k: v for k, v in stats.items() if k != "total" and v} == dict(recount)


def check_pace(c, sink, interval, batch):
    """What the database remembers, by its own clock, and what the receiver saw. Returns the beats' times."""
    runs = c.database.runs()
    times = [at for _, at, _, _ in runs]
    for a, b in zip(times, times[1:]):
        # In microseconds: of two times in seconds even the difference of an exact interval may come out too short.
        assert round((b - a) * 1e6) >= round(interval * 1e6), f"two beats within {b - a:.6f} s"
    opened = {number: at for number, at, _, _ in runs}
    assert max(claimed for *_, claimed in runs) <= batch

    # Every attempt belongs to a beat and was not made before it.
    per_run, per_message, charged = collections.Counter(), collections.Counter(), set()
    for a in c.database.attempts():
        if a.run in opened:
            assert a.started >= opened[a.run] - 0.05, f"{a} before its beat at {opened[a.run]}"
        else:  # without transactions the run is recorded last: its node died before
            assert a.verdict == LOST and not c.database.beats_survive, f"{a} outside of all beats"
        if (a.message, a.attempt) not in charged:  # a claim may leave two records: lost, and what came late
            charged.add((a.message, a.attempt))
            per_run[a.run] += 1
            per_message[a.message] += 1
    assert per_run and max(per_run.values()) <= batch

    # From outside alone: however long one watches, there are no more requests than the beats that can have
    # opened in that time, plus those that were late, by themselves or with the whole machine.
    at = sorted(r.mono for r in sink.requests)
    for i, first in enumerate(at):
        for j in range(i, min(len(at), i + 60)):
            beats = int((at[j] - first + c.stalls.worst) / interval) + 3
            assert j - i + 1 <= batch * beats, f"{j - i + 1} requests in {at[j] - first:.3f} s"
    return times


def check_no_beat_left_out(c, times, since, until, interval, stalls):
    """Between two moments in which a node lived and had work, beats follow each other. The machine's own
    lateness is allowed for; a beat that is left out systematically shows in the number."""
    inside = [t for t in times if since <= t <= until]
    possible = (until - since - stalls.sum(since, until)) / interval - 2  # at either end one may be just outside
    if not c.database.beats_survive:
        check_who_left_beats_out(c)
        assert len(inside) >= possible * 0.5 / SLOW, f"{len(inside)} beats where {possible:.0f} fit"
        return
    gaps = list(zip(inside, inside[1:]))
    # The sum, since who has to wait for the processor several times in a row waits for longer than who does once.
    late = [b - a for a, b in gaps if b - a >= 2 * interval * SLOW + max(stalls.worst, stalls.sum(a, b))]
    assert len(late) <= len(gaps) // 40, f"beats were left out: {[round(g, 3) for g in late]} of {len(gaps)}"
    assert len(inside) >= possible * 0.8 / SLOW, f"{len(inside)} beats where {possible:.0f} fit"


def check_who_left_beats_out(c):
    """A beat that was opened and of which nothing is known is one whose node died in the middle of it."""
    runs, deaths = c.database.runs(), sorted(at for _, at, _ in c.faults)
    for (a, since, *_), (b, until, *_) in zip(runs, runs[1:]):
        for left_out in range(a + 1, b):
            # It may have died when the next beat had opened already, since a claim takes its time.
            death = next((at for at in deaths if since <= at <= until + c.database.in_hand * SLOW), None)
            assert death, f"beat {left_out} is missing, and nobody died: {since} to {until}, {deaths}"
            deaths.remove(death)
