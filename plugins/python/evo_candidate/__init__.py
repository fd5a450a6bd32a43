"""Kernels, problems and objectives in Python for the evo tuning framework.

A plugin is a file with a few classes and a call of `run` at its end; evo starts it as a process and
talks to it over a socket. See README.md beside the package.
"""

__version__ = "0.1.0"

from .candidate import Build, BuildFailed, Kernel, Objective, Problem, Rejected
from .documents import Param, Spec, Tensor, choice, flag, integer, number, text
from .server import run

__all__ = [
    "Build",
    "BuildFailed",
    "Kernel",
    "Objective",
    "Param",
    "Problem",
    "Rejected",
    "Spec",
    "Tensor",
    "choice",
    "flag",
    "integer",
    "number",
    "run",
    "text",
]
