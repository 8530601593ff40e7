"""Markdown that anybody may have written, as HTML that runs nothing and loads nothing."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pages.chat.markdown import MAX_CHARS, rendered

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](java\tscript:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>)",
    "[a](vbscript:x)",
    "<javascript:alert(1)>",
    "![a](javascript:alert(1))",
    "![a](https://elsewhere.example/a.png)",
    "![a][b]\n\n[b]: https://elsewhere.example/a.png",
    '[a](https://x.example "\\" onmouseover=alert(1) b=\\"")',
    '```"><script>alert(1)</script>\nx\n```',
    '```py onload="alert(1)"\nx\n```',
    "<a href='x' style='position:fixed'>",
    "<style>*{background:url(https://elsewhere.example)}</style>",
    "| a |\n|:-:|\n| <img src=x> |",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!--><script>alert(1)</script>-->",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "[a](/v1/conversations) [b](//elsewhere.example/x) [c](#owned)",
]
TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li"),
    *("strong", "em", "s", "code", "pre", "a", "div"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {
    *("href", "title", "target", "rel", "start", "class"),
    *("data-language", "tabindex", "role", "aria-label"),
}


class Found(HTMLParser):
    """The tags and attributes of a markup."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note them."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def check(text: str) -> None:
    """Only what is harmless comes out."""
    found = Found(rendered(text))
    assert found.tags <= TAGS
    assert {name for name, _ in found.attributes} <= ATTRIBUTES
    for name, value in found.attributes:
        if name == "href":
            assert re.match(r"(https?|mailto):", value), value


@pytest.mark.parametrize("text", ATTACKS)
def test_an_attack_is_text(text: str) -> None:
    """Alone, in a list, in a quotation and in a heading."""
    for around in ("{}", "- {}", "> {}", "# {}", "a\n\n{}\n\nb"):
        check(around.format(text))


@given(st.text(alphabet="<>[]()!`*_~|\\\"'&;:#-= \n\tajscript/.x1", max_size=120))
def test_whatever_is_written_is_harmless(text: str) -> None:
    """Also what nobody has thought of."""
    check(text)


def test_markdown_is_rendered() -> None:
    """What models write: headings, lists, emphasis, code with its language, tables with sides."""
    html = rendered(
        "# H\n\n3. **a** ~~b~~\n\n```py\nx < 1\n```\n\n| l | r |\n|:--|--:|\n| 1 | 2 |\n"
    )
    for part in (
        "<h1>H</h1>",
        '<ol start="3">',
        "<strong>a</strong> <s>b</s>",
        '<pre tabindex="0" data-language="py"><code>x &lt; 1\n</code></pre>',
        '<th class="left">l</th>',
        '<td class="right">2</td>',
    ):
        assert part in html


def test_a_link_leads_outwards_in_a_tab_of_its_own() -> None:
    """Which learns nothing of this one; a picture is a link to it."""
    html = rendered("[a](https://x.example) ![pic](https://y.example/p.png)")
    assert html.count('target="_blank" rel="noopener noreferrer nofollow"') == 2
    assert ">pic</a>" in html
    assert "<img" not in html


def test_what_is_too_long_to_be_read_as_markdown_is_shown_as_it_is() -> None:
    """Time is bounded, whatever is sent."""
    text = "[" * MAX_CHARS + "<b>"
    assert rendered(text) == "<pre>" + "[" * MAX_CHARS + "&lt;b&gt;</pre>"
