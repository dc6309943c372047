#include <doctest/doctest.h>

#include "models/gguf.h"
#include "models/gguf_testing.h"

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

GgufBuilder with_tensor(GgufBuilder::Tensor tensor)
{
    auto builder = GgufBuilder{};
    builder.tensors = {std::move(tensor)};
    return builder;
}

Bytes array_value(std::uint32_t type, std::uint64_t count, ByteView elements = {})
{
    return concatenate({GgufBuilder::bytes_of(type), GgufBuilder::bytes_of(count), elements});
}

using Tensor = GgufBuilder::Tensor;
constexpr auto huge = std::uint64_t{1} << 62;

/// One small file of every class of damage that has hurt a GGUF reader.
std::map<std::string, GgufBuilder> broken_files()
{
    auto files = std::map<std::string, GgufBuilder>{};
    auto counted = [&](std::string const& name, auto change) {
        auto builder = GgufBuilder{};
        change(builder);
        files.emplace(name, std::move(builder));
    };
    for (auto version : {0U, 1U, 4U, 0x03000000U, 0xffffffffU}) {
        counted(fmt::format("version {}", version), [=](auto& file) { file.version = version; });
    }
    for (auto count : {std::uint64_t{2}, max_tensors, max_tensors + 1, huge, UINT64_MAX}) {
        counted(fmt::format("tensor count {}", count), [=](auto& file) { file.tensor_count = count; });
    }
    for (auto count : {std::uint64_t{1}, std::uint64_t{4}, max_key_values, max_key_values + 1, huge, UINT64_MAX}) {
        counted(fmt::format("metadata count {}", count), [=](auto& file) { file.value_count = count; });
    }
    counted("no architecture", [](auto& file) { file.clear().number("x", 1); });
    counted("architecture is a number", [](auto& file) { file.clear().number("general.architecture", 1); });
    counted("template is a number", [](auto& file) { file.clear().text("general.architecture", "a").number("tokenizer.chat_template", 1); });
    counted("key twice", [](auto& file) { file.number("llama.context_length", 1); });
    counted("empty key", [](auto& file) { file.number("", 1); });
    counted("long key", [](auto& file) { file.number(std::string(max_key_bytes + 1, 'k'), 1); });
    for (auto type : {13U, 99U, 0xffffffffU}) {
        counted(fmt::format("value type {}", type), [=](auto& file) { file.raw("x", type, Bytes(8)); });
    }
    counted("bool is two", [](auto& file) { file.raw("x", 7, Bytes{std::byte{2}}); });
    for (auto size : {std::uint64_t{10'000}, huge, UINT64_MAX, UINT64_MAX - 7}) {
        counted(fmt::format("text of {}", size), [=](auto& file) { file.raw("x", 8, GgufBuilder::bytes_of(size)); });
        counted(fmt::format("array text of {}", size),
                [=](auto& file) { file.raw("x", 9, array_value(8, 1, GgufBuilder::bytes_of(size))); });
        counted(fmt::format("array of {} bytes", size), [=](auto& file) { file.raw("x", 9, array_value(0, size)); });
        counted(fmt::format("array of {} doubles", size), [=](auto& file) { file.raw("x", 9, array_value(12, size)); });
        counted(fmt::format("array of {} texts", size), [=](auto& file) { file.raw("x", 9, array_value(8, size)); });
    }
    counted("array of arrays", [](auto& file) { file.raw("x", 9, array_value(9, 1, array_value(0, 0))); });
    counted("array of unknown", [](auto& file) { file.raw("x", 9, array_value(77, 0)); });
    for (auto alignment : {0U, 3U, 33U, 0x80000000U, 131072U}) {
        counted(fmt::format("alignment {}", alignment), [=](auto& file) { file.number("general.alignment", alignment); });
    }
    counted("alignment is a text", [](auto& file) { file.text("general.alignment", "32"); });
    counted("alignment of 64 bits", [](auto& file) { file.raw("general.alignment", 10, GgufBuilder::bytes_of<std::uint64_t>(32)); });
    files.emplace("no dimensions", with_tensor({.dimensions = {}}));
    files.emplace("five dimensions", with_tensor({.dimensions = {32, 1, 1, 1, 1}}));
    files.emplace("zero dimension", with_tensor({.dimensions = {32, 0}}));
    files.emplace("first dimension zero", with_tensor({.dimensions = {0}}));
    files.emplace("negative dimension", with_tensor({.dimensions = {UINT64_MAX}}));
    files.emplace("product overflows", with_tensor({.dimensions = {huge, 8}}));
    files.emplace("product wraps to small", with_tensor({.dimensions = {std::uint64_t{1} << 32, std::uint64_t{1} << 32}}));
    files.emplace("bytes overflow", with_tensor({.dimensions = {huge}}));
    files.emplace("row not in blocks", with_tensor({.dimensions = {33}, .type = 2}));
    for (auto type : {4U, 5U, 9U, 15U, 31U, 36U, 43U, 255U, 0xffffffffU}) {
        files.emplace(fmt::format("tensor type {}", type), with_tensor({.dimensions = {256}, .type = type}));
    }
    files.emplace("offset not aligned", with_tensor({.offset = 1}));
    files.emplace("offset behind the end", with_tensor({.offset = 4096}));
    files.emplace("offset overflows", with_tensor({.offset = UINT64_MAX - 31}));
    files.emplace("ends behind the end", with_tensor({.dimensions = {32, 3}}));
    files.emplace("empty name", with_tensor({.name = ""}));
    files.emplace("long name", with_tensor({.name = std::string(max_tensor_name + 1, 'n')}));
    files.emplace("name with zero", with_tensor({.name = std::string("a\0b", 3)}));
    counted("name twice", [](auto& file) { file.tensors = {Tensor{}, Tensor{}}; });
    counted("overlap", [](auto& file) { file.tensors = {Tensor{.name = "a"}, Tensor{.name = "b", .offset = 128}}; });
    counted("no data", [](auto& file) { file.data_bytes = 0; });
    return files;
}

}  // namespace

TEST_CASE("gguf: a right file is described")
{
    auto builder = GgufBuilder{};
    builder.text("general.name", "tiny").number("llama.embedding_length", 64).number("llama.attention.head_count", 4);
    builder.number("llama.block_count", 3).number("llama.attention.head_count_kv", 2).text("tokenizer.ggml.model", "gpt2");
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

TEST_CASE("gguf: every class of broken file is refused with a reason")
{
    auto const files = broken_files();
    CHECK(files.size() >= 60);
    for (auto const& [name, builder] : files) {
        CAPTURE(name);
        auto const summary = check(builder);
        REQUIRE_FALSE(summary);
        CHECK((summary.error().kind == ErrorKind::malformed || summary.error().kind == ErrorKind::too_large));
        CHECK(summary.error().text.size() > 10);
    }
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
