"""One thought a line: how much a line of code carries."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("architectures", "datasets", "finding", "fitting", "my_generator", "scripts", "vae")
MOST_NODES = 11  # syntax nodes a line, the mean of all code; well-kept research code has 6 to 10


def of_file(path):
    """Syntax nodes, and lines that are neither empty nor comment nor docstring."""
    text = path.read_text()
    tree = ast.parse(text)
    in_docstrings = set()
    for node in ast.walk(tree):
        may_have_one = isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))
        if may_have_one and ast.get_docstring(node):
            docstring = node.body[0]
            in_docstrings |= set(range(docstring.lineno, docstring.end_lineno + 1))
    lines = 0
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        lines += bool(content) and not content.startswith("#") and number not in in_docstrings
    return sum(1 for _ in ast.walk(tree)), lines


def test_a_line_of_code_does_not_carry_too_much():
    paths = [*ROOT.glob("*.py")]
    for room in ROOMS:
        paths += (ROOT / room).rglob("*.py")
    n_nodes, n_lines = map(sum, zip(*map(of_file, paths), strict=True))
    assert n_lines > 10_000  # else the rooms were not found
    assert n_nodes / n_lines < MOST_NODES
