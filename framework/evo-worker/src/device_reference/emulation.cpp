// What of CUDA the reference uses, on the host: a block is 256 threads of the system, one block after
// the other. Reads its tensors from files and writes the output to one.
#include <barrier>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)

struct Place { int x, y; };
static thread_local Place threadIdx;
static Place blockIdx;

constexpr int kThreads = 256;
static std::barrier<> block(kThreads);
static std::vector<std::unique_ptr<std::barrier<>>> warps;
static double lanes[kThreads];

static void __syncthreads() { block.arrive_and_wait(); }
static double __shfl_xor_sync(unsigned, double value, int distance) {
    std::barrier<>& warp = *warps[threadIdx.x / 32];
    lanes[threadIdx.x] = value;
    warp.arrive_and_wait();
    const double other = lanes[threadIdx.x ^ distance];
    warp.arrive_and_wait();
    return other;
}
static float __uint_as_float(unsigned bits) { float value; std::memcpy(&value, &bits, 4); return value; }
static double __longlong_as_double(long long bits) { double value; std::memcpy(&value, &bits, 8); return value; }
using std::scalbn;

#include "reference.cu"

template <class T> static std::vector<T> read(const char* name) {
    std::vector<T> values;
    if (FILE* file = std::fopen(name, "rb")) {
        std::fseek(file, 0, SEEK_END);
        values.resize(std::ftell(file) / sizeof(T));
        std::rewind(file);
        if (std::fread(values.data(), sizeof(T), values.size(), file) != values.size()) values.clear();
        std::fclose(file);
    }
    return values;
}

// heads seq causal stride alpha bias_heads
int main(int, char** arguments) {
    const int heads = std::stoi(arguments[1]), seq = std::stoi(arguments[2]), causal = std::stoi(arguments[3]);
    const int stride = std::stoi(arguments[4]), bias_heads = std::stoi(arguments[6]);
    const double alpha = std::stod(arguments[5]);
    using Type = Element::Type;
    const auto q = read<Type>("q"), k = read<Type>("k"), v = read<Type>("v");
    const auto q_scale = read<float>("q_scale"), k_scale = read<float>("k_scale"), v_scale = read<float>("v_scale");
    const auto bias = read<float>("bias");
    const auto data = [](const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); };
    std::vector<double> o(q.size(), std::nan(""));
    for (int warp = 0; warp < kThreads / 32; ++warp) warps.push_back(std::make_unique<std::barrier<>>(32));
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
            threadIdx = {thread, 0};
            for (int y = 0; y < heads; ++y) {
                for (int x = 0; x < (seq + kRows - 1) / kRows; ++x) {
                    if (thread == 0) blockIdx = {x, y};
                    __syncthreads();
                    sdpa_reference(q.data(), k.data(), v.data(), o.data(), seq, causal, data(q_scale), data(k_scale),
                                   data(v_scale), stride, alpha, data(bias), bias_heads);
                    __syncthreads();
                }
            }
        });
    }
    for (auto& thread : threads) thread.join();
    FILE* file = std::fopen("o", "wb");
    const bool written = file && std::fwrite(o.data(), 8, o.size(), file) == o.size();
    return written && std::fclose(file) == 0 ? 0 : 1;
}
