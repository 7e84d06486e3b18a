"""Reads the expectations of a profile, NAME.yaml, and runs herald as its original is run.

    database        postgres, mysql or mongodb: whose place DB_* or {database} stands for
    configuration   the original's own, and what it means: `dotenv` (the text of .env), `file` and `text`, or
                    `environment`; `means`: option -> [value, origin] as `herald config print` says it; `bare`: the
                    same with nothing configured at all
    refused         the same three with a mistake, and the line that says so
    routes          "METHOD path": [status, body, content type]; in order. A body is compared byte for byte, null is any,
                    {rows: n} that many rows, of the body or of its `data`. A path behind "second:" is asked of the
                    second listener. `send: n` creates n messages ("message 1", ...) and has
                    them sent: two one after the other, more at once
    explorer        the paths at which it is
    redis           what lies there after the first `send` of `routes`, for the first message or as a list
    sending         order, first_run, accepted and refused status codes, tries and the gaps between them

In texts stand for what differs from run to run: {id:1} {uuid:1} {messageId:1} the ids of the first message created,
{time} an RFC 3339 time; in configurations {port} {webhook} {redis_port} {db_host} ..., where {{ and }} are braces.
"""
import itertools
import json
import pathlib
import re
import subprocess
import urllib.parse

import yaml

import herald as h

HERE = pathlib.Path(__file__).resolve().parent
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def load_all():
    return {p.stem: yaml.safe_load(p.read_text()) for p in sorted(HERE.glob("*.yaml"))}


def fill(value, names):
    """The {names} of configurations in all texts of a value."""
    if isinstance(value, str):
        return value.format(**names)
    if isinstance(value, list):
        return [fill(v, names) for v in value]
    if isinstance(value, dict):
        return {k: fill(v, names) for k, v in value.items()}
    return value


def fill_text(text, names):
    """The same in a file's text, whose other braces are its own."""
    for k, v in names.items():
        text = text.replace("{%s}" % k, str(v))
    return text


def matches(expected, text, messages):
    """Whether text is `expected` byte for byte but for its placeholders."""
    def pattern(m):
        kind, _, n = m[1].partition(":")
        if kind == "time":
            return TIME
        return re.escape(str(messages[int(n) - 1][kind]))

    parts = re.split(r"(\{(?:time|(?:id|uuid|messageId):\d+)\})", expected)
    regex = "".join(pattern(re.match(r"\{(.*)\}", p)) if i % 2 else re.escape(p) for i, p in enumerate(parts))
    return re.fullmatch(regex, text) is not None


class Place:
    """Where one herald of a profile lives: a directory with the original's configuration, a database, a Redis, a
    receiver. start() may be called for several heralds in one place."""

    def __init__(self, name, spec, directory, database_url, redis, sink):
        self.name, self.spec, self.dir, self.redis, self.sink = name, spec, directory, redis, sink
        directory.mkdir(parents=True, exist_ok=True)
        u = urllib.parse.urlsplit(database_url)
        self.port = h.free_port()
        self.names = {
            "port": self.port, "webhook": sink.url if sink else "http://127.0.0.1:9/", "db_host": u.hostname,
            "db_port": u.port, "db_user": u.username, "db_password": u.password, "db_name": u.path[1:],
            "redis_port": redis.port if redis else 6379, "database": database_url.replace("x://", "mongodb://"), "second_port": h.free_port(),
        }
        self.numbers = itertools.count()

    def environment(self, configuration=None):
        """Writes the original's files and returns its variables."""
        c = configuration if configuration is not None else self.spec["configuration"]
        if "dotenv" in c:
            (self.dir / ".env").write_text(fill_text(c["dotenv"], self.names))
        if "file" in c:
            path = self.dir / c["file"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(fill_text(c["text"], self.names))
        return {k: fill_text(v, self.names) for k, v in c.get("environment", {}).items()}

    def config(self, *arguments, configuration=None, **env):
        return subprocess.run([h.BIN, "config", "print", "--json", *arguments], cwd=self.dir, text=True,
                              capture_output=True,
                              env=h.environment(HERALD_PROFILE=self.name, **self.environment(configuration), **env))

    def herald(self, **env):
        """A herald that is not started yet, configured by the original's own means and by env."""
        directory = self.dir
        own = self.environment()
        first = next(self.numbers) == 0
        one = h.Herald(directory, SERVER_PORT=self.port if first else h.free_port())
        # Of what such tests usually set, only what no original knows.
        port = {} if first else {"SERVER_PORT": one.port, "SERVER_SECOND_PORT": 0}
        if not first:
            own.pop("PORT", None)
        if "MESSAGE_SEND_INTERVAL" in env:
            own.pop("MESSAGE_SEND_INTERVAL_MINUTES", None)
        one.env = {
            "HERALD_PROFILE": self.name,
            "MESSAGES_API_KEY": h.MESSAGES_KEY,
            "SCHEDULER_API_KEY": h.SCHEDULER_KEY,
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "json",
            "SEED_DATA": "false",
            "NODE_ID": f"node{self.port if first else one.port}",
            **own, **port, **{k: str(v) for k, v in env.items() if v is not None},
        }
        one.log_path = directory / f"{one.port}.log"
        return one


def provider_answers(kind, status=202):
    """A receiver's answer for each request, with an id that tells the content: id of "message 1" is provider-1."""
    def answer(request):
        given = "provider-" + request.json["content"].rpartition(" ")[2]
        if kind == "header":
            return h.reply(status, {"message": "Accepted"}, {"x-request-id": given})
        return h.reply(status, {"message": "Accepted", "messageId": given})
    return answer


def uuid_of(number):
    """The UUID that stands for an id, worked out a second time: 64 bits are the id behind SplitMix64's finalizer, the
    rest is a hash of them (RFC 9562, version 8)."""
    mask = (1 << 64) - 1

    def mix(v):
        v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9 & mask
        v = (v ^ v >> 27) * 0x94d049bb133111eb & mask
        return v ^ v >> 31

    body = mix(number ^ 0x686572616c640001)
    high = body >> 16 << 16 | 0x8000 | body >> 4 & 0xfff
    low = 1 << 63 | (body & 0xf) << 58 | mix(body ^ 0x686572616c640002) >> 6
    text = f"{high:016x}{low:016x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
