"""The JSON Schema of function.yaml: `python -m drop.packages.schema > docs/function.schema.json`.

Made of the models of packages and of flows, so that it cannot say something else than they do; a
test compares it with the published file. Rules between several keys are beyond it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from drop.flow.spec import Function
from drop.packages.manifest import SHARED_KEYS, PackageKeys


class _Untitled(GenerateJsonSchema):
    """Titles made of the keys' own names would only hide the descriptions."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def function_schema() -> str:
    own: dict[str, Any] = PackageKeys.model_json_schema(schema_generator=_Untitled)
    shared = Function.model_json_schema(schema_generator=_Untitled)
    own["properties"] |= {key: shared["properties"][key] for key in SHARED_KEYS}
    used = json.dumps(own["properties"])
    own["$defs"] |= {
        name: each for name, each in shared["$defs"].items() if f"#/$defs/{name}" in used
    }
    own["anyOf"] = [{"required": ["cmd"]}, {"required": ["image"]}]
    own["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    own["title"] = "DROP function file"
    own["description"] = "What a function is, how it is built, packed and tested."
    return json.dumps(own, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(function_schema())
