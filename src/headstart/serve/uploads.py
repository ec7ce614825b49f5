"""The images of a request: files of a form, or one image as the body itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_NAME = 200
FORM = "multipart/form-data"

# The body in OpenAPI, which FastAPI cannot derive because there are two forms.
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        FORM: {
            "schema": {
                "type": "object",
                "properties": {
                    "images": {"type": "array", "items": {"type": "string", "format": "binary"}}
                },
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
    },
}


@dataclass(frozen=True, slots=True)
class Upload:
    """One uploaded image file, not decoded."""

    name: str
    data: bytes


async def read_uploads(request: Request, *, max_images: int, max_bytes: int) -> list[Upload]:
    """The images of a request in order, with any field names.

    Raises
    ------
    HTTPException
        400 for a malformed form or one without files, 413 for too many, 415 for another type of body.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        return await _read_form(request, max_images, max_bytes)
    if kind.startswith("image/") or kind in ("", "application/octet-stream"):
        data = await request.body()
        if not data:
            raise HTTPException(400, "the request is empty: send an image, or a form of them")
        return [Upload("image", data)]
    raise HTTPException(
        415, f"send images as {FORM}, or one as the body with Content-Type image/* or "
        "application/octet-stream"
    )  # fmt: skip


async def _read_form(request: Request, max_images: int, max_bytes: int) -> list[Upload]:
    try:
        form = await request.form(
            max_files=max_images, max_fields=max_images, max_part_size=max_bytes
        )
    except HTTPException as error:
        if "Too many" in str(error.detail):
            raise HTTPException(413, f"a request may hold {max_images} images at most") from error
        raise HTTPException(400, f"the form cannot be read: {error.detail}") from error
    try:
        values = [value for _, value in form.multi_items()]
        files = [value for value in values if isinstance(value, UploadFile)]
        if len(files) < len(values):
            raise HTTPException(400, "a field of the form holds text: send each image as a file")
        if not files:
            raise HTTPException(400, "the form holds no image")
        return [
            Upload((file.filename or f"image {i}")[:MAX_NAME], await file.read())
            for i, file in enumerate(files, 1)
        ]
    finally:
        await form.close()
