"""barechat.docstrings: what people write about parameters is found, in the styles that they write it in."""

from __future__ import annotations

import pytest

from barechat.docstrings import read_docstring

NAMES = ("city", "unit")
FOUND = {"city": "The city, or a village near it.", "unit": "Which unit."}

GOOGLE = """Tell the weather.

    Of today: not of tomorrow.

    Args:
        city (str): The city,
            or a village near it.
        unit: Which unit.

    Returns:
        city: no parameter here, but who could know
    """
NUMPY = """Tell the weather.

    Of today: not of tomorrow.

    Parameters
    ----------
    city : str
        The city, or a village
        near it.
    unit : {"c", "f"}, optional
        Which unit.

    Returns
    -------
    str
        What it is like.
    """
SPHINX = """Tell the weather.

    Of today: not of tomorrow.

    :param city: The city, or a village
        near it.
    :param str unit: Which unit.
    :returns: what it is like
    """
PLAIN = """Tell the weather.

    Of today: not of tomorrow.

    city: The city, or a village near it.
    unit: Which unit.

    Raises:
        ValueError: no such city.
    """


@pytest.mark.parametrize("docstring", [NUMPY, SPHINX, PLAIN, GOOGLE.replace("city: no", "town: no")])
def test_each_style_tells_the_same(docstring: str) -> None:
    assert read_docstring(docstring, NAMES) == ("Tell the weather.\n\nOf today: not of tomorrow.", FOUND)


@pytest.mark.parametrize(
    ("docstring", "prose", "told"),
    [
        ("", "", {}),
        ("One line.", "One line.", {}),
        ("One line.\n\nReturns:\n    words", "One line.", {}),
        ("One line.\n\ncity:\n\nMore.", "One line.", {}),
        ("A list:\na: no parameter\n  b: neither", "A list:\na: no parameter\n  b: neither", {}),
        ("---\nOdd.", "", {}),
        ("Keywords.\n\n    **unit: Which.", "Keywords.", {"unit": "Which."}),
    ],
)
def test_what_isn_t_said_is_not_made_up(docstring: str, prose: str, told: dict[str, str]) -> None:
    assert read_docstring(docstring, NAMES) == (prose, told)


def test_without_parameters_all_up_to_the_first_section_is_prose() -> None:
    assert read_docstring(PLAIN, ())[0].splitlines()[-2:] == [
        "city: The city, or a village near it.",
        "unit: Which unit.",
    ]
