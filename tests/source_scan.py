"""Finds functions and their lengths in Python, Cython and C, well enough for rules about lengths.

C is read by its braces, after comments, literals and preprocessor lines are blanked out; Cython by
its indentation.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

# In this order: a quote in a comment is no string, and the other way round.
C_BLANKED = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|^[ \t]*#(?:\\\n|[^\n])*",
    re.DOTALL | re.MULTILINE,
)
CYTHON_DEF = re.compile(r"^(\s*)(?:async def|def|cdef|cpdef)\b[^=]*?(\w+)\(")


@dataclass(frozen=True)
class Function:
    """Where a function begins (1 is the first line) and how many lines it has."""

    name: str
    line: int
    lines: int


def python_functions(text: str) -> Iterator[Function]:
    """Every function and method, decorators not counted."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield Function(node.name, node.lineno, node.end_lineno - node.lineno + 1)


def cython_functions(text: str) -> Iterator[Function]:
    """Every def, cdef and cpdef with a body: it ends before the next line that is not deeper."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        found = CYTHON_DEF.match(line)
        if found is None:
            continue
        end = body_start = _signature_end(lines, index)
        for number in range(body_start + 1, len(lines)):
            indent = len(lines[number]) - len(lines[number].lstrip())
            if lines[number].strip() and indent <= len(found.group(1)):
                break
            if lines[number].strip():
                end = number
        if end > body_start or ":" in lines[body_start]:
            yield Function(found.group(2), index + 1, end - index + 1)


def _signature_end(lines: list[str], index: int) -> int:
    """The line that closes the parentheses opened on line `index`."""
    depth = 0
    for number in range(index, len(lines)):
        depth += lines[number].count("(") - lines[number].count(")")
        if depth <= 0:
            return number
    return len(lines) - 1


def c_functions(text: str) -> Iterator[Function]:
    """Every function definition: a top-level brace behind a closing parenthesis."""
    code = C_BLANKED.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)
    depth = start = 0
    name = ""
    for index, character in enumerate(code):
        if character == "{":
            if depth == 0:
                head = re.split(r"[;}]", code[:index])[-1]
                found = re.search(r"(\w+)\s*\(", head) if head.rstrip().endswith(")") else None
                name = found.group(1) if found else ""
                start = index - len(head.lstrip())
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0 and name:
                first, last = code.count("\n", 0, start), code.count("\n", 0, index)
                yield Function(name, first + 1, last - first + 1)
