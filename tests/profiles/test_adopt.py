"""`herald adopt`: the tables of the originals, as these leave them, become messages of herald's."""
import datetime
import json
import pathlib
import subprocess
import sys
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in ("integration", "servers"):
    sys.path.insert(0, str(ROOT / "tests" / folder))

import herald as h
import mongo_client
import servers

UUIDS = [str(uuid.UUID(int=(0xfeed << 112) + (n * 7919 % 1000) * 2**60 + n)) for n in range(1000)]

# Of each: its table, a row of each kind, how a row is added, and what herald makes of it. `original` and what
# follows are in the order in which they were created.
PROFILES = {
    "auto-sender": {
        "server": "postgres",
        "table": """CREATE TYPE status AS ENUM ('pending','failed','sent');
            CREATE TABLE messages(id uuid PRIMARY KEY, recipient_phone varchar(20) NOT NULL, content varchar(255),
            status status NOT NULL DEFAULT 'pending', created_at timestamptz NOT NULL, sent_at timestamptz)""",
        "rows": [
            (UUIDS[3], "'+905551111111','first','sent','2024-03-01 10:00:00+00','2024-03-01 10:02:00.5+00'"),
            (UUIDS[1], "'+905551111112','second','failed','2024-03-01 12:00:01+02',NULL"),
            (UUIDS[2], "'+905551111113','third','pending','2024-03-01 10:00:02+00',NULL"),
        ],
        "add": "'+905551111114','later','pending',now(),NULL",
        "sent_at": "2024-03-01T10:02:00.500Z",
        "created_at": ["2024-03-01T10:00:00.000Z", "2024-03-01T10:00:01.000Z", "2024-03-01T10:00:02.000Z"],
    },
    "messaging-service": {
        "server": "postgres",
        "table": """CREATE TABLE messages(id uuid PRIMARY KEY, content varchar(100), recipient_phone_number varchar(20),
            sending_status smallint NOT NULL DEFAULT 0, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
            CREATE INDEX ON messages(sending_status, created_at)""",
        "rows": [
            (UUIDS[7], "'first','+905551111111',1,'2024-03-01 10:00:00','2024-03-01 10:02:00.5'"),
            (UUIDS[6], "'second','+905551111112',2,'2024-03-01 10:00:01','2024-03-01 10:02:01'"),
            (UUIDS[5], "'third','+905551111113',0,'2024-03-01 10:00:02','2024-03-01 10:00:02'"),
        ],
        "add": "'later','+905551111114',0,now(),now()",
        "sent_at": "2024-03-01T10:02:00.500Z",
        "created_at": ["2024-03-01T10:00:00.000Z", "2024-03-01T10:00:01.000Z", "2024-03-01T10:00:02.000Z"],
    },
    "insider-message-service": {
        "server": "mysql",
        "table": """CREATE TABLE messages(id bigint AUTO_INCREMENT PRIMARY KEY, content text, phone_number varchar(20),
            status varchar(20), message_id varchar(100), sent_at datetime(3) NULL, created_at datetime(3),
            updated_at datetime(3))""",
        "rows": [
            (17, "'first','+905551111111','sent','67f2f8a8','2024-03-01 10:02:00.5','2024-03-01 10:00:00',"
                 "'2024-03-01 10:02:00.5'"),
            (18, "'second','+905551111112','failed',NULL,NULL,'2024-03-01 10:00:01','2024-03-01 10:02:01'"),
            (20, "'third','+905551111113','pending',NULL,NULL,'2024-03-01 10:00:02','2024-03-01 10:00:02'"),
        ],
        "add": "'later','+905551111114','pending',NULL,NULL,now(3),now(3)",
        "sent_at": "2024-03-01T10:02:00.500Z",
        "message_id": "67f2f8a8",
        "created_at": ["2024-03-01T10:00:00.000Z", "2024-03-01T10:00:01.000Z", "2024-03-01T10:00:02.000Z"],
    },
    "message-sender": {
        "server": "mysql",
        "table": """CREATE TABLE messages(id int AUTO_INCREMENT PRIMARY KEY, recipient varchar(20), content text,
            status enum('pending','processing','sent','failed') DEFAULT 'pending', created_at timestamp NOT NULL,
            updated_at timestamp NOT NULL)""",
        "rows": [
            (1, "'+905551111111','first','sent','2024-03-01 10:00:00','2024-03-01 10:02:00'"),
            (2, "'+905551111112','second','failed','2024-03-01 10:00:01','2024-03-01 10:02:01'"),
            (4, "'+905551111113','third','processing','2024-03-01 10:00:02','2024-03-01 10:00:02'"),
        ],
        "add": "'+905551111114','later','pending',now(),now()",
        "sent_at": "2024-03-01T10:02:00.000Z",
        "created_at": ["2024-03-01T10:00:00.000Z", "2024-03-01T10:00:01.000Z", "2024-03-01T10:00:02.000Z"],
    },
}


class Original:
    def __init__(self, profile, server):
        self.server, self.data = server, PROFILES[profile]
        self.name = "original_" + profile.replace("-", "_")
        self.sql(f"DROP DATABASE IF EXISTS {self.name}", None)
        self.sql(f"CREATE DATABASE {self.name}", None)
        # Written in the session's zone, which is not herald's business.
        self.zone = "SET time_zone='+00:00';" if self.data["server"] == "mysql" else "SET timezone='UTC';"
        self.sql(self.data["table"])
        for id, rest in self.data["rows"]:
            self.add(id, rest)

    def sql(self, text, database=...):
        if database is ...:
            return self.server.sql(self.zone + text, self.name)
        return self.server.sql(text, servers.DATABASE)

    def add(self, id, rest):
        self.sql(f"INSERT INTO messages VALUES ('{id}',{rest})")

    def contents(self):
        return self.sql("SELECT * FROM messages ORDER BY id")

    @property
    def url(self):
        base, _, tail = self.server.url.rpartition("/" + servers.DATABASE)
        return f"{base}/{self.name}{tail}"


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


class Collection:
    """The messages of the original messenger, a document each."""

    def __init__(self, server):
        self.server, self.name = server, "original_messenger"
        mongo_client.command(server.port, self.name, dropDatabase=1)
        base = datetime.datetime(2024, 3, 1, 10, tzinfo=datetime.timezone.utc)
        minute = datetime.timedelta(minutes=1)
        self.ids = [f"65e1a3c0{n:016x}" for n in (4, 3, 2, 1)]
        for n, (status, sent, failed, to) in enumerate((("sent", base + 2 * minute, None, "+905551111111"),
                                                        ("failed", None, base + 3 * minute, "+905551111112"),
                                                        ("invalid", None, None, "555"),
                                                        ("pending", None, None, "+905551111114"))):
            self.add(self.ids[n], to, f"message {n}", status, base + n * minute, sent, failed)

    def add(self, id, to, content, status, created_at, sent_at=None, failed_at=None):
        mongo_client.command(self.server.port, self.name, insert="messages", documents=[{
            "_id": mongo_client.ObjectId(id), "to": to, "content": content, "status": status, "sent_at": sent_at,
            "failed_to_sent_at": failed_at, "created_at": created_at, "updated_at": created_at}])

    def contents(self):
        return mongo_client.command(self.server.port, self.name, find="messages")["cursor"]["firstBatch"]

    @property
    def url(self):
        return f"mongodb://127.0.0.1:{self.server.port}/{self.name}"


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
                   "(7,'+905551111111','good','pending',now(),now())")
    assert a(code=1) == (4, 0, 2)
    assert "row 5 is left out: its phone number" in a.said and "row 6 is left out: its content" in a.said
    assert a(code=1) == (0, 4, 2)


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
