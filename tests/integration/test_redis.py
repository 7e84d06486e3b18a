"""What was sent is in Redis too; and whatever happens to Redis, it delays and loses no message."""
import json

import pytest

from herald import SLOW, Stalls, eventually
from redis_server import PROGRAM, Redis

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no redis-server (package redis-tools)")


@pytest.fixture
def herald(herald):
    """Without a disc, so that nobody waits for that."""
    return lambda **env: herald(DATABASE_URL="memory:", **env)


@pytest.fixture
def redis(tmp_path):
    """redis(*options): a server that runs; start=False leaves that to the test."""
    made = []

    def make(*options, start=True):
        directory = tmp_path / f"redis{len(made)}"
        directory.mkdir()
        made.append(Redis(directory, *options))
        return made[-1].start() if start else made[-1]

    yield make
    for one in made:
        one.close()


def health(h):
    return h.api.get("/health").json


def wait_redis(h, status):
    eventually(lambda: health(h)["components"]["redis"]["status"] == status, what=f"redis {status}")


def cached(h, size=100):
    """All pages of /cached in one."""
    found, cursor = {}, ""
    while True:
        a = h.api.get(f"/api/v1/messages/cached?pageSize={size}" + (f"&cursor={cursor}" if cursor else ""))
        assert a.status == 200, a
        assert len(a.data) <= size
        found.update(a.data)
        cursor = a.json.get("nextCursor")
        if not cursor:
            return found


def deliver(h, s, n, prefix):
    """Creates n messages and waits until the receiver has each of them, once."""
    with Stalls() as stalls:
        ids = h.create_many(n, prefix)
        eventually(lambda: h.stats()["pending"] == h.stats()["sending"] == 0, 60, 0.05, "all sent")
    got = [r for r in s.requests if r.json["content"].startswith(prefix + " ")]
    assert sorted(r.json["content"] for r in got) == sorted(f"{prefix} {i}" for i in range(n))
    # At the usual rate: whoever waited for an answer of Redis would wait for 2 s.
    arrived = sorted(r.at for r in got)
    assert max((b - a - stalls.excuse(a, b) for a, b in zip(arrived, arrived[1:])), default=0) < 1.5
    return ids


def test_sent_messages_are_in_redis(herald, sink, redis):
    r, s = redis(), sink()
    h = herald(WEBHOOK_URL=s.url, REDIS_URL=f"{r.url}/2", CACHE_TTL="1h")
    wait_redis(h, "up")
    assert health(h)["status"] == "ok"
    assert cached(h) == {}
    ids = deliver(h, s, 250, "cached")
    eventually(lambda: len(cached(h)) == 250, what="250 entries")

    first = h.get(ids[0])
    entry = {"messageId": first["messageId"], "sentAt": first["sentAt"]}
    assert cached(h, 100)[str(ids[0])] == entry
    assert set(cached(h, 7)) == {str(i) for i in ids}

    assert r("DBSIZE") == 0, "not in the database that was asked for"
    r("SWAPDB", 0, 2)
    assert json.loads(r("GET", f"sent_message:{ids[0]}")) == entry
    assert 3000 < r("TTL", f"sent_message:{ids[0]}") <= 3600


def test_a_list_for_other_readers(herald, sink, redis):
    r, s = redis(), sink()
    h = herald(WEBHOOK_URL=s.url, REDIS_URL=r.url, CACHE_LAYOUT="list", CACHE_KEY="sent:messages")
    ids = deliver(h, s, 25, "list")
    eventually(lambda: r("LLEN", "sent:messages") == 25, what="25 elements")
    sent = {h.get(i)["messageId"]: h.get(i)["sentAt"] for i in ids}
    listed = [json.loads(v) for v in r("LRANGE", "sent:messages", 0, -1)]
    assert {e["messageId"]: e["sentAt"] for e in listed} == sent
    assert cached(h, 7) == {e["messageId"]: e for e in listed}
    assert r("TTL", "sent:messages") == -1


def test_a_key_by_the_providers_id(herald, sink, redis):
    r, s = redis(), sink()
    h = herald(WEBHOOK_URL=s.url, REDIS_URL=r.url, CACHE_KEY="message:{messageId}", CACHE_VALUE="{sentAt}",
               CACHE_TTL="0")
    one = h.get(deliver(h, s, 1, "own")[0])
    eventually(lambda: r("GET", "message:" + one["messageId"]) == one["sentAt"], what="the entry")
    assert cached(h) == {one["messageId"]: {"messageId": one["messageId"], "sentAt": one["sentAt"]}}


def test_two_heralds_share_one_redis(herald, sink, redis):
    r, s = redis(), sink()
    one = herald(WEBHOOK_URL=s.url, REDIS_URL=r.url)
    two = herald(WEBHOOK_URL=s.url, REDIS_URL=r.url)
    wait_redis(two, "up")
    ids = deliver(one, s, 20, "shared")
    eventually(lambda: set(cached(two)) == {str(i) for i in ids}, what="the other's entries")


def test_away_at_the_start(herald, sink, redis):
    r, s = redis(start=False), sink()
    h = herald(WEBHOOK_URL=s.url, REDIS_URL=r.url)
    assert health(h)["status"] == "degraded"
    assert health(h)["components"]["redis"]["status"] == "down"
    assert h.api.get("/readyz").status == 200
    assert h.api.get("/api/v1/messages/cached").status == 503
    ids = deliver(h, s, 50, "without")
    r.start()
    wait_redis(h, "up")
    assert health(h)["status"] == "ok"
    eventually(lambda: set(cached(h)) == {str(i) for i in ids}, what="what waited")


def fill(r):
    r("CONFIG", "SET", "maxmemory", 1)


def make_room(r):
    r("CONFIG", "SET", "maxmemory", 0)


def ask_for_password(r):
    """By a restart: connections that were there would keep their rights."""
    r.kill()
    r.options = ("--requirepass", "x")
    r.start()


def ask_no_more(r):
    r.kill()
    r.options = ()
    r.start()


DROPPED = "herald_cache_dropped_total"
TROUBLES = {  # how it begins, how it ends, and what /health says of Redis in between
    "killed": (Redis.kill, Redis.start, "down"),
    "frozen": (Redis.freeze, Redis.thaw, "down"),
    "full": (fill, make_room, "up"),
    "flushed": (lambda r: r("FLUSHALL"), lambda r: None, "up"),
    "read-only": (lambda r: r("REPLICAOF", "127.0.0.1", 1), lambda r: r("REPLICAOF", "NO", "ONE"), "down"),
    "asking for a password": (ask_for_password, ask_no_more, "down"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_in_trouble(herald, sink, redis, trouble):
    begin, end, status = TROUBLES[trouble]
    r, s = redis(), sink()
    h = herald(WEBHOOK_URL=s.url, REDIS_URL=r.url)
    wait_redis(h, "up")
    deliver(h, s, 100, "before")
    begin(r)
    deliver(h, s, 300, "during")
    wait_redis(h, status)
    deliver(h, s, 300, "still")
    assert h.api.get("/readyz").status == 200
    assert health(h)["status"] == ("ok" if status == "up" else "degraded")
    end(r)
    wait_redis(h, "up")
    ids = deliver(h, s, 100, "after")
    eventually(lambda: {str(i) for i in ids} <= set(cached(h)), what="the cache to fill again")
    assert h.stats()["sent"] == 800
    # What a full server refuses is gone; what waits for one that is away is not.
    assert (h.metric(f"{DROPPED}{{reason=\"refused\"}}") > 0) == (trouble == "full")
    assert h.metric(f"{DROPPED}{{reason=\"overflow\"}}") == 0


def test_stops_while_redis_is_frozen(herald, sink, redis):
    r, s = redis(), sink()
    h = herald(WEBHOOK_URL=s.url, REDIS_URL=r.url)
    wait_redis(h, "up")
    r.freeze()
    deliver(h, s, 100, "frozen")
    h.stop()


def test_a_password_is_never_shown(herald, sink, redis):
    r, s = redis("--requirepass", "another"), sink()
    h = herald(WEBHOOK_URL=s.url, REDIS_URL=r.url.replace("//", "//:s3cr3t-w0rd@"))
    eventually(lambda: "WRONGPASS" in h.log_text(), what="the reason in the log")
    deliver(h, s, 10, "wrong password")
    h.stop()
    assert "s3cr3t-w0rd" not in h.log_text()
