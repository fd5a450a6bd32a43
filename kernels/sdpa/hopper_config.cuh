// The parameters of `sdpa_hopper` as constants, what they may be, and where things lie in shared
// memory. HOPPER.md has the table.
#pragma once

#include "problem.cuh"

#if !defined(ROW_GROUPS) || !defined(KEY_GROUPS) || !defined(BLOCK_N) || !defined(SCORE_PARTS)             \
    || !defined(WEIGHT_PARTS) || !defined(STAGES) || !defined(PRODUCER) || !defined(OVERLAP)              \
    || !defined(PINGPONG) || !defined(V_ISSUE) || !defined(RESCALE) || !defined(ROW_SUM)                  \
    || !defined(MAXIMUM) || !defined(STORE) || !defined(PERSISTENT) || !defined(HEAD_GROUP)               \
    || !defined(L2_HINT) || !defined(L2_PREFETCH) || !defined(PDL) || !defined(CTAS_PER_SM)               \
    || !defined(USE_FAST_EXP) || !defined(V_TRANSPOSE) || !defined(PROMOTION)
#error "a parameter of the space is not defined: see HOPPER.md"
#endif
#if PRODUCER && (!defined(PRODUCER_REGS) || !defined(CONSUMER_REGS))
#error "PRODUCER needs PRODUCER_REGS and CONSUMER_REGS"
#elif !PRODUCER
#undef PRODUCER_REGS
#undef CONSUMER_REGS
#define PRODUCER_REGS 24
#define CONSUMER_REGS 24
#endif

namespace v_issue { enum Kind { early, late }; }
namespace rescale { enum Kind { always, lazy }; }
namespace row_sum { enum Kind { registers, tensor }; }
namespace maximum { enum Kind { exact, subset }; }
namespace store { enum Kind { direct, staged, tma }; }
namespace l2_prefetch { enum Kind { none, k, qk, qkv }; }
namespace v_transpose { enum Kind { kernel, producer }; }

constexpr int kRowGroups = ROW_GROUPS;
constexpr int kKeyGroups = KEY_GROUPS;
constexpr int kBlockKeys = BLOCK_N;
constexpr int kScoreParts = SCORE_PARTS;
constexpr int kWeightParts = WEIGHT_PARTS;
constexpr int kStages = STAGES;
constexpr bool kProducer = PRODUCER;
constexpr bool kOverlap = OVERLAP;
constexpr bool kPingPong = PINGPONG;
constexpr bool kLateValues = v_issue::V_ISSUE == v_issue::late;
constexpr bool kLazy = rescale::RESCALE == rescale::lazy;
constexpr bool kTensorSum = row_sum::ROW_SUM == row_sum::tensor;
constexpr bool kSubset = maximum::MAXIMUM == maximum::subset;
constexpr auto kStore = store::STORE;
constexpr bool kPersistent = PERSISTENT;
constexpr bool kHints = L2_HINT;
constexpr auto kPrefetch = l2_prefetch::L2_PREFETCH;
constexpr bool kDependent = PDL;
// 8-bit values come with their columns as columns, and the producer turns them.
constexpr bool kTurnsValues = kFp8 && v_transpose::V_TRANSPOSE == v_transpose::producer;

constexpr int kWarpgroup = 128;
constexpr int kConsumers = kRowGroups * kKeyGroups;
constexpr int kConsumerThreads = kConsumers * kWarpgroup;
constexpr int kThreads = kConsumerThreads + (kProducer ? kWarpgroup : 0);
constexpr int kGroupRows = 64;  // of a warpgroup: what a wgmma has
constexpr int kTileRows = kGroupRows * kRowGroups;

// Keys of one part of the scores, and of one step of the second product.
constexpr int kPartKeys = kBlockKeys / kScoreParts;
constexpr int kStepKeys = kFp8 ? 32 : 16;
constexpr int kSteps = kBlockKeys / kStepKeys;
constexpr int kPartSteps = kSteps / kWeightParts;
// Accumulators of the output that a thread holds, with the column of sums where there is one.
constexpr int kColumnOutputs = kHeadDim / 2;
constexpr int kOutputs = kColumnOutputs + (kTensorSum ? 4 : 0);

// Rounds of a key group after which its outputs leave the accumulators: those of PROMOTION keys, or of one
// block if it has more.
constexpr bool kPromotes = kFp8 && PROMOTION > 0;
constexpr int kPromotedRounds = !kPromotes ? 1 : PROMOTION > kBlockKeys ? PROMOTION / kBlockKeys : 1;

// With RESCALE lazy, the exponent by which weights may exceed those of their maximum before the rows are
// rescaled.
constexpr float kLazyExponent = kFp8 ? 4.0f : 8.0f;
// 8-bit weights use the range of their type: up to 2^8, what a lagging maximum adds included. Sums then
// carry the same factor.
constexpr float kWeightExponent = !kFp8 ? 0.0f : kLazy ? 4.0f : 8.0f;
// With MAXIMUM subset, sums from here on are not trusted: a weight may have been too large for a half.
constexpr float kTrustedSum = 60000.0f;
// Stands for a maximum over nothing. Finite, so that no difference of two maxima is undefined, and
// below all scores of finite 16-bit inputs of ordinary size.
constexpr float kLowest = -1e30f;

// ---- what the parameters may be -------------------------------------------------------------------

static_assert(kRowGroups >= 1 && kRowGroups <= 3, "ROW_GROUPS must be 1, 2 or 3");
static_assert(kKeyGroups == 1 || kKeyGroups == 2 || kKeyGroups == 4, "KEY_GROUPS must be 1, 2 or 4");
static_assert(kConsumers <= 4, "ROW_GROUPS * KEY_GROUPS above 4: registers would not do for so many warpgroups");
static_assert(kBlockKeys == 64 || kBlockKeys == 80 || kBlockKeys == 96 || kBlockKeys == 112 || kBlockKeys == 128
                  || kBlockKeys == 160 || kBlockKeys == 176 || kBlockKeys == 192 || kBlockKeys == 256,
              "BLOCK_N must be 64, 80, 96, 112, 128, 160, 176, 192 or 256");
static_assert(kScoreParts == 1 || kScoreParts == 2 || kScoreParts == 4, "SCORE_PARTS must be 1, 2 or 4");
static_assert(kWeightParts == 1 || kWeightParts == 2 || kWeightParts == 4, "WEIGHT_PARTS must be 1, 2 or 4");
static_assert(kPartKeys % kStepKeys == 0 && kPartKeys * kScoreParts == kBlockKeys,
              "BLOCK_N / SCORE_PARTS must be a multiple of a step of the second product");
static_assert(kPartSteps * kWeightParts * kStepKeys == kBlockKeys,
              "BLOCK_N / WEIGHT_PARTS must be a multiple of a step of the second product");
static_assert(!kFp8 || kBlockKeys % 64 == 0, "f8_e4m3: values come in boxes of 64 keys");
static_assert(kStages >= 1 && kStages <= 4, "STAGES must be 1 to 4");
static_assert(!kOverlap || kWeightParts == 1,
              "OVERLAP: when the second product is issued all its weights are ready, so WEIGHT_PARTS must be 1");
static_assert(!kPingPong || kRowGroups >= 2, "PINGPONG orders row groups: it needs two of them");
static_assert(!kPersistent || kProducer,
              "PERSISTENT needs PRODUCER: nobody else would load the next tile while one is stored");
static_assert(!kLateValues || !kProducer, "V_ISSUE late needs PRODUCER 0: a producer keeps the order of the ring");
static_assert(!kTensorSum || kHeadDim == 64 || kFp8,
              "ROW_SUM tensor needs HEAD_DIM 64 or f8_e4m3: the column of ones takes the place of the second half of a "
              "head, or that of 8-bit values after the last column");
static_assert(!kSubset || !kProducer,
              "MAXIMUM subset needs PRODUCER 0: a tile that is done again finds its keys in place");
static_assert(!kSubset || !kPingPong,
              "MAXIMUM subset needs PINGPONG 0: a row group that repeats a tile takes more turns");
static_assert(!kSubset || USE_FAST_EXP == 1,
              "MAXIMUM subset needs USE_FAST_EXP 1: the polynomial does not tell that a weight is too large");
static_assert(!kFp8 || !kSubset,
              "f8_e4m3 needs MAXIMUM exact: weights already reach up to the end of the type");
static_assert(kKeyGroups == 1 || kStore != store::direct,
              "KEY_GROUPS above 1 needs STORE staged or tma: the groups' outputs meet in shared memory");
static_assert(!kPersistent || kPrefetch == l2_prefetch::none,
              "PERSISTENT needs L2_PREFETCH none: only a block's first tile would be asked for");
static_assert(!kFp8 || kPrefetch != l2_prefetch::qkv,
              "f8_e4m3 needs L2_PREFETCH without v: values are read from the transposed copy");
static_assert(v_transpose::V_TRANSPOSE == v_transpose::kernel || (kFp8 && kProducer && kKeyGroups == 1),
              "V_TRANSPOSE producer needs f8_e4m3, PRODUCER and KEY_GROUPS 1: only 8-bit values are turned, by the "
              "producer, for one ring");
static_assert(!kTurnsValues || PRODUCER_REGS >= 40, "V_TRANSPOSE producer needs PRODUCER_REGS 40 or more");
static_assert(PROMOTION >= 0, "PROMOTION is a number of keys");
static_assert(PROMOTION == 0 || kFp8, "PROMOTION needs f8_e4m3: products of 16 bits are summed as floats");
static_assert(CTAS_PER_SM >= 1 && CTAS_PER_SM <= 3, "CTAS_PER_SM must be 1, 2 or 3");
static_assert(CTAS_PER_SM == 1 || kThreads * CTAS_PER_SM > 256,
              "CTAS_PER_SM: the limit of registers would be above the 255 that a thread can have");
static_assert(HEAD_GROUP >= 1, "HEAD_GROUP must be positive");
static_assert(USE_FAST_EXP == 1 || USE_FAST_EXP == 2, "USE_FAST_EXP must be 1 or 2");

// Registers of a thread at the start of a block, from the launch bounds.
constexpr int kFairRegisters = 65536 / (CTAS_PER_SM * kThreads) / 8 * 8;
constexpr int kEntryRegisters = kFairRegisters > 256 ? 256 : kFairRegisters;
// The compiler does not split an instruction: its accumulators and some 30 other registers must fit
// into what a block starts with, also where consumers get more later (message C7602).
static_assert(kPartKeys / 2 + 26 <= kEntryRegisters && kOutputs + 30 <= kEntryRegisters,
              "BLOCK_N / SCORE_PARTS or HEAD_DIM has more accumulators than a thread's registers at the start allow");
static_assert(!kProducer
                  || (PRODUCER_REGS % 8 == 0 && PRODUCER_REGS >= 24 && PRODUCER_REGS <= kEntryRegisters),
              "PRODUCER_REGS must be a multiple of 8, from 24 to the registers at the start");
static_assert(!kProducer
                  || (CONSUMER_REGS % 8 == 0 && CONSUMER_REGS <= 256 && CONSUMER_REGS >= kEntryRegisters),
              "CONSUMER_REGS must be a multiple of 8, from the registers at the start to 256");
static_assert(!kProducer || PRODUCER_REGS + kConsumers * CONSUMER_REGS <= (kConsumers + 1) * kEntryRegisters,
              "PRODUCER_REGS and CONSUMER_REGS: consumers would wait for registers that nobody gives");

// ---- shared memory, in bytes from its start ---------------------------------------------------------
//
// Queries; slots of keys; slots of values; ones; staging; statistics; values to turn; barriers. Everything that bulk
// copies or products touch is a multiple of 1,024 bytes, the unit of the permutation of chunks; pieces of 8-bit
// values, whose rows have 64 bytes, of 512.

// A row of queries or keys lies in pieces of at most 128 bytes, each piece a tile of its own.
constexpr int kPieceBytes = kHeadDim * kElement < 128 ? kHeadDim * kElement : 128;
constexpr int kPieces = kHeadDim * kElement / kPieceBytes;
constexpr int kPieceColumns = kPieceBytes / kElement;
// 8-bit values lie transposed, in pieces: rows of 64 keys, one for each column of the head and then, with ROW_SUM
// tensor, 8 of ones.
constexpr int kValueBoxKeys = 64;
constexpr int kValueBoxBytes = kValueBoxKeys * (kHeadDim + (kTensorSum ? 8 : 0));

constexpr int kQueryBytes = kTileRows * kHeadDim * kElement;
constexpr int kSlotBytes = kBlockKeys * kHeadDim * kElement;  // what comes into a slot
constexpr int kValueSlotBytes = kFp8 ? kBlockKeys / kValueBoxKeys * kValueBoxBytes : kSlotBytes;
constexpr int kOutputBytes = kTileRows * kHeadDim * 2;

// Outputs on their way to memory take the place of the queries, unless these may already be the next
// tile's, several key groups bring one each, or (8-bit) a row group's outputs, twice as large, would
// reach into the queries of the next.
constexpr bool kStagingApart =
    kKeyGroups > 1 || (kStore != store::direct && (kPersistent || (kFp8 && kRowGroups > 1)));
constexpr int kQueryRegion = kStagingApart || kOutputBytes < kQueryBytes ? kQueryBytes : kOutputBytes;

constexpr int kQueriesAt = 0;
constexpr int kKeysAt = kQueriesAt + kQueryRegion;
constexpr int kValuesAt = kKeysAt + kKeyGroups * kStages * kSlotBytes;
constexpr int kOnesAt = ceil_div(kValuesAt + kKeyGroups * kStages * kValueSlotBytes, 1024) * 1024;
constexpr int kApartAt = kOnesAt + (kTensorSum && !kFp8 ? kBlockKeys * 128 : 0);
constexpr int kStagingAt = kStagingApart ? kApartAt : kQueriesAt;
constexpr int kStatisticsAt = kApartAt + (kStagingApart ? kKeyGroups * kOutputBytes : 0);
// Values of one block as they come, where the producer turns them: one block after the other.
constexpr int kRawAt = kStatisticsAt + (kKeyGroups > 1 ? kKeyGroups * kTileRows * 8 : 0);
constexpr int kBarriersAt = kRawAt + (kTurnsValues ? kSlotBytes : 0);
constexpr int kSharedBytes = kBarriersAt + 16 + kKeyGroups * kStages * 32 + (kTurnsValues ? 16 : 0);

static_assert(kSharedBytes <= 232448, "a block cannot have so much shared memory");
static_assert((kSharedBytes + 1024) * CTAS_PER_SM <= 233472,
              "CTAS_PER_SM blocks do not fit into the shared memory of an SM");

// Named barriers; 0 is that of the whole block.
namespace barrier {
constexpr int kOwnGroup = 1;   // + consumer: one warpgroup
constexpr int kTurn = 5;       // + consumer: whose turn it is, with PINGPONG
constexpr int kConsumers = 9;  // all consumers
constexpr int kProducer = 10;  // the producer, where all of it works
}  // namespace barrier
