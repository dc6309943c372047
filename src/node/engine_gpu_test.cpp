#include "node/engine_gpu.h"

#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "stream/engine_protocol.h"

using namespace plexus;
using namespace plexus::node;
using namespace std::chrono_literals;
using stream::DeviceKind;

namespace {

constexpr std::uint64_t gigabyte = 1'000'000'000;

ComputeDevices desktop()
{
    return {.backend = "vulkan",
            .problem = {},
            .devices = {{"AMD Radeon Graphics (RADV RAPHAEL)", DeviceKind::integrated, 32 * gigabyte},
                        {"NVIDIA GeForce RTX 3060", DeviceKind::discrete, 12 * gigabyte},
                        {"NVIDIA GeForce GT 710", DeviceKind::discrete, 2 * gigabyte},
                        {"llvmpipe (LLVM 15.0.6, 256 bits)", DeviceKind::software, 64 * gigabyte}}};
}

ComputeDevices only(std::size_t index)
{
    auto found = desktop();
    found.devices = {found.devices[index]};
    return found;
}

std::string name_of(ComputeDevice const* device)
{
    return device == nullptr ? "none" : device->name;
}

constexpr auto need = models::MemoryEstimate{
    .weights = 8 * gigabyte, .cache = 2 * gigabyte, .compute = gigabyte / 2, .overhead = gigabyte / 4};
constexpr std::uint64_t layers = 39;  // 40 with the output

ComputeDevice card(std::uint64_t gigabytes)
{
    return {.name = "card", .kind = DeviceKind::discrete, .memory_bytes = gigabytes * gigabyte};
}

/// An engine that says this when it is asked what there is.
struct Looking {
    sim::World world{1};
    sim::SimEnv& env = world.add_device("device");
    EngineGpu gpu;

    Looking(GpuWish wish, stream::EngineFrameType type, std::string text) : gpu(env, "/engine", std::move(wish))
    {
        env.set_program("/engine", [=](Env& its, ByteStream& channel, ProcessOptions options) -> Task<int> {
            CHECK(options.arguments == std::vector<std::string>{"--probe", "devices"});
            co_await sleep_for(its, 10ms);
            auto const frame = stream::encode(type, 0, as_view(text));
            std::ignore = co_await channel.write(frame);
            co_return 0;
        });
    }

    void run(Task<> task) { REQUIRE(world.run(std::move(task))); }
};

}  // namespace

TEST_CASE("gpu: auto takes the card with the most memory, then a GPU beside the processor, never a software device")
{
    CHECK(name_of(choose(desktop(), "auto")) == "NVIDIA GeForce RTX 3060");
    CHECK(name_of(choose(only(0), "auto")) == "AMD Radeon Graphics (RADV RAPHAEL)");
    CHECK(name_of(choose(only(3), "auto")) == "none");
    CHECK(name_of(choose({}, "auto")) == "none");
}

TEST_CASE("gpu: none is none, and a name or a part of it is that device, a software device too")
{
    CHECK(name_of(choose(desktop(), "none")) == "none");
    CHECK(name_of(choose(desktop(), "NVIDIA GeForce GT 710")) == "NVIDIA GeForce GT 710");
    CHECK(name_of(choose(desktop(), "radeon")) == "AMD Radeon Graphics (RADV RAPHAEL)");
    CHECK(name_of(choose(desktop(), "llvmpipe")) == "llvmpipe (LLVM 15.0.6, 256 bits)");
    CHECK(name_of(choose(desktop(), "Arc")) == "none");
}

TEST_CASE("gpu: a model that fits goes onto the card whole and leaves the main memory what is the program's")
{
    auto const share = share_of(need, layers, card(24), {}, 0);

    CHECK(share.layers == 40);
    CHECK(share.gpu_bytes == need.weights + need.cache + need.compute);
    CHECK(share.main_bytes == need.overhead + driver_bytes);
}

TEST_CASE("gpu: of a model that does not fit as many layers go there as there is room for")
{
    auto const share = share_of(need, layers, card(8), {}, 0);

    CHECK(share.layers == 26);  // (7.2 - 0.5) of 10 GB
    CHECK(share.gpu_bytes <= 7'200'000'000);
    CHECK(share.gpu_bytes + share.main_bytes == need.total() + driver_bytes);
    CHECK(share_of(need, layers, card(24), {}, 14 * gigabyte).layers == 28);
    CHECK(share_of(need, layers, card(1), {}, gigabyte).layers == 0);
    CHECK(share_of(need, layers, card(1), {}, gigabyte).main_bytes == need.total());
}

TEST_CASE("gpu: the owner's number of layers is a limit")
{
    CHECK(share_of(need, layers, card(24), 10, 0).layers == 10);
    CHECK(share_of(need, layers, card(24), 1000, 0).layers == 40);
    CHECK(share_of(need, layers, card(24), 0, 0).layers == 0);
    CHECK(share_of(need, layers, card(8), 30, 0).layers == 26);
}

TEST_CASE("gpu: one that shares the main memory takes nothing off it")
{
    for (auto const kind : {DeviceKind::integrated, DeviceKind::software, DeviceKind::unknown}) {
        auto const device = ComputeDevice{.name = "shared", .kind = kind, .memory_bytes = gigabyte};
        auto const share = share_of(need, layers, device, {}, 0);

        CHECK(share.layers == 40);
        CHECK(share.gpu_bytes == 0);
        CHECK(share.main_bytes == need.total() + driver_bytes);
    }
}

TEST_CASE("gpu: what an engine finds is known once it has looked, and who waits gets the chosen one")
{
    auto looking = Looking({}, stream::EngineFrameType::devices, to_text(desktop()));
    auto calls = 0;
    auto task = [&]() -> Task<> {
        looking.gpu.start([&] { ++calls; });
        CHECK((co_await looking.gpu.name_of_chosen()) == "NVIDIA GeForce RTX 3060");
        CHECK(looking.gpu.problem().empty());
        co_await looking.gpu.stop();
    };
    looking.run(task());
    CHECK(calls == 1);
    CHECK(looking.gpu.found() == desktop());
}

TEST_CASE("gpu: a named device that is not there is a problem that is told, and the processor computes")
{
    auto looking = Looking({.device = "Arc"}, stream::EngineFrameType::devices, to_text(desktop()));
    auto task = [&]() -> Task<> {
        looking.gpu.start([] {});
        CHECK((co_await looking.gpu.name_of_chosen()).empty());
        CHECK(looking.gpu.problem().contains("there is no GPU Arc here"));
        co_await looking.gpu.stop();
    };
    looking.run(task());
}

TEST_CASE("gpu: an engine that says something else, or nothing that can be read, has no devices")
{
    for (auto const& [type, text] : {std::pair(stream::EngineFrameType::refused, "broken"),
                                     std::pair(stream::EngineFrameType::devices, "nonsense")}) {
        auto looking = Looking({.device = "Arc"}, type, text);
        auto task = [&]() -> Task<> {
            looking.gpu.start([] {});
            CHECK((co_await looking.gpu.name_of_chosen()).empty());
            CHECK(looking.gpu.problem().contains("there is no GPU Arc here: "));
            co_await looking.gpu.stop();
        };
        looking.run(task());
    }
}

TEST_CASE("gpu: one on which no model starts is left out and told of, unless it is not to blame or the owner named it")
{
    auto looking = Looking({}, stream::EngineFrameType::devices, to_text(desktop()));
    auto named = Looking({.device = "GT 710"}, stream::EngineFrameType::devices, to_text(desktop()));
    auto task = [&](EngineGpu& gpu) -> Task<> {
        gpu.start([] {});
        co_await gpu.wait();
        co_await gpu.stop();
    };
    looking.run(task(looking.gpu));
    named.run(task(named.gpu));

    CHECK(looking.gpu.doubt());
    CHECK(looking.gpu.chosen() == nullptr);
    looking.gpu.judge(std::nullopt);
    CHECK(name_of(looking.gpu.chosen()) == "NVIDIA GeForce RTX 3060");
    CHECK(looking.gpu.doubt());
    looking.gpu.judge(Error{ErrorKind::unavailable, "no node"});
    CHECK(looking.gpu.chosen() == nullptr);
    CHECK(looking.gpu.problem() == "no model started on NVIDIA GeForce RTX 3060: no node");
    CHECK_FALSE(named.gpu.doubt());
    CHECK(name_of(named.gpu.chosen()) == "NVIDIA GeForce GT 710");
}

TEST_CASE("gpu: nobody looks if the owner wants none")
{
    auto looking = Looking({.device = "none"}, stream::EngineFrameType::devices, to_text(desktop()));
    auto task = [&]() -> Task<> {
        looking.gpu.start([] { CHECK(false); });
        CHECK((co_await looking.gpu.name_of_chosen()).empty());
        CHECK(looking.gpu.problem().empty());
        co_await looking.gpu.stop();
    };
    looking.run(task());
    CHECK(looking.gpu.found() == ComputeDevices{});
}
