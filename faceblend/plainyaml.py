"""YAML that others wrote: plain values alone, and no small text that unfolds into a large one."""

from typing import Any

import yaml

MOST_TEXT = 100_000
"""Characters, and values once every alias is written out; a recipe has some two thousand."""


def parse(text: str) -> Any:
    r"""Read YAML as mappings, lists, texts, numbers, truth values, dates and None.

    Raises:
        ValueError: it is no YAML, asks for an object of a program, is nested too deeply, or has
            over :data:`MOST_TEXT` characters; or its aliases contain themselves, or stand for
            over :data:`MOST_TEXT` values.

    Example:
        >>> parse("width: &both [3, 17]\nheight: *both")
        {'width': [3, 17], 'height': [3, 17]}
    """
    if len(text) > MOST_TEXT:
        raise ValueError(f"it has {len(text):,} characters, over {MOST_TEXT:,}")
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        if node is None:
            return None
        _unfolded(node, {})
        return yaml.constructor.SafeConstructor().construct_document(node)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # numbers, dates and keys that Python cannot hold raise whatever they raise
    except (yaml.YAMLError, ArithmeticError, TypeError, AttributeError, LookupError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """Count values with aliases written out: a dozen lines of them can stand for gigabytes."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = 0  # until it is counted; any other has one at least
        inside = node.value
        if isinstance(node, yaml.MappingNode):
            inside = [one for pair in inside for one in pair]
        known[id(node)] = 1 + sum(_unfolded(one, known) for one in inside)
    count = known[id(node)]
    line = node.start_mark.line + 1
    if not count:
        raise ValueError(f"the alias of line {line} stands for a value that contains itself")
    if count > MOST_TEXT:
        raise ValueError(f"the aliases from line {line} on stand for over {MOST_TEXT:,} values")
    return count
