"""The JSON values of the API."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(_Value):
    """Why a request failed."""

    error: str = Field(description="One line: what was found, and what to do.", examples=["job 5f0c: there is none."])


class Job(_Value):
    """A file on its way to a result."""

    id: str = Field(examples=["3f9a1c52d07be814"])
    name: str = Field(description="Name of the file.", examples=["talk.mp4"])
    status: JobStatus
    progress: float = Field(ge=0, le=1, description="The fraction of the file that is done.")
    seconds_left: float | None = Field(description="Estimate; null where there is none.", examples=[12.5])
    error: str | None = Field(description="One line; only of a job that failed.")
    result: str | None = Field(
        description="Id of the result; only of a job that is done, until the result is deleted.", examples=["talk"]
    )
    warnings: list[str] = Field(description="What is to be known of the file.")
    kept_media: bool = Field(description="Whether the file is kept with its result.")
    retryable: bool = Field(description="Whether it may help to start the job again.")
    created: str = Field(description="ISO 8601, UTC.", examples=["2026-11-29T12:00:00Z"])


class Person(_Value):
    """A person of a result."""

    number: int = Field(ge=1, examples=[1])
    name: str | None = Field(examples=["Anna"])
    seconds: float = Field(ge=0, description="How long the face was found.", examples=[10.2])
    mean_emotion: dict[str, float] | None = Field(
        description="Mean probabilities; null where there are none.", examples=[{"neutral": 0.6, "happiness": 0.4}]
    )
    thumbnail: str | None = Field(description="Address of a JPEG; null where there is none.")
    merged_into: int | None = Field(description="The number of the person that this one is part of.")


class Overlap(_Value):
    """How long two persons are visible at the same time."""

    persons: tuple[int, int] = Field(description="Their numbers, the lower one first.", examples=[[1, 2]])
    seconds: float = Field(gt=0, examples=[3.2])


class Result(_Value):
    """The result of one file."""

    id: str = Field(examples=["talk"])
    file: str = Field(description="Name of the file.", examples=["talk.mp4"])
    status: str = Field(examples=["done"])
    duration: float = Field(ge=0, description="Seconds.", examples=[12.0])
    bundle: str | None = Field(examples=["default 5"])
    persons: list[Person]
    warnings: list[str]
    formats: list[str] = Field(description="Formats to export to.", examples=[["csv", "elan"]])
    media: bool = Field(description="Whether the file can be played.")
    kept_media: bool = Field(description="Whether the file is a copy of an upload, which is deleted with the result.")
    created: str = Field(description="ISO 8601, UTC.", examples=["2026-11-29T12:00:00Z"])


class Results(_Value):
    """A part of the list of results, newest first."""

    total: int = Field(ge=0, description="How many results match the search.")
    results: list[Result]


class BundleInfo(_Value):
    """The bundle that jobs use."""

    name: str = Field(examples=["default"])
    version: str = Field(examples=["5"])
    modalities: list[str] = Field(examples=[["face", "voice"]])
    colours: dict[str, str] = Field(description="Of each label, in charts.", examples=[{"neutral": "#8c8c8c"}])


class Limits(_Value):
    """What the server accepts."""

    upload_bytes: int = Field(description="Size of the largest upload.", examples=[4294967296])
    queued_jobs: int = Field(description="How many jobs may wait or run.", examples=[1000])


class LiveStatus(_Value):
    """Whether a live session can be started."""

    available: bool
    busy: bool = Field(description="Whether another client has a live session.")


class Status(_Value):
    """What the server is and what it can do."""

    version: str = Field(examples=["0.1.0"])
    bundle: BundleInfo
    formats: list[str] = Field(examples=[["csv", "elan"]])
    limits: Limits
    live: LiveStatus
    local_paths: bool = Field(description="Whether `POST /api/jobs/local` is allowed.")
    results: str = Field(description="Name of the folder of results.", examples=["emofuse-results"])


Persons = Annotated[
    str,
    Field(pattern=r"^(auto|largest|[1-9][0-9]{0,3})$", description="Persons in the table: auto, largest, or a number."),
]
Rate = Annotated[float, Field(gt=0, le=1000, description="Rows per second.")]


class LocalFiles(_Value):
    """A file or folder on the server's machine."""

    path: str = Field(min_length=1, max_length=4096, examples=["/home/anna/talk.mp4"])
    rate: Rate = 5.0
    persons: Persons = "auto"


_NO_OTHER: dict[str, Any] = {"additionalProperties": False}
PersonNumber = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}$")]


PersonName = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
    ),
]


class PersonChanges(_Value):
    """Changes of the persons of a result; persons that are not listed stay as they are."""

    names: dict[PersonNumber, PersonName | None] = Field(
        default_factory=dict,
        description="Names by number; null removes a name.",
        examples=[{"1": "Anna"}],
        json_schema_extra=_NO_OTHER,
    )
    merge: dict[PersonNumber, Annotated[int, Field(ge=1, le=999_999)] | None] = Field(
        default_factory=dict,
        description="Which person each one is part of; null makes it a person again.",
        examples=[{"2": 1}],
        json_schema_extra=_NO_OTHER,
    )


class LiveRequest(_Value):
    """The first message of a live session. persons: only all, since who is there is not known before its end.

    camera: whether frames will come; rows of the voice alone do not wait for them.
    """

    type: Literal["start"]
    name: Annotated[str, Field(max_length=200)] | None = None
    record: bool = False
    camera: bool = True
    persons: Literal["auto"] | None = None


class LiveStop(_Value):
    """The last message of a live session."""

    type: Literal["stop"]
