"""Text from outside: whatever it holds, it is only read."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hdrnet_bench.cleaning import Form, clean, json_shown, name_text

FORMS = get_args(Form)
ANY_TEXT = st.text(st.characters(codec=None)) | st.text(
    "=+-@|*<>&\"'`[]()$%#_{}~^\\\x1b\x9b\u202e a\n"
)


@pytest.mark.fault("names and texts")
@given(ANY_TEXT)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    for form in FORMS:
        cleaned = clean(text, form)
        cleaned.encode()  # no halves of characters
        kinds = {unicodedata.category(mark) for mark in cleaned.replace("\n", "").replace("\t", "")}
        assert not kinds & {"Cc", "Cs", "Zl", "Zp"}, (form, cleaned)
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]", cleaned)
        if form != "terminal":
            assert "\n" not in cleaned


@given(st.text(st.characters(categories=("L", "N", "P", "S"))))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert clean(text, "terminal") == text
    assert clean(text, "html").replace("&", "") or not text


@pytest.mark.fault("names and texts")
@given(ANY_TEXT)
def test_yaml_html_and_csv_are_read_back_as_text(text: str) -> None:
    line = " ".join(clean(text, "terminal").split())
    assert yaml.safe_load(f"name: {clean(text, 'yaml')}\nnext: 1") == {"name": line, "next": 1}

    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append(f"{tag} {attrs}")

        def handle_data(self, data: str) -> None:
            found.append(data)

    html = clean(text, "html")
    reader = Reader()
    reader.feed(f'<p title="{html}">')
    reader.close()
    assert found == [f"p {[('title', line)]}"]
    found.clear()
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert "".join(found) == line

    stream = io.StringIO()
    csv.writer(stream).writerow([clean(text, "csv"), "next"])
    first, second = next(csv.reader(io.StringIO(stream.getvalue())))
    assert second == "next"
    assert first.removeprefix("'") == line or first == line
    assert first[:1] not in ("=", "+", "-", "@")


@pytest.mark.parametrize(
    ("form", "cleaned"),
    [
        ("line", "\\x1b[2J=a|<b> *c* [d](e) 5% $x_1$ – -1"),
        ("terminal", "\\x1b[2J=a|<b> *c* [d](e) 5% $x_1$ – -1"),
        ("csv", "\\x1b[2J=a|<b> *c* [d](e) 5% $x_1$ – -1"),
        ("markdown", r"\\x1b[2J=a\|&lt;b&gt; \*c\* [d]\(e) 5% $x_1$ – -1"),
        ("html", "\\x1b[2J=a|&lt;b&gt; *c* [d](e) 5% $x_1$ – -1"),
        (
            "latex",
            r"\textbackslash{}x1b{[}2J=a|\textless{}b\textgreater{} *c* {[}d](e) 5\% "
            r"\$x\_1\$ -- $-$1",
        ),
    ],
)
def test_the_forms(form: Form, cleaned: str) -> None:
    assert clean("\x1b[2J=a|<b> *c* [d](e) 5% $x_1$ – -1", form) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("`eval <RUN> | head` and <b>", r"`eval <RUN> \| head` and &lt;b&gt;"),
        ("`<script>", r"\`&lt;script&gt;"),
        ("a\\|b", r"a\\\|b"),  # a backslash would free the mark behind it
        ("_x_ and __y__ ~~z~~ delta_e", r"\_x\_ and \_\_y\_\_ \~\~z\~\~ delta_e"),
        ("[a](b)", r"[a]\(b)"),
    ],
)
def test_code_in_markdown(text: str, cleaned: str) -> None:
    assert clean(text, "markdown") == cleaned


@pytest.mark.fault("names and texts")
@pytest.mark.parametrize(
    "formula", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]
)
def test_no_cell_begins_a_formula(formula: str) -> None:
    assert clean(formula, "csv")[0] in "'\\"


@given(st.recursive(ANY_TEXT, lambda inner: st.dictionaries(ANY_TEXT, inner)))
def test_json_for_a_terminal_is_the_same_value(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    shown = json_shown(text)
    assert json.loads(shown) == value
    assert not re.search("[\x7f-\x9f\u2028\u202e]", shown)


@pytest.mark.fault("names and texts")
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    path.write_bytes(b"")
    assert name_text(path) == "\ufffd\ufffd.png"
    assert clean(str(path), "terminal").endswith("\\udcff\\udcfe.png")
