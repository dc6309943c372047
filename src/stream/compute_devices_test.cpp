#include "stream/compute_devices.h"

#include <doctest/doctest.h>

using namespace plexus;
using namespace plexus::stream;

namespace {

ComputeDevices two_devices()
{
    return {.backend = "vulkan",
            .problem = {},
            .devices = {{"NVIDIA GeForce RTX 3070", DeviceKind::discrete, 8'589'934'592},
                        {"llvmpipe (LLVM 15.0.6, 256 bits)", DeviceKind::software, 25'000'000'000}}};
}

}  // namespace

TEST_CASE("compute devices: what is written is read again")
{
    auto const none = ComputeDevices{.backend = "none", .problem = "this build has no GPU backend"};
    for (auto const& found : {two_devices(), none, ComputeDevices{}}) {
        CHECK(parse_compute_devices(to_text(found)).value() == found);
    }
}

TEST_CASE("compute devices: cut off anywhere they are refused, or fewer")
{
    auto const whole = to_text(two_devices());
    for (auto cut = std::size_t{0}; cut < whole.size(); ++cut) {
        auto const parsed = parse_compute_devices(whole.substr(0, cut));
        CHECK((!parsed || parsed->devices.size() < 2));
    }
}

TEST_CASE("compute devices: another form is refused")
{
    for (auto const* text :
         {"", "\n", "backend vulkan\n", "problem \nbackend vulkan\n", "backend a\nproblem \ndevice discrete 1\n",
          "backend a\nproblem \ndevice moon 1 x\n", "backend a\nproblem \ndevice discrete -1 x\n",
          "backend a\nproblem \ndevice discrete 1x x\n", "backend a\nproblem \ndevice discrete 1 \x1b[2J\n",
          "backend a\nproblem \nwidget discrete 1 x\n", "backend a\nproblem \n\n",
          "backend a\nproblem \ndevice discrete 99999999999999999999 x\n"}) {
        CAPTURE(text);
        CHECK(parse_compute_devices(text).error().kind == ErrorKind::malformed);
    }
    auto many = std::string("backend a\nproblem \n");
    for (auto count = std::size_t{0}; count <= max_compute_devices; ++count) {
        many += "device discrete 1 x\n";
    }
    CHECK(parse_compute_devices(many).error().kind == ErrorKind::too_large);
    CHECK(parse_compute_devices(std::string(max_compute_devices_bytes + 1, '\n')).error().kind == ErrorKind::too_large);
}

TEST_CASE("compute devices: what may not be said is left out, and the longest list can be read")
{
    auto found = two_devices();
    found.problem = "two\nlines";
    found.devices.resize(max_compute_devices + 4, {std::string(500, 'n'), DeviceKind::discrete, UINT64_MAX});
    found.devices[0].name = "\x1b";

    auto const parsed = parse_compute_devices(to_text(found));

    REQUIRE(parsed);
    CHECK(parsed->problem == "twolines");
    CHECK(parsed->devices.size() == max_compute_devices);
    CHECK(parsed->devices.back().name.size() == 128);
}

TEST_CASE("compute devices: only a card has memory of its own")
{
    for (auto const kind : {DeviceKind::integrated, DeviceKind::unknown, DeviceKind::software}) {
        CHECK_FALSE(ComputeDevice{.name = "x", .kind = kind}.has_own_memory());
    }
    CHECK(ComputeDevice{.name = "x", .kind = DeviceKind::discrete}.has_own_memory());
}
