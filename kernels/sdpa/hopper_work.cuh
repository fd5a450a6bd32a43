// Which rows of which head a block works on, and in which order; where a thread stands in its block.
#pragma once

#include "hopper_config.cuh"

// A tile of query rows of one head, and the blocks of keys that it sees.
struct Work {
    int head;
    int row;     // the first query row
    int blocks;  // of keys

    // Heads come in groups of HEAD_GROUP; a group's tiles are numbered through, tiles of all its heads
    // beside each other. With a causal mask the longest tiles come first, so that the last blocks to
    // start are the short ones. Numbers beyond the last head of the last group are no work.
    __device__ Work(int group, int in_group, int heads, int seq) {
        const int row_tiles = ceil_div(seq, kTileRows);
        const int left = heads - group * HEAD_GROUP;
        int row_tile = in_group / HEAD_GROUP;
        int in_heads = in_group % HEAD_GROUP;
        if (HEAD_GROUP > 1 && left < HEAD_GROUP) {  // apart: division by a constant is cheap
            row_tile = in_group / left;
            in_heads = in_group % left;
        }
        head = group * HEAD_GROUP + in_heads;
        row = (kCausal ? row_tiles - 1 - row_tile : row_tile) * kTileRows;
        const int keys = kCausal && row + kTileRows < seq ? row + kTileRows : seq;
        blocks = row_tile < row_tiles ? ceil_div(keys, kBlockKeys) : 0;
    }

    __device__ bool none() const { return blocks == 0; }

    // Blocks of a key group: every `kKeyGroups`-th from its own number on. May be none.
    __device__ int rounds(int key_group) const {
        return blocks > key_group ? ceil_div(blocks - key_group, kKeyGroups) : 0;
    }

    // The block of a round. The last blocks come first: these have masked scores.
    __device__ int block(int key_group, int round) const {
        return key_group + (rounds(key_group) - 1 - round) * kKeyGroups;
    }
};

// A block's tiles, one after the other. Grid: HEAD_GROUP * row tiles, groups of heads; persistent
// blocks are in one row and go on in steps of the grid.
struct Schedule {
    int heads, seq;
    int group, in_group, number;

    __device__ Schedule(int heads, int seq)
        : heads(heads), seq(seq), group(blockIdx.y), in_group(blockIdx.x), number(blockIdx.x) {
        if (kPersistent) place();
    }

    __device__ bool more() const { return group < ceil_div(heads, HEAD_GROUP); }

    __device__ Work work() const { return Work(group, in_group, heads, seq); }

    __device__ void advance() {
        if constexpr (kPersistent) {
            number += gridDim.x;
            place();
        } else {
            group = heads;  // no more
        }
    }

  private:
    __device__ void place() {
        const int of_group = HEAD_GROUP * ceil_div(seq, kTileRows);
        group = number / of_group;
        in_group = number - group * of_group;
    }
};

// Where a consuming thread stands. Row groups of the same key group are neighbours.
struct Place {
    int consumer, row_group, key_group;  // of its warpgroup
    int thread, warp, lane;              // within it

    __device__ explicit Place(int warpgroup)
        : consumer(kConsumers == 1 ? 0 : warpgroup),  // a constant, where it can be: names of barriers too
          row_group(consumer % kRowGroups),
          key_group(consumer / kRowGroups),
          thread(threadIdx.x % kWarpgroup),
          warp(threadIdx.x % kWarpgroup / 32),
          lane(threadIdx.x % 32) {}

    // Accumulator `4 b + 2 h + c` of a lane is row `16 warp + g + 8 h`, column `8 b + 2 t + c`.
    __device__ int g() const { return lane / 4; }
    __device__ int t() const { return lane % 4; }

    // Whether this thread loads for its key group, where there is no producer.
    __device__ bool loads() const { return row_group == 0 && thread == 0; }

    // The first row of its warpgroup, and its own first one, in a tile.
    __device__ int group_row() const { return row_group * kGroupRows; }
    __device__ int own_row() const { return group_row() + warp * 16 + g(); }
};
