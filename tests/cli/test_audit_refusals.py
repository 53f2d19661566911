"""What `clonecost audit` refuses: one sentence, before a row is sent."""

from pathlib import Path

import pytest
from tests.support.cli_runs import MINE, SMALL_DFME, asked, assert_one_sentence, run

from clonecost.errors import DataError

pytestmark = pytest.mark.usefixtures("at_the_bench")


UNUSABLE = {
    "own:nan": "answers 200 of 200 rows with NaN or infinity",
    "own:unnormalised": "sums to 3, as counts of votes do, and not to 1 or 100",
    "own:five": "another number of classes than the audit: got 5 scores a row, want 4",
    "own:falls": "the API went away",
    "own:a_text": "got str",
    "own:nobody": "has no 'nobody'",
    "nowhere:probs": "there is no Python module 'nowhere' in the current folder",
    "own:build": "The victim failed",
    "absent.safetensors": "Use --network NET; or see `clonecost list networks`",
    "absent.pt2": "use --trust",
    "model.pkl": "is a pickle",
    "model.h5": "is a Keras model",
    "model.odd": "There is no file model.odd",
    "own": "unknown victim 'own'",
    "digit-lenet": "did you mean 'digits-lenet'",
}


@pytest.mark.parametrize("victim", UNUSABLE)
def test_an_unusable_victim_is_one_sentence(victim: str, out: Path) -> None:
    said = run("audit", victim, *MINE[1:], "--out", out)
    assert_one_sentence(said, UNUSABLE[victim])
    assert said.out == ""


WRONG = {
    "attack": (["--attack", "knockof"], "unknown attack 'knockof'; did you mean 'knockoff'"),
    "profile": (["--attack", "knockoff:papers"], "unknown profile of knockoff 'papers'"),
    "student": (["--student", "lenett"], "unknown network 'lenett'; did you mean 'lenet'"),
    "defence": (["--defence", "round"], "unknown defence 'round'; did you mean 'rounding'"),
    "defence setting": (["--defence", "rounding:decimal=2"], "did you mean 'decimals'"),
    "defence form": (["--defence", "rounding:2"], "got '2', want key=value"),
    "defence type": (["--defence", "rounding:decimals=abc"], "got 'abc', want a whole number"),
    "defence range": (["--defence", "rounding:decimals=9"], "decimals: got 9, want 0 to 6"),
    "setting": (["--set", "knockoff.epoch=3"], "did you mean 'epochs'"),
    "setting of whom": (["--set", "dfme.epochs=3"], "an attack that is not run"),
    "setting form": (["--set", "epochs=3"], "got 'epochs=3', want ATTACK.FIELD=VALUE"),
    "setting type": (["--set", "knockoff.epochs=many"], "got 'many', want a whole number"),
    "answers": (["--answers", "prob"], "got 'prob', want probs, top_k:K or label"),
    "top_k": (["--answers", "top_k:4"], "top_k is out of range for 4 classes: got 4, want 1 to 3"),
    "precision": (["--input-precision", "int4"], "--input-precision does not take this value"),
    "proxy": (["--proxy", "photoz"], "unknown data set 'photoz'; did you mean 'photos'"),
    "proxy file": (["--proxy", "absent.npz"], "there is no file or folder absent.npz"),
    "test file": (["--test", "absent.npz"], "there is no file or folder absent.npz"),
    "no labels and no classes": (["--test", "proxy.npz"], "Use --classes N"),
    "shape": (["--shape", "1,sixteen"], "got 'sixteen', want a whole number"),
    "other shape": (["--shape", "1,8,8"], "needs images of at least"),
    "milestones": (["--milestones", "1,x"], "--milestones does not take this value: got 'x'"),
    "many rows": (["--budget", "many"], "--budget does not take this value: got 'many'"),
    "milestone 0": (["--milestones", "0,5"], "got '0', want 1 or more"),
    "budget": (["--budget", "0"], "budget of a black box is too small: got 0"),
    "price": (["--price", "-1"], "--price does not take this value: got '-1', want 0 or more"),
    "endless price": (["--price", "inf"], "got 'inf', want a finite number"),
    "seed": (["--seed", "-1"], "--seed does not take this value: got '-1', want 0 or more"),
    "seed twice": (["--seed", "1", "--seed", "1"], "has the same value twice: got 1, 1"),
    "device": (["--device", "cuda:7"], "got 'cuda:7', want cpu"),
    "no device": (["--device", "toaster"], "got 'toaster', want auto, cpu"),
    "meta": (["--device", "meta"], "got 'meta', want auto, cpu"),
    "keep": (["--keep", "some"], "got 'some', want 'auto', 'all' or 'none'"),
    "network": (["--network", "lenett"], "unknown network 'lenett'"),
    "dfme with labels": (["--attack", "dfme", "--answers", "label"], "Use --answers probs"),
    "dfme too dear": (["--attack", "dfme", "--budget", "100"], "Use --budget "),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_bad_input_is_one_sentence_and_sends_nothing(what: str, out: Path, log: Path) -> None:
    words, sentence = WRONG[what]
    said = run("audit", *MINE, "--out", out, *words)
    assert_one_sentence(said, sentence)
    assert asked(log) == []
    assert not (out / "ledger.sqlite").exists()


def test_a_model_that_is_not_there_comes_before_its_missing_test_rows() -> None:
    assert_one_sentence(run("audit", "nowhere.onnx"), "There is no file nowhere.onnx")
    assert_one_sentence(run("audit", "own.py:model"), "the test rows for its agreement are missing")


def test_flags_of_ones_own_victim_do_not_go_with_the_zoos() -> None:
    said = run("plan", "digits-lenet", "--network", "lenet")
    assert_one_sentence(said, "Leave --network out.")


def test_the_second_attack_is_checked_before_the_first_pays(out: Path, log: Path) -> None:
    said = run("audit", *MINE, "--attack", "knockoff", "--attack", "dfme", "--answers", "label",
               "--out", out)  # fmt: skip
    assert_one_sentence(said, "dfme needs richer answers")
    assert asked(log) == []


def test_out_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/nowhere/run")):
        said = run("audit", *MINE, "--out", place)
        assert_one_sentence(said, f"The run folder {place} cannot be created")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_surprise_is_one_sentence_too_and_can_be_looked_into(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a surprise")

    monkeypatch.setattr("clonecost.attacks.dfme.Dfme.run", fail)
    words = ["audit", *MINE, *SMALL_DFME, "--out", out]
    said = run(*words)
    assert said.status == 2
    assert "a surprise" in said.err
    assert "Traceback" not in said.err
    monkeypatch.setenv("CLONECOST_TRACEBACK", "1")
    with pytest.raises(ValueError, match="a surprise"):
        run(*words)


def test_a_data_set_that_is_not_here(
    out: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise DataError("the network is unreachable")

    monkeypatch.setattr("clonecost.data.loading.fetch", no_network)
    monkeypatch.setattr("clonecost.data.loading.search_folders", lambda root: [tmp_path])
    said = run("audit", *MINE, "--proxy", "svhn", "--out", out)
    assert_one_sentence(said, "use --data FOLDER")
    assert asked(log) == []


def test_an_unknown_list_or_format_is_suggested(out: Path) -> None:
    assert_one_sentence(run("list", "attack"), "did you mean 'attacks'")
    assert_one_sentence(run("report", str(out), "--format", "htm"), "did you mean 'html'")
    assert_one_sentence(run("report", str(out)), "is not a folder")
    assert_one_sentence(run("verify", str(out)), "is not a folder")
    assert_one_sentence(run("resume", str(out)), "is not a run folder")
    assert_one_sentence(run("replay", str(out), "--student", "lenet"), "is not a run folder")


def test_a_panel_runs_one_attack_after_the_other(out: Path) -> None:
    said = run("audit", *MINE, "--panel", "quick", "--workers", "2", "--out", out)
    assert_one_sentence(said, "run one after the other")
