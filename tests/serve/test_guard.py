"""Who may ask, what a browser is told of each response, and which address and port are taken."""

import socket

import httpx
import pytest

from fscl.serve.guard import Guard

POSTS = ("/api/answer", "/api/heat", "/api/nearest", "/api/corrections")


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/api/about", "/gone", "/api/answer"])
def test_every_response_has_the_policy(page, path):
    told = page.get(path)
    assert "default-src 'self'" in told.headers["content-security-policy"]
    assert "unsafe" not in told.headers["content-security-policy"]
    assert told.headers["x-content-type-options"] == "nosniff"
    assert told.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.168.1.5", "localhost@evil", ""]
)
def test_another_name_of_the_machine_is_refused(page, host):
    assert page.get("/", headers={"host": host}).status_code in (400, 403)
    assert page.get("/api/photos", headers={"host": host}).status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_names_of_this_machine_are_taken(page, host):
    assert page.get("/api/about", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "", None])
def test_what_another_page_posts_is_refused(page, path, origin):
    headers = {} if origin is None else {"origin": origin}
    with httpx.Client(base_url=page.base_url, trust_env=False) as other:
        assert other.post(path, content=b"", headers=headers).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
@pytest.mark.parametrize("path", ["/api/about", "/api/photos", "/api/picture", "/api/training/0", "/static/page.js"])
def test_another_page_may_lead_to_this_one_and_no_more(page, path, site):
    assert page.get(path, headers={"sec-fetch-site": site}).status_code == 403
    assert page.get("/", headers={"sec-fetch-site": site}).status_code == 200
    for own in ("same-origin", "none"):
        assert page.get(path, headers={"sec-fetch-site": own}).status_code != 403


def test_all_addresses_may_be_called_by_number_and_by_the_machines_name():
    guard = Guard(lambda *_: None, "0.0.0.0")
    assert guard._knows("192.168.1.5:8000")
    assert guard._knows(socket.gethostname().lower())
    assert not guard._knows("evil.example")
    assert not Guard(lambda *_: None, "127.0.0.1")._knows("192.168.1.5")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/static/..%2fapp.py", "/static/%2e%2e/app.py"])
def test_there_is_nothing_else(page, path):
    assert page.get(path).status_code == 404


def test_nothing_of_the_page_is_from_elsewhere(page):
    for name in ("", "static/page.css", "static/page.js", "static/ask.js", "static/card.js", "static/table.js"):
        told = page.get(f"/{name}")
        assert told.status_code == 200
        assert "http://" not in told.text
        assert "https://" not in told.text
        assert "innerHTML" not in told.text


def test_a_port_that_is_taken_is_one_line(fscl, run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = fscl("serve", run, "--port", port)
    assert (code, out) == (2, "")
    assert err.startswith(f"fscl: --port: expected a free port, {port} is taken by another program; give another")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--folder", "gone"], "--folder: expected a folder of photos or a zip, found nothing at gone"),
        (["--host", "no.such.host.invalid", "--port", "0"], "--host: expected a name or address of this machine"),
        (["--corrections", "labels.txt"], "expected the name of a .csv"),
        (["--port", "70000"], "70000"),
    ],
)
def test_what_cannot_be_is_one_line(fscl, run, words, said):
    code, out, err = fscl("serve", run, *words)
    assert code == 2
    assert said in (out + err)
    assert "Traceback" not in err


def test_a_run_that_has_not_ended_is_one_line(fscl, tmp_path):
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/config.toml").touch()
    code, _, err = fscl("serve", "begun", "--port", "0")
    assert code == 2
    assert "its training has not ended" in err
    assert fscl("serve", "gone", "--port", "0")[0] == 2
