"""What docs/ says about flow files is what the code does: the schema, the keys, the samples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drop.errors import ConfigurationError
from drop.flow.load import parse_flow
from drop.flow.plan import wiring
from drop.flow.schema import flow_schema
from drop.flow.spec import Function, Subscription
from drop.flow.support import warnings

DOCS = Path(__file__).parents[3] / "docs"


def test_the_published_schema_is_up_to_date() -> None:
    published = (DOCS / "flow.schema.json").read_text()
    assert published == flow_schema(), "python -m drop.flow.schema > docs/flow.schema.json"


def test_every_key_is_documented() -> None:
    text = (DOCS / "flow.md").read_text()
    keys = [*Function.model_fields, *Subscription.model_fields]
    assert [key for key in keys if f"| `{key}` |" not in text] == []


def samples() -> list[tuple[str, str]]:
    """Each yaml block of docs/flow.md that is followed by a block of what it gets."""
    text = (DOCS / "flow.md").read_text()
    return re.findall(r"```yaml\n([^`]*)```\n+```text\n([^`]*)```", text)


@pytest.mark.parametrize(("flow", "said"), samples())
def test_the_samples_of_errors_are_real(flow: str, said: str) -> None:
    try:
        loaded = parse_flow(flow.encode(), "weather.yaml")
        wiring([loaded])
        message = "\n".join(map(str, warnings(loaded)))
    except ConfigurationError as error:
        message = str(error)
    assert message == said.rstrip("\n")


def test_there_are_samples_and_the_other_examples_load() -> None:
    assert len(samples()) >= 4
    text = (DOCS / "flow.md").read_text()
    told = [flow for flow, _ in samples()]
    examples = [each for each in re.findall(r"```yaml\n([^`]*)```", text) if each not in told]
    assert [parse_flow(each.encode(), "example.yaml").name for each in examples]
