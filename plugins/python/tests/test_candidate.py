"""Tests of the package: `python3 -m unittest discover plugins/python/tests` with numpy installed."""

import base64
import json
import os
import socket
import struct
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import numpy as np

import evo_candidate as evo
from evo_candidate import numbers, protocol
from evo_candidate.documents import Spec, space_of
from evo_candidate.server import Server


class Scale(evo.Problem):
    """y = 3 x."""

    name = "scale"
    fields = {"N": evo.integer(8, max=100), "dtype": evo.choice("f32", "bf16")}
    extra_shapes = [{"N": 5}]

    def tensors(self, fields):
        shape = (2, fields["N"])
        yield evo.Tensor.input("x", fields["dtype"], shape)
        yield evo.Tensor.output("y", fields["dtype"], shape)

    def flops(self, fields):
        return 2.0 * fields["N"]

    def reference(self, spec, x):
        return x.astype(np.float64) * 3


class Times(evo.Kernel):
    """Multiplies.

    The second paragraph is for readers of the source."""

    problems = ["scale"]
    params = {"WAY": ["ufunc", "loop"], "REPEAT": evo.Param([1, 2], "how often", runtime=True)}

    def accept(self, problem, config):
        if config["WAY"] == "loop" and problem.fields["N"] > 50:
            raise evo.Rejected("a loop is too slow for that")

    def build(self, problem, config):
        if config["WAY"] == "broken":
            raise evo.BuildFailed("it does not compile", log="line 1: no")
        self.repeat = config["REPEAT"]

    def workspace_bytes(self):
        return 64

    def launch(self, x, y):
        assert self.workspace.nbytes == 64
        for _ in range(self.repeat):
            np.multiply(x, 3, out=y)


class Compiled(evo.Kernel):
    problems = ["scale"]

    def build(self, problem, config):
        return evo.Build(b"code", log="fine", resources={"registers": 3}, launch={"GRID": 2})

    def load(self, code, problem, config):
        self.code = code

    def prepare(self, x):
        self.prepared = x.copy()

    def launch(self, x, y):
        assert self.code == b"code"
        y[...] = self.prepared * 3


class Parabola(evo.Objective):
    """A parabola."""

    params = {"X": [0, 1, 2, 3]}
    settings = {"at": evo.integer(3)}

    def open(self, settings):
        self.at = settings["at"]

    def evaluate(self, config):
        if config["X"] == 2:
            return float("nan")
        if config["X"] == 1:
            raise ValueError("planted")
        return {"cost": (config["X"] - self.at) ** 2, "seen": 1}


class Talk(unittest.TestCase):
    """A conversation as the framework leads it, without a socket."""

    def setUp(self):
        self.server = Server([Scale, Times, Compiled, Parabola], dict(
            name=None, version="2", doc="d", default_spec=None))
        self.file = tempfile.TemporaryFile()
        self.file.truncate(1 << 16)
        path = f"/proc/{os.getpid()}/fd/{self.file.fileno()}"
        self.memory = {"id": 1, "path": path, "bytes": 1 << 16}
        self.map = np.memmap(self.file, np.uint8, "r+")

    def tearDown(self):
        self.file.close()

    def ask(self, question, **fields):
        answer = self.server.answer({"id": 7, "ask": question, **fields})
        self.assertEqual(answer["id"], 7)
        json.dumps(answer, allow_nan=False)
        return answer

    def well(self, question, **fields):
        answer = self.ask(question, **fields)
        self.assertEqual(answer["answer"], question, answer)
        return answer

    def error(self, question, **fields):
        stderr, sys.stderr = sys.stderr, open(os.devnull, "w")
        try:
            answer = self.ask(question, **fields)
        finally:
            sys.stderr.close()
            sys.stderr = stderr
        self.assertEqual(answer["answer"], "error", answer)
        return answer

    def spec(self, **fields):
        fields = {"N": 8, "dtype": "f32", **fields}
        return self.well("resolve", problem="scale", fields=fields)["spec"]

    def request(self, spec=None, **config):
        return {"problem": spec or self.spec(), "config": config, "device": {"kind": "cpu"}}

    def tensor(self, offset, shape, dtype="f32"):
        return {"memory": 1, "offset": offset, "bytes": 0, "dtype": dtype, "shape": shape}

    def test_what_classes_declare_is_described(self):
        plugin = self.well("describe", name="file")["plugin"]
        self.assertEqual((plugin["name"], plugin["version"]), ("file", "2"))
        times, compiled = plugin["kernels"]
        self.assertEqual((times["name"], times["doc"]), ("times", "Multiplies."))
        self.assertEqual(times["params"][1], {
            "name": "REPEAT", "doc": "how often", "default": 1, "runtime": True})
        self.assertIn('(name: "WAY", values: ["ufunc", "loop"], doc: "")', times["space"])
        self.assertEqual((times["prepares"], compiled["prepares"]), (False, True))
        self.assertIsNone(compiled["space"])
        self.assertEqual(plugin["problems"][0]["fields"][1]["kind"], {"choice": ["f32", "bf16"]})
        self.assertEqual(plugin["objectives"][0]["metric"], "cost")

    def test_a_kernel_is_built_loaded_bound_and_launched(self):
        request = self.request(REPEAT=2)
        self.well("accept", kernel="times", request=request)
        artifact = self.well("build", kernel="times", request=request)["artifact"]
        loaded = self.well("load", kernel="times", instance=3, artifact=artifact, request=request)
        self.assertEqual(loaded["workspace_bytes"], 64)
        error = self.error("launch", order=[3], launches=1)
        self.assertIn("launched before it was bound", error["message"])
        self.map[:64].view(np.float32)[:] = np.arange(16)
        self.well("bind", instance=3, memories=[self.memory], inputs=[self.tensor(0, [2, 8])],
                  outputs=[self.tensor(1024, [2, 8])],
                  workspace={"memory": 1, "offset": 4096, "bytes": 64})
        launched = self.well("launch", order=[3], launches=5)
        self.assertGreater(launched["seconds"], 0)
        np.testing.assert_array_equal(self.map[1024:1088].view(np.float32), 3.0 * np.arange(16))
        self.assertLess(self.well("launch", order=[], launches=0)["seconds"], 1)
        self.well("unload", instance=3, forget=[1])
        self.assertEqual(self.server.instances, {})

    def test_code_and_figures_of_a_build_are_kept(self):
        artifact = self.well("build", kernel="compiled", request=self.request())["artifact"]
        self.assertEqual(base64.b64decode(artifact["bytes"]), b"code")
        self.assertEqual(artifact["resources"][0]["name"], "registers")
        self.assertEqual((artifact["log"], artifact["launch"]), ("fine", {"GRID": 2}))
        self.well("load", kernel="compiled", instance=4, artifact=artifact, request=self.request())
        self.well("prepare", instance=4, memories=[self.memory], inputs=[self.tensor(0, [2, 8])])

    def test_other_parameters_are_another_execution_but_for_those_at_launch(self):
        def code(**config):
            request = self.request(**config)
            return self.well("build", kernel="times", request=request)["artifact"]["bytes"]

        self.assertEqual(code(), code(WAY="ufunc"))
        self.assertNotEqual(code(), code(WAY="loop"))
        self.assertEqual(code(REPEAT=1), code(REPEAT=2))

    def test_errors_have_a_kind_and_a_place(self):
        big = self.request(self.spec(N=60), WAY="loop")
        error = self.error("accept", kernel="times", request=big)
        self.assertEqual((error["kind"], error["message"]),
                         ("rejected", "a loop is too slow for that"))
        error = self.error("build", kernel="times", request=self.request(WAY="broken"))
        self.assertEqual((error["kind"], error["log"]), ("build_failed", "line 1: no"))
        self.well("open", objective="parabola", opened=1, settings={"at": 3})
        error = self.error("evaluate", opened=1, config={"X": 1})
        self.assertEqual(error["kind"], "failed")
        self.assertRegex(error["message"], r"ValueError: planted \(.*test_candidate.py:\d+, in eval")
        self.assertIn("Traceback", error["log"])
        self.assertEqual(self.error("evaluate", opened=1, config={"X": 2})["kind"], "implausible")
        self.assertEqual(self.error("no_such_thing")["kind"], "failed")

    def test_an_objective_gives_figures(self):
        self.well("open", objective="parabola", opened=1, settings={"at": 5})
        ranked, other = self.well("evaluate", opened=1, config={"X": 3})["metrics"]
        self.assertEqual((ranked["value"], ranked["direction"]), (4.0, "lower"))
        self.assertEqual((other["name"], other["direction"]), ("seen", "info"))

    def test_a_problem_fills_and_refers(self):
        spec = self.spec(dtype="bf16")
        self.assertEqual(spec["gates"], [{"tensor": "y", "relative_error": 5e-3}])
        self.assertEqual(spec["bytes"], 2 * 2 * 16)
        x = self.tensor(0, [2, 8], "bf16")
        fill = dict(problem="scale", spec=spec, distribution="normal", inputs=[x])
        self.well("fill", memories=[self.memory], seed=(1 << 64) - 1, **fill)
        first = self.map[:32].tobytes()
        self.well("fill", seed=1, **fill)
        self.assertNotEqual(first, self.map[:32].tobytes())
        self.well("fill", seed=(1 << 64) - 1, **fill)
        self.assertEqual(first, self.map[:32].tobytes())
        y = self.tensor(1024, [2, 8], "f64")
        out = self.map[1024:1152].view(np.float64).reshape(2, 8)
        out[...] = -1
        expected = 3.0 * numbers.from_bf16(self.map[:32].view(np.uint16).reshape(2, 8))
        refer = dict(problem="scale", spec=spec, inputs=[x], outputs=[y])
        self.well("reference", rows=[1], **refer)
        np.testing.assert_array_equal(out[0], -1)
        np.testing.assert_array_equal(out[1], expected[1])
        self.well("reference", rows=None, **refer)
        np.testing.assert_array_equal(out, expected)

    def test_what_cannot_be_declared_is_refused(self):
        with self.assertRaisesRegex(TypeError, "is no class of a kernel"):
            Server([int], {})
        with self.assertRaisesRegex(ValueError, "two classes are called times"):
            Server([Times, Times], {})

        class Wrong(evo.Kernel):
            params = {"A": 3}

        with self.assertRaisesRegex(TypeError, "needs a list of values"):
            space_of(Wrong())


class Numbers(unittest.TestCase):
    def test_every_bf16_and_f8_pattern_survives(self):
        bits = np.arange(1 << 16, dtype=np.uint16)
        values = numbers.from_bf16(bits)
        back = numbers.to_bf16(values)
        np.testing.assert_array_equal(back[~np.isnan(values)], bits[~np.isnan(values)])
        self.assertTrue(np.isnan(numbers.from_bf16(back[np.isnan(values)])).all())
        bits = np.arange(256, dtype=np.uint8)
        values = numbers.from_f8_e4m3(bits)
        np.testing.assert_array_equal(numbers.to_f8_e4m3(values)[~np.isnan(values)],
                                      bits[~np.isnan(values)])
        self.assertEqual(np.nanmax(values), 448.0)
        self.assertEqual(np.isnan(values).sum(), 2)

    def test_rounding_is_to_nearest_and_ties_to_even(self):
        one, step = 1.0, 2.0**-7
        values = np.array([one + step / 2, one + 1.5 * step, one + 0.51 * step], np.float32)
        np.testing.assert_array_equal(numbers.from_bf16(numbers.to_bf16(values)),
                                      [one, one + 2 * step, one + step])
        eighth = 1 / 8
        values = np.array([one + eighth / 2, one + 1.5 * eighth, 1e9, -1e9, 0.0], np.float32)
        np.testing.assert_array_equal(numbers.from_f8_e4m3(numbers.to_f8_e4m3(values)),
                                      [one, one + 2 * eighth, 448, -448, 0])


class Frames(unittest.TestCase):
    def test_messages_cross_a_socket(self):
        ours, theirs = socket.socketpair()
        server = Server([Times], dict(name="n", version="1", doc="", default_spec=None))
        thread = threading.Thread(target=server.serve, args=(theirs,))
        thread.start()
        protocol.write(ours, {"id": 1, "ask": "hello", "protocol": [1, 0]})
        answer = protocol.read(ours)
        self.assertEqual(answer["protocol"], [1, 1])
        ours.close()
        thread.join(10)
        self.assertFalse(thread.is_alive())
        theirs.close()

    def test_what_is_no_message_is_refused(self):
        for data in [struct.pack("<I", 1 << 31), struct.pack("<I", 9) + b"{}",
                     struct.pack("<I", 2) + b"[]", b"\1"]:
            ours, theirs = socket.socketpair()
            ours.sendall(data)
            ours.close()
            with self.assertRaises(protocol.Broken):
                protocol.read(theirs)
            theirs.close()

    def test_a_specification_is_read(self):
        document = Scale().resolve({"N": 3, "dtype": "f32"})
        spec = Spec(document)
        self.assertEqual([tensor.name for tensor in spec.outputs], ["y"])
        self.assertEqual(spec.inputs[0].shape, (2, 3))


if __name__ == "__main__":
    unittest.main()
