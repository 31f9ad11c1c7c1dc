"""What an image says of itself: the part of `podman image inspect` that matters here. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from drop.images.faults import ImageError

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})\Z")


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """`id` is 64 hex digits: the digest of the image's configuration, so of all of it."""

    id: str
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """An image as it was looked at once, kept beside its bundle."""

    config: ImageConfig
    passwd: str
    group: str
    has_home: bool
    """Whether it has the directory /home/drop."""


def from_inspection(document: object, name: str) -> ImageConfig:
    """podman and docker print the same shape: a list with one image. Raises ImageError."""
    try:
        return _from_inspection(document)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ImageError(
            f"image {name}: its description has an unknown form ({type(error).__name__}: {error});"
            f" look at it with: image inspect {name}"
        ) from error


def _from_inspection(document: Any) -> ImageConfig:
    image = document[0]
    found = _ID.match(image["Id"])
    if found is None:
        raise ValueError("its Id is no sha256 digest")
    config: Mapping[str, Any] = image.get("Config") or {}
    return ImageConfig(
        id=found[1],
        env=_texts(config.get("Env")),
        entrypoint=_texts(config.get("Entrypoint")),
        command=_texts(config.get("Cmd")),
        workdir=str(config.get("WorkingDir") or ""),
        user=str(config.get("User") or ""),
    )


def _texts(value: Sequence[object] | None) -> tuple[str, ...]:
    return tuple(str(each) for each in value or ())


def to_document(facts: Facts) -> dict[str, Any]:
    """To be kept as JSON."""
    return asdict(facts)


def from_document(document: Mapping[str, Any]) -> Facts:
    """Of our own making; raises KeyError or TypeError when it is damaged."""
    config = dict(document["config"])
    for key in ("env", "entrypoint", "command"):
        config[key] = tuple(config[key])
    return Facts(ImageConfig(**config), document["passwd"], document["group"], document["has_home"])
