"""A container image as a package: a manifest that names the image, and no files. Pure."""

from __future__ import annotations

import re

from drop.document import Document
from drop.packages.faults import PackageError
from drop.packages.manifest import check_manifest
from drop.packages.names import A_VERSION, is_name, is_version
from drop.packages.record import Package
from drop.problems import Source

IMAGE = "image:"
"""In front of an image's name, where a source of packages is expected."""

_IMAGE = re.compile(
    r"(?:[^\s/]+/)*(?P<name>[^\s/:@]+):(?P<tag>[^\s/:@]+)(?:@sha256:[0-9a-f]{64})?\Z"
)


def image_package(image: str) -> Package:
    """`validator:0.1.0` of any registry is the package validator:0.1.0. Raises PackageError.

    What it runs is the image's own command; a directory with `image:` in its function.yaml can say
    more than that.
    """
    match = _IMAGE.match(image)
    if not match or not is_name(match["name"]):
        raise PackageError(f"{image!r} is no image; expected NAME:TAG, such as validator:0.1.0")
    name, tag = match["name"], match["tag"]
    if not is_version(tag):
        raise PackageError(
            f"the tag {tag!r} of {name} is no version, and may mean another image tomorrow;"
            f" expected {A_VERSION}: tag it with one (podman tag {image} {name}:1.0.0)"
        )
    value = {"name": name, "version": tag, "kind": "line", "image": image}
    return Package(check_manifest(Document(value, Source(IMAGE + image, {}, {}))), ())
