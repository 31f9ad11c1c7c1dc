"""What docs/ says about packages is what the code does: the schema, the keys, the limits."""

from __future__ import annotations

import json
from pathlib import Path

from drop.packages import content, tarstream
from drop.packages.manifest import Case, Files, PackageKeys
from drop.packages.scaffold import languages
from drop.packages.schema import function_schema

DOCS = Path(__file__).parents[3] / "docs"


def test_the_published_schema_is_up_to_date() -> None:
    published = (DOCS / "function.schema.json").read_text()
    assert published == function_schema(), (
        "python -m drop.packages.schema > docs/function.schema.json"
    )


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    text = function_schema()
    known = json.loads(text)["$defs"]
    named = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert named == set(known)


def test_every_key_is_documented() -> None:
    text = (DOCS / "packages.md").read_text()
    keys = [*PackageKeys.model_fields, *(f"files.{each}" for each in Files.model_fields)]
    keys += [f"cases[].{each}" for each in Case.model_fields]
    assert [key for key in keys if f"| `{key}` |" not in text] == []


def test_every_limit_and_language_is_documented() -> None:
    text = (DOCS / "packages.md").read_text()
    limits = [
        f"{content.FILES_MAX:,}".replace(",", " ") + " files",
        f"{content.UNPACKED_BYTES_MAX >> 30} GiB",
        f"{tarstream.ARCHIVE_BYTES_MAX >> 20} MiB",
        f"{content.PATH_BYTES_MAX} bytes",
        f"{content.DEPTH_MAX} directories",
    ]
    assert [each for each in limits + languages() if each not in text] == []
