"""Tests of kernels on a GPU, with a driver that is none: its device memory is the host's."""

import base64
import ctypes
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import numpy as np

import evo_candidate as evo
from evo_candidate import cuda
from evo_candidate.server import Server

UUID = bytes(range(16))
NAME = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"


class FakeDriver:
    """What of the driver is used. Work in the stream is done at once, or kept while recording."""

    def __init__(self):
        self.memory = [np.zeros(1 << 16, np.uint8)]
        self.opened = set()
        self.recording = None
        self.graphs = {}
        self.replays = 0
        self.lost = False
        self.seconds = 0.25
        # What profilers are told, and the launches.
        self.marks = []

    def call(self, name, *arguments):
        if self.lost:
            raise cuda.CudaError(name, 700, "CUDA_ERROR_ILLEGAL_ADDRESS")
        method = getattr(self, name, None)
        if method is not None:
            method(*arguments)

    def queue(self, work):
        """What a launch of a kernel is here."""
        self.marks.append("launch")
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def cuDeviceGetCount(self, count):
        count._obj.value = 1

    def cuProfilerStart(self):
        self.marks.append("start")

    def cuProfilerStop(self):
        self.marks.append("stop")

    def cuDeviceGetUuid_v2(self, uuid, index):
        uuid._obj[:] = UUID

    def cuStreamCreate(self, stream, flags):
        stream._obj.value = 77

    def cuIpcOpenMemHandle_v2(self, address, handle, flags):
        found = self.memory[handle.bytes[0]]
        address._obj.value = found.ctypes.data
        self.opened.add(found.ctypes.data)

    def cuIpcCloseMemHandle(self, address):
        self.opened.remove(address.value)

    def cuEventElapsedTime_v2(self, milliseconds, start, end):
        milliseconds._obj.value = self.seconds * 1e3

    def cuStreamBeginCapture_v2(self, stream, mode):
        self.recording = []

    def cuStreamEndCapture(self, stream, graph):
        number = len(self.graphs) + 1
        self.graphs[number], self.recording = self.recording, None
        graph._obj.value = number

    def cuGraphInstantiateWithFlags(self, executable, graph, flags):
        executable._obj.value = graph.value

    def cuGraphLaunch(self, executable, stream):
        self.replays += 1
        for work in self.graphs[executable.value]:
            work()

    def cuMemsetD8Async(self, address, byte, count, stream):
        self.queue(lambda: ctypes.memset(address.value, byte.value, count.value))

    def cuMemcpyDtoDAsync_v2(self, to, origin, count, stream):
        self.queue(lambda: ctypes.memmove(to.value, origin.value, count.value))


DRIVER = None


def _address(array):
    return array.__cuda_array_interface__["data"][0]


def on_host(address, count):
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address))


class Doubling(evo.Kernel):
    """Writes into the output."""

    problems = ["double"]
    devices = ("cuda",)

    def launch(self, x, y):
        def work():
            on_host(y.data_ptr(), 8)[:] = 2 * on_host(x.data_ptr(), 8)

        DRIVER.queue(work)


class Returning(evo.Kernel):
    """Has memory of its own for the output."""

    problems = ["double"]
    devices = ("cuda",)
    writes = True

    def load(self, code, problem, config):
        self.own = np.zeros(8, np.float32)

    def launch(self, x, y):
        def work():
            if Returning.writes:
                self.own[:] = 2 * on_host(x.data_ptr(), 8)

        DRIVER.queue(work)
        return cuda.DeviceArray(self.own.ctypes.data, "f32", [8], 0)


class OnADevice(unittest.TestCase):
    def setUp(self):
        global DRIVER
        DRIVER = FakeDriver()
        Returning.writes = True
        plugin = dict(name="n", version="1", doc="", default_spec=None)
        self.server = Server([Doubling, Returning], plugin)
        self.server.devices[NAME] = cuda.Device(NAME, DRIVER)
        self.floats = DRIVER.memory[0].view(np.float32)
        self.floats[:8] = np.arange(8)
        handle = base64.b64encode(bytes(64)).decode()
        self.memory = {"id": 1, "cuda_ipc": handle, "device": NAME, "bytes": 1 << 16}

    def ask(self, question, **fields):
        return self.server.answer({"id": 7, "ask": question, **fields})

    def well(self, question, **fields):
        answer = self.ask(question, **fields)
        self.assertEqual(answer["answer"], question, answer)
        return answer

    def bind(self, number, kernel, output=1024, **more):
        spec = {
            "problem": "double",
            "fields": {},
            "constants": {},
            "tensors": [
                {"name": "x", "role": "input", "dtype": "f32", "shape": [8]},
                {"name": "y", "role": "output", "dtype": "f32", "shape": [8]},
            ],
        }
        request = {"problem": spec, "config": {}, "device": {"kind": "cuda", "uuid": NAME}}
        artifact = {"bytes": "", "launch": {}}
        self.well("load", kernel=kernel, instance=number, artifact=artifact, request=request)
        self.well("bind", instance=number, inputs=[self.tensor(0)],
                  outputs=[self.tensor(output)], workspace=None, **more)

    def tensor(self, offset):
        return {"memory": 1, "offset": offset, "bytes": 32, "dtype": "f32", "shape": [8]}

    def output(self, offset=1024):
        return self.floats[offset // 4 : offset // 4 + 8]

    def test_memory_is_opened_once_and_closed_when_it_is_forgotten(self):
        self.bind(3, "doubling", memories=[self.memory])
        launched = self.well("launch", order=[3], launches=2, collect=True)
        self.assertEqual(launched["seconds"], 0.25)
        np.testing.assert_array_equal(self.output(), 2.0 * np.arange(8))
        self.assertEqual(self.server.instances[3].kernel.stream, 77)
        self.assertEqual(len(DRIVER.opened), 1)
        self.well("launch", order=[], launches=0, forget=[1])
        self.assertEqual(DRIVER.opened, set())

    def test_launches_are_marked_for_profilers_where_that_is_wanted(self):
        self.bind(3, "doubling", memories=[self.memory])
        self.well("launch", order=[3], launches=1)
        self.well("launch", order=[3], launches=2, marked=True)
        self.assertEqual(DRIVER.marks, ["launch", "start", "launch", "launch", "stop"])

    def test_what_was_recorded_is_replayed_for_whole_multiples_in_the_same_order(self):
        self.bind(3, "doubling", memories=[self.memory])
        self.bind(4, "doubling", output=2048)
        self.assertEqual(self.well("record", order=[3, 4], launches=6)["launches"], 6)
        self.assertFalse(self.output().any(), "recording runs nothing")
        self.well("launch", order=[3, 4], launches=12, collect=False)
        self.assertEqual(DRIVER.replays, 2)
        np.testing.assert_array_equal(self.output(2048), 2.0 * np.arange(8))
        for order, launches in [([3, 4], 7), ([4, 3], 6), ([3], 6)]:
            self.well("launch", order=order, launches=launches, collect=True)
        self.assertEqual(DRIVER.replays, 2)
        self.well("bind", instance=4, inputs=[self.tensor(0)], outputs=[self.tensor(2048)],
                  workspace=None)
        self.well("launch", order=[3, 4], launches=6, collect=True)
        self.assertEqual(DRIVER.replays, 2, "a graph knows the buffers that it was recorded with")

    def test_returned_outputs_are_collected_when_someone_looks(self):
        self.bind(3, "returning", memories=[self.memory])
        self.well("launch", order=[3], launches=1, collect=False)
        self.assertFalse(self.output().any())
        self.well("launch", order=[3], launches=1, collect=True)
        np.testing.assert_array_equal(self.output(), 2.0 * np.arange(8))

    def test_what_launches_return_is_finished_when_someone_looks(self):
        self.bind(3, "returning", memories=[self.memory])
        kernel = self.server.instances[3].kernel
        looks = []

        def finish(result):
            looks.append(on_host(_address(result), 8) / 2)
            return cuda.DeviceArray(looks[-1].ctypes.data, "f32", [8], 0)

        kernel.finish = finish
        self.well("launch", order=[3], launches=2, collect=False)
        self.assertEqual(looks, [])
        self.well("record", order=[3], launches=4)
        self.well("launch", order=[3], launches=4, collect=True)
        self.assertEqual(len(looks), 1)
        np.testing.assert_array_equal(self.output(), np.arange(8, dtype=np.float32))

    def test_a_replay_that_writes_nothing_leaves_poison(self):
        self.bind(3, "returning", memories=[self.memory])
        self.well("record", order=[3], launches=4)
        self.well("launch", order=[3], launches=4, collect=True)
        np.testing.assert_array_equal(self.output(), 2.0 * np.arange(8))
        Returning.writes = False
        self.well("launch", order=[3], launches=4, collect=True)
        self.assertTrue(np.isnan(self.output()).all(), self.output())

    def test_a_kernel_that_cannot_be_recorded_is_launched_one_by_one(self):
        self.bind(3, "doubling", memories=[self.memory])
        stderr, sys.stderr = sys.stderr, open(os.devnull, "w")

        def refuse(stream, mode):
            raise cuda.CudaError("cuStreamBeginCapture_v2", 901, "CUDA_ERROR")

        DRIVER.cuStreamBeginCapture_v2 = refuse
        self.assertEqual(self.well("record", order=[3], launches=4)["launches"], 0)
        sys.stderr.close()
        sys.stderr = stderr
        self.well("launch", order=[3], launches=4, collect=True)
        np.testing.assert_array_equal(self.output(), 2.0 * np.arange(8))

    def test_a_wrong_return_value_is_named(self):
        self.bind(3, "doubling", memories=[self.memory])
        instance = self.server.instances[3]
        for wrong, words in [
            (3.5, "returned float: a tensor of PyTorch or an array on the GPU"),
            ((1, 2), "returned 2 outputs instead of 1"),
            (cuda.DeviceArray(8, "f32", [4], 0), "returned 16 bytes, not 32"),
        ]:
            instance.kernel.launch = lambda x, y, wrong=wrong: wrong
            instance.bind([None], instance.outputs, None)
            stderr, sys.stderr = sys.stderr, open(os.devnull, "w")
            answer = self.ask("launch", order=[3], launches=1, collect=True)
            sys.stderr.close()
            sys.stderr = stderr
            self.assertIn(words, answer["message"])

    def test_memory_of_the_device_that_runs_out_has_a_kind_of_its_own(self):
        self.bind(3, "doubling", memories=[self.memory])
        instance = self.server.instances[3]

        def launch():
            raise cuda.CudaError("cuMemAlloc", 2, "CUDA_ERROR_OUT_OF_MEMORY")

        instance.launch = launch
        stderr, sys.stderr = sys.stderr, open(os.devnull, "w")
        answer = self.ask("launch", order=[3], launches=1)
        sys.stderr.close()
        sys.stderr = stderr
        self.assertEqual(answer["kind"], "out_of_memory")

    def test_another_gpu_is_not_found(self):
        with self.assertRaisesRegex(evo.Rejected, "sees no GPU GPU-1"):
            cuda.Device("GPU-1", FakeDriver())

    def test_arrays_tell_what_they_are(self):
        array = cuda.DeviceArray(4096, "bf16", [2, 3], 0)
        self.assertEqual(array.nbytes, 12)
        interface = array.__cuda_array_interface__
        self.assertEqual((interface["shape"], interface["typestr"]), ((2, 3), "<i2"))
        self.assertEqual(interface["data"], (4096, False))


@unittest.skipIf(os.path.exists("/dev/nvidiactl"), "this machine has a GPU")
class WithoutADriver(unittest.TestCase):
    def test_it_says_so(self):
        with self.assertRaisesRegex(evo.Rejected, "no CUDA driver found"):
            cuda.Driver()


if __name__ == "__main__":
    unittest.main()
