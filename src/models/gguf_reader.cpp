#include "models/gguf_reader.h"

#include "models/gguf.h"

namespace plexus::models {

std::optional<std::uint64_t> size_of(GgufType type)
{
    constexpr auto sizes = std::array<std::uint8_t, 13>{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    auto const index = static_cast<std::uint32_t>(type);
    return index < sizes.size() ? std::optional<std::uint64_t>(sizes[index]) : std::nullopt;
}

Result<void> GgufReader::skip(std::uint64_t count, std::string_view what)
{
    if (count > remaining()) {
        return fail(ErrorKind::malformed, "{} needs {} bytes, the file has {} left", what, count, remaining());
    }
    if (count > max_header_bytes - std::min(position_, max_header_bytes)) {
        return fail(ErrorKind::too_large, "the header of the file is over {} bytes", max_header_bytes);
    }
    position_ += count;
    return {};
}

Result<ByteView> GgufReader::bytes(std::size_t count, std::string_view what)
{
    auto const at = position_;
    if (auto skipped = skip(count, what); !skipped) {
        return std::unexpected(skipped.error());
    }
    if (at < start_ || at + count > start_ + window_.size()) {
        window_.resize(window_bytes);
        auto const read = file_.read_at(at, window_);
        if (!read) {
            return std::unexpected(read.error());
        }
        window_.resize(*read);
        start_ = at;
    }
    if (at - start_ + count > window_.size()) {
        return fail(ErrorKind::malformed, "the file is shorter than its size says");
    }
    return ByteView(window_).subspan(at - start_, count);
}

Result<std::uint64_t> GgufReader::text_length(std::uint64_t limit, std::string_view what)
{
    auto const length = number<std::uint64_t>(what);
    if (!length) {
        return std::unexpected(length.error());
    }
    if (*length > remaining()) {
        return fail(ErrorKind::malformed, "{} claims {} bytes, the file has {} left", what, *length, remaining());
    }
    if (*length > limit) {
        return fail(ErrorKind::too_large, "{} has {} bytes, at most {} are read", what, *length, limit);
    }
    return *length;
}

Result<std::string_view> GgufReader::short_text(std::size_t limit, std::string_view what)
{
    PLEXUS_ASSERT(limit <= window_bytes);
    return and_then(text_length(limit, what), [&](std::uint64_t length) {
        return transform(bytes(length, what), [](ByteView view) { return as_text(view); });
    });
}

}  // namespace plexus::models
