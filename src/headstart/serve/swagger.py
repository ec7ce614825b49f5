"""The page ``/docs``: Swagger UI from an installed package, with nothing loaded from elsewhere."""

from __future__ import annotations

import html
import importlib.util
import json
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

# fastapi-offline contains Swagger UI's published files; its own application class is not used.
_PACKAGE = "fastapi_offline"
_FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon.png": "image/png",
}
# Swagger UI sets styles on elements, and draws its icons from data URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{root}/docs/swagger-ui.css">
<link rel="icon" href="{root}/docs/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{root}/docs/swagger-ui-bundle.js"></script>
<script src="{root}/docs/start.js"></script>
</body>
</html>
"""


def add_docs(app: FastAPI, root_path: str) -> None:
    """Add ``/docs`` and its files to the application."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        _folder()
        page = _PAGE.format(title=html.escape(app.title), root=html.escape(root_path))
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    @app.get("/docs/start.js", include_in_schema=False)
    async def start() -> Response:
        options = {
            "url": f"{root_path}/openapi.json",
            "dom_id": "#swagger-ui",
            "deepLinking": True,
            "validatorUrl": None,
        }
        text = f"SwaggerUIBundle({json.dumps(options)});\n"
        return Response(text, media_type="text/javascript; charset=utf-8")

    @app.get("/docs/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        if name not in _FILES:
            raise HTTPException(404)
        data = (_folder() / name).read_bytes()
        return Response(
            data, media_type=_FILES[name], headers={"Cache-Control": "public, max-age=86400"}
        )


def _folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise HTTPException(
            404, "this page needs the package fastapi-offline: pip install 'headstart[serve]'"
        )
    return Path(spec.origin).parent / "static"
