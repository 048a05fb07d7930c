"""Symbolic sizes, `Mul(Integer(2), Symbol('s0', integer=True))`: parsed by a small grammar and written anew.

torch gives such text to sympy, which evaluates it as Python. It gets what was understood here, not the text that came.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

MAX_TEXT = 10_000
MAX_TOKENS = 2_000
MAX_DEPTH = 50
MAX_BITS = 4096  # of any number that evaluating can make, a symbol being one of 64
MAX_EXPONENT = 64
MAX_UNBACKED = 9_999  # torch counts up to the number of such a symbol, one by one
SYMBOL = re.compile(r"(?P<kind>[A-Za-z_]{1,32})(?P<number>[0-9]{1,9})", re.ASCII)
TOKEN = re.compile(
    r" *(?:(?P<number>[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]{1,2})?)|(?P<name>[A-Za-z_]\w*)|'(?P<text>[\w.+-]{1,64})'"
    r"|(?P<sign>\*\*|//|<=|>=|==|!=|[-+*/%(),=<>&|~])) *",
    re.ASCII,
)
NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{0,40})?(e[+-]?[0-9]{1,2})?", re.ASCII)
ASSUMPTIONS = frozenset(
    {
        "positive",
        "integer",
        "nonnegative",
        "negative",
        "nonpositive",
        "real",
        "zero",
        "nonzero",
        "finite",
        "commutative",
    }
    | {"rational", "even", "odd", "complex", "extended_real", "hermitian", "imaginary", "infinite"}
)
FUNCTIONS = frozenset(
    {"Add", "Mul", "Max", "Min", "Abs", "Rational", "And", "Or", "Not", "Eq", "Ne", "Lt", "Le", "Gt", "Ge"}
    | {"Equality", "Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "floor", "ceiling"}
    | {"Mod", "PythonMod", "FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "Where", "IntTrueDiv", "FloatTrueDiv"}
    | {"FloorToInt", "CeilToInt", "TruncToInt", "TruncToFloat", "RoundToInt", "RoundDecimal", "ToFloat", "Identity"}
    | {"IsNonOverlappingAndDenseIndicator"}
)
POWERS = frozenset({"Pow", "PowByNatural", "FloatPow", "LShift", "RShift"})
WORDS = frozenset({"true", "false", "True", "False"})
LEVELS = (("|",), ("&",), ("==", "!=", "<", "<=", ">", ">="), ("+", "-"), ("*", "/", "//", "%"))


class Size(NamedTuple):
    """`value` where it is a plain number; `bits` bounds the numbers that evaluating it can make."""

    text: str
    bits: int
    value: float | None = None


def normal(text: str) -> str:
    """The same size in a text of our own; raises ValueError for what is no bounded arithmetic of symbols."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"it is longer than {MAX_TEXT} characters")
    return _Parser(_tokens(text)).whole().text


def symbol(name: str) -> str:
    """The name, where it is a symbol's, such as s0 or u7; raises ValueError."""
    found = SYMBOL.fullmatch(name)
    if found is None:
        raise ValueError("it is no symbol's name, such as s0")
    if found["kind"].lower().startswith(("u", "zuf")) and int(found["number"]) > MAX_UNBACKED:
        raise ValueError(f"its number is above {MAX_UNBACKED}")
    return name


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        found = TOKEN.match(text, place)
        if found is None or len(tokens) >= MAX_TOKENS:
            raise ValueError("it is no arithmetic of symbols")
        assert found.lastgroup is not None
        tokens.append((found.lastgroup, found[found.lastgroup]))
        place = found.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens, each level of operators a call of `_level`."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = [*tokens, ("end", "")]
        self.place = 0
        self.depth = 0

    def whole(self) -> Size:
        size = self._level(0)
        self._expect("end", "")
        return size

    def _level(self, level: int) -> Size:
        if level == len(LEVELS):
            return self._signed()
        left = self._level(level + 1)
        while self.tokens[self.place][0] == "sign" and self.tokens[self.place][1] in LEVELS[level]:
            sign = self._next()[1]
            right = self._level(level + 1)
            left = _bounded(f"({left.text} {sign} {right.text})", left.bits + right.bits + 1)
        return left

    def _signed(self) -> Size:
        return self._nested(self._sign) if self.tokens[self.place] in (("sign", "-"), ("sign", "~")) else self._power()

    def _sign(self) -> Size:
        sign, size = self._next()[1], self._signed()
        value = None if size.value is None or sign == "~" else -size.value
        return Size(f"({sign}{size.text})" if value is None else f"-{size.text}", size.bits, value)

    def _power(self) -> Size:
        base = self._atom()
        if self.tokens[self.place] != ("sign", "**"):
            return base
        self._next()
        exponent = self._signed()
        return _raised(f"({base.text} ** ({exponent.text}))", base, exponent)

    def _atom(self) -> Size:
        kind, word = self._next()
        if kind == "number":
            return _number(word)
        if (kind, word) == ("sign", "("):
            size = self._nested(lambda: self._level(0))
            self._expect("sign", ")")
            return Size(f"({size.text})", size.bits, size.value)
        if kind != "name":
            raise ValueError("it is no arithmetic of symbols")
        if word in WORDS:
            return Size(word, 1)
        if self.tokens[self.place] != ("sign", "("):
            return Size(symbol(word), 64)
        self._next()
        return self._nested(lambda: self._call(word))

    def _call(self, name: str) -> Size:
        if name == "Symbol":
            return self._symbol()
        if name in ("Integer", "Float"):
            return self._literal(name)
        if name not in FUNCTIONS | POWERS:
            raise ValueError(f"it calls {name[:40]}")
        arguments = [self._level(0)]
        while self._takes(","):
            arguments.append(self._level(0))
        self._expect("sign", ")")
        text = f"{name}({', '.join(argument.text for argument in arguments)})"
        if name in POWERS:
            base, exponent = arguments if len(arguments) == 2 else (arguments[0], Size("", 0))
            return _raised(text, base, exponent)
        return _bounded(text, sum(argument.bits for argument in arguments) + len(arguments))

    def _symbol(self) -> Size:
        name = symbol(self._expect("text"))
        assumed = []
        while self._takes(","):
            key = self._expect("name")
            self._expect("sign", "=")
            value = self._expect("name")
            if key not in ASSUMPTIONS or value not in ("True", "False"):
                raise ValueError("it assumes of a symbol what sympy does not know")
            assumed.append(f", {key}={value}")
        self._expect("sign", ")")
        return Size(f"Symbol('{name}'{''.join(assumed)})", 64)

    def _literal(self, name: str) -> Size:
        """`Integer(-3)`, `Float('0.5', precision=53)`."""
        minus = "-" if self._takes("-") else ""
        kind, word = self._next()
        number = _number(minus + word if kind == "number" or name == "Float" else "")
        more = ""
        if name == "Float" and self._takes(","):
            if self._expect("name") != "precision" or self._expect("sign", "=") != "=":
                raise ValueError("it is no arithmetic of symbols")
            precision = self._expect("number")
            if precision != "53":
                raise ValueError("it has another precision than 53 bits")
            more = ", precision=53"
        self._expect("sign", ")")
        text = f"Float('{number.text}'{more})" if name == "Float" else f"Integer({int(number.text)})"
        return Size(text, number.bits, number.value)

    def _nested(self, parse: Callable[[], Size]) -> Size:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        size = parse()
        self.depth -= 1
        return size

    def _next(self) -> tuple[str, str]:
        token = self.tokens[self.place]
        self.place = min(self.place + 1, len(self.tokens) - 1)
        return token

    def _takes(self, sign: str) -> bool:
        if self.tokens[self.place] != ("sign", sign):
            return False
        self._next()
        return True

    def _expect(self, kind: str, word: str | None = None) -> str:
        found = self._next()
        if found[0] != kind or word not in (None, found[1]):
            raise ValueError("it is no arithmetic of symbols")
        return found[1]


def _number(word: str) -> Size:
    if NUMBER.fullmatch(word) is None:
        raise ValueError("a number in it has too many digits")
    value = float(word) if set(word) & set(".e") else int(word)
    return Size(word, 400 if isinstance(value, float) else value.bit_length() + 1, value)


def _bounded(text: str, bits: int) -> Size:
    if bits > MAX_BITS:
        raise ValueError(f"its value could have more than {MAX_BITS} bits")
    return Size(text, bits)


def _raised(text: str, base: Size, exponent: Size) -> Size:
    """A power or a shift: by a plain number that is not large."""
    if exponent.value is None or abs(exponent.value) > MAX_EXPONENT:
        raise ValueError(f"it raises to a power that is no number up to {MAX_EXPONENT}")
    return _bounded(text, int(base.bits * max(1, abs(exponent.value))) + MAX_EXPONENT)
