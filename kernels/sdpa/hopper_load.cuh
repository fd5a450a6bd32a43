// Loads: rings of slots, their barriers, the bulk copies that fill them, and the warpgroup that does
// nothing else.
#pragma once

#include "hopper_ptx.cuh"
#include "hopper_work.cuh"

// A slot of a ring, and how often (modulo 2) the ring has been gone around.
struct Cursor {
    int slot = 0;
    u32 phase = 0;

    __device__ __forceinline__ void advance() {
        if (++slot == kStages) {
            slot = 0;
            phase ^= 1;
        }
    }
};

// Whether the queries are there, and whether they are no longer read (PERSISTENT).
__device__ __forceinline__ u32 queries_full(u32 shared) { return shared + kBarriersAt; }
__device__ __forceinline__ u32 queries_empty(u32 shared) { return shared + kBarriersAt + 8; }

// The slots of keys and of values of one key group. Every slot has a barrier `full`, completed by the
// bytes that arrive (where the producer turns values, by its warps), and one `empty`, on which every warp that reads the slot arrives once it has done
// so. The n-th use of a slot waits for the n-th completion of `full`, its refill for the n-th of
// `empty`; the first fill waits for the parity before the first, which counts as complete.
struct Ring {
    u32 shared;
    int group;

    static constexpr int kReaders = 4 * kRowGroups;  // warps

    __device__ u32 keys(int slot) const { return shared + kKeysAt + number(slot) * kSlotBytes; }
    __device__ u32 values(int slot) const { return shared + kValuesAt + number(slot) * kValueSlotBytes; }
    __device__ u32 keys_full(int slot) const { return at(slot, 0); }
    __device__ u32 values_full(int slot) const { return at(slot, 1); }
    __device__ u32 keys_empty(int slot) const { return at(slot, 2); }
    __device__ u32 values_empty(int slot) const { return at(slot, 3); }

    __device__ void init() const {
        for (int slot = 0; slot < kStages; ++slot) {
            ptx::mbarrier_init(keys_full(slot), 1);
            // Where values are turned, every warp of the producer says when it has.
            ptx::mbarrier_init(values_full(slot), kTurnsValues ? 4 : 1);
            ptx::mbarrier_init(keys_empty(slot), kReaders);
            ptx::mbarrier_init(values_empty(slot), kReaders);
        }
    }

  private:
    __device__ int number(int slot) const { return group * kStages + slot; }
    __device__ u32 at(int slot, int which) const {
        return shared + kBarriersAt + 16 + number(slot) * 32 + which * 8;
    }
};

// Whether values that are to be turned have come.
__device__ __forceinline__ u32 raw_full(u32 shared) { return shared + kBarriersAt + 16 + kKeyGroups * kStages * 32; }

__device__ __forceinline__ void init_query_barriers(u32 shared) {
    if (kTurnsValues) ptx::mbarrier_init(raw_full(shared), 1);
    ptx::mbarrier_init(queries_full(shared), 1);
    ptx::mbarrier_init(queries_empty(shared), 4 * kConsumers);
}

// Starts bulk copies. One thread of a block, or of each key group, does.
struct Loader {
    const TensorMap* q;
    const TensorMap* k;
    const TensorMap* v;
    u32 shared;

    // All rows of a head are read again by every tile of it, queries once.
    static constexpr u64 kOnce = kHints ? ptx::kEvictFirst : ptx::kEvictNormal;
    static constexpr u64 kAgain = kHints ? ptx::kEvictLast : ptx::kEvictNormal;

    __device__ __forceinline__ void queries(const Work& work) const {
        ptx::mbarrier_expect(queries_full(shared), kQueryBytes);
#pragma unroll
        for (int piece = 0; piece < kPieces; ++piece) {
            ptx::load_box(shared + kQueriesAt + piece * (kTileRows * kPieceBytes), q, queries_full(shared),
                          piece * kPieceColumns, work.row, work.head, kOnce);
        }
    }

    __device__ __forceinline__ void keys(const Ring& ring, int slot, int block, int head) const {
        const u32 full = ring.keys_full(slot);
        ptx::mbarrier_expect(full, kSlotBytes);
#pragma unroll
        for (int piece = 0; piece < kPieces; ++piece) {
            ptx::load_box(ring.keys(slot) + piece * (kBlockKeys * kPieceBytes), k, full, piece * kPieceColumns,
                          block * kBlockKeys, head, kAgain);
        }
    }

    // Values as they lie, a row of all columns for each key, in the layout of keys.
    __device__ __forceinline__ void raw_values(int block, int head) const {
        ptx::mbarrier_expect(raw_full(shared), kSlotBytes);
        ptx::load_box(shared + kRawAt, v, raw_full(shared), 0, block * kBlockKeys, head, kAgain);
    }

    __device__ __forceinline__ void values(const Ring& ring, int slot, int block, int head) const {
        const u32 full = ring.values_full(slot);
        ptx::mbarrier_expect(full, kSlotBytes);
        if constexpr (kFp8) {
            // Transposed: a box has all columns of the head as rows, and some of the keys.
#pragma unroll
            for (int key = 0; key < kBlockKeys; key += kValueBoxKeys) {
                ptx::load_box(ring.values(slot) + key / kValueBoxKeys * kValueBoxBytes, v, full,
                              block * kBlockKeys + key, 0, head, kAgain);
            }
        } else {
#pragma unroll
            for (int piece = 0; piece < kPieces; ++piece) {
                ptx::load_box(ring.values(slot) + piece * (kBlockKeys * kPieceBytes), v, full,
                              piece * kPieceColumns, block * kBlockKeys, head, kAgain);
            }
        }
    }

    // The first fill of a key group's slots: no barrier has to be waited for.
    __device__ __forceinline__ void first_keys(const Ring& ring, const Work& work) const {
        const int rounds = work.rounds(ring.group);
#pragma unroll
        for (int slot = 0; slot < kStages; ++slot) {
            if (slot < rounds) keys(ring, slot, work.block(ring.group, slot), work.head);
        }
    }
    __device__ __forceinline__ void first_values(const Ring& ring, const Work& work) const {
        const int rounds = work.rounds(ring.group);
#pragma unroll
        for (int slot = 0; slot < kStages; ++slot) {
            if (slot < rounds) values(ring, slot, work.block(ring.group, slot), work.head);
        }
    }
};

// Turns the values of a block, all threads of the producer together. A warp takes 16 keys of 32 columns at a time
// as four matrices of 8 x 8 pairs of bytes, which come to it transposed: lane 4 j + t gets the columns 2 j and
// 2 j + 1 of the keys 2 t and 2 t + 1, and of 2 t + 8 and 2 t + 9. Sorted by column these are two words in the
// order of `sdpa_hopper_transpose`, and the words of the lanes of one j a row of 16 keys.
//
// Both layouts are those of bulk copies, where chunks of 16 bytes change places by the number of the row. Rows
// of raw values are keys of D bytes: of 128, a chunk moves by the row's last three bits; of 64, by the two before
// the last. Rows of turned values are columns of 64 keys, in pieces, and move by the two bits before the last. Of
// every two columns, lanes of the upper half store the odd one first: the eight rows of a matrix then lie in
// different banks.
__device__ __forceinline__ void turn_values(u32 raw, u32 to, int thread) {
    constexpr int kAcross = kHeadDim / 32;
    constexpr int kPieceKeys = kValueBoxKeys;
    const int lane = thread % 32;
    const int warp = thread / 32;
    const int across = warp % kAcross;
    const int row = lane % 8;     // of a matrix
    const int matrix = lane / 8;  // whose rows this lane names
    // Matrices: keys 0 to 7 and 8 to 15 of 16 columns, then of the next 16.
    const int key = matrix % 2 * 8 + row;
    const int chunk = (2 * across + matrix / 2) ^ (kHeadDim == 128 ? row : row / 2);
    const u32 from = raw + key * kHeadDim + chunk * 16;
    // Matrices: one of every two columns of the first 16, the other, and so of the next 16.
    const int column = 32 * across + matrix / 2 * 16 + 2 * row + (matrix % 2 ^ row / 4);
    const u32 first = to + column * kPieceKeys + row % 4 * 16;
    const u32 even_first = lane < 16 ? 0x6420 : 0x7531;
    const u32 odd_first = even_first ^ 0x1111;
#pragma unroll 1
    for (int piece = warp / kAcross; piece < kBlockKeys / kPieceKeys; piece += 4 / kAcross) {
        u32 pairs[4][4];
#pragma unroll
        for (int group = 0; group < 4; ++group) {
            ptx::load_matrices_transposed(pairs[group], from + (piece * 4 + group) * (16 * kHeadDim));
        }
#pragma unroll
        for (int group = 0; group < 4; ++group) {
            const u32(&of)[4] = pairs[group];
            ptx::store_matrices((first ^ group * 16) + piece * kValueBoxBytes,
                                __byte_perm(of[0], of[1], even_first), __byte_perm(of[0], of[1], odd_first),
                                __byte_perm(of[2], of[3], even_first), __byte_perm(of[2], of[3], odd_first));
        }
    }
}

// All threads of the producer, where there is one key group: the first one loads, in the order of `produce`,
// and all turn values.
__device__ __forceinline__ void produce_and_turn(const Loader& loader, const Tensors& tensors) {
    const int thread = threadIdx.x - kConsumerThreads;
    const Ring ring{loader.shared, 0};
    Cursor at;
    u32 tile_phase = 0, raw_phase = 0;
    for (Schedule next(tensors.heads, tensors.seq); next.more(); next.advance()) {
        const Work work = next.work();
        if (work.none()) continue;
        if (thread == 0) {
            if (kPersistent) ptx::mbarrier_wait(queries_empty(loader.shared), tile_phase ^ 1);
            loader.queries(work);
        }
        tile_phase ^= 1;
        const int rounds = work.rounds(0);
#pragma unroll 1
        for (int round = 0; round < rounds; ++round) {
            const int block = work.block(0, round);
            if (thread == 0) {
                ptx::mbarrier_wait(ring.keys_empty(at.slot), at.phase ^ 1);
                loader.keys(ring, at.slot, block, work.head);
                loader.raw_values(block, work.head);
            }
            __syncwarp();
            ptx::mbarrier_wait(raw_full(loader.shared), raw_phase);
            raw_phase ^= 1;
            ptx::mbarrier_wait(ring.values_empty(at.slot), at.phase ^ 1);
            turn_values(loader.shared + kRawAt, ring.values(at.slot), thread);
            // Products read what these threads have written.
            ptx::fence_async();
            __syncwarp();
            if (thread % 32 == 0) ptx::mbarrier_arrive(ring.values_full(at.slot));
            // The next values come to the place that all have read by then.
            ptx::named_barrier(barrier::kProducer, kWarpgroup);
            at.advance();
        }
    }
}

// The one live thread of the producer: loads for all tiles of the block and all key groups, in the
// order in which consumers ask: the keys of a round, then its values.
__device__ __forceinline__ void produce(const Loader& loader, const Tensors& tensors) {
    Cursor cursors[kKeyGroups];
    u32 tile_phase = 0;
    for (Schedule next(tensors.heads, tensors.seq); next.more(); next.advance()) {
        const Work work = next.work();
        if (work.none()) continue;
        if constexpr (kPersistent) {
            ptx::mbarrier_wait(queries_empty(loader.shared), tile_phase ^ 1);
            tile_phase ^= 1;
        }
        loader.queries(work);
        const int rounds = work.rounds(0);  // no group has more
#pragma unroll 1
        for (int round = 0; round < rounds; ++round) {
#pragma unroll
            for (int group = 0; group < kKeyGroups; ++group) {
                if (round >= work.rounds(group)) continue;
                const Ring ring{loader.shared, group};
                const Cursor at = cursors[group];
                ptx::mbarrier_wait(ring.keys_empty(at.slot), at.phase ^ 1);
                loader.keys(ring, at.slot, work.block(group, round), work.head);
            }
#pragma unroll
            for (int group = 0; group < kKeyGroups; ++group) {
                if (round >= work.rounds(group)) continue;
                const Ring ring{loader.shared, group};
                const Cursor at = cursors[group];
                ptx::mbarrier_wait(ring.values_empty(at.slot), at.phase ^ 1);
                loader.values(ring, at.slot, work.block(group, round), work.head);
                cursors[group].advance();
            }
        }
    }
}

// Asks the level-2 cache for this block's share of its head: its own rows of keys, queries, values.
// All blocks of a head together ask for everything, long before most of it is loaded.
__device__ __forceinline__ void prefetch_share(const Tensors& tensors, const Work& work) {
    if constexpr (kPrefetch != l2_prefetch::none) {
        const int rows = tensors.seq - work.row < kTileRows ? tensors.seq - work.row : kTileRows;
        const u32 bytes = rows * (kHeadDim * kElement);
        const long long at = (static_cast<long long>(work.head) * tensors.seq + work.row) * (kHeadDim * kElement);
        if (threadIdx.x == 32) ptx::prefetch_l2(static_cast<const char*>(tensors.k) + at, bytes);
        if (kPrefetch != l2_prefetch::k && threadIdx.x == 64) {
            ptx::prefetch_l2(static_cast<const char*>(tensors.q) + at, bytes);
        }
        if (kPrefetch == l2_prefetch::qkv && threadIdx.x == 96) {
            ptx::prefetch_l2(static_cast<const char*>(tensors.v) + at, bytes);
        }
    }
}

// A column of ones for every key of a block, in the layout of values: the second product then sums
// the weights too. All threads write. 8-bit values have their ones in every piece of every slot, where copies
// leave them alone.
__device__ __forceinline__ void write_ones(u32 shared) {
    if constexpr (kTensorSum && kFp8) {
        const u32 ones[4] = {0x38383838u, 0x38383838u, 0x38383838u, 0x38383838u};
        constexpr int kOnes = kValueBoxBytes - kValueBoxKeys * kHeadDim;
        constexpr int kChunks = kOnes / 16;  // of a piece
        constexpr int kPiecesOfAll = kKeyGroups * kStages * (kBlockKeys / kValueBoxKeys);
        for (int number = threadIdx.x; number < kPiecesOfAll * kChunks; number += kThreads) {
            const u32 piece = shared + kValuesAt + number / kChunks * kValueBoxBytes;
            ptx::store_shared(piece + kValueBoxKeys * kHeadDim + number % kChunks * 16, ones);
        }
        ptx::fence_async();
    } else if constexpr (kTensorSum) {
        const u32 pair = kBf16Operands ? 0x3f803f80u : 0x3c003c00u;
        const u32 ones[4] = {pair, pair, pair, pair};
        for (int key = threadIdx.x; key < kBlockKeys; key += kThreads) {
            ptx::store_shared(shared + kOnesAt + key * 128 + (key & 7) * 16, ones);
        }
        ptx::fence_async();
    }
}
