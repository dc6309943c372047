#include "negotiation/multistream.h"

using namespace plexus;
using namespace plexus::negotiation;

namespace {

std::vector<std::string> const known = {"/noise", "/yamux/1.0.0", "/ipfs/id/1.0.0"};

bool is_known(std::string_view name)
{
    return std::ranges::find(known, name) != known.end();
}

/// What a side answers and agrees to when it is fed `bytes`, `step` at a time.
template <typename Machine>
std::string feed(Machine machine, ByteView bytes, std::size_t step)
{
    auto outcome = std::string{};
    while (!bytes.empty()) {
        auto const part = bytes.first(std::min(step, bytes.size()));
        bytes = bytes.subspan(part.size());
        auto const pushed = machine.push(part);
        auto const output = machine.take_output();
        PLEXUS_ASSERT(output.size() <= (max_proposals + 1) * max_frame_bytes);
        outcome += as_text(output);
        if (!pushed) {
            return outcome + "!" + pushed.error().text;
        }
        if (machine.done()) {
            PLEXUS_ASSERT(is_known(machine.agreed()));
            return outcome + "=" + machine.agreed() + std::string(as_text(concatenate({machine.take_rest(), bytes})));
        }
    }
    return outcome;
}

}  // namespace

/// Both sides: however the bytes are split, the same answers, the same agreement, the same rest.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    auto const whole = std::max<std::size_t>(size, 1);
    auto const responder = [](bool lists) {
        auto list = lists ? Responder::List([] { return known; }) : Responder::List{};
        return Responder(is_known, std::move(list));
    };
    auto const initiator = [] {
        auto made = Initiator(known);
        std::ignore = made.start();
        return made;
    };
    for (auto const step : {std::size_t{1}, std::size_t{7}}) {
        PLEXUS_ASSERT(feed(responder(true), bytes, whole) == feed(responder(true), bytes, step));
        PLEXUS_ASSERT(feed(responder(false), bytes, whole) == feed(responder(false), bytes, step));
        PLEXUS_ASSERT(feed(initiator(), bytes, whole) == feed(initiator(), bytes, step));
    }
    return 0;
}
