"""Labels of parameters: from the LaTeX of the registry to HTML, plain text and figures."""

from __future__ import annotations

import functools
import html
import re
from typing import Any

from matplotlib.mathtext import MathTextParser

SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
    "Gamma": "Γ", "Delta": "Δ", "Lambda": "Λ", "Sigma": "Σ", "Omega": "Ω", "Phi": "Φ",
    "sum": "Σ", "ln": "ln", "log": "log", "times": "×", "ast": "*", "star": "*", "ell": "ℓ",
    "chi2": "χ²", "odot": "⊙", "cdot": "·", "infty": "∞",
}  # fmt: skip
UPRIGHT = {"rm", "mathrm", "text", "textrm", "mathcal", "operatorname"}
SPACES = {",": " ", ";": " ", " ": " ", "!": "", ":": " ", "quad": " "}
IGNORED = {"left", "right", "displaystyle"}
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}_^]|[A-Za-z]|.")
SUPERSCRIPTS = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")


class _Unknown(Exception):
    """A LaTeX command that this small translator does not know."""


def label_html(latex: str, fallback: str) -> str:
    """A LaTeX label (without dollars) as HTML; `fallback` where it holds an unknown command."""
    try:
        return _Translator(latex, "html").translate()
    except _Unknown:
        return html.escape(fallback)


def label_text(latex: str, fallback: str) -> str:
    """A LaTeX label as plain text for a terminal, `Ω_b h²`."""
    try:
        return _Translator(latex, "text").translate()
    except _Unknown:
        return fallback


@functools.lru_cache(maxsize=256)
def label_math(latex: str, fallback: str) -> str:
    """A LaTeX label between dollars for a figure; `fallback` where mathtext cannot set it."""
    text = f"${latex}$"
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return fallback
    return text


def axis_label(name: str, parameters: dict[str, Any], latex: str | None = None) -> str:
    """Label and unit of a parameter for an axis, `$H_0$ [km/s/Mpc]`."""
    entry = parameters.get(name, {})
    text = label_math(entry.get("label") or latex or name, name)
    return f"{text} [{entry['unit']}]" if entry.get("unit") else text


class _Translator:
    """One pass over the tokens of a label."""

    def __init__(self, latex: str, target: str):
        self.tokens = TOKEN.findall(latex.strip().strip("$"))
        self.target = target
        self.position = 0

    def translate(self) -> str:
        return re.sub(r"\s+", " ", self._sequence(upright=False, until=None)).strip()

    def _next(self) -> str | None:
        if self.position >= len(self.tokens):
            return None
        self.position += 1
        return self.tokens[self.position - 1]

    def _sequence(self, upright: bool, until: str | None) -> str:
        parts = []
        while (token := self._next()) is not None and token != until:
            if token in ("\\rm", "\\textrm"):
                upright = True
                continue
            parts.append(self._token(token, upright))
        return "".join(parts)

    def _argument(self, upright: bool) -> str:
        token = self._next()
        while token == " ":
            token = self._next()
        return "" if token is None else self._token(token, upright)

    def _token(self, token: str, upright: bool) -> str:
        if token == "{":
            return self._sequence(upright, until="}")
        if token in "_^":
            return self._script(token, self._argument(upright))
        if token.startswith("\\"):
            return self._command(token[1:], upright)
        if token.isalpha() and not upright and self.target == "html":
            return f"<i>{token}</i>"
        return html.escape(token) if self.target == "html" else token

    def _command(self, command: str, upright: bool) -> str:
        if command in UPRIGHT:
            return self._argument(upright=True)
        if command in SPACES:
            return SPACES[command]
        if command in IGNORED:
            return ""
        if command not in SYMBOLS:
            raise _Unknown(command)
        return SYMBOLS[command]

    def _script(self, kind: str, content: str) -> str:
        if self.target == "html":
            tag = "sub" if kind == "_" else "sup"
            return f"<{tag}>{content}</{tag}>"
        if kind == "_":
            return f"_{content}"
        raised = content.translate(SUPERSCRIPTS)
        return raised if all(c in "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻" for c in raised) else f"^{content}"
