"""herald in the place of other systems, each on its own kind of database and a real Redis: what NAME.yaml expects."""
import datetime
import json
import re
import time
import urllib.parse

import pytest

import herald as h
from herald import eventually
from profiles import TIME, Place, fill, load_all, matches, provider_answers, uuid_of

SPECS = load_all()
NAMES = sorted(SPECS)
# No waiting for beats where the beat is not what is tested.
QUICK = {"MESSAGE_SEND_INTERVAL": "50ms", "MESSAGE_BATCH_SIZE": 1, "AUTO_START_SCHEDULER": "false", "FIRST_RUN": "at-once"}


def each(part):
    """Every entry of a part of every profile, with its name."""
    rows = [(name, i) for name in NAMES for i in range(len(SPECS[name].get(part, [])))]
    return pytest.mark.parametrize("name,row", rows, ids=[f"{n}-{i}" for n, i in rows])


# --- configuration ------------------------------------------------------------------------------------------


def place_without_servers(name, directory):
    return Place(name, SPECS[name], directory, "x://user:secret@db.example:1234/name", None, None)


def check_config(done, means):
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    for option, (value, origin) in means.items():
        assert [str(got[option]["value"]), got[option]["origin"]] == [str(value), origin], option


@pytest.mark.parametrize("name", NAMES)
def test_the_originals_configuration_is_understood(name, tmp_path):
    p = place_without_servers(name, tmp_path)
    check_config(p.config(), fill(SPECS[name]["configuration"]["means"], p.names))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_configured_is_the_originals_defaults(name, tmp_path):
    p = place_without_servers(name, tmp_path)
    means = SPECS[name]["configuration"]["means"]
    # Whatever comes from the profile does so without a configuration, too.
    bare = {k: v for k, v in means.items() if v[1] == f"profile {name}"}
    assert bare
    check_config(p.config(configuration={}), fill({**bare, **SPECS[name]["configuration"].get("bare", {})}, p.names))


@each("refused")
def test_a_mistake_in_it_is_told_by_its_own_name(name, row, tmp_path):
    wrong = SPECS[name]["refused"][row]
    done = place_without_servers(name, tmp_path).config(configuration=wrong)
    assert done.returncode == 2, done.stdout
    assert done.stderr.splitlines() == ["herald config: " + wrong["says"]]


def test_an_unknown_profile_is_told_the_known_ones(tmp_path):
    p = place_without_servers(NAMES[0], tmp_path)
    done = p.config("--profile", "message", configuration={})
    assert done.returncode == 2
    allowed = done.stderr.rpartition("allowed: ")[2]
    assert '"message" is no profile (flag --profile)' in done.stderr
    for name in NAMES:
        assert name in allowed


# --- routes -------------------------------------------------------------------------------------------------


def ids_of(shown):
    """Both spellings of an id that herald shows in one of them."""
    if isinstance(shown, int):
        return {"id": shown, "uuid": uuid_of(shown)}
    number = next(n for n in range(1, 10000) if uuid_of(n) == shown)
    return {"id": number, "uuid": shown}


class Scene:
    """A herald of a profile that is off, and the messages it has been given so far."""

    def __init__(self, p, one):
        self.place, self.herald, self.messages = p, one, []

    def send(self, n):
        """Creates n messages while nothing is sent, then has them sent: two one after the other, more all at once."""
        first = len(self.messages) + 1
        for i in range(first, first + n):
            m = self.herald.create(f"message {i}")
            self.messages.append({**ids_of(m["id"]), "messageId": f"provider-{i}"})
        if n > 2:
            self.herald.scheduler("start", {"batchSize": n})
            self.herald.wait_stats(sent=len(self.messages), timeout=30)
            self.herald.scheduler("stop")
            return
        for i in range(first, first + n):
            # Not by the scheduler: its next beat would not wait for the end of what the last one has sent.
            eventually(lambda: self.herald.api.post("/api/v1/scheduler/run").status == 200, what="a run")
            self.herald.wait_stats(sent=i)

    def cached(self):
        """What the first message, or the list, has in Redis by now; None while there is nothing."""
        spec, r = self.place.spec["redis"], self.place.redis
        key = spec["key"]
        for kind in ("id", "uuid", "messageId"):
            key = key.replace("{%s:1}" % kind, str(self.messages[0][kind]))
        if spec["type"] == "list":
            values = r("LRANGE", key, 0, len(spec["values"]) - 1)
            return key, values if len(values) == len(spec["values"]) else None
        value = r("GET", key)
        return key, [value] if value is not None else None


@pytest.fixture(scope="module")
def scenes(place, run):
    made = {}

    def get(name):
        if name not in made:
            p = place(name)
            made[name] = Scene(p, run(p, **QUICK))
        return made[name]
    return get


def check_answer(answer, expected, messages):
    status, body, media = (expected + [None])[:3]
    assert answer.status == status, answer
    if isinstance(body, dict):
        rows = answer.json if isinstance(answer.json, list) else answer.json["data"]
        assert len(rows) == body["rows"]
    elif body is not None:
        assert matches(body, answer.body.decode(), messages), answer
    if answer.body:
        assert answer.headers["Content-Type"] == (media or "application/json")
    assert answer.headers["X-Correlation-Id"] == "asked-by-the-test"


def plain(path):
    return path.removeprefix("second:")


def client_for(p, one, path):
    """Of the listener that has the path."""
    return h.Client(p.names["second_port"]) if path.startswith("second:") else one.api


@each("routes")
def test_route(name, row, scenes):
    """In the order of the file: each row finds what the ones before it have left."""
    scene = scenes(name)
    [(what, expected)] = SPECS[name]["routes"][row].items()
    if what == "send":
        scene.send(expected)
        if SPECS[name]["routes"].index({what: expected}) == row and len(scene.messages) == expected:
            check_redis(name, scene)
        return
    method, path = what.split(" ")
    client = client_for(scene.place, scene.herald, path)
    answer = client.request(method, plain(path), key=None, headers={"X-Correlation-Id": "asked-by-the-test"})
    check_answer(answer, expected, scene.messages)


def check_redis(name, scene):
    spec = SPECS[name]["redis"]
    key, values = eventually(lambda: scene.cached() if scene.cached()[1] else None, what="the entry in Redis")
    assert scene.place.redis("TYPE", key) == spec["type"]
    for expected, got in zip(spec["values"], values, strict=True):
        assert matches(expected, got, scene.messages), got
    ttl = scene.place.redis("TTL", key)
    assert ttl == -1 if spec["ttl"] == -1 else spec["ttl"] - 30 < ttl <= spec["ttl"]


@pytest.mark.parametrize("name", NAMES)
def test_every_route_has_its_expectations(name, scenes):
    """The document of the profile's routes names none that no row above has asked for; and it is whole."""
    document = scenes(name).herald.api.get("/profile/openapi.json").json
    if not SPECS[name]["routes"][0] or document["info"]["title"] == "herald":
        return  # no routes of its own
    asked = {tuple(plain(part) for part in what.partition("?")[0].split(" "))
             for row in SPECS[name]["routes"] for what in row if what != "send"}
    for path, operations in document["paths"].items():
        for method in operations:
            pattern = re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path)))
            assert any(m == method.upper() and pattern.fullmatch(a) for m, a in asked), f"no row for {method} {path}"
    text = json.dumps(document)
    for ref in set(part.partition('"')[0] for part in text.split('"$ref": "#/')[1:]):
        node = document
        for step in ref.split("/"):
            assert step in node, ref
            node = node[step]


def routes_of(name):
    """(method, path) of every route that answered as a route should."""
    return sorted({tuple(what.partition("?")[0].split(" ")) for row in SPECS[name]["routes"]
                   for what, expected in row.items()
                   if not what.startswith(("send", "HEAD", "GET /swagger")) and expected[0] in (200, 400, 500)})


def test_without_a_profile_they_are_not_there(tmp_path):
    one = h.Herald(tmp_path, DATABASE_URL="memory:")
    try:
        one.start()
        for name in NAMES:
            for method, path in routes_of(name):
                answer = one.api.request(method, plain(path), key=None)
                # auto-sender shares one path with herald's own API.
                expected = 401 if path.startswith("/api/v1/messages") and path.count("/") == 3 else 404
                assert answer.status == expected, (method, path, answer)
    finally:
        one.cleanup()


@pytest.mark.parametrize("name", NAMES)
def test_closed_when_asked_to(name, tmp_path):
    second = h.free_port()
    one = h.Herald(tmp_path, DATABASE_URL="memory:", HERALD_PROFILE=name, PROFILE_AUTH="required",
                   SERVER_SECOND_PORT=second)
    try:
        one.start()
        for method, path in routes_of(name):
            if path.endswith(("/openapi.json", "/health")):
                continue
            client, path = (h.Client(second) if path.startswith("second:") else one.api), plain(path)
            refused = client.request(method, path, key=None)
            why = refused.json.get("error", refused.json.get("message"))
            assert (refused.status, why) == (401, "Invalid or missing API key"), (method, path)
            keys = [h.MESSAGES_KEY, h.SCHEDULER_KEY]
            assert sorted(client.request(method, path, key=k).status == 401 for k in keys) == [False, True]
        assert not one.log(OPEN)
    finally:
        one.cleanup()


OPEN = "the routes of the profile are open to everybody who reaches the port; PROFILE_AUTH=required closes them with herald's keys"


@pytest.mark.parametrize("name", NAMES)
def test_explorer(name, scenes):
    """Where the original had it, with the document of the profile's routes beside it."""
    scene = scenes(name)
    for place in SPECS[name]["explorer"]:
        api, path = client_for(scene.place, scene.herald, place), plain(place)
        answer = api.get(path, key=None)
        if answer.status == 404 and b"Not found" not in answer.body:
            pytest.skip("this build has no pages")
        for _ in range(answer.status in (301, 302, 307, 308)):
            path = urllib.parse.urljoin(path, answer.headers["Location"])
            answer = api.get(path, key=None)
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/html"), (path, answer)
        # Of one listener: the page may ask nobody else. All that it shows is there.
        document = api.get(urllib.parse.urljoin(path, "openapi.json"), key=None).json
        whole = scene.herald.api.get("/profile/openapi.json", key=None).json
        assert document["info"] == whole["info"] and document["paths"].items() <= whole["paths"].items()
        assert document["paths"] == whole["paths"] or len(SPECS[name]["explorer"]) > 1
        for shown in document["paths"]:
            assert api.request("OPTIONS", re.sub(r"\{\w+\}", "1", shown), key=None).status != 404, shown


@pytest.mark.parametrize("name", NAMES)
def test_open_routes_are_warned_of(name, scenes):
    assert len(scenes(name).herald.log(OPEN)) == (0 if name == "insider-message-service" else 1)


# --- sending ------------------------------------------------------------------------------------------------


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@pytest.mark.parametrize("name", NAMES)
def test_order(name, place, run):
    p = place(name)
    one = run(p, **QUICK, SEND_CONCURRENCY=1)  # or the second may overtake the first on its way
    one.create_many(4, "message")
    one.scheduler("start")
    one.wait_stats(sent=4)
    numbers = [int(c.rpartition(" ")[2]) for c in p.sink.contents()]
    assert numbers == sorted(numbers, reverse=SPECS[name]["sending"]["order"] == "newest")


@pytest.mark.parametrize("name", NAMES)
def test_success_codes(name, place, run):
    sending = SPECS[name]["sending"]
    codes = sending["accepted"] + sending["refused"]

    def answer(request):
        status = int(request.json["content"].split(" ")[1])
        body = b"" if status == 204 else b'{"messageId":"x"}'
        return h.reply(status, body)

    p = place(name, answer)
    one = run(p, **{**QUICK, "MESSAGE_SEND_INTERVAL": "0",
                                                               "RETRY_BACKOFF": "1h", "AUTO_START_SCHEDULER": "true"})
    made = {code: one.create(f"status {code} ") for code in codes}
    p.sink.wait(len(codes))
    for code in sending["accepted"]:
        one.wait_status(made[code], "sent")
    for code in sending["refused"]:
        attempt = eventually(lambda m=made[code]: one.attempts(m), what="an attempt")[0]
        assert attempt["status"] == "failed" or attempt.get("error"), (code, attempt)
        assert one.get(made[code])["status"] in ("pending", "failed")


@pytest.mark.parametrize("name", [n for n in NAMES if "tries" in SPECS[n]["sending"]])
def test_tries(name, place, run):
    """A failure is tried again on its own clock, though the next run is an hour away; and as often as it should."""
    sending = SPECS[name]["sending"]
    p = place(name, lambda r: h.reply(500, b"{}"))
    one = run(p, **{**QUICK, "MESSAGE_SEND_INTERVAL": "1h"})
    m = one.create("message 1")
    one.scheduler("start")
    gaps, waits = sending.get("gaps", []), {}

    def all_came():
        shown = one.get(m)
        if "nextAttemptAt" in shown:
            waits[shown["attempts"]] = seconds(shown["nextAttemptAt"]) - seconds(shown["updatedAt"])
        return len(p.sink.requests) > len(gaps)
    eventually(all_came, 40, what="its tries")
    times = [r.mono for r in p.sink.requests]
    assert waits or not gaps
    for i, gap in enumerate(gaps):
        assert gap <= times[i + 1] - times[i], (i, times)
        # Looked at in between, so on a busy machine one may have been missed.
        assert gap - 0.01 <= waits.get(i + 1, gap) <= 1.2 * gap + 0.01, (i, waits)
    if not gaps:
        one.wait_status(m, "failed")
        assert len(one.attempts(m)) == sending["tries"] == len(p.sink.requests)
    one.stop()


@pytest.mark.parametrize("name", [n for n in NAMES if "most_at_once" in SPECS[n]["sending"]])
def test_workers_in_parallel(name, place, run):
    p = place(name, lambda r: h.reply(delay=0.3))
    one = run(p, **{**QUICK, "MESSAGE_BATCH_SIZE": 6})
    one.create_many(6)
    one.scheduler("start")
    one.wait_stats(sent=6)
    assert p.sink.most_open == SPECS[name]["sending"]["most_at_once"]


@pytest.mark.parametrize("name", [n for n in NAMES if "first_run" in SPECS[n]["sending"]])
def test_first_run(name, place, run):
    """Counted from the start of the scheduler, with a message that waits for it."""
    late = SPECS[name]["sending"]["first_run"] == "after-interval"
    p = place(name)
    one = run(p, AUTO_START_SCHEDULER="false", MESSAGE_SEND_INTERVAL="2s" if late else "1h")
    one.create("message 1")
    begin = time.monotonic()
    one.scheduler("start")
    p.sink.wait(1)
    if late:
        assert p.sink.requests[0].mono - begin >= 2
    one.stop()


@pytest.mark.parametrize("name", NAMES)
def test_beats(name, place, run):
    """Never more than the batch in an interval, whatever the profile."""
    p = place(name)
    one = run(p, **{**QUICK, "MESSAGE_SEND_INTERVAL": "400ms", "MESSAGE_BATCH_SIZE": 2})
    one.create_many(5, "message")
    one.scheduler("start")
    one.wait_stats(sent=5)
    runs = [r for r in one.runs() if r["claimed"]][::-1]
    assert [r["claimed"] for r in runs] == [2, 2, 1]
    begun = [seconds(r["startedAt"]) for r in runs]
    assert all(b - a >= 0.399 for a, b in zip(begun, begun[1:])), begun
    one.stop()


@pytest.mark.parametrize("name", [n for n in NAMES if SPECS[n]["sending"].get("any_phone")])
def test_phone_numbers_of_any_form(name, place, run):
    """The original sent to whatever was in its table, up to 20 characters."""
    p = place(name)
    one = run(p, **QUICK)
    one.create("message 1", phone="0555 123 45 67")
    one.create("message 2", phone="5" * 20)
    refused = one.api.post("/api/v1/messages", {"phoneNumber": "5" * 21, "content": "message 3"})
    assert refused.status == 422 and "phoneNumber" in refused.json["details"], refused
    one.scheduler("start")
    one.wait_stats(sent=2)
    assert sorted(r.json["to"] for r in p.sink.requests) == ["0555 123 45 67", "5" * 20]
    one.stop()


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_do_not_double(name, place, run):
    p = place(name)
    env = {**QUICK, "MESSAGE_BATCH_SIZE": 5}
    first, second = run(p, **env), run(p, **env)
    first.create_many(40, "message")
    first.scheduler("start")
    second.wait_stats(sent=40)
    assert sorted(p.sink.contents()) == sorted(f"message {i}" for i in range(40))
    assert set(p.sink.seen.values()) == {1}
    nodes = {r["node"] for r in first.runs() if r["claimed"]}
    assert nodes <= {first.env["NODE_ID"], second.env["NODE_ID"]}
    first.stop()
    second.stop()


def test_killed_between_sending_and_knowing(place, run):
    """All profiles at once, since each waits for a lease to end: the receiver has the message, herald is gone before it
    hears of it. Another process finds the message and ends it."""
    env = {**QUICK, "MESSAGE_BATCH_SIZE": 2,
           "WEBHOOK_TIMEOUT_SECONDS": 1, "LEASE_DURATION": "12s"}
    running = []
    for name in NAMES:
        status = SPECS[name]["sending"].get("status", 202)
        p = place(name, lambda r, status=status: h.reply(status) if r.nth > 1 else h.hang)
        one = run(p, **env)
        messages = one.create_many(2, "message")
        one.scheduler("start")
        p.sink.wait(2)
        one.kill()
        running.append((name, p, run(p, **env), messages))
    for name, p, other, messages in running:
        for m in messages:
            other.wait_status(m, "sent" if SPECS[name]["sending"].get("tries") != 1 else "failed", timeout=30)
        assert other.stats()["sending"] == 0
        other.stop()


@pytest.mark.parametrize("name", NAMES)
def test_heralds_own_list_is_there(name, scenes):
    """For its command line and dashboard, also where the original had the same path."""
    scene = scenes(name)
    scene.herald.forget_connection()  # idle since the routes were asked, perhaps for too long
    known = [str(m["id"]) if isinstance(m["id"], int) else m["id"] for m in
             scene.herald.api.get("/api/v1/messages?pageSize=100").data]
    shown = scene.herald.run("list", "--json", "--limit", 100, "--url", scene.herald.url, "--api-key", h.MESSAGES_KEY)
    assert shown.returncode == 0, shown
    assert [str(m["id"]) for m in json.loads(shown.stdout)] == known
    assert len(known) == len(set(known)) >= len(scene.messages)


@pytest.mark.parametrize("name", ["messaging-service"])
def test_stop_waits_for_the_batch_in_hand(name, place, run):
    p = place(name, lambda r: h.reply(delay=1))
    one = run(p, **{**QUICK, "MESSAGE_SEND_INTERVAL": "1h", "MESSAGE_BATCH_SIZE": 2})
    messages = one.create_many(4, "message")
    one.api.post("/messaging/start")
    p.sink.wait(2)
    answer = one.api.post("/messaging/stop")
    assert answer.json == {"message": "Scheduler stopped successfully"}
    assert [one.wait_status(m, "sent", timeout=1)["status"] for m in messages[:2]] == ["sent", "sent"]
    assert len(p.sink.requests) == 2
    one.stop()


@pytest.mark.parametrize("name", NAMES)
def test_shutdown_is_in_order(name, place, run):
    """The API, the batch in hand, the cache, the database: each with a line."""
    p = place(name, lambda r: h.reply(SPECS[name]["sending"].get("status", 202), delay=0.5))
    one = run(p, **{**QUICK, "LOG_LEVEL": "info"})
    m = one.create("message 1")
    one.scheduler("start")
    p.sink.wait(1)
    one.stop()
    lines = [line["msg"] for line in one.log() if "step" in line]
    steps = ["the API stops accepting", "deliveries are settled", "the cache is closed", "the store is closed"]
    at = [next(i for i, text in enumerate(lines) if step in text) for step in steps]
    assert at == sorted(at)
    one.start(AUTO_START_SCHEDULER="false")
    assert one.get(m)["status"] == "sent"
    one.stop()


def test_times_are_what_rfc_3339_says():
    assert matches("{time}", "2026-01-02T03:04:05.678Z", []) and TIME
