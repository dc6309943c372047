#include "stream/engine_protocol.h"

using namespace plexus;
using namespace plexus::stream;

namespace {

constexpr std::size_t limit = 4096;

/// All frames in `bytes`, given `step` at a time, written again; an error is written as '!'.
Bytes feed(ByteView bytes, std::size_t step)
{
    auto decoder = EngineFrameDecoder(limit);
    auto written = Bytes{};
    while (!bytes.empty()) {
        auto const part = bytes.first(std::min(step, bytes.size()));
        bytes = bytes.subspan(part.size());
        decoder.push(part);
        for (;;) {
            auto const frame = decoder.next();
            if (!frame) {
                append(written, as_view("!"));
                return written;
            }
            if (!*frame) {
                break;
            }
            PLEXUS_ASSERT((*frame)->payload.size() <= limit);
            append(written, encode((*frame)->type, (*frame)->request, (*frame)->payload));
        }
    }
    return written;
}

}  // namespace

/// However the bytes are split, the same frames come out, and they are written as they came.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    auto written = feed(bytes, std::max<std::size_t>(size, 1));
    PLEXUS_ASSERT(written == feed(bytes, 1) && written == feed(bytes, 7));
    if (!written.empty() && written.back() == std::byte{'!'} && written.size() > size) {
        written.pop_back();
    }
    auto const same = std::ranges::mismatch(written, bytes).in1;
    PLEXUS_ASSERT(same == written.end() || same + 1 == written.end());
    return 0;
}
