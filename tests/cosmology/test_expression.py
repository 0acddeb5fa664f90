"""Expressions of parameters: what they may hold, and that they give numbers, arrays and slopes."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.cosmology import ExpressionError, in_order, needed_for, needs, parse, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a - b", 1.0),
        ("-a**2", -9.0),
        ("(a + b) / b * +1", 2.5),
        ("10**log10_x", 1000.0),
        ("2.5e-1*a", 0.75),
        ("a**-b", 1.0 / 9.0),
        (" a ", 3.0),
    ],
)
def test_arithmetic(text, value):
    assert parse(text)({"a": 3.0, "b": 2.0, "log10_x": 3.0}) == pytest.approx(value, rel=1e-15)


def test_names_are_listed_once_in_their_order():
    assert parse("b + a*b - c").names == ("b", "a", "c")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("exp(a)", "a function call"),
        ("__import__('os').system('true')", "a function call"),
        ("a.real", "an attribute"),
        ("a < b", "a comparison"),
        ("a[0]", "a subscript"),
        ("lambda: 1", "a lambda"),
        ("(a := 1)", "an assignment"),
        ("a if b else 1", "an if"),
        ("a and b", "a logical operator"),
        ("not a", "the operator Not"),
        ("a % b", "the operator Mod"),
        ("a // b", "the operator FloorDiv"),
        ("a @ b", "the operator MatMult"),
        ("a | b", "the operator BitOr"),
        ("~a", "the operator Invert"),
        ("'a'", "'a', no plain number"),
        ("f'{a}'", "text"),
        ("True", "True, no plain number"),
        ("None", "None, no plain number"),
        ("1j*a", "1j, no plain number"),
        ("...", "Ellipsis, no plain number"),
        ("a, b", "a list"),
        ("[a]", "a list"),
        ("{a: b}", "a Dict"),
        ("[a for a in b]", "a ListComp"),
        ("(yield a)", "a Yield"),
        ("a = 1", "cannot be read"),
        ("import os", "cannot be read"),
        ("100*theta_s +", "cannot be read"),
        ("ln10^{10}A_s", "cannot be read"),
        ("", "cannot be read"),
        ("a\0", "cannot be read"),
        ("1 is 1", "a comparison"),
        ("1e400*a", "beyond 1e308"),
        ("1" + 320 * "0", "beyond 1e308"),
        ("(" * 150 + "a" + ")" * 150, None),
        ("-" * 300 + "a", "nested more than"),
        ("a" + "**a" * 60, "nested more than"),
        ("a" * 401, "401 characters"),
    ],
)
def test_all_else_is_refused_in_one_line(text, found):
    if found is None:  # parentheses alone leave no trace in the tree
        assert parse(text)({"a": 1.0}) == 1.0
        return
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)


def test_towers_of_exponents_end_at_once():
    start = time.monotonic()
    with pytest.raises(ExpressionError, match="9: beyond 1e308"):
        parse("9**9**9**9")({})
    assert time.monotonic() - start < 1.0


@pytest.mark.parametrize("text", ["1/a", "a**-1", "(b - 1)**0.5", "1e300*1e300 + a", "b/a - b/a"])
def test_what_is_no_finite_number_is_an_error(text):
    with pytest.raises(ExpressionError, match="at "):
        parse(text)({"a": 0.0, "b": 0.0})
    with pytest.raises(ExpressionError, match="no finite real number"):
        parse(text)({"a": np.zeros(2), "b": np.zeros(2)})


def test_arrays_and_derivatives():
    expression = parse("a**2/b")
    a, b = np.array([1.0, 2.0]), np.array([4.0, 5.0])
    np.testing.assert_allclose(expression({"a": a, "b": b}), a**2 / b, rtol=1e-15)

    def value(x: jax.Array) -> jax.Array:
        return expression({"a": x[0], "b": x[1]})

    points = jnp.stack([a, b], axis=1)
    np.testing.assert_allclose(jax.jit(jax.vmap(value))(points), a**2 / b, rtol=1e-15)
    slopes = jax.vmap(jax.grad(value))(points)
    np.testing.assert_allclose(slopes, np.stack([2 * a / b, -((a / b) ** 2)], axis=1), rtol=1e-14)


def test_a_missing_value_is_named():
    with pytest.raises(ExpressionError, match="no value for b"):
        parse("a + b")({"a": 1.0})


def test_definitions_are_evaluated_after_what_they_need():
    definitions = in_order({"c": "a + b", "b": "2*a", "d": "x"})
    assert [name for name, _ in definitions].index("b") < [n for n, _ in definitions].index("c")
    assert resolve(definitions, {"a": 1.0, "x": 5.0}) == {
        "a": 1.0,
        "x": 5.0,
        "b": 2.0,
        "c": 3.0,
        "d": 5.0,
    }
    assert needs(definitions, "c") == {"a", "b"}
    assert needs(definitions, "a") == set()
    assert needed_for(definitions, ["c"]) == (("b", "2*a"), ("c", "a + b"))


def test_an_error_names_the_definition():
    with pytest.raises(ExpressionError, match=r"omega_cdm: 1/x: .* at x = 0"):
        resolve((("omega_cdm", "1/x"),), {"x": 0.0})


@pytest.mark.parametrize("texts", [{"a": "b", "b": "c + 1", "c": "a"}, {"a": "a + 1"}])
def test_a_circle_is_named(texts):
    with pytest.raises(ExpressionError, match=r"in a circle: .*\w needs \w.*; give one of them"):
        in_order(texts)
