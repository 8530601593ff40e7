"""The digests of the images that are built on and run: `make digests`, `make digests-check`.

A tag can be moved by whoever owns it, a digest cannot. This asks the registry, by the distribution
API (OCI distribution-spec 1.1, Docker's token authentication), which manifest each tag leads to
now, and writes its digest behind the tag. The tags stay: they say which version it is, and what is
asked for the next time.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx

ROOT = Path(__file__).resolve().parent.parent
FILES = (
    *("Dockerfile", "docker-compose.yml"),
    *(f"deploy/{name}.Dockerfile" for name in ("redis", "prometheus", "grafana")),
)
HUB = "https://registry-1.docker.io"
TIMEOUT_S = 30.0

IMAGE = re.compile(
    r"(?P<before>^(?:ARG \w+_IMAGE=|\s+image: (?:&\w+ )?))"
    r"(?P<tagged>[a-z0-9][a-z0-9./_-]*:v?\d[\w.-]*)"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?$",
    re.MULTILINE,
)
"""An image of others, as the files name one: name, tag, and its digest if it has one."""

MANIFESTS = ", ".join(
    (
        # An index first: its digest is the image for every kind of machine.
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


class RegistryError(Exception):
    """The registry does not say which manifest a tag leads to; the message says why."""


class Registry:
    """One registry, asked without credentials. `url` without a path; https but for a test."""

    def __init__(self, url: str = HUB) -> None:
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S, headers={"Accept": MANIFESTS})
        self._is_plain = urlsplit(url).scheme == "http"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def digest(self, tagged: str) -> str:
        """`sha256:…` of the manifest that a tag leads to, of the bytes that came. RegistryError."""
        name, _, tag = tagged.rpartition(":")
        repository = name if "/" in name else f"library/{name}"
        path = f"/v2/{repository}/manifests/{tag}"
        try:
            answer = self._http.get(path)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                token = self._token(answer.headers.get("WWW-Authenticate", ""))
                answer = self._http.get(path, headers={"Authorization": f"Bearer {token}"})
        except httpx.HTTPError as exc:
            raise RegistryError(f"{tagged}: the registry does not answer ({exc})") from exc
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise RegistryError(f"{tagged}: the registry has no such tag")
        if answer.status_code != httpx.codes.OK:
            raise RegistryError(f"{tagged}: the registry answers {answer.status_code}")
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        if answer.headers.get("Docker-Content-Digest", digest) != digest:
            raise RegistryError(f"{tagged}: what came is not what the registry says it is")
        return digest

    def _token(self, challenge: str) -> str:
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = asked.pop("realm", "")
        if urlsplit(realm).scheme != "https" and not self._is_plain:
            raise RegistryError(f"the registry wants a token from {realm!r}, which is not https")
        answer = self._http.get(realm, params=asked)
        if answer.status_code != httpx.codes.OK:
            raise RegistryError(f"{urlsplit(realm).hostname} gives no token: {answer.status_code}")
        body = answer.json()
        return str(body.get("token") or body.get("access_token"))


def named_images(texts: Sequence[str]) -> dict[str, str | None]:
    """Each image of others with its tag, and the digest that stands behind it."""
    return {found["tagged"]: found["digest"] for text in texts for found in IMAGE.finditer(text)}


def renewed(text: str, digests: Mapping[str, str]) -> str:
    """A file with these digests behind the tags."""
    return IMAGE.sub(
        lambda found: f"{found['before']}{found['tagged']}@{digests[found['tagged']]}", text
    )


def moved(named: Mapping[str, str | None], digests: Mapping[str, str]) -> list[str]:
    """A line for each image that is not named by the digest that its tag has now."""
    return [
        f"{tagged} {f'has moved from {digest}' if digest else 'has no digest'}, now {now}"
        for tagged, digest in named.items()
        if (now := digests[tagged]) != digest
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the digests, or with `--check` only say which are not those of now, and end with 1."""
    parser = argparse.ArgumentParser(prog="python -m deploy.image_digests", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if a tag has moved")
    parser.add_argument("--registry", default=HUB, help="a mirror to ask (default: %(default)s)")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    texts = {path: path.read_text("utf-8") for path in (given.root / name for name in FILES)}
    named = named_images(list(texts.values()))
    try:
        with Registry(given.registry) as registry:
            digests = {tagged: registry.digest(tagged) for tagged in named}
    except RegistryError as exc:
        sys.exit(f"digests: {exc}; nothing is changed")
    lines = moved(named, digests)
    print("\n".join(lines) or "Every image is named by the digest that its tag has now.")
    if given.check:
        sys.exit(bool(lines))
    for path, text in texts.items():
        path.write_text(renewed(text, digests), "utf-8")


if __name__ == "__main__":
    main()
