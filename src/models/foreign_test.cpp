#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "models/foreign.h"

using namespace plexus;
using namespace plexus::models;

namespace {

constexpr auto digits = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

std::string manifest(std::string_view digest, std::uint64_t size,
                     std::string_view type = "application/vnd.ollama.image.model")
{
    return fmt::format(R"({{"schemaVersion":2,"config":{{}},"layers":[{{"mediaType":"{}","digest":"{}","size":{}}},)"
                       R"({{"mediaType":"application/vnd.ollama.image.license","digest":"sha256:{}","size":5}}]}})",
                       type, digest, size, digits);
}

struct Folder {
    sim::World world{1};
    sim::SimEnv& env = world.add_device("device");

    void put(std::string const& path, std::string const& text) { env.put_file(path, to_bytes(text)); }
};

ForeignModel const& named(std::vector<ForeignModel> const& models, std::string_view name)
{
    auto const found = std::ranges::find(models, name, &ForeignModel::name);
    REQUIRE(found != models.end());
    return *found;
}

}  // namespace

TEST_CASE("ollama folder: models have the names that Ollama shows, with file and digest")
{
    auto folder = Folder();
    auto const sum = std::string("sha256:") + digits;
    folder.put("/o/manifests/registry.ollama.ai/library/llama3.2/3b", manifest(sum, 4));
    folder.put("/o/manifests/registry.ollama.ai/library/tiny/latest", manifest(sum, 4));
    folder.put("/o/manifests/hf.co/org/repo/Q4", manifest(sum, 4));
    folder.put("/o/manifests/registry.ollama.ai/library/broken/latest", "{");
    folder.put("/o/manifests/registry.ollama.ai/library/shorter/latest", manifest(sum, 5));
    folder.put("/o/manifests/registry.ollama.ai/library/missing/latest", manifest("sha256:" + std::string(64, 'a'), 5));
    folder.put(std::string("/o/blobs/sha256-") + digits, "GGUF");

    auto const models = find_ollama_models(folder.env.disk(), "/o").value();

    CHECK(models.size() == 6);
    CHECK(named(models, "llama3.2:3b").path == std::string("/o/blobs/sha256-") + digits);
    CHECK(named(models, "llama3.2:3b").problem.empty());
    CHECK(named(models, "tiny").digest->text() == digits);
    CHECK(named(models, "hf.co/org/repo:Q4").size_bytes == 4);
    CHECK_FALSE(named(models, "broken").problem.empty());
    CHECK(named(models, "shorter").problem.contains("4 bytes"));
    CHECK(named(models, "missing").problem.contains("missing"));
    CHECK(find_ollama_models(folder.env.disk(), "/elsewhere").error().kind == ErrorKind::not_found);
}

TEST_CASE("ollama manifest: a digest is 32 bytes or nothing")
{
    CHECK(read_ollama_manifest(manifest(std::string("sha256:") + digits, 4)));
    for (auto const& digest : {std::string("sha256:../../../../etc/passwd"), std::string("sha256-") + digits,
                               std::string(digits), std::string("sha256:") + digits + "00", std::string("sha256:")}) {
        CAPTURE(digest);
        CHECK(read_ollama_manifest(manifest(digest, 4)).error().kind == ErrorKind::malformed);
    }
    auto const sum = std::string("sha256:") + digits;
    CHECK_FALSE(read_ollama_manifest(manifest(sum, 0)));
    CHECK_FALSE(read_ollama_manifest(manifest(sum, 4, "application/vnd.ollama.image.adapter")));
    CHECK_FALSE(read_ollama_manifest(manifest(sum, 4, "application/vnd.ollama.image.projector")));
    for (auto const* text : {"", "[]", "{}", R"({"layers":{}})", R"({"layers":[1,null,"x"]})"}) {
        CAPTURE(text);
        CHECK_FALSE(read_ollama_manifest(text));
    }
}

TEST_CASE("lm studio folder: files, sets of shards, and nothing else")
{
    auto folder = Folder();
    folder.put("/l/org/repo/small-Q4.gguf", "GGUF");
    folder.put("/l/org/repo/mmproj-small.gguf", "GGUF");
    folder.put("/l/org/repo/config.json", "{}");
    folder.put("/l/org/big/big-00001-of-00002.gguf", "GGUF");
    folder.put("/l/org/big/big-00002-of-00002.gguf", "GGUF1");
    folder.put("/l/org/half/half-00001-of-00002.gguf", "GGUF");

    auto const models = find_lm_studio_models(folder.env.disk(), "/l").value();

    CHECK(models.size() == 3);
    CHECK(named(models, "small-Q4").size_bytes == 4);
    CHECK(named(models, "big").size_bytes == 9);
    CHECK(named(models, "big").path == "/l/org/big/big-00001-of-00002.gguf");
    CHECK(named(models, "half").problem == "shard 2 of 2 is missing");
}
