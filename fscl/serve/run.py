"""`fscl serve`: the page of a run on a port of this machine, until it is ended."""

import errno
import logging
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from fscl.bundle import Bundle
from fscl.errors import ConfigurationError
from fscl.printable import printable, show
from fscl.runtime import Runtime
from fscl.serve.app import Served, page_app
from fscl.serve.corrections import Corrections
from fscl.serve.folder import Folder
from fscl.serve.guard import Guard, is_any_address, is_local
from fscl.serve.model_thread import ModelThread
from fscl.serve.training_photos import NearestPhotos

NO_PASSWORD = (
    "there is no password: whoever reaches {} can ask this model, see photos of --folder and of training, "
    "and correct labels"
)
LEFT_S = 2  # for what is being answered when the page ends


@dataclass(frozen=True)
class Page:
    """A page that can be served: its address, its parts, and what serves it."""

    address: str
    served: Served
    server: uvicorn.Server
    listening: socket.socket

    def run(self) -> None:
        """Serve it until `stop`; more than once is not possible."""
        logging.getLogger("uvicorn.error").addFilter(_is_a_fault)
        self.server.run(sockets=[self.listening])

    def stop(self) -> None:
        """End it, also before it runs; from another thread, or on a signal."""
        self.server.should_exit = True


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Tell what uvicorn says of faults from that it did not wait for who was still asking when the page ended."""
    return "graceful shutdown exceeded" not in record.getMessage()


@contextmanager
def opened(
    run: Path,
    *,
    folder: Path | None = None,
    root: Path | None = None,
    corrections: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> Iterator[Page]:
    """Yield the page of a run, on a port that listens already; its threads end with the block.

    Args:
        run: the folder.
        folder: photos on this machine that the page may show.
        root: the folder that the training photos are in now.
        corrections: the table that corrected labels are written into.
        host: name or address of this machine that it is reached at.
        port: 0: any that is free.

    Raises:
        FsclError: no model, no folder, a table that is none; an address or a port that cannot be had.
    """
    shown = None if folder is None else Folder(folder)
    table = None if corrections is None else Corrections(corrections)
    with _listening(host, port) as listening:
        bundle = Bundle.open(run)
        bundle.classifier.to(Runtime.start(0).device)
        model = ModelThread(bundle)
        served = Served(run, bundle, model, NearestPhotos(run, root, bundle, model), shown, table)
        try:
            config = uvicorn.Config(
                Guard(page_app(served), host),
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=LEFT_S,
            )
            yield Page(_address(host, listening.getsockname()[1]), served, uvicorn.Server(config), listening)
        finally:
            served.close()


def serve(
    run: Path,
    *,
    folder: Path | None = None,
    root: Path | None = None,
    corrections: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    open_page: bool = False,
) -> None:
    """Serve the page of a run until Ctrl-C, and say where it is; `open_page` opens it in the browser, too."""
    with ExitStack() as to_the_end:
        with opened(run, folder=folder, root=root, corrections=corrections, host=host, port=port) as page:
            to_the_end.enter_context(_ended_by_signals(page))
            if not is_local(host):
                where = "this machine" if is_any_address(host) else host
                print(printable(f"warning: {NO_PASSWORD.format(where)}"), file=sys.stderr)
            show(f"{page.address}  is the page of {run}; Ctrl-C ends it")
            if open_page:
                threading.Thread(target=webbrowser.open, args=(page.address,), daemon=True).start()
            page.run()
        show("ended")


@contextmanager
def _ended_by_signals(page: Page) -> Iterator[None]:
    """Let Ctrl-C end the page at any moment of the block; nothing is raised, so nothing is left half done.

    uvicorn hears signals itself only while it serves, and passes them on to these handlers.
    """
    before = {number: signal.signal(number, lambda *_: page.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise ConfigurationError(
            f"--host: expected a name or address of this machine, got {host}; leave it out, or give 127.0.0.1"
        ) from None
    with socket.socket(family, kind, protocol) as listening:
        if sys.platform != "win32":  # where it would let two programs share the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen(2048)
        except OSError as error:
            raise ConfigurationError(_why_not(error, host, port)) from None
        yield listening


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port: expected a free port, {port} is taken by another program; give another, such as {port + 1}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"--port: expected a port that you may use, got {port}; give one from 1024 on, such as 8000"
    return f"--host: expected an address of this machine, got {host} ({error.strerror}); leave it out"


def _address(host: str, port: int) -> str:
    shown = "127.0.0.1" if is_any_address(host) else host
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"
