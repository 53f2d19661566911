"""The page of runs that go on."""

from pathlib import Path

from fastapi.testclient import TestClient

from clonecost.persistence import event_file
from clonecost.persistence.run_folder import LEDGER
from clonecost.serving import live_page


def test_the_page_is_for_this_machine(tmp_path: Path) -> None:
    client = TestClient(live_page(tmp_path, 2.0), base_url="http://127.0.0.1")
    assert client.get("/").status_code == 404
    (tmp_path / LEDGER).touch()
    event_file.append(tmp_path, "begin", attack="dfme", victim="mine", budget=100, price=None)
    event_file.append(tmp_path, "end", rows=100)
    assert "No run goes on" in client.get("/").text
    (run,) = client.get("/runs.json").json()
    assert (run["state"], run["rows"], run["left"]) == ("finished", 100, None)
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
