"""A TCP relay in front of a database server or a receiver, which can lose things on the way.

    p = Proxy(("127.0.0.1", server.port), spots_commit=commits_of("postgres"))
    p.cut_answers(0.1)      # of one commit in ten the answer is lost, with the connection
    p.cut_requests(0.1)     # of one in ten the commit itself
    p.delays = 0.5          # all arrive, but so many seconds after the client has lost the connection
    p.holding = True        # none arrives: to the server, the clients hang in the middle of their transactions,
                            # and do not come back when it throws them out
    p.dismiss()             # those that are idle end as in MySQL: with a last word
    p.stepping = True       # each waits (p.waiting says how many do) for
    p.let_pass()            # one of them, or
    p.drop_waiting()        # all of them never arrive

The first two look the same from herald's side: it cannot know whether the transaction was done.
"""
import contextlib
import random
import re
import socket
import struct
import threading
import time

# What MySQL 8.0.24 and later leave behind in a connection that they close because of wait_timeout: an error that
# answers nothing, to be read by whoever sends the next statement. MariaDB just closes it.
FAREWELL = b"\xff" + struct.pack("<H", 4031) + b"#HY000The client was disconnected by the server because of inactivity."

# What begins and ends a transaction with MySQL.
BOUNDS = re.compile(rb"\b(?:(START TRANSACTION)|COMMIT|ROLLBACK)\b", re.I)

QUIET = 0.1  # a server that has said nothing for so long after its first byte has said all


class PostgresCommits:
    """Finds COMMIT in what a client sends: by name when it was prepared. Message by message, and in pieces as
    the kernel delivers them."""

    def __init__(self):
        self.rest, self.started, self.commits, self.seen = b"", False, set(), False

    def __call__(self, data):
        """Whether the batch of messages that ends in this data has a COMMIT."""
        self.rest += data
        found = False
        while True:
            head = 0 if not self.started else 1
            if len(self.rest) < head + 4:
                return found
            size = struct.unpack("!I", self.rest[head:head + 4])[0] + head
            if len(self.rest) < size:
                return found
            kind, body, self.rest = self.rest[:head], self.rest[head + 4:size], self.rest[size:]
            if not head:  # a startup packet; requests for encryption are no start yet
                self.started = struct.unpack("!I", body[:4])[0] >> 16 == 3
                continue
            if kind == b"P":
                name, _, more = body.partition(b"\0")
                (self.commits.add if more.upper().startswith(b"COMMIT") else self.commits.discard)(name)
            elif kind == b"B":
                self.seen |= body.split(b"\0")[1] in self.commits
            elif kind == b"Q":
                found |= body.upper().startswith(b"COMMIT")
            elif kind == b"S":
                found, self.seen = found | self.seen, False


class MysqlCommits:
    """The text protocol: a packet ends with a transaction that began in another one."""

    def __call__(self, data):
        return data.endswith(b"RELEASE SAVEPOINT herald;COMMIT") and b"START TRANSACTION" not in data


def commits_of(kind):
    return {"postgres": PostgresCommits, "mysql": MysqlCommits}[kind]


class Proxy:
    def __init__(self, target, host="127.0.0.1", spots_commit=None):
        self.target, self.spots_commit = target, spots_commit
        self.answers = self.requests = self.delays = 0.0
        self.rng = random.Random(7)
        self.holding = self.choked = self.stepping = False
        self.waiting = self.permits = self.dropped = 0
        self.chokes_on = None
        self.commits = self.answers_cut = self.requests_cut = self.delayed = self.held = 0
        self.sockets, self.links = set(), set()
        self.lock = threading.Lock()
        self.listener = socket.create_server((host, 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.closing = False
        threading.Thread(target=self.accept, daemon=True).start()

    def cut_answers(self, share):
        self.answers = share

    def cut_requests(self, share):
        self.requests = share

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.holding:
                client.close()
                continue
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for s in (client, server):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.sockets |= {client, server}
            Link(self, client, server)

    def let_pass(self):
        """Returns when it has."""
        with self.lock:
            self.permits += 1
        while self.permits and not self.closing:
            time.sleep(0.005)

    def drop_waiting(self):
        with self.lock:
            self.dropped += 1

    def step(self):
        """Waits for leave. Whether the commit is dropped."""
        with self.lock:
            before = self.dropped
            self.waiting += 1
        while True:
            with self.lock:
                if self.dropped > before or self.permits or self.closing or not self.stepping:
                    self.waiting -= 1
                    self.permits -= self.permits > 0 and self.dropped == before
                    return self.dropped > before
            time.sleep(0.005)

    def dismiss(self):
        """Returns how many."""
        with self.lock:
            links = list(self.links)
        return sum(link.dismiss() for link in links)

    def close(self):
        self.closing = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for s in self.sockets:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Link:
    """One connection: two threads, one per direction."""

    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.spot = proxy.spots_commit() if proxy.spots_commit else lambda data: False
        self.deaf, self.answered_at, self.unread, self.inside = False, 0.0, 0, False
        self.turn, self.asked_at, self.told_at = threading.Lock(), 0.0, 0.0
        with proxy.lock:
            proxy.links.add(self)
        for run in (self.forth, self.back):
            threading.Thread(target=run, daemon=True).start()

    def end(self):
        for s in (self.client, self.server):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        with self.proxy.lock:
            self.proxy.sockets -= {self.client, self.server}
            self.proxy.links.discard(self)

    def dismiss(self):
        """False: it is not idle."""
        with self.turn, contextlib.suppress(OSError):
            if self.inside or self.told_at <= self.asked_at or time.monotonic() - self.told_at < QUIET:
                return False
            self.deaf = True  # what the server says of it is no more passed on
            self.client.sendall(len(FAREWELL).to_bytes(3, "little") + b"\0" + FAREWELL)
            self.end()
        return True

    def forth(self):
        with contextlib.suppress(OSError):
            while data := self.client.recv(65536):
                if self.spot(data) and self.commit(data):
                    break
                self.unread = 0
                with self.turn:
                    for bound in BOUNDS.finditer(data):
                        self.inside = bool(bound[1])
                    self.asked_at = time.monotonic()
                    self.server.sendall(data)
        while self.proxy.choked and not self.proxy.closing:
            time.sleep(0.02)  # one that hangs does not hang up
        self.end()

    def commit(self, data):
        """Whether this one is cut."""
        p = self.proxy
        with p.lock:
            p.commits += 1
            answer, request = p.rng.random() < p.answers, p.rng.random() < p.requests
            p.answers_cut += answer
            p.requests_cut += request and not answer
            p.held += p.holding
        while p.holding and not p.closing:
            time.sleep(0.02)
        if p.stepping and p.step():
            return True
        delay = p.delays
        if delay:
            answer = self.deaf = True
            p.delayed += 1
            self.client.shutdown(socket.SHUT_RDWR)
            time.sleep(delay)
        if answer:
            self.deaf = True
            self.server.sendall(data)
            end = time.monotonic() + 5
            while time.monotonic() < end and (not self.answered_at or
                                              time.monotonic() - self.answered_at < QUIET):
                time.sleep(0.01)
        return answer or request

    def back(self):
        with contextlib.suppress(OSError):
            while data := self.server.recv(65536):
                self.unread += len(data)
                self.told_at = time.monotonic()
                if self.proxy.chokes_on and self.unread > self.proxy.chokes_on:
                    self.proxy.choked = True
                    return
                if self.deaf:
                    self.answered_at = time.monotonic()
                else:
                    self.client.sendall(data)
        if not self.deaf:
            self.end()
