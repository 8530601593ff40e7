"""The files of the pages, and what keeps a page from running anything but itself."""

import re

import httpx
import pytest

from gateway.pages.files import FILES, PAGES

ADDRESSES = ["/" + page for page in PAGES] + ["/pages/" + name for name in FILES]
ELSEWHERE = re.compile(r"""(?:src|href)=["'](?:https?:)?//|@import|url\(|import\(|https?://""")
INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\bstyle=|\bon[a-z]+=|javascript:", re.I)
SINKS = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|srcdoc")
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("address", ADDRESSES)
async def test_each_file_is_served_behind_a_strict_policy(
    web: httpx.AsyncClient, address: str
) -> None:
    """Nothing inline, nothing from elsewhere, in no frame; its kind is said and not guessed."""
    answer = await web.get(address)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["default-src"] == parts["frame-ancestors"] == parts["base-uri"] == "'none'"
    assert parts["script-src"] == parts["style-src"] == "'self'"
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Content-Type"].split(";")[0] in {
        "text/html", "text/css", "text/javascript", "image/svg+xml",
    }  # fmt: skip


async def test_a_file_that_a_browser_has_is_not_sent_again(web: httpx.AsyncClient) -> None:
    """By its tag, weak or among others; a file that is another is sent."""
    first = await web.get("/pages/base.css")
    tag = first.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await web.get("/pages/base.css", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["Content-Security-Policy"]
    other = await web.get("/pages/base.css", headers={"If-None-Match": '"other"'})
    assert other.content == first.content


@pytest.mark.parametrize("path", ["..%2f..%2fapp.py", "../files.py", "chat", "no.js", "%00", ""])
async def test_nothing_else_is_served(web: httpx.AsyncClient, path: str) -> None:
    """Only what lay in the folder at the start."""
    assert (await web.get(f"/pages/{path}")).status_code == 404


@pytest.mark.parametrize("name", FILES)
def test_no_file_has_what_the_policy_forbids(name: str) -> None:
    """Nor an address of elsewhere; markup is made in one place only, from what the gateway made."""
    text = FILES[name].content.decode()
    assert not ELSEWHERE.search(text.replace(NAMESPACE, ""))
    if name.endswith(".html"):
        assert not INLINE.search(text)
    assert not SINKS.search(text)
    # What it reads comes from the gateway, and it runs nothing of it.
    assert ("DOMParser" in text) == (name == "chat/markup.js")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_only_files_that_there_are(page: str) -> None:
    """By addresses below its own, so that a proxy may serve it under any path."""
    text = FILES[f"{page}/index.html"].content.decode()
    loaded = re.findall(r"(?:src|href)=\"([^\"#]+)\"", text)
    assert loaded
    linked = {f"pages/{name}" for name in FILES} | set(PAGES)
    assert set(loaded) <= linked


@pytest.mark.parametrize("name", FILES)
def test_a_file_fits_in_the_head(name: str) -> None:
    """As the modules of Python do."""
    assert len(FILES[name].content.splitlines()) <= 300
