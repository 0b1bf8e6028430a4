"""What the habits meter counts, read from the syntax trees of the package; nothing is imported or run."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class File:
    """A source file: its dotted module name, number of lines, and tree."""

    module: str
    lines: int
    tree: ast.Module
    package: bool


def read(root: Path) -> list[File]:
    """Return every Python file under ``root``, the folder of the package."""
    files = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        package = parts[-1] == "__init__"
        text = path.read_text(encoding="utf-8")
        files.append(File(".".join(parts[:-1] if package else parts), len(text.splitlines()), ast.parse(text), package))
    return files


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _has_docstring(node: Function) -> bool:
    first = node.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def body_lines(files: list[File]) -> list[int]:
    """Return the lines of every function's body, its docstring left out."""
    lengths = []
    for file in files:
        for node in _functions(file.tree):
            body = node.body[1:] if _has_docstring(node) else node.body
            lengths.append((body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0)
    return lengths


def _classes(files: list[File]) -> dict[str, ast.ClassDef]:
    return {node.name: node for file in files for node in ast.walk(file.tree) if isinstance(node, ast.ClassDef)}


def _name(node: ast.expr) -> str:
    return ast.unparse(node).split("[")[0].split(".")[-1]


def bases_and_depth(files: list[File]) -> tuple[dict[str, int], int]:
    """Return the public methods of every class that another inherits from, and the deepest inheritance of ours.

    A class that inherits from nothing of ours has depth 0.
    """
    classes = _classes(files)
    parents = {name: [_name(b) for b in node.bases if _name(b) in classes] for name, node in classes.items()}
    inherited = {parent for names in parents.values() for parent in names}

    def depth(name: str) -> int:
        return max((1 + depth(parent) for parent in parents[name]), default=0)

    methods = {
        name: sum(isinstance(item, Function) and not item.name.startswith("_") for item in classes[name].body)
        for name in inherited
    }
    return methods or {"": 0}, max(map(depth, classes), default=0)


def _imported(node: ast.stmt, file: File) -> list[str]:
    """Return the dotted names of ours that an import statement may load."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name.startswith("microlocal")]
    if isinstance(node, ast.ImportFrom):
        base = file.module.split(".")[: None if file.package else -1]
        start = ".".join(base[: len(base) - node.level + 1]) if node.level else ""
        origin = ".".join(filter(None, (start, node.module or "")))
        if origin.split(".")[0] == "microlocal":
            return [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return []


def inner_imports(files: list[File]) -> list[str]:
    """Return the imports of ours inside functions."""
    return [
        f"{file.module}:{node.lineno}: imports {_imported(node, file)[0]} inside {function.name}"
        for file in files
        for function in _functions(file.tree)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom) and _imported(node, file)
    ]


def cycles(files: list[File]) -> list[str]:
    """Return the import cycles among modules; imports for type checkers only do not count."""
    modules = {file.module for file in files}
    edges = {file.module: _edges(file, modules) for file in files}
    reach = {module: _reachable(module, edges) for module in edges}
    groups = {frozenset({a} | {b for b in reach[a] if a in reach[b]}) for a in edges if a in reach[a]}
    return ["import cycle: " + " <-> ".join(sorted(group)) for group in groups]


def _edges(file: File, modules: set[str]) -> set[str]:
    found = set()
    for node in file.tree.body:
        for name in _imported(node, file):
            # "from room import member" in the room's own __init__ loads the member; the room itself is being loaded
            if name in modules and name != file.module:
                found.add(name)
    inner = {name for name in found if any(other.startswith(name + ".") for other in found)}
    return found - inner


def _reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(edges[start])
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo.extend(edges[module])
    return seen


def swallowed_kwargs(files: list[File]) -> list[str]:
    """Return the functions whose ``**kwargs`` go anywhere but straight into a call."""
    found = []
    for file in files:
        for node in _functions(file.tree):
            extra = node.args.kwarg
            if extra is None:
                continue
            uses = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == extra.arg]
            passed = [k.value for n in ast.walk(node) if isinstance(n, ast.Call) for k in n.keywords if k.arg is None]
            if not uses or any(use not in passed for use in uses):
                found.append(f"{file.module}:{node.lineno}: {node.name} takes **{extra.arg}")
    return found


def prints_and_asserts(files: list[File]) -> list[str]:
    """Return every print and every assert statement."""
    found = []
    for file in files:
        for node in ast.walk(file.tree):
            printed = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if printed or isinstance(node, ast.Assert):
                found.append(f"{file.module}:{node.lineno}: {'print' if printed else 'assert'}")
    return found


def _public_functions(file: File) -> Iterator[Function]:
    """Module functions and methods of module classes, none of them private, nor custom operators of torch.

    Torch reads the schema of a custom operator from its annotations, and knows plain tensors only.
    """
    for node in file.tree.body:
        custom = isinstance(node, Function) and any("custom_op" in ast.unparse(d) for d in node.decorator_list)
        if isinstance(node, Function) and not node.name.startswith("_") and not custom:
            yield node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (f for f in node.body if isinstance(f, Function) and not f.name.startswith("_"))


def _annotations(node: Function) -> list[ast.expr]:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    found = [argument.annotation for argument in arguments if argument is not None]
    return [annotation for annotation in (*found, node.returns) if annotation is not None]


def _bare_tensor(annotation: ast.expr) -> bool:
    """Whether a Tensor stands in the annotation outside of Float[Tensor, "shape"] and its kin."""
    shaped = {id(node.slice.elts[0]) for node in ast.walk(annotation) if _is_shaped(node)}  # type: ignore[attr-defined]
    return any(id(n) not in shaped and isinstance(n, ast.Name) and n.id == "Tensor" for n in ast.walk(annotation))


def _is_shaped(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Tuple)
        and len(node.slice.elts) == 2
        and isinstance(node.slice.elts[1], ast.Constant)
        and isinstance(node.slice.elts[1].value, str)
    )


def _tensor_signatures(files: list[File]) -> Iterator[tuple[File, Function]]:
    for file in files:
        for node in _public_functions(file):
            if any("Tensor" in ast.unparse(annotation) for annotation in _annotations(node)):
                yield file, node


def unshaped(files: list[File]) -> list[str]:
    """Return the public functions with a tensor whose shape is not written."""
    return [
        f"{file.module}:{node.lineno}: {node.name} has a tensor without a shape"
        for file, node in _tensor_signatures(files)
        if any(map(_bare_tensor, _annotations(node)))
    ]


def shaped_signatures(files: list[File]) -> tuple[int, int]:
    """Return how many public signatures with tensors state every shape, and how many there are."""
    total = sum(1 for _ in _tensor_signatures(files))
    return total - len(unshaped(files)), total


def telling_raises(files: list[File]) -> tuple[int, int]:
    """Return how many errors that are built and raised say what was expected and what came, and how many there are."""
    telling = total = 0
    for file in files:
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _is_error(node.exc):
                total += 1
                names = {keyword.arg for keyword in node.exc.keywords}
                telling += {"expected", "got"} <= names or _name(node.exc.func) == "UnknownNameError"
    return telling, total


def _is_error(call: ast.Call) -> bool:
    """Control flow that ends a run (Exit, Abort) is not an error."""
    return _name(call.func) not in ("Exit", "Abort")
