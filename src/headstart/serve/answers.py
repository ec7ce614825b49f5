"""The types of the answers, from which the OpenAPI document follows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Share = Annotated[float, Field(ge=0, le=1)]


class ClassProbability(BaseModel):
    """A class and its probability."""

    label: str
    probability: Share


class Answer(BaseModel):
    """The answer for one image or text."""

    name: str
    label: str | None = Field(
        description="The predicted class; null if the input was refused or cannot be read."
    )
    top: list[ClassProbability] = Field(description="The most probable classes, best first.")
    error: str | None = Field(description="Why the input cannot be read.")
    refused: str | None = Field(None, description="Why no class is given (`--refuse-below` ...).")
    labels: list[str] | None = Field(None, description="The label set (`--label-sets`).")
    novelty: Share | None = Field(None, description="Share of more typical training images.")
    nearest: list[str] | None = Field(None, description="Nearest training images.")


class LabelsAnswer(BaseModel):
    """The answer for one image of a run on several labels."""

    name: str
    labels: list[ClassProbability] | None = Field(
        description="The labels whose probability reaches their threshold; null if it cannot be read."
    )
    top: list[ClassProbability] = Field(description="The most probable labels, best first.")
    error: str | None = Field(description="Why the input cannot be read.")


class NumberAnswer(BaseModel):
    """The answer for one image of a run on a number."""

    name: str
    value: float | None = Field(description="The number; null if the input cannot be read.")
    low: float | None = Field(description="Lower end of an interval with a level of 90 %.")
    high: float | None = Field(description="Upper end of that interval.")
    error: str | None = Field(description="Why the input cannot be read.")


class LabelsPredictions(BaseModel):
    """One answer for each image, in order."""

    predictions: list[LabelsAnswer]


class NumberPredictions(BaseModel):
    """One answer for each image, in order."""

    predictions: list[NumberAnswer]


class Predictions(BaseModel):
    """One answer for each image or text, in order."""

    predictions: list[Answer]


class Failure(BaseModel):
    """Every answer that is not 200 has this form."""

    error: str = Field(description="What is wrong and what to do, in one sentence.")
    status: int = Field(description="The HTTP status again.", ge=400, le=599)
    predictions: list[Answer | LabelsAnswer | NumberAnswer] | None = Field(
        None, description="With status 422: the reason for each input."
    )


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"]
    version: str


class Ready(BaseModel):
    """Requests are accepted."""

    status: Literal["ready"]


class Limits(BaseModel):
    """Limits of one request."""

    max_bytes: int
    max_images: int
    max_pixels: int
    timeout_s: float


class About(BaseModel):
    """The served run."""

    run: str
    takes: Literal["images", "texts"]
    classes: list[str] = Field(description="The classes or labels; of a number, its name.")
    engine: str
    caution: dict[str, Any]
    limits: Limits


_MEANING = {
    400: "The request is malformed or empty.",
    401: "A token is needed.",
    403: "The request comes from a page of another site.",
    404: "There is no such address.",
    405: "The address does not support this method.",
    408: "The request did not arrive in time.",
    413: "The request is too large.",
    415: "This type of body is not supported.",
    421: "This host name is not served.",
    422: "None of the images or texts could be read.",
    500: "The service failed at this request.",
    503: "Too much load, or the service is stopping: try again.",
}


def failure(status: int, text: str, **more: Any) -> dict[str, Any]:
    """The body of every error."""
    return {"error": text, "status": status, **more}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error answers for OpenAPI."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"model": Failure, "description": _MEANING[status]}
        if status == 503:
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}
            }
    return found
