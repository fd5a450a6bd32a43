// A consuming warpgroup: scores, softmax and accumulation over the blocks of its key group.
#pragma once

#include "hopper_load.cuh"
#include "hopper_promote.cuh"

// Issues the scores of a block, one group of products for each part. `after_first` runs once the first
// part is under way.
template <class After>
__device__ __forceinline__ void issue_scores(Scores& scores, u32 queries, u32 keys, After after_first) {
    constexpr auto kSwizzle = kPieceBytes == 128 ? ptx::swizzle::bytes128 : ptx::swizzle::bytes64;
    constexpr int kPerPiece = kPieceBytes / 32;  // a step of a product takes 32 bytes of a row
    const u64 left = ptx::tile_descriptor(queries, 16, 8 * kPieceBytes, kSwizzle);
    const u64 right = ptx::tile_descriptor(keys, 16, 8 * kPieceBytes, kSwizzle);
#pragma unroll
    for (int part = 0; part < kScoreParts; ++part) {
        ptx::hold(scores[part]);
        ptx::begin_products();
#pragma unroll
        for (int step = 0; step < kPieces * kPerPiece; ++step) {
            const int piece = step / kPerPiece;
            const int inside = step % kPerPiece * 32;
            const int left_at = piece * (kTileRows * kPieceBytes) + inside;
            const int right_at = (piece * kBlockKeys + part * kPartKeys) * kPieceBytes + inside;
            ptx::multiply(scores[part], left + left_at / 16, right + right_at / 16, step > 0);
        }
        ptx::commit_products();
        if (part == 0) after_first();
    }
}

// Issues the products of `STEPS` steps of weights with their values. Belongs to the group that the
// caller commits.
template <int STEPS>
__device__ __forceinline__ void issue_values(Rows& rows, const Weights& weights, u32 shared, u32 values,
                                             int first) {
    ptx::begin_products();
    if constexpr (kFp8) {
        const u64 right = ptx::tile_descriptor(values, 16, 8 * kValueBoxKeys, ptx::swizzle::bytes64);
#pragma unroll
        for (int step = first; step < first + STEPS; ++step) {
            const int at = step / 2 * kValueBoxBytes + step % 2 * 32;
            ptx::multiply(rows.o, weights[step], right + at / 16);
        }
    } else {
        // Where a head is one piece of 64 columns, the second piece is that of the ones.
        const u32 to_next_piece = kTensorSum ? shared + kOnesAt - values : kBlockKeys * 128;
        const u64 right = ptx::tile_descriptor(values, to_next_piece, 1024, ptx::swizzle::bytes128);
#pragma unroll
        for (int step = first; step < first + STEPS; ++step) {
            ptx::multiply(rows.o, weights[step], right + step * (kStepKeys * 128 / 16));
        }
    }
}

struct Consumer {
    Place place;
    Ring ring;
    Loader loader;
    Cursor keys, values;  // the blocks whose scores, and whose values, are next
    u32 tile_phase = 0;
    // Of the tile at hand.
    int rounds = 0;
    bool repeated = false;

    __device__ Consumer(const Place& place, const Loader& loader)
        : place(place), ring{loader.shared, place.key_group}, loader(loader) {}

    // ---- turns: with PINGPONG, row groups issue their products one after the other -----------------

    static constexpr int kPair = 2 * kWarpgroup;

    __device__ int turn_of(int row_group) const {
        return barrier::kTurn + place.key_group * kRowGroups + row_group;
    }
    // The last row group gives the first turn to the first one.
    __device__ void start_turns() const {
        if (kPingPong && place.row_group == kRowGroups - 1) ptx::named_barrier_arrive(turn_of(0), kPair);
    }
    __device__ __forceinline__ void wait_turn() const {
        if constexpr (kPingPong) ptx::named_barrier(turn_of(place.row_group), kPair);
    }
    __device__ __forceinline__ void pass_turn() const {
        if constexpr (kPingPong) ptx::named_barrier_arrive(turn_of((place.row_group + 1) % kRowGroups), kPair);
    }
    // Takes the last turn, which nobody uses: no barrier is left half full.
    __device__ void end_turns() const {
        if (kPingPong && place.row_group == 0) ptx::named_barrier(turn_of(0), kPair);
    }

    // ---- slots ------------------------------------------------------------------------------------

    // This warp has read the keys of a round. Without a producer, a thread of the key group then waits
    // until all warps have, and loads the block that comes next into the slot. It waits for nothing
    // that needs a load which it has not started before.
    __device__ __forceinline__ void release_keys(const Work& work, int round) {
        const u32 empty = ring.keys_empty(keys.slot);
        if constexpr (kProducer) {
            if (place.lane == 0) ptx::mbarrier_arrive(empty);
        } else if (round + kStages < rounds) {
            if (place.lane == 0) ptx::mbarrier_arrive(empty);
            if (place.loads()) {
                ptx::mbarrier_wait(empty, keys.phase);
                loader.keys(ring, keys.slot, work.block(place.key_group, round + kStages), work.head);
            }
            __syncwarp();
        }
        keys.advance();
    }
    __device__ __forceinline__ void release_values(const Work& work, int round) {
        const u32 empty = ring.values_empty(values.slot);
        if constexpr (kProducer) {
            if (place.lane == 0) ptx::mbarrier_arrive(empty);
        } else if (round + kStages < rounds) {
            if (place.lane == 0) ptx::mbarrier_arrive(empty);
            if (place.loads()) {
                ptx::mbarrier_wait(empty, values.phase);
                loader.values(ring, values.slot, work.block(place.key_group, round + kStages), work.head);
            }
            __syncwarp();
        }
        values.advance();
    }
    __device__ __forceinline__ void release_queries() const {
        if (kPersistent && place.lane == 0) ptx::mbarrier_arrive(queries_empty(loader.shared));
    }

    __device__ __forceinline__ u32 queries() const {
        return loader.shared + kQueriesAt + place.group_row() * kPieceBytes;
    }

    // ---- one block --------------------------------------------------------------------------------

    // Whether some score of a block does not count for some row of the warpgroup. Blocks get fewer from
    // round to round, so that masked ones come first.
    __device__ bool masked(const Work& work, int seq, int round) const {
        const int end = (work.block(place.key_group, round) + 1) * kBlockKeys;
        return kCausal ? end - 1 > work.row + place.group_row() : end > seq;
    }

    // Issues the scores of a round, whose keys the caller has waited for.
    __device__ __forceinline__ void start_scores(Scores& scores, const Work& work, int round) {
        issue_scores(scores, queries(), ring.keys(keys.slot), [&] {
            // The keys have arrived by now, which the first scores wait for: values no longer delay them.
            if (kLateValues && round == 0 && !repeated) {
                if (place.loads()) loader.first_values(ring, work);
                __syncwarp();
            }
        });
    }

    // Waits for the scores part by part, while `younger` groups of products may go on, and takes their
    // maxima. Then the keys are no longer needed.
    template <bool MASKED, int YOUNGER>
    __device__ __forceinline__ Raise finish_scores(Rows& rows, Scores& scores, const Work& work, int seq, int round,
                                                   float scale, bool exact) {
        Chains most;
        start_chains(most, rows);
#pragma unroll
        for (int part = 0; part < kScoreParts; ++part) {
            ptx::wait_products(kScoreParts - 1 - part + YOUNGER);
            ptx::hold(scores[part]);
            if constexpr (MASKED) {
                // A row that may be stored sees keys of the tensor only, where the mask is causal.
                const int first =
                    work.block(place.key_group, round) * kBlockKeys + part * kPartKeys + place.t() * 2;
                const int end = kCausal ? work.row + place.own_row() + 1 : seq;
                const int seen[2] = {end - first, kCausal ? end + 8 - first : end - first};
                mask_part(scores[part], seen);
            }
            take_maximum(most, scores[part], MASKED || exact);
        }
        release_keys(work, round);
        return raise_maximum(rows, most, scale);
    }

    // ---- all blocks, one product after the other ---------------------------------------------------

    template <bool MASKED>
    __device__ __forceinline__ void whole_block(Rows& rows, const Work& work, int seq, int round, float scale,
                                                bool exact) {
        Scores scores;
        Weights weights;
        ptx::mbarrier_wait(ring.keys_full(keys.slot), keys.phase);
        wait_turn();
        start_scores(scores, work, round);
        if constexpr (kPingPong) {
            // The next row group begins when these scores are there: its products run beside the softmax.
            ptx::wait_products<0>();
            pass_turn();
        }
        const Raise raise = finish_scores<MASKED, 0>(rows, scores, work, seq, round, scale, exact);
        if (raise.any && round > 0) rows.rescale(raise.shrink);
#pragma unroll
        for (int part = 0; part < kWeightParts; ++part) {
            weigh<kPartSteps>(rows, scores, part * kPartSteps, raise, scale);
#pragma unroll
            for (int step = part * kPartSteps; step < (part + 1) * kPartSteps; ++step) {
                pack_step(weights[step], scores, step);
            }
            if (part == 0) {
                ptx::mbarrier_wait(ring.values_full(values.slot), values.phase);
                ptx::hold(rows.o);
            }
            issue_values<kPartSteps>(rows, weights, loader.shared, ring.values(values.slot), part * kPartSteps);
        }
        ptx::commit_products();
        ptx::wait_products<0>();
        ptx::hold(rows.o);
        release_values(work, round);
    }

    // Outputs leave the accumulators once enough rounds are in them, and more come.
    __device__ __forceinline__ void promote_after(int done, Rows& rows, Kept& kept, float scale) const {
        if constexpr (kPromotes) {
            if (done % kPromotedRounds == 0 && done < rounds) kept.promote(rows, scale);
        }
    }

    __device__ __forceinline__ void attend_in_turn(Rows& rows, Kept& kept, const Work& work, int seq, float scale,
                                                   bool exact) {
        int round = 0;
#pragma unroll 1
        for (; round < rounds && masked(work, seq, round); ++round) {
            whole_block<true>(rows, work, seq, round, scale, exact);
            promote_after(round + 1, rows, kept, scale);
        }
#pragma unroll 1
        for (; round < rounds; ++round) {
            whole_block<false>(rows, work, seq, round, scale, exact);
            promote_after(round + 1, rows, kept, scale);
        }
        release_queries();
    }

    // ---- all blocks, a block's second product beside the softmax of the next -----------------------

    __device__ __forceinline__ void pack_all(Weights& weights, const Scores& scores) const {
#pragma unroll
        for (int step = 0; step < kSteps; ++step) pack_step(weights[step], scores, step);
    }

    // Issues the second product of the round before, whose weights are ready.
    __device__ __forceinline__ void start_values(Rows& rows, const Weights& weights) {
        ptx::mbarrier_wait(ring.values_full(values.slot), values.phase);
        ptx::hold(rows.o);
        issue_values<kSteps>(rows, weights, loader.shared, ring.values(values.slot), 0);
        ptx::commit_products();
    }

    template <bool MASKED>
    __device__ __forceinline__ void first_weights(Rows& rows, Scores& scores, Weights& weights, const Work& work,
                                                  int seq, float scale, bool exact) {
        ptx::mbarrier_wait(ring.keys_full(keys.slot), keys.phase);
        start_scores(scores, work, 0);
        const Raise raise = finish_scores<MASKED, 0>(rows, scores, work, seq, 0, scale, exact);
        weigh<kSteps>(rows, scores, 0, raise, scale);
        pack_all(weights, scores);
    }

    template <bool MASKED>
    __device__ __forceinline__ void next_weights(Rows& rows, Kept& kept, Scores& scores, Weights& weights,
                                                 const Work& work, int seq, int round, float scale, bool exact) {
        ptx::mbarrier_wait(ring.keys_full(keys.slot), keys.phase);
        wait_turn();
        start_scores(scores, work, round);
        start_values(rows, weights);
        pass_turn();
        const Raise raise = finish_scores<MASKED, 1>(rows, scores, work, seq, round, scale, exact);
        weigh<kSteps>(rows, scores, 0, raise, scale);
        ptx::wait_products<0>();
        ptx::hold(rows.o);
        release_values(work, round - 1);
        // Products read weights from registers: only now may these change.
        pack_all(weights, scores);
        if (raise.any) rows.rescale(raise.shrink);
        promote_after(round, rows, kept, scale);
    }

    __device__ __forceinline__ void attend_overlapped(Rows& rows, Kept& kept, const Work& work, int seq,
                                                      float scale, bool exact) {
        if (rounds == 0) {
            release_queries();
            return;
        }
        Scores scores;
        Weights weights;
        if (masked(work, seq, 0)) {
            first_weights<true>(rows, scores, weights, work, seq, scale, exact);
        } else {
            first_weights<false>(rows, scores, weights, work, seq, scale, exact);
        }
        int round = 1;
#pragma unroll 1
        for (; round < rounds && masked(work, seq, round); ++round) {
            next_weights<true>(rows, kept, scores, weights, work, seq, round, scale, exact);
        }
#pragma unroll 1
        for (; round < rounds; ++round) {
            next_weights<false>(rows, kept, scores, weights, work, seq, round, scale, exact);
        }
        release_queries();
        start_values(rows, weights);
        ptx::wait_products<0>();
        ptx::hold(rows.o);
        release_values(work, rounds - 1);
    }

    // ---- a tile -----------------------------------------------------------------------------------

    __device__ __forceinline__ void attend_once(Rows& rows, const Work& work, int seq, float scale, bool exact) {
        rows.reset();
        Kept kept(loader.shared, place);
        const bool keeps = kPromotes && rounds > kPromotedRounds;
        if constexpr (kPromotes) {
            if (keeps) kept.start();
        }
        if constexpr (kOverlap) {
            attend_overlapped(rows, kept, work, seq, scale, exact);
        } else {
            attend_in_turn(rows, kept, work, seq, scale, exact);
        }
        if constexpr (kPromotes) {
            if (keeps) kept.take(rows, scale);
        }
    }

    // Whether the sums show that a weight may not have fitted into an operand. The answer is the same
    // for all threads of the warpgroup.
    __device__ __forceinline__ bool distrusted(const Rows& rows) const {
        float whole[2];
        whole_sums(rows, whole);
        const bool large = !(whole[0] < kTrustedSum) || !(whole[1] < kTrustedSum);
        return ptx::named_barrier_any(barrier::kOwnGroup + place.consumer, kWarpgroup, rows.untrusted || large);
    }

    __device__ __forceinline__ void attend(Rows& rows, const Work& work, int seq, float scale) {
        rounds = work.rounds(place.key_group);
        ptx::mbarrier_wait(queries_full(loader.shared), tile_phase);
        tile_phase ^= 1;
        if constexpr (kSubset) {
            // A tile can be repeated where all its keys are still there: else it is exact from the start.
            bool exact = rounds > kStages;
#pragma unroll 1
            for (;;) {
                attend_once(rows, work, seq, scale, exact);
                if (exact || !distrusted(rows)) break;
                exact = repeated = true;
                keys = values = Cursor{};
            }
        } else {
            attend_once(rows, work, seq, scale, true);
        }
    }
};
