"""`herald adopt`: the tables of the originals, as these leave them, become messages of herald's."""
import datetime
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in ("integration", "servers"):
    sys.path.insert(0, str(ROOT / "tests" / folder))

import herald as h
import servers
from originals import PROFILES, UUIDS, Collection, Original

@pytest.fixture
def receiver():
    one = h.Sink()
    yield one
    one.close()


@pytest.fixture
def adopt(tmp_path, database_servers):
    class Adoption:
        def __init__(self, profile, original=None):
            if original:
                self.original = original(database_servers("mongodb"))
            else:
                self.original = Original(profile, database_servers(PROFILES[profile]["server"]))
            self.profile = profile
            self.herald = h.Herald(tmp_path, HERALD_PROFILE=profile, MESSAGE_SEND_INTERVAL="100ms",
                                   AUTO_START_SCHEDULER="true", SEED_DATA="false")
            self.herald.env.pop("RETRY_BACKOFF")

        def __call__(self, *more, code=0):
            done = self.herald.run("adopt", "--from", self.original.url, "--json", "--quiet", *more,
                                   HERALD_PROFILE=self.profile)
            assert done.returncode == code, done.stdout + done.stderr
            assert servers.PASSWORD not in done.stdout + done.stderr
            self.said = done.stderr
            return tuple(json.loads(done.stdout)[k] for k in ("adopted", "known", "leftOut"))

        def messages(self):
            """By herald's own API, of a herald that sends nothing."""
            self.herald.start(ROLE="api", HERALD_PROFILE=None)
            listed = self.herald.api.get("/api/v1/messages?pageSize=100").data
            self.herald.stop()
            return sorted(listed, key=lambda m: m["id"])
    made = []

    def make(profile, original=None):
        made.append(Adoption(profile, original))
        return made[-1]
    yield make
    for one in made:
        one.herald.cleanup()


def test_adopt_messenger(adopt, receiver):
    a = adopt("messenger", Collection)
    before = a.original.contents()
    assert len(before) == 4
    assert a() == (4, 0, 0)
    messages = a.messages()
    assert [m["status"] for m in messages] == ["sent", "failed", "invalid", "pending"]
    assert [m["content"] for m in messages] == [f"message {n}" for n in range(4)]
    assert [m["metadata"]["originalId"] for m in messages] == a.original.ids
    assert messages[0]["createdAt"] == "2024-03-01T10:00:00.000Z" and messages[0]["sentAt"] == "2024-03-01T10:02:00.000Z"
    assert messages[1]["lastError"] and messages[2]["lastError"]
    assert a() == (0, 4, 0)
    assert a.original.contents() == before
    a.original.add("65e1a3c0" + "f" * 16, "+905551111115", "later", "pending",
                   datetime.datetime.now(datetime.timezone.utc))
    assert a() == (1, 4, 0)
    a.herald.start(ROLE="all", HERALD_PROFILE="messenger", WEBHOOK_URL=receiver.url, WEBHOOK_SUCCESS="202",
                   SERVER_SECOND_PORT=h.free_port())
    h.eventually(lambda: len(receiver.requests) >= 2, what="what was pending")
    a.herald.stop()
    assert sorted(r.json["content"] for r in receiver.requests) == ["later", "message 3"]


@pytest.mark.parametrize("profile", PROFILES)
def test_adopt(adopt, receiver, profile):
    a, data = adopt(profile), PROFILES[profile]
    before = a.original.contents()
    assert a() == (3, 0, 0)
    first, second, third = a.messages()
    assert [m["content"] for m in (first, second, third)] == ["first", "second", "third"]
    assert [m["phoneNumber"] for m in (first, second, third)] == [f"+90555111111{n}" for n in (1, 2, 3)]
    assert [m["status"] for m in (first, second, third)] == ["sent", "failed", "pending"]
    assert [m["metadata"] for m in (first, second, third)] == [{"originalId": str(id)} for id, _ in data["rows"]]
    assert [m["createdAt"] for m in (first, second, third)] == data["created_at"]
    assert first["sentAt"] == data["sent_at"] and first.get("messageId") == data.get("message_id")
    assert second["lastError"] and "sentAt" not in second

    # Again, and after something has come in.
    assert a() == (0, 3, 0)
    more = UUIDS[500] if "uuid" in data["table"] else 400
    a.original.add(more, data["add"])
    assert a() == (1, 3, 0)
    assert a.original.contents().startswith(before.split("\n")[0]) or before in a.original.contents()

    # Sending goes on where it stopped: what was pending, and nothing else.
    a.herald.start(ROLE="all", HERALD_PROFILE=profile, WEBHOOK_URL=receiver.url, WEBHOOK_SUCCESS="202",
                   PROFILE_AUTH="required")
    h.eventually(lambda: len(receiver.requests) >= 2, what="what was pending")
    a.herald.stop()
    assert sorted(r.json["content"] for r in receiver.requests) == ["later", "third"]
    assert a() == (0, 4, 0)


def test_rows_that_cannot_be(adopt):
    a = adopt("message-sender")
    a.original.sql("INSERT INTO messages VALUES (5,'','no number','pending',now(),now()),"
                   "(6,'+905551111111',NULL,'pending',now(),now()),"
                   "(7,'+905551111111','good','pending',now(),now()),"
                   "(8,'+905551111111',CONCAT('cut',CHAR(0),'off'),'pending',now(),now())")
    assert a(code=1) == (4, 0, 3)
    assert "row 5 is left out: its phone number" in a.said and "row 6 is left out: its content" in a.said
    assert "row 8 is left out: its content" in a.said
    assert a(code=1) == (0, 4, 3)


def assert_not_known(a, contents, others):
    """These have the time of the adoption, and no other message's time has suffered from it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    messages = a.messages()
    times = [m["createdAt"] for m in messages if m["content"] in contents]
    assert len(times) == len(contents)
    for t in times:
        assert abs((datetime.datetime.fromisoformat(t.replace("Z", "+00:00")) - now).total_seconds()) < 600, t
    assert [m["createdAt"] for m in messages if m["content"] not in contents] == others


@pytest.mark.parametrize("profile, row", [
    ("auto-sender", f"('{UUIDS[900]}','+905551111111','odd','sent','-infinity','infinity')"),
    ("auto-sender", f"('{UUIDS[900]}','+905551111111','odd','pending','0001-01-01',NULL)"),
    ("insider-message-service", "(1,'odd','+905551111111','sent',NULL,NULL,NULL,NULL)"),
    ("message-sender", "(9,'+905551111111','odd','sent','0000-00-00','0000-00-00')"),
])
def test_a_time_that_is_not_known_spoils_no_other(adopt, profile, row):
    a = adopt(profile)
    if PROFILES[profile]["server"] == "mysql":
        a.original.sql("SET sql_mode=''; INSERT INTO messages VALUES " + row)
    else:
        a.original.sql("INSERT INTO messages VALUES " + row)
    assert a() == (4, 0, 0)
    assert_not_known(a, ["odd"], PROFILES[profile]["created_at"])


def test_documents_that_lack_something(adopt):
    a = adopt("messenger", Collection)
    created = [m["created_at"] for m in a.original.contents()]
    a.original.insert("a" * 24, to="+905551111111", content="", status="invalid")
    a.original.insert("b" * 24, to="+905551111111", content="text for a time", status="sent", created_at="2024-01-01")
    a.original.insert("c" * 24, to="+905551111111", content="no status")
    a.original.insert("d" * 24, content="no number", status="pending")
    assert a(code=1) == (6, 0, 2)
    assert "row " + "c" * 24 + " is left out: its status" in a.said
    assert "row " + "d" * 24 + " is left out: its phone number" in a.said
    assert_not_known(a, ["", "text for a time"], [f"2024-03-01T10:0{n}:00.000Z" for n in range(len(created))])
    assert a(code=1) == (0, 6, 2)


def test_a_database_without_the_collection_is_named(adopt):
    a = adopt("messenger", Collection)
    for url in (a.original.url.rpartition("/")[0], a.original.url + "_of_somebody_else"):
        done = a.herald.run("adopt", "--from", url)
        assert done.returncode == 1 and "has no collection messages" in done.stderr, done


def test_ids_that_come_twice(adopt):
    """A table without a primary key: the first of each is taken, the other is named, and all others come over."""
    a = adopt("messaging-service")
    a.original.sql("ALTER TABLE messages DROP CONSTRAINT messages_pkey")
    a.original.sql(f"INSERT INTO messages VALUES ('{UUIDS[6]}','twin','+905551111111',0,'2024-04-01','2024-04-01')")
    assert a(code=1) == (3, 0, 1)
    assert f"row {UUIDS[6]} is left out: its id comes twice" in a.said
    assert [m["content"] for m in a.messages()] == ["first", "second", "third"]


def test_times_and_ids_out_of_bounds(adopt):
    """A time that cannot be written is not known; an id that is too long is cut, and not within a character."""
    a = adopt("messaging-service")
    a.original.sql(f"INSERT INTO messages VALUES ('{UUIDS[900]}','far','+905551111111',1,'20000-01-01','20000-01-01'),"
                   f"('{UUIDS[901]}','old','+905551111111',1,'1960-01-01','1960-01-01')")
    assert a() == (5, 0, 0)
    assert_not_known(a, ["far", "old"], PROFILES["messaging-service"]["created_at"])
    b = adopt("insider-message-service")
    b.original.sql("ALTER TABLE messages MODIFY message_id varchar(1000) CHARACTER SET utf8mb4")
    b.original.sql("UPDATE messages SET message_id=CONCAT('x',REPEAT(CHAR(0xc3a9 USING utf8mb4),900)) WHERE id=17")
    assert b(code=0)[2] == 0
    kept = next(m["messageId"] for m in b.messages() if m["metadata"]["originalId"] == "17")
    assert kept.startswith("x\u00e9\u00e9") and set(kept[1:]) == {"\u00e9"}


def test_killed_half_way(adopt):
    a = adopt("messaging-service")
    a.original.sql("INSERT INTO messages SELECT gen_random_uuid(),'bulk '||n,'+905551234567',(n%3)::smallint,"
                   "'2024-04-01'::timestamp+n*interval '1 second','2024-05-01' FROM generate_series(1,20000) n")
    for tenths in range(1, 50):  # each time a little longer, so that it gets somewhere on any machine
        process = subprocess.Popen([h.BIN, "adopt", "--from", a.original.url, "--quiet"], cwd=a.herald.dir,
                                   env=h.environment(**a.herald.env), stdout=subprocess.DEVNULL)
        try:
            process.wait(tenths / 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        else:
            break
    adopted, known, left_out = a()
    assert adopted + known == 20003 and left_out == 0 and known > 0
    a.herald.start(ROLE="api", HERALD_PROFILE=None)
    stats = a.herald.api.get("/api/v1/messages/stats").data
    a.herald.stop()
    assert stats["total"] == 20003 and stats["sent"] == 6668 and stats["failed"] == 6668, stats


def test_what_is_missing_is_named(adopt):
    a = adopt("auto-sender")
    for arguments, words in (((), "--from is missing"), (("--from", "redis://x/"), "postgres://"),
                             (("--from", "postgres://nobody:secret@127.0.0.1:1/x"), "onnect")):
        done = a.herald.run("adopt", *arguments)
        assert done.returncode and words in done.stderr and "secret" not in done.stderr, done.stderr
    done = a.herald.run("adopt", "--from", a.original.url, HERALD_PROFILE=None)
    assert done.returncode == 2 and "--profile is missing" in done.stderr
    a.original.sql("ALTER TABLE messages RENAME COLUMN recipient_phone TO phone")
    done = a.herald.run("adopt", "--from", a.original.url)
    assert done.returncode == 1 and "recipient_phone" in done.stderr
    a.original.sql("DROP TABLE messages")
    done = a.herald.run("adopt", "--from", a.original.url)
    assert done.returncode == 1 and "messages" in done.stderr
