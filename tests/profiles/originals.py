"""The tables of the systems that herald stands in for, as these leave them."""
import datetime
import pathlib
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "servers"))

import mongo_client
import servers

UUIDS = [str(uuid.UUID(int=(0xfeed << 112) + (n * 7919 % 1000) * 2**60 + n)) for n in range(1000)]

# Of each: its table, a row of each kind, how a row is added, and what herald makes of it. `created_at` is in the order of
# the rows, which is that of their creation. Unless `name` and `id` say otherwise, the table is `messages`, and its
# first column `id`.
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
        self.sql(f"INSERT INTO {self.data.get('name', 'messages')} VALUES ('{id}',{rest})")

    def contents(self):
        return self.sql(f"SELECT * FROM {self.data.get('name', 'messages')} ORDER BY {self.data.get('id', 'id')}")

    @property
    def url(self):
        base, _, tail = self.server.url.rpartition("/" + servers.DATABASE)
        return f"{base}/{self.name}{tail}"


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

    def insert(self, id, **fields):
        mongo_client.command(self.server.port, self.name, insert="messages",
                             documents=[{"_id": mongo_client.ObjectId(id), **fields}])

    def contents(self):
        return mongo_client.command(self.server.port, self.name, find="messages")["cursor"]["firstBatch"]

    @property
    def url(self):
        return f"mongodb://127.0.0.1:{self.server.port}/{self.name}"

# What a page of the guides may need (tests/guides).

def prepare(need):
    """Fetches and builds what starting takes, while the machine's own network is at hand."""
    if need == "originals":
        servers.FerretDB.build()


def start(need, started):
    """Servers, added to the list, and the variables that say where they are."""
    started.append(servers.Postgres())
    if need == "postgres":
        return {"DATABASE_URL": started[0].url}
    started.append(servers.MariaDB())
    started.append(servers.FerretDB())
    kinds = {server.name: server for server in started}
    variables = {"MESSENGER_DATABASE": Collection(kinds["mongodb"]).url}
    for profile, data in PROFILES.items():
        name = profile.removesuffix("-message-service").replace("-", "_").upper() + "_DATABASE"
        variables[name] = Original(profile, kinds[data["server"]]).url
    return variables
