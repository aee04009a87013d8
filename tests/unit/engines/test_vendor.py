"""What an operator is told to look at when a vendor refuses."""

import re

import pytest

from avatar_service.engines.vendor import ELEVENLABS, OPENAI, SECOND_ELEVENLABS, SECOND_OPENAI, Vendor
from avatar_service.engines.vendor_errors import vendor_error
from avatar_service.errors import EngineRejected, Fault
from avatar_service.settings import setting_names

REFUSALS = [*EngineRejected.faults]


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.parametrize("vendor", [OPENAI, ELEVENLABS, SECOND_OPENAI, SECOND_ELEVENLABS])
def test_a_refusal_comes_with_a_sentence_that_names_the_setting(vendor: Vendor, fault: Fault) -> None:
    for stage in ("transcribe", "think", "speak", "list_voices"):
        error = vendor_error(stage, vendor, otherwise=fault)
        named = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", error.advice))
        assert named <= setting_names()
        assert error.advice.endswith(".")
        if fault in (Fault.AUTHENTICATION, Fault.PERMISSION, Fault.QUOTA):
            assert named == {vendor.key}
        if fault in (Fault.NOT_FOUND, Fault.BAD_REQUEST):
            assert named == {*vendor.choices.get(stage, ()), vendor.base_url}


def test_the_sentence_about_a_wrong_key() -> None:
    assert vendor_error("think", OPENAI, status=401).advice == "OpenAI does not take the key in OPENAI_API_KEY."
    elsewhere = OPENAI.at("http://gpu-1:8000/v1")
    advice = "The server at OPENAI_BASE_URL does not take the key in OPENAI_API_KEY."
    assert vendor_error("think", elsewhere, status=401).advice == advice
    assert OPENAI.at("") == OPENAI


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in REFUSALS])
def test_what_another_attempt_may_mend_needs_no_advice(fault: Fault) -> None:
    assert vendor_error("think", OPENAI, otherwise=fault).advice == ""
