"""What a caller sent is named in errors and logs, and not repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.wire import quoting as in_llm
from memory.ids import MAX_ID_BYTES, read_id, shown_id
from memory.quoting import quoted

SHOWN = {
    "a name": ("llama3.2:3b", "'llama3.2:3b'"),
    "nothing": ("", "''"),
    "what somebody says": ("my card is 4111", "text of 15 characters"),
    "words that need no blanks": ("我的密码", "text of 4 characters"),
    "a second line": ("a\nb", "text of 3 characters"),
    "an address with a login": ("redis://me:secret@host", "text of 22 characters"),
    "the longest name": ("n" * 64, f"'{'n' * 64}'"),
    "a longer one": ("n" * 65, "text of 65 characters"),
    "a number": (-1.5, "-1.5"),
    "a switch": (True, "True"),
    "a number of many digits": (10**5000, "a value of type int"),
    "a list": (["secret"], "a value of type list"),
}


@pytest.mark.parametrize(("value", "shown"), SHOWN.values(), ids=list(SHOWN))
def test_names_are_quoted_and_nothing_else(value: object, shown: str) -> None:
    """What may be somebody's words is told by its length."""
    assert quoted(value) == shown
    assert in_llm.quoted(value) == shown


@given(st.text() | st.binary() | st.integers() | st.floats() | st.lists(st.text()))
def test_both_packages_quote_alike_in_one_short_line(value: object) -> None:
    """No value makes a long line, or two."""
    assert in_llm.quoted(value) == quoted(value)
    assert len(quoted(value)) <= 66
    assert quoted(value).isprintable()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_ID_BYTES // 4))
def test_an_id_is_shown_as_one_word_that_can_be_read_back(value: str) -> None:
    """It ends no line and looks like no other word of it."""
    assert shown_id(value).isprintable()
    assert " " not in shown_id(value)
    assert read_id(shown_id(value)) == value


def test_what_cannot_be_an_id_is_not_shown() -> None:
    """Such as a megabyte, or half a character."""
    assert shown_id("n" * 1_000_000) == "text of 1000000 characters"
    assert shown_id("\ud800") == "text of 1 characters"
    assert shown_id(None) == "None"
