"""kill -9 at random moments under load, checked with two ledgers that herald has no hand in: what the API
accepted (written down by the clients) and what was delivered (written down by the receiver before it
answers)."""
import http.client
import os
import random
import sqlite3
import threading
import time

import pytest

from herald import PHONE, SLOW, batch_ids, reply

SLOWEST_ANSWER = 0.04
# How long an outcome may be under way from the receiver's answer to the commit that records it, beside what the
# slowest create took: a disk may take its time for both. It only has to be shorter than the time over which messages
# are spread.
SETTLE = 1.0
# How long a request that was sent may lie in the receiver's socket before it is read and written down.
UNREAD = 1.0


class Load:
    """Clients that create messages as long as they may. `accepted` maps the content to the id that came with a
    2xx; a create that got no answer is not in it, unless the client asked again under the same key."""

    def __init__(self, h, threads=4):
        self.h = h
        self.accepted = {}
        self.answers = 0
        self.slowest = 0.0  # seconds from a create to its answer, or to the end of its connection
        self.stopping = threading.Event()
        self.errors = []
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(threads)]
        for t in self.threads:
            t.start()

    def run(self, n):
        try:
            self.load(n)
        except BaseException as e:  # shown by stop()
            self.errors.append(e)

    def load(self, n):
        client = self.h.client(timeout=20 * SLOW)
        rng = random.Random(n)
        i = 0
        while not self.stopping.is_set():
            i += 1
            keyed = n % 2 == 0
            single = rng.random() < 0.8
            names = [f"{n}-{i}-{j}" for j in range(1 if single else 8)]
            rows = [{"phoneNumber": PHONE, "content": name, **({"idempotencyKey": name} if keyed else {})}
                    for name in names]
            while True:
                began = time.monotonic()
                try:
                    a = client.post("/api/v1/messages" if single else "/api/v1/messages/batch",
                                    rows[0] if single else rows)
                except (OSError, http.client.HTTPException):
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    if self.stopping.is_set():
                        return
                    time.sleep(0.01)
                    if keyed:
                        continue  # the key makes it safe to ask again
                    break
                self.slowest = max(self.slowest, time.monotonic() - began)
                if a.status == 503:
                    time.sleep(0.02)
                    continue
                assert a.status == 201, a
                ids = [a.data["id"]] if single else batch_ids(a.data)
                assert len(ids) == len(names)
                self.accepted.update(zip(names, ids))
                self.answers += 1
                break
            time.sleep(rng.uniform(0, 0.008))

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)
        assert not self.errors, self.errors[0]


@pytest.mark.parametrize("mode", ["at-least-once", "strict"])
def test_kill_9_under_load(herald, sink, kills, mode, tmp_path):
    seed = int(os.environ.get("CRASH_SEED", time.time_ns() % 1000000))
    print(f"CRASH_SEED={seed}")
    rng = random.Random(seed)
    delays = random.Random(seed + 1)
    s = sink(lambda r: reply(delay=delays.uniform(0, SLOWEST_ANSWER)), ledger=tmp_path / "deliveries.jsonl")
    h = herald(WEBHOOK_URL=s.url, DELIVERY_MODE=mode, SEND_CONCURRENCY=16, RETRY_BACKOFF="10ms",
               MAX_ATTEMPTS=100, MAX_LOST_CLAIMS=100, WEBHOOK_TIMEOUT_SECONDS=20, LOG_LEVEL="info")
    load = Load(h)
    killed = []  # the time (as the receiver's `mono`) from before the signal until the process was gone
    for _ in range(kills):
        time.sleep(rng.uniform(0.05, 0.5) * SLOW)
        if rng.random() < 0.25:
            # One more in the middle of starting up.
            at = time.monotonic()
            h.kill()
            killed.append((at, time.monotonic()))
            h.start(wait=False)
            time.sleep(rng.uniform(0, 0.06) * SLOW)
        at = time.monotonic()
        h.kill()
        killed.append((at, time.monotonic()))
        h.start()
    time.sleep(0.3)
    load.stop()
    # Everything ends: what was lost with its process is found again.
    deadline = time.monotonic() + 120 * SLOW
    while (stats := h.stats())["pending"] + stats["sending"]:
        assert time.monotonic() < deadline, stats
        time.sleep(0.1)
    time.sleep(0.2)
    stats = h.stats()
    h.stop()

    db = sqlite3.connect(h.database)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    rows = db.execute("SELECT id, content, state FROM herald_messages").fetchall()
    db.close()
    names = ("pending", "sending", "sent", "failed", "cancelled", "unknown")  # as stored

    # Nothing accepted is missing, nothing is there twice.
    by_content = {content: (i, names[status]) for i, content, status in rows}
    assert len(by_content) == len(rows), "a create was stored twice"
    assert len(load.accepted) > kills, "hardly any load"
    for content, i in load.accepted.items():
        assert content in by_content, f"{content} was accepted as {i} and is gone"
        assert by_content[content][0] == i

    # The counts kept beside the messages are those of the messages.
    recount = {name: 0 for name in names}
    for _, _, status in rows:
        recount[names[status]] += 1
    assert {k: stats[k] for k in names} == recount and stats["total"] == len(rows)

    # What counts as sent was delivered; what was delivered was never anything else than stored before.
    deliveries = {}
    for r in s.requests:
        deliveries.setdefault(r.json["content"], []).append(r)
    for content, (_, status) in by_content.items():
        assert status in ("sent", "unknown"), (content, status)
        if status == "sent":
            assert content in deliveries, f"{content} counts as sent, but nobody got it"
    assert set(deliveries) <= set(by_content), "delivered without being stored"

    # One key each, for ever.
    keys = {content: {r.key for r in requests} for content, requests in deliveries.items()}
    assert all(len(k) == 1 for k in keys.values())
    assert len({k for of_one in keys.values() for k in of_one}) == len(keys)

    def may_be_lost(r):
        """The kills soon after a request came, whose outcome may have gone with them."""
        soon = SLOWEST_ANSWER + SETTLE * SLOW + load.slowest
        return [at for at, gone in killed if r.mono - UNREAD * SLOW <= gone and at - r.mono <= soon]

    # A second delivery needs a kill soon after the first.
    twice = {content: requests for content, requests in deliveries.items() if len(requests) > 1}
    for content, requests in twice.items():
        for first, second in zip(requests, requests[1:]):
            assert any(at < second.mono for at in may_be_lost(first)), \
                f"{content} was sent at {first.mono} and {second.mono}, kills: {killed}"
    parked = [content for content, (_, status) in by_content.items() if status == "unknown"]
    print(f"{mode}: {len(killed)} kills, {len(rows)} messages, {len(load.accepted)} acknowledged, "
          f"{len(twice)} delivered twice, {len(parked)} parked")
    if mode == "strict":
        assert not twice
        assert parked, "no kill met a request in flight: the test shows nothing"
        for content in parked:
            for r in deliveries.get(content, []):
                assert may_be_lost(r), f"{content} was sent at {r.mono}, kills: {killed}"
    else:
        assert not parked
        assert twice, "no kill met a request in flight: the test shows nothing"
    # A process takes back no more than it can have had in hand.
    assert len(parked) + len(twice) <= len(killed) * 16 * 4
