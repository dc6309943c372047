#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "base/sim_http.h"
#include "models/download.h"
#include "models/gguf_testing.h"

using namespace plexus;
using namespace plexus::models;
using namespace std::chrono_literals;

namespace {

constexpr auto address = "https://models.example/tiny.gguf";

/// A model of a little more than two pieces.
Bytes large_model()
{
    auto builder = GgufBuilder();
    builder.tensors.front().dimensions = {32, (2 * piece_bytes + 1000) / 128};
    builder.data_bytes = 2 * piece_bytes + 1024;
    auto bytes = builder.build();
    for (std::size_t index = bytes.size() - builder.data_bytes; index < bytes.size(); ++index) {
        bytes[index] = static_cast<std::byte>(index * 7 + index / 4096);
    }
    return bytes;
}

struct Device {
    sim::World world{1};
    sim::SimEnv& env = world.add_device("device");
    std::unique_ptr<Store> store = Store::open(env, "/data/models").value();
    Bytes bytes = large_model();
    std::uint64_t first_progress = 0;

    Device() { put(address, bytes); }

    sim::SimPage& put(std::string const& url, Bytes body)
    {
        env.web().put(url, {.body = std::move(body), .fields = {{"etag", "\"one\""}}, .piece_bytes = 1 << 20});
        return env.web().page(url);
    }

    sim::SimPage& page() { return env.web().page(address); }

    void redirect(std::string const& from, std::string to)
    {
        env.web().put(from, {.status = 302, .fields = {{"location", std::move(to)}}});
    }

    Result<Model> pull_from(std::string_view text, std::optional<ModelDigest> digest = {}, std::string name = "")
    {
        auto result = std::optional<Result<Model>>{};
        auto source = find_source(text, Url::parse(default_hub).value());
        if (!source) {
            return std::unexpected(source.error());
        }
        first_progress = 0;
        auto work = [](Device& self, PullRequest request, std::optional<Result<Model>>& out) -> Task<> {
            auto note = [&self](DownloadProgress progress) {
                self.first_progress = self.first_progress == 0 ? progress.done_bytes : self.first_progress;
            };
            out = co_await pull(self.env, *self.store, {}, std::move(request), note);
        };
        world.run(work(*this, {.source = std::move(*source), .name = std::move(name), .digest = digest}, result));
        return result ? std::move(*result) : fail(ErrorKind::timed_out, "never ended");
    }

    ErrorKind refusal(std::string_view text, std::optional<ModelDigest> digest = {})
    {
        auto const result = pull_from(text, digest);
        REQUIRE_FALSE(result);
        return result.error().kind;
    }

    std::vector<std::string> ranges() const
    {
        auto texts = std::vector<std::string>{};
        for (auto const& request : const_cast<Device&>(*this).env.web().requests()) {
            for (auto const& field : request.fields) {
                if (field.name == "range") {
                    texts.push_back(field.value);
                }
            }
        }
        return texts;
    }
};

}  // namespace

TEST_CASE("pull: a file is fetched, checked and kept under its name")
{
    auto device = Device();

    auto const model = device.pull_from(address, crypto::sha256(device.bytes));

    REQUIRE(model);
    CHECK(model->name == "tiny");
    CHECK(model->origin == address);
    CHECK(model->digest == crypto::sha256(device.bytes));
    CHECK(device.ranges() == std::vector<std::string>{"bytes=0-0", "bytes=0-"});
    CHECK(device.env.disk().list("/data/models/partial")->empty());
}

TEST_CASE("pull: what was fetched before the program ended is not fetched again")
{
    auto device = Device();
    device.page().delay = 1s;
    {
        auto tasks = TaskScope(device.env.executor());
        auto source = find_source(address, Url::parse(default_hub).value()).value();
        auto work = [](Device& self, PullRequest request) -> Task<> {
            std::ignore = co_await pull(self.env, *self.store, {}, std::move(request), [](DownloadProgress) {});
        };
        tasks.spawn("pull", work(device, {.source = std::move(source)}));
        device.world.run_for(9s);
        device.world.run(tasks.join());
    }
    device.store = Store::open(device.env, "/data/models").value();

    auto const model = device.pull_from(address, crypto::sha256(device.bytes));

    REQUIRE(model);
    CHECK(device.first_progress == piece_bytes);
    CHECK(device.ranges().back() == fmt::format("bytes={}-", 6 << 20));  // of 9 MiB, one a second
}

TEST_CASE("pull: a connection that breaks is taken up where it ended, until nothing comes any more")
{
    auto device = Device();
    device.page().cut_after = 5 << 20;
    CHECK(device.pull_from(address, crypto::sha256(device.bytes)));
    CHECK(device.ranges().back() == fmt::format("bytes={}-", 5 << 20));

    device.store->remove("tiny").value();
    device.page().cut_after = 0;
    CHECK(device.refusal(address) == ErrorKind::closed);
}

TEST_CASE("pull: a server without ranges is read from the beginning again")
{
    auto device = Device();
    device.page().has_ranges = false;
    device.page().cut_after = 5 << 20;
    CHECK(device.refusal(address) == ErrorKind::closed);

    device.page().cut_after = std::nullopt;
    auto const model = device.pull_from(address, crypto::sha256(device.bytes));

    CHECK(model);
    CHECK(device.first_progress == piece_bytes);
}

TEST_CASE("pull: another range than was asked for, or another file, is refused")
{
    auto device = Device();
    device.page().cut_after = 5 << 20;
    device.page().shifts_ranges = true;
    CHECK(device.refusal(address) == ErrorKind::malformed);

    device.page().shifts_ranges = false;
    device.page().cut_after = std::nullopt;
    CHECK(device.refusal(address, crypto::sha256(as_view("another"))) == ErrorKind::malformed);
    CHECK(device.env.disk().list("/data/models/partial")->size() <= 3);
    CHECK(device.store->list().empty());
    CHECK(device.pull_from(address, crypto::sha256(device.bytes)));
}

TEST_CASE("pull: a file that has another tag than before begins anew")
{
    auto device = Device();
    device.page().cut_after = 5 << 20;
    device.page().has_ranges = false;
    CHECK(device.refusal(address) == ErrorKind::closed);
    auto other = device.bytes;
    other.back() ^= std::byte{1};
    device.put(address, other).fields = {{"etag", "\"two\""}};

    auto const model = device.pull_from(address);

    REQUIRE(model);
    CHECK(model->digest == crypto::sha256(other));
    CHECK(device.ranges().back() == "bytes=0-");
}

TEST_CASE("pull: redirects lead to https and to the public internet only")
{
    auto device = Device();
    device.redirect("https://huggingface.co/a/b/resolve/main/c.gguf", address);
    device.env.web()
        .page("https://huggingface.co/a/b/resolve/main/c.gguf")
        .fields.push_back({"x-linked-etag", fmt::format("\"{}\"", crypto::sha256(device.bytes).text())});
    device.redirect("https://evil.example/http.gguf", "http://models.example/tiny.gguf");
    device.redirect("https://evil.example/private.gguf", "https://169.254.169.254/latest/meta-data");
    device.redirect("https://evil.example/local.gguf", "https://localhost/x");
    device.redirect("https://evil.example/loop.gguf", "/loop.gguf");
    device.redirect("https://evil.example/file.gguf", "file:///etc/passwd");

    CHECK(device.refusal("hf:a/b/c.gguf", crypto::sha256(as_view("x"))) == ErrorKind::conflict);
    CHECK(device.pull_from("hf:a/b/c.gguf")->name == "c");
    CHECK(device.refusal("https://evil.example/http.gguf") == ErrorKind::not_allowed);
    CHECK(device.refusal("https://evil.example/private.gguf") == ErrorKind::not_allowed);
    CHECK(device.refusal("https://evil.example/local.gguf") == ErrorKind::not_allowed);
    CHECK(device.refusal("https://evil.example/loop.gguf") == ErrorKind::malformed);
    CHECK(device.refusal("https://evil.example/file.gguf") == ErrorKind::malformed);
    for (auto const& request : device.env.web().requests()) {
        CHECK(request.public_only);
        CHECK(Url::parse(request.url)->is_secure);
    }
}

TEST_CASE("pull: the server's refusals have names, and a full disk is told before the first byte")
{
    auto device = Device();
    for (auto const& [status, kind] : {std::pair{404, ErrorKind::not_found}, std::pair{401, ErrorKind::not_allowed},
                                       std::pair{503, ErrorKind::unavailable}, std::pair{418, ErrorKind::malformed}}) {
        device.page().status = status;
        CHECK(device.refusal(address) == kind);
    }
    device.page().status = 200;
    device.env.set_disk_room(device.bytes.size());
    auto const asked = device.env.web().requests().size();
    CHECK(device.refusal(address) == ErrorKind::out_of_space);
    CHECK(device.env.web().requests().size() == asked + 1);
    CHECK(device.refusal("https://nowhere.example/x.gguf") == ErrorKind::unavailable);
}

TEST_CASE("pull: all shards of a set are fetched and joined, and what came of them before counts")
{
    auto device = Device();
    auto const first = std::string("https://models.example/big-00001-of-00002.gguf");
    auto const second = std::string("https://models.example/big-00002-of-00002.gguf");
    device.put(first, shard_of(0, 2));
    device.put(second, shard_of(1, 2)).cut_after = 0;
    CHECK(device.pull_from(first).error().kind == ErrorKind::closed);
    CHECK(device.pull_from(first, crypto::sha256(as_view("x"))).error().kind == ErrorKind::malformed);
    device.env.web().page(second).cut_after = std::nullopt;
    device.env.web().page(first).cut_after = 0;

    auto const model = device.pull_from(second);

    REQUIRE(model);
    CHECK(model->name == "big");
    CHECK(model->summary.tensors == 2);
    CHECK(device.env.disk().list("/data/models/partial")->empty());
}

TEST_CASE("pull: a model that is here is not fetched, and a name that is taken is told first")
{
    auto device = Device();
    auto const digest = crypto::sha256(device.bytes);
    REQUIRE(device.pull_from(address, digest));
    auto const asked = device.env.web().requests().size();

    CHECK(device.pull_from(address, digest, "other")->name == "tiny");
    device.put("https://models.example/x/tiny.gguf", GgufBuilder().build());
    CHECK(device.refusal("https://models.example/x/tiny.gguf") == ErrorKind::conflict);
    CHECK(device.env.web().requests().size() == asked + 2);
}
