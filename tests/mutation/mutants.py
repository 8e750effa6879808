"""
Which wrong changes a source file offers: found in its syntax tree, written into its text.

Comparisons move to their neighbour, signs turn, whole constants move by one, roundings turn, `and` and `or`, `min` and
`max`, True and False change places, `not` goes. Left alone: assertions (they are checks themselves), what stands in
classes of names (enumerations), annotations, decorators, texts.

An id is `file:function:nth:kind`, the nth of its kind in its function, so an edit elsewhere does not change it.
"""

import ast
import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

COMPARISONS: dict[type[ast.cmpop], tuple[str, str, str]] = {
    ast.Lt: ("<", "<=", "lt-le"),
    ast.LtE: ("<=", "<", "le-lt"),
    ast.Gt: (">", ">=", "gt-ge"),
    ast.GtE: (">=", ">", "ge-gt"),
    ast.Eq: ("==", "!=", "eq-ne"),
    ast.NotEq: ("!=", "==", "ne-eq"),
    ast.Is: ("is", "is not", "is-isnot"),
    ast.IsNot: ("is not", "is", "isnot-is"),
    ast.In: ("in", "not in", "in-notin"),
    ast.NotIn: ("not in", "in", "notin-in"),
}
SIGNS: dict[type[ast.operator], tuple[str, str, str]] = {
    ast.Add: ("+", "-", "add-sub"),
    ast.Sub: ("-", "+", "sub-add"),
}
JOINS: dict[type[ast.boolop], tuple[str, str, str]] = {
    ast.And: ("and", "or", "and-or"),
    ast.Or: ("or", "and", "or-and"),
}
EXTREMES = {"min": ("max", "min-max"), "max": ("min", "max-min")}
# A rounding function whose sibling is not imported is written as the sibling's own definition.
ROUNDINGS = {"mul_div_floor": ("mul_div_ceil", "floor-ceil"), "mul_div_ceil": ("mul_div_floor", "ceil-floor")}
MODULE_LEVEL = "module"


@dataclass(frozen=True)
class Mutant:
    """One wrong change: where it is, and what stands there instead of the bytes from start to end."""

    file: str
    function: str
    nth: int
    kind: str
    lines: tuple[int, ...]  # that run when the change does, if any does; the first is its own
    start: int
    end: int
    text: str
    before: str
    after: str

    @property
    def id(self) -> str:
        """Return the name of the change, stable while its function is."""
        return f"{self.file}:{self.function}:{self.nth}:{self.kind}"

    @property
    def line(self) -> int:
        """Return the line of the change."""
        return self.lines[0]

    def applied(self, source: str) -> str:
        """Return the source with the change made; it has the same lines."""
        raw = source.encode()
        return (raw[: self.start] + self.text.encode() + raw[self.end :]).decode()


class Finder(ast.NodeVisitor):
    """Walks one module and notes every change it offers."""

    def __init__(self, file: str, source: str) -> None:
        self.file = file
        self.raw = source.encode()
        self.starts = [0]
        for line in self.raw.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.names: list[str] = []
        self.statement: ast.stmt | None = None
        self.counts: Counter[tuple[str, str]] = Counter()
        self.found: list[Mutant] = []
        self.bound: set[str] = set()

    def place(self, node: Any) -> tuple[int, int]:
        """Return where a node's text begins and ends, in bytes."""
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def segment(self, node: Any) -> str:
        """Return a node's text."""
        start, end = self.place(node)
        return self.raw[start:end].decode()

    def note(self, node: Any, kind: str, start: int, end: int, text: str) -> None:
        """Note one change; the lines that it takes away stay as blank ones."""
        function = ".".join(self.names) or MODULE_LEVEL
        gone = self.raw[start:end].count(b"\n") - text.count("\n")
        if gone > 0:
            assert text.endswith(")")
            text = f"{text[:-1]}{chr(10) * gone})"
        assert self.statement is not None
        lines = dict.fromkeys([node.lineno, *range(node.lineno, node.end_lineno + 1), self.statement.lineno])
        first = self.raw.rfind(b"\n", 0, start) + 1
        last = self.raw.find(b"\n", end)
        line_before = self.raw[first:last].decode()
        line_after = self.raw[first:start].decode() + text + self.raw[end:last].decode()
        nth = self.counts[(function, kind)]
        self.counts[(function, kind)] += 1
        self.found.append(
            Mutant(self.file, function, nth, kind, tuple(lines), start, end, text, flat(line_before), flat(line_after))
        )

    def between(self, left: Any, right: Any, kind: str, sign: str, other: str) -> None:
        """Note the exchange of the operator between two operands."""
        start, end = self.place(left)[1], self.place(right)[0]
        gap = self.raw[start:end].decode()
        pattern = r"\s+".join(map(re.escape, sign.split())) if sign.isascii() else re.escape(sign)
        match = re.search(pattern, gap)
        assert match is not None and "#" not in gap, f"{self.file}:{left.lineno}: no {sign} in {gap!r}"
        at = start + len(gap[: match.start()].encode())
        self.note(left, kind, at, at + len(match.group().encode()), other)

    def visit(self, node: ast.AST) -> None:
        """Remember the statement around what follows."""
        if isinstance(node, ast.stmt):
            outer, self.statement = self.statement, node
            super().visit(node)
            self.statement = outer
        else:
            super().visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Walk defaults and body under the function's name."""
        self.names.append(node.name)
        for part in (*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None), *node.body):
            self.visit(part)
        self.names.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Walk a class, but no enumeration's members."""
        if any("Enum" in ast.unparse(base) for base in node.bases):
            return
        self.names.append(node.name)
        for part in node.body:
            self.visit(part)
        self.names.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Walk the value alone."""
        if node.value is not None:
            self.visit(node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Leave a check as it is."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave a text as it is."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Remember what is imported by name."""
        self.bound |= {alias.asname or alias.name for alias in node.names}

    def visit_Compare(self, node: ast.Compare) -> None:
        """Move each comparison to its neighbour."""
        operands = [node.left, *node.comparators]
        for index, operator in enumerate(node.ops):
            sign, other, kind = COMPARISONS[type(operator)]
            self.between(operands[index], operands[index + 1], kind, sign, other)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Turn a sign, or the rounding of a whole division."""
        if type(node.op) in SIGNS:
            sign, other, kind = SIGNS[type(node.op)]
            self.between(node.left, node.right, kind, sign, other)
        elif isinstance(node.op, ast.FloorDiv):
            text = f"(-(-({self.segment(node.left)}) // ({self.segment(node.right)})))"
            self.note(node, "floor-ceil", *self.place(node), text)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Turn the sign of an addition in place."""
        if type(node.op) in SIGNS:
            sign, other, kind = SIGNS[type(node.op)]
            self.between(node.target, node.value, f"in-place-{kind}", f"{sign}=", f"{other}=")
        elif isinstance(node.op, ast.FloorDiv):
            target, value = self.segment(node.target), self.segment(node.value)
            self.note(node, "in-place-floor-ceil", *self.place(node), f"{target} = -(-{target} // ({value}))")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Exchange each `and` for `or` and the other way round."""
        sign, other, kind = JOINS[type(node.op)]
        parts = [f"({self.segment(value)})" for value in node.values]
        for index in range(1, len(parts)):
            left, right = (joined(some, sign) for some in (parts[:index], parts[index:]))
            self.note(node, kind, *self.place(node), f"({left} {other} {right})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Drop a minus or a `not`."""
        start, end = self.place(node)
        if isinstance(node.op, ast.USub):
            self.note(node, "minus-dropped", start, start + 1, "")
        elif isinstance(node.op, ast.Not):
            self.note(node, "not-dropped", start, end, f"({self.segment(node.operand)})")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Turn what rounds or takes an extreme."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in EXTREMES:
            other, kind = EXTREMES[name]
            self.note(node, kind, *self.place(node.func), other)
        elif name in ROUNDINGS and node.args:
            other, kind = ROUNDINGS[name]
            if other in self.bound:
                self.note(node, kind, *self.place(node.func), other)
            else:
                first, *rest = (self.segment(part) for part in node.args)
                self.note(node, kind, *self.place(node), f"(-{name}({', '.join([f'-({first})', *rest])}))")
        elif name == "ceil_div" and len(node.args) == 2:
            left, right = (self.segment(part) for part in node.args)
            self.note(node, "ceil-floor", *self.place(node), f"(({left}) // ({right}))")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Move a whole constant by one; exchange True and False."""
        if isinstance(node.value, bool):
            kind = "true-false" if node.value else "false-true"
            self.note(node, kind, *self.place(node), str(not node.value))
        elif isinstance(node.value, int):
            self.note(node, "plus-one", *self.place(node), str(node.value + 1))
            if node.value != 0:
                self.note(node, "minus-one", *self.place(node), str(node.value - 1))


def joined(parts: list[str], sign: str) -> str:
    """Return conditions in parentheses as one condition."""
    return parts[0] if len(parts) == 1 else f"({f' {sign} '.join(parts)})"


def flat(text: str) -> str:
    """Return lines as one, without their indentation."""
    return " ".join(text.split())


def mutants_of(file: str, source: str) -> list[Mutant]:
    """Return every change that a module's source offers, in the order of the text; each compiles."""
    finder = Finder(file, source)
    finder.visit(ast.parse(source))
    for mutant in finder.found:
        compile(mutant.applied(source), file, "exec")
    return finder.found


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """Return so many of the changes, drawn by seed and id: what is drawn hardly moves when the source does."""
    drawn = sorted(mutants, key=lambda mutant: hashlib.blake2b(f"{seed} {mutant.id}".encode()).digest())
    return drawn[:count]
