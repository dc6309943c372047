#include "negotiation/multistream.h"

#include "multiformats/varint.h"

namespace plexus::negotiation {

namespace {

constexpr std::string_view not_available = "na";
constexpr std::string_view list_request = "ls";

std::unexpected<Error> not_multistream(std::string_view message)
{
    return fail(ErrorKind::malformed, "expected {}, got \"{}\"", header, message.substr(0, 64));
}

Bytes encode_list(std::vector<std::string> const& names)
{
    auto body = Bytes{};
    for (auto const& name : names) {
        append(body, encode_frame(name));
    }
    body.push_back(std::byte{'\n'});
    auto frame = Bytes{};
    multiformats::append_varint(frame, body.size());
    append(frame, body);
    return frame;
}

}  // namespace

Bytes encode_frame(std::string_view text)
{
    auto frame = Bytes{};
    multiformats::append_varint(frame, text.size() + 1);
    append(frame, as_view(text));
    frame.push_back(std::byte{'\n'});
    return frame;
}

Result<std::optional<std::string>> FrameDecoder::next()
{
    auto const length = multiformats::read_varint(pending_);
    if (!length) {
        return std::unexpected(length.error());
    }
    if (!*length) {
        return std::optional<std::string>{};
    }
    auto const [size, prefix] = **length;
    if (size > max_frame_bytes) {
        return fail(ErrorKind::too_large, "a negotiation frame of {} bytes, at most {} are read", size, max_frame_bytes);
    }
    if (pending_.size() < prefix + size) {
        return std::optional<std::string>{};
    }
    auto const body = ByteView(pending_).subspan(prefix, size);
    if (body.empty() || body.back() != std::byte{'\n'}) {
        return fail(ErrorKind::malformed, "a negotiation frame does not end in a newline");
    }
    auto message = std::string(as_text(body.first(size - 1)));
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(prefix + size));
    return message;
}

Initiator::Initiator(std::vector<std::string> proposals) : proposals_(std::move(proposals))
{
    PLEXUS_ASSERT(!proposals_.empty());
}

Bytes Initiator::start()
{
    auto bytes = encode_frame(header);
    append(bytes, encode_frame(proposals_.front()));
    return bytes;
}

Result<void> Initiator::push(ByteView received)
{
    decoder_.push(received);
    while (!done()) {
        auto message = decoder_.next();
        if (!message) {
            return std::unexpected(message.error());
        }
        if (!*message) {
            break;
        }
        if (auto taken = take(**message); !taken) {
            return taken;
        }
    }
    return {};
}

Result<void> Initiator::take(std::string const& message)
{
    if (!header_seen_) {
        header_seen_ = true;
        return message == header ? Result<void>{} : Result<void>(not_multistream(message));
    }
    if (message == proposals_[proposed_]) {
        agreed_ = message;
        return {};
    }
    if (message != not_available) {
        return fail(ErrorKind::malformed, "an unexpected answer to a proposal: \"{}\"", message.substr(0, 64));
    }
    if (++proposed_ == proposals_.size()) {
        return fail(ErrorKind::refused, "the other side does not speak {}", proposals_.front());
    }
    append(output_, encode_frame(proposals_[proposed_]));
    return {};
}

Responder::Responder(Supports supports, List list) : supports_(std::move(supports)), list_(std::move(list))
{
    output_ = encode_frame(header);
}

Result<void> Responder::push(ByteView received)
{
    decoder_.push(received);
    while (!done()) {
        auto message = decoder_.next();
        if (!message) {
            return std::unexpected(message.error());
        }
        if (!*message) {
            break;
        }
        if (auto taken = take(**message); !taken) {
            return taken;
        }
    }
    return {};
}

Result<void> Responder::take(std::string const& message)
{
    if (!header_seen_) {
        header_seen_ = true;
        return message == header ? Result<void>{} : Result<void>(not_multistream(message));
    }
    if (++proposals_ > max_proposals) {
        return fail(ErrorKind::refused, "more than {} proposals", max_proposals);
    }
    if (message == list_request && list_) {
        append(output_, encode_list(list_()));
    } else if (supports_(message)) {
        append(output_, encode_frame(message));
        agreed_ = message;
    } else {
        append(output_, encode_frame(not_available));
    }
    return {};
}

}  // namespace plexus::negotiation
