"""The documents of the protocol, and how classes declare what is in them."""

import json
import math
from typing import Any, NamedTuple

# The greatest values of fields without bounds of their own.
MOST_INT = 2**31 - 1
MOST_FLOAT = 1e300


class Tensor(NamedTuple):
    """A tensor of a problem: dense and row-major."""

    name: str
    role: str  # "input" or "output"
    dtype: str  # f64 f32 f16 bf16 f8_e4m3 i64 i32 i8 u8
    shape: tuple

    @classmethod
    def input(cls, name, dtype, shape):
        return cls(name, "input", dtype, tuple(shape))

    @classmethod
    def output(cls, name, dtype, shape):
        return cls(name, "output", dtype, tuple(shape))

    @property
    def bytes(self):
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


ITEM_BYTES = {
    "f64": 8,
    "i64": 8,
    "f32": 4,
    "i32": 4,
    "f16": 2,
    "bf16": 2,
    "f8_e4m3": 1,
    "i8": 1,
    "u8": 1,
}


class Spec:
    """A problem with all fields fixed."""

    def __init__(self, document):
        self.document = document
        self.problem = document["problem"]
        self.fields = document["fields"]
        self.constants = document["constants"]
        self.tensors = [
            Tensor(t["name"], t["role"], t["dtype"], tuple(t["shape"]))
            for t in document["tensors"]
        ]

    @property
    def inputs(self):
        return [tensor for tensor in self.tensors if tensor.role == "input"]

    @property
    def outputs(self):
        return [tensor for tensor in self.tensors if tensor.role == "output"]


class Param(NamedTuple):
    """A parameter: the values to try, the default first.

    `runtime` says that it acts at launch only: it does not change what `build` makes.
    """

    values: list
    doc: str = ""
    runtime: bool = False


def params_of(owner):
    """The parameters that a class declares: `{"BLOCK": [64, 32]}`, or `Param` instead of a list."""
    found = {}
    for name, declared in owner.params.items():
        param = declared if isinstance(declared, Param) else Param(declared)
        if not isinstance(param.values, (list, tuple, range)) or not len(param.values):
            raise TypeError(
                f"the parameter {name} of {type(owner).__name__} needs a list of values, the "
                f"default first, and has {param.values!r}"
            )
        found[name] = param._replace(values=list(param.values))
    return found


def param_documents(owner):
    return [
        {"name": name, "doc": param.doc, "default": param.values[0], "runtime": param.runtime}
        for name, param in params_of(owner).items()
    ]


def space_of(owner):
    """The search space: the one that the class gives, or every combination of the values."""
    if owner.space is not None:
        return owner.space
    params = params_of(owner)
    if not params:
        return None
    lines = [
        f"(name: {ron(name)}, values: [{', '.join(ron(value) for value in param.values)}], "
        f"doc: {ron(param.doc)}),"
        for name, param in params.items()
    ]
    body = "\n        ".join(lines)
    return f"(\n    name: {ron(owner.name)},\n    params: [\n        {body}\n    ],\n)\n"


def ron(value: Any):
    """A value as RON writes it: numbers and texts as JSON does, and truth values too."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class Field(NamedTuple):
    """A field of a problem or a setting of an objective."""

    kind: Any
    default: Any
    doc: str = ""


def integer(default, min=1, max=MOST_INT, doc=""):
    """An integer between two bounds, both included."""
    return Field({"int": {"min": min, "max": max}}, default, doc)


def number(default, min=-MOST_FLOAT, max=MOST_FLOAT, doc=""):
    """A finite number between two bounds, both included."""
    return Field({"float": {"min": float(min), "max": float(max)}}, float(default), doc)


def flag(default=False, doc=""):
    """A truth value."""
    return Field("bool", default, doc)


def choice(*names, doc=""):
    """One of some names, the first by default."""
    return Field({"choice": list(names)}, names[0], doc)


def text(default="", doc=""):
    """Any text, such as a path."""
    return Field("text", default, doc)


def field_documents(fields):
    return [
        {"name": name, "doc": field.doc, "kind": field.kind, "default": field.default}
        for name, field in fields.items()
    ]
