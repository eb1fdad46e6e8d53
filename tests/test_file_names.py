"""Names that any file system takes, and those that are made of others."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hdrnet_bench.file_names import LONGEST, is_plain, is_portable, name_hash, portable, same_file
from hdrnet_bench.result_ids import PictureId

KEPT = [
    *("a0001-jmac_DSC1459", "IMG 0012 (2)", "_MG_0001", "a, b+c & d", "it's #1!", "x~[y]=@z"),
    *(
        "Straße",
        "写真1",
        "Ünï",
        "संगीत",
        "(1)",
        "a.b.c",
        "1",
        "CONsole",
        "a CON",
        "com0x",
        "x" * 100,
    ),
]


@pytest.mark.parametrize("name", KEPT)
def test_a_name_that_files_may_have_is_kept(name: str) -> None:
    assert is_portable(name)
    assert portable(name) == name


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a/b", "a-b"),
        ('a<>:"\\|?*b', "a-b"),
        ("a%b$c`d;e{f}", "a-b-c-d-e-f"),
        ("a\nb\x1b\x7f\u202eb", "a-b-b"),
        ("..a", "a"),
        ("-rf", "rf"),
        ("=SUM(A1)", "SUM(A1)"),
        ("@a", "a"),
        ("+a", "a"),
        (" a ", "a"),
        ("a.", "a"),
        ("CON", "_CON"),
        ("aux.v2", "_aux.v2"),
        ("LPT¹ .x", "_LPT¹ .x"),
        ("u\u0308", "ü"),
        ("\u0308u", "u"),
        ("写" * 40, f"{'写' * 26}-{name_hash('写' * 40)}"),
        ("x" * 101, f"{'x' * 80}-{name_hash('x' * 101)}"),
        ("e\u0301" * 60, f"{'é' * 40}-{name_hash('é' * 60)}"),
        ("…/…", name_hash("…/…")),
    ],
)
def test_another_becomes_one_that_is_like_it(name: str, made: str) -> None:
    assert not is_portable(name)
    assert portable(name) == made
    assert is_portable(made)


@given(st.text(max_size=140).filter(lambda text: all(not 0xD800 <= ord(c) < 0xE000 for c in text)))
def test_whatever_it_is_made_of_it_is_portable(text: str) -> None:
    made = portable(text)
    assert is_portable(made)
    assert portable(made) == made
    assert not set('<>:"/\\|?*`$%\n\t\0') & set(made)
    assert len(made.encode()) <= LONGEST
    TypeAdapter(PictureId).validate_python(made)


def test_names_that_are_one_file_somewhere_are_told() -> None:
    assert same_file("STRASSE") == same_file("straße")
    assert same_file("É") == same_file("e\u0301") != same_file("e")
    assert same_file("a") != same_file("b")


@pytest.mark.parametrize(
    "text",
    [
        *("", "../x", "a/b", "a\\b", "<b>", 'a"b', "a|b", "a`b", "a\nb", "a\x1b[2J", "=1+1", "-x"),
        *("@x", "+x", ".x", " x", "x ", "a\u202eb", "a\ud800", "u\u0308", "x" * 241, "写" * 81),
    ],
)
def test_results_refuse_an_id_that_means_harm(text: str) -> None:
    assert not is_plain(text) or len(text.encode()) > 240
    with pytest.raises(ValidationError):
        TypeAdapter(PictureId).validate_python(text)


def test_ids_of_older_results_are_read() -> None:
    """They had letters, digits, '.', '_' and '-', of which they began with a letter or digit."""
    for text in ("a", "0", "a.", "con", "a--b__c..", "x" * 240):
        assert TypeAdapter(PictureId).validate_python(text) == text
    assert all(unicodedata.is_normalized("NFC", name) for name in KEPT)
