"""Runs as they go on, as a page that loads itself again, and as JSON; for this machine alone."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from clonecost.errors import CloneCostError
from clonecost.report.html import live_page as as_html
from clonecost.report.live import LiveRun, live_runs

HOSTS = ["localhost", "127.0.0.1"]  # another name would let a page of the web read this one


def live_page(folder: Path, every: float) -> FastAPI:
    """The application: `/` is the page, `/runs.json` the runs.

    Args:
        folder: as for `live_runs`.
        every: seconds after which the page loads itself again.

    Example:
        >>> app = live_page(Path("runs"), 2.0)
    """
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)

    @app.exception_handler(CloneCostError)
    def refused(_: Any, error: CloneCostError) -> JSONResponse:
        return JSONResponse({"error": error.fact}, 404)

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return as_html(str(folder), live_runs(folder), every)

    @app.get("/runs.json", response_model=None)
    def runs() -> list[dict[str, Any]]:
        return [_as_json(run) for run in live_runs(folder)]

    return app


def _as_json(run: LiveRun) -> dict[str, Any]:
    return {**asdict(run), "left": run.left}
