#include <doctest/doctest.h>

#include "models/manifest.h"
#include "models/source.h"
#include "models/suggestions.h"

using namespace plexus;
using namespace plexus::models;

namespace {

Result<Source> find(std::string_view text)
{
    return find_source(text, Url::parse(default_hub).value());
}

}  // namespace

TEST_CASE("model source: hf: names a file of the hub, and a revision")
{
    auto const source = find("hf:org/repo/file.Q4.gguf").value();

    CHECK(source.files.at(0).text() == "https://huggingface.co/org/repo/resolve/main/file.Q4.gguf");
    CHECK(source.name == "file.Q4");
    CHECK_FALSE(source.is_private);
    CHECK(find("hf:org/repo/sub/file.gguf@refs/pr/1").value().files.at(0).target ==
          "/org/repo/resolve/refs%2Fpr%2F1/sub/file.gguf");
    for (auto const* text :
         {"hf:", "hf:org/repo", "hf:org//file.gguf", "hf:org/../file.gguf", "hf:/org/repo/file.gguf",
          "hf:org/repo/file.gguf@", "hf:org/repo/f%2e.gguf", "hf:org/repo/a b.gguf", "hf:org/repo/x@../y?"}) {
        CAPTURE(text);
        CHECK(find(text).error().kind == ErrorKind::malformed);
    }
}

TEST_CASE("model source: another hub is where hf: leads, http only to this device or its network")
{
    auto const hub = Url::parse("http://127.0.0.1:8080/mirror").value();
    CHECK(find_source("hf:a/b/c.gguf", hub).value().files.at(0).text() ==
          "http://127.0.0.1:8080/mirror/a/b/resolve/main/c.gguf");
    CHECK(find_source("hf:a/b/c.gguf", hub).value().is_private);
    CHECK(find("http://192.168.1.5/x.gguf").value().is_private);
    CHECK(find("http://localhost/x.gguf?token=secret").value().origin == "http://localhost/x.gguf");
    CHECK(find("http://example.org/x.gguf").error().kind == ErrorKind::malformed);
    CHECK(find("file:///etc/passwd").error().kind == ErrorKind::malformed);
}

TEST_CASE("model source: a shard stands for all of its set")
{
    auto const source = find("https://example.org/m/big-00002-of-00003.gguf?x").value();

    REQUIRE(source.files.size() == 3);
    CHECK(source.files[0].text() == "https://example.org/m/big-00001-of-00003.gguf?x");
    CHECK(source.files[2].text() == "https://example.org/m/big-00003-of-00003.gguf?x");
    CHECK(source.name == "big");
    for (auto const* name : {"big-00000-of-00003.gguf", "big-00004-of-00003.gguf", "big-00001-of-99999.gguf",
                             "-00001-of-00002.gguf", "big-0001-of-00002.gguf", "big-00001-of-0000x.gguf"}) {
        CAPTURE(name);
        CHECK_FALSE(ShardName::parse(name));
    }
}

TEST_CASE("model list: every entry can be found, named and fetched")
{
    auto names = std::set<std::string_view>{};
    for (auto const& each : suggestions()) {
        CAPTURE(each.name);
        CHECK(names.insert(each.name).second);
        CHECK(is_usable_name(each.name));
        auto const source = find(each.name);
        REQUIRE(source);
        CHECK(source->name == each.name);
        CHECK(source->files.at(0).is_secure);
        CHECK(each.summary().cache_bytes_per_token() > 0);
        CHECK(each.size_bytes > 0);
        CHECK_FALSE(each.license.empty());
    }
    CHECK(find("qwen3-4").error().kind == ErrorKind::not_found);
    CHECK(find("qwen3-4").error().text.contains("qwen3-4b"));
}

TEST_CASE("model list: words are looked for in all texts")
{
    auto const texts = std::array<std::string_view, 2>{"Qwen3 4B", "chat"};

    CHECK(matches_words("", texts));
    CHECK(matches_words("  qwen3 CHAT", texts));
    CHECK_FALSE(matches_words("qwen3 code", texts));
}
