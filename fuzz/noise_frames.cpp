#include "security/noise_frames.h"

using namespace plexus;
using namespace plexus::security;

namespace {

crypto::AeadKey key()
{
    auto const bytes = Bytes(32, std::byte{7});
    return crypto::AeadKey(crypto::Secret32(std::span<std::byte const, 32>(bytes)));
}

Bytes sealed(FrameSealer& sealer, ByteView plaintext)
{
    auto frame = Bytes(frame_header + plaintext.size() + frame_tag);
    std::ranges::copy(plaintext, frame.begin() + frame_header);
    sealer.seal(frame);
    return frame;
}

}  // namespace

/// Foreign bytes are never opened; sealed frames come back as they were, unless a byte was changed.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    auto foreign = to_bytes(bytes);
    auto const opened = FrameOpener(key()).open(foreign);
    PLEXUS_ASSERT(!opened || !*opened);
    if (size < 4) {
        return 0;
    }
    auto const plaintext = bytes.subspan(3).first(std::min(size - 3, max_plaintext));
    auto sealer = FrameSealer(key());
    auto opener = FrameOpener(key());
    auto first = sealed(sealer, plaintext);
    auto const cut = opener.open(MutableByteView(first).first(first.size() - 1));
    PLEXUS_ASSERT(cut && !*cut);
    auto const back = opener.open(first).value().value();
    PLEXUS_ASSERT(back.frame_bytes == first.size() && std::ranges::equal(back.plaintext, plaintext));
    auto second = sealed(sealer, plaintext);
    auto const at = (std::size_t{data[0]} << 8 | data[1]) % second.size();
    second[at] ^= static_cast<std::byte>(data[2]);
    auto const changed = opener.open(second);
    PLEXUS_ASSERT((changed && *changed) == (data[2] == 0));
    return 0;
}
