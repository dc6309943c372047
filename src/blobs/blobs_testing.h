#pragma once

#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "blobs/blobs.h"
#include "models/gguf_testing.h"
#include "stream/messages.h"

/// Devices with host, catalog, model store and blobs over the simulated network.
namespace plexus::blobs::testing {

using multiformats::Multiaddr;
using namespace std::chrono_literals;

/// A usable model of a little more than `pieces` pieces.
inline Bytes model_of(std::size_t pieces)
{
    auto builder = models::GgufBuilder();
    builder.data_bytes = pieces * models::piece_bytes;
    auto bytes = builder.build();
    for (std::size_t offset = bytes.size() - builder.data_bytes + 1024; offset < bytes.size(); offset += 4096) {
        bytes[offset] = static_cast<std::byte>(offset / 4096 * 31);
    }
    return bytes;
}

inline PieceList list_of(Bytes const& model)
{
    auto hasher = models::PieceHasher();
    for (std::size_t offset = 0; offset < model.size(); offset += models::piece_bytes) {
        auto const size = std::min<std::size_t>(models::piece_bytes, model.size() - offset);
        hasher.update(ByteView(model).subspan(offset, size));
    }
    return hasher.finish().second.value();
}

inline Bytes piece_of(Bytes const& model, std::size_t piece)
{
    auto const offset = piece * models::piece_bytes;
    return to_bytes(ByteView(model).subspan(offset, std::min<std::size_t>(models::piece_bytes, model.size() - offset)));
}

inline crypto::KeyPair key(int number)
{
    auto const bytes = Bytes(32, static_cast<std::byte>(number));
    return crypto::KeyPair(crypto::Secret32(std::span<std::byte const, 32>(bytes)));
}

struct OpenGater : host::Gater {
    bool allow_address(Endpoint const&, host::Direction) override { return true; }
    host::Admission admit(PeerId const&, host::Direction) override { return host::Admission::member; }
};

struct Device {
    Device(sim::World& world, std::string const& name, int number) : env(world.add_device(name)), number_(number)
    {
        start();
    }

    void start()
    {
        host = make_host(env, key(number_), gater, {});
        catalog = catalog::make_catalog(env);
        store = models::Store::open(env, "/data/models").value();
        blobs = make_blobs(env, *host, *catalog, *store, {.holder = limits, .name_of = {}});
        store->on_change([this] { publish(); });
        address = host->listen(Multiaddr::from_tcp({env.address(), 4001})).value();
        catalog->start(*host);
        publish();
    }

    void publish()
    {
        auto offer = std::vector<catalog::Model>{};
        for (auto const& model : store->list()) {
            claim(offer, model.digest, model.name, model.size_bytes);
        }
        catalog->set_models(std::move(offer));
    }

    static void claim(std::vector<catalog::Model>& offer, ModelDigest digest, std::string name, std::uint64_t size)
    {
        auto model = catalog::Model{};
        model.digest = digest;
        model.names = {std::move(name)};
        model.size_bytes = size;
        offer.push_back(std::move(model));
    }

    /// Says in the catalog that it holds the model, and serves it as `handler` does.
    void pretend(Bytes const& model, host::StreamHandler handler)
    {
        auto offer = std::vector<catalog::Model>{};
        claim(offer, crypto::sha256(model), "tiny", model.size());
        catalog->set_models(std::move(offer));
        host->handle(std::string(blob_protocol), host::Admission::member, std::move(handler),
                     host::ConnectionUse::bulk);
    }

    PeerId const& id() const { return host->local_peer(); }

    Task<> hold(Bytes model)
    {
        env.put_file("/home/tiny.gguf", std::move(model));
        CHECK(co_await store->import_file("/home/tiny.gguf", "", [](models::ImportProgress) {}));
    }

    Task<> connect(Device& other) { CHECK(co_await host->connect(other.id(), {other.address}, env.deadline_in(10s))); }

    Task<> stop()
    {
        co_await blobs->stop();
        co_await catalog->stop();
        co_await host->stop();
    }

    /// Killed and started again, with the disk as it was then.
    Task<> die_and_return()
    {
        env.crash();
        co_await stop();
        blobs.reset();
        catalog.reset();
        host.reset();
        store.reset();
        env.restart();
        start();
    }

    sim::SimEnv& env;
    OpenGater gater;
    HolderLimits limits;
    std::unique_ptr<host::Host> host;
    std::unique_ptr<catalog::Catalog> catalog;
    std::unique_ptr<models::Store> store;
    std::unique_ptr<Blobs> blobs;
    Multiaddr address;

private:
    int number_;
};

/// A device that wants the model and three others, all connected to it; the first holds the model.
struct Mesh {
    explicit Mesh(std::uint64_t seed = 1) : world(seed) {}

    Task<Result<models::Model>> copy(std::optional<PeerId> from = std::nullopt)
    {
        auto wanted = Wanted{.model = digest, .name = {}, .from = std::move(from)};
        co_return co_await taker.blobs->copy(std::move(wanted),
                                             [this](CopyProgress const& now) { progress.push_back(now); });
    }

    std::uint64_t brought_by(Device const& device) const
    {
        for (auto const& source : progress.empty() ? std::vector<CopyProgress::Source>{} : progress.back().sources) {
            if (source.device == device.id()) {
                return source.bytes;
            }
        }
        return 0;
    }

    Task<> connect_all()
    {
        for (auto* device : {&first, &second, &third}) {
            co_await taker.connect(*device);
        }
        co_await sleep_for(taker.env, 2s);
    }

    void run(Task<> task, Duration limit = 1h)
    {
        auto whole = [](Mesh& mesh, Task<> inner) -> Task<> {
            co_await mesh.first.hold(mesh.model);
            co_await mesh.connect_all();
            co_await std::move(inner);
            for (auto* device : {&mesh.taker, &mesh.first, &mesh.second, &mesh.third}) {
                co_await device->stop();
            }
        };
        REQUIRE(world.run(whole(*this, std::move(task)), limit));
    }

    sim::World world;
    Device taker{world, "taker", 1};
    Device first{world, "first", 2};
    Device second{world, "second", 3};
    Device third{world, "third", 4};
    Bytes model = model_of(4);
    ModelDigest digest = crypto::sha256(model);
    std::vector<CopyProgress> progress;
};

}  // namespace plexus::blobs::testing
