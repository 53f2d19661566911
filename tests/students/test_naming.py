"""What a student's name says, before anything is imported."""

import pytest

from clonecost.errors import SpecError
from clonecost.students.naming import StudentName, parse_student


def test_every_kind_of_student_is_told_by_its_name() -> None:
    kinds = {
        "resnet8": "catalogue", "my.module:net": "code", "a folder/file.py:net": "code",
        "timm:resnet18": "timm", "torchvision:resnet18,pretrained=true": "torchvision",
        "backbone:efficientnet-lite0": "backbone",
    }  # fmt: skip
    assert {text: parse_student(text).kind for text in kinds} == kinds


def test_settings_follow_a_comma() -> None:
    assert parse_student("timm:vit_tiny, pretrained=true, size=96, frozen=false") == StudentName(
        text="timm:vit_tiny, pretrained=true, size=96, frozen=false", kind="timm",
        name="vit_tiny", pretrained=True, size=96,
    )  # fmt: skip
    assert parse_student("resnet8,weights=a.safetensors").weights == "a.safetensors"


def test_code_and_hubs_are_named_so_that_consent_can_be_asked() -> None:
    assert parse_student("own.py:net,weights=a.safetensors").code == "own.py:net"
    assert parse_student("backbone:own.py:encoder").code == "own.py:encoder"
    assert parse_student("backbone:efficientnet-lite0").code is None
    assert parse_student("timm:resnet18,pretrained=true").fetched == "timm"
    assert parse_student("timm:resnet18").fetched is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resnet8,size=96", "weights="),
        ("timm:hf-hub:someone/net", "timm's own list"),
        ("timm:resnet18,pretrained=yes", "true or false"),
        ("backbone:efficientnet-lite0,size=0", "pixels"),
        ("backbone:efficientnet-lite0,size=1e9", "pixels"),
        ("own:net,frozen=true", "weights="),
        ("resnet8,weights=", "a file"),
    ],
)
def test_a_wrong_setting_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse_student(text)
