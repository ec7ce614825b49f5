"""The images or texts of a request: a form, JSON with texts, or one as the body itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_NAME = 200
FORM, JSON = "multipart/form-data", "application/json"

_FILE = {"schema": {"type": "string", "format": "binary"}}


def _form_of(item: dict[str, str], name: str) -> dict[str, Any]:
    properties = {name: {"type": "array", "items": item}}
    return {"schema": {"type": "object", "properties": properties}}


# The body in OpenAPI, which FastAPI cannot derive because there are several forms.
REQUEST_BODIES: dict[str, dict[str, Any]] = {
    "image": {
        "required": True,
        "content": {
            FORM: _form_of({"type": "string", "format": "binary"}, "images"),
            "application/octet-stream": _FILE,
            "image/*": _FILE,
        },
    },
    "text": {
        "required": True,
        "content": {
            JSON: _form_of({"type": "string"}, "texts"),
            FORM: _form_of({"type": "string"}, "texts"),
            "text/plain": {"schema": {"type": "string"}},
        },
    },
}
_HOW = {
    "image": f"send images as {FORM}, or one as the body with Content-Type image/* or "
    "application/octet-stream",
    "text": f'send texts as {JSON}, {{"texts": ["...", "..."]}}, as {FORM}, or one as the body with '
    "Content-Type text/plain",
}


@dataclass(frozen=True, slots=True)
class Upload:
    """One image or text as it was sent."""

    name: str
    data: bytes


async def read_uploads(
    request: Request, noun: str, *, max_images: int, max_bytes: int
) -> list[Upload]:
    """The images or texts of a request in order; of a form, with any field names.

    Raises
    ------
    HTTPException
        400 for a malformed form or one without files, 413 for too many, 415 for another type of body.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        return await _read_form(request, noun, max_images, max_bytes)
    if kind == JSON and noun == "text":
        return _read_texts(await request.body(), max_images)
    main = kind.partition("/")[0]
    if kind in ("", "application/octet-stream") or main == noun:
        data = await request.body()
        if not data:
            article = "an" if noun == "image" else "a"
            raise HTTPException(
                400, f"the request is empty: send {article} {noun}, or a form of them"
            )
        return [Upload(noun, data)]
    raise HTTPException(415, _HOW[noun])


def _read_texts(body: bytes, most: int) -> list[Upload]:
    """``{"texts": [...]}``."""
    try:
        found = json.loads(body)["texts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(t, str) for t in found):
        raise HTTPException(
            400, 'the JSON must be {"texts": ["...", "..."]}, with one text or more'
        )
    if len(found) > most:
        raise HTTPException(413, f"a request may hold {most} texts at most")
    encoded = [text.encode("utf-8", "surrogatepass") for text in found]
    return [Upload(f"text {i}", data) for i, data in enumerate(encoded, 1)]


async def _read_form(request: Request, noun: str, max_images: int, max_bytes: int) -> list[Upload]:
    try:
        form = await request.form(
            max_files=max_images, max_fields=max_images, max_part_size=max_bytes
        )
    except HTTPException as error:
        if "Too many" in str(error.detail):
            raise HTTPException(413, f"a request may hold {max_images} {noun}s at most") from error
        raise HTTPException(400, f"the form cannot be read: {error.detail}") from error
    try:
        values = [value for _, value in form.multi_items()]
        if noun == "image" and not all(isinstance(value, UploadFile) for value in values):
            raise HTTPException(400, "a field of the form holds text: send each image as a file")
        if not values:
            raise HTTPException(400, f"the form holds no {noun}")
        if len(values) > max_images:  # files and fields are counted apart
            raise HTTPException(413, f"a request may hold {max_images} {noun}s at most")
        return [await _upload(value, f"{noun} {i}") for i, value in enumerate(values, 1)]
    finally:
        await form.close()


async def _upload(value: UploadFile | str, name: str) -> Upload:
    if isinstance(value, str):
        return Upload(name, value.encode("utf-8", "surrogatepass"))
    return Upload((value.filename or name)[:MAX_NAME], await value.read())
