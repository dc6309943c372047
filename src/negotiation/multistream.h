#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace plexus::negotiation {

/// multistream-select 1.0, without I/O. Spec: libp2p/specs connections/README.md; libp2p-wire.md section 4.
inline constexpr std::string_view header = "/multistream/1.0.0";
inline constexpr std::size_t max_frame_bytes = 1024;
inline constexpr std::size_t max_proposals = 16;

/// One message: length, text, newline.
Bytes encode_frame(std::string_view text);

/// Collects received bytes into frames. What comes behind the last frame taken stays as `rest`.
class FrameDecoder {
public:
    void push(ByteView received) { append(pending_, received); }

    /// The next whole message without its newline, or nothing if more bytes are needed.
    /// Errors: `malformed`, and `too_large` for a frame over max_frame_bytes.
    Result<std::optional<std::string>> next();

    Bytes take_rest() { return std::exchange(pending_, {}); }

private:
    Bytes pending_;
};

/// The side that proposes. Feed it what arrives until `done`.
///
/// After an error it is spent: the stream or connection must be reset.
class Initiator {
public:
    /// `proposals` in order of preference, at least one.
    explicit Initiator(std::vector<std::string> proposals);

    /// Header and first proposal in one; send before anything else. With a single proposal the caller may send the
    /// protocol's first bytes right behind.
    Bytes start();

    /// Errors: `malformed`, `too_large`, and `refused` when the other side knows none of the proposals.
    Result<void> push(ByteView received);

    /// What must be sent now; empty most of the time.
    Bytes take_output() { return std::exchange(output_, {}); }

    bool done() const { return agreed_.has_value(); }
    std::string const& agreed() const { return *agreed_; }
    /// Bytes behind the agreement, which belong to the protocol.
    Bytes take_rest() { return decoder_.take_rest(); }

private:
    Result<void> take(std::string const& message);

    std::vector<std::string> proposals_;
    std::size_t proposed_ = 0;
    bool header_seen_ = false;
    std::optional<std::string> agreed_;
    FrameDecoder decoder_;
    Bytes output_;
};

/// The side that answers.
class Responder {
public:
    using Supports = std::function<bool(std::string_view protocol)>;
    using List = std::function<std::vector<std::string>()>;

    /// `list` answers `ls`; without it `ls` gets `na`.
    explicit Responder(Supports supports, List list = {});

    /// Errors: `malformed`, `too_large`, `refused` after max_proposals without agreement.
    Result<void> push(ByteView received);

    Bytes take_output() { return std::exchange(output_, {}); }
    bool done() const { return agreed_.has_value(); }
    std::string const& agreed() const { return *agreed_; }
    Bytes take_rest() { return decoder_.take_rest(); }

private:
    Result<void> take(std::string const& message);

    Supports supports_;
    List list_;
    std::size_t proposals_ = 0;
    bool header_seen_ = false;
    std::optional<std::string> agreed_;
    FrameDecoder decoder_;
    Bytes output_;
};

}  // namespace plexus::negotiation
