"""The WebSocket of the panel: the one file that speaks with Jupyter's server and its web framework.

Who comes in has logged in with Jupyter, from a page of its own, and may run kernels: to have a job run
again is to run code.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import msgspec
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import ensure_async, url_path_join
from tornado.web import HTTPError, authenticated
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from elfbook.client.portal import PORTAL
from elfbook.notebook.board import asset
from elfbook.server.desk import Desk, Page
from elfbook.store.place import Place
from elfbook.view.panelmessages import WISH

log = logging.getLogger("elfbook")

SOCKET = ("elfbook", "socket")
FILES = ("elfbook", "files")
TYPES = {"board.js": "text/javascript", "board.css": "text/css"}
"""What a page needs before it can draw a board; the rest comes through the socket."""
FORBIDDEN = 403
DECODER = msgspec.json.Decoder(WISH)


class Door(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One page's way in and out."""

    auth_resource = "kernels"

    def initialize(self, desks: Desks) -> None:
        """Tornado's; `desks` is what the address was given."""
        self._desks = desks
        self._page: Page | None = None

    def set_default_headers(self) -> None:
        """Those of Jupyter's pages mean nothing here."""

    def get_compression_options(self) -> dict[str, Any] | None:
        """As the server has it for its kernels."""
        return self.settings.get("websocket_compression_options", None)

    async def get(self, *args: Any, **named: Any) -> None:
        """Lets in who has logged in and may run kernels; 403 otherwise."""
        if self.current_user is None:
            raise HTTPError(FORBIDDEN)
        may = self.authorizer.is_authorized(self, self.current_user, "execute", "kernels")
        if not await ensure_async(may):
            raise HTTPError(FORBIDDEN)
        await super().get(*args, **named)

    def open(self, *args: Any, **named: Any) -> None:
        """The page is told of the mycelium."""
        super().open(*args, **named)
        loop = asyncio.get_running_loop()
        self._page = Page(lambda data: loop.call_soon_threadsafe(self._say, data))
        begin(self._desks.join, self._page)

    def on_message(self, message: str | bytes) -> None:
        """Hands on what the page asks for; what is no such thing is left out, with a warning."""
        try:
            wish = DECODER.decode(message)
        except msgspec.DecodeError as error:
            log.warning("a panel asked for something that is not known here: %s", error)
            return
        begin(self._desks.hear, self._page, wish)

    def on_close(self) -> None:
        """The page is gone."""
        super().on_close()
        page, self._page = self._page, None
        if page is not None:
            begin(self._desks.leave, page)

    def _say(self, data: str | bytes) -> None:
        if self._page is None:
            return
        try:
            task = self.write_message(data, binary=isinstance(data, bytes))
        except WebSocketClosedError:
            return  # `on_close` is on its way
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


class Files(APIHandler):
    """The program that draws boards, as a notebook's widget has it."""

    @authenticated
    def get(self, name: str) -> None:
        """The file's text."""
        self.finish(asset(name), set_content_type=f"{TYPES[name]}; charset=utf-8")


class Desks:
    """The desk of this server, made with the first page."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._desk: Desk | None = None

    async def join(self, page: Page) -> None:
        """The page is told of the mycelium from now on."""
        self._desk = self._desk or Desk(self._place)
        await self._desk.join(page)

    async def hear(self, page: Page, wish: WISH) -> None:
        """Takes what a page asks for."""
        if self._desk is not None:
            await self._desk.hear(page, wish)

    async def leave(self, page: Page) -> None:
        """The page is gone."""
        if self._desk is not None:
            await self._desk.leave(page)


def begin(make: Callable[..., Awaitable[None]], *args: object) -> None:
    """The coroutine runs on elfbook's own loop; what it raises is in the server's log."""
    PORTAL.start(make, *args).add_done_callback(note)


def note(future: Future[None]) -> None:
    """An error that nobody waits for."""
    if not future.cancelled() and (error := future.exception()) is not None:
        log.error("a panel was not served", exc_info=error)


def add_to(web_app: Any) -> None:
    """The addresses answer on this server from now on."""
    base_url = web_app.settings["base_url"]
    names = "|".join(map(re.escape, TYPES))
    files = url_path_join(base_url, *FILES, f"({names})")
    socket = url_path_join(base_url, *SOCKET)
    web_app.add_handlers(".*$", [(socket, Door, {"desks": Desks(Place.default())}), (files, Files)])
