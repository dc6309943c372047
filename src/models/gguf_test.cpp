#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "models/gguf.h"
#include "models/gguf_refused_testing.h"

using namespace plexus;
using namespace plexus::models;

namespace {

Result<GgufSummary> check(Bytes bytes)
{
    auto const file = MemoryFile(std::move(bytes));
    return check_gguf(file);
}

Result<GgufSummary> check(GgufBuilder const& builder)
{
    return check(builder.build());
}

using Tensor = GgufBuilder::Tensor;

std::filesystem::path const corpus = std::filesystem::path(PLEXUS_CORPUS) / "gguf_refused";

Bytes read_whole(std::filesystem::path const& path)
{
    auto file = std::ifstream(path, std::ios::binary);
    auto const text = std::string(std::istreambuf_iterator<char>(file), {});
    return to_bytes(text);
}

void write_whole(std::filesystem::path const& path, Bytes const& bytes)
{
    auto file = std::ofstream(path, std::ios::binary);
    file << as_text(bytes);
}

}  // namespace

TEST_CASE("gguf: a right file is described")
{
    auto builder = GgufBuilder{};
    builder.text("general.name", "tiny").number("llama.embedding_length", 64).number("llama.attention.head_count", 4);
    builder.number("llama.block_count", 3)
        .number("llama.attention.head_count_kv", 2)
        .text("tokenizer.ggml.model", "llama");
    builder.texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>"});
    builder.tensors = {Tensor{.name = "a", .dimensions = {64, 3}, .type = 3}, Tensor{.name = "b", .dimensions = {8}, .offset = 128}};

    auto const summary = check(builder).value();

    CHECK(summary.architecture == "llama");
    CHECK(summary.name == "tiny");
    CHECK(summary.quantisation == "Q4_1");
    CHECK(summary.parameters == 64 * 3 + 8);
    CHECK(summary.weight_bytes == 6 * 20 + 32);
    CHECK(summary.context_length == 2048);
    CHECK(summary.has_chat_template);
    CHECK(summary.cache_bytes_per_token() == 64 / 4 * 2 * 3 * 4);
}

TEST_CASE("gguf: the smallest whole model is accepted, and one of every kind that is accepted beside it")
{
    CHECK(check(tiny_llama()));
    CHECK(check(tiny_llama().numbers("llama.attention.head_count", {2})));
    CHECK(check(tiny_llama().number("llama.expert_count", 4).number("llama.expert_used_count", 2)));
    CHECK(check(tiny_llama().texts("tokenizer.ggml.tokens",
                                   {"<unk>", "<s>", "</s>", "<0x0A>", "", std::string(1, '\0'), "b"})));
    CHECK(check(tiny_llama().number("general.alignment", 64).number("tokenizer.ggml.padding_token_id", 0xffffffffU))
              .error()
              .text.contains("must begin at"));
}

TEST_CASE("gguf: every file of the corpus of broken files is refused with its reason")
{
    auto const files = refused_files();
    CHECK(files.size() >= 60);
    for (auto const& [name, bytes, reason] : files) {
        CAPTURE(name);
        CHECK(bytes.size() < 8 * 1024);
        auto const summary = check(bytes);
        REQUIRE_FALSE(summary);
        CAPTURE(summary.error().text);
        CHECK((summary.error().kind == ErrorKind::malformed || summary.error().kind == ErrorKind::too_large));
        CHECK(summary.error().text.size() > 10);
        CHECK(summary.error().text.contains(reason));
    }
}

/// PLEXUS_WRITE_CORPUS=1 models_test --test-case="gguf: the corpus*" writes it anew.
TEST_CASE("gguf: the corpus of broken files is the one that the tests make")
{
    auto names = std::set<std::string>{};
    for (auto const& [name, bytes, reason] : refused_files()) {
        CAPTURE(name);
        CHECK(names.insert(name).second);
        if (std::getenv("PLEXUS_WRITE_CORPUS") != nullptr) {
            write_whole(corpus / name, bytes);
        }
        CHECK(read_whole(corpus / name) == bytes);
    }
    for (auto const& entry : std::filesystem::directory_iterator(corpus)) {
        CHECK(names.contains(entry.path().filename().string()));
    }
}

TEST_CASE("gguf: a chat template that is too long or too deep is refused")
{
    auto const text = std::string(max_template_bytes + 1, ' ');
    CHECK(check(GgufBuilder().text("tokenizer.chat_template", text)).error().kind == ErrorKind::too_large);
    CHECK(check(GgufBuilder().text("tokenizer.chat_template", std::string(max_template_signs + 1, '-'))).error().kind ==
          ErrorKind::too_large);
    CHECK(check(GgufBuilder().text("tokenizer.chat_template", std::string(max_template_signs, '-'))));
}

TEST_CASE("gguf: a file cut off at any byte is refused")
{
    auto builder = GgufBuilder{};
    builder.raw("list", 9, concatenate({GgufBuilder::bytes_of(8U), GgufBuilder::bytes_of<std::uint64_t>(2),
                                        GgufBuilder::text_bytes("one"), GgufBuilder::text_bytes("two")}));
    auto const whole = builder.build();
    CHECK(check(whole));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CHECK_FALSE(check(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))));
    }
}

TEST_CASE("gguf: what is no GGUF file is said to be none")
{
    for (auto const* text : {"", "GGU", "PK\x03\x04 some archive", "<html>not a model</html>", "FUGG\x03\0\0\0"}) {
        CHECK(check(to_bytes(text)).error().text == "this is not a GGUF file: it does not begin with GGUF");
    }
}

TEST_CASE("gguf: a file without tensors, as vocabularies are, is fine")
{
    auto builder = GgufBuilder{};
    builder.tensors.clear();
    builder.data_bytes = 0;
    CHECK(check(builder).value().parameters == 0);
}
