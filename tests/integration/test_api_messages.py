"""/api/v1/messages, as a client sees it."""
import json
import re
import threading

import pytest

from herald import MESSAGES_KEY, PHONE, SCHEDULER_KEY, eventually

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


@pytest.fixture
def stopped(herald):
    """A herald that sends nothing."""
    return herald(AUTO_START_SCHEDULER="false")


def invalid(answer, *fields):
    assert answer.status == 422, answer
    body = answer.json
    assert body["success"] is False
    assert body["error"] == "Validation failed"
    assert body["code"] == 422001
    assert sorted(body["details"]) == sorted(fields), body
    return body["details"]


# --- create


def test_create(stopped):
    a = stopped.api.post("/api/v1/messages", {"phoneNumber": PHONE, "content": "Grüße 👋",
                                               "metadata": {"b": [1, 2.5, None], "a": "x"},
                                               "sendAt": "2031-01-02T03:04:05+03:00"})
    assert a.status == 201
    assert a.json["success"] is True
    m = a.data
    assert m["id"] >= 1 and m["status"] == "pending" and m["attempts"] == 0
    assert m["content"] == "Grüße 👋" and m["phoneNumber"] == PHONE
    assert m["metadata"] == {"b": [1, 2.5, None], "a": "x"}
    assert m["sendAt"] == "2031-01-02T00:04:05.000Z" == m["nextAttemptAt"]
    assert TIME.match(m["createdAt"]) and m["updatedAt"] == m["createdAt"]
    assert not {"messageId", "sentAt", "lastError", "idempotencyKey"} & set(m)
    assert stopped.get(m) == m


@pytest.mark.parametrize("body, fields", [
    ({}, ["phoneNumber", "content"]),
    ({"phoneNumber": PHONE}, ["content"]),
    ({"phoneNumber": PHONE, "content": ""}, ["content"]),
    ({"phoneNumber": PHONE, "content": "x" * 1001}, ["content"]),
    ({"phoneNumber": PHONE, "content": 5}, ["content"]),
    ({"phoneNumber": PHONE, "content": None}, ["content"]),
    ({"phoneNumber": "0555", "content": "x"}, ["phoneNumber"]),
    ({"phoneNumber": "+0555123", "content": "x"}, ["phoneNumber"]),
    ({"phoneNumber": "+1234567890123456", "content": "x"}, ["phoneNumber"]),
    ({"phoneNumber": PHONE, "content": "x", "status": "sent", "to": 1}, ["status", "to"]),
    ({"phoneNumber": PHONE, "content": "x", "sendAt": "tomorrow"}, ["sendAt"]),
    ({"phoneNumber": PHONE, "content": "x", "idempotencyKey": ""}, ["idempotencyKey"]),
    ({"phoneNumber": PHONE, "content": "x", "idempotencyKey": "k" * 256}, ["idempotencyKey"]),
    ({"phoneNumber": PHONE, "content": "x", "idempotencyKey": "a b"}, ["idempotencyKey"]),
    ({"phoneNumber": PHONE, "content": "x", "metadata": []}, ["metadata"]),
    ({"phoneNumber": PHONE, "content": "x", "metadata": {"a": "x" * 4096}}, ["metadata"]),
    ([], ["body"]),
    ("text", ["body"]),
    (b'{"phoneNumber":"+905551234567","content":"a\\u0000b"}', ["body"]),
])
def test_create_refuses(stopped, body, fields):
    invalid(stopped.api.post("/api/v1/messages", body), *fields)
    assert stopped.stats()["total"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"{]", b'{"a":1,"a":2}', b'{"content":"\xff"}', b"{} {}",
                                  b'{"content":"x","phoneNumber":"+905551234567",}', b"[" * 5000])
def test_malformed_json(stopped, body):
    a = stopped.api.post("/api/v1/messages", body)
    assert a.status == 400, a
    assert a.json["code"] == 400002 and a.json["details"]["body"]


def test_content_is_counted_in_characters(stopped):
    stopped.create("é" * 1000)
    stopped.create("👋" * 1000)
    why = invalid(stopped.api.post("/api/v1/messages", {"phoneNumber": PHONE, "content": "👋" * 1001}), "content")
    assert why["content"] == "must have at most 1000 characters, has 1001"


def test_metadata_at_the_limit(stopped):
    meta = {"a": "x" * (4096 - len('{"a":""}'))}
    assert stopped.get(stopped.create(metadata=meta))["metadata"] == meta


def test_idempotency(stopped):
    body = {"phoneNumber": PHONE, "content": "once"}
    first = stopped.api.post("/api/v1/messages", body, headers={"Idempotency-Key": "k-1"})
    again = stopped.api.post("/api/v1/messages", {**body, "idempotencyKey": "k-1"})
    assert first.status == again.status == 201
    assert first.json == again.json and first.data["idempotencyKey"] == "k-1"
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    other = stopped.api.post("/api/v1/messages", {**body, "content": "twice"}, headers={"Idempotency-Key": "k-1"})
    assert other.status == 422 and other.json["code"] == 422002
    assert stopped.stats()["total"] == 1


def test_idempotency_gives_the_first_answer_after_the_message_was_sent(herald, sink):
    h = herald(WEBHOOK_URL=sink().url)
    body = {"phoneNumber": PHONE, "content": "once", "idempotencyKey": "k"}
    first = h.api.post("/api/v1/messages", body)
    h.wait_status(first.data, "sent")
    assert h.api.post("/api/v1/messages", body).json == first.json


def test_idempotency_under_concurrency(stopped):
    answers = []

    def post():
        answers.append(stopped.client().post("/api/v1/messages", {"phoneNumber": PHONE, "content": "race"},
                                             headers={"Idempotency-Key": "race"}))
    threads = [threading.Thread(target=post) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a.status for a in answers] == [201] * 16
    assert len({a.data["id"] for a in answers}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in answers) == 1


def test_two_different_keys(stopped):
    a = stopped.api.post("/api/v1/messages", {"phoneNumber": PHONE, "content": "x", "idempotencyKey": "a"},
                         headers={"Idempotency-Key": "b"})
    invalid(a, "idempotencyKey")
    a = stopped.api.post("/api/v1/messages", {"phoneNumber": PHONE, "content": "x"},
                         headers={"Idempotency-Key": "a b"})
    invalid(a, "Idempotency-Key")


# --- batch


def lines(*rows):
    return b"".join(r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in rows)


ROW = {"phoneNumber": PHONE, "content": "row"}
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.mark.parametrize("array", [True, False])
def test_batch(stopped, array):
    rows = [{**ROW, "content": f"row, [{i}] \"}}\\"} for i in range(250)]
    a = (stopped.api.post("/api/v1/messages/batch", rows) if array else
         stopped.api.post("/api/v1/messages/batch", b"\n\r\n" + lines(*rows), headers=NDJSON))
    assert a.status == 201, a
    assert a.data["created"] == 250 and a.data["repeated"] == 0
    assert [stopped.get(i)["content"] for i in a.data["ids"][::50]] == [r["content"] for r in rows[::50]]
    assert stopped.stats()["pending"] == 250


def test_batch_minimal(stopped):
    a = stopped.api.post("/api/v1/messages/batch", [ROW], headers={"Prefer": "return=minimal"})
    assert a.status == 201 and a.data == {"created": 1, "repeated": 0}
    assert a.headers["Preference-Applied"] == "return=minimal"


def test_batch_is_all_or_nothing(stopped):
    rows = [ROW, {**ROW, "phoneNumber": "no"}, ROW, {"content": ""}, 5]
    details = invalid(stopped.api.post("/api/v1/messages/batch", rows),
                      "1.phoneNumber", "3.content", "3.phoneNumber", "4")
    assert details["4"] == "must be an object"
    assert stopped.stats()["total"] == 0
    assert invalid(stopped.api.post("/api/v1/messages/batch", lines(*rows), headers=NDJSON),
                   *details) == details
    assert stopped.stats()["total"] == 0


def test_batch_keys(stopped):
    rows = [{**ROW, "idempotencyKey": f"k{i}"} for i in range(3)]
    first = stopped.api.post("/api/v1/messages/batch", rows)
    again = stopped.api.post("/api/v1/messages/batch", rows + [ROW])
    assert again.data["created"] == 1 and again.data["repeated"] == 3
    assert again.data["ids"][:3] == first.data["ids"]
    other = stopped.api.post("/api/v1/messages/batch", [ROW, {**rows[1], "content": "other"}])
    assert other.status == 422 and other.json["code"] == 422002
    assert list(other.json["details"]) == ["1.idempotencyKey"]
    assert stopped.stats()["total"] == 4
    a = stopped.api.post("/api/v1/messages/batch", rows, headers={"Idempotency-Key": "x"})
    invalid(a, "Idempotency-Key")


def test_batch_lists_a_hundred_errors_and_counts_the_rest(stopped):
    a = stopped.api.post("/api/v1/messages/batch", [{**ROW, "content": ""}] * 130)
    assert a.status == 422
    assert len(a.json["details"]) == 101
    assert a.json["details"]["more"] == "30 further errors are not listed"


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"[{}", b"[1,]", b"[{} {}]", b"[{}] x", b'["a]'])
def test_batch_malformed(stopped, body):
    a = stopped.api.post("/api/v1/messages/batch", body)
    assert a.status == 400 and a.json["code"] == 400002 and a.json["details"], a


def test_batch_malformed_line(stopped):
    a = stopped.api.post("/api/v1/messages/batch", lines(ROW, b"{nope}\n", ROW), headers=NDJSON)
    assert a.status == 400 and list(a.json["details"]) == ["1"]
    assert stopped.stats()["total"] == 0


def test_batch_bounds(stopped):
    invalid(stopped.api.post("/api/v1/messages/batch", []), "body")
    invalid(stopped.api.post("/api/v1/messages/batch", b"\n \n", headers=NDJSON), "body")
    a = stopped.api.post("/api/v1/messages/batch", lines(*[ROW] * 10001), headers=NDJSON)
    invalid(a, "body")
    a = stopped.api.post("/api/v1/messages/batch", lines(*[ROW] * 10000), headers=NDJSON)
    assert a.status == 201 and len(set(a.data["ids"])) == 10000
    assert stopped.stats()["total"] == 10000


# --- looking


def walk(h, path, **params):
    """All pages by cursor."""
    pages, cursor = [], None
    while True:
        query = "&".join(f"{k}={v}" for k, v in {**params, **({"cursor": cursor} if cursor else {})}.items())
        a = h.api.get(f"{path}?{query}")
        assert a.status == 200, a
        pages.append(a.json)
        cursor = a.json.get("nextCursor")
        if not cursor:
            return pages


def test_list_by_page_and_by_cursor(stopped):
    ids = stopped.create_many(45)
    pages = walk(stopped, "/api/v1/messages", pageSize=20)
    assert [p["page"] for p in pages] == [1, 2, 3]
    assert all((p["totalCount"], p["totalPages"], p["pageSize"]) == (45, 3, 20) for p in pages)
    assert [m["id"] for p in pages for m in p["data"]] == ids[::-1]
    for n, page in enumerate(pages, 1):
        a = stopped.api.get(f"/api/v1/messages?page={n}&pageSize=20").json
        assert a["data"] == page["data"]
    assert stopped.api.get("/api/v1/messages?page=4&pageSize=20").json["data"] == []
    assert stopped.api.get("/api/v1/messages").json["pageSize"] == 20


def test_cursor_is_steady_while_messages_come_in(stopped):
    ids = stopped.create_many(20)
    first = stopped.api.get("/api/v1/messages?pageSize=10").json
    stopped.create_many(10)
    second = stopped.api.get(f"/api/v1/messages?pageSize=10&cursor={first['nextCursor']}").json
    assert [m["id"] for m in first["data"] + second["data"]] == ids[::-1]


def test_list_filters(stopped):
    a = stopped.create("a")
    b = stopped.create("b", phone="+4915112345678")
    stopped.api.delete(f"/api/v1/messages/{a['id']}")

    def ids(query):
        answer = stopped.api.get(f"/api/v1/messages?{query}")
        assert answer.status == 200, answer
        assert answer.json["totalCount"] == len(answer.data)
        return [m["id"] for m in answer.data]
    assert ids("status=cancelled") == [a["id"]]
    assert ids("status=sent") == []
    assert ids("phoneNumber=+4915112345678") == [b["id"]]
    assert ids("phoneNumber=%2B4915112345678&status=pending") == [b["id"]]
    assert ids("since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00%2B01:00") == []
    assert ids("since=2020-01-01T00:00:00Z&&") == [b["id"], a["id"]]
    assert ids(f"since={b['createdAt']}") in ([b["id"]], [b["id"], a["id"]])


@pytest.mark.parametrize("query, field", [
    ("page=0", "page"), ("page=-1", "page"), ("page=x", "page"), ("page=", "page"), ("page", "page"),
    ("page=1.0", "page"), ("page=99999999999999999999", "page"), ("page=1&page=1", "page"),
    ("pageSize=0", "pageSize"), ("pageSize=101", "pageSize"), ("status=Sent", "status"), ("status=", "status"),
    ("phoneNumber=0%20555", "phoneNumber"), ("since=yesterday", "since"), ("until=1", "until"),
    ("cursor=", "cursor"), ("cursor=AAAA", "cursor"), ("cursor=%00", "cursor"), ("limit=5", "limit"),
    ("page=%zz", "page"), ("%ff=1", "query"),
])
def test_list_refuses(stopped, query, field):
    invalid(stopped.api.get(f"/api/v1/messages?{query}"), field)


def test_cursor_belongs_to_its_filters(stopped):
    stopped.create_many(3)
    cursor = stopped.api.get("/api/v1/messages?pageSize=1&status=pending").json["nextCursor"]
    assert stopped.api.get(f"/api/v1/messages?status=pending&pageSize=2&cursor={cursor}").status == 200
    invalid(stopped.api.get(f"/api/v1/messages?cursor={cursor}"), "cursor")
    invalid(stopped.api.get(f"/api/v1/messages/sent?cursor={cursor}"), "cursor")
    invalid(stopped.api.get(f"/api/v1/messages?status=pending&page=2&cursor={cursor}"), "page")
    for other in (cursor[:-1], cursor + "A", "B" + cursor[1:], cursor[:20] + "x" + cursor[21:]):
        invalid(stopped.api.get(f"/api/v1/messages?status=pending&cursor={other}"), "cursor")


def test_sent_cached_and_attempts(herald, sink):
    h = herald(WEBHOOK_URL=sink().url)
    ids = h.create_many(5)
    h.wait_stats(sent=5)
    pages = walk(h, "/api/v1/messages/sent", pageSize=2)
    sent = [m for p in pages for m in p["data"]]
    assert sorted(m["id"] for m in sent) == ids
    assert [m["sentAt"] for m in sent] == sorted((m["sentAt"] for m in sent), reverse=True)
    assert all(m["messageId"] and m["attempts"] == 1 and m["status"] == "sent" for m in sent)

    def cached():
        return {k: v for page in walk(h, "/api/v1/messages/cached", pageSize=2) for k, v in page["data"].items()}
    # It is filled after the commit.
    eventually(lambda: len(cached()) == 5, what="five in the cache")
    assert cached() == {str(m["id"]): {"messageId": m["messageId"], "sentAt": m["sentAt"]} for m in sent}
    assert h.api.get("/api/v1/messages/cached?cursor=nonsense").status == 422
    assert h.api.get("/api/v1/messages/cached?page=1").status == 422

    attempts = h.attempts(ids[0])
    assert len(attempts) == 1
    assert attempts[0]["status"] == "sent" and attempts[0]["httpStatus"] == 202
    assert attempts[0]["attempt"] == 1 and attempts[0]["durationMs"] >= 0


def test_get_what_is_not_there(stopped):
    for path in ("/api/v1/messages/1", "/api/v1/messages/1/attempts", "/api/v1/messages/9007199254740991"):
        a = stopped.api.get(path)
        assert a.status == 404 and a.json["code"] == 404002, a
    for path in ("/api/v1/messages/0", "/api/v1/messages/x", "/api/v1/messages/-1", "/api/v1/messages/01",
                 "/api/v1/messages/9007199254740992", "/api/v1/messages/1/", "/api/v1/messages/", "/api/v1/messages/%31",
                 "/nope", "//api/v1/messages"):
        a = stopped.api.get(path)
        assert a.status == 404 and a.json["code"] == 404001, (path, a)


# --- steering


def test_cancel(stopped):
    m = stopped.create()
    a = stopped.api.delete(f"/api/v1/messages/{m['id']}")
    assert a.status == 200 and a.data["status"] == "cancelled" and a.json["message"] == "Message cancelled"
    a = stopped.api.delete(f"/api/v1/messages/{m['id']}")
    assert a.status == 409 and a.json["code"] == 409001
    assert stopped.api.delete("/api/v1/messages/999").status == 404
    assert stopped.stats()["cancelled"] == 1


def test_replay(herald, sink):
    from herald import reply
    s = sink(lambda r: reply(400))
    h = herald(WEBHOOK_URL=s.url)
    ids = h.create_many(3)
    h.wait_stats(failed=3)
    failed = h.get(ids[0])
    assert failed["lastError"] and "messageId" not in failed
    h.scheduler("stop")
    a = h.api.post(f"/api/v1/messages/{ids[0]}/replay")
    assert a.status == 200 and a.data == {"replayed": 1}
    m = h.get(ids[0])
    assert m["status"] == "pending" and m["attempts"] == 0 and "lastError" not in m
    assert h.api.post("/api/v1/messages/replay/all").data == {"replayed": 2}
    assert h.api.post("/api/v1/messages/replay/all").data == {"replayed": 0}
    for i in (ids[0], 999):
        a = h.api.post(f"/api/v1/messages/{i}/replay")
        assert a.status == 404 and a.json["code"] == 404003
    assert len(h.attempts(ids[0])) == 1


# --- keys


@pytest.mark.parametrize("headers", [
    {}, {"x-ins-auth-key": ""}, {"x-ins-auth-key": "wrong"}, {"x-ins-auth-key": MESSAGES_KEY + "x"},
    {"x-ins-auth-key": SCHEDULER_KEY}, {"Authorization": MESSAGES_KEY}, {"Authorization": "Basic " + MESSAGES_KEY},
    {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"},
])
def test_wrong_key(stopped, headers):
    a = stopped.api.post("/api/v1/messages", {"phoneNumber": PHONE, "content": "x"}, key=None, headers=headers)
    assert a.status == 401
    assert a.body == b'{"success":false,"error":"Invalid or missing API key"}'
    assert a.headers["WWW-Authenticate"] == "Bearer"
    assert stopped.stats()["total"] == 0


def test_right_keys(herald):
    h = herald(MESSAGES_API_KEY="the-first-key, the-second-key", SCHEDULER_API_KEY=None)
    for headers in ({"x-ins-auth-key": "the-first-key"}, {"X-INS-AUTH-KEY": "the-second-key"},
                    {"Authorization": "Bearer the-first-key"}, {"authorization": "bearer the-second-key"}):
        assert h.api.get("/api/v1/messages/stats", key=None, headers=headers).status == 200
    a = h.api.get("/api/v1/scheduler/status", key="the-first-key")
    assert a.status == 500
    assert a.body == b'{"success":false,"error":"API key is not configured for this endpoint group"}'


def test_everything_has_a_correlation_id(stopped):
    a = stopped.api.get("/livez", headers={"X-Correlation-Id": "abc-123"})
    assert a.headers["X-Correlation-Id"] == "abc-123"
    uuid = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
    seen = set()
    for headers in ({}, {"X-Correlation-Id": "x" * 129}, {"X-Correlation-Id": "a b"}):
        a = stopped.api.get("/nope", headers=headers)
        assert uuid.match(a.headers["X-Correlation-Id"])
        seen.add(a.headers["X-Correlation-Id"])
    assert len(seen) == 3
    line = eventually(lambda: [d for d in stopped.log("request") if d["correlation_id"] == "abc-123"])
    assert line[0]["route"] == "/livez" and line[0]["status"] == 200 and line[0]["method"] == "GET"




def test_parked_messages_become_invalid(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="0", INVALID_MESSAGES="park", MESSAGE_MAX_CONTENT_LENGTH="10",
               PHONE_PATTERN="^[+]90[5-9][0-9]{9}$")
    ids = {}
    for phone, content in [("nobody", "x"), ("+904551234567", "x"), (PHONE, ""), (PHONE, "x" * 11), (PHONE, "fine")]:
        a = h.api.post("/api/v1/messages", {"phoneNumber": phone, "content": content})
        assert a.status == 201, a.json
        ids[phone, content] = a.json["data"]["id"]
    eventually(lambda: h.stats()["invalid"] == 4 and h.stats()["sent"] == 1, what="all to be over")
    assert [json.loads(r.body) for r in s.requests] == [{"to": PHONE, "content": "fine"}]
    one = h.get(ids["nobody", "x"])
    assert one["status"] == "invalid" and "PHONE_PATTERN" in one["lastError"] and one["attempts"] == 1
    page = h.api.get("/api/v1/messages?status=invalid").json
    assert {m["id"] for m in page["data"]} == set(ids.values()) - {ids[PHONE, "fine"]}
    assert h.api.get("/api/v1/messages?phoneNumber=nobody").json["totalCount"] == 1
    assert h.api.post(f"/api/v1/messages/{one['id']}/replay").status == 404
    assert h.api.post("/api/v1/messages/replay/all").json["data"] == {"replayed": 0}
    assert 'herald_attempts_total{outcome="invalid"} 4' in h.api.get("/metrics").body.decode()
    # What cannot be stored is refused in any case.
    invalid(h.api.post("/api/v1/messages", {"phoneNumber": "1" * 21, "content": "x"}), "phoneNumber")


def test_a_pattern_for_phone_numbers(herald):
    h = herald(AUTO_START_SCHEDULER="false", PHONE_PATTERN="^0[0-9 ]+$")
    assert h.api.post("/api/v1/messages", {"phoneNumber": "0555 123", "content": "x"}).status == 201
    a = h.api.post("/api/v1/messages", {"phoneNumber": PHONE, "content": "x"})
    invalid(a, "phoneNumber")
    assert "PHONE_PATTERN" in a.json["details"]["phoneNumber"]


def test_ids_as_uuids(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="0", MESSAGE_ID_FORMAT="uuid")
    one = h.api.post("/api/v1/messages", {"phoneNumber": PHONE, "content": "x"}).data
    assert one["id"] == "3087ef33-a419-8af3-9223-8a63ee9d446d"
    ids = h.api.post("/api/v1/messages/batch", [{"phoneNumber": PHONE, "content": "y"}]).data["ids"]
    assert ids == ["e1745ada-d506-8e83-b0ca-32854895dbea"]
    eventually(lambda: h.stats()["sent"] == 2, what="both to be sent")
    sent = h.api.get(f"/api/v1/messages/{one['id']}").data
    assert sent["status"] == "sent" and sent == h.api.get("/api/v1/messages/1").data
    assert len(h.api.get(f"/api/v1/messages/{one['id'].upper()}/attempts").data) == 1
    assert {m["id"] for m in h.api.get("/api/v1/messages/sent").data} == {one["id"], *ids}
    eventually(lambda: set(h.api.get("/api/v1/messages/cached").data) == {one["id"], *ids}, what="both in the cache")
    runs = [r.get("lastMessageId") for r in h.api.get("/api/v1/scheduler/runs").data]
    assert ids[0] in runs
    # The receiver's key does not depend on how ids are shown; somebody else's UUID is no message.
    assert {r.headers["idempotency-key"].split("-")[0] for r in s.requests} == {"1", "2"}
    assert h.api.get("/api/v1/messages/f81d4fae-7dec-11d0-a765-00a0c91e6bf6").status == 404
