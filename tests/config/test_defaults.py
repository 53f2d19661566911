"""What a spec implies where it leaves a key out."""

from clonecost.config import make_spec, student_name


def test_the_default_student_is_quick_and_a_zoo_victim_has_its_own() -> None:
    own = {"victim": "mine.onnx", "test": "rows.npz"}
    assert student_name(make_spec(own)) == "resnet8"
    assert student_name(make_spec({**own, "student": "lenet"})) == "lenet"
    assert student_name(make_spec({"victim": "digits-lenet"})) == "half-lenet"
