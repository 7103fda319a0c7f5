"""Ctrl-C ends the page cleanly, whenever it comes."""

import signal
import subprocess
import sys

import httpx
import pytest
import uvicorn.server

from fscl.serve import run as page_run
from fscl.serve.app import Served

ADDRESS = "http://localhost:"


def interrupts(before):
    """Return a function that is interrupted before it begins."""

    def interrupted(*given, **options):
        signal.raise_signal(signal.SIGINT)
        return before(*given, **options)

    return interrupted


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *((page_run, "show"), (page_run.Page, "run"), (uvicorn.server, "asyncio_run"), (uvicorn.Server, "startup")),
        *((uvicorn.Server, "main_loop"), (uvicorn.Server, "shutdown"), (Served, "close")),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_ctrl_c_at_any_moment_ends_it_once(run, monkeypatch, capsys, place, name):
    handler = signal.getsignal(signal.SIGINT)
    for where, what in {(uvicorn.Server, "main_loop"), (place, name)}:  # where it would go on without an end
        monkeypatch.setattr(where, what, interrupts(getattr(where, what)))
    page_run.serve(run, host="localhost", port=0)
    out, err = capsys.readouterr()
    assert (out.splitlines()[-1], err) == ("ended", "")
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.slow
@pytest.mark.parametrize("answers", [True, False], ids=["once it answers", "at once"])
def test_ctrl_c_ends_the_command(run, answers):
    words = [sys.executable, "-m", "fscl", "serve", run, "--port", "0", "--host", "localhost"]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = started.stdout.readline()
        assert said.startswith(ADDRESS)
        if answers:
            transport = httpx.HTTPTransport(retries=5)
            with httpx.Client(transport=transport, timeout=60, trust_env=False) as asking:
                asking.get(said.split()[0]).raise_for_status()
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=60)
    finally:
        started.kill()
    assert (started.returncode, out, err) == (0, "ended\n", "")
