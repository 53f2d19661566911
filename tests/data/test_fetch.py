"""The downloader against a web server on this machine that behaves and misbehaves."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clonecost.data.fetch import fetch
from clonecost.errors import DataError

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """/file honours Range, /whole does not, /cut breaks off once, /busy is so once, else 404."""

    disable_nagle_algorithm = True  # else a body waits 40 ms for the client to confirm its head
    server: "Server"

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.path == "/busy" and len(self.server.asked) == 1:
            self.send_error(503)
        elif self.path in ("/file", "/whole", "/cut", "/busy"):
            start = int(wanted[6:-1]) if wanted and self.path != "/whole" else 0
            self._send(start, cut=self.path == "/cut" and len(self.server.asked) == 1)
        else:
            self.send_error(404)

    def _send(self, start: int, cut: bool) -> None:
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + 100_000] if cut else CONTENT[start:])

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    asked: list[str | None]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: Server, page: str, path: Path, md5: str = MD5) -> list[tuple[str, int, int]]:
    seen: list[tuple[str, int, int]] = []
    fetch(
        f"http://127.0.0.1:{server.server_port}{page}",
        path,
        md5=md5,
        progress=lambda *report: seen.append(report),
        backoff=0.01,
        timeout=2,
    )
    return seen


def test_a_whole_file_arrives_with_progress_in_bytes(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "data.bin"
    seen = get(server, "/file", path)
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("downloading data.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert get(server, "/file", path) == []  # it is there: nothing is asked
    assert {file.name for file in path.parent.iterdir()} == {"data.bin", "data.bin.lock"}
    assert server.asked == [None]


@pytest.mark.parametrize("page", ["/file", "/whole"])
def test_a_partial_file_is_completed(page: str, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    Path(f"{path}.part").write_bytes(CONTENT[:200_000])
    seen = get(server, page, path)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["bytes=200000-"]
    assert (seen[0][1] > 200_000) == (page == "/file")
    assert seen[-1][2] == len(CONTENT)


def test_a_complete_part_needs_only_its_name(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    Path(f"{path}.part").write_bytes(CONTENT)
    get(server, "/file", path)
    assert path.read_bytes() == CONTENT


def test_a_broken_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    get(server, "/cut", tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_busy_server_gets_another_request(server: Server, tmp_path: Path) -> None:
    get(server, "/busy", tmp_path / "data.bin")
    assert len(server.asked) == 2


def test_a_wrong_checksum_is_an_error_and_nothing_is_lost(server: Server, tmp_path: Path) -> None:
    path, wrong = tmp_path / "data.bin", "0" * 32
    with pytest.raises(DataError, match=f"is {MD5}, want {wrong}") as caught:
        get(server, "/file", path, md5=wrong)
    assert not path.exists()
    assert str(tmp_path / "data.bin.bad") in str(caught.value)
    assert (tmp_path / "data.bin.bad").read_bytes() == CONTENT
    get(server, "/file", path)  # the next call starts afresh
    assert path.read_bytes() == CONTENT


def test_a_missing_page_is_requested_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="HTTP status 404"):
        get(server, "/elsewhere", tmp_path / "data.bin")
    assert len(server.asked) == 1


def test_a_dead_port_keeps_the_received_bytes(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "data.bin.part"
    part.write_bytes(CONTENT[:10])
    url = f"http://127.0.0.1:{server.server_port}/file"
    server.server_close()
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch(url, tmp_path / "data.bin", md5=MD5, backoff=0.01, timeout=0.5)
    assert part.read_bytes() == CONTENT[:10]


def test_an_unusable_proxy_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://127.0.0.1:9")
    with pytest.raises(DataError, match=r"cannot be downloaded .*gopher"):
        fetch("http://127.0.0.1:9/x", tmp_path / "data.bin", md5=MD5)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written"):
        fetch("http://127.0.0.1:9/x", tmp_path / "file" / "data.bin", md5=MD5)


def test_a_link_under_the_name_of_the_part_is_not_followed(server: Server, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (tmp_path / "data.bin.part").symlink_to(outside)
    with pytest.raises(DataError, match="cannot be written"):
        get(server, "/file", tmp_path / "data.bin")
    assert outside.read_bytes() == b"precious"
    assert server.asked == []


def test_two_at_once_download_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(get, server, "/file", tmp_path / "data.bin") for _ in range(4)]:
            done.result()
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert server.asked == [None]
