"""What a page of another site can do to herald through somebody's browser: nothing."""
import http.client
import json

import pytest

from herald import MESSAGES_KEY, PHONE, SCHEDULER_KEY

KEYS = {"x-ins-auth-key": SCHEDULER_KEY, "Authorization": f"Bearer {MESSAGES_KEY}"}


def ask(h, method, path, body=None, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    c = http.client.HTTPConnection("127.0.0.1", h.port, timeout=20)
    try:
        c.putrequest(method, path, skip_host="Host" in headers)
        data = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            headers["Content-Type"] = "application/json"
        if data or method == "POST":
            headers["Content-Length"] = str(len(data))
        for name, value in headers.items():
            c.putheader(name, value)
        c.endheaders(data)
        r = c.getresponse()
        text = r.read()
        assert not [n for n in r.headers if n.lower().startswith(("access-control-", "set-cookie"))], r.headers
        return r.status, json.loads(text) if text.startswith(b"{") else {"text": text}
    finally:
        c.close()


@pytest.mark.parametrize("origin", ["http://evil.example", "https://localhost.evil.example", "null", "", "file://",
                                    "http://localhost", "http://127.0.0.1:1", "http://a@127.0.0.1"])
def test_a_foreign_page_changes_nothing(herald, origin):
    h = herald(AUTO_START_SCHEDULER="false")
    message = h.create()
    for method, path, key, body in [
            ("POST", "/api/v1/scheduler/start", SCHEDULER_KEY, None),
            ("POST", "/api/v1/scheduler/run", SCHEDULER_KEY, None),
            ("POST", "/api/v1/messages", MESSAGES_KEY, {"phoneNumber": PHONE, "content": "x"}),
            ("POST", "/api/v1/messages/batch", MESSAGES_KEY, [{"phoneNumber": PHONE, "content": "x"}]),
            ("DELETE", f"/api/v1/messages/{message['id']}", MESSAGES_KEY, None)]:
        status, answer = ask(h, method, path, body, Origin=origin, x_ins_auth_key=key)
        assert (status, answer.get("code")) == (403, 403001), (path, answer)
    # A preflight is not told that anything is allowed.
    status, _ = ask(h, "OPTIONS", "/api/v1/messages", Origin=origin, Access_Control_Request_Method="POST")
    assert status == 204
    assert h.status()["running"] is False and h.stats()["pending"] == h.stats()["total"] == 1
    # Without Origin, or with our own, they are ordinary.
    assert ask(h, "POST", "/api/v1/scheduler/start", x_ins_auth_key=SCHEDULER_KEY)[0] == 200
    for own in (f"http://127.0.0.1:{h.port}", f"https://127.0.0.1:{h.port}"):
        assert ask(h, "POST", "/api/v1/scheduler/stop", Origin=own, x_ins_auth_key=SCHEDULER_KEY)[0] == 200


ELSEWHERE = [{"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": ""},
             {"Referer": "http://evil.example/x.html"}, {"Referer": "http://evil.example/?://{host}"},
             {"Referer": "http://evil.example/", "Sec_Fetch_Site": "cross-site"}, {"Referer": "about:blank"},
             {"Referer": "http://{host}@evil.example/"}, {"Referer": "http://" + "a" * 400 + "/"},
             {"Origin": "null", "Sec_Fetch_Site": "none"}, {"Origin": "http://evil.example", "Referer": "http://{host}/"}]
HERE = [{}, {"Sec_Fetch_Site": "none"}, {"Sec_Fetch_Site": "same-origin", "Referer": "http://behind-a-proxy.example/"},
        {"Referer": "http://{host}/a/page?x=http://evil.example/"}, {"Referer": "https://{host}"},
        {"Referer": "http://{host}/", "Sec_Fetch_Site": "same-site"}, {"Origin": "http://{host}"}]


def marked(h, headers):
    return {k: v.replace("{host}", f"127.0.0.1:{h.port}") for k, v in headers.items()}


@pytest.mark.parametrize("name,start,stop", [
    ("auto-sender", "/api/v1/messages/start", "/api/v1/messages/stop"),
    ("auto-sender", "/messages/start", "/messages/stop"),
    ("message-sender", "/process_message?command=start", "/process_message?command=stop"),
])
def test_an_image_in_a_foreign_page_starts_nothing(herald, name, start, stop):
    """Where a profile's original started and stopped by GET and asked for no key."""
    h = herald(HERALD_PROFILE=name, AUTO_START_SCHEDULER="false", DATABASE_URL="memory:")
    for headers in ELSEWHERE:
        for method in ("GET", "HEAD"):
            status, answer = ask(h, method, start, **marked(h, headers))
            assert status == 403, (headers, answer)
            if method == "GET":
                assert answer.get("code") == 403001
    assert h.status()["running"] is False
    for headers in HERE:
        assert ask(h, "GET", start, **marked(h, headers))[0] == 200, headers
        assert h.status()["running"] is True
        assert ask(h, "GET", stop, **marked(h, headers))[0] == 200, headers
    # What reads gives nothing away that a page could see, and is left alone.
    assert ask(h, "GET", "/messages", Sec_Fetch_Site="cross-site")[0] == 200


def test_the_marks_count_for_all_that_changes(herald):
    h = herald(AUTO_START_SCHEDULER="false")
    for headers in ELSEWHERE:
        status, answer = ask(h, "POST", "/api/v1/scheduler/start", x_ins_auth_key=SCHEDULER_KEY, **marked(h, headers))
        assert (status, answer.get("code")) == (403, 403001), headers
        assert ask(h, "GET", "/api/v1/scheduler/status", x_ins_auth_key=SCHEDULER_KEY, **marked(h, headers))[0] == 200
    for headers in HERE:
        assert ask(h, "POST", "/api/v1/scheduler/stop", x_ins_auth_key=SCHEDULER_KEY, **marked(h, headers))[0] == 200


def test_routes_that_were_open_to_all_origins_are_so(herald):
    h = herald(HERALD_PROFILE="messenger", AUTO_START_SCHEDULER="false", DATABASE_URL="memory:", SERVER_SECOND_PORT=0)
    c = http.client.HTTPConnection("127.0.0.1", h.port, timeout=20)
    c.request("GET", "/api/messenger/get-two", headers={"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"})
    r = c.getresponse()
    assert (r.status, r.getheader("Access-Control-Allow-Origin")) == (200, "*"), r.read()
    c.close()
    # herald's own beside them are not.
    status, answer = ask(h, "POST", "/api/v1/scheduler/start", x_ins_auth_key=SCHEDULER_KEY, Sec_Fetch_Site="cross-site")
    assert (status, answer.get("code")) == (403, 403001)


def test_a_name_that_was_made_to_point_here(herald):
    h = herald()
    for host in ("evil.example", f"evil.example:{h.port}", "localhost.evil.example", "127.0.0.1.evil.example",
                 "evil.example.", "a b", "[::1", "[x]", "127.0.0.1:x", "127.0.0.1:99999", "@", "evil.example:"):
        for method, path in (("GET", "/"), ("GET", "/api/v1/messages"), ("POST", "/api/v1/scheduler/stop"),
                             ("GET", "/swagger/")):
            status, answer = ask(h, method, path, Host=host, **KEYS)
            assert (status, answer.get("code")) == (403, 403002), (host, path, answer)
        for path in ("/livez", "/readyz", "/health", "/metrics", "/openapi.json"):
            assert ask(h, "GET", path, Host=host)[0] == 200, (host, path)
    for host in ("localhost", f"localhost:{h.port}", "LOCALHOST", "a.localhost:1", "127.0.0.1", "127.1.2.3:80", "[::1]",
                 f"[::1]:{h.port}", "10.0.0.1", "herald"):
        assert ask(h, "GET", "/api/v1/scheduler/status", Host=host, x_ins_auth_key=SCHEDULER_KEY)[0] == 200, host


def test_names_that_are_its_own(herald):
    h = herald(SERVER_ALLOWED_HOSTS="herald.example.com, Other.Example")

    def stop(host, **more):
        return ask(h, "POST", "/api/v1/scheduler/stop", Host=host, x_ins_auth_key=SCHEDULER_KEY, **more)[0]
    assert stop("herald.example.com") == stop("other.example:8443") == 200
    assert stop("a.herald.example.com") == stop("evil.example") == 403
    assert stop("herald.example.com", Origin="https://herald.example.com") == 200
    assert stop("herald.example.com", Origin="https://evil.example") == 403
    # A proxy that changes Host.
    assert stop(f"127.0.0.1:{h.port}", Origin="https://herald.example.com") == 200
    assert stop(f"127.0.0.1:{h.port}", Origin="https://evil.example") == 403
    wide = herald(SERVER_HOST="0.0.0.0")
    assert ask(wide, "GET", "/api/v1/scheduler/status", Host="any.example", x_ins_auth_key=SCHEDULER_KEY)[0] == 200
    wide.stop()
    wide.start(SERVER_ALLOWED_HOSTS="one.example")
    assert ask(wide, "GET", "/api/v1/scheduler/status", Host="any.example", x_ins_auth_key=SCHEDULER_KEY)[0] == 403
    assert ask(wide, "GET", "/api/v1/scheduler/status", Host="one.example", x_ins_auth_key=SCHEDULER_KEY)[0] == 200


def test_what_is_no_name(herald):
    h = herald(start=False)
    for bad in ("a b", "http://x", "x:80", "a/b"):
        done = h.run("serve", SERVER_ALLOWED_HOSTS=bad)
        assert done.returncode == 2 and "SERVER_ALLOWED_HOSTS" in done.stderr, done
