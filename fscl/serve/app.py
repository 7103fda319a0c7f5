"""What the page asks, and who answers: photos in, species out, then heat maps and the nearest training photos."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from fscl.bundle import Bundle
from fscl.decisions import UNSURE_BELOW
from fscl.errors import FsclError, OutputError, PhotosError, of_system
from fscl.explain.pictures import jpeg
from fscl.loading.regions import AnyPhoto
from fscl.runtime import cores
from fscl.serve.answers import (
    Answer,
    ClassName,
    Heat,
    answer_of,
    class_names,
    direction_in,
    heat_of,
    pixels_of,
    small,
)
from fscl.serve.corrections import ChangedError, Corrections, checked_label
from fscl.serve.folder import Folder, checked_name
from fscl.serve.guard import FullError, Room
from fscl.serve.model_thread import ModelThread
from fscl.serve.training_photos import NearestPhotos, Neighbours

STATIC = Path(__file__).parent / "static"
PAGE = {"": "index.html"} | {name: name for name in ("page.css", "page.js", "ask.js", "card.js", "table.js")}
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}  # Windows may be told others

MOST_BYTES = 64 * 2**20  # of a photo
MOST_OF_LABEL = 64 * 2**10  # of what is said of one label
MOST_OF_ALL = 512 * 2**20  # of the photos that are at work at once
WAITING, HEATS, OTHERS = 64, 32, 64  # requests for an answer, for a heat map, and for all else that reads, at once
SECONDS = 60.0  # in which a photo has to be here
AT_ONCE = 200  # photos of the folder that are listed together, at most
T = TypeVar("T")


@dataclass
class Served:
    """All that the page is made of.

    Attributes:
        run: folder of the run.
        bundle: its model.
        model: the thread that computes.
        training: the run's own photos.
        folder: photos on this machine that the page may show; None: none.
        corrections: the table of corrected labels; None: the browser keeps them.
    """

    run: Path
    bundle: Bundle
    model: ModelThread
    training: NearestPhotos
    folder: Folder | None = None
    corrections: Corrections | None = None
    readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(cores(), "reader"))
    answers: Room = field(default_factory=lambda: Room(WAITING, MOST_OF_ALL))
    heats: Room = field(default_factory=lambda: Room(HEATS, MOST_OF_ALL))
    others: Room = field(default_factory=lambda: Room(OTHERS, MOST_OF_ALL))

    async def read_other(self, work: Callable[..., T], *given: Any) -> T:
        """Do what is neither an answer nor a heat map, if there is room for it.

        Raises:
            FullError: there is none.
        """
        with self.others.taken(0):
            return await self.read(work, *given)

    async def read(self, work: Callable[..., T], *given: Any) -> T:
        """Do what reads photos or files in a thread for it."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, work, *given)

    def close(self) -> None:
        """End the threads."""
        self.training.close()
        self.model.close()
        self.readers.shutdown(cancel_futures=True)


class About(BaseModel):
    """What the page says of the model, and of what can be done."""

    run: str
    classes: list[ClassName]
    unsure_below: float
    most_bytes: int
    folder: str | None
    corrections: str | None
    train: str


class Names(BaseModel):
    """Some photos of the folder, and how many there are."""

    names: list[str]
    total: int


class Correction(BaseModel):
    """A label that a person gives a photo of the folder or of the browser; `was`: the one that it replaces."""

    photo: Annotated[str, Field(max_length=4096)]
    where: Literal["folder", "browser"]
    label: Annotated[str, Field(max_length=4096)] | None
    was: Annotated[str, Field(max_length=4096)] | None


class Labels(BaseModel):
    """The labels of the table of corrections, by what the page calls the photos."""

    folder: dict[str, str]
    browser: dict[str, str]


def page_app(served: Served) -> FastAPI:
    """Return the page; who guards it is another's task."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(FullError, _full)
    app.add_exception_handler(FsclError, _unusable)
    app.add_exception_handler(OSError, _of_system)
    _add_page(app, served)
    _add_answers(app, served)
    if served.folder is not None:
        _add_folder(app, served, served.folder)
    if served.corrections is not None:
        _add_corrections(app, served, served.corrections)
    return app


def _add_page(app: FastAPI, served: Served) -> None:
    files = {name: (STATIC / file).read_bytes() for name, file in PAGE.items()}

    @app.get("/")
    @app.get("/static/{name}")
    async def static(name: str = "") -> Response:
        if name not in files:
            raise HTTPException(404)
        return Response(files[name], media_type=KINDS[Path(PAGE[name]).suffix])

    @app.get("/api/about")
    async def about() -> About:
        folder, corrections = served.folder, served.corrections
        return About(
            run=str(served.run),
            classes=class_names(served.bundle.classes),
            unsure_below=UNSURE_BELOW,
            most_bytes=MOST_BYTES,
            folder=None if folder is None else folder.path.as_posix(),
            corrections=None if corrections is None else str(corrections.file),
            train=shlex.join(["fscl", "train", "corrected.csv", "--from", str(served.run), "--out", "runs/next"]),
        )


def _add_answers(app: FastAPI, served: Served) -> None:
    bundle = served.bundle

    @app.post("/api/answer")
    async def answer(request: Request, photo: str | None = None) -> Answer:
        async with _given(served, served.answers, request, photo) as given:
            pixels = await served.read(pixels_of, given, bundle)
            return answer_of(await asyncio.wrap_future(served.model.seen(pixels)), bundle)

    @app.post("/api/heat")
    async def heat(request: Request, photo: str | None = None) -> Heat:
        async with _given(served, served.heats, request, photo) as given:
            pixels = await served.read(pixels_of, given, bundle)
            looked = await asyncio.wrap_future(served.model.looked(pixels))
            return await served.read(heat_of, looked, given, bundle)

    @app.post("/api/nearest")
    async def nearest(request: Request, photo: str | None = None) -> Neighbours:
        dim = bundle.classifier.pooled_dim if not bundle.classifier.adapts else bundle.classifier.dims[-1]
        direction = direction_in(await _body(request, 4 * dim), dim)
        if direction is None:
            raise HTTPException(422, "expected the direction of an answer")

        def found() -> Neighbours:
            path = "" if photo is None or served.folder is None else str(served.folder.photo(photo))
            return served.training.nearest(direction, path)

        return await served.read_other(found)

    @app.get("/api/training/{number}")
    async def training(number: int) -> Response:
        try:
            picture = await served.read_other(served.training.picture, number)
        except (LookupError, PhotosError):
            raise HTTPException(404, "no such training photo, or it is gone") from None
        return Response(picture, media_type="image/jpeg")


def _add_folder(app: FastAPI, served: Served, folder: Folder) -> None:
    @app.get("/api/photos")
    async def photos(start: Annotated[int, Field(ge=0)] = 0, count: Annotated[int, Field(ge=1)] = AT_ONCE) -> Names:
        names = await served.read_other(lambda: folder.names(anew=start == 0))
        return Names(names=names[start : start + min(count, AT_ONCE)], total=len(names))

    @app.get("/api/picture")
    async def picture(photo: str) -> Response:
        image = await served.read_other(lambda: jpeg(small(folder.photo(photo), served.bundle)))
        return Response(image, media_type="image/jpeg")


def _add_corrections(app: FastAPI, served: Served, corrections: Corrections) -> None:
    @app.get("/api/corrections")
    async def labels() -> Labels:
        folder = served.folder

        def known() -> Labels:
            below = {} if folder is None else corrections.below(folder.path)
            return Labels(folder=below, browser=corrections.labels())

        return await served.read_other(known)

    @app.post("/api/corrections")
    async def correct(request: Request) -> dict[str, str | None]:
        try:
            given = Correction.model_validate_json(await _body(request, MOST_OF_LABEL))
        except ValidationError:  # which would say again all that came
            raise HTTPException(422, "expected a photo, where it is, its label and the one before") from None
        folder = served.folder
        if given.where == "folder" and folder is None:
            raise HTTPException(404)
        label = None if given.label is None else checked_label(given.label, served.bundle.classes)

        def write() -> None:
            if given.where == "browser" or folder is None:
                filepath = checked_name(given.photo)
            else:
                filepath = corrections.filepath(folder.photo(given.photo))
            corrections.correct(filepath, label, given.was)

        try:
            await served.read_other(write)
        except ChangedError as error:
            raise HTTPException(409, {"reason": str(error), "label": error.label}) from None
        return {"label": label}


@asynccontextmanager
async def _given(served: Served, room: Room, request: Request, photo: str | None) -> AsyncIterator[AnyPhoto]:
    """Yield the photo of a request, one of the folder or the bytes that are sent; it takes room meanwhile.

    Where there is no room the bytes are read all the same, and dropped, so that a browser hears why.
    """
    with ExitStack() as taken:
        try:
            taken.enter_context(room.taken(0 if photo is not None else _length(request, MOST_BYTES)))
        except FullError:
            await _body(request, MOST_BYTES, keep=False)
            raise
        if photo is None:
            yield await _body(request, MOST_BYTES)
        elif served.folder is None:
            raise HTTPException(404, "there is no folder: fscl serve RUN --folder PHOTOS")
        else:
            yield await served.read(served.folder.photo, photo)


def _length(request: Request, most: int) -> int:
    said = request.headers.get("content-length", "")
    if not said.isascii() or not said.isdigit():
        raise HTTPException(411, "expected to be told how many bytes come (Content-Length)")
    if len(said) > 15 or int(said) > most:
        raise HTTPException(413, f"larger than {most // 2**20} MB" if most >= 2**20 else "larger than it should be")
    return int(said)


async def _body(request: Request, most: int, *, keep: bool = True) -> bytes:
    """Read what is sent, as much as is announced and no more, or drop it."""
    size, parts, length = 0, [], _length(request, most)
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > length:
                    raise HTTPException(413, "more bytes than were announced")
                parts += [part] if keep else []
    except TimeoutError:
        raise HTTPException(408, "what was sent did not come in time") from None
    except ClientDisconnect:
        raise HTTPException(400, "what was sent did not come") from None
    return b"".join(parts)


async def _full(_: Request, __: Exception) -> Response:
    return JSONResponse({"detail": "busy: ask again"}, status_code=503, headers={"retry-after": "1"})


async def _unusable(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, status_code=500 if isinstance(error, OutputError) else 422)


async def _of_system(_: Request, error: Exception) -> Response:
    assert isinstance(error, OSError), "registered for these"
    return JSONResponse({"detail": of_system(error)}, status_code=500)
