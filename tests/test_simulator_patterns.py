"""The texts drawn for a pattern match it, and what doesn't match is told from what does, whatever the pattern."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.simulator.schema.patterns import matches_pattern, sample_pattern
from barechat.simulator.schema.strict import SchemaFault
from barechat.simulator.words import Dice

PATTERNS = [
    "",
    "abc",
    "^$",
    "^a.c$",
    "^[A-Z]{3}-\\d{2,4}$",
    "^[^,;]+(, [^,;]+)*$",
    "^(?:red|green|blue)$",
    "^(?P<year>\\d{4})-(?P<month>0[1-9]|1[0-2])$",
    "^\\w+([.-]?\\w+)*@\\w+([.-]?\\w+)*(\\.\\w{2,3})+$",
    "^\\+?[1-9]\\d{1,14}$",
    "^#(?:[0-9a-fA-F]{3}){1,2}$",
    "^(\\([0-9]{3}\\))?[0-9]{3}-[0-9]{4}$",
    "^https?:\\/\\/[\\w.-]+(/\\S*)?$",
    "^a+?b*?c??d{2,}?$",
    "^[\\]\\-\\\\^]+$",
    "^[\\w-]{1,5}$",
    "^[a\\-z]$",
    "^[-a]$",
    "^[\\D]$",
    "^[^\\s\\d]\\S\\D\\W$",
    "\\bword\\b \\Bx?",
    "^\\x41\\u0042\\t\\n$",
    "^[\u0430-\u044f]{4}$",
    "^x{0}y{3}$",
    "a{b}|c}]",
    "^((a|b){2}(c|d)?)+$",
]
BEYOND = [
    "(?=a)",
    "(?!a)",
    "(?<=a)b",
    "(?<!a)b",
    "(a)\\1",
    "(?i)a",
    "\\p{L}",
    "\\k<name>",
    "\\Aa\\Z",
    "*a",
    "a**",
    "a++",
    "^*",
    "a{3,2}",
    "a{,3}",
    "(a",
    "a)",
    "[a",
    "[]a]",
    "[z-a]",
    "a\\",
    "a{9999999999}",
    "[^\\s\\S]",
    "(" * 40 + "a" + ")" * 40,
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_drawn_text_matches_as_python_matches_and_is_the_same_for_the_same_dice(pattern: str) -> None:
    for draw in range(20):
        text = sample_pattern(pattern, Dice(bytes([draw])))
        assert re.search(pattern, text), text
        assert matches_pattern(pattern, text)
        assert text == sample_pattern(pattern, Dice(bytes([draw])))
        assert len(text) < 60


def test_a_group_may_be_named_as_ecmascript_names_it() -> None:
    assert sample_pattern("^(?<letter>a)$", Dice(b"")) == "a"


def test_an_empty_text_has_no_edge_of_a_word() -> None:
    assert matches_pattern("\\B", "")  # as in ECMAScript; Python before 3.14 says otherwise
    assert not matches_pattern("\\b", "")


def test_texts_are_of_readable_characters_where_the_pattern_leaves_the_choice() -> None:
    assert re.fullmatch("[a-z0-9]{9}", sample_pattern("^.{3}[^,]{3}\\S{3}$", Dice(b"")))


@pytest.mark.parametrize("pattern", BEYOND)
def test_what_is_not_supported_is_refused_and_not_guessed_at(pattern: str) -> None:
    with pytest.raises(SchemaFault, match="this pattern isn't supported"):
        sample_pattern(pattern, Dice(b""))


def test_a_pattern_that_nothing_matches_is_refused() -> None:
    with pytest.raises(SchemaFault, match="no text of 0 to 10000 characters was found"):
        sample_pattern("a^b", Dice(b""))


@pytest.mark.parametrize(
    ("pattern", "shortest", "longest"),
    [
        ("^[a-z]+$", 10, 12),
        ("^[a-z]*$", 0, 1),
        ("^[A-Z0-9]{8,40}$", 30, 35),
        ("^ab", 20, 20),
        ("ab$", 20, 25),
        ("\\d", 100, 200),
        ("^\\w+( \\w+)*$", 30, 60),
    ],
)
def test_a_length_is_kept_beside_the_pattern(pattern: str, shortest: int, longest: int) -> None:
    for draw in range(20):
        text = sample_pattern(pattern, Dice(bytes([draw])), shortest=shortest, longest=longest)
        assert shortest <= len(text) <= longest
        assert re.search(pattern, text)


characters = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "\\w", "\\W", "\\b", "^", "$", "-"])
patterns = st.recursive(
    characters,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: f"(?:{'|'.join(options)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{2,}", "*?"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(patterns, st.text("ab-", max_size=5))
def test_matching_agrees_with_python_on_any_pattern_and_text(pattern: str, text: str) -> None:
    assert matches_pattern(pattern, text) == (re.search(pattern, text) is not None)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(patterns, st.binary(max_size=2))
def test_any_pattern_gives_a_text_that_python_matches_or_none(pattern: str, key: bytes) -> None:
    try:
        text = sample_pattern(pattern, Dice(key))
    except SchemaFault:
        return
    assert re.search(pattern, text)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a*)*b$", "^((a+)+)+$", "^(a|aa)+$"])
def test_a_pattern_that_takes_others_exponential_time_is_judged_at_once(pattern: str) -> None:
    assert not matches_pattern(pattern, "a" * 200 + "!")


@pytest.mark.parametrize(
    "pattern", ["a{999999999}", "(((a{99}){99}){99}){99}", "(?:){999999999}", "((){99999}){99999}"]
)
def test_a_repetition_without_measure_is_refused(pattern: str) -> None:
    with pytest.raises(SchemaFault, match=r"characters|too long"):
        sample_pattern(pattern, Dice(b""))
    with pytest.raises(SchemaFault, match="too long"):
        matches_pattern(f"{pattern}$|(?:){{999999999}}", "a" * 50)
