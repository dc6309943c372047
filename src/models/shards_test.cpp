#include <doctest/doctest.h>

#include "models/gguf_testing.h"
#include "models/shards.h"

using namespace plexus;
using namespace plexus::models;

namespace {

std::vector<std::shared_ptr<File const>> files(std::vector<Bytes> contents)
{
    auto opened = std::vector<std::shared_ptr<File const>>{};
    for (auto& content : contents) {
        opened.push_back(std::make_shared<MemoryFile>(std::move(content)));
    }
    return opened;
}

}  // namespace

TEST_CASE("shards: joined they are one model that passes the checker, with every tensor's bytes in their place")
{
    auto const joined = join_shards(files({shard_of(0, 3), shard_of(1, 3), shard_of(2, 3)}));
    REQUIRE(joined);
    auto const& file = **joined;

    auto const summary = check_gguf(file);
    REQUIRE(summary);
    CHECK(summary->architecture == "llama");
    CHECK(summary->tensors == 3);
    auto const header = read_gguf_header(file).value();
    CHECK(header.find("split.no") == nullptr);
    CHECK(header.text(file, "general.architecture", 100) == "llama");
    for (std::size_t index = 0; index < 3; ++index) {
        CHECK(header.tensors[index].name == fmt::format("blk.{}.weight", index));
        auto bytes = Bytes(256);
        CHECK(file.read_at(header.data_begin + header.tensors[index].offset, bytes).value() == 256);
        CHECK(bytes == Bytes(256, static_cast<std::byte>(index + 1)));
    }
}

TEST_CASE("shards: what is not the set of one model is refused")
{
    auto const refused = [](std::vector<Bytes> contents) {
        auto const made = join_shards(files(std::move(contents)));
        return !made && made.error().kind == ErrorKind::malformed;
    };
    auto other = GgufBuilder();
    other.number("general.alignment", 64)
        .raw("split.no", 2, GgufBuilder::bytes_of<std::uint16_t>(1))
        .raw("split.count", 2, GgufBuilder::bytes_of<std::uint16_t>(2));
    other.alignment = 64;

    CHECK(refused({shard_of(0, 2)}));
    CHECK(refused({shard_of(1, 2), shard_of(0, 2)}));
    CHECK(refused({shard_of(0, 3), shard_of(1, 3)}));
    CHECK(refused({shard_of(0, 2), other.build()}));
    CHECK(refused({shard_of(0, 2), to_bytes("GGUF")}));
    CHECK(refused({GgufBuilder().build()}));
}

TEST_CASE("gguf header: a file that is cut anywhere in front of its data is refused")
{
    auto const whole = shard_of(0, 1);
    auto const header = read_gguf_header(MemoryFile(whole)).value();

    CHECK(header.data_length == 256);
    for (std::size_t length = 0; length + 40 < header.data_begin; ++length) {
        auto const cut = MemoryFile(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
        CHECK(read_gguf_header(cut).error().kind == ErrorKind::malformed);
    }
}
