"""Arithmetic of parameters as text: parsed, checked against a short list of forms, evaluated.

Nothing is executed: a tree of numbers, names, + - * / ** and parentheses is walked, with Python
floats, NumPy arrays or JAX arrays (differentiable, traced) behind the names. ``hidden(N)`` is a
number that the eye cannot read off, for blinded parameters.
"""

import ast
import graphlib
import hashlib
import math
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from .errors import ExpressionError

Definitions = tuple[tuple[str, str], ...]
"""Name and expression of every defined parameter, each after those that it needs."""

MAX_LENGTH = 400  # characters
MAX_DEPTH = 40  # of the tree, far from Python's limit on recursion
ALLOWED = "numbers, names of parameters, + - * / ** and parentheses"

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_FOUND = {
    ast.Call: "a function call",
    ast.Attribute: "an attribute (.)",
    ast.Compare: "a comparison",
    ast.Subscript: "a subscript [ ]",
    ast.Lambda: "a lambda",
    ast.NamedExpr: "an assignment :=",
    ast.IfExp: "an if",
    ast.BoolOp: "a logical operator",
    ast.Tuple: "a list",
    ast.List: "a list",
    ast.JoinedStr: "text",
}


@dataclass(frozen=True)
class Expression:
    """An arithmetic expression of named parameters; called with their values it gives its own.

    ``names``: the parameters it needs, each once, as they appear. Numbers in it are floats, so that
    towers of exponents overflow to an error and never grow into integers of any length.
    """

    text: str
    names: tuple[str, ...]
    tree: ast.expr = field(repr=False, compare=False)

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Value at ``values``; raises ExpressionError where floats or NumPy arrays give no finite
        number (JAX arrays are not looked at)."""
        missing = [name for name in self.names if name not in values]
        if missing:
            raise ExpressionError(f"{self.text}: no value for {', '.join(missing)}")
        with np.errstate(all="ignore"):
            try:
                result = _value(self.tree, values)
            except ZeroDivisionError as error:
                raise ExpressionError(f"{self.text}: division by 0{self._at(values)}") from error
            except OverflowError as error:
                raise ExpressionError(f"{self.text}: beyond 1e308{self._at(values)}") from error
        if isinstance(result, jax.Array):
            return result
        if not np.all(np.isreal(result)) or not np.all(np.isfinite(result)):
            raise ExpressionError(f"{self.text}: no finite real number{self._at(values)}")
        return result

    def _at(self, values: Mapping[str, Any]) -> str:
        known = [name for name in self.names if not isinstance(values[name], jax.Array)]
        shown = [f"{name} = {np.min(values[name]):.6g}" for name in known]
        return f" at {', '.join(shown)}" if shown else ""


@lru_cache(maxsize=512)
def parse(text: str) -> Expression:
    """The expression that a text spells; raises ExpressionError for anything but arithmetic."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"an expression of {len(text)} characters; at most {MAX_LENGTH} are read, split it"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's remarks on what is refused below anyway
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ExpressionError(
            f"{text!r} cannot be read as an expression; allowed are {ALLOWED}"
        ) from error
    names: dict[str, None] = {}
    _check(tree, text, names, 0)
    return Expression(text, tuple(names), tree)


def _check(node: ast.AST, text: str, names: dict[str, None], depth: int) -> None:
    """Refuse every node that is not on the list, and collect the names."""
    if depth > MAX_DEPTH:
        raise ExpressionError(f"{text!r} is nested more than {MAX_DEPTH} deep; split it")
    if isinstance(node, ast.Name):
        names[node.id] = None
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        _check_number(node, text)
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        _check(node.left, text, names, depth + 1)
        _check(node.right, text, names, depth + 1)
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        _check(node.operand, text, names, depth + 1)
    elif _hidden_key(node) is None:
        raise ExpressionError(f"{text!r} holds {_words(node)}; allowed are {ALLOWED}")


def _check_number(node: ast.Constant, text: str) -> None:
    try:
        finite = math.isfinite(float(node.value))  # pyright: ignore[reportArgumentType]
    except OverflowError:
        finite = False
    if not finite:
        raise ExpressionError(f"{text!r} holds a number beyond 1e308; use a smaller one")


def hidden(key: int) -> float:
    """The number in [-1, 1) behind ``hidden(key)``: the first bits of the key's sha256, uniform."""
    digest = hashlib.sha256(str(key).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2.0**47 - 1.0


def _hidden_key(node: ast.AST) -> int | None:
    """N of ``hidden(N)``; None of anything else."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return None
    if node.func.id != "hidden" or node.keywords or len(node.args) != 1:
        return None
    (key,) = node.args
    return key.value if isinstance(key, ast.Constant) and type(key.value) is int else None


def _words(node: ast.AST) -> str:
    if isinstance(node, (ast.BinOp, ast.UnaryOp)):
        return f"the operator {type(node.op).__name__}"
    if isinstance(node, ast.Constant):
        return f"{node.value!r}, no plain number"
    return _FOUND.get(type(node), f"a {type(node).__name__}")


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_value(node.left, values), _value(node.right, values))
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_value(node.operand, values))
    if (key := _hidden_key(node)) is not None:
        return hidden(key)
    assert isinstance(node, ast.Constant), "parse lets nothing else through"
    return float(node.value)  # pyright: ignore[reportArgumentType]


def in_order(expressions: Mapping[str, str]) -> Definitions:
    """Definitions sorted so that each stands after those it needs.

    Raises ExpressionError for anything that is no expression, and for a cycle, which it names.
    """
    graph = {
        name: [needed for needed in parse(text).names if needed in expressions]
        for name, text in expressions.items()
    }
    try:
        order = tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        cycle = " needs ".join(reversed(error.args[1]))
        raise ExpressionError(
            f"the expressions go in a circle: {cycle}; give one of them a number or a prior"
        ) from error
    return tuple((name, expressions[name]) for name in order)


def resolve(definitions: Definitions, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` and, after them, the value of every definition.

    Raises ExpressionError, with the name defined, where one has no finite value.
    """
    result = dict(values)
    for name, text in definitions:
        try:
            result[name] = parse(text)(result)
        except ExpressionError as error:
            raise ExpressionError(f"{name}: {error}") from error
    return result


def needs(definitions: Definitions, name: str) -> set[str]:
    """All names that ``name`` depends on, through any number of definitions."""
    texts = dict(definitions)
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        for needed in parse(texts[current]).names if current in texts else ():
            if needed not in found:
                found.add(needed)
                waiting.append(needed)
    return found


def needed_for(definitions: Definitions, names: Sequence[str]) -> Definitions:
    """The definitions that the values of ``names`` take, in order."""
    wanted = {*names}.union(*(needs(definitions, name) for name in names))
    return tuple(each for each in definitions if each[0] in wanted)
