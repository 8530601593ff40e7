"""The pattern of a text as llama.cpp's grammars take it. Pure.

Its converter wants `^` and `$` around a pattern, knows neither `\\d` nor most other escapes, and
lets a dot stand for a quote, which ends the text too early (json-schema-to-grammar.cpp, b10488).
"""

import re

MAX_TIMES = 1000
ANY = r'[^"\\\x00-\x1F]'
"""Any character that stands in a JSON text as it is."""
_BEHIND_ANY = r'"\\\x00-\x1F'

_OUTSIDE = {
    "d": "[0-9]",
    "w": "[A-Za-z0-9_]",
    "s": "[ ]",
    "D": r'[^0-9"\\\x00-\x1F]',
    "W": r'[^A-Za-z0-9_"\\\x00-\x1F]',
    "S": r'[^ "\\\x00-\x1F]',
}
_WITHIN = {"d": "0-9", "w": "A-Za-z0-9_", "s": " ", "]": r"\]", "[": r"\["}
_LITERALS = frozenset("-/_,:;@#%&=!~'<> ")
_MARKS = frozenset(".*+?()[]{}|^$")

_TOKEN = re.compile(
    r"\\(?P<escape>.)"
    r"|\[(?P<class>\^?(?:\\.|[^\]\\])+)\]"
    r"|(?P<group>\(\?:|\((?!\?)|\)|\|)"
    r"|\{(?P<times>\d+(?:,\d*)?)\}"
    r"|(?P<repeat>[*+?])"
    r"|(?P<dot>\.)"
    r"|(?P<text>[ !#-'\-/0-9:-@A-Z_a-z~,&%;<=>`])"
)
_CLASS_TOKEN = re.compile(r"\\(?P<escape>.)|(?P<text>[ -~])")


def grammar_pattern(pattern: str) -> str | None:
    """A pattern for the same texts, or for more of them; None where there is none."""
    body = pattern.removeprefix("^")
    inner = body[:-1] if body.endswith("$") and not body.endswith("\\$") else body
    has_begin, has_end = body != pattern, inner != body
    parts = _converted(inner)
    # Empty groups and repetitions of nothing are read in several ways.
    if not parts or parts[0] in "*+?{|" or "()" in "".join(parts):
        return None
    # `^a|b$` holds for what begins with a, and for what ends with b.
    if (has_begin or has_end) and _has_bare_choice(parts):
        return None
    before, behind = "" if has_begin else f"{ANY}*", "" if has_end else f"{ANY}*"
    return f"^{before}({''.join(parts)}){behind}$"


def _converted(pattern: str) -> list[str] | None:
    """Its parts, each as a grammar has it; None where one is not known."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        found = _TOKEN.match(pattern, at)
        part = None if found is None else _part(found)
        if found is None or part is None:
            return None
        if parts and _repeats(parts[-1]) and _repeats(part):
            # `a+?` is `a+`, taken as short as possible: the same texts.
            if part != "?":
                return None
        else:
            parts.append(part)
        at = found.end()
    return parts


def _repeats(part: str) -> bool:
    return part[:1] in ("*", "+", "?", "{")


def _part(found: "re.Match[str]") -> str | None:
    kind, text = found.lastgroup, found.group()
    match kind:
        case "escape":
            return _escaped(found["escape"])
        case "class":
            return _class(found["class"])
        case "group":
            return text.replace("?:", "")
        case "times":
            return text if max(map(int, re.findall(r"\d+", text))) <= MAX_TIMES else None
        case "dot":
            return ANY
    return text


def _escaped(char: str) -> str | None:
    if char in _LITERALS:
        return char
    if char in _MARKS:
        # A class of one is read alike by all versions.
        return f"[{char}]" if char not in "[]^" else None
    return _OUTSIDE.get(char)


def _class(inner: str) -> str | None:
    is_negated = inner.startswith("^")
    parts = []
    for found in _CLASS_TOKEN.finditer(inner[is_negated:]):
        char = found["escape"]
        part = _within(char) if char else found["text"]
        # A quote or a backslash would end the text, or stand for something else.
        if part is None or part in ('"', "["):
            return None
        parts.append(part)
    if not "".join(inner).isascii():
        return None
    return f"[^{''.join(parts)}{_BEHIND_ANY}]" if is_negated else f"[{''.join(parts)}]"


def _within(char: str) -> str | None:
    if char in _WITHIN:
        return _WITHIN[char]
    # A minus could be taken for a range.
    return char if char in (_LITERALS | _MARKS) - {"-", "^"} else None


def _has_bare_choice(parts: list[str]) -> bool:
    """Whether a pattern is a choice as a whole, outside of any group."""
    depth = 0
    for part in parts:
        depth += (part == "(") - (part == ")")
        if part == "|" and not depth:
            return True
    return False
