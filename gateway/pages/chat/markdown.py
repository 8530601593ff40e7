"""Markdown as HTML that is safe to show: it runs nothing, loads nothing, and links only outwards.

Twice: markdown-it-py takes no markup of the text, and nh3 lets through only what is listed here.
The page's own policy is the third wall. Pure.
"""

from collections.abc import Sequence
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

MAX_CHARS = 40_000
"""A longer text is shown as it is: what is read as Markdown takes time."""
_ALIGNED = ("left", "center", "right")
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li"),
    *("strong", "em", "s", "code", "pre", "a", "div"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    clean_content_tags={"script", "style"},
    attributes={"a": {"href", "title"}, "ol": {"start"}, "pre": {"data-language", "tabindex"}},
    allowed_classes={"th": {*_ALIGNED}, "td": {*_ALIGNED}, "div": {"table"}},
    tag_attribute_values={"div": {"role": {"region"}, "tabindex": {"0"}, "aria-label": {"Table"}}},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    link_rel="noopener noreferrer nofollow",
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
)


def rendered(text: str) -> str:
    """A text of a person or a model as HTML."""
    if len(text) > MAX_CHARS:
        return f"<pre>{escape(text)}</pre>"
    return _CLEANER.clean(_PARSER.render(text))


def _image(
    _: RendererProtocol, tokens: Sequence[Token], at: int, __: OptionsDict, ___: EnvType
) -> str:
    """A picture is a link to it: to load it would tell its server who reads this, and when."""
    address, words = str(tokens[at].attrGet("src") or ""), tokens[at].content
    shown = escapeHtml(words or address)
    return f'<a href="{escapeHtml(address)}">{shown}</a>'


def _code(
    _: RendererProtocol, tokens: Sequence[Token], at: int, __: OptionsDict, ___: EnvType
) -> str:
    token = tokens[at]
    language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
    # What scrolls can be reached by the keyboard.
    head = f'<pre tabindex="0" data-language="{escapeHtml(language[:32])}">'
    return f"{head}<code>{escapeHtml(token.content)}</code></pre>\n"


def _cell(
    _: RendererProtocol, tokens: Sequence[Token], at: int, __: OptionsDict, ___: EnvType
) -> str:
    """A cell of a table, whose side is a class: the page's policy takes no style."""
    style = str(tokens[at].attrGet("style") or "")
    side = style.removeprefix("text-align:")
    mark = f' class="{side}"' if side in _ALIGNED else ""
    return f"<{tokens[at].tag}{mark}>"


def _table(
    _: RendererProtocol, tokens: Sequence[Token], at: int, __: OptionsDict, ___: EnvType
) -> str:
    if tokens[at].nesting < 0:
        return "</table></div>\n"
    return '<div class="table" role="region" aria-label="Table" tabindex="0"><table>'


def _made() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    rules = {
        **{"image": _image, "fence": _code, "code_block": _code, "th_open": _cell},
        **{"td_open": _cell, "table_open": _table, "table_close": _table},
    }
    for name, rule in rules.items():
        parser.add_render_rule(name, rule)
    return parser


_PARSER = _made()
