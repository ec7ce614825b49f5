"""The images or texts of a request: a form, JSON, or one as the body itself."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import string
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from headstart.errors import one_line

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_NAME = 200
FORM, JSON = "multipart/form-data", "application/json"

_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
_WHITE_SPACE = string.whitespace.encode()
_BOM = b"\xef\xbb\xbf"
_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary", "minLength": 1}}


def request_body(noun: str, max_images: int) -> dict[str, Any]:
    """The body in OpenAPI, which FastAPI cannot derive because there are several forms."""

    def listed(item: dict[str, Any], **more: Any) -> dict[str, Any]:
        name = f"{noun}s"
        about = f"At most {max_images}; more are refused with status 413."
        array = {"type": "array", "items": item, "minItems": 1, "description": about}
        schema = {"type": "object", "properties": {name: array}, "required": [name]}
        return {"schema": schema, **more}

    text = {"type": "string", "minLength": 1}
    encoded = text | {"format": "byte", "description": "An image file in base64, or a data URL."}
    content = {
        "image": {
            FORM: listed(_FILE["schema"]),
            JSON: listed(encoded, example={"images": [_PIXEL]}),
            "application/octet-stream": _FILE,
            "image/*": _FILE,
        },
        "text": {
            JSON: listed(text, example={"texts": ["a film to remember"]}),
            FORM: listed(text),
            "text/plain": {"schema": text},
        },
    }
    return {"required": True, "content": content[noun]}


# A PNG of one pixel.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_HOW = {
    "image": f"send images as {FORM} or in base64 as {JSON}, "
    '{"images": ["...", "..."]}, or one as the body with Content-Type image/* or application/octet-stream',
    "text": f'send texts as {JSON}, {{"texts": ["...", "..."]}}, as {FORM}, or one as the body with '
    "Content-Type text/plain",
}


@dataclass(frozen=True, slots=True)
class Upload:
    """One image or text as it was sent; `error` says why it could not be decoded."""

    name: str
    data: bytes
    error: str | None = None


async def read_uploads(
    request: Request, noun: str, *, max_images: int, max_bytes: int, executor: Executor
) -> list[Upload]:
    """The images or texts of a request in order; of a form, with any field names.

    JSON is parsed by `executor`, so that other requests are answered meanwhile.

    Raises HTTPException where 400 for a malformed form or one without files, 413 for too many, 415
    for another type of body.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        return await _read_form(request, noun, max_images, max_bytes)
    if kind == JSON:
        body, loop = await request.body(), asyncio.get_running_loop()
        return await loop.run_in_executor(executor, _read_json, body, noun, max_images)
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


class _Images(msgspec.Struct):
    """Other fields are ignored; `Raw` parses nothing yet."""

    images: msgspec.Raw


class _Texts(msgspec.Struct):
    texts: msgspec.Raw


def _read_json(body: bytes, noun: str, most: int) -> list[Upload]:
    """The strings of ``{"images": [...]}`` or ``{"texts": [...]}``, decoded.

    Memory is limited by the size of the body: decoding ends at the first element that is not a
    string, and a list of very many short strings, which take 50 bytes each, is refused before.
    """
    try:
        sent = msgspec.json.decode(
            body.removeprefix(_BOM), type=_Images if noun == "image" else _Texts
        )
        array = bytes(sent.images if isinstance(sent, _Images) else sent.texts)
        # Every string has a quotation mark that no backslash precedes, and at most two.
        is_long = array.count(b'"') - array.count(b'\\"') > 2 * most
        found = [] if is_long else msgspec.json.decode(array, type=list[str])
    except (ValueError, RecursionError):
        is_long, found = False, []
    if is_long or len(found) > most:
        raise HTTPException(413, f"a request may hold {most} {noun}s at most")
    if not found:
        each = "image in base64" if noun == "image" else "text"
        raise HTTPException(
            400, f'the JSON must be {{"{noun}s": ["...", "..."]}}, with one {each} or more'
        )
    decode = _decode_image if noun == "image" else _encode_text
    return [decode(f"{noun} {i}", text) for i, text in enumerate(found, 1)]


def _encode_text(name: str, text: str) -> Upload:
    return Upload(name, text.encode())


def _decode_image(name: str, text: str) -> Upload:
    """A file in base64, with or without the head of a data URL; white space is ignored."""
    head = _DATA_URL.match(text)
    try:
        encoded = text[head.end() if head else 0 :].encode("ascii").translate(None, _WHITE_SPACE)
        return Upload(name, base64.b64decode(encoded, validate=True))
    except (binascii.Error, UnicodeEncodeError):
        return Upload(name, b"", f"not base64: {one_line(text[:200], limit=40)}")


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
