"""The files of the pages, and the headers that keep a page from running anything but itself.

A page is a folder of `static/` with an `index.html`; it is found under the folder's name (`/chat`),
and what it loads under `/pages/…`. Nothing is built, and nothing is loaded from elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

STATIC = Path(__file__).parent / "static"
# Not by `mimetypes`, which asks the machine's own lists.
MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Only our own scripts and styles, none inline; pictures that are in the page itself."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    # Asked for each time: a gateway that was updated has no page of before.
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)
IfNoneMatch = Annotated[str | None, Header()]


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, as it is served."""

    content: bytes
    media_type: str

    @property
    def etag(self) -> str:
        """The same for the same content, at any gateway."""
        return f'"{blake2b(self.content, digest_size=16).hexdigest()}"'

    def answer(self, known: str | None) -> Response:
        """The file; or 304 for a client that has it, as its `If-None-Match` says."""
        headers = {**HEADERS, "ETag": self.etag}
        # A proxy that compresses makes the tag a weak one.
        if known and self.etag in (one.strip().removeprefix("W/") for one in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def _read() -> dict[str, StaticFile]:
    found = (path for path in sorted(STATIC.rglob("*")) if path.suffix in MEDIA_TYPES)
    return {
        path.relative_to(STATIC).as_posix(): StaticFile(path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in found
    }


FILES: Mapping[str, StaticFile] = _read()
"""All files by their path below `static/`; no other path is ever looked for on the disk."""
PAGES = [name.removesuffix("/index.html") for name in FILES if name.endswith("/index.html")]


@router.get("/pages/{path:path}")
async def static_file(path: str, if_none_match: IfNoneMatch = None) -> Response:
    """A file that a page loads."""
    if path not in FILES:
        raise HTTPException(404)
    return FILES[path].answer(if_none_match)


def _serve(page: str) -> None:
    @router.get(f"/{page}")
    async def show(if_none_match: IfNoneMatch = None) -> Response:
        return FILES[f"{page}/index.html"].answer(if_none_match)


for _page in PAGES:
    _serve(_page)
