"""common/mnist.py: what it repeats of chapter 7, it repeats to the letter."""

import ast

from common.cli import ROOT


def definitions(path):
    """The source of each function, class and constant of a file, by name."""
    source = path.read_text(encoding="utf-8")
    found = {}
    for node in ast.parse(source).body:
        names = [node.name] if hasattr(node, "name") else []
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets]
        found |= {name: ast.get_source_segment(source, node) for name in names}
    return found


def test_each_definition_is_chapter_7s():
    here = definitions(ROOT / "common" / "mnist.py")
    chapter = definitions(ROOT / "07_mnist_mlp.py")
    assert {"MNISTModel", "load_mnist", "transform_once", "test", "transform"} <= set(here)
    for name, source in here.items():
        assert source == chapter[name], name
