"""`herald move`: everything goes from one kind of database to another and back, and is the same."""
import itertools
import json
import re
import signal
import sqlite3
import subprocess

import pytest

import herald as h
import proxy

LONG_TEXT = "sent " + "ü€😀x" * 1000
numbers = itertools.count(1)


def answer(request):
    """Does what the message says."""
    kind = request.json["content"].split()[0]
    return {"sent": h.reply(), "failed": h.reply(400), "retry": h.reply(503), "unknown": h.reset,
            "hang": h.hang}[kind]


def fill(herald, sink, n=10):
    """A database with messages of all statuses, left by a node that was killed while it was sending."""
    one = herald(WEBHOOK_URL=sink(answer).url, DELIVERY_MODE="strict", MAX_ATTEMPTS=3, RETRY_BACKOFF="1s,1h",
                 MESSAGE_MAX_CONTENT_LENGTH=5000, PHONE_PATTERN=r"^\+90[0-9]+$", INVALID_MESSAGES="park",
                 WEBHOOK_TIMEOUT_SECONDS=60).start()
    ids = {kind: one.create_many(n, prefix=kind) for kind in ("sent", "failed", "retry", "unknown", "hang")}
    one.create(LONG_TEXT)
    one.create("sent שלום 你好 \"quoted\" 'single' \\ back\ttab\nline; -- %s %d ?1 $1")
    one.create("sent with all", metadata={"a": ["b", None, 1.5, {"c": "ü"}]}, idempotencyKey="key-1")
    one.create("sent to nobody", phone="+4915112345678")
    later = [one.create("sent later", sendAt="2099-01-01T00:00:00Z", idempotencyKey=f"later-{i}")
             for i in range(5)]
    for m in later[:2]:
        one.api.delete(f"/api/v1/messages/{m['id']}")
    one.wait_stats(sent=n + 3, failed=n, unknown=n, cancelled=2, invalid=1, sending=n, pending=n + 3)
    # The second attempt of those that are retried: 503 again, and then not before an hour.
    for i in ids["retry"]:
        h.eventually(lambda: (m := one.get(i))["attempts"] == 2 and m["status"] == "pending", what="its second attempt")
    one.scheduler("stop")
    one.scheduler("start", {"failureRate": 0.25})
    one.scheduler("stop")
    one.kill()
    return one


def content(path):
    """All that herald keeps in a SQLite file, but for the time of the last beat, which follows the clock, and
    numbers that are the file's own."""
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row

    def rows(sql):
        return [dict(r) for r in db.execute(sql)]
    messages = rows("SELECT m.*, o.owner AS name FROM herald_messages m LEFT JOIN herald_owners o ON o.id=m.owner"
                    " ORDER BY m.id")
    for m in messages:
        del m["owner"]
        if m["state"] != 1:
            del m["run"]
        if not m["fence"]:
            del m["started_at"]
    attempts = rows("SELECT a.*, o.owner AS name FROM herald_attempts a LEFT JOIN herald_owners o ON o.id=a.owner"
                    " ORDER BY a.message, a.seq")
    for a in attempts:
        del a["owner"]
    scheduler = rows("SELECT * FROM herald_scheduler")
    for s in scheduler:
        del s["beat_at"], s["not_before"]
    found = {"messages": messages, "attempts": attempts, "runs": rows("SELECT * FROM herald_runs ORDER BY id"),
             "jobs": rows("SELECT * FROM herald_jobs ORDER BY id"),
             "totals": rows("SELECT * FROM herald_totals"), "scheduler": scheduler}
    found["beat_at"] = db.execute("SELECT beat_at FROM herald_scheduler").fetchone()[0]
    db.close()
    return found


def move(one, source, target, expect=0, **env):
    done = one.run("move", "--from", source, "--to", target, "--json", **env)
    assert done.returncode == expect, done.stderr
    return json.loads(done.stdout) if expect == 0 else done.stderr


def new_database(server):
    """The URL of a database on the server that nobody has used."""
    name = f"move_{next(numbers)}"
    kind = type(server).__name__
    if kind != "FerretDB":
        server.sql(f"CREATE DATABASE {name}")
    if kind == "Postgres":
        return server.url_of(name)
    return re.sub(r"/[^/?]*(\?|$)", rf"/{name}\1", server.url, count=1) if kind != "FerretDB" else \
        re.sub(r"(//[^/]*)/[^?]*", rf"\1/{name}", server.url)


def test_there_and_back_again(herald, sink, postgres, mariadb, ferretdb, tmp_path):
    one = fill(herald, sink)
    before = content(one.database)
    back = tmp_path / "back.db"
    ways = [f"sqlite:{one.database}", new_database(postgres), new_database(mariadb), new_database(ferretdb),
            f"sqlite:{back}"]
    results = [move(one, a, b) for a, b in zip(ways, ways[1:])]
    assert results[0]["messages"] == len(before["messages"]) == 59
    assert results[0]["attempts"] == len(before["attempts"])
    assert results[0]["runs"] == len(before["runs"])
    assert results[0]["jobs"] == len(before["jobs"]) == 2
    assert results[0]["failed"] == 10 and results[0]["sending"] == 10 and results[0]["invalid"] == 1
    assert all(r == results[0] for r in results)
    after = content(back)
    # About the same, since it is one clock: MongoDB's is known to some milliseconds, and the machine's may be set.
    assert before["beat_at"] - 1_000_000 < after["beat_at"] < before["beat_at"] + 60_000_000
    del before["beat_at"], after["beat_at"]
    assert after == before

    # The source is left alone by servers from now on; what came back is worked with.
    assert one.run("serve").returncode == 2
    there = herald(**{**one.env, "SERVER_PORT": 0, "DATABASE_URL": ways[-1], "NODE_ID": "other",
                      "WEBHOOK_URL": sink().url}).start()
    repeated = there.api.post("/api/v1/messages", {"phoneNumber": h.PHONE, "content": "sent with all",
                                                   "metadata": {"a": ["b", None, 1.5, {"c": "ü"}]},
                                                   "idempotencyKey": "key-1"})
    assert repeated.data["id"] == next(m["id"] for m in before["messages"] if m["idempotency_key"] == "key-1")
    new = there.create("sent here")
    assert int(new["id"]) == 60
    there.wait_stats(sending=0, unknown=20)  # strict: what was in flight is parked
    there.scheduler("start", {"failureRate": 0})
    there.wait_status(new, "sent")
    assert there.runs()[0]["id"] > before["runs"][-1]["id"]


@pytest.fixture
def relay(postgres):
    """Between herald and the server; see cluster/proxy.py."""
    with proxy.Proxy(("127.0.0.1", postgres.port), spots_commit=proxy.commits_of("postgres")) as one:
        yield one


def test_killed_and_resumed(herald, postgres, relay, tmp_path):
    """kill -9 at three places, each a little further."""
    one = herald(AUTO_START_SCHEDULER="false").start()
    one.create_many(20000, prefix="x" * 200)
    one.stop()
    source, target = f"sqlite:{one.database}", new_database(postgres).replace(f":{postgres.port}/", f":{relay.port}/")
    database = target.split("?")[0].rsplit("/", 1)[1]

    def copied():
        try:
            return int(postgres.sql("SELECT count(*) FROM herald_messages", database))
        except (subprocess.CalledProcessError, ValueError):
            return 0
    last, relay.stepping = 0, True
    for _ in range(3):
        process = subprocess.Popen([h.BIN, "move", "--from", source, "--to", target], cwd=one.dir,
                                   env=h.environment(**one.env), stderr=subprocess.PIPE, text=True)
        # At the commit after one that has brought it further.
        while h.eventually(lambda: relay.waiting or process.poll() is not None, 20) and copied() == last:
            relay.let_pass()
        process.kill()
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said
        relay.drop_waiting()
        h.eventually(lambda: not relay.waiting, what="the end of its connection")
        last = copied()
        assert 0 < last < 20000
    relay.stepping = False
    # Nobody works with either side meanwhile.
    for url, said in ((source, "being moved to"), (target, "unfinished copy of")):
        refused = one.run("serve", DATABASE_URL=url)
        assert refused.returncode == 2 and said in refused.stderr, refused.stderr
    assert "unfinished copy" in move(one, source=target, target=f"sqlite:{tmp_path}/other.db", expect=2)
    result = move(one, source, target)
    assert result["resumed"] and result["messages"] == result["pending"] == 20000
    assert "moved to" in one.run("serve").stderr
    assert "was moved" in move(one, source, target, expect=2)
    one.start(DATABASE_URL=target)
    assert one.stats()["pending"] == 20000


def test_interrupted_says_how_to_go_on(herald, postgres):
    one = herald(AUTO_START_SCHEDULER="false").start()
    one.create_many(3)
    one.stop()
    target = new_database(postgres)
    process = subprocess.Popen([h.BIN, "move", "--to", target], cwd=one.dir, env=h.environment(**one.env),
                               stderr=subprocess.PIPE, text=True)
    # The password is not there for others to read.
    h.eventually(lambda: b"move" in open(f"/proc/{process.pid}/cmdline", "rb").read() and
                 b"//" not in open(f"/proc/{process.pid}/cmdline", "rb").read())
    h.eventually(lambda: "source" in postgres_note(postgres, target) or "target" in postgres_note(postgres, target))
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1 and "the same command goes on" in said
    assert move(one, f"sqlite:{one.database}", target)["resumed"]


def postgres_note(postgres, url):
    try:
        return postgres.sql("SELECT said FROM herald_notes", url.split("?")[0].rsplit("/", 1)[1])
    except subprocess.CalledProcessError:
        return ""


def test_refusals(herald, postgres, mariadb, tmp_path):
    one = herald(AUTO_START_SCHEDULER="false").start()
    one.create("there")
    local, shared = f"sqlite:{one.database}", new_database(postgres)
    assert "in use" in move(one, local, shared, expect=2)
    one.stop()

    two = herald(DATABASE_URL=shared, NODE_ID="second", AUTO_START_SCHEDULER="false").start()
    h.eventually(lambda: two.api.get("/api/v1/nodes").data, what="the first report")
    assert "node second works with it" in move(one, local, shared, expect=2)
    assert "node second works with it" in move(one, shared, f"sqlite:{tmp_path}/new.db", expect=2)
    two.create("there too")
    two.stop()
    assert "holds messages" in move(one, local, shared, expect=2)

    assert "same database" in move(one, local, local, expect=2)
    other_name = shared + ("&" if "?" in shared else "?") + "application_name=other"
    assert "empty" in move(one, shared, other_name, expect=2)
    empty = new_database(postgres)
    one.run("migrate", DATABASE_URL=empty)
    other_name = empty + ("&" if "?" in empty else "?") + "application_name=other"
    assert "same database" in move(one, empty, other_name, expect=2)
    assert "no such file" in move(one, f"sqlite:{tmp_path}/typo.db", new_database(mariadb), expect=2)
    assert not (tmp_path / "typo.db").exists()
    assert "keeps nothing" in move(one, local, "memory:", expect=2)
    assert one.run("move").returncode == 2
    assert one.run("move", "--to", "ftp://x").returncode == 2
    # Nothing of this has left a mark.
    one.start()
    one.stop()


def test_a_source_can_be_had_back(herald, tmp_path):
    one = herald().start()
    one.create("Hello")
    one.stop()
    jobs = content(one.database)["jobs"]
    assert len(jobs) == 1 and jobs[0]["finished_at"] == 0
    assert one.run("move", "--release").returncode == 1
    move(one, f"sqlite:{one.database}", f"sqlite:{tmp_path}/new.db")
    # The scheduler was stopped for the move, and its job with it; where it goes on, so does the job.
    assert content(one.database)["jobs"][0]["finished_at"] > 0
    assert content(tmp_path / "new.db")["jobs"] == jobs
    assert one.run("serve").returncode == 2
    done = one.run("move", "--release")
    assert done.returncode == 0, done.stderr
    one.start()
    assert one.status()["running"] is True
    assert len(content(one.database)["jobs"]) == 2
    assert one.stats()["total"] == 1


@pytest.mark.parametrize("word", ["moved", "messages"])
def test_says_what_it_did(herald, tmp_path, word):
    one = herald(AUTO_START_SCHEDULER="false").start()
    one.create_many(2)
    one.stop()
    done = one.run("move", "--to", f"sqlite:{tmp_path}/new.db")
    assert done.returncode == 0 and word in done.stdout
