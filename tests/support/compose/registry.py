"""A registry of images on loopback: tags that can be moved, and Docker's dance for a token."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Tags:
    """What the registry has, and how it answers. Paths are `library/python:3.11`."""

    manifests: dict[str, bytes]
    url: str = ""
    is_lying: bool = False
    scopes: list[str] = field(default_factory=list)

    def digest(self, tag: str) -> str:
        """Of the manifest that the tag leads to."""
        return f"sha256:{hashlib.sha256(self.manifests[tag]).hexdigest()}"


class _Handler(BaseHTTPRequestHandler):
    tags: Tags

    def do_GET(self) -> None:
        """A token, or a manifest for who has one."""
        asked = urlsplit(self.path)
        if asked.path == "/token":
            (scope,) = parse_qs(asked.query)["scope"]
            self.tags.scopes.append(scope)
            return self._answer(200, json.dumps({"token": f"for {scope}"}).encode())
        repository, _, tag = asked.path.removeprefix("/v2/").rpartition("/manifests/")
        scope = f"repository:{repository}:pull"
        if self.headers["Authorization"] != f"Bearer for {scope}":
            realm = f'Bearer realm="{self.tags.url}/token",service="registry",scope="{scope}"'
            return self._answer(401, b"{}", **{"WWW-Authenticate": realm})
        manifest = self.tags.manifests.get(f"{repository}:{tag}")
        if manifest is None or INDEX not in self.headers["Accept"]:
            return self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
        digest = self.tags.digest(f"{repository}:{tag}")
        given = digest.replace(digest[-1], "x") if self.tags.is_lying else digest
        return self._answer(200, manifest, **{"Docker-Content-Digest": given})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def registry(manifests: dict[str, bytes]) -> Iterator[Tags]:
    """One that has these, for as long as the block lasts."""
    tags = Tags(manifests)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"tags": tags}))
    tags.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield tags
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
