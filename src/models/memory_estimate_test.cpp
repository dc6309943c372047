#include <doctest/doctest.h>

#include "models/memory_estimate.h"

using namespace plexus::models;

namespace {

/// SmolLM2-135M-Instruct.Q4_1.gguf
GgufSummary const smol = {.architecture = "llama",
                          .weight_bytes = 96'576'768,
                          .context_length = 8192,
                          .embedding_length = 576,
                          .block_count = 30,
                          .head_count = 9,
                          .key_value_heads = 3,
                          .feed_forward_length = 1536,
                          .vocabulary_size = 49'152};

/// gemma-3-270m-q4_k_m.gguf
GgufSummary const gemma = {.architecture = "gemma3",
                           .weight_bytes = 246'587'904,
                           .context_length = 32'768,
                           .embedding_length = 640,
                           .block_count = 18,
                           .head_count = 4,
                           .key_value_heads = 1,
                           .key_length = 256,
                           .value_length = 256,
                           .feed_forward_length = 2048,
                           .sliding_window = 512,
                           .vocabulary_size = 262'144};

/// What the pinned llama.cpp set aside, and what the process had in memory after a short answer.
struct Measured {
    GgufSummary const& model;
    std::uint32_t context;
    std::uint32_t slots;
    std::uint64_t cache;
    std::uint64_t compute;
    std::uint64_t total;
};

// The pages behind the 13,271,040 bytes that are repacked are not counted for gemma.
auto const measured = std::array{
    Measured{smol, 1024, 2, 47'185'920, 7'608'352, 180'200'000},
    Measured{smol, 4096, 4, 377'487'360, 9'181'216, 511'900'000},
    Measured{gemma, 1024, 2, 29'884'416, 10'233'888, 347'600'000},
    Measured{gemma, 4096, 4, 97'517'568, 11'806'752, 418'300'000},
};

double apart(std::uint64_t estimate, std::uint64_t used)
{
    return std::abs(static_cast<double>(estimate) / static_cast<double>(used) - 1);
}

}  // namespace

TEST_CASE("memory estimate: the cache is what llama.cpp sets aside, the whole within 10 percent of what was used")
{
    for (auto const& run : measured) {
        CAPTURE(run.model.architecture);
        CAPTURE(run.slots);
        auto const estimate = estimate_memory(run.model, run.context, run.slots);
        CHECK(estimate.cache == run.cache);
        CHECK(apart(estimate.compute, run.compute) < 0.05);
        CHECK(apart(estimate.total(), run.total) < 0.1);
    }
}

TEST_CASE("memory estimate: more context or slots never need less")
{
    for (auto const* model : {&smol, &gemma}) {
        auto last = std::uint64_t{0};
        for (std::uint32_t context = 256; context <= 65'536; context *= 2) {
            auto const need = estimate_memory(*model, context, 2).total();
            CHECK(need > last);
            CHECK(estimate_memory(*model, context, 3).total() > need);
            last = need;
        }
    }
}

TEST_CASE("memory estimate: a recurrent model needs no more for a longer context, a mixed one for its few layers")
{
    auto mamba = smol;
    mamba.key_value_heads = mamba.head_count = 0;
    mamba.state_values = 100'000;
    CHECK(estimate_memory(mamba, 65'536, 1).cache == estimate_memory(mamba, 256, 1).cache);
    CHECK(estimate_memory(mamba, 256, 1).cache == 30 * 100'000 * 4);

    auto mixed = smol;
    mixed.state_values = 100'000;
    mixed.full_attention_interval = 5;
    CHECK(estimate_memory(mixed, 1024, 1).cache == estimate_memory(smol, 1024, 1).cache / 5 + 24 * 100'000 * 4);
}

TEST_CASE("memory estimate: a draft model adds all that it needs but the program")
{
    auto const alone = estimate_memory(smol, 4096, 2);
    auto const both = alone + estimate_draft(smol, 4096, 2);
    CHECK(both.weights == 2 * alone.weights);
    CHECK(both.cache == 2 * alone.cache);
    CHECK(both.total() == 2 * alone.total() - 26'000'000);
}

TEST_CASE("memory estimate: a file that claims the impossible gives a large number, not a small one")
{
    auto liar = smol;
    liar.block_count = liar.key_value_heads = liar.key_length = liar.weight_bytes = liar.feed_forward_length =
        UINT64_MAX;
    CHECK(estimate_memory(liar, 1 << 20, 64).total() >= 1ULL << 60);
    CHECK(estimate_memory({}, 4096, 4).total() > 0);
}
