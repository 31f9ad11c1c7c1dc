"""Reading a flow file: a `LoadedFlow`, or every fault of it with its place.

Nothing here looks at what runs, or at whether programs exist: see `drop.flow.plan`.
"""

from __future__ import annotations

import os

from drop.document import Document, parse, read
from drop.flow.rules import cross_faults
from drop.flow.spec import Flow, LoadedFlow
from drop.problems import ConfigurationErrors
from drop.validation import collect


def load_flow(file: str | os.PathLike[str]) -> LoadedFlow:
    """Read a flow file; raises ConfigurationError, as ConfigurationErrors if it has faults."""
    return check_flow(read(file))


def parse_flow(data: bytes, file: str) -> LoadedFlow:
    """The same for a flow that did not come from a file; `file` names it, and its directory."""
    return check_flow(parse(data, file))


def check_flow(document: Document) -> LoadedFlow:
    source = document.source
    flow, errors = collect(Flow, document.value, source)
    reported = {error.key for error in errors}
    for fault in cross_faults(document.value):
        error = source.error(fault.path, fault.message, fault.expected)
        if error.key not in reported:
            errors.append(error)
    if errors or flow is None:
        raise ConfigurationErrors(errors)
    directory = os.path.dirname(os.path.abspath(source.file))
    return LoadedFlow(flow, source, directory)
