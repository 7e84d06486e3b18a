"""The dashboard and the explorer as files: that they are there, complete, cached well and say who may use them."""
import gzip
import re
import urllib.parse

import pytest

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
GZIP = {"Accept-Encoding": "gzip, br"}


@pytest.fixture
def h(herald):
    one = herald()
    if one.api.get("/", key=None).status == 404:
        pytest.skip("this build has no pages")
    return one


def get(h, path, **headers):
    a = h.api.get(path, key=None, headers={k.replace("_", "-"): v for k, v in {**GZIP, **headers}.items()})
    if a.headers.get("Content-Encoding") == "gzip":
        a.body = gzip.decompress(a.body)
    return a


def parts(html, base):
    """What a page loads. Nothing inline, nothing from elsewhere."""
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=|javascript:", html), html
    names = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert names and not [n for n in names if "//" in n], names
    return [urllib.parse.urljoin(base, n) for n in names]


@pytest.mark.parametrize("start", ["/", "/swagger/", "/swagger/index.html"])
def test_pages_and_what_they_load(h, start):
    page = get(h, start)
    assert page.status == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-cache"
    types = set()
    for path in parts(page.body.decode(), start):
        a = get(h, path)
        assert a.status == 200 and a.body, path
        types.add(a.headers["Content-Type"].split(";")[0])
        if path.startswith("/assets/"):
            assert a.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        for one in (page, a) if path != "/swagger/openapi.json" else (page,):
            assert one.headers["Content-Security-Policy"] == POLICY
            assert one.headers["X-Content-Type-Options"] == "nosniff"
            assert one.headers["Referrer-Policy"] == "no-referrer"
            assert one.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert one.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert {"text/javascript", "text/css"} <= types


def test_caching(h):
    a = get(h, "/")
    tag = a.headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32}-gz"', tag) and "Accept-Encoding" in a.headers["Vary"]
    again = get(h, "/", If_None_Match=tag)
    assert again.status == 304 and again.body == b"" and again.headers["ETag"] == tag
    assert get(h, "/", If_None_Match=f'W/"x", {tag}').status == 304
    assert get(h, "/", If_None_Match='"x"').status == 200
    plain = get(h, "/", Accept_Encoding="identity")
    assert plain.body == a.body and "Content-Encoding" not in plain.headers and plain.headers["ETag"] != tag
    head = h.api.request("HEAD", "/", key=None)
    assert head.status == 200 and head.body == b"" and int(head.headers["Content-Length"]) > 0


def test_the_explorer_has_its_document(h):
    assert get(h, "/swagger/openapi.json").json == get(h, "/openapi.json").json
    a = get(h, "/swagger")
    assert a.status == 308 and urllib.parse.urljoin("/swagger", a.headers["Location"]) == "/swagger/"
    assert not [p for p in get(h, "/openapi.json").json["paths"] if "swagger" in p or "assets" in p or p == "/"]


@pytest.mark.parametrize("path", ["/assets/", "/assets/x.js", "/assets/../index.html", "/assets/..%2findex.html",
                                  "/swagger/../index.html", "/swagger/%2e%2e", "/index.html", "/swagger/" + "x" * 500,
                                  "/assets/" + "x" * 192])
def test_what_is_not_there(h, path):
    a = get(h, path)
    assert a.status == 404 and a.json["code"] == 404001


def test_they_are_only_read(h):
    for path in ("/", "/swagger/", "/assets/x"):
        a = h.api.post(path, b"{}", key=None)
        assert a.status == 405 and a.headers["Allow"] == "GET, HEAD, OPTIONS", a
