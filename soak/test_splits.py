"""Does every stream that was recorded fold to the same reply, wherever its bytes are cut in two?"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from barechat.wire.reply import reply_of
from folding import assert_deltas_are_the_reply, fold, shown
from vectors import case_id, cases, splits


@pytest.mark.parametrize("case", cases("chat_accumulate"), ids=case_id)
def test_every_recorded_stream_folds_to_the_same_however_it_is_split(case: dict[str, Any]) -> None:
    whole = None
    for pieces in splits(base64.b64decode(case["wire_b64"])):
        folded, deltas = fold(pieces)
        told = shown(reply_of(folded.raw(), "partial")), str(folded.fault), folded.done
        whole = whole or told  # which `make test` holds to what the recording expects
        assert told == whole
        assert_deltas_are_the_reply(deltas, folded)
