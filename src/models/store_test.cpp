#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "base/sim_world.h"
#include "models/gguf_refused_testing.h"
#include "models/store.h"

using namespace plexus;
using namespace plexus::models;

namespace {

struct Device {
    sim::World world{1};
    sim::SimEnv& env = world.add_device("device");
    std::unique_ptr<Store> store = Store::open(env, "/data/models").value();

    Device() { env.put_file("/home/tiny.gguf", GgufBuilder().build()); }

    Result<Model> import_file(std::string const& file, std::string name = "")
    {
        auto result = std::optional<Result<Model>>{};
        world.run([](Store& store, std::string file, std::string name, std::optional<Result<Model>>& result) -> Task<> {
            result = co_await store.import_file(file, name, [](ImportProgress) {});
        }(*store, file, std::move(name), result));
        return std::move(*result);
    }

    Result<std::shared_ptr<File const>> open_model(ModelDigest digest)
    {
        auto result = std::optional<Result<std::shared_ptr<File const>>>{};
        world.run([](Store& store, ModelDigest digest, auto& result) -> Task<> {
            result = co_await store.open_model(digest);
        }(*store, digest, result));
        return std::move(*result);
    }

    void reopen() { store = Store::open(env, "/data/models").value(); }

    std::size_t entries(std::string const& folder) { return env.disk().list("/data/models/" + folder).value().size(); }
};

}  // namespace

TEST_CASE("model store: an imported file is found by name and by digest, also after a restart")
{
    auto device = Device();

    auto const model = device.import_file("/home/tiny.gguf");
    REQUIRE(model);
    device.env.crash();
    device.env.restart();
    device.reopen();

    auto const* found = device.store->find("tiny");
    REQUIRE(found != nullptr);
    CHECK(found->digest == crypto::sha256(GgufBuilder().build()));
    CHECK(found->summary.architecture == "llama");
    CHECK(device.store->find(found->digest.text()) == found);
    CHECK(device.store->find("sha256:" + found->digest.text()) == found);
    CHECK(device.open_model(found->digest).value()->size() == GgufBuilder().build().size());
}

TEST_CASE("model store: what is no GGUF file is refused with the reason and leaves nothing")
{
    auto device = Device();
    device.env.put_file("/home/picture.gguf", to_bytes("PNG, not GGUF at all, but long enough"));

    auto const result = device.import_file("/home/picture.gguf");

    CHECK(result.error().kind == ErrorKind::malformed);
    CHECK(result.error().text.starts_with("picture.gguf cannot be used: "));
    CHECK(device.store->list().empty());
    CHECK(device.entries("partial") == 0);
}

TEST_CASE("model store: no file of the corpus of broken GGUF files comes in")
{
    auto device = Device();
    for (auto const& [name, bytes, reason] : refused_files()) {
        CAPTURE(name);
        device.env.put_file("/home/" + name, bytes);

        auto const result = device.import_file("/home/" + name, "broken");

        REQUIRE_FALSE(result);
        CHECK(result.error().text.contains(reason));
        CHECK(device.store->list().empty());
        CHECK(device.entries("partial") == 0);
    }
}

TEST_CASE("model store: a vocabulary without weights is refused as what it is")
{
    auto device = Device();
    auto vocabulary = tiny_llama();
    vocabulary.tensors.clear();
    device.env.put_file("/home/vocabulary.gguf", vocabulary.build());

    auto const result = device.import_file("/home/vocabulary.gguf");

    CHECK(result.error() ==
          Error{ErrorKind::malformed, "vocabulary.gguf cannot be used: the file holds a vocabulary and no model"});
}

TEST_CASE("model store: names are unique and usable, equal bytes are kept once")
{
    auto device = Device();
    device.env.put_file("/home/other.gguf", GgufBuilder().number("llama.block_count", 2).build());
    REQUIRE(device.import_file("/home/tiny.gguf", "one"));

    CHECK(device.import_file("/home/other.gguf", "one").error().kind == ErrorKind::conflict);
    CHECK(device.import_file("/home/other.gguf", "../one").error().kind == ErrorKind::malformed);
    CHECK(device.import_file("/home/tiny.gguf", "two").error().kind == ErrorKind::conflict);
    CHECK(device.import_file("/home/tiny.gguf").value().name == "one");
    CHECK(device.import_file("/home/missing.gguf").error().kind == ErrorKind::not_found);
    CHECK(device.store->list().size() == 1);
    CHECK(device.entries("partial") == 0);
}

TEST_CASE("model store: a failing disk at any write leaves the model whole or absent")
{
    for (std::size_t write = 1; write < 20; ++write) {
        auto device = Device();
        device.env.fail_disk_write(write);

        auto const result = device.import_file("/home/tiny.gguf");
        device.env.fail_disk_write(0);
        device.reopen();

        CHECK(device.store->list().size() == (result ? 1 : 0));
        CHECK(device.entries("partial") == 0);
        CHECK(device.import_file("/home/tiny.gguf"));
    }
}

TEST_CASE("model store: a full disk is told before anything is written")
{
    auto device = Device();
    device.env.set_disk_room(1000);
    device.env.refuse_links(true);

    auto const result = device.import_file("/home/tiny.gguf");

    CHECK(result.error().kind == ErrorKind::out_of_space);
    CHECK(device.store->list().empty());
    CHECK(device.entries("partial") == 0);
}

TEST_CASE("model store: a file on another file system is copied, and the original stays")
{
    auto device = Device();
    device.env.refuse_links(true);

    auto const model = device.import_file("/home/tiny.gguf");

    REQUIRE(model);
    CHECK(device.env.disk().remove("/home/tiny.gguf"));
    CHECK(device.open_model(model->digest));
}

TEST_CASE("model store: bytes that were changed behind its back are never opened")
{
    auto device = Device();
    auto const model = device.import_file("/home/tiny.gguf").value();
    auto const text = model.digest.text();
    auto changed = GgufBuilder().build();
    changed.back() ^= std::byte{1};
    device.env.put_file("/data/models/sha256/" + text.substr(0, 2) + "/" + text.substr(2) + ".gguf", changed);

    CHECK(device.open_model(model.digest).error().kind == ErrorKind::malformed);
}

TEST_CASE("model store: removing a model takes its file and manifest")
{
    auto device = Device();
    auto const model = device.import_file("/home/tiny.gguf").value();

    REQUIRE(device.store->remove("tiny"));

    CHECK(device.store->remove("tiny").error().kind == ErrorKind::not_found);
    CHECK(device.entries("manifests") == 0);
    CHECK(device.open_model(model.digest).error().kind == ErrorKind::not_found);
}

TEST_CASE("model store: a damaged manifest is left alone and does not stop the others")
{
    auto device = Device();
    REQUIRE(device.import_file("/home/tiny.gguf"));
    device.env.put_file("/data/models/manifests/" + std::string(64, 'a') + ".json", to_bytes("{\"sha256\": 5}"));

    device.reopen();

    CHECK(device.store->list().size() == 1);
    CHECK(device.entries("manifests") == 2);
}

TEST_CASE("model names: made from the file's, usable in every client")
{
    CHECK(name_from_file("/models/My Model (1).gguf") == "My-Model--1-");
    CHECK(name_from_file("/models/.hidden.gguf") == "hidden");
    CHECK(name_from_file("/models/???.gguf") == "model");
    CHECK_FALSE(is_usable_name(""));
    CHECK_FALSE(is_usable_name("-x"));
    CHECK_FALSE(is_usable_name(std::string(max_name_bytes + 1, 'a')));
    CHECK(is_usable_name("org/model:8b-q4_0"));
}

TEST_CASE("model store: a quota counts what is there and refuses what is over it, before anything is copied")
{
    auto device = Device();
    auto const size = GgufBuilder().build().size();
    device.env.put_file("/home/other.gguf", GgufBuilder().number("llama.block_count", 2).build());
    device.store->set_quota(2 * size - 1);
    REQUIRE(device.import_file("/home/tiny.gguf"));

    auto const refused = device.import_file("/home/other.gguf");

    CHECK(refused.error().kind == ErrorKind::out_of_space);
    CHECK(device.store->used_bytes() == size);
    CHECK(device.entries("partial") == 0);
    device.store->remove("tiny").value();
    CHECK(device.import_file("/home/other.gguf"));
}

TEST_CASE("model store: files that no manifest names are removed when it is opened, those of damaged ones stay")
{
    auto device = Device();
    auto const model = device.import_file("/home/tiny.gguf").value();
    auto const stray = std::string(62, 'b') + ".gguf";
    auto const damaged = std::string(62, 'c') + ".gguf";
    device.env.put_file("/data/models/sha256/bb/" + stray, to_bytes("bytes"));
    device.env.put_file("/data/models/sha256/cc/" + damaged, to_bytes("bytes"));
    device.env.put_file("/data/models/sha256/cc/notes.txt", to_bytes("not ours"));
    device.env.put_file("/data/models/manifests/" + std::string(64, 'c') + ".json", to_bytes("{"));

    device.reopen();

    CHECK(device.entries("sha256/bb") == 0);
    CHECK(device.entries("sha256/cc") == 2);
    CHECK(device.open_model(model.digest));
}

TEST_CASE("model store: verifying reads every byte and finds a changed one")
{
    auto device = Device();
    auto const model = device.import_file("/home/tiny.gguf").value();
    auto const verify = [&] {
        auto result = std::optional<Result<Model>>{};
        auto work = [](Store& store, std::optional<Result<Model>>& out) -> Task<> {
            out = co_await store.verify("tiny", [](ImportProgress) {});
        };
        device.world.run(work(*device.store, result));
        return *result;
    };
    CHECK(verify()->digest == model.digest);

    auto bytes = GgufBuilder().build();
    bytes.back() ^= std::byte{1};
    device.env.put_file(device.store->path_of(model.digest), bytes);

    CHECK(verify().error().kind == ErrorKind::malformed);
    device.env.disk().remove(device.store->path_of(model.digest)).value();
    CHECK(verify().error().kind == ErrorKind::not_found);
}

TEST_CASE("model store: the first of several shards stands for all, which become one model")
{
    auto device = Device();
    device.env.put_file("/home/big-00001-of-00002.gguf", shard_of(0, 2));
    CHECK(device.import_file("/home/big-00001-of-00002.gguf").error().kind == ErrorKind::not_found);
    device.env.put_file("/home/big-00002-of-00002.gguf", shard_of(1, 2));

    auto const model = device.import_file("/home/big-00001-of-00002.gguf");

    REQUIRE(model);
    CHECK(model->name == "big");
    CHECK(model->summary.tensors == 2);
    CHECK(device.open_model(model->digest).value()->size() == model->size_bytes);
    CHECK(device.import_file("/home/big-00001-of-00002.gguf")->digest == model->digest);
    CHECK(device.entries("partial") == 0);
}
