"""Composites at work: a composite's table against a graph gives each node its rule."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.engine.rules import linear
from workers.engine.rules.boxes import Range, seen_from
from workers.engine.rules.matching import Place, is_linear, matches, names, where
from workers.engine.rules.rule import Rule
from workers.engine.rules.weightless import Structure, Unknown, reached
from workers.explanation.composite import DEFAULT, Choices, Entry, EpsilonEntry
from workers.explanation.errors import Instead, InvalidParameter


def assign(graph: Graph, table: Sequence[Entry], box: Range | None, choices: Choices = DEFAULT) -> dict[int, Rule]:
    """The rule of every node that a value flows through, by index.

    A node without weights that no entry matches shares by contribution, stabilised as the table's last entry is. An
    operation that no rule fits gets one that raises (see `check`). Raises InvalidParameter for a linear node that no
    entry of the table matches, and for z_box where the input has no range.
    """
    structure, rest = Structure(graph, choices), EpsilonEntry(epsilon=table[-1].epsilon)
    flowing = [n for n in graph.nodes[1:] if structure.flows[n.index] and n.op not in ops.EMBEDDING]
    rules: dict[int, Rule] = {}
    for node in flowing:
        if not is_linear(node):
            entry = next((e for e in table if matches(e, node)), rest)
            rules[node.index] = structure.rule(node, entry, names(entry, node)) or Unknown(node)
    places = where(graph, rules)
    for node in flowing:
        if is_linear(node):
            rules[node.index] = _of_table(node, table, places[node.index], graph, box)
    return dict(sorted(rules.items()))


def check(graph: Graph, rules: Mapping[int, Rule], ends: Collection[int], to: int) -> None:
    """Raise MethodNotApplicable where relevance of one of `ends` comes to an operation without a rule on its way to
    `to`, naming the node nearest to that."""
    ahead = {i for i, flows in enumerate(graph.reaching(to)) if flows and i != to}
    unknown = [rule for i in reached(graph, rules, ends) if isinstance(rule := rules.get(i), Unknown) and i in ahead]
    if unknown:
        raise unknown[-1].error()


def _of_table(node: Node, table: Sequence[Entry], place: Place, graph: Graph, box: Range | None) -> Rule:
    entry = next((e for e in table if matches(e, node, place)), None)
    if entry is None:
        raise InvalidParameter(
            f"no entry of the composite matches {node.layer} ({node.op}); end the table with an entry without "
            "conditions",
            pointer="/method/composite",
        )
    return _bind(entry, node, graph, box)


def _bind(spec: Entry, node: Node, graph: Graph, box: Range | None) -> Rule:
    match spec.rule:
        case "zero":
            return linear.Zero()
        case "epsilon":
            return linear.Epsilon(spec.epsilon, spec.std)
        case "gamma":
            return linear.Gamma(node, spec.epsilon, spec.gamma)
        case "alpha_beta":
            return linear.AlphaBeta(node, spec.epsilon, spec.alpha, spec.alpha - 1)
        case "z_plus":
            return linear.ZPlus(node, spec.epsilon, spec.bias)
        case "flat":
            return linear.Flat(node, spec.epsilon)
        case "w_square":
            return linear.WSquare(node, spec.epsilon)
        case "z_box":
            given = spec.low is not None and spec.high is not None
            seen = box if given or box is None else seen_from(graph, node, box)
            low, high = _range(spec.low, spec.high, seen, node)
            return linear.ZBox(node, spec.epsilon, low, high)


def _range(low: float | None, high: float | None, box: Range | None, node: Node) -> Range:
    """The box of z_box: what the entry says, else the model's input range."""
    like = node.args[1]
    if box is None and (low is None or high is None):
        raise InvalidParameter(
            "z_box needs the range of the input, and the model's card has none: give the rule low and high, or add "
            "low and high to [input] of the card",
            pointer="/method/composite",
            instead=[Instead(parameters={"composite": name}) for name in ("epsilon_plus", "epsilon_plus_flat")],
        )
    lowest, highest = box or (like.new_zeros(()), like.new_zeros(()))
    return lowest if low is None else like.new_tensor(low), highest if high is None else like.new_tensor(high)
