import random
import string

import pytest

from clonecost.victims.endpoints.secret_shapes import is_secret

SECRET = [
    "sk-proj-abcdEFGH1234ijklMNOP", "Bearer abcdef0123456789", "ghp_16C7e42F292c6912E7710c838347Ae",
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AIzaSyD-9tSrke72PouQMnMX-a7e",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmN", "hf_abcDEF123456ghiJKL",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c", "https://me:pa55word@shop.example/",
    "xoxb-12345678901-abcdef", "-----BEGIN RSA PRIVATE KEY-----",
]  # fmt: skip
PLAIN = [
    "resnet50", "$input", "env:TOKEN", "Bearer env:TOKEN", "application/json", "7",
    "meta-llama/Llama-3.2-11B-Vision-Instruct", "data:image/png;base64,$input", "2026-01-31",
    "Classify this image into one of the classes, please.", "europe-west4-aiplatform",
    "projects/123456789012/locations/us-central1", "text/html; charset=utf-8", "probabilities",
    "MobileNetV2ForImageClassification", "convnext_base_in22ft1k", "Token classification", "",
]  # fmt: skip


@pytest.mark.parametrize("text", SECRET)
def test_what_looks_like_a_secret_is_one(text: str) -> None:
    assert is_secret(text, header=True)
    assert is_secret(f"prefix {text}", header=True)


@pytest.mark.parametrize("text", PLAIN)
def test_a_usual_value_is_none(text: str) -> None:
    assert not is_secret(text, header=True)


def test_some_are_secrets_in_a_header_only() -> None:
    for text in ("123e4567-e89b-12d3-a456-426614174000", "Basic dXNlcjpwYXNz"):
        assert is_secret(text, header=True)
        assert not is_secret(text)


def test_nearly_every_random_token_is_found() -> None:
    rng = random.Random(0)
    for alphabet, length in ((string.ascii_letters + string.digits, 40), ("0123456789abcdef", 40),
                             (string.ascii_letters + string.digits, 24)):  # fmt: skip
        tokens = ["".join(rng.choices(alphabet, k=length)) for _ in range(2_000)]
        assert sum(map(is_secret, tokens)) > 0.97 * len(tokens)
