"""An evo plugin with one kernel: row sums of a matrix, for the built-in problem `reduction`."""

import numpy
from evo_candidate import Kernel, Rejected, run


class @CLASS@(Kernel):
    """Row sums of a matrix, some rows at a time"""

    name = "@NAME@"
    problems = ("reduction",)
    # The values to try; the first is the default.
    params = {"ROWS": [1, 4, 16, 64, 256]}

    def accept(self, problem, config):
        """Says no, in words for people, to what the kernel cannot do."""
        wanted = {"op": "sum", "axis": "last", "dtype": "f32"}
        if any(problem.fields[name] != value for name, value in wanted.items()):
            raise Rejected("it sums rows of f32 only (op=sum axis=last)")
        rows = config.get("ROWS")
        if not isinstance(rows, int) or rows < 1:
            raise Rejected(f"ROWS is {rows}, but must be a number of rows, at least 1")

    def build(self, problem, config):
        self.rows = config["ROWS"]

    def launch(self, x, y):
        """Computes once. It keeps nothing for the next launch and writes nothing but the output."""
        for first in range(0, len(x), self.rows):
            part = slice(first, first + self.rows)
            numpy.sum(x[part], axis=1, out=y[part])


run(@CLASS@)
