// Fused attention forward: candidates `stage2` (USE_WS 0), `ws_p1` and `ws_p2` (USE_WS 1).
//
// A block owns BLOCK_M query rows of one head and walks over the keys in tiles of BLOCK_N. The
// scores and the weights of a tile stay in registers; the running maximum and sum of a row decide
// at each tile how much the output so far has to shrink (online softmax).
#include "softmax.cuh"

namespace kv { enum Kind { interleaved, separate }; }

constexpr bool kSeparate = kv::KV_LAYOUT == kv::separate;
constexpr bool kSpecialised = USE_WS;
constexpr bool kPersistent = USE_PERSISTENT_CTA;
constexpr int kStages = NUM_STAGES;
constexpr int kPrefetch = PREFETCH;
constexpr int kComputeThreads = NUM_WARPS * 32;
constexpr int kLoadThreads = kSpecialised ? PROD_WARPS * 32 : kComputeThreads;
constexpr int kThreads = kComputeThreads + (kSpecialised ? kLoadThreads : 0);
// Stages that are neither in use nor being filled: how early a load can begin.
constexpr int kSlack = kStages - kPrefetch;

static_assert(kStages >= 1 && kPrefetch >= 1, "NUM_STAGES and PREFETCH must be at least 1");
static_assert(kPrefetch <= kStages, "PREFETCH must not exceed NUM_STAGES");

// Shared memory, in bytes from its start: queries, later the output; the ring of keys and values;
// what groups of warps exchange (in place of the ring where a block ends after one tile of rows);
// mbarriers.
constexpr int kQueryBytes =
    QueryTile::kBytes < BLOCK_M * kHeadDim * 2 ? BLOCK_M * kHeadDim * 2 : QueryTile::kBytes;
constexpr int kRing = kQueryBytes;
constexpr int kRingBytes = kStages * 2 * KeyTile::kBytes;
constexpr int kMerge = kPersistent ? kRing + kRingBytes : kRing;
constexpr int kMbarriers =
    kMerge + kMergeBytes > kRing + kRingBytes ? kMerge + kMergeBytes : kRing + kRingBytes;

// Where a stage's keys and values lie.
__device__ __forceinline__ u32 keys_at(u32 shared, int slot) {
    return shared + kRing + slot * (kSeparate ? KeyTile::kBytes : 2 * KeyTile::kBytes);
}
__device__ __forceinline__ u32 values_at(u32 shared, int slot) {
    return keys_at(shared, slot) + (kSeparate ? kStages * KeyTile::kBytes : KeyTile::kBytes);
}

// What a block does next: BLOCK_M rows of one head.
struct Work {
    int head;
    int row;    // the first query row
    int tiles;  // of keys

    // Heads come in groups of HEAD_GROUP; a group's work is numbered through, rows of all its heads
    // beside each other. With a causal mask the longest rows come first, so that the last blocks to
    // start are the short ones. Numbers beyond the last head of the last group are no work.
    __device__ Work(int group, int in_group, const Tensors& tensors) {
        const int row_tiles = ceil_div(tensors.seq, BLOCK_M);
        const int left = tensors.heads - group * HEAD_GROUP;
        int row_tile = in_group / HEAD_GROUP;
        int in_heads = in_group % HEAD_GROUP;
        if (HEAD_GROUP > 1 && left < HEAD_GROUP) {
            row_tile = in_group / left;
            in_heads = in_group % left;
        }
        head = group * HEAD_GROUP + in_heads;
        row = (kCausal ? row_tiles - 1 - row_tile : row_tile) * BLOCK_M;
        const int keys = kCausal && row + BLOCK_M < tensors.seq ? row + BLOCK_M : tensors.seq;
        tiles = row_tile < row_tiles ? ceil_div(keys, BLOCK_N) : 0;
    }

    __device__ bool none() const { return tiles == 0; }
};

// A block's work, one piece after the other. Grid: HEAD_GROUP * row tiles, groups; persistent blocks
// are in one row and go on in steps of the grid.
struct Schedule {
    int group, in_group, number;

    __device__ Schedule(const Tensors& tensors) : group(blockIdx.y), in_group(blockIdx.x), number(blockIdx.x) {
        if (kPersistent) place(tensors);
    }

    __device__ bool more(const Tensors& tensors) const {
        return group < ceil_div(tensors.heads, HEAD_GROUP);
    }

    __device__ void advance(const Tensors& tensors) {
        if constexpr (kPersistent) {
            number += gridDim.x;
            place(tensors);
        } else {
            group = tensors.heads;  // no more
        }
    }

  private:
    __device__ void place(const Tensors& tensors) {
        const int of_group = HEAD_GROUP * ceil_div(tensors.seq, BLOCK_M);
        group = number / of_group;
        in_group = number - group * of_group;
    }
};

// One head of a tensor.
__device__ __forceinline__ const char* head_of(const void* tensor, int head, int seq) {
    return static_cast<const char*>(tensor) + static_cast<long long>(head) * seq * (kHeadDim * kElement);
}

// A stage of the ring, and how often it has been gone around.
struct Cursor {
    int slot = 0;
    u32 round = 0;  // modulo 2

    __device__ void advance() {
        if (++slot == kStages) {
            slot = 0;
            round ^= 1;
        }
    }
};

// ---- loads by the computing warps (`stage2`) ---------------------------------------------------

// Every thread copies a part of every tile; block barriers order copies and reads.
struct Pipeline {
    const char* k;
    const char* v;
    int seq;
    int tiles;
    u32 shared;
    Cursor read, fill_keys, fill_values;

    __device__ Pipeline(const Tensors& tensors, const Work& work, u32 shared)
        : k(head_of(tensors.k, work.head, tensors.seq)),
          v(head_of(tensors.v, work.head, tensors.seq)),
          seq(tensors.seq),
          tiles(work.tiles),
          shared(shared) {}

    __device__ void start() {
#pragma unroll
        for (int tile = 0; tile < kPrefetch; ++tile) {
            issue_keys(tile);
            if (kSeparate) issue_values(tile);
        }
    }

    // Starts the copy of a tile's keys, and of its values too where they share a stage.
    __device__ void issue_keys(int tile) {
        if (tile < tiles) {
            KeyTile::load<kLoadThreads>(keys_at(shared, fill_keys.slot), k, tile * BLOCK_N, seq, threadIdx.x);
            if (!kSeparate) {
                KeyTile::load<kLoadThreads>(values_at(shared, fill_keys.slot), v, tile * BLOCK_N, seq,
                                            threadIdx.x);
            }
        }
        fill_keys.advance();
        ptx::commit_copies();  // an empty group keeps the count of groups the same for all tiles
    }

    __device__ void issue_values(int tile) {
        if (tile < tiles) {
            KeyTile::load<kLoadThreads>(values_at(shared, fill_values.slot), v, tile * BLOCK_N, seq,
                                        threadIdx.x);
        }
        fill_values.advance();
        ptx::commit_copies();
    }

    // Groups that are younger than the one that is waited for.
    static constexpr int kGroups = kSeparate ? 2 : 1;
    static constexpr int kPendingKeys = kGroups * kPrefetch - (kSlack >= 2 ? 0 : 1);
    static constexpr int kPendingValues = kPendingKeys - (kSlack == 0 && QKT_CHUNK > 1 ? 1 : 0);

    // The keys of a tile, once they are there. A load goes to the stage that was read last (one
    // spare stage: after the barrier) or before that (two: no need to wait).
    __device__ u32 keys(int tile) {
        if constexpr (kSlack >= 2) issue_keys(tile + kPrefetch);
        ptx::wait_copies<kPendingKeys>();
        __syncthreads();
        if constexpr (kSlack == 1) issue_keys(tile + kPrefetch);
        return keys_at(shared, read.slot);
    }

    __device__ void keys_read(int tile) {
        if constexpr (kSeparate && kSlack == 0) {
            __syncthreads();
            issue_keys(tile + kPrefetch);
        }
    }

    __device__ u32 values(int tile) {
        if constexpr (kSeparate) {
            if constexpr (kSlack >= 2) issue_values(tile + kPrefetch);
            ptx::wait_copies<kPendingValues>();
            __syncthreads();
            if constexpr (kSlack == 1) issue_values(tile + kPrefetch);
        }
        return values_at(shared, read.slot);
    }

    __device__ void values_read(int tile) {
        if constexpr (kSlack == 0) {
            __syncthreads();
            if constexpr (kSeparate) {
                issue_values(tile + kPrefetch);
            } else {
                issue_keys(tile + kPrefetch);
            }
        }
        read.advance();
    }
};

// ---- loads by warps of their own (`ws_p1`, `ws_p2`) ---------------------------------------------

// The mbarriers of the ring. `full` counts the loading threads, `empty` the computing ones.
// Parities: the n-th use of a stage waits for the n-th completion of `full`, and its refill for the
// n-th completion of `empty`; the first fill waits for nothing, which is the parity before the first.
struct Mbarriers {
    u32 first;

    static constexpr int kCount = (kSeparate ? 4 : 2) * kStages;
    // Arrivals that say that a stage is no longer read: of every thread that read, because racecheck
    // does not follow one lane's arrival for its warp. No slower, measured.
    static constexpr int kArrivals = kComputeThreads;

    __device__ u32 at(int number) const { return first + number * 8; }
    __device__ u32 keys_full(int slot) const { return at(slot); }
    __device__ u32 keys_empty(int slot) const { return at(kStages + slot); }
    __device__ u32 values_full(int slot) const { return at(2 * kStages + slot); }
    __device__ u32 values_empty(int slot) const { return at(3 * kStages + slot); }

    // One thread for each: runs of `full` and `empty` alternate.
    __device__ void init() const {
        const int number = threadIdx.x;
        if (number >= kCount) return;
        ptx::mbarrier_init(at(number), number / kStages % 2 == 0 ? kLoadThreads : kArrivals);
    }
};

// What a computing warp sees of the ring.
struct Consumer {
    Mbarriers barriers;
    u32 shared;
    Cursor read;

    __device__ u32 keys(int) {
        ptx::mbarrier_wait(barriers.keys_full(read.slot), read.round);
        return keys_at(shared, read.slot);
    }

    __device__ void keys_read(int) {
        if (kSeparate) release(barriers.keys_empty(read.slot));
    }

    __device__ u32 values(int) {
        if (kSeparate) ptx::mbarrier_wait(barriers.values_full(read.slot), read.round);
        return values_at(shared, read.slot);
    }

    __device__ void values_read(int) {
        release(kSeparate ? barriers.values_empty(read.slot) : barriers.keys_empty(read.slot));
        read.advance();
    }

    // This thread no longer reads.
    __device__ static void release(u32 barrier) { ptx::mbarrier_arrive(barrier); }
};

// A loading warp: fills the ring for all of the block's work, one tile after the other.
struct Producer {
    Mbarriers barriers;
    u32 shared;
    Cursor fill;
    Cursor landed;  // the tile that must have landed before the next one begins
    int issued = 0;

    __device__ void load(const Tensors& tensors, const Work& work) {
        const int thread = threadIdx.x - kComputeThreads;
        const char* k = head_of(tensors.k, work.head, tensors.seq);
        const char* v = head_of(tensors.v, work.head, tensors.seq);
        for (int tile = 0; tile < work.tiles; ++tile) {
            throttle();
            ptx::mbarrier_wait(barriers.keys_empty(fill.slot), fill.round ^ 1);
            KeyTile::load<kLoadThreads>(keys_at(shared, fill.slot), k, tile * BLOCK_N, tensors.seq, thread);
            if (kSeparate) ptx::mbarrier_arrive_after_copies(barriers.keys_full(fill.slot));
            if (kSeparate) ptx::mbarrier_wait(barriers.values_empty(fill.slot), fill.round ^ 1);
            KeyTile::load<kLoadThreads>(values_at(shared, fill.slot), v, tile * BLOCK_N, tensors.seq, thread);
            ptx::mbarrier_arrive_after_copies(kSeparate ? barriers.values_full(fill.slot)
                                                        : barriers.keys_full(fill.slot));
            fill.advance();
        }
    }

    // At most PREFETCH tiles on their way; with as many stages as that, the ring alone sees to it.
    __device__ void throttle() {
        if constexpr (kSlack > 0) {
            if (issued < kPrefetch) {
                ++issued;
            } else {
                ptx::mbarrier_wait(kSeparate ? barriers.values_full(landed.slot)
                                             : barriers.keys_full(landed.slot),
                                   landed.round);
                landed.advance();
            }
        }
    }
};

// ---- the block ----------------------------------------------------------------------------------

// Scores, softmax and accumulation over all tiles of keys, fed by `Pipeline` or `Consumer`.
template <class Feed>
__device__ __forceinline__ void attend(Feed& feed, Rows& rows, const Queries& queries, const Warp& warp,
                                       const Work& work, int seq, float scale) {
    for (int tile = 0; tile < work.tiles; ++tile) {
        const u32 keys = feed.keys(tile);
        u32 values = 0;
#pragma unroll
        for (int chunk = 0; chunk < QKT_CHUNK; ++chunk) {
            const int in_tile = warp.group * (BLOCK_N / kSplit) + chunk * kKeys;
            const Block block(work.row + warp.row, tile * BLOCK_N + in_tile, seq);
            Scores scores;
            if (block.seen()) rows_scores(scores, queries, keys, in_tile, warp);
            if (chunk == QKT_CHUNK - 1) feed.keys_read(tile);
            if (block.seen()) {
                if (block.masked()) block.apply(scores, warp);
                rows.raise_maximum(scores, scale);
            }
            if (chunk == 0) values = feed.values(tile);
            if (block.seen()) rows.accumulate(scores, scale, values, in_tile, warp);
        }
        feed.values_read(tile);
    }
}

// Accumulators have constant numbers: each group of warps has code of its own.
template <int GROUP>
__device__ __forceinline__ void take(Rows& rows, char* shared, float scale, float factor, const float* bias,
                                     const Warp& warp) {
    if (warp.group == GROUP) {
        rows.take<GROUP>(shared + kMerge, shared, scale, factor, bias, warp);
    } else if constexpr (GROUP + 1 < kSplit) {
        take<GROUP + 1>(rows, shared, scale, factor, bias, warp);
    }
}

// Stores the rows of one piece of work. Every computing thread takes part.
__device__ __forceinline__ void store(Rows& rows, const Tensors& tensors, const Work& work, const Warp& warp,
                                      char* shared, float scale) {
    char* const o = static_cast<char*>(tensors.o)
                    + (static_cast<long long>(work.head) * tensors.seq + work.row) * (kHeadDim * 2);
    const int left = tensors.seq - work.row;
    const float factor = tensors.output_scale(work.head);
    const float* bias = tensors.head_bias(work.head);
    // Queries, and where the exchange overlaps them keys and values, are no longer read.
    ptx::named_barrier(1, kComputeThreads);
    if constexpr (kSplit == 1) {
        rows.finish(shared, factor, bias, warp);
    } else {
        rows.give(shared + kMerge, warp);
        ptx::named_barrier(1, kComputeThreads);
        take<0>(rows, shared, scale, factor, bias, warp);
    }
    __syncwarp();
    copy_out(o, shared, left, warp);
}

extern "C" __global__ void __launch_bounds__(kThreads, CTAS_PER_SM)
    sdpa_fused(const void* q, const void* k, const void* v, void* o, int heads, int seq, float scale,
               const float* q_scale, const float* k_scale, const float* v_scale, int scale_stride, float alpha,
               const float* bias, int bias_heads) {
    extern __shared__ __align__(128) char shared[];
    const Tensors tensors{q,       k,       v,       o,            heads, seq,  scale,
                          q_scale, k_scale, v_scale, scale_stride, alpha, bias, bias_heads};
    const u32 base = ptx::shared_address(shared);

    if constexpr (kSpecialised) {
        const Mbarriers barriers{base + kMbarriers};
        barriers.init();
        __syncthreads();
        if (threadIdx.x >= kComputeThreads) {
            Producer producer{barriers, base};
            for (Schedule next(tensors); next.more(tensors); next.advance(tensors)) {
                const Work work(next.group, next.in_group, tensors);
                if (!work.none()) producer.load(tensors, work);
            }
            ptx::wait_copies<0>();
        } else {
            const Warp warp;
            Consumer consumer{barriers, base};
            for (Schedule next(tensors); next.more(tensors); next.advance(tensors)) {
                const Work work(next.group, next.in_group, tensors);
                if (work.none()) continue;
                const float folded = tensors.score_scale(work.head) * kLog2E;
                // The computing warps have nothing to do before the first keys: they load the queries.
                QueryTile::load<kComputeThreads>(base, head_of(q, work.head, seq), work.row, seq, threadIdx.x);
                ptx::commit_copies();
                Rows rows;
                ptx::wait_copies<0>();
                ptx::named_barrier(1, kComputeThreads);
                const Queries queries(base, warp);
                attend(consumer, rows, queries, warp, work, seq, folded);
                store(rows, tensors, work, warp, shared, folded);
                if (kPersistent) ptx::named_barrier(1, kComputeThreads);
            }
        }
    } else {
        const Warp warp;
        for (Schedule next(tensors); next.more(tensors); next.advance(tensors)) {
            const Work work(next.group, next.in_group, tensors);
            if (work.none()) continue;
            Pipeline pipeline(tensors, work, base);
            QueryTile::load<kComputeThreads>(base, head_of(q, work.head, seq), work.row, seq, threadIdx.x);
            if (Q_IN_REGS) ptx::commit_copies();  // else part of the first tile's group
            pipeline.start();
            const float folded = tensors.score_scale(work.head) * kLog2E;
            Rows rows;
            if (Q_IN_REGS) {
                ptx::wait_copies<Pipeline::kGroups * kPrefetch>();
                __syncthreads();
            }
            const Queries queries(base, warp);
            attend(pipeline, rows, queries, warp, work, seq, folded);
            store(rows, tensors, work, warp, shared, folded);
            if (kPersistent) __syncthreads();
        }
    }
}
