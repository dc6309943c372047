#include <doctest/doctest.h>

#include <filesystem>

#include "base/real_env.h"
#include "models/store.h"

using namespace plexus;
using namespace plexus::models;

namespace {

Result<GgufSummary> check(std::filesystem::path const& path)
{
    auto env = RealEnv();
    auto const file = env.disk().open(path);
    return file ? check_gguf(**file) : std::unexpected(file.error());
}

}  // namespace

TEST_CASE("real models: the default model is accepted and described")
{
    auto const summary = check(PLEXUS_DEFAULT_MODEL);

    REQUIRE(summary);
    CHECK(summary->architecture == "llama");
    CHECK(summary->quantisation == "Q4_1");
    CHECK(summary->tensors == 272);
    CHECK(summary->has_chat_template);
}

TEST_CASE("real models: Gemma 3 270M is accepted and described" * doctest::skip(!std::filesystem::exists(PLEXUS_GEMMA)))
{
    auto const summary = check(PLEXUS_GEMMA);

    REQUIRE(summary);
    CHECK(summary->architecture == "gemma3");
    CHECK(summary->block_count == 18);
    CHECK(summary->embedding_length == 640);
}

TEST_CASE("real models: every vocabulary of llama.cpp's tree is accepted, and holds no model")
{
    auto count = 0;
    for (auto const& entry : std::filesystem::directory_iterator(PLEXUS_VOCABULARIES)) {
        if (entry.path().extension() != ".gguf") {
            continue;
        }
        CAPTURE(entry.path().filename().string());
        auto const summary = check(entry.path());
        CAPTURE((summary ? std::string() : summary.error().text));
        REQUIRE(summary);
        CHECK(summary->tensors == 0);
        CHECK_FALSE(summary->tokenizer.empty());
        ++count;
    }
    CHECK(count >= 15);
}
