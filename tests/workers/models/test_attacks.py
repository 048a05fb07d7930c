"""Attacks on torch's reader of archives, one for each place where text or a name becomes code: none runs, none hangs.

The places are those of docs/adr/0009-archives-are-data.md, by their numbers there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.archives import nothing_else
from tests.workers.models.archives import Entries, archive_folder, edited, entries, packed, saved
from tests.workers.models.attack_edits import TOUCH, refusal
from tests.workers.models.loading_cases import PROGRAM
from workers.models.folder import read_folder
from workers.models.loading import load


@pytest.fixture(scope="module")
def content() -> Entries:
    return entries(saved())


Edit = Callable[[Any, str], None]  # of the program's JSON, given the path of a file that nobody may make


def graph(tree: Any) -> Any:
    return tree["graph_module"]["graph"]


def relu(tree: Any) -> Any:
    return next(node for node in graph(tree)["nodes"] if node["target"].startswith("torch.ops.aten.relu"))


def size(text: str, hint: Any = None) -> Edit:
    def edit(tree: Any, mark: str) -> None:
        written = {"expr_str": text.format(mark=mark), "hint": hint}
        graph(tree)["tensor_values"]["relu"]["sizes"][0] = {"as_expr": written}

    return edit


def target(text: str, *arguments: Any) -> Edit:
    """The rectifier calls something else, with these arguments."""

    def edit(tree: Any, mark: str) -> None:
        node = relu(tree)
        node["target"] = text
        if arguments:
            named = [{"name": "", "arg": json.loads(json.dumps(a).replace("MARK", mark)), "kind": 1} for a in arguments]
            node["inputs"] = named

    return edit


def argument(value: Any) -> Edit:
    return lambda tree, mark: relu(tree)["inputs"].append({"name": "x", "arg": value, "kind": 2})


def put(*path: Any, value: Any) -> Edit:
    def edit(tree: Any, mark: str) -> None:
        *above, last = path
        for key in above:
            tree = tree[key]
        tree[last] = json.loads(json.dumps(value).replace("MARK", mark))

    return edit


def signature(spec: str) -> Edit:
    def edit(tree: Any, mark: str) -> None:
        tree["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = spec.format(mark=mark)

    return edit


def renamed(name: str) -> Edit:
    """The rectifier's value under another name, wherever it stands."""

    def edit(tree: Any, mark: str) -> None:
        text = json.dumps(graph(tree)).replace('"relu"', json.dumps(name.format(mark=mark)))
        tree["graph_module"]["graph"] = json.loads(text)

    return edit


GRAPH = ("graph_module", "graph")
LEAF = '{{"type": null, "context": null, "children_spec": []}}'
NESTED = "[" * 60 + "]" * 60
ATTACKS: dict[str, Edit] = {
    "1 code as a size": size(TOUCH),
    "1 code behind a line end": size("Symbol(''\n's31', integer=True) # ''') or " + TOUCH + " #"),
    "1 code in the name of a symbol": size("Symbol('s0'+" + TOUCH + ")"),
    "1 attributes of a symbol": size("Symbol('s0').func.__class__"),
    "1 a function of sympy that evaluates text": size("parse_expr('1')"),
    "1 text that sympy evaluates": size("S('open')"),
    "1 a lambda": size("Lambda(s0, s0)"),
    "1 a tower of powers": size("Symbol('s0', integer=True) + 7**7**9"),
    "1 powers within powers": size("Pow(Pow(Pow(Integer(9), Integer(60)), Integer(60)), Integer(60))"),
    "1 a shift by a thousand million": size("LShift(Integer(1), Integer(1000000000))"),
    "1 an exponent with many digits": size("TruncToInt(Float('1e999999999'))"),
    "1 a number with many digits": size("9" * 5000),
    "1 parentheses without end": size("(" * 4000 + "1" + ")" * 4000),
    "1 a function of sympy that takes for ever": size("factorial(10**9)"),
    "1 another name for a function": size("Symbol('Integer', integer=True)"),
    "2 a hint that is no number": size("Symbol('s0', integer=True)", {"as_int": "1"}),
    "2 a hint without measure": size("Symbol('s0', integer=True)", {"as_int": 10**40}),
    "3 a counter to count up to": put("range_constraints", value={"u99999999": {"min_val": 0, "max_val": 5}}),
    "3 a range of code": put("range_constraints", value={"u" + TOUCH: {"min_val": 0, "max_val": 5}}),
    "3 a range without measure": put("range_constraints", value={"s0": {"min_val": 0, "max_val": 10**99}}),
    "4 a function of Python": target("torch.os.system", {"as_string": "touch MARK"}),
    "4 a builtin": target("torch.functional.__builtins__.get", {"as_string": "open"}),
    "4 a method of an operator": target("torch.ops.aten.relu.default.__init_subclass__"),
    "4 an attribute of an operator": target("torch.ops.aten.relu.overloads"),
    "4 an attribute getter": target("_operator.attrgetter", {"as_string": "__globals__"}),
    "4 a caller of methods": target("_operator.methodcaller", {"as_string": "touch"}),
    "4 a function of math": target("math.factorial", {"as_int": 10**9}),
    "4 an operator of a library": target("torch.ops.mylib.run.default"),
    "4 an operator that loads libraries": target("torch.ops.load_library", {"as_string": "MARK"}),
    "5 an extension's operator": target("#aoti:run"),
    "6 a higher-order operator": target("torch.ops.higher_order.wrap", {"as_operator": "_operator.add"}),
    "6 control flow": target("torch.ops.higher_order.while_loop"),
    "6 a kernel of Triton": target("torch.ops.higher_order.triton_kernel_wrapper_functional"),
    "7 an operator as an argument": argument({"as_operator": "torch.os.system"}),
    "7 a custom object as an argument": argument({"as_custom_obj": {"name": "x", "class_fqn": "os.system"}}),
    "7 a table of arguments": argument({"as_string_to_argument": {"x": {"as_operator": "torch.os.system"}}}),
    "7 a graph where there is no region": argument(
        {"as_graph": {"name": "g", "graph": {k: [] for k in ("inputs", "outputs", "nodes")}}}
    ),
    "8 a file that is written": target(
        "torch.ops.aten.from_file.default", {"as_string": "MARK"}, {"as_bool": True}, {"as_int": 16}
    ),
    "8 memory of another tensor": target("torch.ops.aten.set_.source_Tensor"),
    "8 memory past the end": target("torch.ops.aten._reshape_alias.default"),
    "8 memory that nobody wrote": target("torch.ops.aten.resize_.default"),
    "8 what it is called with is printed": target("torch.ops.aten._print.default", {"as_string": "x"}),
    "9 a name that is code": renamed("x=" + TOUCH),
    "9 a name with a line end": renamed("x\n" + TOUCH),
    "9 a name of other letters": renamed("\U0001d4fbelu"),
    "10 a tree that imports": signature('[1, {{"type": "os.system", "context": "{mark}", "children_spec": []}}]'),
    "10 an enumeration in a tree": signature(
        '[1, {{"type": "builtins.dict", "context": "[{{\\"__enum__\\": true, \\"fqn\\": \\"os.x\\"}}]", '
        f'"children_spec": [{LEAF}]}}}}]'
    ),
    "10 a factory in a tree": signature(
        '[1, {{"type": "collections.defaultdict", "context": "{{\\"default_factory_module\\": \\"os\\", '
        '\\"default_factory_name\\": \\"getcwd\\", \\"dict_context\\": [\\"x\\"]}}", '
        f'"children_spec": [{LEAF}]}}}}]'
    ),
    "10 a class in a tree": signature(
        f'[1, {{{{"type": "collections.namedtuple", "context": "\\"os.x\\"", "children_spec": [{LEAF}]}}}}]'
    ),
    "10 a tree of another protocol": signature('[2, {{"type": null, "context": null, "children_spec": []}}]'),
    "10 a tree without end": signature('{{"children_spec": ' * 3000),
    "11 a verifier by name": put("verifiers", value=["os.system"]),
    "12 a custom object": put(*GRAPH, "custom_obj_values", value={"x": {"name": "x", "class_fqn": "os.system"}}),
    "12 a custom object as input": put(
        "graph_module", "signature", "input_specs", 0,
        value={"custom_obj": {"arg": {"name": "x", "class_fqn": "os.system"}, "custom_obj_name": "x"}},
    ),
    "12 a token": put("graph_module", "signature", "output_specs", 0, value={"token": {"arg": {"name": "x"}}}),
    "13 a version that is no number": put("schema_version", "major", value="8"),
    "13 a version without measure": put("opset_version", value={"aten": 10**30}),
    "14 a literal that is a graph": put(
        "graph_module", "signature", "input_specs", 0, value={"user_input": {"arg": {"as_graph": {}}}}
    ),
    "14 a literal under a name that is code": put(
        "graph_module", "signature", "input_specs", 0,
        value={"constant_input": {"name": "x=" + TOUCH, "value": {"as_int": 1}}},
    ),
    "15 a device that is code": argument({"as_device": {"type": TOUCH, "index": None}}),
    "15 sizes without end": put(*GRAPH, "tensor_values", "relu", "sizes", value=[{"as_int": 1}] * 1000),
    "16 a trace that is no list": put(*GRAPH, "nodes", 0, "metadata", value={"nn_module_stack": "a,b;c" * 3}),
    "16 traces of another kind": put(*GRAPH, "nodes", 0, "metadata", value={"nn_module_stack": NESTED}),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_the_graph_is_refused(tmp_path: Path, content: Entries, attack: str) -> None:
    def edit(tree: Any) -> None:
        ATTACKS[attack](tree, str(tmp_path / "ran"))

    detail = refusal(tmp_path / "toy", edited(content, PROGRAM, edit))
    assert detail.startswith("toy/model.pt2: ")
    assert "cannot read it" not in detail  # torch has not seen it
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "edit",
    [
        put("guards_code", value=[TOUCH.format(mark="MARK")]),
        put("graph_module", "metadata", value={"custom": '{"x": 1}'}),
        put("graph_module", "treespec_namedtuple_fields", value={"os.system": {"field_names": ["MARK"]}}),
        put("torch_version", value=TOUCH.format(mark="MARK")),
        put(*GRAPH, "nodes", 0, "metadata", "stack_trace", value="x\n" + TOUCH.format(mark="MARK")),
        put(*GRAPH, "nodes", 0, "metadata", "source_fn_stack", value="x,torch.os.system"),
        put(*GRAPH, "nodes", 0, "metadata", "from_node", value='[{"name": "x", "target": "os.system"}]'),
        put(*GRAPH, "nodes", 0, "metadata", "custom", value=NESTED * 1000),
        put(*GRAPH, "nodes", 0, "metadata", "torch_fn", value="x;" * 1000),
        put("a_key_of_a_later_torch", value={"as_operator": "torch.os.system"}),
    ],
)
def test_what_has_no_form_is_left_out(tmp_path: Path, content: Entries, edit: Edit) -> None:
    changed = edited(content, PROGRAM, lambda tree: edit(tree, str(tmp_path / "ran")))
    with nothing_else():
        model = load(read_folder(archive_folder(tmp_path / "toy", packed(changed))))
    assert model.card.outputs == (5,)
    assert not (tmp_path / "ran").exists()
