"""The JSON Schema of flow files, for editors: `python -m drop.flow.schema > docs/flow.schema.json`.

It is generated from the models, so it cannot say something else than they do; a test compares it
with the published file. Rules between several keys are beyond it.
"""

from __future__ import annotations

import json
import sys

from pydantic.json_schema import GenerateJsonSchema

from drop.flow.spec import Flow


class _Untitled(GenerateJsonSchema):
    """Titles made of the keys' own names would only hide the descriptions."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def flow_schema() -> str:
    schema = Flow.model_json_schema(schema_generator=_Untitled)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "DROP flow file"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(flow_schema())
