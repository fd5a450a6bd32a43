"""A GPU as the kernels of a plugin see it: memory that evo shares, a stream, events, graphs.

Needs the CUDA driver alone. What the plugin has imported joins in: PyTorch's current stream becomes
the stream that is timed, and where PyTorch is loaded it records the graphs, since its allocator has
to know of them.
"""

import base64
import contextlib
import ctypes
import math
import sys

from .candidate import Rejected
from .documents import ITEM_BYTES

# How `__cuda_array_interface__` calls the element types. It has no bf16 and no 8-bit floats: they are
# bit patterns there.
TYPE_STRINGS = {
    "f64": "<f8",
    "f32": "<f4",
    "f16": "<f2",
    "bf16": "<i2",
    "f8_e4m3": "|u1",
    "i64": "<i8",
    "i32": "<i4",
    "i8": "|i1",
    "u8": "|u1",
}
# The element types in which PyTorch has more to say than those.
TORCH_TYPES = {"bf16": "bfloat16", "f8_e4m3": "float8_e4m3fn"}

_OUT_OF_MEMORY = 2
_UUID_BYTES = 16
_HANDLE_BYTES = 64


class CudaError(RuntimeError):
    """A call of the driver that failed."""

    def __init__(self, call, code, name):
        super().__init__(f"{call}: {name} ({code})")
        self.is_out_of_memory = code == _OUT_OF_MEMORY


class _Handle(ctypes.Structure):
    """A `CUipcMemHandle`, which is passed by value."""

    _fields_ = [("bytes", ctypes.c_ubyte * _HANDLE_BYTES)]


class Driver:
    """The functions of libcuda, each called by its name; CudaError where one fails."""

    def __init__(self):
        try:
            self._library = ctypes.CDLL("libcuda.so.1")
        except OSError:
            raise Rejected(
                "no CUDA driver found (libcuda.so.1): run on a machine with an NVIDIA GPU"
            ) from None
        self.call("cuInit", 0)

    def call(self, name, *arguments):
        code = getattr(self._library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(code, ctypes.byref(text))
            raise CudaError(name, code, (text.value or b"unknown error").decode())


class DeviceArray:
    """A dense, row-major tensor in the memory of a GPU.

    `torch()` is a PyTorch tensor on the same memory; CuPy and Numba take the object itself
    (`cupy.asarray(array)`), and Triton what `torch()` returns.
    """

    def __init__(self, address, dtype, shape, index):
        self.dtype = dtype
        self.shape = tuple(shape)
        self.nbytes = math.prod(self.shape) * ITEM_BYTES[dtype]
        self._address = address
        self._index = index

    def data_ptr(self):
        """The address on the device."""
        return self._address

    @property
    def __cuda_array_interface__(self):
        return {
            "shape": self.shape,
            "typestr": TYPE_STRINGS[self.dtype],
            "data": (self._address, False),
            "strides": None,
            "version": 3,
        }

    def torch(self):
        """A PyTorch tensor on this memory, with the element type that is meant."""
        import torch

        tensor = torch.as_tensor(self, device=f"cuda:{self._index}")
        name = TORCH_TYPES.get(self.dtype)
        return tensor if name is None else tensor.view(getattr(torch, name))


class Graph:
    """So many launches, recorded: `replay()` queues them again."""

    def __init__(self, launches, replay, results):
        self.launches = launches
        self.replay = replay
        # What the recorded launches returned, by instance.
        self.results = results


class Device:
    """A GPU with the stream that launches go into."""

    def __init__(self, uuid, driver=None):
        self._driver = driver or Driver()
        self.index = self._find(uuid)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context := ctypes.c_void_p()), self.index)
        # The primary context is the one that PyTorch, CuPy and Triton use as well.
        self._call("cuCtxSetCurrent", context)
        self._call("cuStreamCreate", ctypes.byref(stream := ctypes.c_void_p()), 0)
        self.stream = stream.value
        self._start, self._end = self._event(), self._event()
        self._torch_stream = self._join_torch()

    def _call(self, name, *arguments):
        self._driver.call(name, *arguments)

    def _find(self, wanted):
        self._call("cuDeviceGetCount", ctypes.byref(count := ctypes.c_int()))
        for index in range(count.value):
            uuid = (ctypes.c_ubyte * _UUID_BYTES)()
            self._call("cuDeviceGetUuid_v2", ctypes.byref(uuid), index)
            if uuid_text(bytes(uuid)) == wanted:
                return index
        raise Rejected(f"this process sees no GPU {wanted}; is CUDA_VISIBLE_DEVICES set?")

    def _event(self):
        self._call("cuEventCreate", ctypes.byref(event := ctypes.c_void_p()), 0)
        return event

    def _join_torch(self):
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_available():
            return None
        torch.cuda.set_device(self.index)
        stream = torch.cuda.ExternalStream(self.stream, device=self.index)
        torch.cuda.set_stream(stream)
        return stream

    def open(self, handle):
        """The address of memory that another process shares by a handle (in base64)."""
        data = base64.b64decode(handle)
        by_value = _Handle((ctypes.c_ubyte * _HANDLE_BYTES)(*data))
        lazily = 1
        address = ctypes.c_uint64()
        self._call("cuIpcOpenMemHandle_v2", ctypes.byref(address), by_value, lazily)
        return address.value

    def close(self, address):
        """Closes memory that was opened, once nothing works on it any more."""
        self.synchronize()
        self._call("cuIpcCloseMemHandle", ctypes.c_uint64(address))

    def synchronize(self):
        """Waits for all work of this process on the device."""
        self._call("cuCtxSynchronize")

    def is_lost(self):
        """Whether a kernel brought the context down: then nothing works any more here."""
        try:
            self.synchronize()
        except CudaError:
            return True
        return False

    def seconds(self, work):
        """Calls `work`, which queues something, and waits; the seconds between two events around
        it, which the host's own delays at both ends are no part of."""
        stream = ctypes.c_void_p(self.stream)
        self._call("cuEventRecord", self._start, stream)
        work()
        self._call("cuEventRecord", self._end, stream)
        self._call("cuEventSynchronize", self._end)
        milliseconds = ctypes.c_float()
        self._call("cuEventElapsedTime_v2", ctypes.byref(milliseconds), self._start, self._end)
        # What went into other streams is waited for too: our caller sees how long that takes.
        self.synchronize()
        return milliseconds.value / 1e3

    @contextlib.contextmanager
    def marked(self, wanted):
        """What is launched inside is what profilers over this process are to look at, if `wanted`."""
        if not wanted:
            yield
            return
        self._call("cuProfilerStart")
        try:
            yield
        finally:
            self.synchronize()
            self._call("cuProfilerStop")

    def record(self, work):
        """Records what `work` queues instead of running it; what queues it again, or None where it
        cannot be recorded."""
        try:
            return self._record_torch(work) if self._torch_stream else self._record(work)
        except Exception as error:  # a kernel that cannot be recorded is launched one by one
            sys.stderr.write(f"not recorded as a graph: {error}\n")
            return None

    def _record_torch(self, work):
        import torch

        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._torch_stream):
            work()
        return graph.replay

    def _record(self, work):
        stream = ctypes.c_void_p(self.stream)
        strictly = 0
        self._call("cuStreamBeginCapture_v2", stream, strictly)
        graph = ctypes.c_void_p()
        try:
            work()
        finally:
            self._call("cuStreamEndCapture", stream, ctypes.byref(graph))
        executable = ctypes.c_void_p()
        self._call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_uint64(0))
        return _Replay(self._driver, graph, executable, stream)

    def poison(self, results):
        """Overwrites what launches have returned, so that what is not written again is seen."""
        for result in results:
            if _is_torch(result):
                # What was made in inference mode is changed there only.
                with sys.modules["torch"].inference_mode():
                    result.fill_(float("nan") if result.is_floating_point() else -1)
            else:
                address, count = _dense(result)
                stream = ctypes.c_void_p(self.stream)
                self._call(
                    "cuMemsetD8Async",
                    ctypes.c_uint64(address),
                    ctypes.c_ubyte(0xFF),
                    ctypes.c_size_t(count),
                    stream,
                )
        self.synchronize()

    def collect(self, results, outputs):
        """Copies what launches have returned into the output buffers."""
        for result, output in zip(results, outputs):
            if _is_torch(result):
                if tuple(result.shape) != output.shape:
                    shape = tuple(result.shape)
                    raise ValueError(f"`launch` returned the shape {shape}, not {output.shape}")
                with sys.modules["torch"].inference_mode():
                    output.torch().copy_(result)
                continue
            address, count = _dense(result)
            if count != output.nbytes:
                raise ValueError(f"`launch` returned {count} bytes, not {output.nbytes}")
            self._call(
                "cuMemcpyDtoDAsync_v2",
                ctypes.c_uint64(output.data_ptr()),
                ctypes.c_uint64(address),
                ctypes.c_size_t(count),
                ctypes.c_void_p(self.stream),
            )
        self.synchronize()


class _Replay:
    """Queues a graph; frees it with itself."""

    def __init__(self, driver, graph, executable, stream):
        self._driver = driver
        self._graph, self._executable, self._stream = graph, executable, stream

    def __call__(self):
        self._driver.call("cuGraphLaunch", self._executable, self._stream)

    def __del__(self):
        try:
            self._driver.call("cuGraphExecDestroy", self._executable)
            self._driver.call("cuGraphDestroy", self._graph)
        except CudaError:
            pass  # the context is lost, and the graph with it


def uuid_text(uuid):
    """A device's 16 bytes as evo writes them."""
    text = uuid.hex()
    cuts = (0, 8, 12, 16, 20, 32)
    return "GPU-" + "-".join(text[start:end] for start, end in zip(cuts, cuts[1:]))


def _is_torch(result):
    torch = sys.modules.get("torch")
    # No class derived from it: what is computed must be there when `launch` returns.
    return torch is not None and type(result) is torch.Tensor


def _dense(result):
    """Address and bytes of a dense array on the device, such as one of CuPy's."""
    interface = getattr(result, "__cuda_array_interface__", None)
    if interface is None:
        raise TypeError(
            f"`launch` returned {type(result).__name__}: a tensor of PyTorch or an array on the GPU "
            "is meant, or nothing where the outputs were written"
        )
    item = int(interface["typestr"][2:])
    dense, step = [], item
    for extent in reversed(interface["shape"]):
        dense.append(step)
        step *= extent
    strides = interface.get("strides")
    if strides is not None and tuple(strides) != tuple(reversed(dense)):
        raise ValueError("`launch` returned an array that is not dense and row-major")
    return interface["data"][0], step
