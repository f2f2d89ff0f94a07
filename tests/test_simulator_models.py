"""The simulator knows the models that its users ask for, by each of their names."""

import datetime as dt

import pytest

from barechat.simulator.models import MODELS, Model, find_model


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_model_is_found_by_its_name_its_snapshot_and_behind_a_provider(model: Model) -> None:
    assert find_model(model.name) is model
    for name in (model.snapshot, f"openai/{model.name}"):
        found = find_model(name)
        assert found is not None
        assert (found.name, found.output_tokens) == (model.name, model.output_tokens)
        assert found.snapshot == name


def test_a_bare_name_is_served_as_its_snapshot_and_any_other_as_it_is() -> None:
    def served(name: str) -> str | None:
        model = find_model(name)
        return None if model is None else model.snapshot

    assert served("gpt-4o") == "gpt-4o-2024-08-06"
    assert served("gpt-4o-mini") == "gpt-4o-mini-2024-07-18"
    assert served("gpt-4.1-nano") == "gpt-4.1-nano-2025-04-14"
    assert served("o3") == "o3-2025-04-16"
    assert served("gpt-4o-2024-11-20") == "gpt-4o-2024-11-20"
    assert served("gpt-4o-2024-05-13") == "gpt-4o-2024-05-13"
    assert served("gpt-6.1-sol") == "gpt-6.1-sol"


@pytest.mark.parametrize("name", ["ft:gpt-4.1-mini:acme::id", "ft:gpt-4.1-mini-2025-04-14:acme:name:id"])
def test_a_fine_tuned_model_is_what_its_base_is(name: str) -> None:
    found = find_model(name)
    assert found is not None
    assert (found.name, found.snapshot, found.context_tokens) == ("gpt-4.1-mini", name, 1_047_576)


@pytest.mark.parametrize("name", ["", "ft:", "gpt", "gpt-4o-latest", "gpt-4o-2024", "mistral/tiny", "o3-mini", "/"])
def test_any_other_name_is_not_known(name: str) -> None:
    assert find_model(name) is None


def test_the_oldest_gpt_4o_has_a_shorter_output_than_the_others() -> None:
    old, new = find_model("gpt-4o-2024-05-13"), find_model("gpt-4o-2024-08-06")
    assert old is not None
    assert new is not None
    assert (old.output_tokens, new.output_tokens) == (4_096, 16_384)


def test_models_reason_by_default_from_o1_to_gpt_5_and_on_request_since() -> None:
    by_default = [model.name for model in MODELS if model.effort == "medium"]
    on_request = [model.name for model in MODELS if model.reasons and model.effort == "none"]
    assert by_default == ["o1", "o3", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano"]
    assert on_request == [model.name for model in MODELS if model.name.startswith(("gpt-5.", "gpt-6"))]


def test_a_model_was_released_about_when_its_snapshot_is_dated() -> None:
    for model in MODELS:
        released = dt.datetime.fromtimestamp(model.created, tz=dt.UTC).date()
        assert dt.date(2024, 1, 1) < released < dt.date(2027, 1, 1)
        if model.name not in {model.snapshot, "gpt-4o"}:
            dated = dt.date.fromisoformat(model.snapshot[-10:])
            assert abs(dated - released) < dt.timedelta(days=30)
