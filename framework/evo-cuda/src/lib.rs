//! The CUDA side shared by host and plugins: NVRTC builds, buffers, launches, events.
