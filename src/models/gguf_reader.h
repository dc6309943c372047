#pragma once

#include <string>

#include "base/env.h"

namespace plexus::models {

/// Numbers of the value types as they stand in a file. Spec: ggml docs/gguf.md, "gguf_metadata_value_type".
enum class GgufType : std::uint32_t {
    u8,
    i8,
    u16,
    i16,
    u32,
    i32,
    f32,
    boolean,
    text,
    array,
    u64,
    i64,
    f64,
};

/// Bytes of a value of fixed size; 0 for texts and arrays; nothing for a number that is no type.
std::optional<std::uint64_t> size_of(GgufType type);

/// Reads the part of a GGUF file in front of the tensor data, once, from begin to end, through a small window.
///
/// `what` names the thing that is read, for the reason of an error. Every count is held against the rest of the file
/// first. Errors of all functions: `malformed` if the file ends before, `too_large` behind max_header_bytes, `io`.
class GgufReader {
public:
    static constexpr std::size_t window_bytes = 64 * 1024;

    explicit GgufReader(File const& file) : file_(file) {}

    std::uint64_t position() const { return position_; }
    std::uint64_t remaining() const { return file_.size() - position_; }

    Result<void> skip(std::uint64_t count, std::string_view what);

    /// The next `count` bytes, at most window_bytes. Valid until the next call.
    Result<ByteView> bytes(std::size_t count, std::string_view what);

    template <typename T>
    Result<T> number(std::string_view what)
    {
        return transform(bytes(sizeof(T), what), [](ByteView view) { return load_little_endian<T>(view.data()); });
    }

    /// The length in front of a text. Errors also: `too_large` if it is over `limit`.
    Result<std::uint64_t> text_length(std::uint64_t limit, std::string_view what);

    /// A text of at most `limit` bytes, and that at most window_bytes. Valid until the next call.
    Result<std::string_view> short_text(std::size_t limit, std::string_view what);

private:
    File const& file_;
    std::uint64_t position_ = 0;
    std::uint64_t start_ = 0;  // of the window
    Bytes window_;
};

}  // namespace plexus::models
