// Tiles of a matrix in shared memory: where a chunk of 16 bytes lies, how it gets there, and how
// fragments for the tensor cores are read from it.
#pragma once

#include "problem.cuh"

// The place of chunks within a slab.
//   row  row-major; chunks of a row are permuted by XOR so that 8 rows of a column of chunks lie in
//        different banks
//   col  column-major in blocks of 8 rows: the 8 chunks below each other that `ldmatrix` takes as one
//        matrix are 128 bytes in a row. No XOR in any address; neighbouring copies are of 8 rows
//   pad  row-major, every row 16 bytes longer. No XOR either
namespace layout { enum Kind { row, col, pad }; }

// A view of one lane into a tile: added to it, the address of any fragment is a constant.
struct Lane {
    u32 row;     // bytes
    u32 column;  // bytes; for `row` this is what the chunk's number is combined with
};

// `ROWS` x `COLUMNS` elements of `BYTES` bytes, cut into slabs of `SLAB` columns that lie behind
// each other.
template <int ROWS, int COLUMNS, int BYTES, int SLAB, layout::Kind LAYOUT> struct Tile {
    static constexpr int kRows = ROWS;
    static constexpr int kSlabChunks = SLAB * BYTES / 16;
    static constexpr int kPitch = SLAB * BYTES + (LAYOUT == layout::pad ? 16 : 0);
    // What neighbouring chunks of a row are apart.
    static constexpr int kColumn = LAYOUT == layout::col ? 128 : 16;
    static constexpr int kSlabBytes = ROWS * kPitch;
    static constexpr int kBytes = kSlabBytes * (COLUMNS / SLAB);
    // Fragments are read in steps of two chunks: 16 columns of 16-bit or 32 of 8-bit elements.
    static constexpr int kSteps = COLUMNS * BYTES / 32;

    static_assert(COLUMNS % SLAB == 0 && ROWS % 8 == 0, "ragged tile");
    static_assert(kSlabChunks >= 2 && kSlabChunks <= 8, "rows of a slab must have 32 to 128 bytes");

    // What the number of a chunk is combined with in this row, so that banks differ.
    __device__ static constexpr u32 permutation(u32 row) {
        return LAYOUT == layout::row ? (row / (8 / kSlabChunks)) & (kSlabChunks - 1) : 0;
    }

    // Offset of a row, and of a chunk of it.
    __device__ static constexpr u32 row_offset(u32 row) {
        return LAYOUT == layout::col ? row / 8 * (8 * kPitch) + row % 8 * 16 : row * kPitch;
    }
    __device__ static constexpr u32 offset(u32 row, u32 chunk) {
        return row_offset(row) + (chunk ^ permutation(row)) * kColumn;
    }

    // The view of a lane that reads `row` (below 16) and chunk 0 or 1 of every step.
    __device__ static Lane lane(u32 row, u32 chunk) {
        return {row_offset(row), (chunk ^ permutation(row)) * kColumn};
    }

    // The address that a lane gives for the fragment at `row` (a multiple of 8) and `step`.
    __device__ static u32 fragment(u32 tile, Lane lane, int row, int step) {
        const int slab = step / (kSlabChunks / 2);
        const int chunk = step % (kSlabChunks / 2) * 2;
        const u32 start = tile + slab * kSlabBytes + row * kPitch + lane.row;
        if constexpr (LAYOUT == layout::row) {
            return start + (lane.column ^ (chunk * kColumn));
        } else {
            return start + (lane.column + chunk * kColumn);
        }
    }

    // Thread `thread` of `THREADS` starts its part of the copy of rows `first..first + ROWS` of a
    // matrix of `rows` rows; rows beyond its end become zeros.
    template <int THREADS>
    __device__ static void load(u32 tile, const void* matrix, int first, int rows, int thread) {
        const char* from = static_cast<const char*>(matrix)
                           + static_cast<long long>(first) * (COLUMNS * BYTES);
        if (first + ROWS <= rows) {
            copy<THREADS, false>(tile, from, ROWS, thread);
        } else {
            copy<THREADS, true>(tile, from, rows - first, thread);
        }
    }

  private:
    // Row and chunk of a slab of the `number`-th copy. Neighbouring threads write 128 bytes in a row.
    __device__ static constexpr int row_of(int number) {
        return LAYOUT == layout::col ? number / (8 * kSlabChunks) * 8 + number % 8 : number / kSlabChunks;
    }
    __device__ static constexpr int chunk_of(int number) {
        return LAYOUT == layout::col ? number / 8 % kSlabChunks : number % kSlabChunks;
    }

    // Copies number `thread`, `thread + THREADS` and so on. All sizes are powers of two: row and chunk
    // of a copy are those of the thread plus those of the round, which is a constant.
    template <int THREADS, bool RAGGED>
    __device__ static void copy(u32 tile, const char* from, int rows, int thread) {
        constexpr int kChunks = ROWS * kSlabChunks;
        constexpr int kRounds = ceil_div(kChunks, THREADS);
        static_assert((THREADS & (THREADS - 1)) == 0, "the number of loading threads must be a power of two");
        if (kChunks < THREADS && thread >= kChunks) return;
        const int row = row_of(thread);
        const int chunk = chunk_of(thread);
        const u32 to = tile + row_offset(row);
        const u32 column = (chunk ^ permutation(row)) * kColumn;
        const char* const source = from + row * (COLUMNS * BYTES) + chunk * 16;
        // Only the last tile of a head is ragged: its loop may be slow but should be small.
#pragma unroll(RAGGED ? 1 : COLUMNS / SLAB)
        for (int slab = 0; slab < COLUMNS / SLAB; ++slab) {
#pragma unroll(RAGGED ? 1 : kRounds)
            for (int round = 0; round < kRounds; ++round) {
                const int round_row = row_of(round * THREADS);
                const int round_chunk = chunk_of(round * THREADS);
                // Either the permutation or the chunk of a round is 0.
                const u32 target = to + slab * kSlabBytes + row_offset(round_row)
                                   + (column ^ (permutation(round_row) * kColumn)) + round_chunk * kColumn;
                const char* chunk_source = source + round_row * (COLUMNS * BYTES) + slab * (SLAB * BYTES)
                                           + round_chunk * 16;
                if constexpr (RAGGED) {
                    const bool valid = row + round_row < rows;
                    ptx::copy_async(target, valid ? chunk_source : from, valid);
                } else {
                    ptx::copy_async(target, chunk_source);
                }
            }
        }
    }
};

// Lanes of `ldmatrix` for the left operand (and for the transposed right one): matrices in the
// order top left, bottom left, top right, bottom right.
template <class T> __device__ __forceinline__ Lane left_lane(int lane) {
    return T::lane((lane & 7) + ((lane >> 3) & 1) * 8, lane >> 4);
}

// Lanes for the right operand: top left, top right, bottom left, bottom right.
template <class T> __device__ __forceinline__ Lane right_lane(int lane) {
    return T::lane((lane & 7) + (lane >> 4) * 8, (lane >> 3) & 1);
}

// Matrix steps (16 columns of depth) in a step of a tile.
constexpr int kDepths = kFp8 ? 2 : 1;

// The left operand of the matrix steps of one step of a tile: 16 rows.
//
// 8-bit elements come four at a time along the depth; which of them is the first is free as long
// as both operands agree. A lane's elements 4t..4t+3 are columns 2t, 2t+1, 2t+8, 2t+9 of a step.
struct LeftStep {
    u32 depth[kDepths][4];
};

__device__ __forceinline__ LeftStep left_step(u32 address) {
    LeftStep step;
    if constexpr (kFp8) {
        u32 raw[4];
        ptx::load_matrices(raw, address);
        ptx::e4m3_to_f16(raw[0], step.depth[0][0], step.depth[0][2]);
        ptx::e4m3_to_f16(raw[1], step.depth[0][1], step.depth[0][3]);
        ptx::e4m3_to_f16(raw[2], step.depth[kDepths - 1][0], step.depth[kDepths - 1][2]);
        ptx::e4m3_to_f16(raw[3], step.depth[kDepths - 1][1], step.depth[kDepths - 1][3]);
    } else {
        ptx::load_matrices(step.depth[0], address);
    }
    return step;
}

// The right operand of the same steps, for 16 rows of K: two tiles of 8 columns of scores.
struct RightStep {
    u32 depth[kDepths][2][2];
};

__device__ __forceinline__ RightStep right_step(u32 address) {
    RightStep step;
    u32 raw[4];
    ptx::load_matrices(raw, address);
    if constexpr (kFp8) {
        ptx::e4m3_to_f16(raw[0], step.depth[0][0][0], step.depth[0][0][1]);
        ptx::e4m3_to_f16(raw[1], step.depth[kDepths - 1][0][0], step.depth[kDepths - 1][0][1]);
        ptx::e4m3_to_f16(raw[2], step.depth[0][1][0], step.depth[0][1][1]);
        ptx::e4m3_to_f16(raw[3], step.depth[kDepths - 1][1][0], step.depth[kDepths - 1][1][1]);
    } else {
        step.depth[0][0][0] = raw[0];
        step.depth[0][0][1] = raw[1];
        step.depth[0][1][0] = raw[2];
        step.depth[0][1][1] = raw[3];
    }
    return step;
}

// The right operand of the second product: 16 keys, and the columns of one step of V, which are
// `2 * kDepths` tiles of 8 columns of O.
//
// 8-bit elements are transposed in pairs: of 16 columns the even ones become one tile of O, the
// odd ones the next. `column_of` knows.
struct ValueStep {
    u32 tile[2 * kDepths][2];
};

__device__ __forceinline__ ValueStep value_step(u32 address) {
    ValueStep step;
    u32 raw[4];
    ptx::load_matrices_transposed(raw, address);
    if constexpr (kFp8) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            // Keys 2t and 2t+1 of an even column, then of the odd one beside it.
            const u32 pairs = __byte_perm(raw[i], 0, 0x3120);
            ptx::e4m3_to_f16(pairs, step.tile[i / 2 * 2 % (2 * kDepths)][i % 2],
                             step.tile[(i / 2 * 2 + 1) % (2 * kDepths)][i % 2]);
        }
    } else {
        step.tile[0][0] = raw[0];
        step.tile[0][1] = raw[1];
        step.tile[1][0] = raw[2];
        step.tile[1][1] = raw[3];
    }
    return step;
}

// The two neighbouring columns of O that a lane holds as pair `pair` of row half `half`
// (0: row g, 1: row g + 8), out of its accumulators.
template <int TILES>
__device__ __forceinline__ void column_pair(const float (&o)[TILES][4], int pair, int half, float& first,
                                            float& second) {
    if constexpr (kFp8) {
        const int even = pair & ~1;
        first = o[even][half * 2 + (pair & 1)];
        second = o[even + 1][half * 2 + (pair & 1)];
    } else {
        first = o[pair][half * 2];
        second = o[pair][half * 2 + 1];
    }
}

// The first of these columns, for lane `t` of four.
__device__ __forceinline__ int column_of(int pair, int t) {
    return kFp8 ? pair / 2 * 16 + t * 4 + pair % 2 * 2 : pair * 8 + t * 2;
}
