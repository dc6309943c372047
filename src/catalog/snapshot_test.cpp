#include <doctest/doctest.h>

#include "catalog/hardware.h"
#include "base/sim_env.h"
#include "multiformats/protobuf.h"

using namespace plexus;
using namespace plexus::catalog;
using multiformats::ProtobufWriter;

namespace {

Snapshot full_snapshot()
{
    auto model = Model{};
    model.digest = crypto::sha256(as_view("model"));
    model.names = {"tiny", "tiny:latest"};
    model.size_bytes = 98'362'432;
    model.architecture = "llama";
    model.quantization = "Q4_1";
    model.parameters = 134'515'008;
    model.context_length = 8192;
    model.created_seconds = 1'700'000'000;
    model.loaded = LoadedState{4, 2, 4096};
    model.speed = {{383.25, 7}, {156, 7}};
    auto embedding = Model{};
    embedding.capabilities = can_embed;
    auto const gpus = std::vector<Gpu>{{"A card", 1ULL << 34}, {"A chip", 1ULL << 33}};
    return {1'764'000'000'000,  5, "0.1.0", {"A processor", 16, 1ULL << 36, 1ULL << 35, gpus},
            {model, embedding}, 3, 2,       true};
}

}  // namespace

TEST_CASE("snapshot: what is written is read again")
{
    CHECK(decode_snapshot(encode(full_snapshot())).value() == full_snapshot());
    CHECK(decode_snapshot({}).value() == Snapshot{});
}

TEST_CASE("snapshot: cut off anywhere it is malformed or a shorter one, never more")
{
    auto const whole = encode(full_snapshot());
    for (std::size_t size = 0; size < whole.size(); ++size) {
        auto const decoded = decode_snapshot(ByteView(whole).first(size));
        CHECK((!decoded || decoded->models.size() <= 2));
        if (!decoded) {
            CHECK(decoded.error().kind == ErrorKind::malformed);
        }
    }
}

TEST_CASE("snapshot: unknown fields are skipped")
{
    auto bytes = encode(full_snapshot());
    append(bytes, ProtobufWriter{}.text(99, "news from the future").varint(100, 7).take());
    CHECK(decode_snapshot(bytes).value() == full_snapshot());
}

TEST_CASE("snapshot: what is over a limit is refused")
{
    auto kind = [](Bytes const& bytes) { return decode_snapshot(bytes).error().kind; };
    auto models = ProtobufWriter{};
    for (std::size_t count = 0; count <= max_models; ++count) {
        models.bytes(5, {});
    }
    CHECK(kind(models.take()) == ErrorKind::too_large);
    auto names = ProtobufWriter{};
    for (std::size_t count = 0; count <= max_names_per_model; ++count) {
        names.text(2, "name");
    }
    CHECK(kind(ProtobufWriter{}.bytes(5, names.take()).take()) == ErrorKind::too_large);
    auto gpus = ProtobufWriter{};
    for (std::size_t count = 0; count <= max_gpus; ++count) {
        gpus.bytes(5, {});
    }
    CHECK(kind(ProtobufWriter{}.bytes(4, gpus.take()).take()) == ErrorKind::too_large);
    CHECK(kind(Bytes(max_snapshot_bytes + 1)) == ErrorKind::too_large);
    CHECK(kind(ProtobufWriter{}.text(3, std::string(max_text_bytes + 1, 'x')).take()) == ErrorKind::malformed);
    CHECK(kind(ProtobufWriter{}.text(3, "\x1b[2J").take()) == ErrorKind::malformed);
    CHECK(kind(ProtobufWriter{}.varint(3, 1).take()) == ErrorKind::malformed);
    CHECK(kind(ProtobufWriter{}.varint(6, 1ULL << 32).take()) == ErrorKind::malformed);
    CHECK(kind(ProtobufWriter{}.bytes(5, ProtobufWriter{}.text(1, "short").take()).take()) == ErrorKind::malformed);
}

TEST_CASE("snapshot: what a device may not say of itself is left out, and the largest one fits the limit")
{
    auto snapshot = full_snapshot();
    snapshot.version = "bad\n";
    auto& names = snapshot.models[0].names;
    names = std::vector<std::string>(max_names_per_model + 1, std::string(max_text_bytes, 'n'));
    names.insert(names.begin(), std::string(max_text_bytes + 1, 'n'));
    snapshot.models.resize(max_models + 1, snapshot.models[0]);

    auto const bytes = encode(snapshot);

    CHECK(bytes.size() <= max_snapshot_bytes);
    auto const read = decode_snapshot(bytes).value();
    CHECK(read.version.empty());
    CHECK(read.models.size() == max_models);
    CHECK(read.models[0].names.size() == max_names_per_model);
}

TEST_CASE("cpuinfo: x86, Raspberry Pi and nothing are understood")
{
    auto const x86 = parse_cpuinfo("processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) CPU\n\n"
                                   "processor\t: 1\nmodel name\t: Intel(R) Xeon(R) CPU\n");
    CHECK(x86 == Processor{"Intel(R) Xeon(R) CPU", 2});
    auto const arm = parse_cpuinfo("processor\t: 0\nBogoMIPS\t: 108.00\n\nprocessor\t: 1\n\nprocessor : 2\n\n"
                                   "Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 5\n");
    CHECK(arm == Processor{"BCM2835", 3});
    CHECK(parse_cpuinfo("Processor\t: AArch64 rev 1\nprocessor\t: 0\n") == Processor{"AArch64 rev 1", 1});
    CHECK(parse_cpuinfo("") == Processor{});
    CHECK(parse_cpuinfo("model name\t: \x1b[31mred\xff\n").name == "[31mred");
}

TEST_CASE("meminfo: available memory is told, or what is free by older kernels")
{
    CHECK(parse_meminfo("MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\n") ==
          Memory{16384 * 1024, 8192 * 1024});
    CHECK(parse_meminfo("MemTotal: 16384 kB\nMemFree: 1 kB\n") == Memory{16384 * 1024, 1024});
    CHECK(parse_meminfo("MemTotal: 99999999999999999999 kB\nMemAvailable: -5\n") == Memory{});
    CHECK(parse_meminfo("MemTotal") == Memory{});
}

TEST_CASE("hardware: comes from /proc through the disk, and stays empty where there is none")
{
    auto world = sim::World(1);
    auto& env = world.add_device("device");
    CHECK(probe_hardware(env.disk()) == Hardware{});

    env.put_file("/proc/cpuinfo", to_bytes("processor : 0\nmodel name : A processor\n"));
    env.put_file("/proc/meminfo", to_bytes("MemTotal: 4 kB\nMemAvailable: 2 kB\n"));

    CHECK(probe_hardware(env.disk()) == Hardware{"A processor", 1, 4096, 2048});
}
